// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_SHIM_STEP_H
#define WHERRY_AGENT_SHIM_STEP_H

/* The operations of a plan as functions: each has up to three parts, and a loop that knows none of
 * them runs all parts of one kind in the plan's order:
 *
 *   host      in the shim, while still in the agent's mount namespace
 *   outside   in the shim, in the minimal one, as host root
 *   inside    in the container's first process (or the joined command), as root of its cell
 *
 * A part gets the step and one descriptor of the step's own: what `host` or `outside` puts there,
 * `inside` finds. Nothing is allocated: this state is one static object. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/shim/plan.h"
#include "agent/shim/record.h"
#include "agent/shim/shimlog.h"
#include "common/err.h"

#define STEP_GROUPS_MAX 64
#define STEP_HOME_MAX   512

struct step_state {
    struct plan plan;
    enum plan_kind kind;
    int fds[PLAN_STEPS_MAX]; /* one per step, -1: none */

    /* outside */
    int run_fd; /* run directory */
    struct record record;
    struct shimlog log;
    int out_fds[2]; /* write ends of the log pipes: stdout, stderr */
    int oom_fd;
    uint64_t oom_kills;            /* at the start */
    int cgroup_fd;                 /* of the unified hierarchy: where the clone is put */
    char own_group[PLAN_PATH_MAX]; /* exec: its own directory, "" before it is made */
    bool own_v2;
    int self_fd; /* this program, for `init` */

    /* the clone */
    int userns_fd, netns_fd, pidfd;
    uint32_t oom_adj;
    int err_fd; /* where the first process reports a failure; closed by execve */

    /* inside */
    int root_fd, proc_fd, dev_fd, sys_fd;
    int empty_fd; /* the read-only directory that masks directories */
    uint32_t uid, gid;
    gid_t groups[STEP_GROUPS_MAX];
    unsigned n_groups;
    char home[sizeof("HOME=") + STEP_HOME_MAX];
    const char *search;       /* PATH */
    char path[PLAN_PATH_MAX]; /* what is executed; for `init` what it executes */
    char *argv[PLAN_STRINGS_MAX + 3];
    char *env[PLAN_STRINGS_MAX + 2];
};

typedef int step_fn(struct step_state *s, const struct plan_step *step, int *fd, struct err *e);

enum step_part { STEP_HOST, STEP_OUTSIDE, STEP_INSIDE, STEP_PARTS };

/* Runs all parts of one kind. The error names the operation: "proc: mount proc: …". */
int step_run(struct step_state *s, enum step_part part, struct err *e);

/* Empty state; descriptors -1. */
void step_init(struct step_state *s, const struct plan *plan, enum plan_kind kind);

/* Forks through the prepared namespaces. The first process runs the inside parts and executes the
 * command; it never returns here. Returns its pid; `ret_pidfd` and `ret_err_fd` are the caller's.
 * From `ret_err_fd` comes its failure as a `struct err`, or nothing once the command runs. */
pid_t step_clone(struct step_state *s, int *ret_pidfd, int *ret_err_fd, struct err *e);

/* Waits until the command runs: 0, or what the first process said. Closes `err_fd`. */
int step_await(int err_fd, struct err *e);

/* Writes a short file, e.g. a control of a cgroup. Returns 0 or a negative errno. */
int step_write(int dir_fd, const char *path, const char *text);

/* The parts, by the file in which they are. */
step_fn step_cgroup_self, step_cgroup_make, step_cgroup_join, step_cgroup_set, step_cgroup_oom,
    step_cgroup_ns;
step_fn step_outer_record, step_outer_log, step_outer_mntns, step_outer_dirs, step_outer_time,
    step_outer_enter;
step_fn step_root_make, step_root_place, step_root_switch;
step_fn step_fs_proc, step_fs_dev_clone, step_fs_dev, step_fs_sys_clone, step_fs_sys,
    step_fs_cgroups;
step_fn step_mount_source, step_mount_place, step_mount_file, step_mount_file_place;
step_fn step_mask_hide, step_mask_freeze;
step_fn step_user_find, step_user_cwd;
step_fn step_reduce_identity, step_reduce_hostname, step_reduce_keyring, step_reduce_rlimit,
    step_reduce_nnp, step_reduce_caps, step_reduce_fds, step_reduce_seccomp;
step_fn step_exec_env, step_exec_find, step_exec_self, step_exec_run;

#endif
