// SPDX-License-Identifier: Apache-2.0
/* Events on their way to the core, and the one place where they are fed to it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/uv_agent_priv.h"
#include "common/log.h"

#define TURN_NS 5000000u /* so long one turn feeds, and then finishes what it has begun */

static uint64_t clock_ms(clockid_t id)
{
    struct timespec t;

    (void)clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t uv_agent_now_ms(void)
{
    return clock_ms(CLOCK_BOOTTIME);
}

uint64_t uv_agent_unix_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* active while events wait: it keeps the poll from sleeping */
}

static struct queued *push(struct uv_agent *a, const struct node_event *event)
{
    struct queued *q = xcalloc(1, sizeof(*q));

    q->event = *event;
    *a->queue_end = q;
    a->queue_end = &q->next;
    if (!a->closing) {
        (void)uv_idle_start(&a->idle, on_idle);
    }
    return q;
}

void uv_agent_queue(struct uv_agent *a, const struct node_event *event)
{
    (void)push(a, event);
}

void uv_agent_queue_failed(struct uv_agent *a, enum node_event_type type, struct node_of of,
                           bool wait, bool final, const char *reason)
{
    struct node_event event = {.type = type};
    struct queued *q;

    event.u.failed.of = of;
    event.u.failed.wait = wait;
    event.u.failed.final = final;
    q = push(a, &event);
    q->text = xstrdup(reason);
    q->event.u.failed.reason = q->text;
}

void uv_agent_queue_probed(struct uv_agent *a, struct node_of of, bool ok, const char *text)
{
    struct node_event event = {.type = NODE_PROBED};
    struct queued *q;

    event.u.probed.of = of;
    event.u.probed.ok = ok;
    q = push(a, &event);
    q->text = xstrdup(text != NULL ? text : "");
    q->event.u.probed.text = q->text;
}

void uv_agent_queue_assign(struct uv_agent *a, struct node_want *wants, unsigned n_wants,
                           uint64_t *removed, unsigned n_removed, bool whole)
{
    struct node_event event = {.type = NODE_ASSIGN};
    struct queued *q;

    event.u.assign.wants = wants;
    event.u.assign.n_wants = n_wants;
    event.u.assign.removed = removed;
    event.u.assign.n_removed = n_removed;
    event.u.assign.whole = whole;
    q = push(a, &event);
    q->wants = wants;
    q->removed = removed;
}

void uv_agent_queue_restore(struct uv_agent *a, const struct ledger_placement *p)
{
    struct node_event event = {.type = NODE_RESTORE};
    struct queued *q;

    event.u.restore.incarnation = p->incarnation;
    event.u.restore.run = p->run;
    event.u.restore.attempts = p->attempts;
    event.u.restore.next_ms = p->next_ms;
    event.u.restore.done = p->done;
    event.u.restore.exit_code = p->exit_code;
    q = push(a, &event);
    q->text = xstrdup(p->reason);
    q->event.u.restore.reason = q->text;
}

static void queued_free(struct queued *q)
{
    free(q->text);
    free(q->wants);
    free(q->removed);
    free(q);
}

void uv_agent_queue_drop(struct uv_agent *a)
{
    while (a->queue != NULL) {
        struct queued *q = a->queue;

        a->queue = q->next;
        queued_free(q);
    }
    a->queue_end = &a->queue;
}

static void feed(struct uv_agent *a, struct node_event *event)
{
    struct node_actions actions = {0};

    if (event->type == NODE_LOOKED) {
        uv_agent_net_looked(a);
    }
    event->now_ms = uv_agent_now_ms();
    event->unix_ms = uv_agent_unix_ms();
    node_step(a->node, event, &actions);
    for (unsigned i = 0; i < actions.n; i++) {
        uv_agent_act(a, &actions.list[i]);
    }
    node_actions_finish(&actions);
}

/* What there was no time for comes first in the next turn. `end` is where the list ends. */
static void put_back(struct uv_agent *a, struct queued *list, struct queued **end)
{
    *end = a->queue;
    a->queue_end = a->queue == NULL ? end : a->queue_end;
    a->queue = list;
    if (!a->closing) {
        (void)uv_idle_start(&a->idle, on_idle);
    }
}

/* Only what was waiting at the beginning: what the actions queue comes in the next turn. A hundred
 * starts take longer than anybody else of this loop should wait: heartbeats, checks, exits. */
void uv_agent_queue_drain(struct uv_agent *a)
{
    struct queued *list = a->queue;
    struct queued **end = a->queue_end;
    struct node_event tick = {.type = NODE_TICK};
    uint64_t until_ns = uv_hrtime() + TURN_NS;

    a->queue = NULL;
    a->queue_end = &a->queue;
    (void)uv_idle_stop(&a->idle);
    for (bool late = false; list != NULL && !late; late = uv_hrtime() >= until_ns) {
        struct queued *q = list;

        list = q->next;
        feed(a, &q->event);
        queued_free(q);
    }
    if (list != NULL) {
        put_back(a, list, end);
    }
    if (node_deadline(a->node) <= uv_agent_now_ms()) {
        feed(a, &tick);
    }
}
