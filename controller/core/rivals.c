// SPDX-License-Identifier: Apache-2.0
/* More than one placement for a slot: what became unreachable, was replaced, and has come back;
 * and orphans, which may fill a slot that has none. */
#include <assert.h>
#include <string.h>

#include "controller/core/fleet_priv.h"

/* Who is kept, the most telling first: finished, up to date, ready, on a node that is heard of. */
static unsigned worth(const struct placement *p)
{
    return (p->completed ? 8u : 0) + (!placements_outdated(p) ? 4u : 0) +
           (placements_ready(p) ? 2u : 0) + (roster_usable(p->node) ? 1u : 0);
}

/* A total order: of equals, the older one is kept. */
static bool better(const struct placement *a, const struct placement *b)
{
    if (worth(a) != worth(b)) {
        return worth(a) > worth(b);
    }
    return a->incarnation < b->incarnation;
}

static void meet(struct fleet *f, struct slot *slot, struct placement *back)
{
    struct placement *loser = slot->current;

    if (loser != NULL && (loser->stop || better(back, loser)) && !loser->completed) {
        placements_demote(f, loser);
    }
    if (slot->current == NULL) {
        placements_promote(f, back, slot);
    } else {
        loser = back;
    }
    if (loser != NULL) {
        placements_stop(f, loser, "surplus: its slot has another container");
    }
}

void rivals_settle(struct fleet *f, struct service *s)
{
    struct placement *next;

    for (struct placement *p = s->first; p != NULL; p = next) {
        struct slot *slot = tables_slot(s, p->slot);

        next = p->next;
        if (p->current || p->stop || p->orphan) {
            continue;
        }
        if (slot == NULL || !slot->wanted || p->node->state == FLEET_NODE_STATE_LOST) {
            placements_stop(f, p, "not wanted any more");
        } else if (roster_usable(p->node)) {
            meet(f, slot, p);
        }
    }
}

bool rivals_adopt(struct fleet *f, struct service *s, struct slot *slot)
{
    for (struct placement *p = s->first; p != NULL; p = p->next) {
        if (!p->orphan || p->stop || p->slot != slot->number || !roster_usable(p->node) ||
            memcmp(p->revision, s->want->revision, FLEET_DIGEST) != 0) {
            continue;
        }
        p->orphan = false;
        p->node->n_orphans--;
        capacity_give(f, p);
        want_ask_drop(p->ask);
        p->ask = want_ask_ref(s->ask);
        capacity_take(f, p);
        placements_promote(f, p, slot);
        emit_of(f, FLEET_HAPPENED_ADOPTED, p, "adopted: it is what is wanted here");
        return true;
    }
    return false;
}
