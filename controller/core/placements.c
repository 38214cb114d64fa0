// SPDX-License-Identifier: Apache-2.0
/* Placements: made, stopped, removed; and the sums and lists of their nodes kept in step. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/linkhash.h"
#include "controller/core/fleet_priv.h"

static struct id128 hash_of(const struct placement *p)
{
    return linkhash_placement(p->incarnation, p->service->stack->name, p->service->name, p->slot,
                              p->revision, p->stop);
}

static void node_unlink(struct placement *p)
{
    *(p->older != NULL ? &p->older->newer : &p->node->oldest) = p->newer;
    *(p->newer != NULL ? &p->newer->older : &p->node->newest) = p->older;
}

static void node_link(struct placement *p)
{
    p->older = p->node->newest;
    p->newer = NULL;
    *(p->older != NULL ? &p->older->newer : &p->node->oldest) = p;
    p->node->newest = p;
}

static void service_link(struct placement *p)
{
    struct service *s = p->service;

    p->prev = s->last;
    *(s->last != NULL ? &s->last->next : &s->first) = p;
    s->last = p;
    s->n_placements++;
}

static void service_unlink(struct placement *p)
{
    struct service *s = p->service;

    *(p->prev != NULL ? &p->prev->next : &s->first) = p->next;
    *(p->next != NULL ? &p->next->prev : &s->last) = p->prev;
    s->n_placements--;
}

struct placement *placements_add(struct fleet *f, struct service *s, uint32_t slot,
                                 struct node *node, uint64_t incarnation, struct ask *ask)
{
    struct placement *p = xcalloc(1, sizeof(*p));

    assert(incarnation != 0);
    p->incarnation = incarnation;
    p->service = s;
    p->slot = slot;
    p->node = node;
    p->ask = ask;
    p->created_unix_ms = f->unix_ms;
    service_link(p);
    node_link(p);
    node->n_placements++;
    incmap_add(f, p);
    capacity_take(f, p);
    return p;
}

void placements_join(struct placement *p)
{
    p->node->assigned_sum = id128_add(p->node->assigned_sum, hash_of(p));
}

struct placement *placements_new(struct fleet *f, struct service *s, uint32_t slot,
                                 struct node *node)
{
    uint64_t incarnation = f->epoch << 32 | ++f->counter;
    struct placement *p = placements_add(f, s, slot, node, incarnation, want_ask_ref(s->ask));

    assert(f->counter != 0);
    memcpy(p->revision, s->want->revision, FLEET_DIGEST);
    memcpy(p->image_digest, s->pin, sizeof(p->image_digest));
    placements_join(p);
    placements_touch(f, p);
    return p;
}

void placements_touch(struct fleet *f, struct placement *p)
{
    p->mod_revision = f->revision + 1;
    node_unlink(p);
    node_link(p);
    if (p->orphan) {
        emit_put_node(f, p->node); /* not stored itself, but its change needs a revision */
    } else {
        emit_block(f, p->service, p->slot);
    }
    emit_send(f, p->node, false);
    emit_service(f, p->service);
    if (f->budget > 0) {
        f->budget--;
    }
}

void placements_stop(struct fleet *f, struct placement *p, const char *why)
{
    if (p->stop) {
        return;
    }
    p->node->assigned_sum = id128_sub(p->node->assigned_sum, hash_of(p));
    p->stop = true;
    p->node->assigned_sum = id128_add(p->node->assigned_sum, hash_of(p));
    placements_touch(f, p);
    if (why != NULL) {
        emit_of(f, FLEET_HAPPENED_STOPPING, p, "%s", why);
    }
    if (placements_ended(p)) {
        tables_dirty(f, p->service); /* its agent has nothing more to say of it */
    }
}

void placements_demote(struct fleet *f, struct placement *p)
{
    struct slot *slot = tables_slot(p->service, p->slot);

    assert(p->current);
    p->current = false;
    if (slot != NULL && slot->current == p) {
        slot->current = NULL;
    }
    placements_touch(f, p);
}

void placements_promote(struct fleet *f, struct placement *p, struct slot *slot)
{
    assert(slot->current == NULL);
    assert(!p->current);
    p->current = true;
    slot->current = p;
    placements_touch(f, p);
}

/* Its agent is told by a removal; if too many were kept, by a whole set. */
static void remember_removed(struct fleet *f, struct placement *p)
{
    struct node *node = p->node;

    if (node->removed == NULL) {
        node->removed = xcalloc(REMOVED_MAX, sizeof(*node->removed));
    }
    if (node->n_removed == REMOVED_MAX) {
        unsigned half = REMOVED_MAX / 2;

        node->removed_since = node->removed[half - 1].revision;
        memmove(node->removed, node->removed + half, half * sizeof(*node->removed));
        node->n_removed = half;
    }
    node->removed[node->n_removed++] =
        (struct removed){.incarnation = p->incarnation, .revision = f->revision + 1};
}

void placements_forget_seen(struct placement *p)
{
    if (p->seen.phase != FLEET_PHASE_NONE) {
        p->node->observed_sum = id128_sub(
            p->node->observed_sum, linkhash_observation(p->incarnation, p->seen.run, p->seen.seq));
    }
    free((void *)(uintptr_t)p->seen.reason);
    free((void *)(uintptr_t)p->seen.image_digest);
    free((void *)(uintptr_t)p->seen.controls);
    p->seen = (struct fleet_observation){0};
    p->was_ready = false;
}

void placements_remove(struct fleet *f, struct placement *p)
{
    struct service *s = p->service;
    struct node *node = p->node;
    struct slot *slot = tables_slot(s, p->slot);

    if (slot != NULL && slot->current == p) {
        slot->current = NULL;
    }
    placements_forget_seen(p);
    remember_removed(f, p);
    node->assigned_sum = id128_sub(node->assigned_sum, hash_of(p));
    capacity_give(f, p);
    if (p->orphan) {
        node->n_orphans--;
        emit_put_node(f, node);
    } else {
        emit_block(f, s, p->slot);
    }
    emit_send(f, node, false);
    incmap_remove(f, p->incarnation);
    node_unlink(p);
    node->n_placements--;
    service_unlink(p);
    want_ask_drop(p->ask);
    free(p);
    tables_dirty(f, s);
    tables_wake(f);
    if (f->budget > 0) {
        f->budget--;
    }
}

bool placements_ready(const struct placement *p)
{
    if (p->stop || p->seen.phase != FLEET_PHASE_RUNNING) {
        return false;
    }
    if (p->seen.health == FLEET_HEALTH_NONE) {
        return p->service->want == NULL || !p->service->want->has_probe;
    }
    return p->seen.health == FLEET_HEALTH_HEALTHY;
}

bool placements_outdated(const struct placement *p)
{
    return p->service->want != NULL &&
           memcmp(p->revision, p->service->want->revision, FLEET_DIGEST) != 0;
}

bool placements_ended(const struct placement *p)
{
    return p->seen.phase == FLEET_PHASE_EXITED || p->seen.phase == FLEET_PHASE_DONE;
}
