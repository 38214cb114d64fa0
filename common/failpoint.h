// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_FAILPOINT_H
#define WHERRY_COMMON_FAILPOINT_H

/* FAILPOINT("agent.journal.after_sync") kills the process by SIGKILL when the environment says
 * WHERRY_FAILPOINT="agent.journal.after_sync@FILE" and FILE could be removed: so each order kills
 * once, and the restarted process goes on. Compiled in only in test builds. Names are
 * "<program>.<what>.<before|after>_<step>"; the end-to-end suite collects them from the sources,
 * so the name is always a literal. Header-only, because the shim links nothing of ours. */

#ifdef WHERRY_FAILPOINTS
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline void failpoint_hit(const char *name)
{
    const char *order = getenv("WHERRY_FAILPOINT");
    size_t len = strlen(name);

    if (order == NULL || strncmp(order, name, len) != 0 || order[len] != '@') {
        return;
    }
    if (unlink(order + len + 1) == 0) {
        (void)kill(getpid(), SIGKILL);
        for (;;) {
            (void)pause();
        }
    }
}
#define FAILPOINT(name) failpoint_hit(name)
#else
#define FAILPOINT(name) ((void)0)
#endif

#endif
