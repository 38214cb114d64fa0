// SPDX-License-Identifier: Apache-2.0
/* Reading the fleet: fleet_view.h. */
#include "controller/core/fleet_view.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "controller/core/fleet_priv.h"
#include "controller/core/slotstate.h"

static const struct service *service_of(const struct fleet *f, unsigned stack, unsigned service)
{
    if (stack >= f->n_stacks || service >= f->stacks[stack]->n) {
        return NULL;
    }
    return f->stacks[stack]->services[service];
}

unsigned fleet_stacks(const struct fleet *f)
{
    return f->n_stacks;
}

bool fleet_stack_at(const struct fleet *f, unsigned i, struct fleet_stack_view *ret)
{
    const struct stack *s;

    if (i >= f->n_stacks) {
        return false;
    }
    s = f->stacks[i];
    *ret = (struct fleet_stack_view){
        .name = s->name,
        .stored = s->stored,
        .revision = s->revision,
        .applied_unix_ms = s->applied_unix_ms,
        .n_services = s->n,
    };
    return true;
}

int fleet_stack_find(const struct fleet *f, const char *stack)
{
    for (unsigned i = 0; i < f->n_stacks; i++) {
        if (strcmp(f->stacks[i]->name, stack) == 0) {
            return (int)i;
        }
    }
    return -1;
}

int fleet_service_find(const struct fleet *f, unsigned stack, const char *service)
{
    for (unsigned i = 0; stack < f->n_stacks && i < f->stacks[stack]->n; i++) {
        if (strcmp(f->stacks[stack]->services[i]->name, service) == 0) {
            return (int)i;
        }
    }
    return -1;
}

int fleet_node_find(const struct fleet *f, struct id128 id)
{
    for (unsigned i = 0; i < f->n_nodes; i++) {
        if (id128_equal(f->nodes[i]->id, id)) {
            return (int)i;
        }
    }
    return -1;
}

int fleet_node_named(const struct fleet *f, const char *name)
{
    const struct node *node = roster_named(f, name);

    return node != NULL ? fleet_node_find(f, node->id) : -1;
}

int fleet_volume_find(const struct fleet *f, const char *name)
{
    for (unsigned i = 0; i < f->n_bindings; i++) {
        if (strcmp(f->bindings[i]->name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

bool fleet_service_at(const struct fleet *f, unsigned stack, unsigned i,
                      struct fleet_service_view *ret)
{
    const struct service *s = service_of(f, stack, i);

    if (s == NULL) {
        return false;
    }
    *ret = (struct fleet_service_view){
        .stack = s->stack->name,
        .service = s->name,
        .want = s->want,
        .image_digest = s->pin,
        .n_slots = s->n_slots,
        .n_placements = s->n_placements,
    };
    return true;
}

bool fleet_slot_at(const struct fleet *f, unsigned stack, unsigned service, unsigned i,
                   struct fleet_slot_view *ret)
{
    const struct service *s = service_of(f, stack, service);

    if (s == NULL || i >= s->n_slots) {
        return false;
    }
    *ret = (struct fleet_slot_view){
        .number = s->slots[i].number,
        .wanted = s->want != NULL && s->slots[i].wanted,
        .state = slotstate_of(s, &s->slots[i]),
        .incarnation = s->slots[i].current != NULL ? s->slots[i].current->incarnation : 0,
    };
    return true;
}

static void count_placement(const struct placement *p, struct fleet_counts *ret)
{
    bool heard = p->node->state == FLEET_NODE_STATE_READY;

    ret->running += heard && p->seen.phase == FLEET_PHASE_RUNNING;
    ret->stopping += p->stop && !p->completed && !p->failed;
    ret->orphans += p->orphan;
    ret->restarts += p->seen.restarts;
    if (p->current && heard) {
        ret->ready += placements_ready(p);
        ret->healthy += placements_ready(p) && p->seen.health == FLEET_HEALTH_HEALTHY;
    }
    ret->outdated += p->current && placements_outdated(p);
}

void fleet_service_counts(const struct fleet *f, unsigned stack, unsigned service,
                          struct fleet_counts *ret)
{
    const struct service *s = service_of(f, stack, service);

    *ret = (struct fleet_counts){0};
    if (s == NULL) {
        return;
    }
    for (const struct placement *p = s->first; p != NULL; p = p->next) {
        count_placement(p, ret);
    }
    for (unsigned i = 0; i < s->n_slots; i++) {
        enum fleet_slot_state state = slotstate_of(s, &s->slots[i]);

        if (s->want == NULL || !s->slots[i].wanted) {
            continue;
        }
        ret->wanted++;
        ret->pending += state == FLEET_SLOT_HELD || state == FLEET_SLOT_PENDING;
        ret->unknown += state == FLEET_SLOT_UNKNOWN;
        ret->completed += state == FLEET_SLOT_COMPLETED;
        ret->failed += state == FLEET_SLOT_FAILED;
    }
}

unsigned fleet_nodes(const struct fleet *f)
{
    return f->n_nodes;
}

bool fleet_node_at(const struct fleet *f, unsigned i, struct fleet_node_view *ret)
{
    const struct node *n;

    if (i >= f->n_nodes) {
        return false;
    }
    n = f->nodes[i];
    *ret = (struct fleet_node_view){
        .id = n->id,
        .name = n->name,
        .block = n->block,
        .joined_unix_ms = n->joined_unix_ms,
        .state = n->state,
        .connected = n->connected,
        .settled = n->settled,
        .since_unix_ms = n->since_unix_ms,
        .has_facts = n->has_facts,
        .facts = n->facts,
        .reserved = n->reserved,
        .placements = n->n_placements,
        .assigned_sum = n->assigned_sum,
        .observed_sum = n->observed_sum,
        .removed_since = n->removed_since,
        .braked = n->braked,
    };
    return true;
}

unsigned fleet_volumes(const struct fleet *f)
{
    return f->n_bindings;
}

bool fleet_volume_at(const struct fleet *f, unsigned i, struct fleet_volume_view *ret)
{
    const struct binding *b;

    if (i >= f->n_bindings) {
        return false;
    }
    b = f->bindings[i];
    *ret = (struct fleet_volume_view){
        .name = b->name,
        .stack = b->stack,
        .node_id = b->node->id,
        .node_name = b->node->name,
        .made_unix_ms = b->made_unix_ms,
        .users = tables_users(b),
    };
    return true;
}

bool fleet_stack_network_at(const struct fleet *f, unsigned stack, unsigned i,
                            struct fleet_network *ret)
{
    if (stack >= f->n_stacks || !f->stacks[stack]->stored || i >= f->stacks[stack]->n_networks) {
        return false;
    }
    *ret = f->stacks[stack]->networks[i];
    return true;
}

static bool has_stack(const struct fleet *f)
{
    for (unsigned i = 0; i < f->n_stacks; i++) {
        if (f->stacks[i]->stored) {
            return true;
        }
    }
    return false;
}

bool fleet_heard_all(const struct fleet *f)
{
    bool empty = !has_stack(f);

    for (unsigned i = 0; i < f->n_nodes; i++) {
        const struct node *n = f->nodes[i];

        if ((empty && n->n_orphans > 0) ||
            (!n->told_all && n->state != FLEET_NODE_STATE_UNKNOWN &&
             n->state != FLEET_NODE_STATE_LOST)) {
            return false;
        }
    }
    return true;
}

static struct fleet_placement_view view_of(const struct placement *p)
{
    return (struct fleet_placement_view){
        .incarnation = p->incarnation,
        .stack = p->service->stack->name,
        .service = p->service->name,
        .slot = p->slot,
        .node_id = p->node->id,
        .node_name = p->node->name,
        .revision = p->revision,
        .stop = p->stop,
        .current = p->current,
        .completed = p->completed,
        .failed = p->failed,
        .orphan = p->orphan,
        .outdated = placements_outdated(p),
        .ready = placements_ready(p),
        .unknown = p->node->state != FLEET_NODE_STATE_READY,
        .created_unix_ms = p->created_unix_ms,
        .mod_revision = p->mod_revision,
        .image_digest = p->image_digest,
        .ask = &p->ask->a,
        .observed = &p->seen,
    };
}

bool fleet_placement_find(const struct fleet *f, uint64_t incarnation,
                          struct fleet_placement_view *ret)
{
    const struct placement *p = incmap_find(f, incarnation);

    if (p == NULL) {
        return false;
    }
    *ret = view_of(p);
    return true;
}

static int slot_order(const void *a, const void *b)
{
    const struct placement *x = *(struct placement *const *)a;
    const struct placement *y = *(struct placement *const *)b;

    if (x->slot != y->slot) {
        return x->slot < y->slot ? -1 : 1;
    }
    return (x->incarnation > y->incarnation) - (x->incarnation < y->incarnation);
}

/* By (slot, incarnation), those whose slot is in [low, high]. */
static void each_sorted(const struct service *s, uint32_t low, uint32_t high, bool orphans,
                        fleet_placement_cb cb, void *arg)
{
    const struct placement **list = xcalloc(s->n_placements + 1, sizeof(struct placement *));
    unsigned n = 0;

    for (const struct placement *p = s->first; p != NULL; p = p->next) {
        if (p->slot >= low && p->slot <= high && (orphans || !p->orphan)) {
            list[n++] = p;
        }
    }
    if (n > 1) {
        qsort(list, n, sizeof(struct placement *), slot_order);
    }
    for (unsigned i = 0; i < n; i++) {
        struct fleet_placement_view v = view_of(list[i]);

        cb(arg, &v);
    }
    free(list);
}

void fleet_service_each(const struct fleet *f, unsigned stack, unsigned service,
                        fleet_placement_cb cb, void *arg)
{
    const struct service *s = service_of(f, stack, service);

    if (s != NULL) {
        each_sorted(s, 0, UINT32_MAX, true, cb, arg);
    }
}

void fleet_block_each(const struct fleet *f, const char *stack, const char *service, uint32_t block,
                      fleet_placement_cb cb, void *arg)
{
    const struct stack *st = tables_stack(f, stack);
    const struct service *s = st != NULL ? tables_service(st, service) : NULL;

    if (s != NULL) {
        each_sorted(s, block * FLEET_BLOCK, block * FLEET_BLOCK + (FLEET_BLOCK - 1), false, cb,
                    arg);
    }
}

void fleet_node_each(const struct fleet *f, struct id128 node, uint64_t since_revision,
                     fleet_placement_cb cb, void *arg)
{
    const struct node *n = roster_find(f, node);
    const struct placement *p = n != NULL ? n->newest : NULL;

    while (p != NULL && p->older != NULL &&
           (since_revision == 0 || p->older->mod_revision > since_revision)) {
        p = p->older;
    }
    for (; p != NULL; p = p->newer) {
        if (since_revision == 0 || p->mod_revision > since_revision) {
            struct fleet_placement_view v = view_of(p);

            cb(arg, &v);
        }
    }
}

void fleet_node_removed(const struct fleet *f, struct id128 node, uint64_t since_revision,
                        void (*cb)(void *arg, uint64_t incarnation, uint64_t revision), void *arg)
{
    const struct node *n = roster_find(f, node);

    assert(n == NULL || since_revision >= n->removed_since);
    for (unsigned i = 0; n != NULL && i < n->n_removed; i++) {
        if (n->removed[i].revision > since_revision) {
            cb(arg, n->removed[i].incarnation, n->removed[i].revision);
        }
    }
}

uint64_t fleet_epoch(const struct fleet *f)
{
    return f->epoch;
}

uint64_t fleet_revision(const struct fleet *f)
{
    return f->revision;
}

uint64_t fleet_durable(const struct fleet *f)
{
    return f->durable;
}
