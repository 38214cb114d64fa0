// SPDX-License-Identifier: Apache-2.0
#include "controller/cli/waiting.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/humane.h"
#include "controller/cli/interrupt.h"
#include "controller/cli/progress.h"
#include "controller/cli/reply.h"

#define SOON_MS   50 /* between two questions in the beginning, when much happens */
#define LATER_MS  200
#define EAGER_MS  5000
#define FAILS_MS  2000  /* so long a service must be failing: what it was before may still show */
#define ABSENT_MS 30000 /* so long a controller may be away */

/* ---- judging ---- */

static const json_t *stack_of(const struct waiting *w, const json_t *status)
{
    return reply_find(reply_list(status, "stacks"), "name", w->stack);
}

static const json_t *service_of(const json_t *stack, const char *name)
{
    return reply_find(reply_list(stack, "services"), "name", name);
}

static enum waiting_verdict judge_wanted(const json_t *service)
{
    if (reply_flag(service, "converged")) {
        return WAITING_IS_DONE;
    }
    return reply_flag(service, "failing") ? WAITING_FAILS : WAITING_GOES_ON;
}

static enum waiting_verdict judge(const struct waiting_goal *goal, const json_t *stack)
{
    const json_t *found = goal->name != NULL ? service_of(stack, goal->name) : stack;

    if (goal->what == WAITING_FOR_GONE) {
        return found == NULL ? WAITING_IS_DONE : WAITING_GOES_ON;
    }
    return found != NULL ? judge_wanted(found) : WAITING_FAILS; /* somebody has removed it */
}

enum waiting_verdict waiting_judge(const struct waiting *w, const json_t *status)
{
    const json_t *stack = stack_of(w, status);
    size_t done = 0;

    for (size_t i = 0; i < w->n_goals; i++) {
        enum waiting_verdict one = judge(&w->goals[i], stack);

        if (one == WAITING_FAILS) {
            return WAITING_FAILS;
        }
        done += one == WAITING_IS_DONE;
    }
    return done == w->n_goals ? WAITING_IS_DONE : WAITING_GOES_ON;
}

/* ---- what is shown ---- */

static bool is_job(const json_t *service)
{
    return strstr(reply_text(service, "mode"), "job") != NULL;
}

static uint64_t done_of(const json_t *service)
{
    return reply_number(service, is_job(service) ? "completed" : "ready");
}

static struct progress_row wanted_row(const char *name, const json_t *service)
{
    bool converged = reply_flag(service, "converged");

    return (struct progress_row){
        .name = name,
        .done = done_of(service),
        .wanted = reply_number(service, "wanted"),
        .style = reply_flag(service, "failing") ? TERM_BAD
                 : converged                    ? TERM_GOOD
                                                : TERM_WARN,
        .note = converged ? "" : reply_text(service, "why"),
    };
}

static struct progress_row gone_row(const char *name, const json_t *service)
{
    bool gone = service == NULL;

    return (struct progress_row){.name = name,
                                 .style = gone ? TERM_GOOD : TERM_WARN,
                                 .note = gone ? "gone" : reply_text(service, "why")};
}

/* One row for each goal; a goal for a whole stack has one for each service still there. */
static size_t make_rows(const struct waiting *w, const json_t *status,
                        struct progress_row **ret_rows)
{
    const json_t *stack = stack_of(w, status);
    const json_t *services = reply_list(stack, "services");
    size_t n = 0;

    *ret_rows = xcalloc(w->n_goals + json_array_size(services) + 1, sizeof(**ret_rows));
    for (size_t i = 0; i < w->n_goals; i++) {
        const struct waiting_goal *goal = &w->goals[i];

        for (size_t k = 0; goal->name == NULL && k < json_array_size(services); k++) {
            const json_t *service = json_array_get(services, k);

            (*ret_rows)[n++] = gone_row(reply_text(service, "name"), service);
        }
        if (goal->name != NULL && goal->what == WAITING_FOR_GONE) {
            (*ret_rows)[n++] = gone_row(goal->name, service_of(stack, goal->name));
        } else if (goal->name != NULL) {
            (*ret_rows)[n++] = wanted_row(goal->name, service_of(stack, goal->name));
        }
    }
    return n;
}

/* ---- how it ends ---- */

#define REST_MAX 5u /* services named */

/* "web 3/4 (…); store 0/1 (…)": what is not done. */
static void say_rest(const struct waiting *w, const json_t *status, struct buf *out)
{
    auto_free struct progress_row *rows = NULL;
    size_t n = make_rows(w, status, &rows);
    unsigned said = 0;

    for (size_t i = 0; i < n; i++) {
        const json_t *service = service_of(stack_of(w, status), rows[i].name);

        if (rows[i].style == TERM_GOOD || said++ >= REST_MAX) {
            continue;
        }
        buf_printf(out, "%s%s", out->len > 0 ? "; " : "", rows[i].name);
        if (rows[i].wanted > 0) {
            buf_printf(out, " %" PRIu64 "/%" PRIu64, rows[i].done, rows[i].wanted);
        }
        if (reply_text(service, "why")[0] != '\0') {
            buf_printf(out, " (%s)", reply_text(service, "why"));
        }
    }
    if (said > REST_MAX) {
        buf_printf(out, "; and %u more", said - REST_MAX);
    }
}

static int say_failed(const struct waiting *w, const json_t *status, struct err *e)
{
    const json_t *stack = stack_of(w, status);

    for (size_t i = 0; i < w->n_goals; i++) {
        const json_t *service = service_of(stack, w->goals[i].name);

        if (judge(&w->goals[i], stack) == WAITING_FAILS) {
            return err_say(e, EIO, "%s/%s fails: %s", w->stack, w->goals[i].name,
                           service != NULL ? reply_text(service, "why") : "it has been removed");
        }
    }
    return err_say(e, EIO, "%s fails", w->stack);
}

static int say_late(const struct waiting *w, const json_t *status, uint64_t took_ms, struct err *e)
{
    auto_buf struct buf rest = {0};
    char took[HUMANE_MAX];

    humane_took(took_ms, took);
    say_rest(w, status, &rest);
    return err_say(e, ETIMEDOUT, "%s is not there yet after %s: %s", w->stack, took,
                   rest.len > 0 ? buf_text(&rest) : "the controller does not answer");
}

static int say_interrupted(const struct waiting *w, struct err *e)
{
    return err_say(e, ECANCELED,
                   "no longer waiting; what was said to the controller stays: wherry status %s",
                   w->stack);
}

/* ---- the loop ---- */

struct watch {
    struct cli *cli;
    const struct waiting *w;
    struct progress progress;
    uint64_t began_ms, failing_ms, absent_ms; /* since when; the latter 0: it is not */
};

static void show(struct watch *watch, const json_t *status, bool last)
{
    auto_free struct progress_row *rows = NULL;
    size_t n = make_rows(watch->w, status, &rows);

    if (!watch->cli->options.quiet) {
        progress_show(&watch->progress, rows, n, humane_tick_ms(), last);
    }
}

/* Whether something has been so for `long_ms`. */
static bool lasts(uint64_t *since_ms, bool is_so, uint64_t now_ms, uint64_t long_ms)
{
    if (!is_so) {
        *since_ms = 0;
        return false;
    }
    *since_ms = *since_ms != 0 ? *since_ms : now_ms;
    return now_ms - *since_ms >= long_ms;
}

static bool is_transient(int rc)
{
    return rc == -ENOTCONN || rc == -EIO;
}

/* One look. Returns 1 to go on, 0 when it is done. */
static int look(struct watch *watch, struct err *e)
{
    const struct clioptions *o = &watch->cli->options;
    auto_reply struct client_reply reply = {0};
    auto_buf struct buf path = {0};
    enum waiting_verdict verdict;
    uint64_t now;
    int rc;

    buf_puts(&path, "/v1/status");
    client_query_add(&path, "stack", watch->w->stack);
    rc = client_get(watch->cli->client, buf_text(&path), &reply, e);
    now = humane_tick_ms();
    if (rc == -ECANCELED || interrupt_seen()) {
        return say_interrupted(watch->w, e);
    }
    if (lasts(&watch->absent_ms, is_transient(rc), now, ABSENT_MS) ||
        (rc < 0 && !is_transient(rc) && rc != -ENOENT)) {
        return rc;
    }
    verdict = is_transient(rc) ? WAITING_GOES_ON : waiting_judge(watch->w, reply.json);
    if (verdict == WAITING_IS_DONE || rc >= 0 || rc == -ENOENT) {
        show(watch, reply.json, verdict == WAITING_IS_DONE);
    }
    if (verdict == WAITING_IS_DONE) {
        return 0;
    }
    if (lasts(&watch->failing_ms, verdict == WAITING_FAILS, now, FAILS_MS)) {
        show(watch, reply.json, true);
        return say_failed(watch->w, reply.json, e);
    }
    return now - watch->began_ms >= o->timeout_ms
               ? say_late(watch->w, reply.json, now - watch->began_ms, e)
               : 1;
}

int waiting_run(struct cli *cli, const struct waiting *w, struct err *e)
{
    struct watch watch = {.cli = cli, .w = w, .began_ms = humane_tick_ms()};
    int rc;

    assert(w->n_goals > 0);
    interrupt_catch();
    progress_init(&watch.progress, &cli->err);
    while ((rc = look(&watch, e)) > 0) {
        interrupt_sleep(humane_tick_ms() - watch.began_ms < EAGER_MS ? SOON_MS : LATER_MS);
    }
    progress_finish(&watch.progress);
    return rc;
}
