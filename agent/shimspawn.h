// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_SHIMSPAWN_H
#define WHERRY_AGENT_SHIMSPAWN_H

/* Starts wherry-shim from its sealed memory file with exactly the descriptors that plan.h names.
 * It inherits nothing else of the agent: no signal dispositions, no environment but what tests and
 * sanitizers need, /dev/null as its standard streams. */

#include <sys/types.h>

#include "common/err.h"

#define SHIMSPAWN_FDS_MAX 8

struct shimspawn_fd {
    int ours;
    int theirs;
};

struct shimspawn {
    int program_fd;
    int cgroup_fd;    /* v2: the group that it is born in; -1: the agent's */
    const char *mode; /* "run", "exec", "clean" */
    struct shimspawn_fd fds[SHIMSPAWN_FDS_MAX];
    unsigned n_fds;
};

void shimspawn_give(struct shimspawn *spawn, int ours, int theirs);

/* Puts the plan into a sealed memory file. */
int shimspawn_plan(const void *bytes, size_t len, int *ret_fd, struct err *e);

/* Starts it: gives its pid and a pidfd. If it cannot be executed, that comes through the status
 * pipe as if it had said so. The caller must reap it (with __WALL). */
int shimspawn_start(const struct shimspawn *spawn, pid_t *ret_pid, int *ret_pidfd, struct err *e);

#endif
