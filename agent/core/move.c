// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/move_priv.h"
#include "common/err.h"

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

bool move_is_wished(const struct node_container *c)
{
    return !c->want.stop && !c->removed;
}

/* Nothing runs and nothing shall: forget it, or keep its record. */
void move_rest(struct move_step *s)
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

void move_wait_until(struct move_step *s, uint64_t due_ms)
{
    struct node_container *c = s->c;
    uint64_t now = s->event->now_ms;

    c->state = LIFECYCLE_WAITING;
    c->phase = NODE_PHASE_WAITING;
    c->due_ms = due_ms > now ? due_ms : now;
    c->retry_unix_ms = due_ms > now ? s->event->unix_ms + (due_ms - now) : 0;
}

void move_wait_told(struct move_step *s)
{
    struct node_container *c = s->c;

    c->state = LIFECYCLE_WAITING;
    c->phase = NODE_PHASE_WAITING;
    c->due_ms = 0;
    c->retry_unix_ms = 0;
    c->wait_event = true;
    move_report(s);
}

void move_prepare(struct move_step *s)
{
    struct node_container *c = s->c;

    c->due_ms = 0;
    c->retry_unix_ms = 0;
    c->wait_event = false;
    if (c->n_unclean == NODE_UNCLEAN_MAX) {
        reason_set(c, "waits until the remains of its earlier runs are removed");
        move_wait_told(s);
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
void move_follow(struct move_step *s, uint64_t ran_ms, bool failed)
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
        move_rest(s);
        return;
    }
    c->run++;
    say_retry(c, s->event->now_ms);
    move_wait_until(s, c->budget.next_ms);
    move_act(s, NODE_DO_SAVE);
    move_report(s);
    if (c->due_ms <= s->event->now_ms && s->node->looked) {
        move_prepare(s);
    }
}

void move_close_run(struct move_step *s)
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
void move_end(struct move_step *s, const struct node_exit *how, uint64_t ran_ms,
              uint64_t ended_unix_ms)
{
    struct node_container *c = s->c;
    bool failed = c->sick || !how->known || how->oom || how->signal != 0 || how->code != 0;

    move_clean(s, c->run);
    move_close_run(s);
    c->exit = *how;
    c->ended = true;
    c->ended_unix_ms = ended_unix_ms;
    if (!move_is_wished(c)) {
        say_stopped(c);
        move_rest(s);
        return;
    }
    if (!c->sick) {
        reason_exit(c, ran_ms);
    }
    move_follow(s, ran_ms, failed);
}

/* ---- dispatch ---- */

static void do_nothing(struct move_step *s)
{
    (void)s;
}

static void do_odd(struct move_step *s)
{
    struct node_action *a;

    move_act(s, NODE_DO_ODD);
    a = &s->ret->list[s->ret->n - 1];
    a->state = s->c->state;
    a->event = s->cause;
}

static void do_rest(struct move_step *s)
{
    reason_set(s->c, "stopped before it was started");
    move_rest(s);
}

static move_do *const moves[LIFECYCLE_MOVE_N] = {
    [LIFECYCLE_MOVE_IGNORE] = do_nothing,
    [LIFECYCLE_MOVE_LATER] = do_nothing,
    [LIFECYCLE_MOVE_ODD] = do_odd,
    [LIFECYCLE_MOVE_LOOK] = move_start_look,
    [LIFECYCLE_MOVE_ADOPT] = move_start_adopt,
    [LIFECYCLE_MOVE_MOURN] = move_start_mourn,
    [LIFECYCLE_MOVE_SWEEP] = move_start_sweep,
    [LIFECYCLE_MOVE_BEGIN] = move_start_begin,
    [LIFECYCLE_MOVE_WAKE] = move_start_wake,
    [LIFECYCLE_MOVE_START] = move_start_launch,
    [LIFECYCLE_MOVE_FAIL] = move_start_fail,
    [LIFECYCLE_MOVE_RUN] = move_start_run,
    [LIFECYCLE_MOVE_SIGNAL] = move_stop_signal,
    [LIFECYCLE_MOVE_STOP] = move_stop_begin,
    [LIFECYCLE_MOVE_REST] = do_rest,
    [LIFECYCLE_MOVE_KILL] = move_stop_kill,
    [LIFECYCLE_MOVE_SICK] = move_stop_sick,
    [LIFECYCLE_MOVE_END] = move_stop_end,
    [LIFECYCLE_MOVE_LOSE] = move_stop_lose,
    [LIFECYCLE_MOVE_LEAVE] = move_stop_leave,
    [LIFECYCLE_MOVE_VANISH] = move_stop_vanish,
    [LIFECYCLE_MOVE_REVIVE] = move_stop_revive,
};

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
    move_do *move = moves[lifecycle_move(s->c->state, event)];

    assert(move != NULL && "a hole in the lifecycle table");
    s->cause = event;
    move(s);
    if (s->c != NULL) {
        check(s->c);
        due_update(s->node, s->c);
    }
}
