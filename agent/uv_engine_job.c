// SPDX-License-Identifier: Apache-2.0
/* Commands inside a container, and the removal of what a run has left: each is a call of
 * wherry-shim with a deadline. A few removals at a time; the others wait their turn. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/uv_engine_priv.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

#define CLEAN_MS   5000u /* the shim's own deadline */
#define SLACK_MS   2000u /* beyond it, until the shim itself is given up */
#define CLEANS_MAX 6u
#define TEXT_MAX   200u /* of a command's output, in its verdict */

static void clean_next(struct uv_engine *en);

/* ---- telling ---- */

/* The last line of the output, as far as it can be shown. */
static void put_output(const struct buf *output, struct buf *ret)
{
    size_t end = output->len, from;

    while (end > 0 && strchr(" \r\n\t", output->data[end - 1]) != NULL) {
        end--;
    }
    from = end;
    while (from > 0 && output->data[from - 1] != '\n' && end - from < TEXT_MAX) {
        from--;
    }
    for (; from < end; from++) {
        char c = output->data[from];

        buf_putc(ret, c >= 0x20 && c < 0x7f ? c : '?');
    }
}

static int exec_verdict(const struct uv_engine_job *job, const struct plan_result *result,
                        struct buf *ret)
{
    if (result->timed_out != 0) {
        buf_printf(ret, "no end within %llu ms", (unsigned long long)job->timeout_ms);
        return -ETIMEDOUT;
    }
    if (result->code == 0 && result->signal == 0) {
        put_output(&job->shim.output, ret);
        return 0;
    }
    if (result->signal != 0) {
        buf_printf(ret, "killed by signal %d", result->signal);
    } else {
        buf_printf(ret, "exit code %d", result->code);
    }
    if (job->shim.output.len > 0) {
        buf_puts(ret, ": ");
        put_output(&job->shim.output, ret);
    }
    return -EPROTO;
}

static void tell_exec(struct uv_engine_job *job, const struct plan_result *result,
                      const struct err *e)
{
    auto_buf struct buf text = {0};
    int status = e->code;

    if (job->cancelled) {
        status = -ECANCELED;
        buf_puts(&text, "cancelled");
    } else if (status < 0) {
        buf_puts(&text, e->text);
    } else {
        status = exec_verdict(job, result, &text);
    }
    job->cb.exec(job->arg, status, buf_text(&text));
}

static void tell(struct uv_engine_job *job, const struct plan_result *result, const struct err *e)
{
    if (job->told) {
        return;
    }
    job->told = true;
    switch (job->kind) {
    case UV_ENGINE_EXEC:
        tell_exec(job, result, e);
        break;
    case UV_ENGINE_CLEAN:
        job->cb.clean(job->arg, e->code, e);
        break;
    }
}

/* ---- life of a job ---- */

static struct uv_engine_job *job_of(struct uv_shim *shim)
{
    return container_of(shim, struct uv_engine_job, shim);
}

static void on_answered(struct uv_shim *shim, const struct plan_result *result, const struct err *e)
{
    FAILPOINT("agent.job.after_answer");
    if (e->code == -ETIMEDOUT) {
        uv_shim_kill(shim);
    }
    tell(job_of(shim), result, e);
}

static void on_ended(struct uv_shim *shim)
{
    uv_shim_close(shim);
}

static void unlink_job(struct uv_engine_job *job)
{
    struct uv_engine_job **at = &job->engine->jobs;

    while (*at != job) {
        at = &(*at)->next;
    }
    *at = job->next;
}

static void on_closed(struct uv_shim *shim)
{
    static const struct err cancelled = {.code = -ECANCELED, .text = "cancelled"};
    struct uv_engine_job *job = job_of(shim);
    struct uv_engine *en = job->engine;

    tell(job, NULL, &cancelled);
    unlink_job(job);
    if (job->kind == UV_ENGINE_CLEAN) {
        en->cleaning--;
        clean_next(en);
    }
    free(job);
    uv_engine_release(en);
}

static const struct uv_shim_events job_events = {
    .answered = on_answered, .ended = on_ended, .closed = on_closed};

static struct uv_engine_job *create(struct uv_engine *en, enum uv_engine_job_kind kind,
                                    struct node_of of, void *arg)
{
    struct uv_engine_job *job = xcalloc(1, sizeof(*job));
    struct uv_engine_job **at = &en->jobs;

    assert(!en->closing);
    job->engine = en;
    job->kind = kind;
    job->of = of;
    job->arg = arg;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = job;
    en->live++;
    return job;
}

/* ---- exec ---- */

static int exec_plan(struct uv_engine_run *run, char *const *argv, unsigned argc,
                     uint64_t timeout_ms, struct buf *ret, struct err *e)
{
    struct plan_sandbox_run what = {.of = run->of,
                                    .order = run->order,
                                    .image = run->image,
                                    .hostname = run->hostname,
                                    .ids = run->ids,
                                    .address = run->address};

    if (run->state != UV_ENGINE_UP || run->pidfd < 0) {
        return err_say(e, ESRCH, "the container is not up");
    }
    if (run->order == NULL || run->image == NULL) {
        return err_say(e, ENOENT, "the image it was started from is not known any more");
    }
    return plan_sandbox_exec(&run->engine->sandbox, &what, argv, argc,
                             timeout_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)timeout_ms, ret, e);
}

void uv_engine_exec(struct uv_engine_run *run, char *const *argv, unsigned argc,
                    uint64_t timeout_ms, uv_engine_exec_cb cb, void *arg)
{
    struct uv_engine *en = run->engine;
    struct uv_engine_job *job = create(en, UV_ENGINE_EXEC, run->of, arg);
    struct shimspawn spawn = uv_engine_spawn(en, "exec");
    auto_buf struct buf plan = {0};
    struct err e = {0};

    job->cb.exec = cb;
    job->timeout_ms = timeout_ms;
    job->begun = true;
    if (exec_plan(run, argv, argc, timeout_ms, &plan, &e) < 0) {
        uv_shim_fail(&job->shim, en->loop, &e, &job_events);
        return;
    }
    shimspawn_give(&spawn, run->pidfd, PLAN_PIDFD);
    FAILPOINT("agent.exec.before_shim");
    uv_shim_start(&job->shim, en->loop, &spawn, &plan, true,
                  timeout_ms > 0 ? timeout_ms + SLACK_MS : UINT32_MAX, &job_events);
}

void uv_engine_exec_cancel(const struct uv_engine_run *run)
{
    for (struct uv_engine_job *job = run->engine->jobs; job != NULL; job = job->next) {
        if (job->kind == UV_ENGINE_EXEC && job->of.incarnation == run->of.incarnation &&
            job->of.run == run->of.run) {
            job->cancelled = true;
            uv_shim_kill(&job->shim); /* its end brings the callback */
        }
    }
}

/* ---- clean ---- */

static void clean_begin(struct uv_engine_job *job)
{
    struct uv_engine *en = job->engine;
    struct shimspawn spawn = uv_engine_spawn(en, "clean");
    auto_buf struct buf plan = {0};
    struct err e = {0};

    job->begun = true;
    en->cleaning++;
    if (plan_sandbox_clean(&en->sandbox, job->of, CLEAN_MS, &plan, &e) < 0) {
        uv_shim_fail(&job->shim, en->loop, &e, &job_events);
        return;
    }
    FAILPOINT("agent.clean.before_spawn");
    uv_shim_start(&job->shim, en->loop, &spawn, &plan, false, CLEAN_MS + SLACK_MS, &job_events);
}

static void clean_next(struct uv_engine *en)
{
    for (struct uv_engine_job *job = en->jobs; job != NULL && en->cleaning < CLEANS_MAX;
         job = job->next) {
        if (!job->begun && !en->closing) {
            clean_begin(job);
        }
    }
}

void uv_engine_clean(struct uv_engine *en, struct node_of of, uv_engine_clean_cb cb, void *arg)
{
    struct uv_engine_job *job = create(en, UV_ENGINE_CLEAN, of, arg);

    job->cb.clean = cb;
    clean_next(en);
}

/* ---- closing ---- */

/* A removal that has begun goes on without us; the next agent looks whether anything is left. What
 * has answered only has to end and be reaped. */
void uv_engine_jobs_close(struct uv_engine *en)
{
    static const struct err cancelled = {.code = -ECANCELED, .text = "cancelled"};

    for (struct uv_engine_job *job = en->jobs; job != NULL; job = job->next) {
        if (job->told) {
            uv_shim_kill(&job->shim);
            continue;
        }
        job->cancelled = true;
        if (!job->begun) {
            job->begun = true;
            en->cleaning++;
            uv_shim_fail(&job->shim, en->loop, &cancelled, &job_events);
        }
        if (job->kind == UV_ENGINE_EXEC) {
            uv_shim_kill(&job->shim);
        }
        uv_shim_close(&job->shim);
    }
}
