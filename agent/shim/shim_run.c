// SPDX-License-Identifier: Apache-2.0
/* `wherry-shim run`: the container's parent for life. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/shim/oomcount.h"
#include "agent/shim/shim.h"
#include "agent/shim/sys.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

#define DRAIN_MS   1000 /* for output that somebody else still holds open */
#define STACK_KEPT 16384
#define STACK_MAX  (256u * 1024)

/* ---- starting ---- */

/* Closes everything but what the parent needs: what is left open keeps namespaces alive. */
static void close_others(const struct step_state *s, int pidfd)
{
    const int keep[] = {
        PLAN_STATUS_FD,       s->run_fd, s->log.dir_fd, s->log.fd,         s->log.streams[0].fd,
        s->log.streams[1].fd, s->oom_fd, pidfd,         sys_failpoint_fd()};
    unsigned from = 3;

    for (;;) {
        unsigned next = ~0u;

        for (unsigned i = 0; i < ARRAY_LEN(keep); i++) {
            if (keep[i] >= 0 && (unsigned)keep[i] >= from && (unsigned)keep[i] < next) {
                next = (unsigned)keep[i];
            }
        }
        if (next > from) {
            (void)sys_close_range(from, next == ~0u ? next : next - 1, 0);
        }
        if (next == ~0u) {
            return;
        }
        from = next + 1;
    }
}

/* It did not start: whatever of it runs is ended and collected. */
static void end_first(pid_t pid, int pidfd)
{
    (void)sys_pidfd_kill(pidfd, SIGKILL);
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR) {
    }
}

static int start(struct step_state *s, pid_t *ret_pid, int *ret_pidfd, struct err *e)
{
    int err_fd = -1, rc;
    pid_t pid;

    if (step_run(s, STEP_HOST, e) < 0 || step_run(s, STEP_OUTSIDE, e) < 0) {
        return e->code;
    }
    pid = step_clone(s, ret_pidfd, &err_fd, e);
    if (pid < 0) {
        return pid;
    }
    (void)close(s->out_fds[0]);
    (void)close(s->out_fds[1]);
    rc = *ret_pidfd < 0 ? err_set(e, errno, "open the first process") : step_await(err_fd, e);
    if (rc < 0) {
        end_first(pid, *ret_pidfd);
        return rc;
    }
    *ret_pid = pid;
    return 0;
}

static int tell_started(struct step_state *s, pid_t pid, struct err *e)
{
    struct plan_result result = {.kind = PLAN_RESULT_STARTED, .pid = (uint32_t)pid};
    int rc;

    s->record.pid = (uint32_t)pid;
    s->record.started_ms = result.started_ms = shim_clock_ms(CLOCK_BOOTTIME);
    s->record.started_unix_ms = result.started_unix_ms = shim_clock_ms(CLOCK_REALTIME);
    rc = record_start_time(s->record.pid, &s->record.pid_start, e);
    FAILPOINT("shim.run.before_record");
    if (rc == 0) {
        rc = record_write(s->run_fd, &s->record, e);
    }
    FAILPOINT("shim.run.after_record");
    if (rc == 0) {
        shim_tell(&result);
    }
    return rc;
}

/* ---- living ---- */

/* It has been carried out: its pages are nobody else's. */
static void forget_plan(struct plan *plan)
{
    (void)munmap((void *)(uintptr_t)plan->bytes, plan->header->bytes);
    *plan = (struct plan){0};
}

/* Gives back the stack that starting has touched; the live frames are above. */
static void trim_stack(void)
{
#ifndef __SANITIZE_ADDRESS__
    uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)4095;

    (void)madvise((void *)(here - STACK_MAX), STACK_MAX - STACK_KEPT, MADV_DONTNEED);
#endif
}

static void pump(struct shimlog *log, const struct pollfd *p)
{
    for (unsigned i = 0; i < SHIMLOG_STREAMS; i++) {
        if (p[i].revents != 0) {
            shimlog_pump(log, i);
        }
    }
}

/* Writes what the container says until its first process has ended. */
static void live(struct shimlog *log, int pidfd)
{
    for (;;) {
        struct pollfd p[] = {
            {log->streams[0].fd, POLLIN, 0}, {log->streams[1].fd, POLLIN, 0}, {pidfd, POLLIN, 0}};

        if (poll(p, ARRAY_LEN(p), -1) < 0) {
            continue;
        }
        pump(log, p);
        if (p[2].revents != 0) {
            return;
        }
    }
}

/* What is still in the pipes. Everybody who could write has been killed with the first process. */
static void drain(struct shimlog *log)
{
    uint64_t deadline = shim_clock_ms(CLOCK_BOOTTIME) + DRAIN_MS;

    while (log->streams[0].fd >= 0 || log->streams[1].fd >= 0) {
        struct pollfd p[] = {{log->streams[0].fd, POLLIN, 0}, {log->streams[1].fd, POLLIN, 0}};
        int ms = shim_poll_ms(deadline);

        if (ms == 0 || poll(p, ARRAY_LEN(p), ms) == 0) {
            return;
        }
        pump(log, p);
    }
}

static struct record_exit await_exit(const struct step_state *s, pid_t pid)
{
    struct record_exit x = {.known = true};
    int status = 0;

    while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR) {
    }
    x.ended_ms = shim_clock_ms(CLOCK_BOOTTIME);
    x.ended_unix_ms = shim_clock_ms(CLOCK_REALTIME);
    x.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    x.code = WIFSIGNALED(status) ? 128 + x.signal : WEXITSTATUS(status);
    x.oom = x.code != 0 && oomcount_read(s->oom_fd) > s->oom_kills;
    return x;
}

int shim_run(struct step_state *s)
{
    struct err e = {0};
    struct record_exit ended;
    int pidfd = -1, rc;
    pid_t pid = 0;

    rc = start(s, &pid, &pidfd, &e);
    if (rc == 0) {
        rc = tell_started(s, pid, &e);
        if (rc < 0) {
            end_first(pid, pidfd);
        }
    }
    if (rc < 0) {
        shim_fail(&e);
        return 1;
    }
    close_others(s, pidfd);
    forget_plan(&s->plan);
    trim_stack();
    live(&s->log, pidfd);
    ended = await_exit(s, pid);
    drain(&s->log);
    shimlog_finish(&s->log);
    FAILPOINT("shim.run.before_exit");
    rc = record_exit_write(s->run_fd, &ended, &e);
    FAILPOINT("shim.run.after_exit");
    return rc < 0 ? 1 : 0;
}
