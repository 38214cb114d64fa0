// SPDX-License-Identifier: Apache-2.0
/* `wherry-shim exec`: one command inside, until it ends or its time is over. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/shim/shim.h"
#include "agent/shim/sys.h"

#define END_MS 2000 /* for killing what the command left behind */

/* Waits for the command. Returns its status; -1: the deadline came first. */
static int await_command(pid_t pid, int pidfd, uint64_t deadline)
{
    struct pollfd p = {pidfd, POLLIN, 0};
    int status = 0;

    while (poll(&p, 1, shim_poll_ms(deadline)) < 0 && errno == EINTR) {
    }
    if (p.revents == 0) {
        return -1;
    }
    while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR) {
    }
    return status;
}

/* The command and everything it started, whatever they made of themselves. */
static void end_all(const struct step_state *s, pid_t pid, int pidfd)
{
    uint64_t deadline = shim_clock_ms(CLOCK_BOOTTIME) + END_MS;

    if (pidfd >= 0) {
        (void)sys_pidfd_kill(pidfd, SIGKILL);
    }
    if (s->own_group[0] != '\0') {
        (void)shim_group_kill(s->own_group, s->own_v2, !s->own_v2);
    }
    if (pid > 0) {
        (void)waitpid(pid, NULL, __WALL); /* ECHILD: collected already */
    }
    if (s->own_group[0] != '\0') {
        (void)shim_group_empty(s->own_group, s->own_v2, !s->own_v2, deadline, NULL);
        (void)shim_group_remove(s->own_group, deadline, NULL);
    }
}

static int start(struct step_state *s, pid_t *ret_pid, int *ret_pidfd, struct err *e)
{
    int err_fd = -1;
    pid_t pid;

    (void)fchmod(PLAN_OUTPUT_FD, 0622); /* whoever it runs as may open /dev/stdout anew */
    s->pidfd = PLAN_PIDFD;
    s->out_fds[0] = s->out_fds[1] = PLAN_OUTPUT_FD;
    if (step_run(s, STEP_HOST, e) < 0 || step_run(s, STEP_OUTSIDE, e) < 0) {
        return e->code;
    }
    pid = step_clone(s, ret_pidfd, &err_fd, e);
    (void)close(PLAN_OUTPUT_FD);
    if (pid < 0) {
        return pid;
    }
    *ret_pid = pid;
    return *ret_pidfd < 0 ? err_set(e, errno, "open the command") : step_await(err_fd, e);
}

int shim_exec(struct step_state *s)
{
    struct plan_result result = {.kind = PLAN_RESULT_EXITED};
    uint64_t timeout = s->plan.header->deadline_ms;
    uint64_t deadline = timeout > 0 ? shim_clock_ms(CLOCK_BOOTTIME) + timeout : 0;
    struct err e = {0};
    int pidfd = -1, status;
    pid_t pid = 0;

    if (start(s, &pid, &pidfd, &e) < 0) {
        end_all(s, pid, pidfd);
        shim_fail(&e);
        return 1;
    }
    status = await_command(pid, pidfd, deadline);
    end_all(s, status < 0 ? pid : 0, pidfd);
    if (status < 0) {
        result.timed_out = 1;
        result.signal = SIGKILL;
        result.code = 128 + SIGKILL;
    } else {
        result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        result.code = WIFSIGNALED(status) ? 128 + result.signal : WEXITSTATUS(status);
    }
    shim_tell(&result);
    return 0;
}
