// SPDX-License-Identifier: Apache-2.0
/* Steps: identity at the beginning, and what the first process gives up at the end. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/shim/step.h"
#include "agent/shim/sys.h"
#include "common/cleanup.h"

#define CAPS_MAX 64

/* Root of the cell, before anything is touched: until then files are made as the host's root. */
int step_reduce_identity(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    sigset_t none;

    (void)s;
    (void)step;
    (void)fd;
    for (int i = 1; i <= SIGRTMAX; i++) {
        (void)signal(i, SIG_DFL); /* what the shim ignores, the command must not */
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)umask(0022);
    if (SYS(setgroups(0, NULL)) < 0 || SYS(setresgid(0, 0, 0)) < 0 || SYS(setresuid(0, 0, 0)) < 0) {
        return err_set(e, errno, "become the container's root");
    }
    if (SYS(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)) < 0) {
        return err_set(e, errno, "close /proc to others");
    }
    return SYS(setsid()) >= 0 ? 0 : err_set(e, errno, "start a session");
}

int step_reduce_hostname(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    const char *name = plan_text(&s->plan, step->text);

    (void)fd;
    return SYS(sethostname(name, strlen(name))) == 0 ? 0 : err_set(e, errno, "set %s", name);
}

int step_reduce_keyring(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    (void)s;
    (void)step;
    (void)fd;
    if (SYS(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL)) < 0 && errno != ENOSYS) {
        return err_set(e, errno, "begin a new one"); /* ENOSYS: a kernel without keys */
    }
    return 0;
}

int step_reduce_rlimit(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    struct rlimit now, want;

    (void)s;
    (void)fd;
    if (SYS(getrlimit((int)step->which, &now)) < 0) {
        return err_set(e, errno, "read limit %u", step->which);
    }
    want.rlim_max = step->number2 < now.rlim_max ? step->number2 : now.rlim_max;
    want.rlim_cur = step->number < want.rlim_max ? step->number : want.rlim_max;
    if (SYS(setrlimit((int)step->which, &want)) < 0) {
        return err_set(e, errno, "set limit %u", step->which);
    }
    return 0;
}

int step_reduce_nnp(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    (void)s;
    (void)step;
    (void)fd;
    return SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) == 0 ? 0 : err_set(e, errno, "set it");
}

/* ---- capabilities ---- */

static int drop_bounding(uint64_t keep, struct err *e)
{
    for (unsigned cap = 0; cap < CAPS_MAX; cap++) {
        if ((keep & 1ull << cap) != 0) {
            continue;
        }
        if (SYS(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0)) < 0) {
            if (errno == EINVAL && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) < 0) {
                return 0; /* one more than this kernel has */
            }
            return err_set(e, errno, "drop %u from the bounding set", cap);
        }
    }
    return 0;
}

static int set_caps(uint64_t caps, struct err *e)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    uint32_t low = (uint32_t)caps, high = (uint32_t)(caps >> 32);
    struct __user_cap_data_struct data[2] = {{low, low, 0}, {high, high, 0}};

    if (SYS(syscall(SYS_capset, &header, data)) < 0) {
        return err_set(e, errno, "capset");
    }
    if (SYS(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)) < 0) {
        return err_set(e, errno, "clear the ambient set");
    }
    return 0;
}

/* Capabilities that this kernel does not know cannot be kept. */
static uint64_t known_caps(uint64_t caps)
{
    for (unsigned cap = 0; cap < CAPS_MAX; cap++) {
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) < 0) {
            return cap == 0 ? 0 : caps & ((1ull << cap) - 1);
        }
    }
    return caps;
}

int step_reduce_caps(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    uint64_t caps = s->uid == 0 ? known_caps(step->number) : 0;
    int rc = drop_bounding(caps, e);

    (void)fd;
    if (rc < 0) {
        return rc;
    }
    if (SYS(setgroups(s->n_groups, s->groups)) < 0 || SYS(setresgid(s->gid, s->gid, s->gid)) < 0 ||
        SYS(setresuid(s->uid, s->uid, s->uid)) < 0) {
        return err_set(e, errno, "become %u:%u", s->uid, s->gid);
    }
    return set_caps(caps, e);
}

/* ---- the last two ---- */

/* Input is /dev/null, checked to be the device; nothing above 2 outlives execve. */
int step_reduce_fds(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    int null = SYS(open("/dev/null", O_RDONLY | O_CLOEXEC | O_NOCTTY));
    struct stat st;

    (void)step;
    (void)fd;
    if (null < 0 || fstat(null, &st) < 0) {
        return err_set(e, errno, "open /dev/null");
    }
    if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3)) {
        return err_say(e, EINVAL, "/dev/null is not what it should be");
    }
    if (SYS(dup2(null, 0)) < 0 || SYS(dup2(s->out_fds[0], 1)) < 0 ||
        SYS(dup2(s->out_fds[1], 2)) < 0) {
        return err_set(e, errno, "place the three");
    }
    if (SYS(sys_close_range(3, ~0u, CLOSE_RANGE_CLOEXEC)) < 0) {
        return err_set(e, errno, "close the rest");
    }
    return 0;
}

int step_reduce_seccomp(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    struct sock_fprog program = {
        .len = (unsigned short)(step->list.len / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)(uintptr_t)(s->plan.bytes + step->list.at),
    };

    (void)fd;
    if (SYS(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) < 0) {
        return err_set(e, errno, "load the filter");
    }
    return 0;
}
