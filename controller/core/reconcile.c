// SPDX-License-Identifier: Apache-2.0
/* One service: its wanted slots against its placements. Level-triggered, so that running it twice
 * does nothing the second time. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "controller/core/filter.h"
#include "controller/core/fleet_priv.h"

/* ---- a service that is not wanted ---- */

/* What has ended for good, or was given up with its node by an operator, needs no confirmation. */
static bool confirmed(const struct placement *p)
{
    return (p->stop && placements_ended(p)) || p->completed || p->failed ||
           p->node->state == FLEET_NODE_STATE_LOST;
}

static void leave(struct fleet *f, struct service *s)
{
    struct placement *next;

    for (struct placement *p = s->first; p != NULL && f->budget > 0; p = next) {
        next = p->next;
        if (p->orphan && !p->stop) {
            continue;
        }
        placements_stop(f, p, "its service is removed");
        if (confirmed(p)) {
            emit_of(f, FLEET_HAPPENED_REMOVED, p, "removed from %s", p->node->name);
            placements_remove(f, p);
        }
    }
    if (s->first == NULL) {
        tables_service_remove(f, s);
    } else if (f->budget == 0) {
        tables_dirty(f, s);
    }
}

/* ---- which slots there shall be ---- */

static bool belongs_on(const struct service *s, const struct node *node, const struct slot *slot)
{
    const struct fleet_constraint *broken;

    if (node == NULL || node->state == FLEET_NODE_STATE_LOST) {
        return false;
    }
    if (!roster_usable(node)) {
        return slot != NULL && slot->current != NULL; /* stays until more is known */
    }
    return filter_constraints_hold(s->want, node, &broken);
}

static void shape_global(struct fleet *f, struct service *s)
{
    for (unsigned i = 0; i < f->n_nodes; i++) {
        uint32_t number = f->nodes[i]->block + 1;

        if (belongs_on(s, f->nodes[i], tables_slot(s, number))) {
            tables_slot_make(s, number)->wanted = true;
        }
    }
    for (unsigned i = 0; i < s->n_slots; i++) {
        struct slot *slot = &s->slots[i];
        struct node *node = place_global_node(f, slot);

        slot->wanted = belongs_on(s, node, slot);
        if (slot->current != NULL && slot->current->node != node) {
            struct placement *p = slot->current;

            placements_demote(f, p);
            placements_stop(f, p, "its service is global now");
        }
    }
}

static void shape_replicated(struct service *s)
{
    for (unsigned i = 0; i < s->n_slots; i++) {
        s->slots[i].wanted = s->slots[i].number >= 1 && s->slots[i].number <= s->want->replicas;
    }
    for (uint32_t number = 1; number <= s->want->replicas; number++) {
        tables_slot_make(s, number)->wanted = true;
    }
}

/* Highest first. */
static void stop_surplus(struct fleet *f, struct service *s)
{
    for (unsigned i = s->n_slots; i-- > 0 && f->budget > 0;) {
        struct placement *p = s->slots[i].current;

        if (s->slots[i].wanted || p == NULL) {
            continue;
        }
        if (p->completed || p->failed) {
            placements_remove(f, p);
        } else {
            placements_stop(f, p, "scaled down");
        }
    }
}

static void forget_slots(struct service *s)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->n_slots; i++) {
        if (s->slots[i].wanted || s->slots[i].current != NULL) {
            s->slots[n++] = s->slots[i];
        }
    }
    s->n_slots = n;
}

/* ---- what is gone ---- */

static void sweep(struct fleet *f, struct service *s)
{
    struct placement *next;

    for (struct placement *p = s->first; p != NULL && f->budget > 0; p = next) {
        next = p->next;
        if (p->stop && placements_ended(p) && (!p->current || (!p->completed && !p->failed))) {
            emit_of(f, FLEET_HAPPENED_REMOVED, p, "removed from %s", p->node->name);
            placements_remove(f, p);
        }
    }
}

static bool stays(const struct service *s, const struct placement *p)
{
    if (p->completed || p->failed || want_is_global(s->want)) {
        return true;
    }
    return p->ask->a.n_volumes > 0 || s->ask->a.n_volumes > 0 || p->node->braked;
}

static void evict(struct fleet *f, struct service *s)
{
    for (unsigned i = 0; i < s->n_slots && f->budget > 0; i++) {
        struct placement *p = s->slots[i].current;

        if (p == NULL || p->completed || p->failed) {
            continue;
        }
        if (p->node->state == FLEET_NODE_STATE_LOST) {
            placements_demote(f, p);
            placements_stop(f, p, NULL);
        } else if (p->node->state == FLEET_NODE_STATE_UNKNOWN && !stays(s, p)) {
            placements_demote(f, p);
        }
    }
}

/* ---- what is missing ---- */

static bool is_held(struct service *s)
{
    char text[FLEET_TEXT];

    if (!s->released) {
        s->released = depend_holds(s, text);
    }
    s->held = !s->released;
    words_set(&s->hold, s->held ? text : NULL);
    return s->held;
}

static bool any_missing(struct fleet *f, struct service *s)
{
    bool missing = false;

    for (unsigned i = 0; i < s->n_slots; i++) {
        struct slot *slot = &s->slots[i];

        if (slot->wanted && slot->current == NULL) {
            missing |= !rivals_adopt(f, s, slot);
        }
    }
    return missing;
}

static void say_pending(struct fleet *f, struct service *s, const char *before)
{
    if (s->pending != NULL && (before == NULL || strcmp(before, s->pending) != 0)) {
        emit_happened(f, FLEET_HAPPENED_PENDING, s->stack->name, s->name, 0, NULL, "%s",
                      s->pending);
    }
}

static void fill(struct fleet *f, struct service *s)
{
    char *before = s->pending;

    s->pending = NULL;
    if (any_missing(f, s) && !place_service(f, s)) {
        tables_wait(f, s);
    }
    roll_service(f, s);
    say_pending(f, s, before);
    free(before);
}

static void tell_dependents(struct fleet *f, struct service *s)
{
    unsigned status = depend_status(s);

    if (status != s->status) {
        s->status = status;
        tables_dependents_dirty(f, s);
    }
}

void reconcile_service(struct fleet *f, struct service *s)
{
    if (s->want == NULL) {
        leave(f, s);
        return;
    }
    if (want_is_global(s->want)) {
        shape_global(f, s);
    } else {
        shape_replicated(s);
    }
    sweep(f, s);
    evict(f, s);
    rivals_settle(f, s);
    stop_surplus(f, s);
    forget_slots(s);
    if (!is_held(s)) {
        fill(f, s);
    }
    if (f->budget == 0) {
        tables_dirty(f, s);
    }
    tell_dependents(f, s);
}
