// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_TESTS_LIB_SHIMRIG_H
#define WHERRY_TESTS_LIB_SHIMRIG_H

/* Runs wherry-shim without an agent: a busybox root as one layer of a store, a cell, cgroups and a
 * filter, all of the test's own and removed at its end. Failures end the test. Root only. */

#include <stdbool.h>
#include <sys/types.h>

#include "agent/cell.h"
#include "agent/cgroups.h"
#include "agent/shim/plan_build.h"
#include "agent/shimhome.h"

#define SHIMRIG_IDS 1966080000u /* a range that no agent hands out */

struct shimrig {
    char dir[64];
    char *state_path, *run_base, *layers_path, *log_path;
    char *run_path, *base_path; /* of the one container */
    struct cgroups groups;
    struct shimhome home;
    struct cell cell;
    struct buf filter;

    /* filled for a container of its own choice; a test changes what it likes */
    struct plan_input input;
    struct plan_cgroup cgroups[CGROUPS_TREES_MAX];
    struct plan_limit limits[CGROUPS_WRITES_MAX];
    struct cgroups_write writes[CGROUPS_WRITES_MAX];
    const char *view[CGROUPS_TREES_MAX];
    char *oom_file;

    pid_t shim; /* of the last `run` */
    struct plan_result result;
};

/* False: this host cannot run it; `why` says so. */
bool shimrig_can(const char **why);

void shimrig_init(struct shimrig *rig);

/* Kills and cleans whatever is left, checks that nothing is. */
void shimrig_finish(struct shimrig *rig);

/* Starts `sh -c script`. The answer is in rig->result; returns its kind. */
uint32_t shimrig_run(struct shimrig *rig, const char *script);
uint32_t shimrig_run_argv(struct shimrig *rig, const char *const *argv, unsigned n);

/* Waits for the shim to end and reads the exit record. */
struct record_exit shimrig_wait(struct shimrig *rig);

/* The same without a record. */
void shimrig_reap(struct shimrig *rig);

/* No directory and no cgroup of the container. */
void shimrig_check_nothing_left(const struct shimrig *rig);

/* What the container has written, both streams, prefixes removed. Free it. */
char *shimrig_output(const struct shimrig *rig);

/* A command inside. Gives its output (free it); the result is in rig->result. */
char *shimrig_exec(struct shimrig *rig, const char *script, uint32_t timeout_ms);

uint32_t shimrig_clean(struct shimrig *rig);

#endif
