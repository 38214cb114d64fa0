// SPDX-License-Identifier: Apache-2.0
/* A changed service: one slot after the other is stopped and replaced, each ready before the next.
 * A new one that finds no node or does not become ready stops the update there. */
#include <assert.h>
#include <stddef.h>

#include "controller/core/fleet_priv.h"

static bool away(const struct placement *p)
{
    return p->node->state == FLEET_NODE_STATE_UNKNOWN || p->node->state == FLEET_NODE_STATE_LOST;
}

static bool over(const struct placement *p)
{
    return p->completed || p->failed;
}

const struct slot *roll_busy(const struct service *s)
{
    for (unsigned i = 0; i < s->n_slots; i++) {
        const struct slot *slot = &s->slots[i];
        const struct placement *p = slot->current;

        if (!slot->wanted || (p != NULL && (over(p) || away(p)))) {
            continue;
        }
        if (p == NULL || p->stop || (!placements_outdated(p) && !placements_ready(p))) {
            return slot;
        }
    }
    return NULL;
}

/* Rather one that does not work anyway. */
static struct slot *next_outdated(const struct service *s)
{
    struct slot *ready = NULL;

    for (unsigned i = 0; i < s->n_slots; i++) {
        struct placement *p = s->slots[i].current;

        if (!s->slots[i].wanted || p == NULL || over(p) || p->stop || !placements_outdated(p) ||
            !roster_usable(p->node)) {
            continue;
        }
        if (!placements_ready(p)) {
            return &s->slots[i];
        }
        if (ready == NULL) {
            ready = &s->slots[i];
        }
    }
    return ready;
}

/* What is over needs no care: it makes room for the new one. */
static void drop_over(struct fleet *f, struct service *s)
{
    for (unsigned i = 0; i < s->n_slots && f->budget > 0; i++) {
        struct placement *p = s->slots[i].current;

        if (p != NULL && over(p) && (placements_outdated(p) || !want_is_job(s->want))) {
            placements_remove(f, p);
        }
    }
}

void roll_service(struct fleet *f, struct service *s)
{
    struct slot *slot;
    char text[FLEET_TEXT];

    assert(s->want != NULL);
    drop_over(f, s);
    slot = next_outdated(s);
    if (slot == NULL || roll_busy(s) != NULL) {
        return;
    }
    if (!place_could_replace(f, slot->current, text)) {
        words_set(&s->pending, text);
        tables_wait(f, s);
        return;
    }
    placements_stop(f, slot->current, "replaced by its new revision");
}
