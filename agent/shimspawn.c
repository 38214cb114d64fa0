// SPDX-License-Identifier: Apache-2.0
/* clone3 and not posix_spawn: on cgroups v2 only CLONE_INTO_CGROUP puts a process into a group
 * without a wait of milliseconds. The child is a fork in a program with threads: it makes system
 * calls only. */
#include "agent/shimspawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/shim/plan.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

#define HIGH_FD 64 /* above every number that is given */

void shimspawn_give(struct shimspawn *spawn, int ours, int theirs)
{
    assert(spawn->n_fds < SHIMSPAWN_FDS_MAX);
    assert(theirs < HIGH_FD);
    if (ours >= 0) {
        spawn->fds[spawn->n_fds++] = (struct shimspawn_fd){.ours = ours, .theirs = theirs};
    }
}

int shimspawn_plan(const void *bytes, size_t len, int *ret_fd, struct err *e)
{
    auto_close int fd = memfd_create("plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0) {
        return err_set(e, errno, "make a memory file for the plan");
    }
    if (write(fd, bytes, len) != (ssize_t)len) {
        return err_set(e, errno, "write the plan");
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        return err_set(e, errno, "seal the plan");
    }
    *ret_fd = take_fd(&fd);
    return 0;
}

/* ---- in the child ---- */

static int null_streams(void)
{
    int fd = open("/dev/null", O_RDWR);

    if (fd < 0) {
        return -errno;
    }
    for (int i = 0; i <= 2; i++) {
        if (fd != i && dup2(fd, i) < 0) {
            return -errno;
        }
    }
    if (fd > 2) {
        (void)close(fd);
    }
    return 0;
}

/* First all of them up and out of the way, then each down to its number. */
static int place_fds(const struct shimspawn *spawn)
{
    int high[SHIMSPAWN_FDS_MAX];

    for (unsigned i = 0; i < spawn->n_fds; i++) {
        high[i] = fcntl(spawn->fds[i].ours, F_DUPFD_CLOEXEC, HIGH_FD);
        if (high[i] < 0) {
            return -errno;
        }
    }
    (void)syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC); /* nothing else goes along */
    for (unsigned i = 0; i < spawn->n_fds; i++) {
        if (dup2(high[i], spawn->fds[i].theirs) < 0) {
            return -errno;
        }
    }
    return null_streams();
}

static void default_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int i = 1; i < _NSIG; i++) {
        (void)sigaction(i, &action, NULL);
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void child(const struct shimspawn *spawn, char *const *env)
{
    char *argv[] = {(char *)(uintptr_t) "wherry-shim", (char *)(uintptr_t)spawn->mode, NULL};
    struct plan_result result = {.magic = PLAN_MAGIC, .kind = PLAN_RESULT_FAILED};
    int program = fcntl(spawn->program_fd, F_DUPFD_CLOEXEC, HIGH_FD);
    int rc = program < 0 ? -errno : place_fds(spawn);

    default_signals();
    if (rc == 0) {
        (void)syscall(SYS_execveat, program, "", argv, env, AT_EMPTY_PATH);
        rc = -errno;
    }
    result.code = rc;
    memcpy(result.text, "execute wherry-shim", sizeof("execute wherry-shim"));
    (void)!write(PLAN_STATUS_FD, &result, sizeof(result));
    _exit(1);
}

/* ---- in the agent ---- */

/* What of our environment it gets. */
static void short_env(char **ret, unsigned max)
{
    static const char *const kept[] = {
        "WHERRY_FAILPOINT=", "WHERRY_SHIM_DENY=", "WHERRY_SHIM_FAIL=",
        "ASAN_OPTIONS=",     "LSAN_OPTIONS=",     "UBSAN_OPTIONS="};
    unsigned n = 0;

    for (char **at = environ; at != NULL && *at != NULL; at++) {
        for (unsigned i = 0; i < ARRAY_LEN(kept); i++) {
            if (n + 1 < max && strncmp(*at, kept[i], strlen(kept[i])) == 0) {
                ret[n++] = *at;
            }
        }
    }
    ret[n] = NULL;
}

int shimspawn_start(const struct shimspawn *spawn, pid_t *ret_pid, int *ret_pidfd, struct err *e)
{
    int pidfd = -1;
    struct clone_args args = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd};
    char *env[8];
    long pid;

    if (spawn->cgroup_fd >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (unsigned)spawn->cgroup_fd;
    }
    short_env(env, ARRAY_LEN(env));
    FAILPOINT("agent.shim.before_spawn");
    pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid < 0) {
        return err_set(e, errno, "start wherry-shim");
    }
    if (pid == 0) {
        child(spawn, env);
    }
    FAILPOINT("agent.shim.after_spawn");
    *ret_pid = (pid_t)pid;
    *ret_pidfd = pidfd;
    return 0;
}
