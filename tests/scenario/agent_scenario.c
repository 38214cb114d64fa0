// SPDX-License-Identifier: Apache-2.0
/* Runs the agent's core through a transcript: lines that begin with '@' are events, lines that
 * begin with '>' what the core does. The whole text is made anew and compared with the file, so a
 * scenario is at once the test, its expectation and the documentation.
 *
 *   agent_scenario FILE…           compare; prints the first differing line
 *   agent_scenario --write FILE…   write what happens into the file
 *
 * Events: @MS assign ID [stop] [grace=MS] [drain=MS] [restart=any|failure|never] [delay=MS] [max=N]
 *         [window=MS] [memory=BYTES];  @MS remove ID;  @MS whole;  @MS restore ID run=N
 *         [attempts=N] [next=MS] [done];  @MS found ID run=N alive|broken|code=N [started=MS];
 *         @MS looked [boot];  @MS prepared ID [probe=INTERVAL] [retries=N] [period=MS];
 *         @MS unprepared ID [wait] [final];  @MS started ID [pid=N];  @MS unstarted ID;
 *         @MS exited ID code=N|signal=N|oom|unknown;  @MS silent ID;  @MS probed ID ok|bad;
 *         @MS cut ID;  @MS cleaned ID run=N;  @MS unclean ID run=N;  @MS images;  @MS tick */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/node.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "tests/lib/transcript.h"

#define UNIX_BASE 1700000000000ull

struct line {
    uint64_t now_ms;
    char verb[32];
    uint64_t id;
    const char *rest;
};

static uint64_t number(const char *rest, const char *key, uint64_t otherwise)
{
    char pattern[32];
    const char *at;

    (void)snprintf(pattern, sizeof(pattern), " %s=", key);
    at = strstr(rest, pattern);
    return at != NULL ? strtoull(at + strlen(pattern), NULL, 10) : otherwise;
}

static bool flag(const char *rest, const char *word)
{
    char pattern[32];
    const char *at;

    (void)snprintf(pattern, sizeof(pattern), " %s", word);
    at = strstr(rest, pattern);
    return at != NULL && (at[strlen(pattern)] == ' ' || at[strlen(pattern)] == '\0');
}

static struct node_traits traits_of(const char *rest)
{
    struct node_traits t = {.stop_signal = 15};

    t.health.enabled = number(rest, "probe", 0) > 0;
    t.health.interval_ms = number(rest, "probe", 0);
    t.health.retries = (uint32_t)number(rest, "retries", 3);
    t.health.start_period_ms = number(rest, "period", 0);
    t.health.start_interval_ms = number(rest, "pause", 0);
    health_rules_complete(&t.health);
    return t;
}

static struct node_exit exit_of(const char *rest)
{
    return (struct node_exit){
        .known = !flag(rest, "unknown"),
        .oom = flag(rest, "oom"),
        .code = (int32_t)number(rest, "code", 0),
        .signal = (int32_t)number(rest, "signal", flag(rest, "oom") ? 9 : 0),
    };
}

static struct node_want want_of(const struct line *l)
{
    return (struct node_want){
        .incarnation = l->id,
        .stop = flag(l->rest, "stop"),
        .stop_grace_ms = number(l->rest, "grace", 10000),
        .drain_ms = number(l->rest, "drain", 0),
        .memory_bytes = number(l->rest, "memory", 0),
        .restart = {.condition = flag(l->rest, "restart=failure") ? RESTART_ON_FAILURE
                                 : flag(l->rest, "restart=never") ? RESTART_NEVER
                                                                  : RESTART_ANY,
                    .delay_set = strstr(l->rest, " delay=") != NULL,
                    .delay_ms = number(l->rest, "delay", 0),
                    .max_attempts = (uint32_t)number(l->rest, "max", 0),
                    .window_ms = number(l->rest, "window", 0)},
    };
}

static uint32_t run_of(const struct node *node, const struct line *l)
{
    const struct node_container *c = node_find(node, l->id);

    return (uint32_t)number(l->rest, "run", c != NULL ? c->run : 1);
}

static void fill_found(const struct line *l, struct node_event *e)
{
    uint64_t started = number(l->rest, "started", 1);

    e->type = NODE_FOUND;
    e->u.found.alive = flag(l->rest, "alive");
    e->u.found.broken = flag(l->rest, "broken");
    e->u.found.pid = (uint32_t)number(l->rest, "pid", 100);
    e->u.found.started_ms = started;
    e->u.found.started_unix_ms = UNIX_BASE + started;
    e->u.found.ended_unix_ms = UNIX_BASE + number(l->rest, "ended", started);
    e->u.found.exit = exit_of(l->rest);
    e->u.found.traits = traits_of(l->rest);
    e->u.found.health = flag(l->rest, "healthy") ? HEALTH_HEALTHY : HEALTH_NONE;
}

static void fill_restore(const struct line *l, struct node_event *e)
{
    e->type = NODE_RESTORE;
    e->u.restore.incarnation = l->id;
    e->u.restore.run = (uint32_t)number(l->rest, "run", 1);
    e->u.restore.attempts = (uint32_t)number(l->rest, "attempts", 0);
    e->u.restore.next_ms = number(l->rest, "next", 0);
    e->u.restore.done = flag(l->rest, "done");
    e->u.restore.exit_code = (int32_t)number(l->rest, "code", 0);
    e->u.restore.reason = "as remembered";
}

static void fill_failed(const struct line *l, enum node_event_type type, const char *reason,
                        struct node_event *e)
{
    e->type = type;
    e->u.failed.wait = flag(l->rest, "wait");
    e->u.failed.final = flag(l->rest, "final");
    e->u.failed.reason = reason;
}

/* The part of an event that depends on the verb. `of` is the first member of most. */
static int fill(const struct line *l, struct node_of of, struct node_event *e)
{
    const char *v = l->verb;

    if (strcmp(v, "looked") == 0) {
        e->type = NODE_LOOKED;
        e->u.looked.boot_changed = flag(l->rest, "boot");
    } else if (strcmp(v, "found") == 0) {
        fill_found(l, e);
        e->u.found.of = of;
    } else if (strcmp(v, "restore") == 0) {
        fill_restore(l, e);
    } else if (strcmp(v, "prepared") == 0) {
        e->type = NODE_PREPARED;
        e->u.prepared.of = of;
        e->u.prepared.traits = traits_of(l->rest);
    } else if (strcmp(v, "unprepared") == 0) {
        fill_failed(l, NODE_PREPARE_FAILED, "image web:1 is not on this node", e);
        e->u.failed.of = of;
    } else if (strcmp(v, "started") == 0) {
        e->type = NODE_STARTED;
        e->u.started.of = of;
        e->u.started.pid = (uint32_t)number(l->rest, "pid", 100);
        e->u.started.started_ms = l->now_ms;
        e->u.started.started_unix_ms = UNIX_BASE + l->now_ms;
    } else if (strcmp(v, "unstarted") == 0) {
        fill_failed(l, NODE_START_FAILED, "rootfs: mount proc on /proc: Operation not permitted",
                    e);
        e->u.failed.of = of;
    } else if (strcmp(v, "exited") == 0) {
        e->type = NODE_EXITED;
        e->u.exited.of = of;
        e->u.exited.exit = exit_of(l->rest);
        e->u.exited.ended_unix_ms = UNIX_BASE + l->now_ms;
    } else if (strcmp(v, "silent") == 0) {
        fill_failed(l, NODE_SILENT, "its shim does not answer", e);
        e->u.failed.of = of;
    } else if (strcmp(v, "probed") == 0) {
        e->type = NODE_PROBED;
        e->u.probed.of = of;
        e->u.probed.ok = flag(l->rest, "ok");
        e->u.probed.text = "connection refused";
    } else if (strcmp(v, "cut") == 0) {
        fill_failed(l, NODE_CUT, "its network is gone", e);
        e->u.failed.of = of;
    } else if (strcmp(v, "cleaned") == 0) {
        e->type = NODE_CLEANED;
        e->u.of = of;
    } else if (strcmp(v, "unclean") == 0) {
        fill_failed(l, NODE_CLEAN_FAILED, "remove cgroup: Device or resource busy", e);
        e->u.failed.of = of;
    } else if (strcmp(v, "images") == 0) {
        e->type = NODE_IMAGES;
    } else if (strcmp(v, "tick") == 0) {
        e->type = NODE_TICK;
    } else {
        return -EINVAL;
    }
    return 0;
}

static void print_report(const struct node *node, const struct node_action *a, struct buf *out)
{
    static const char *const healths[] = {"", " starting", " healthy", " unhealthy"};
    const struct node_container *c = node_find(node, a->of.incarnation);

    buf_printf(out, "> %llu report run=%u", (unsigned long long)a->of.incarnation, a->of.run);
    if (c == NULL) {
        buf_puts(out, " (gone)\n");
        return;
    }
    buf_printf(out, " %s%s", node_phase_name(c->phase), healths[c->health]);
    if (c->pid > 0) {
        buf_printf(out, " pid=%u", (unsigned)c->pid);
    }
    if (c->ended) {
        buf_printf(out, " exit=%s%d/%d%s", c->exit.known ? "" : "?", (int)c->exit.code,
                   (int)c->exit.signal, c->exit.oom ? "/oom" : "");
    }
    if (c->reason[0] != '\0') {
        buf_printf(out, " \"%s\"", c->reason);
    }
    buf_putc(out, '\n');
}

static void print_actions(const struct node *node, const struct node_actions *actions,
                          struct buf *out)
{
    for (unsigned i = 0; i < actions->n; i++) {
        const struct node_action *a = &actions->list[i];

        if (a->type == NODE_DO_REPORT) {
            print_report(node, a, out);
            continue;
        }
        buf_printf(out, "> %llu %s run=%u", (unsigned long long)a->of.incarnation,
                   node_action_name(a->type), a->of.run);
        if (a->type == NODE_DO_SIGNAL) {
            buf_printf(out, " signal=%u", a->signal);
        }
        if (a->type == NODE_DO_ODD) {
            buf_printf(out, " %s in %s", lifecycle_event_name(a->event),
                       lifecycle_state_name(a->state));
        }
        buf_putc(out, '\n');
    }
}

static int step(struct node *node, const struct line *l, struct buf *out)
{
    struct node_event e = {.now_ms = l->now_ms, .unix_ms = UNIX_BASE + l->now_ms};
    struct node_of of = {l->id, run_of(node, l)};
    struct node_want want = want_of(l);
    struct node_actions actions = {0};
    uint64_t deadline;

    if (strcmp(l->verb, "assign") == 0) {
        e.type = NODE_ASSIGN;
        e.u.assign.wants = &want;
        e.u.assign.n_wants = 1;
    } else if (strcmp(l->verb, "remove") == 0) {
        e.type = NODE_ASSIGN;
        e.u.assign.removed = &l->id;
        e.u.assign.n_removed = 1;
    } else if (strcmp(l->verb, "whole") == 0) {
        e.type = NODE_ASSIGN;
        e.u.assign.wants = &want;
        e.u.assign.n_wants = l->id > 0;
        e.u.assign.whole = true;
    } else if (fill(l, of, &e) < 0) {
        return -EINVAL;
    }
    node_step(node, &e, &actions);
    print_actions(node, &actions, out);
    deadline = node_deadline(node);
    if (deadline != UINT64_MAX) {
        buf_printf(out, "> wait until %llu\n", (unsigned long long)deadline);
    }
    node_actions_finish(&actions);
    return 0;
}

static int parse(const char *text, struct line *ret)
{
    unsigned long long now, id = 0;
    int n = 0;

    *ret = (struct line){0};
    if (sscanf(text, "@%llu %31s%n", &now, ret->verb, &n) != 2) {
        return -EINVAL;
    }
    ret->rest = text + n;
    if (sscanf(ret->rest, " %llu", &id) == 1) {
        ret->id = id;
    }
    ret->now_ms = now;
    return 0;
}

static int play(char *script, struct buf *out)
{
    struct node *node = node_create();
    char *save = NULL;
    unsigned at = 0;
    int rc = 0;

    for (char *text = strtok_r(script, "\n", &save); text != NULL && rc == 0;
         text = strtok_r(NULL, "\n", &save)) {
        struct line l;

        at++;
        if (text[0] == '>') {
            continue;
        }
        buf_printf(out, "%s\n", text);
        if (text[0] != '@') {
            continue;
        }
        rc = parse(text, &l);
        if (rc == 0) {
            rc = step(node, &l, out);
        }
        if (rc < 0) {
            (void)fprintf(stderr, "line %u: what is this: %s\n", at, text);
        }
    }
    node_destroy(node);
    return rc;
}

int main(int argc, char **argv)
{
    return transcript_main(argc, argv, play);
}
