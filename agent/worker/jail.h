// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_WORKER_JAIL_H
#define WHERRY_AGENT_WORKER_JAIL_H

/* Where hostile bytes are read: before its first one the worker leaves the host. A range of ids of
 * its own (in no one else's use, and above every container's) through a user namespace, empty
 * network, ipc, uts and cgroup namespaces, a root that is the staging directory (idmapped, so that
 * its ids 0..65535 lie plain on the disk) or nothing at all, no capability it does not use, no new
 * privileges, Landlock where the kernel has it, a seccomp allow-list. A step that fails ends the
 * worker with its reason: there is no half jail. */

#include <stdbool.h>

#include "common/err.h"

/* 65,536 ids above the last range of a container (1879048191). */
#define JAIL_ID_BASE 1879048192u

enum jail_kind {
    JAIL_LOAD, /* root: the staging directory, written with any owner; source: read-only */
    JAIL_PROBE /* root: empty; sockets come from outside */
};

struct jail {
    enum jail_kind kind;
    int root_fd;    /* JAIL_LOAD: the staging directory */
    int *source_fd; /* JAIL_LOAD: when it is a directory, replaced by a read-only view of it */
    bool source_is_directory;
};

/* Called by host root, single-threaded. The working directory is the root afterwards. */
int jail_enter(const struct jail *jail, struct err *e);

#endif
