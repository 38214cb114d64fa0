// SPDX-License-Identifier: Apache-2.0
#include "agent/shim/step.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent/shim/sys.h"
#include "common/cleanup.h"

static step_fn *const parts[PLAN_OP_N][STEP_PARTS] = {
    [PLAN_OP_SELF] = {step_cgroup_self},
    [PLAN_OP_RECORD] = {step_outer_record},
    [PLAN_OP_LOG] = {step_outer_log},
    [PLAN_OP_MNTNS] = {NULL, step_outer_mntns},
    [PLAN_OP_DIRS] = {NULL, step_outer_dirs},
    [PLAN_OP_IDENTITY] = {NULL, NULL, step_reduce_identity},
    [PLAN_OP_CGROUP] = {NULL, step_cgroup_make, step_cgroup_join},
    [PLAN_OP_CGROUP_SET] = {NULL, step_cgroup_set},
    [PLAN_OP_OOM] = {NULL, step_cgroup_oom},
    [PLAN_OP_CGROUP_NS] = {NULL, NULL, step_cgroup_ns},
    [PLAN_OP_ROOT] = {NULL, step_root_make, step_root_place},
    [PLAN_OP_PROC] = {NULL, NULL, step_fs_proc},
    [PLAN_OP_DEV] = {NULL, step_fs_dev_clone, step_fs_dev},
    [PLAN_OP_SYS] = {NULL, step_fs_sys_clone, step_fs_sys},
    [PLAN_OP_CGROUP_VIEW] = {NULL, NULL, step_fs_cgroups},
    [PLAN_OP_MOUNT] = {step_mount_source, NULL, step_mount_place},
    [PLAN_OP_FILE] = {step_mount_file, NULL, step_mount_file_place},
    [PLAN_OP_MASK] = {NULL, NULL, step_mask_hide},
    [PLAN_OP_READONLY] = {NULL, NULL, step_mask_freeze},
    [PLAN_OP_SWITCH] = {NULL, NULL, step_root_switch},
    [PLAN_OP_HOSTNAME] = {NULL, NULL, step_reduce_hostname},
    [PLAN_OP_TIME] = {NULL, step_outer_time},
    [PLAN_OP_ENTER] = {NULL, step_outer_enter},
    [PLAN_OP_KEYRING] = {NULL, NULL, step_reduce_keyring},
    [PLAN_OP_RLIMIT] = {NULL, NULL, step_reduce_rlimit},
    [PLAN_OP_USER] = {NULL, NULL, step_user_find},
    [PLAN_OP_CWD] = {NULL, NULL, step_user_cwd},
    [PLAN_OP_NO_NEW_PRIVS] = {NULL, NULL, step_reduce_nnp},
    [PLAN_OP_CAPS] = {NULL, NULL, step_reduce_caps},
    [PLAN_OP_ENV] = {NULL, NULL, step_exec_env},
    [PLAN_OP_FIND] = {NULL, NULL, step_exec_find},
    [PLAN_OP_FDS] = {NULL, NULL, step_reduce_fds},
    [PLAN_OP_SECCOMP] = {NULL, NULL, step_reduce_seccomp},
    [PLAN_OP_EXECVE] = {NULL, step_exec_self, step_exec_run},
};

int step_run(struct step_state *s, enum step_part part, struct err *e)
{
    for (uint32_t i = 0; i < s->plan.header->n_steps; i++) {
        const struct plan_step *step = &s->plan.steps[i];
        step_fn *fn = parts[step->op][part];

        if (fn != NULL && fn(s, step, &s->fds[i], e) < 0) {
            return err_wrap(e, "%s", plan_op_name(step->op));
        }
    }
    return 0;
}

void step_init(struct step_state *s, const struct plan *plan, enum plan_kind kind)
{
    s->plan = *plan;
    s->kind = kind;
    for (uint32_t i = 0; i < plan->header->n_steps; i++) {
        s->fds[i] = -1;
    }
    s->run_fd = s->oom_fd = s->cgroup_fd = s->self_fd = s->err_fd = -1;
    s->out_fds[0] = s->out_fds[1] = -1;
    s->userns_fd = s->netns_fd = s->pidfd = -1;
    s->root_fd = s->proc_fd = s->dev_fd = s->sys_fd = s->empty_fd = -1;
}

int step_write(int dir_fd, const char *path, const char *text)
{
    auto_close int fd = SYS(openat(dir_fd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
    size_t len = strlen(text);
    ssize_t n;

    if (fd < 0) {
        return -errno;
    }
    n = SYS(write(fd, text, len));
    if (n < 0) {
        return -errno;
    }
    return (size_t)n == len ? 0 : -EIO;
}
