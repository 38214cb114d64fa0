// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_STATEDIR_H
#define WHERRY_AGENT_STATEDIR_H

/* The two places where an agent keeps things. The state directory survives power loss and belongs
 * to one agent for as long as it lives: a lock says who. The run directory (a tmpfs) survives the
 * agent but not the host: a boot id in it says whether its contents still count. */

#include <stdbool.h>

#include "common/err.h"

#define STATEDIR_BOOT_ID 36 /* "xxxxxxxx-xxxx-…" */

struct statedir {
    char *state_path; /* absolute */
    char *run_path;
    int state_fd;
    int run_fd;
    int lock_fd;
    char boot_id[STATEDIR_BOOT_ID + 1];
    bool boot_changed; /* the run directory is of an earlier boot, or new */
};

/* Makes both directories (0700, owned by root) where missing and takes the lock. -EBUSY: another
 * agent has it; the text names its pid and since when. */
int statedir_open(const char *state_path, const char *run_path, struct statedir *ret,
                  struct err *e);

/* The contents of the run directory now belong to this boot: call after they were swept. */
int statedir_mark_boot(struct statedir *dirs, struct err *e);

void statedir_close(struct statedir *dirs);

/* The kernel's boot id. */
int statedir_boot_id(char ret[STATEDIR_BOOT_ID + 1], struct err *e);

/* mkdir -p with 0700 for what is missing; the last component must be a directory owned by us and
 * not writable for others. Gives a descriptor. */
int statedir_mkdirs(const char *path, struct err *e);

#endif
