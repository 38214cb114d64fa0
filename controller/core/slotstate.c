// SPDX-License-Identifier: Apache-2.0
#include "controller/core/slotstate.h"

#include <assert.h>

static enum fleet_slot_state running(const struct placement *p)
{
    if (placements_ready(p)) {
        return FLEET_SLOT_RUNNING;
    }
    return p->seen.health == FLEET_HEALTH_UNHEALTHY ? FLEET_SLOT_UNHEALTHY : FLEET_SLOT_STARTING;
}

static enum fleet_slot_state observed(const struct placement *p)
{
    switch (p->seen.phase) {
    case FLEET_PHASE_NONE:
        return FLEET_SLOT_ASSIGNED;
    case FLEET_PHASE_WAITING:
    case FLEET_PHASE_EXITED:
        return FLEET_SLOT_WAITING;
    case FLEET_PHASE_STARTING:
        return FLEET_SLOT_STARTING;
    case FLEET_PHASE_RUNNING:
        return running(p);
    case FLEET_PHASE_STOPPING:
        return FLEET_SLOT_STOPPING;
    case FLEET_PHASE_DONE:
        return FLEET_SLOT_ENDED;
    case FLEET_PHASE_UNKNOWN:
        return FLEET_SLOT_UNKNOWN;
    }
    return FLEET_SLOT_UNKNOWN;
}

enum fleet_slot_state slotstate_of(const struct service *s, const struct slot *slot)
{
    const struct placement *p = slot->current;

    if (p == NULL) {
        return s->held ? FLEET_SLOT_HELD : FLEET_SLOT_PENDING;
    }
    if (p->completed || p->failed) {
        return p->completed ? FLEET_SLOT_COMPLETED : FLEET_SLOT_FAILED;
    }
    if (p->node->state != FLEET_NODE_STATE_READY) {
        return FLEET_SLOT_UNKNOWN;
    }
    return p->stop ? FLEET_SLOT_STOPPING : observed(p);
}
