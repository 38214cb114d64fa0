// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_SHIM_SHIM_H
#define WHERRY_AGENT_SHIM_SHIM_H

/* The program's three ways of being called (plan.h), and what they share. */

#include <signal.h>
#include <stdint.h>
#include <time.h>

#include "agent/shim/step.h"

/* Each returns the exit status, after having sent its one result. */
int shim_run(struct step_state *s);
int shim_exec(struct step_state *s);
int shim_clean(const struct plan *plan);

/* Sends the result and closes the status pipe. An agent that is gone is no error. */
void shim_tell(const struct plan_result *result);
void shim_fail(const struct err *e);

static inline uint64_t shim_clock_ms(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Until `deadline_ms` of CLOCK_BOOTTIME, for poll(); 0 is no deadline. */
int shim_poll_ms(uint64_t deadline_ms);

/* ---- what is in a cgroup (shim_group.c) ---- */

/* Kills all that is in it and below, once. Returns how many were seen, or a negative errno;
 * -ENOENT: there is no such group. */
int shim_group_kill(const char *path, bool v2, bool freezer);

/* Kills until nothing is left or the deadline has passed: 0, -ETIMEDOUT. */
int shim_group_empty(const char *path, bool v2, bool freezer, uint64_t deadline_ms, struct err *e);

/* Removes it and the directories directly below. */
int shim_group_remove(const char *path, uint64_t deadline_ms, struct err *e);

#endif
