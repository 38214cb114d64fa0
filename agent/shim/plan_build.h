// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_SHIM_PLAN_BUILD_H
#define WHERRY_AGENT_SHIM_PLAN_BUILD_H

/* Builds plans (plan.h) out of plain values. Pure: the same input gives the same bytes. Everything
 * a user or an image can say is checked here once more (absolute paths, forbidden mount targets,
 * sizes, control characters), with errors that name the value. All pointers are borrowed until
 * return. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/shim/plan.h"
#include "agent/shim/record.h"
#include "common/buf.h"
#include "common/err.h"

#define PLAN_MOUNTS_MAX  128
#define PLAN_CGROUPS_MAX RECORD_CGROUPS_MAX
#define PLAN_WRITES_MAX  64

/* A cgroup directory of one container: made by the shim (mkdir), removed by `clean`. Its parent
 * must exist. At most one is of the unified hierarchy. */
struct plan_cgroup {
    const char *path; /* absolute, in the minimal mount namespace */
    bool v2;
    bool freezer; /* the v1 freezer hierarchy: how `clean` kills */
    bool attach;  /* the container runs in it; false: only made */
};

/* A limit: `value` is written to `file` in cgroups[dir] before the container is attached. */
struct plan_limit {
    unsigned dir;
    const char *file;
    const char *value;
    bool optional; /* the file may be missing (swap accounting) */
};

enum plan_mount_kind {
    PLAN_MOUNT_BIND, /* volume or host path: idmapped, nosuid, nodev */
    PLAN_MOUNT_TMPFS
};

struct plan_mount {
    enum plan_mount_kind kind;
    const char *source; /* bind: absolute path in the agent's mount namespace */
    const char *target; /* absolute; links in it are followed inside the container's root only */
    bool read_only;
    bool create; /* bind: make the source, a directory, if it is missing (last component only) */
    uint64_t size_bytes; /* tmpfs; 0: 64 MiB */
    uint32_t mode;       /* tmpfs; 0: 01777 */
};

struct plan_rlimit {
    int resource;  /* RLIMIT_* */
    uint64_t soft; /* UINT64_MAX: infinite */
    uint64_t hard; /* lowered to the shim's own hard limit if that is lower */
};

/* What the container's own process is. */
struct plan_process {
    const char *const *argv; /* n_argv > 0 */
    unsigned n_argv;
    const char *const *env; /* "KEY=value"; PATH should be there; HOME is added from /etc/passwd */
    unsigned n_env;
    const char *cwd;  /* absolute; "" is "/"; made if missing */
    const char *user; /* "", "name", "uid", "uid:gid", "name:group", … */
    uint64_t caps;    /* bit per capability: bounding, permitted, effective; for uid 0 only.
                         Any other user has none */
    const void *bpf;  /* struct sock_filter[]; never empty */
    unsigned n_bpf;   /* instructions */
};

struct plan_input {
    struct plan_process process;
    bool init;            /* a reaper as PID 1 */
    bool read_only;       /* root file system */
    struct record record; /* the constant part: incarnation, run, ids, address, boot_id, cgroups
                             (filled by plan_build from `cgroups`), upper (from `base_path`) */

    /* descriptors, numbers in the shim */
    int userns_fd;
    int netns_fd; /* -1: network_mode host */
    int mntns_fd; /* the minimal mount namespace; -1: stay */

    const char *run_path;      /* <run>/runs/<name>, see record.h; made by the shim */
    const char *base_path;     /* directory of this run for upper and work; made by the shim, its
                                  parent exists; on the state directory's file system */
    const char *layers_path;   /* the layer store */
    const char *const *layers; /* names below it, top first, without repetitions; at least one */
    unsigned n_layers;
    const char *dev_path; /* root of the shared /dev tree, a mount of its own */
    const char *log_path; /* current log file; its directory is made if only that is missing */
    uint64_t log_bytes;   /* a file is rotated when it would become larger; 0: 10 MiB */
    unsigned log_files;   /* files kept, the current one included; 0: 5 */

    const char *hostname;
    const char *hosts;       /* contents of /etc/hosts; NULL: the image's own */
    const char *resolv_conf; /* likewise */

    const struct plan_mount *mounts;
    unsigned n_mounts;

    const struct plan_cgroup *cgroups;
    unsigned n_cgroups;
    const struct plan_limit *writes;
    unsigned n_writes;
    const char *const *view; /* v1 controllers shown below /sys/fs/cgroup ("memory", …) */
    unsigned n_view;
    bool view_v2;         /* show the unified hierarchy instead */
    const char *oom_file; /* memory.events (v2) or memory.oom_control (v1) of the container, whose
                             line `oom_kill N` is compared; "" if there is none */

    const char *const *shim_tasks; /* files that the shim writes "0" to, to be in its own cgroup */
    unsigned n_shim_tasks;

    const struct plan_rlimit *rlimits; /* besides core 0 and nofile, which are always set */
    unsigned n_rlimits;
};

/* Appends the plan of `wherry-shim run`. -EINVAL, -E2BIG with the value. */
int plan_build(const struct plan_input *input, struct buf *ret, struct err *e);

struct plan_exec_input {
    struct plan_process process;
    const struct plan_cgroup *cgroups; /* the container's, as it was started with */
    unsigned n_cgroups;
    uint32_t timeout_ms; /* then everything it started is killed; 0: none */
};

/* Appends the plan of `wherry-shim exec`. What it starts goes into a directory of its own below
 * the container's v2 (or v1 freezer) group, so that all of it can be killed; there must be one. */
int plan_build_exec(const struct plan_exec_input *input, struct buf *ret, struct err *e);

struct plan_clean_input {
    const struct plan_cgroup *cgroups; /* need not exist, like all below */
    unsigned n_cgroups;
    const char *run_path;
    const char *base_path;
    uint32_t timeout_ms; /* 0: 5 s */
};

/* Appends the plan of `wherry-shim clean`. Needs nothing but names: whatever a crash has left of
 * the run is found under them. */
int plan_build_clean(const struct plan_clean_input *input, struct buf *ret, struct err *e);

#endif
