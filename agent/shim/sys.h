// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_SHIM_SYS_H
#define WHERRY_AGENT_SHIM_SYS_H

/* The seam under the steps: every system call that builds or removes something goes through
 * SYS(…), so that a test can let the n-th one fail (WHERRY_SHIM_FAIL="n" or "n:errno") and look
 * at what is left; and a newer feature can be denied by name (WHERRY_SHIM_DENY="lowerdir+"), so
 * that its fallback runs. Test builds only. Also the calls without a wrapper in either C library.
 */

#include <errno.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "agent/shim/musl.h"

#ifdef WHERRY_FAILPOINTS
bool sys_fails(void); /* counts; sets errno when it is this call's turn */
bool sys_denied(const char *feature);

/* The file of a FAILPOINT order is reached through a descriptor from here on: the mount namespace
 * is left. -1: there is none. */
void sys_keep_failpoint(void);
int sys_failpoint_fd(void);
#define SYS(call) (sys_fails() ? -1 : (call))
#else
#define SYS(call) (call)
static inline bool sys_denied(const char *feature)
{
    (void)feature;
    return false;
}
static inline void sys_keep_failpoint(void)
{
}
static inline int sys_failpoint_fd(void)
{
    return -1;
}
#endif

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

static inline int sys_openat2(int dir_fd, const char *path, uint64_t flags, uint64_t mode,
                              uint64_t resolve)
{
    struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};

    return (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
}

static inline pid_t sys_clone3(struct clone_args *args)
{
    return (pid_t)syscall(SYS_clone3, args, sizeof(*args));
}

static inline int sys_pidfd_open(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

static inline int sys_pidfd_kill(int fd, int signal)
{
    return (int)syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0);
}

static inline int sys_close_range(unsigned first, unsigned last, unsigned flags)
{
    return (int)syscall(SYS_close_range, first, last, flags);
}

#endif
