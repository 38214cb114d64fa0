// SPDX-License-Identifier: Apache-2.0
/* From the shim into the container. A process in between enters the cell and clones with
 * CLONE_PARENT, so that the shim stays outside and is the parent all the same; its copy of our
 * memory is its own, as kernel 6.1 wants it after unshare(CLONE_NEWTIME). */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/shim/step.h"
#include "agent/shim/sys.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

/* All of the target's but the cgroup namespace, which the first process joins after its groups. */
#define JOINED                                                                                     \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |     \
     CLONE_NEWTIME)

static _Noreturn void give_up(const struct step_state *s, const struct err *e)
{
    (void)!write(s->err_fd, e, sizeof(*e));
    _exit(1);
}

static int enter(struct step_state *s, struct err *e)
{
    if (s->kind == PLAN_EXEC) {
        return SYS(setns(s->pidfd, JOINED)) == 0 ? 0 : err_set(e, errno, "join the container");
    }
    if (s->netns_fd >= 0 && SYS(setns(s->netns_fd, CLONE_NEWNET)) < 0) {
        return err_set(e, errno, "enter the network namespace");
    }
    return SYS(setns(s->userns_fd, CLONE_NEWUSER)) == 0
               ? 0
               : err_set(e, errno, "enter the user namespace");
}

/* Set by host root and inherited: the container can raise it, not lower it. */
static int set_oom_adj(const struct step_state *s, struct err *e)
{
    char text[16];
    int rc;

    (void)snprintf(text, sizeof(text), "%u", s->oom_adj);
    rc = step_write(AT_FDCWD, "/proc/self/oom_score_adj", text);
    return rc == 0 ? 0 : err_set(e, rc, "write oom_score_adj %s", text);
}

static _Noreturn void in_between(struct step_state *s, int pid_fd)
{
    struct clone_args args = {.flags = CLONE_PARENT};
    struct err e = {0};
    pid_t pid;

    if (set_oom_adj(s, &e) < 0 || enter(s, &e) < 0) {
        (void)err_wrap(&e, "%s", plan_op_name(PLAN_OP_ENTER));
        give_up(s, &e);
    }
    if (s->kind == PLAN_RUN) {
        args.flags |= (uint64_t)(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS);
    }
    if (s->cgroup_fd >= 0) {
        args.flags |= (uint64_t)CLONE_INTO_CGROUP;
        args.cgroup = (__u64)s->cgroup_fd;
    }
    pid = SYS(sys_clone3(&args));
    if (pid < 0) {
        (void)err_set(&e, errno, "%s: clone", plan_op_name(PLAN_OP_ENTER));
        give_up(s, &e);
    }
    if (pid == 0) {
        (void)close(pid_fd);
        (void)step_run(s, STEP_INSIDE, &e);
        give_up(s, &e);
    }
    (void)!write(pid_fd, &pid, sizeof(pid));
    _exit(0);
}

/* The pid that the process in between has told, or 0. */
static pid_t await_pid(pid_t between, int pid_fd)
{
    pid_t pid = 0;

    while (read(pid_fd, &pid, sizeof(pid)) < 0 && errno == EINTR) {
    }
    while (waitpid(between, NULL, 0) < 0 && errno == EINTR) {
    }
    return pid;
}

int step_await(int err_fd, struct err *e)
{
    struct err said;
    ssize_t n;

    do {
        n = read(err_fd, &said, sizeof(said));
    } while (n < 0 && errno == EINTR);
    (void)close(err_fd);
    if (n == 0) {
        return 0;
    }
    if (n != (ssize_t)sizeof(said) || said.code >= 0) {
        return err_say(e, EPROTO, "the first process ended without a word");
    }
    said.text[sizeof(said.text) - 1] = '\0';
    *e = said;
    return e->code;
}

pid_t step_clone(struct step_state *s, int *ret_pidfd, int *ret_err_fd, struct err *e)
{
    auto_close int err_read = -1, pid_read = -1;
    int err_pipe[2], pid_pipe[2];
    pid_t between, pid;

    if (SYS(pipe2(err_pipe, O_CLOEXEC)) < 0) {
        return err_set(e, errno, "make a pipe");
    }
    err_read = err_pipe[0];
    s->err_fd = err_pipe[1];
    if (SYS(pipe2(pid_pipe, O_CLOEXEC)) < 0) {
        return err_set(e, errno, "make a pipe");
    }
    pid_read = pid_pipe[0];
    FAILPOINT("shim.clone.before_fork");
    between = SYS(fork());
    if (between == 0) {
        in_between(s, pid_pipe[1]);
    }
    (void)close(pid_pipe[1]);
    (void)close(s->err_fd);
    if (between < 0) {
        return err_set(e, errno, "fork");
    }
    pid = await_pid(between, pid_read);
    FAILPOINT("shim.clone.after_fork");
    if (pid <= 0) {
        int rc = step_await(take_fd(&err_read), e);

        return rc < 0 ? rc : err_say(e, EPROTO, "no process was made");
    }
    *ret_pidfd = SYS(sys_pidfd_open(pid));
    *ret_err_fd = take_fd(&err_read);
    return pid;
}
