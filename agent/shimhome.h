// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_SHIMHOME_H
#define WHERRY_AGENT_SHIMHOME_H

/* What all shims of an agent share, made once: a small mount namespace to work in (plan.h says what
 * it must have), with one /dev tree that containers get clones of, and the shim's own program in
 * one sealed memory file, so that no container can ever change it and all share its pages. */

#include "agent/cgroups.h"
#include "common/err.h"

#define SHIMHOME_DEV "/dev" /* the shared tree, in that namespace */

struct shimhome {
    int mntns_fd;
    int program_fd; /* executable, sealed */
};

#define SHIMHOME_NONE                                                                              \
    (struct shimhome)                                                                              \
    {                                                                                              \
        .mntns_fd = -1, .program_fd = -1                                                           \
    }

/* The directories keep their paths inside. Takes some milliseconds, and at most five seconds. */
int shimhome_make(const char *state_path, const char *run_path, const struct cgroups *groups,
                  const char *program, struct shimhome *ret, struct err *e);

/* The namespace goes when the last shim has gone. */
void shimhome_finish(struct shimhome *home);

/* Copies a file into a sealed, executable memory file. */
int shimhome_seal(const char *path, int *ret_fd, struct err *e);

#endif
