// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_UV_ENGINE_PRIV_H
#define WHERRY_AGENT_UV_ENGINE_PRIV_H

/* Shared by the parts of the container engine. */

#include <uv.h>

#include "agent/cell.h"
#include "agent/cgroups.h"
#include "agent/plan_sandbox.h"
#include "agent/shim/record.h"
#include "agent/shimhome.h"
#include "agent/uv_engine.h"
#include "agent/uv_shim.h"

#define UV_ENGINE_HOSTNAME_MAX 65

enum uv_engine_state {
    UV_ENGINE_PREPARED,
    UV_ENGINE_STARTING,
    UV_ENGINE_UP,
    UV_ENGINE_OVER /* it failed, or its end has been told */
};

struct uv_engine_run {
    struct uv_engine_run *next;
    struct uv_engine *engine;
    struct node_of of;
    struct uv_engine_events events;
    enum uv_engine_state state;
    struct order *order;       /* a reference; NULL: not known (adopted) */
    const struct image *image; /* borrowed until it is forgotten; NULL: likewise */
    char hostname[UV_ENGINE_HOSTNAME_MAX];
    uint32_t ids;
    uint32_t address;
    struct cell cell; /* until it is up */

    struct uv_shim shim; /* of a run that was started here */
    bool shim_used;
    uv_poll_t shim_poll; /* of one that was adopted: its shim's end */
    int shim_pidfd;
    bool shim_gone;

    uv_poll_t pid_poll; /* the container's first process */
    int pidfd;          /* -1: not up, or it has ended before we could look */
    uint32_t pid;
    bool pid_gone;
    uv_timer_t timer; /* from the end of the container to the end of its shim */

    unsigned open; /* handles not closed yet, the shim's counted as one */
    bool forgotten;
};

enum uv_engine_job_kind { UV_ENGINE_EXEC, UV_ENGINE_CLEAN };

/* A call of wherry-shim for somebody who waits for its end. */
struct uv_engine_job {
    struct uv_engine_job *next;
    struct uv_engine *engine;
    enum uv_engine_job_kind kind;
    struct node_of of;
    struct uv_shim shim;
    bool begun; /* `shim` is in use */
    bool told;
    bool cancelled;
    uint64_t timeout_ms;
    union {
        uv_engine_exec_cb exec;
        uv_engine_clean_cb clean;
    } cb;
    void *arg;
};

struct uv_engine {
    uv_loop_t *loop;
    struct uv_engine_config config;
    struct cgroups groups;
    struct shimhome home;
    struct plan_sandbox sandbox;
    int shims_fd; /* v2: the group that shims are born in; -1: they move themselves */
    struct uv_engine_run *runs;
    struct uv_engine_run *ending; /* forgotten, their shims still to be reaped */
    struct uv_engine_job *jobs; /* the oldest first */
    unsigned cleaning;          /* jobs of that kind that have begun and are not over */
    uv_timer_t timer;           /* holds the loop while closing */
    unsigned live;              /* runs, jobs and the timer */
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* One thing less that keeps the engine's memory. */
void uv_engine_release(struct uv_engine *engine);

/* What every call of wherry-shim begins with. */
struct shimspawn uv_engine_spawn(const struct uv_engine *engine, const char *mode);

/* Descriptor of a run's directory, or a negative errno. */
int uv_engine_run_dir(const struct uv_engine *engine, struct node_of of);

/* -ESRCH: the process that is to be adopted is not in the control group of its run. */
int uv_engine_check_group(const struct uv_engine_run *run, struct err *e);

/* Cancels the commands that run inside; their callbacks come. */
void uv_engine_exec_cancel(const struct uv_engine_run *run);

/* Forgets all runs, and reaps no more. */
void uv_engine_runs_close(struct uv_engine *engine);

/* Ends all jobs; their callbacks come. */
void uv_engine_jobs_close(struct uv_engine *engine);

#endif
