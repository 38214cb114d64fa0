// SPDX-License-Identifier: Apache-2.0
/* A run that shall end, has ended, or of which nothing is known. */
#include <stddef.h>

#include "agent/core/move_priv.h"

#define KILL_AGAIN_MS     5000
#define KILL_AGAIN_MAX_MS 60000

void move_stop_kill(struct move_step *s)
{
    struct node_container *c = s->c;
    uint64_t pause = KILL_AGAIN_MS;

    for (unsigned i = 0; i < c->kills && pause < KILL_AGAIN_MAX_MS; i++) {
        pause *= 2;
    }
    if (c->kills < 64) {
        c->kills++;
    }
    if (c->kills == 2) {
        reason_add(c, "%sdoes not end though it was killed", c->reason[0] != '\0' ? "; " : "");
        move_report(s);
    }
    c->killed = true;
    c->due_ms = s->event->now_ms + (pause < KILL_AGAIN_MAX_MS ? pause : KILL_AGAIN_MAX_MS);
    if (c->state != LIFECYCLE_UNKNOWN) {
        c->state = LIFECYCLE_KILLING;
    }
    move_act(s, NODE_DO_KILL);
}

void move_stop_signal(struct move_step *s)
{
    struct node_container *c = s->c;

    c->state = LIFECYCLE_STOPPING;
    c->due_ms = s->event->now_ms + c->want.stop_grace_ms;
    move_act(s, NODE_DO_SIGNAL);
    s->ret->list[s->ret->n - 1].signal = c->traits.stop_signal;
}

/* That it stops is reported at once: from then on nobody is led to it. */
void move_stop_begin(struct move_step *s)
{
    struct node_container *c = s->c;

    health_end(&c->health_track);
    c->phase = NODE_PHASE_STOPPING;
    if (!c->sick) {
        reason_set(c, "is being stopped");
    }
    move_report(s);
    if (c->want.stop_grace_ms == 0) {
        move_stop_kill(s);
        return;
    }
    if (c->want.drain_ms > 0 && !c->sick) {
        c->state = LIFECYCLE_DRAINING;
        c->due_ms = s->event->now_ms + c->want.drain_ms;
        return;
    }
    move_stop_signal(s);
}

void move_stop_sick(struct move_step *s)
{
    s->c->sick = true;
    if (s->event->type == NODE_CUT) {
        reason_set(s->c, "%s", s->event->u.failed.reason);
    } else {
        reason_set(s->c, "unhealthy: %s", s->event->u.probed.text);
    }
    move_stop_begin(s);
}

void move_stop_end(struct move_step *s)
{
    const struct node_event *e = s->event;
    uint64_t ran_ms = e->now_ms > s->c->started_ms ? e->now_ms - s->c->started_ms : 0;

    move_end(s, &e->u.exited.exit, ran_ms, e->u.exited.ended_unix_ms);
}

void move_stop_lose(struct move_step *s)
{
    struct node_container *c = s->c;

    c->state = LIFECYCLE_UNKNOWN;
    c->phase = NODE_PHASE_UNKNOWN;
    health_end(&c->health_track);
    reason_set(c, "%s", s->event->u.failed.reason);
    c->due_ms = move_is_wished(c) ? 0 : s->event->now_ms + KILL_AGAIN_MS;
    move_report(s);
}

void move_stop_vanish(struct move_step *s)
{
    struct node_container *c = s->c;

    c->due_ms = 0;
    if (c->n_unclean > 0 || !s->node->looked) {
        return;
    }
    move_act(s, NODE_DO_GONE);
    node_forget(s->node, c);
    s->c = NULL;
}

void move_stop_leave(struct move_step *s)
{
    if (s->c->run_open) {
        move_close_run(s); /* remembered only: what is left of it is found and removed */
    }
    move_rest(s);
}

void move_stop_revive(struct move_step *s)
{
    struct node_container *c = s->c;

    if (c->budget.done) {
        return;
    }
    c->run++;
    c->reason[0] = '\0';
    move_wait_until(s, 0);
    move_report(s);
}
