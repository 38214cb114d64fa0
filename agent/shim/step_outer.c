// SPDX-License-Identifier: Apache-2.0
/* Steps: what the shim prepares as host root. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/shim/step.h"
#include "agent/shim/sys.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

/* Opens a private directory of ours, making it and its parent if they are missing. */
static int open_dir(const char *path, struct err *e)
{
    char parent[PLAN_PATH_MAX];
    const char *slash = strrchr(path, '/');
    int fd;

    (void)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
    if (parent[0] != '\0' && SYS(mkdir(parent, 0700)) < 0 && errno != EEXIST) {
        return err_set(e, errno, "make %s", parent);
    }
    if (SYS(mkdir(path, 0700)) < 0 && errno != EEXIST) {
        return err_set(e, errno, "make %s", path);
    }
    fd = SYS(open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    return fd >= 0 ? fd : err_set(e, errno, "open %s", path);
}

/* The run directory, and in it who we are, before anything else is made. */
int step_outer_record(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    const char *text = plan_text(&s->plan, step->text2);
    int rc = record_parse(text, strlen(text), &s->record, e);

    (void)fd;
    if (rc == 0) {
        s->record.shim_pid = (uint32_t)getpid();
        rc = record_start_time(s->record.shim_pid, &s->record.shim_start, e);
    }
    if (rc < 0) {
        return rc;
    }
    FAILPOINT("shim.run.before_dir");
    s->run_fd = open_dir(plan_text(&s->plan, step->text), e);
    FAILPOINT("shim.run.after_dir");
    return s->run_fd < 0 ? s->run_fd : record_write(s->run_fd, &s->record, e);
}

/* The container may open /dev/stdout anew, whoever it runs as. */
static int make_pipe(int *ret_read, int *ret_write, struct err *e)
{
    int fds[2];

    if (SYS(pipe2(fds, O_CLOEXEC)) < 0) {
        return err_set(e, errno, "make a pipe");
    }
    (void)fchmod(fds[1], 0622);
    *ret_read = fds[0];
    *ret_write = fds[1];
    return 0;
}

int step_outer_log(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    const char *path = plan_text(&s->plan, step->text);
    char dir[PLAN_PATH_MAX];
    auto_close int dir_fd = -1;
    int rc = 0;

    (void)fd;
    (void)snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);
    dir_fd = open_dir(dir, e);
    if (dir_fd < 0) {
        return dir_fd;
    }
    rc = shimlog_open(&s->log, take_fd(&dir_fd), strrchr(path, '/') + 1, step->number,
                      (unsigned)step->number2, e);
    for (unsigned i = 0; i < SHIMLOG_STREAMS && rc == 0; i++) {
        rc = make_pipe(&s->log.streams[i].fd, &s->out_fds[i], e);
    }
    return rc;
}

int step_outer_mntns(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    (void)s;
    (void)fd;
    sys_keep_failpoint();
    if (SYS(setns(step->fd, CLONE_NEWNS)) < 0) {
        return err_set(e, errno, "setns");
    }
    return chdir("/") == 0 ? 0 : err_set(e, errno, "change to its root");
}

/* `u` is the container root's; `w` stays ours, or overlayfs could not use it. */
int step_outer_dirs(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    const char *base = plan_text(&s->plan, step->text);
    auto_close int dir_fd = -1;
    uid_t root = (uid_t)step->number;

    (void)fd;
    FAILPOINT("shim.dirs.before_mkdir");
    if (SYS(mkdir(base, 0700)) < 0) {
        return err_set(e, errno, "make %s", base);
    }
    FAILPOINT("shim.dirs.after_mkdir");
    dir_fd = SYS(open(base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (dir_fd < 0) {
        return err_set(e, errno, "open %s", base);
    }
    if (SYS(mkdirat(dir_fd, "u", 0755)) < 0 || SYS(mkdirat(dir_fd, "w", 0700)) < 0) {
        return err_set(e, errno, "make directories in %s", base);
    }
    if (SYS(fchownat(dir_fd, "u", root, root, AT_SYMLINK_NOFOLLOW)) < 0) {
        return err_set(e, errno, "give %s/u to the container", base);
    }
    return 0;
}

/* Whole seconds of each clock now: then both begin near 0 inside, and the host's uptime is not
 * seen. Last before the clone, since kernel 6.1 refuses CLONE_VM from here on. */
int step_outer_time(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    struct timespec boot, mono;
    char text[96];
    int rc;

    (void)s;
    (void)step;
    (void)fd;
    if (SYS(unshare(CLONE_NEWTIME)) < 0) {
        return err_set(e, errno, "unshare");
    }
    (void)clock_gettime(CLOCK_BOOTTIME, &boot);
    (void)clock_gettime(CLOCK_MONOTONIC, &mono);
    (void)snprintf(text, sizeof(text), "boottime -%lld 0\nmonotonic -%lld 0\n",
                   (long long)boot.tv_sec, (long long)mono.tv_sec);
    rc = step_write(AT_FDCWD, "/proc/self/timens_offsets", text);
    return rc == 0 ? 0 : err_set(e, rc, "write the offsets");
}

int step_outer_enter(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    (void)fd;
    (void)e;
    s->userns_fd = step->fd;
    s->netns_fd = step->fd2;
    s->oom_adj = (uint32_t)step->number;
    return 0;
}
