// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/node_priv.h"
#include "common/err.h"

#define KILL_AGAIN_MS     5000
#define KILL_AGAIN_MAX_MS 60000

static void act(struct move_step *s, enum node_action_type type, uint32_t run)
{
    struct node_actions *ret = s->ret;
    struct node_action *a;

    if (ret->n == ret->cap) {
        ret->cap = ret->cap > 0 ? 2 * ret->cap : 32;
        ret->list = xrealloc(ret->list, ret->cap, sizeof(*ret->list));
    }
    a = &ret->list[ret->n++];
    *a = (struct node_action){.type = type, .of = {s->c->want.incarnation, run}};
}

void move_act(struct move_step *s, enum node_action_type type)
{
    act(s, type, s->c->run);
}

/* One more observation. Begins at the clock, so that it goes on growing after a restart of the
 * agent without being stored. */
void move_report(struct move_step *s)
{
    struct node_container *c = s->c;

    c->seq = c->seq + 1 > s->event->now_ms ? c->seq + 1 : s->event->now_ms;
    move_act(s, NODE_DO_REPORT);
}

void move_clean(struct move_step *s, uint32_t run)
{
    struct node_container *c = s->c;

    for (unsigned i = 0; i < c->n_unclean; i++) {
        if (c->unclean[i] == run) {
            return;
        }
    }
    if (c->n_unclean < NODE_UNCLEAN_MAX) {
        c->unclean[c->n_unclean++] = run;
    }
    act(s, NODE_DO_CLEAN, run);
}

static bool is_wished(const struct node_container *c)
{
    return !c->want.stop && !c->removed;
}

/* Nothing runs and nothing shall: forget it, or keep its record. */
static void rest(struct move_step *s)
{
    struct node_container *c = s->c;

    c->due_ms = 0;
    c->retry_unix_ms = 0;
    c->wait_event = false;
    if (c->removed) {
        c->state = LIFECYCLE_LEAVING;
        c->due_ms = s->event->now_ms;
        return;
    }
    c->state = LIFECYCLE_DONE;
    c->phase = NODE_PHASE_DONE;
    move_act(s, NODE_DO_SAVE);
    move_report(s);
}

static void wait_until(struct move_step *s, uint64_t due_ms)
{
    struct node_container *c = s->c;
    uint64_t now = s->event->now_ms;

    c->state = LIFECYCLE_WAITING;
    c->phase = NODE_PHASE_WAITING;
    c->due_ms = due_ms > now ? due_ms : now;
    c->retry_unix_ms = due_ms > now ? s->event->unix_ms + (due_ms - now) : 0;
}

static void wait_told(struct move_step *s)
{
    struct node_container *c = s->c;

    c->state = LIFECYCLE_WAITING;
    c->phase = NODE_PHASE_WAITING;
    c->due_ms = 0;
    c->retry_unix_ms = 0;
    c->wait_event = true;
    move_report(s);
}

static void prepare(struct move_step *s)
{
    struct node_container *c = s->c;

    c->due_ms = 0;
    c->retry_unix_ms = 0;
    c->wait_event = false;
    if (c->n_unclean == NODE_UNCLEAN_MAX) {
        reason_set(c, "waits until the remains of its earlier runs are removed");
        wait_told(s);
        return;
    }
    c->state = LIFECYCLE_PREPARING;
    move_act(s, NODE_DO_PREPARE);
}

static void say_retry(struct node_container *c, uint64_t now_ms)
{
    char pause[32];

    if (c->budget.next_ms <= now_ms) {
        return;
    }
    reason_duration(c->budget.next_ms - now_ms, pause, sizeof(pause));
    reason_add(c, "; next start in %s", pause);
}

/* The run is over, for the reason already said: what follows by the restart policy. */
static void follow(struct move_step *s, uint64_t ran_ms, bool failed)
{
    struct node_container *c = s->c;
    enum restart_verdict verdict;

    verdict =
        restart_decide(&c->want.restart, &c->budget, s->event->now_ms, ran_ms, failed, c->sick);
    c->sick = false;
    c->killed = false;
    if (verdict != RESTART_AGAIN) {
        if (verdict == RESTART_GIVE_UP) {
            reason_add(c, "; given up after %u attempts", (unsigned)c->want.restart.max_attempts);
        }
        rest(s);
        return;
    }
    c->run++;
    say_retry(c, s->event->now_ms);
    wait_until(s, c->budget.next_ms);
    move_act(s, NODE_DO_SAVE);
    move_report(s);
    if (c->due_ms <= s->event->now_ms && s->node->looked) {
        prepare(s);
    }
}

static void close_run(struct move_step *s)
{
    struct node_container *c = s->c;

    c->run_open = false;
    c->pid = 0;
    c->kills = 0;
    c->due_ms = 0;
    c->health = HEALTH_NONE;
    health_end(&c->health_track);
}

static void say_stopped(struct node_container *c)
{
    if (c->killed) {
        char grace[32];

        reason_duration(c->want.stop_grace_ms, grace, sizeof(grace));
        reason_set(c, "stopped: killed, as it did not end within %s", grace);
    } else {
        reason_set(c, "stopped");
    }
}

/* The end of a run that was up. */
static void end(struct move_step *s, const struct node_exit *how, uint64_t ran_ms,
                uint64_t ended_unix_ms)
{
    struct node_container *c = s->c;
    bool failed = c->sick || !how->known || how->oom || how->signal != 0 || how->code != 0;

    move_clean(s, c->run);
    close_run(s);
    c->exit = *how;
    c->ended = true;
    c->ended_unix_ms = ended_unix_ms;
    if (!is_wished(c)) {
        say_stopped(c);
        rest(s);
        return;
    }
    if (!c->sick) {
        reason_exit(c, ran_ms);
    }
    follow(s, ran_ms, failed);
}

/* The run that had begun has left no record: nobody knows how it ended. */
static void lose_run(struct move_step *s, bool boot_changed)
{
    struct node_container *c = s->c;

    close_run(s);
    c->exit = (struct node_exit){0};
    c->ended = true;
    c->ended_unix_ms = s->event->unix_ms;
    reason_set(c, "%s", boot_changed ? "the host has restarted" : "its record is gone");
}

static void do_look(struct move_step *s)
{
    struct node_container *c = s->c;
    bool boot_changed = s->event->type == NODE_LOOKED && s->event->u.looked.boot_changed;
    bool lost = c->run_open;

    if (lost) {
        lose_run(s, boot_changed);
    }
    if (c->budget.done || !is_wished(c)) {
        rest(s);
    } else if (lost) {
        follow(s, boot_changed ? UINT64_MAX : 0, true);
    } else {
        wait_until(s, boot_changed ? 0 : c->budget.next_ms);
        move_report(s);
    }
}

static void stop(struct move_step *s);

static void do_adopt(struct move_step *s)
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
    if (!is_wished(c)) {
        stop(s);
    }
}

static void do_mourn(struct move_step *s)
{
    struct node_container *c = s->c;
    const struct node_event *e = s->event;
    uint64_t ran_ms = 0;

    if (c->budget.done) {
        move_clean(s, e->u.found.of.run);
        rest(s);
        return;
    }
    c->run = e->u.found.of.run;
    c->traits = e->u.found.traits;
    c->started_unix_ms = e->u.found.started_unix_ms;
    if (e->u.found.ended_unix_ms > e->u.found.started_unix_ms) {
        ran_ms = e->u.found.ended_unix_ms - e->u.found.started_unix_ms;
    }
    end(s, &e->u.found.exit, ran_ms, e->u.found.ended_unix_ms);
}

/* It never came up, so another run begins, under another number: its remains have this one. */
static void do_sweep(struct move_step *s)
{
    struct node_container *c = s->c;
    uint32_t run = s->event->u.found.of.run;

    move_clean(s, run);
    if (run >= c->run) {
        c->run = run + 1;
        c->run_open = false;
    }
}

static void do_begin(struct move_step *s)
{
    if (!is_wished(s->c)) {
        rest(s);
        return;
    }
    prepare(s);
}

static void do_wake(struct move_step *s)
{
    if (s->c->wait_event) {
        s->c->wait_event = false;
        s->c->due_ms = s->event->now_ms;
    }
}

static void do_start(struct move_step *s)
{
    struct node_container *c = s->c;

    c->traits = s->event->u.prepared.traits;
    assert(c->traits.stop_signal > 0);
    if (!is_wished(c)) {
        move_clean(s, c->run);
        reason_set(c, "stopped before it was started");
        rest(s);
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

static void do_fail(struct move_step *s)
{
    struct node_container *c = s->c;
    const struct node_event *e = s->event;

    reason_set(c, "%s", e->u.failed.reason);
    if (c->state != LIFECYCLE_PREPARING) {
        move_clean(s, c->run);
    }
    close_run(s);
    if (!is_wished(c)) {
        rest(s);
    } else if (e->u.failed.wait) {
        wait_told(s);
    } else if (e->u.failed.final) {
        c->budget.done = true;
        rest(s);
    } else {
        follow(s, 0, true);
    }
}

static void do_run(struct move_step *s)
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
    if (!is_wished(c)) {
        stop(s);
    }
}

static void kill_all(struct move_step *s)
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

static void ask_to_end(struct move_step *s)
{
    struct node_container *c = s->c;

    c->state = LIFECYCLE_STOPPING;
    c->due_ms = s->event->now_ms + c->want.stop_grace_ms;
    move_act(s, NODE_DO_SIGNAL);
    s->ret->list[s->ret->n - 1].signal = c->traits.stop_signal;
}

/* That it stops is reported at once: from then on nobody is led to it. */
static void stop(struct move_step *s)
{
    struct node_container *c = s->c;

    health_end(&c->health_track);
    c->phase = NODE_PHASE_STOPPING;
    if (!c->sick) {
        reason_set(c, "is being stopped");
    }
    move_report(s);
    if (c->want.stop_grace_ms == 0) {
        kill_all(s);
        return;
    }
    if (c->want.drain_ms > 0 && !c->sick) {
        c->state = LIFECYCLE_DRAINING;
        c->due_ms = s->event->now_ms + c->want.drain_ms;
        return;
    }
    ask_to_end(s);
}

static void do_sick(struct move_step *s)
{
    s->c->sick = true;
    if (s->event->type == NODE_CUT) {
        reason_set(s->c, "%s", s->event->u.failed.reason);
    } else {
        reason_set(s->c, "unhealthy: %s", s->event->u.probed.text);
    }
    stop(s);
}

static void do_end(struct move_step *s)
{
    const struct node_event *e = s->event;
    uint64_t ran_ms = e->now_ms > s->c->started_ms ? e->now_ms - s->c->started_ms : 0;

    end(s, &e->u.exited.exit, ran_ms, e->u.exited.ended_unix_ms);
}

static void do_lose(struct move_step *s)
{
    struct node_container *c = s->c;

    c->state = LIFECYCLE_UNKNOWN;
    c->phase = NODE_PHASE_UNKNOWN;
    health_end(&c->health_track);
    reason_set(c, "%s", s->event->u.failed.reason);
    c->due_ms = is_wished(c) ? 0 : s->event->now_ms + KILL_AGAIN_MS;
    move_report(s);
}

static void do_vanish(struct move_step *s)
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

static void do_leave(struct move_step *s)
{
    if (s->c->run_open) {
        close_run(s); /* remembered only: what is left of it is found and removed */
    }
    rest(s);
}

static void do_revive(struct move_step *s)
{
    struct node_container *c = s->c;

    if (c->budget.done) {
        return;
    }
    c->run++;
    c->reason[0] = '\0';
    wait_until(s, 0);
    move_report(s);
}

static void do_odd(struct move_step *s, enum lifecycle_event event)
{
    struct node_action *a;

    move_act(s, NODE_DO_ODD);
    a = &s->ret->list[s->ret->n - 1];
    a->state = s->c->state;
    a->event = event;
}

static void do_move(struct move_step *s, enum lifecycle_event event)
{
    switch (lifecycle_move(s->c->state, event)) {
    case LIFECYCLE_MOVE_HOLE:
    case LIFECYCLE_MOVE_N:
        assert(!"a hole in the lifecycle table");
        return;
    case LIFECYCLE_MOVE_IGNORE:
    case LIFECYCLE_MOVE_LATER:
        return;
    case LIFECYCLE_MOVE_ODD:
        do_odd(s, event);
        return;
    case LIFECYCLE_MOVE_LOOK:
        do_look(s);
        return;
    case LIFECYCLE_MOVE_ADOPT:
        do_adopt(s);
        return;
    case LIFECYCLE_MOVE_MOURN:
        do_mourn(s);
        return;
    case LIFECYCLE_MOVE_SWEEP:
        do_sweep(s);
        return;
    case LIFECYCLE_MOVE_BEGIN:
        do_begin(s);
        return;
    case LIFECYCLE_MOVE_WAKE:
        do_wake(s);
        return;
    case LIFECYCLE_MOVE_START:
        do_start(s);
        return;
    case LIFECYCLE_MOVE_FAIL:
        do_fail(s);
        return;
    case LIFECYCLE_MOVE_RUN:
        do_run(s);
        return;
    case LIFECYCLE_MOVE_SIGNAL:
        ask_to_end(s);
        return;
    case LIFECYCLE_MOVE_STOP:
        stop(s);
        return;
    case LIFECYCLE_MOVE_REST:
        reason_set(s->c, "stopped before it was started");
        rest(s);
        return;
    case LIFECYCLE_MOVE_KILL:
        kill_all(s);
        return;
    case LIFECYCLE_MOVE_SICK:
        do_sick(s);
        return;
    case LIFECYCLE_MOVE_END:
        do_end(s);
        return;
    case LIFECYCLE_MOVE_LOSE:
        do_lose(s);
        return;
    case LIFECYCLE_MOVE_LEAVE:
        do_leave(s);
        return;
    case LIFECYCLE_MOVE_VANISH:
        do_vanish(s);
        return;
    case LIFECYCLE_MOVE_REVIVE:
        do_revive(s);
        return;
    }
}

/* What holds between two moves. */
static void check(const struct node_container *c)
{
    assert(c->run > 0);
    assert(c->state != LIFECYCLE_RUNNING || (c->run_open && c->phase == NODE_PHASE_RUNNING));
    assert(c->state != LIFECYCLE_DRAINING || (c->run_open && c->due_ms > 0));
    assert(c->state != LIFECYCLE_STOPPING || (c->run_open && c->due_ms > 0));
    assert(c->state != LIFECYCLE_KILLING || (c->run_open && c->due_ms > 0));
    assert(c->state != LIFECYCLE_WAITING || c->wait_event || c->due_ms > 0);
    assert(c->state != LIFECYCLE_WAITING || !c->run_open);
    assert(c->state != LIFECYCLE_PREPARING || !c->run_open);
    assert(c->state != LIFECYCLE_DONE || (!c->run_open && c->phase == NODE_PHASE_DONE));
    assert(c->state != LIFECYCLE_LEAVING || (c->removed && !c->run_open));
    assert(c->n_unclean <= NODE_UNCLEAN_MAX);
}

void move_dispatch(struct move_step *s, enum lifecycle_event event)
{
    assert(s->c != NULL);
    do_move(s, event);
    if (s->c != NULL) {
        check(s->c);
        due_update(s->node, s->c);
    }
}
