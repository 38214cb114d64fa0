// SPDX-License-Identifier: Apache-2.0
/* `wherry-shim clean`: whatever a run has left, by name. Everything may be missing already. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "agent/shim/shim.h"
#include "agent/shim/sys.h"
#include "agent/treerm.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

#define SHIM_END_MS 500 /* for the shim to write down how the container ended */

typedef int clean_fn(const struct plan *plan, const struct plan_step *step, uint64_t deadline,
                     struct err *e);

static bool is_v2(const struct plan_step *step)
{
    return (step->flags & PLAN_V2) != 0;
}

static bool is_freezer(const struct plan_step *step)
{
    return (step->flags & PLAN_FREEZER) != 0;
}

static int clean_kill(const struct plan *plan, const struct plan_step *step, uint64_t deadline,
                      struct err *e)
{
    const char *path = plan_text(plan, step->text);
    int rc = shim_group_kill(path, is_v2(step), is_freezer(step));

    (void)deadline;
    return rc < 0 && rc != -ENOENT ? err_set(e, rc, "look into %s", path) : 0;
}

static bool same_boot(const struct record *record)
{
    char id[RECORD_BOOT_ID + 1] = "";
    auto_close int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

    return fd >= 0 && read(fd, id, RECORD_BOOT_ID) == RECORD_BOOT_ID &&
           strcmp(id, record->boot_id) == 0;
}

/* The shim of this run, if its record tells one that lives: a pidfd, or -1. */
static int open_shim(const char *run_path)
{
    auto_close int dir = open(run_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct record record;

    if (dir < 0 || record_read(dir, &record, NULL) < 0 || !same_boot(&record)) {
        return -1;
    }
    return record_pidfd(record.shim_pid, record.shim_start, NULL);
}

static int clean_shim(const struct plan *plan, const struct plan_step *step, uint64_t deadline,
                      struct err *e)
{
    auto_close int fd = open_shim(plan_text(plan, step->text));
    struct pollfd p = {fd, POLLIN, 0};

    if (fd < 0 || poll(&p, 1, SHIM_END_MS) > 0) {
        return 0;
    }
    (void)sys_pidfd_kill(fd, SIGKILL);
    return poll(&p, 1, shim_poll_ms(deadline)) > 0 ? 0 : err_say(e, ETIMEDOUT, "it does not end");
}

static int clean_empty(const struct plan *plan, const struct plan_step *step, uint64_t deadline,
                       struct err *e)
{
    return shim_group_empty(plan_text(plan, step->text), is_v2(step), is_freezer(step), deadline,
                            e);
}

static int clean_group(const struct plan *plan, const struct plan_step *step, uint64_t deadline,
                       struct err *e)
{
    FAILPOINT("shim.clean.before_rmdir");
    return shim_group_remove(plan_text(plan, step->text), deadline, e);
}

static int clean_tree(const struct plan *plan, const struct plan_step *step, uint64_t deadline,
                      struct err *e)
{
    const char *path = plan_text(plan, step->text);
    auto_close int fd = -1;
    long rc;

    (void)deadline;
    while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
    }
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? 0 : err_set(e, errno, "open %s", path);
    }
    FAILPOINT("shim.clean.before_remove");
    rc = treerm_empty(fd, path, e);
    if (rc < 0) {
        return (int)rc;
    }
    if (rmdir(path) < 0 && errno != ENOENT) {
        return err_set(e, errno, "remove %s", path);
    }
    FAILPOINT("shim.clean.after_remove");
    return 0;
}

static clean_fn *const rows[PLAN_OP_N] = {
    [PLAN_OP_KILL] = clean_kill,    [PLAN_OP_END_SHIM] = clean_shim,
    [PLAN_OP_EMPTY] = clean_empty,  [PLAN_OP_CGROUP_RM] = clean_group,
    [PLAN_OP_TREE_RM] = clean_tree,
};

int shim_clean(const struct plan *plan)
{
    const struct plan_result done = {.kind = PLAN_RESULT_CLEANED};
    uint64_t deadline = shim_clock_ms(CLOCK_BOOTTIME) + plan->header->deadline_ms;
    struct err e = {0};

    for (uint32_t i = 0; i < plan->header->n_steps; i++) {
        const struct plan_step *step = &plan->steps[i];

        if (rows[step->op](plan, step, deadline, &e) < 0) {
            (void)err_wrap(&e, "%s", plan_op_name(step->op));
            shim_fail(&e);
            return 1;
        }
    }
    shim_tell(&done);
    return 0;
}
