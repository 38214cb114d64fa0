// SPDX-License-Identifier: Apache-2.0
/* A run that begins, or that is found. */
#include <assert.h>

#include "agent/core/move_priv.h"

/* The run that had begun has left no record: nobody knows how it ended. */
static void lose_run(struct move_step *s, bool boot_changed)
{
    struct node_container *c = s->c;

    move_close_run(s);
    c->exit = (struct node_exit){0};
    c->ended = true;
    c->ended_unix_ms = s->event->unix_ms;
    reason_set(c, "%s", boot_changed ? "the host has restarted" : "its record is gone");
}

void move_start_look(struct move_step *s)
{
    struct node_container *c = s->c;
    bool boot_changed = s->event->type == NODE_LOOKED && s->event->u.looked.boot_changed;
    bool lost = c->run_open;

    if (lost) {
        lose_run(s, boot_changed);
    }
    if (c->budget.done || !move_is_wished(c)) {
        move_rest(s);
    } else if (lost) {
        move_follow(s, boot_changed ? UINT64_MAX : 0, true);
    } else {
        move_wait_until(s, boot_changed ? 0 : c->budget.next_ms);
        move_report(s);
    }
}

void move_start_adopt(struct move_step *s)
{
    struct node_container *c = s->c;
    const struct node_event *e = s->event;

    c->run = e->u.found.of.run;
    c->run_open = true;
    c->budget.done = false;
    c->traits = e->u.found.traits;
    c->pid = e->u.found.pid;
    c->started_ms = e->u.found.started_ms;
    c->started_unix_ms = e->u.found.started_unix_ms;
    c->state = LIFECYCLE_RUNNING;
    c->phase = NODE_PHASE_RUNNING;
    c->reason[0] = '\0';
    health_resume(&c->health_track, &c->traits.health, c->started_ms, e->now_ms, e->u.found.health);
    c->health = c->health_track.state;
    move_report(s);
    if (!move_is_wished(c)) {
        move_stop_begin(s);
    }
}

void move_start_mourn(struct move_step *s)
{
    struct node_container *c = s->c;
    const struct node_event *e = s->event;
    uint64_t ran_ms = 0;

    if (c->budget.done) {
        move_clean(s, e->u.found.of.run);
        move_rest(s);
        return;
    }
    c->run = e->u.found.of.run;
    c->traits = e->u.found.traits;
    c->started_unix_ms = e->u.found.started_unix_ms;
    if (e->u.found.ended_unix_ms > e->u.found.started_unix_ms) {
        ran_ms = e->u.found.ended_unix_ms - e->u.found.started_unix_ms;
    }
    move_end(s, &e->u.found.exit, ran_ms, e->u.found.ended_unix_ms);
}

/* It never came up, so another run begins, under another number: its remains have this one. */
void move_start_sweep(struct move_step *s)
{
    struct node_container *c = s->c;
    uint32_t run = s->event->u.found.of.run;

    move_clean(s, run);
    if (run >= c->run) {
        c->run = run + 1;
        c->run_open = false;
    }
}

void move_start_begin(struct move_step *s)
{
    if (!move_is_wished(s->c)) {
        move_rest(s);
        return;
    }
    move_prepare(s);
}

void move_start_wake(struct move_step *s)
{
    if (s->c->wait_event) {
        s->c->wait_event = false;
        s->c->due_ms = s->event->now_ms;
    }
}

void move_start_launch(struct move_step *s)
{
    struct node_container *c = s->c;

    c->traits = s->event->u.prepared.traits;
    assert(c->traits.stop_signal > 0);
    if (!move_is_wished(c)) {
        move_clean(s, c->run);
        reason_set(c, "stopped before it was started");
        move_rest(s);
        return;
    }
    c->state = LIFECYCLE_STARTING;
    c->phase = NODE_PHASE_STARTING;
    c->run_open = true;
    c->budget.next_ms = 0;
    c->started_ms = s->event->now_ms;
    c->started_unix_ms = s->event->unix_ms;
    move_act(s, NODE_DO_SAVE);
    move_act(s, NODE_DO_START);
    move_report(s);
}

void move_start_fail(struct move_step *s)
{
    struct node_container *c = s->c;
    const struct node_event *e = s->event;

    reason_set(c, "%s", e->u.failed.reason);
    if (c->state != LIFECYCLE_PREPARING) {
        move_clean(s, c->run);
    }
    move_close_run(s);
    if (!move_is_wished(c)) {
        move_rest(s);
    } else if (e->u.failed.wait) {
        move_wait_told(s);
    } else if (e->u.failed.final) {
        c->budget.done = true;
        move_rest(s);
    } else {
        move_follow(s, 0, true);
    }
}

void move_start_run(struct move_step *s)
{
    struct node_container *c = s->c;
    const struct node_event *e = s->event;

    c->pid = e->u.started.pid;
    c->started_ms = e->u.started.started_ms;
    c->started_unix_ms = e->u.started.started_unix_ms;
    c->state = LIFECYCLE_RUNNING;
    c->phase = NODE_PHASE_RUNNING;
    c->reason[0] = '\0';
    c->due_ms = 0;
    health_begin(&c->health_track, &c->traits.health, c->started_ms, e->now_ms);
    c->health = c->health_track.state;
    move_report(s);
    if (!move_is_wished(c)) {
        move_stop_begin(s);
    }
}
