// SPDX-License-Identifier: Apache-2.0
/* `depends_on`: a service's first start waits until what it depends on holds in the whole cluster.
 */
#include <assert.h>
#include <stdio.h>

#include "controller/core/fleet_priv.h"

static bool slot_holds(const struct slot *slot, enum fleet_condition condition)
{
    const struct placement *p = slot->current;

    if (p == NULL) {
        return false;
    }
    switch (condition) {
    case FLEET_DEPEND_STARTED:
        return p->completed || (p->seen.phase == FLEET_PHASE_RUNNING && !p->stop);
    case FLEET_DEPEND_HEALTHY:
        return placements_ready(p);
    case FLEET_DEPEND_COMPLETED:
        return p->completed;
    }
    return false;
}

static bool has_failed(const struct service *s)
{
    for (unsigned i = 0; i < s->n_slots; i++) {
        if (s->slots[i].current != NULL && s->slots[i].current->failed) {
            return true;
        }
    }
    return false;
}

/* A service without slots holds back nobody, but a global one gets its slots when nodes come. */
static bool holds(const struct service *s, enum fleet_condition condition)
{
    for (unsigned i = 0; i < s->n_slots; i++) {
        if (s->slots[i].wanted && !slot_holds(&s->slots[i], condition)) {
            return false;
        }
    }
    return s->n_slots > 0 || (!want_is_global(s->want) && s->want->replicas == 0);
}

unsigned depend_status(const struct service *s)
{
    unsigned status = has_failed(s) ? 8 : 0;

    status |= holds(s, FLEET_DEPEND_STARTED) ? 1 : 0;
    status |= holds(s, FLEET_DEPEND_HEALTHY) ? 2 : 0;
    return status | (holds(s, FLEET_DEPEND_COMPLETED) ? 4 : 0);
}

static const char *const aims[] = {
    [FLEET_DEPEND_STARTED] = "be running",
    [FLEET_DEPEND_HEALTHY] = "be healthy",
    [FLEET_DEPEND_COMPLETED] = "complete",
};

bool depend_holds(const struct service *s, char ret_text[FLEET_TEXT])
{
    for (unsigned i = 0; i < s->want->n_depends; i++) {
        const struct fleet_dependency *d = &s->want->depends[i];
        const struct service *on = tables_service(s->stack, d->service);
        bool there = on != NULL && on->want != NULL;
        bool failed = there && has_failed(on);

        if ((there && holds(on, d->condition)) || (!d->required && (!there || failed))) {
            continue;
        }
        (void)snprintf(ret_text, FLEET_TEXT, "waits for service %s to %s%s", d->service,
                       aims[d->condition],
                       !there   ? "; it is not in the stack"
                       : failed ? "; it has failed"
                                : "");
        return false;
    }
    return true;
}
