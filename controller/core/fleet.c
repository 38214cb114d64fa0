// SPDX-License-Identifier: Apache-2.0
#include "controller/core/fleet.h"

#include <assert.h>
#include <stdlib.h>

#include "common/err.h"
#include "controller/core/fleet_priv.h"

struct fleet *fleet_create(void)
{
    struct fleet *f = xcalloc(1, sizeof(*f));

    f->look_ms = UINT64_MAX;
    f->blocks_max = UINT32_MAX;
    return f;
}

void fleet_destroy(struct fleet *f)
{
    if (f == NULL) {
        return;
    }
    roster_finish(f);
    tables_finish(f);
    emit_finish(f);
    free(f->ingress.list);
    free(f->hosted.list);
    free(f->vip_used);
    free(f->map);
    free(f);
}

static void gone(struct fleet *f, struct id128 node_id)
{
    struct node *node = roster_find(f, node_id);

    if (node != NULL) {
        node->connected = node->settled = node->reporting = false;
    }
}

static void heard(struct fleet *f, struct id128 node_id)
{
    struct node *node = roster_find(f, node_id);

    if (node != NULL && node->connected) {
        silence_heard(f, node);
    }
}

static void facts(struct fleet *f, const struct fleet_event *e)
{
    struct node *node = roster_find(f, e->u.facts.node_id);

    if (node != NULL && node->connected) {
        silence_heard(f, node);
        roster_facts(f, node, &e->u.facts.facts);
    }
}

static void dispatch(struct fleet *f, const struct fleet_event *e)
{
    assert(f->loaded);
    switch (e->type) {
    case FLEET_APPLY:
        apply_event(f, e);
        break;
    case FLEET_DELETE:
        apply_delete(f, e);
        break;
    case FLEET_NODE_HELLO:
        roster_hello(f, e);
        break;
    case FLEET_NODE_GONE:
        gone(f, e->u.node_id);
        break;
    case FLEET_HEARTBEAT:
        heard(f, e->u.node_id);
        break;
    case FLEET_FACTS:
        facts(f, e);
        break;
    case FLEET_OBSERVED:
        observe_event(f, e);
        break;
    case FLEET_ACK:
        heard(f, e->u.ack.node_id);
        break;
    case FLEET_NODE_LOST:
        roster_lost(f, e);
        break;
    case FLEET_VOLUME_FORGET:
        apply_forget(f, e);
        break;
    case FLEET_STALL:
        silence_stall(f, e->u.stall.gap_ms);
        break;
    case FLEET_PERSISTED:
        f->durable = e->u.revision > f->durable ? e->u.revision : f->durable;
        break;
    case FLEET_TICK:
    case FLEET_LOAD_CLUSTER:
    case FLEET_LOAD_NODE:
    case FLEET_LOAD_STACK:
    case FLEET_LOAD_PLACEMENT:
    case FLEET_LOAD_VOLUME:
    case FLEET_LOAD_VIP:
    case FLEET_LOAD_DONE:
        break;
    }
}

static void reconcile(struct fleet *f)
{
    struct service *s;

    while (f->budget > 0 && (s = tables_next_dirty(f)) != NULL) {
        f->budget--;
        reconcile_service(f, s);
    }
}

void fleet_step(struct fleet *f, const struct fleet_event *event, struct fleet_actions *ret)
{
    assert(event->now_ms >= f->now_ms);
    f->now_ms = event->now_ms;
    f->unix_ms = event->unix_ms;
    f->budget = FLEET_BUDGET;
    if (!reload_event(f, event)) {
        dispatch(f, event);
    }
    if (f->loaded) {
        silence_look(f);
        silence_brake(f);
        reconcile(f);
        emit_flush(f, ret); /* what loading had to say, too */
    }
}

uint64_t fleet_deadline(const struct fleet *f)
{
    return f->dirty_first != NULL ? f->now_ms : silence_deadline(f);
}
