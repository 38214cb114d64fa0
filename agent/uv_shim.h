// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_UV_SHIM_H
#define WHERRY_AGENT_UV_SHIM_H

/* One call of wherry-shim as seen from the loop: it is started, answers once or is given up at a
 * deadline, and ends. Handles lie in the struct; its owner frees it in `closed`. No callback comes
 * from inside a call. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "agent/shim/plan.h"
#include "agent/shimspawn.h"
#include "common/buf.h"
#include "common/err.h"

#define UV_SHIM_OUTPUT_MAX 4096u /* more is read and dropped */

struct uv_shim;

struct uv_shim_events {
    /* Exactly once. `e->code` 0: `result` is what it said, of any kind but FAILED. Else it failed,
     * ended without a word, could not be started, or has not answered in time (-ETIMEDOUT; it may
     * still run). */
    void (*answered)(struct uv_shim *shim, const struct plan_result *result, const struct err *e);
    /* After `answered`: the process has ended, or never was. NULL: nobody asks. */
    void (*ended)(struct uv_shim *shim);
    void (*closed)(struct uv_shim *shim);
};

struct uv_shim {
    uv_timer_t timer;
    uv_poll_t status_poll;
    uv_poll_t pid_poll;
    uv_poll_t output_poll;
    const struct uv_shim_events *events;
    pid_t pid; /* 0: never started */
    int pidfd; /* -1: likewise */
    int status_fd;
    int output_fd;
    struct buf output;
    struct plan_result result;
    struct err error; /* that it could not be started */
    unsigned open;    /* handles not closed yet */
    bool answered;
    bool ended;
    bool closing;
};

/* Begins. `spawn` names the program, the mode and what it inherits besides the plan and the pipes;
 * `plan` is its plan, borrowed. Failures come by the callback. */
void uv_shim_start(struct uv_shim *shim, uv_loop_t *loop, struct shimspawn *spawn,
                   const struct buf *plan, bool output, uint64_t deadline_ms,
                   const struct uv_shim_events *events);

/* As if it had been started and ended: calls back with this error. */
void uv_shim_fail(struct uv_shim *shim, uv_loop_t *loop, const struct err *e,
                  const struct uv_shim_events *events);

/* SIGKILL, if it runs. */
void uv_shim_kill(const struct uv_shim *shim);

/* No more events but `closed`. What runs goes on. */
void uv_shim_close(struct uv_shim *shim);

#endif
