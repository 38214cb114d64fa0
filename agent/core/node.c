// SPDX-License-Identifier: Apache-2.0
#include "agent/core/node.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/node_priv.h"
#include "common/err.h"

#define CLEAN_AGAIN_MS     500
#define CLEAN_AGAIN_MAX_MS 30000

/* Index of the first container whose incarnation is not below. */
static unsigned lower_bound(const struct node *node, uint64_t incarnation)
{
    unsigned lo = 0, hi = node->n;

    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;

        if (node->list[mid]->want.incarnation < incarnation) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static struct node_container *find(const struct node *node, uint64_t incarnation)
{
    unsigned i = lower_bound(node, incarnation);

    if (i == node->n || node->list[i]->want.incarnation != incarnation) {
        return NULL;
    }
    return node->list[i];
}

static struct node_container *add(struct node *node, uint64_t incarnation)
{
    unsigned i = lower_bound(node, incarnation);
    struct node_container *c = xcalloc(1, sizeof(*c));

    assert(incarnation > 0);
    c->want.incarnation = incarnation;
    c->run = 1;
    c->phase = NODE_PHASE_WAITING;
    if (node->n == node->cap) {
        node->cap = node->cap > 0 ? 2 * node->cap : 16;
        node->list = xrealloc(node->list, node->cap, sizeof(struct node_container *));
    }
    memmove(&node->list[i + 1], &node->list[i], (node->n - i) * sizeof(struct node_container *));
    node->list[i] = c;
    node->n++;
    return c;
}

void node_forget(struct node *node, struct node_container *c)
{
    unsigned i = lower_bound(node, c->want.incarnation);

    assert(i < node->n && node->list[i] == c);
    due_remove(node, c);
    node->n--;
    memmove(&node->list[i], &node->list[i + 1], (node->n - i) * sizeof(struct node_container *));
    free(c);
}

/* ---- what is assigned ---- */

static void want_one(struct move_step *s, const struct node_want *want)
{
    struct node_container *c = find(s->node, want->incarnation);
    bool fresh = c == NULL;

    if (fresh) {
        c = add(s->node, want->incarnation);
    }
    s->c = c;
    c->want = *want;
    if (c->state != LIFECYCLE_LEAVING) {
        c->removed = false;
    }
    move_dispatch(s, want->stop ? LIFECYCLE_EVENT_WANT_STOP : LIFECYCLE_EVENT_WANT_RUN);
    if (fresh && s->node->looked) {
        move_dispatch(s, LIFECYCLE_EVENT_LOOKED);
    }
}

static void remove_one(struct move_step *s, struct node_container *c)
{
    if (c->removed) {
        return;
    }
    s->c = c;
    c->removed = true;
    move_dispatch(s, LIFECYCLE_EVENT_REMOVED);
}

static bool is_among(const struct node_want *wants, unsigned n, uint64_t incarnation)
{
    for (unsigned i = 0; i < n; i++) {
        if (wants[i].incarnation == incarnation) {
            return true;
        }
    }
    return false;
}

/* Whatever the whole set does not name. From the end, because removing shortens the list. */
static void remove_others(struct move_step *s, const struct node_want *wants, unsigned n)
{
    for (unsigned i = s->node->n; i-- > 0;) {
        if (!is_among(wants, n, s->node->list[i]->want.incarnation)) {
            remove_one(s, s->node->list[i]);
        }
    }
}

static void on_assign(struct move_step *s)
{
    const struct node_event *e = s->event;

    for (unsigned i = 0; i < e->u.assign.n_wants; i++) {
        want_one(s, &e->u.assign.wants[i]);
    }
    for (unsigned i = 0; i < e->u.assign.n_removed; i++) {
        struct node_container *c = find(s->node, e->u.assign.removed[i]);

        if (c != NULL) {
            remove_one(s, c);
        }
    }
    if (e->u.assign.whole) {
        remove_others(s, e->u.assign.wants, e->u.assign.n_wants);
    }
}

/* ---- what was there before ---- */

static void on_restore(struct move_step *s)
{
    const struct node_event *e = s->event;
    struct node_container *c = find(s->node, e->u.restore.incarnation);

    if (c == NULL || c->state != LIFECYCLE_NEW || e->u.restore.run == 0) {
        return;
    }
    c->run = e->u.restore.run;
    c->budget = (struct restart_budget){.attempts = e->u.restore.attempts,
                                        .next_ms = e->u.restore.next_ms,
                                        .done = e->u.restore.done};
    c->run_open = e->u.restore.next_ms == 0 && !e->u.restore.done;
    if (e->u.restore.reason != NULL) {
        reason_set(c, "%s", e->u.restore.reason);
    }
    if (e->u.restore.done) {
        c->exit.known = e->u.restore.exit_code >= 0;
        c->exit.code = c->exit.known ? e->u.restore.exit_code : 0;
        c->ended = true;
    }
}

static enum lifecycle_event found_as(const struct node_event *e)
{
    if (e->u.found.broken) {
        return LIFECYCLE_EVENT_FOUND_BROKEN;
    }
    return e->u.found.alive ? LIFECYCLE_EVENT_FOUND_ALIVE : LIFECYCLE_EVENT_FOUND_ENDED;
}

/* Nobody has ordered it (any more), or it is older than what is known: only to be removed. */
static void found_stray(struct move_step *s)
{
    struct node_container *c = s->c;

    move_clean(s, s->event->u.found.of.run);
    due_update(s->node, c);
}

static void on_found(struct move_step *s)
{
    const struct node_event *e = s->event;

    s->c = find(s->node, e->u.found.of.incarnation);
    if (s->c == NULL) {
        s->c = add(s->node, e->u.found.of.incarnation);
        s->c->state = LIFECYCLE_LEAVING;
        s->c->removed = true;
        s->c->run = e->u.found.of.run;
    }
    if (s->c->state != LIFECYCLE_NEW || e->u.found.of.run < s->c->run) {
        found_stray(s);
        return;
    }
    move_dispatch(s, found_as(e));
}

static void on_looked(struct move_step *s)
{
    s->node->looked = true;
    for (unsigned i = s->node->n; i-- > 0;) {
        s->c = s->node->list[i];
        move_dispatch(s, LIFECYCLE_EVENT_LOOKED);
    }
}

/* ---- what becomes of a run ---- */

/* Events of an earlier run, or of a container that is gone, mean nothing any more. */
static void on_run(struct move_step *s, const struct node_of *of, enum lifecycle_event event)
{
    s->c = find(s->node, of->incarnation);
    if (s->c != NULL && s->c->run == of->run) {
        move_dispatch(s, event);
    }
}

static void on_probed(struct move_step *s)
{
    const struct node_event *e = s->event;
    struct node_container *c = find(s->node, e->u.probed.of.incarnation);
    struct health *h;
    bool changed;

    if (c == NULL || c->run != e->u.probed.of.run || c->state != LIFECYCLE_RUNNING) {
        return;
    }
    s->c = c;
    h = &c->health_track;
    changed = health_answer(h, &c->traits.health, e->u.probed.ok, e->now_ms);
    c->health = h->state;
    if (h->state == HEALTH_UNHEALTHY) {
        move_dispatch(s, LIFECYCLE_EVENT_UNHEALTHY);
        return;
    }
    if (!e->u.probed.ok && h->failures > 0) {
        reason_set(c, "check failed (%u of %u): %s", h->failures, c->traits.health.retries,
                   e->u.probed.text);
        move_report(s);
    } else if (changed || (e->u.probed.ok && c->reason[0] != '\0')) {
        c->reason[0] = '\0';
        move_report(s);
    }
    due_update(s->node, c);
}

/* In any other state a new start is under way, or none is wanted. */
static void on_cut(struct move_step *s)
{
    const struct node_of *of = &s->event->u.failed.of;

    s->c = find(s->node, of->incarnation);
    if (s->c != NULL && s->c->run == of->run && s->c->state == LIFECYCLE_RUNNING) {
        move_dispatch(s, LIFECYCLE_EVENT_UNHEALTHY);
    }
}

static unsigned unclean_at(const struct node_container *c, uint32_t run)
{
    unsigned i = 0;

    while (i < c->n_unclean && c->unclean[i] != run) {
        i++;
    }
    return i;
}

static void on_cleaned(struct move_step *s)
{
    struct node_container *c = find(s->node, s->event->u.of.incarnation);
    unsigned i;
    uint32_t low;

    if (c == NULL || (i = unclean_at(c, s->event->u.of.run)) == c->n_unclean) {
        return;
    }
    low = (1u << i) - 1;
    c->unclean_failed = (c->unclean_failed & low) | ((c->unclean_failed >> 1) & ~low);
    c->n_unclean--;
    memmove(&c->unclean[i], &c->unclean[i + 1], (c->n_unclean - i) * sizeof(c->unclean[0]));
    if (c->unclean_failed == 0) {
        c->clean_due_ms = 0;
        c->clean_pause_ms = 0;
    }
    s->c = c;
    move_dispatch(s, LIFECYCLE_EVENT_CLEANED);
}

static void on_clean_failed(struct move_step *s)
{
    struct node_container *c = find(s->node, s->event->u.failed.of.incarnation);
    unsigned i;

    if (c == NULL || (i = unclean_at(c, s->event->u.failed.of.run)) == c->n_unclean) {
        return;
    }
    c->unclean_failed |= 1u << i;
    c->clean_pause_ms = c->clean_pause_ms > 0 ? 2 * c->clean_pause_ms : CLEAN_AGAIN_MS;
    if (c->clean_pause_ms > CLEAN_AGAIN_MAX_MS) {
        c->clean_pause_ms = CLEAN_AGAIN_MAX_MS;
    }
    c->clean_due_ms = s->event->now_ms + c->clean_pause_ms;
    due_update(s->node, c);
}

static void on_images(struct move_step *s)
{
    for (unsigned i = 0; i < s->node->n; i++) {
        s->c = s->node->list[i];
        move_dispatch(s, LIFECYCLE_EVENT_TOLD);
    }
}

static void on_event(struct move_step *s)
{
    const struct node_event *e = s->event;

    switch (e->type) {
    case NODE_ASSIGN:
        on_assign(s);
        return;
    case NODE_RESTORE:
        on_restore(s);
        return;
    case NODE_FOUND:
        on_found(s);
        return;
    case NODE_LOOKED:
        on_looked(s);
        return;
    case NODE_PREPARED:
        on_run(s, &e->u.prepared.of, LIFECYCLE_EVENT_PREPARED);
        return;
    case NODE_PREPARE_FAILED:
        on_run(s, &e->u.failed.of, LIFECYCLE_EVENT_PREPARE_FAILED);
        return;
    case NODE_STARTED:
        on_run(s, &e->u.started.of, LIFECYCLE_EVENT_STARTED);
        return;
    case NODE_START_FAILED:
        on_run(s, &e->u.failed.of, LIFECYCLE_EVENT_START_FAILED);
        return;
    case NODE_EXITED:
        on_run(s, &e->u.exited.of, LIFECYCLE_EVENT_EXITED);
        return;
    case NODE_SILENT:
        on_run(s, &e->u.failed.of, LIFECYCLE_EVENT_SILENT);
        return;
    case NODE_PROBED:
        on_probed(s);
        return;
    case NODE_CUT:
        on_cut(s);
        return;
    case NODE_CLEANED:
        on_cleaned(s);
        return;
    case NODE_CLEAN_FAILED:
        on_clean_failed(s);
        return;
    case NODE_IMAGES:
        on_images(s);
        return;
    case NODE_TICK:
        return;
    }
}

/* ---- what is due ---- */

static void clean_again(struct move_step *s)
{
    struct node_container *c = s->c;

    for (unsigned i = 0; i < c->n_unclean; i++) {
        if ((c->unclean_failed & (1u << i)) != 0) {
            uint32_t current = c->run;

            c->run = c->unclean[i];
            move_act(s, NODE_DO_CLEAN);
            c->run = current;
        }
    }
    c->unclean_failed = 0;
    c->clean_due_ms = 0;
}

static bool is_due(uint64_t due_ms, uint64_t now_ms)
{
    return due_ms > 0 && due_ms <= now_ms;
}

static void due_one(struct move_step *s)
{
    struct node_container *c = s->c;
    uint64_t now = s->event->now_ms;

    if (is_due(c->clean_due_ms, now)) {
        clean_again(s);
    }
    if (c->state == LIFECYCLE_RUNNING && is_due(c->health_track.due_ms, now)) {
        health_asked(&c->health_track);
        move_act(s, NODE_DO_PROBE);
    }
    if (is_due(c->due_ms, now)) {
        c->due_ms = 0;
        move_dispatch(s, LIFECYCLE_EVENT_DUE);
        return;
    }
    due_update(s->node, c);
}

static void run_due(struct move_step *s)
{
    for (unsigned i = 0; i < NODE_BUDGET && due_next(s->node) <= s->event->now_ms; i++) {
        s->c = due_top(s->node);
        due_one(s);
    }
}

/* ---- the outside ---- */

struct node *node_create(void)
{
    return xcalloc(1, sizeof(struct node));
}

void node_destroy(struct node *node)
{
    if (node == NULL) {
        return;
    }
    for (unsigned i = 0; i < node->n; i++) {
        free(node->list[i]);
    }
    free(node->list);
    free(node->heap);
    free(node);
}

void node_actions_finish(struct node_actions *actions)
{
    free(actions->list);
    *actions = (struct node_actions){0};
}

void node_step(struct node *node, const struct node_event *event, struct node_actions *ret)
{
    struct move_step s = {.node = node, .event = event, .ret = ret};

    assert(node != NULL);
    assert(event->now_ms > 0);
    on_event(&s);
    if (node->looked) {
        struct node_event tick = {
            .now_ms = event->now_ms, .unix_ms = event->unix_ms, .type = NODE_TICK};

        s.event = &tick;
        run_due(&s);
    }
}

uint64_t node_deadline(const struct node *node)
{
    return node->looked ? due_next(node) : UINT64_MAX;
}

const struct node_container *node_find(const struct node *node, uint64_t incarnation)
{
    return find(node, incarnation);
}

unsigned node_count(const struct node *node)
{
    return node->n;
}

const struct node_container *node_at(const struct node *node, unsigned i)
{
    assert(i < node->n);
    return node->list[i];
}

const char *node_action_name(enum node_action_type type)
{
    static const char names[][8] = {
        [NODE_DO_PREPARE] = "prepare", [NODE_DO_START] = "start",   [NODE_DO_SIGNAL] = "signal",
        [NODE_DO_KILL] = "kill",       [NODE_DO_PROBE] = "probe",   [NODE_DO_CLEAN] = "clean",
        [NODE_DO_SAVE] = "save",       [NODE_DO_REPORT] = "report", [NODE_DO_GONE] = "gone",
        [NODE_DO_ODD] = "odd",
    };

    return names[type];
}

const char *node_phase_name(enum node_phase phase)
{
    static const char names[][9] = {
        [NODE_PHASE_WAITING] = "waiting", [NODE_PHASE_STARTING] = "starting",
        [NODE_PHASE_RUNNING] = "running", [NODE_PHASE_STOPPING] = "stopping",
        [NODE_PHASE_EXITED] = "exited",   [NODE_PHASE_DONE] = "done",
        [NODE_PHASE_UNKNOWN] = "unknown",
    };

    return phase <= NODE_PHASE_UNKNOWN ? names[phase] : "?";
}
