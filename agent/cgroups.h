// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CGROUPS_H
#define WHERRY_AGENT_CGROUPS_H

/* The control groups of one agent. A host has either one tree for everything (v2), one per
 * controller (v1), or both beside each other (hybrid: the controllers that count are on v1). In
 * each tree that limits something lies the agent's parent group, and below it one group per
 * container and one for all shims:
 *
 *   <mount>/<parent>/shims
 *   <mount>/<parent>/<incarnation, 16 hex digits>.<run>      (record_name)
 *
 * The parent is named from the root of the mounted tree, not from where the agent happens to run:
 * a restarted agent finds its containers again whoever started it. Written directly. Blocking, but
 * no call here waits for a container. */

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define CGROUPS_TREES_MAX  16
#define CGROUPS_WRITES_MAX 12
#define CGROUPS_SHIMS      "shims"

enum cgroups_kind { CGROUPS_V1, CGROUPS_HYBRID, CGROUPS_V2 };

/* Controllers, as bits: those that Wherry uses. */
enum {
    CGROUPS_MEMORY = 1 << 0,
    CGROUPS_CPU = 1 << 1,
    CGROUPS_PIDS = 1 << 2,
    CGROUPS_FREEZER = 1 << 3 /* v1: how everything in a group is stopped at once */
};

/* One mounted hierarchy. */
struct cgroups_tree {
    char *mount; /* "/sys/fs/cgroup/memory" */
    char *names; /* v1: all its controllers, as a mount option: "cpu,cpuacct" */
    unsigned controllers;
};

struct cgroups {
    enum cgroups_kind kind;
    struct cgroups_tree trees[CGROUPS_TREES_MAX]; /* that limit something; v2: one */
    unsigned n_trees;
    char *parent;   /* "wherry", after cgroups_make_parent */
    bool swap;      /* swap can be limited, likewise */
    bool oom_group; /* an OOM kill ends the whole group, likewise */
    bool claimed;   /* the parent is ours: claim_fd holds a lock on it */
    int claim_fd;
};

/* Reads the host. -ENOTSUP: a controller that isolation needs is missing; the text names it. */
int cgroups_detect(struct cgroups *ret, struct err *e);

/* The same from the text of a /proc/<pid>/mountinfo; `controllers` is what the v2 tree offers
 * ("cpu memory pids"). */
int cgroups_parse(const char *mountinfo, const char *controllers, struct cgroups *ret,
                  struct err *e);
void cgroups_finish(struct cgroups *groups);

/* Makes the parent in each tree, with all containers together limited to `memory_bytes` (0:
 * not), and the shims' group. On v2 moves the agent into a leaf if it stands in the way. -EBUSY:
 * another agent has this parent; it is locked until cgroups_finish. */
int cgroups_make_parent(struct cgroups *groups, const char *parent, uint64_t memory_bytes,
                        struct err *e);

/* Removes what cgroups_make_parent made, as far as it is empty; nothing of another agent's. */
void cgroups_drop_parent(const struct cgroups *groups);

/* "v1", "hybrid", "v2"; and why isolation is less than full, or "". */
const char *cgroups_kind_name(enum cgroups_kind kind);
const char *cgroups_degraded(const struct cgroups *groups);

/* Path of a group below the parent in one tree; free it. */
char *cgroups_path(const struct cgroups *groups, unsigned tree, const char *name);

/* What a container asks for. */
struct cgroups_want {
    uint64_t memory_bytes; /* 0: the parent's */
    uint64_t cpu_millis;   /* 0: no limit */
    uint64_t pids;         /* 0: CGROUPS_PIDS_DEFAULT */
};

#define CGROUPS_PIDS_DEFAULT 1024u

struct cgroups_write {
    unsigned tree;
    const char *file; /* in the container's group */
    char value[32];
};

/* The writes that limit a container, in the order in which they must be done. Returns how many. */
unsigned cgroups_limits(const struct cgroups *groups, const struct cgroups_want *want,
                        struct cgroups_write ret[CGROUPS_WRITES_MAX]);

/* Appends one line per control: "memory limit: applied 64 MiB\n". */
void cgroups_controls(const struct cgroups *groups, const struct cgroups_want *want,
                      struct buf *ret);

#endif
