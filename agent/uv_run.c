// SPDX-License-Identifier: Apache-2.0
/* The life of one `wherry-agent run`: the container is added (or found again), its output is
 * copied, and when it is done and all of its output is out, it is removed and the agent closed.
 * Output is written only when it can be taken, so that a slow reader never holds the loop. */
#include "agent/uv_run.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "agent/logs.h"
#include "agent/uv_agent.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/log.h"

#define OUTPUT_MS 20        /* how often output is looked for */
#define COPY_NS   10000000u /* the longest time for it at once */
#define PIECE_MAX 4096      /* a pipe that can be written takes this much without waiting */

static const int stop_signals[] = {SIGTERM, SIGINT};

enum step {
    STEP_RUNNING,  /* or about to */
    STEP_DRAINING, /* it is done; the rest of its output */
    STEP_REMOVING, /* until nothing is left */
    STEP_CLOSING
};

struct run {
    const struct uv_run_options *options;
    uv_loop_t loop;
    uv_signal_t signals[ARRAY_LEN(stop_signals)];
    uv_timer_t timer;
    struct uv_agent *agent;
    uint64_t incarnation;
    struct logs_reader *logs;
    struct buf out[2]; /* for standard output and standard error */
    bool broken[2];    /* nobody reads it any more */
    enum step step;
    bool stopping;
    int code;
    char said[NODE_REASON_MAX];
    enum health_state health; /* as last said */
};

static void say(const char *text)
{
    (void)fprintf(stderr, "wherry-agent: %s\n", text);
}

/* ---- the end ---- */

static void on_agent_closed(void *arg)
{
    struct run *r = arg;

    r->agent = NULL;
}

static void close_all(struct run *r)
{
    if (r->step == STEP_CLOSING) {
        return;
    }
    r->step = STEP_CLOSING;
    for (unsigned i = 0; i < ARRAY_LEN(stop_signals); i++) {
        uv_close((uv_handle_t *)&r->signals[i], NULL);
    }
    uv_close((uv_handle_t *)&r->timer, NULL);
    if (r->agent != NULL) {
        uv_agent_close(r->agent, on_agent_closed, r);
    }
}

static void fail(struct run *r, const char *text)
{
    say(text);
    r->code = UV_RUN_FAILED;
    close_all(r);
}

/* ---- output ---- */

static bool take_line(void *arg, const struct logs_line *line)
{
    struct run *r = arg;
    struct buf *to = &r->out[line->is_stderr ? 1 : 0];

    buf_append(to, line->text, line->len);
    if (!line->partial) {
        buf_putc(to, '\n');
    }
    return true;
}

static bool can_write(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    return poll(&p, 1, 0) == 1;
}

/* Writes what is taken at once. */
static void flush_one(struct run *r, unsigned i)
{
    int fd = i == 0 ? STDOUT_FILENO : STDERR_FILENO;
    struct buf *b = &r->out[i];

    while (b->len > 0 && !r->broken[i] && can_write(fd)) {
        ssize_t n = write(fd, b->data, b->len < PIECE_MAX ? b->len : PIECE_MAX);

        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            r->broken[i] = true;
        }
        if (n <= 0) {
            break;
        }
        buf_consume(b, (size_t)n);
    }
    if (r->broken[i]) {
        buf_clear(b);
    }
}

static bool is_flushed(struct run *r)
{
    flush_one(r, 0);
    flush_one(r, 1);
    return r->out[0].len == 0 && r->out[1].len == 0;
}

/* Copies what there is, for a limited time and as far as it is taken. Returns whether that was
 * all. */
static bool copy_output(struct run *r)
{
    uint64_t end = uv_hrtime() + COPY_NS;
    struct err e = {0};
    int rc = 1;

    while (is_flushed(r) && r->logs != NULL && rc > 0 && uv_hrtime() < end) {
        rc = logs_read(r->logs, LOGS_BLOCK, take_line, r, &e);
    }
    if (rc < 0) {
        say(e.text);
        logs_close(r->logs);
        r->logs = NULL;
    }
    return (r->logs == NULL || rc == 0) && is_flushed(r);
}

static void follow_output(struct run *r)
{
    const struct uv_run_options *o = r->options;
    struct logs_options options = {.tail_all = !o->attach || o->tail_all, .tail = o->tail};
    auto_free char *path = uv_agent_log_path(r->agent, r->incarnation);
    struct err e = {0};

    if (path != NULL && logs_open(path, &options, &r->logs, &e) < 0) {
        say(e.text);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct run *r = container_of(timer, struct run, timer);
    struct err e = {0};
    bool all = copy_output(r);

    if (r->step != STEP_DRAINING || !all) {
        return;
    }
    r->step = STEP_REMOVING;
    if (uv_agent_remove(r->agent, r->incarnation, &e) < 0) {
        fail(r, e.text);
    }
}

/* ---- what becomes of it ---- */

static int exit_code(const struct node_container *c)
{
    if (!c->ended || !c->exit.known) {
        return UV_RUN_FAILED;
    }
    return c->exit.signal > 0 ? 128 + c->exit.signal : c->exit.code;
}

/* Worth a sentence: whatever its exit code does not say. */
static bool is_worth_saying(const struct run *r, const struct node_container *c)
{
    if (!c->ended || !c->exit.known || c->exit.oom) {
        return true;
    }
    return c->exit.signal > 0 && (!r->stopping || c->exit.signal == SIGKILL);
}

static void say_reason(struct run *r, const struct node_container *c)
{
    if (c->reason[0] != '\0' && strcmp(r->said, c->reason) != 0) {
        memcpy(r->said, c->reason, sizeof(r->said));
        say(c->reason);
    }
}

/* It waits for something that nobody is going to bring while we stand here. */
static bool is_hopeless(const struct node_container *c)
{
    return c->phase == NODE_PHASE_WAITING && !c->ended && c->retry_unix_ms == 0 &&
           c->reason[0] != '\0';
}

static void drain(struct run *r, const struct node_container *c)
{
    r->step = STEP_DRAINING;
    r->code = exit_code(c);
    if (is_worth_saying(r, c)) {
        say_reason(r, c);
    }
}

static void say_health(struct run *r, const struct node_container *c)
{
    if (c->health == r->health) {
        return;
    }
    r->health = c->health;
    if (c->health == HEALTH_HEALTHY) {
        say("healthy");
    } else if (c->health == HEALTH_UNHEALTHY) {
        say_reason(r, c);
    }
}

static void leave_running(struct run *r)
{
    (void)printf("%s\n", uv_agent_name(r->agent, r->incarnation));
    (void)fflush(stdout);
    close_all(r);
}

static void on_report(void *arg, uint64_t incarnation, const struct node_container *c)
{
    struct run *r = arg;

    if (incarnation != r->incarnation || r->step == STEP_CLOSING) {
        return;
    }
    if (c == NULL) {
        close_all(r);
    } else if (r->step != STEP_RUNNING) {
        return;
    } else if (c->phase == NODE_PHASE_DONE || is_hopeless(c)) {
        drain(r, c);
    } else if (c->phase == NODE_PHASE_RUNNING && r->options->detach) {
        leave_running(r);
    } else if (c->phase == NODE_PHASE_RUNNING) {
        say_health(r, c);
    } else if (c->phase == NODE_PHASE_WAITING || c->phase == NODE_PHASE_UNKNOWN) {
        say_reason(r, c); /* it ended, and is started again */
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct run *r = container_of(handle->loop, struct run, loop);
    struct err e = {0};

    (void)number;
    if (r->stopping) {
        say("left as it is; go on with it by: wherry-agent run --attach");
        r->code = UV_RUN_FAILED;
        close_all(r);
        return;
    }
    r->stopping = true;
    if (r->step == STEP_RUNNING && uv_agent_stop(r->agent, r->incarnation, &e) < 0) {
        fail(r, e.text);
    }
}

/* ---- the beginning ---- */

static void list_others(const struct run *r, struct buf *ret)
{
    uint64_t incarnation;

    for (unsigned i = 0; (incarnation = uv_agent_assigned(r->agent, i)) != 0; i++) {
        if (incarnation != r->incarnation) {
            buf_printf(ret, "%s%s", ret->len > 0 ? ", " : "", uv_agent_name(r->agent, incarnation));
        }
    }
}

static int find(struct run *r, struct err *e)
{
    const char *name = r->options->name;
    auto_buf struct buf others = {0};
    unsigned matches = 0;
    uint64_t incarnation, match = 0;

    for (unsigned i = 0; (incarnation = uv_agent_assigned(r->agent, i)) != 0; i++) {
        if (name == NULL || strcmp(name, uv_agent_name(r->agent, incarnation)) == 0) {
            match = incarnation;
            matches++;
        }
    }
    if (matches == 1) {
        r->incarnation = match;
        return 0;
    }
    list_others(r, &others);
    if (others.len == 0) {
        return err_say(e, ENOENT, "no container of an earlier run is here");
    }
    return err_say(e, ENOENT, "%s; here are: %s",
                   name != NULL ? "there is none of this name" : "which one? --name NAME",
                   buf_text(&others));
}

static int begin(struct run *r, struct err *e)
{
    const struct uv_run_options *o = r->options;
    const struct options *n = o->node;
    auto_buf struct buf others = {0};
    struct uv_agent_options agent = {.state_path = n->state_path,
                                     .run_path = n->run_path,
                                     .cgroup_parent = n->cgroup,
                                     .bin_path = n->bin_path,
                                     .id_base = n->id_base,
                                     .id_count = n->id_count,
                                     .on_report = on_report,
                                     .arg = r};

    if (uv_agent_create(&r->loop, &agent, &r->agent, e) < 0) {
        return e->code;
    }
    if (o->attach) {
        return find(r, e);
    }
    list_others(r, &others);
    if (others.len > 0) {
        (void)fprintf(stderr, "wherry-agent: still here from earlier runs: %s\n",
                      buf_text(&others));
    }
    return uv_agent_add(r->agent, o->name, o->container, o->container_len, &r->incarnation, e);
}

static void watch(struct run *r)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)uv_timer_init(&r->loop, &r->timer);
    for (unsigned i = 0; i < ARRAY_LEN(stop_signals); i++) {
        (void)uv_signal_init(&r->loop, &r->signals[i]);
        (void)uv_signal_start(&r->signals[i], on_signal, stop_signals[i]);
    }
}

static void finish(struct run *r)
{
    logs_close(r->logs);
    buf_finish(&r->out[0]);
    buf_finish(&r->out[1]);
    if (uv_loop_close(&r->loop) < 0) {
        die("the agent left handles open");
    }
}

int uv_run_container(const struct uv_run_options *options)
{
    struct run r = {.options = options};
    struct err e = {0};
    int rc = uv_loop_init(&r.loop);

    if (rc < 0) {
        (void)fprintf(stderr, "wherry-agent: start an event loop: %s\n", uv_strerror(rc));
        return UV_RUN_FAILED;
    }
    watch(&r);
    if (begin(&r, &e) < 0) {
        fail(&r, e.text);
    } else if (!options->detach) {
        follow_output(&r);
        (void)uv_timer_start(&r.timer, on_timer, 0, OUTPUT_MS);
    } else {
        (void)uv_timer_start(&r.timer, on_timer, OUTPUT_MS, OUTPUT_MS);
    }
    (void)uv_run(&r.loop, UV_RUN_DEFAULT);
    finish(&r);
    return r.code;
}
