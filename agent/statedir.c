// SPDX-License-Identifier: Apache-2.0
#include "agent/statedir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"

#define LOCK_NAME     "lock"
#define BOOT_NAME     "boot"
#define LOCK_TRIES    20
#define LOCK_PAUSE_NS (25 * 1000 * 1000)

static int read_small(int dir_fd, const char *name, char *ret, size_t size)
{
    auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n;

    if (fd < 0) {
        return -errno;
    }
    n = read(fd, ret, size - 1);
    if (n < 0) {
        return -errno;
    }
    ret[n] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
    return 0;
}

static int write_small(int dir_fd, const char *name, const char *text)
{
    char tmp[64];
    auto_close int fd = -1;

    (void)snprintf(tmp, sizeof(tmp), "%s.new", name);
    fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
        return errno != 0 ? -errno : -EIO;
    }
    return renameat(dir_fd, tmp, dir_fd, name) < 0 ? -errno : 0;
}

int statedir_boot_id(char ret[STATEDIR_BOOT_ID + 1], struct err *e)
{
    int rc = read_small(AT_FDCWD, "/proc/sys/kernel/random/boot_id", ret, STATEDIR_BOOT_ID + 1);

    if (rc < 0) {
        return err_set(e, rc, "read /proc/sys/kernel/random/boot_id");
    }
    return 0;
}

static int make_parents(const char *path, struct err *e)
{
    auto_free char *copy = xstrdup(path);

    for (char *p = copy + 1; *p != '\0'; p++) {
        if (*p != '/') {
            continue;
        }
        *p = '\0';
        if (mkdir(copy, 0755) < 0 && errno != EEXIST) {
            return err_set(e, errno, "make directory %s", copy);
        }
        *p = '/';
    }
    return 0;
}

int statedir_mkdirs(const char *path, struct err *e)
{
    auto_close int fd = -1;
    struct stat st;

    if (path[0] != '/') {
        return err_say(e, EINVAL, "%s: a directory must be given by its absolute path", path);
    }
    if (make_parents(path, e) < 0) {
        return e != NULL ? e->code : -EIO;
    }
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        return err_set(e, errno, "make directory %s", path);
    }
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return err_set(e, errno, "open %s", path);
    }
    if (st.st_uid != geteuid()) {
        return err_say(e, EPERM, "%s belongs to user %u, not to the agent's", path,
                       (unsigned)st.st_uid);
    }
    if ((st.st_mode & 0077) != 0 && fchmod(fd, 0700) < 0) {
        return err_set(e, errno, "close %s to others", path);
    }
    return take_fd(&fd);
}

static int refuse(const struct statedir *dirs, struct err *e)
{
    char holder[128];

    if (read_small(dirs->state_fd, LOCK_NAME, holder, sizeof(holder)) < 0 || holder[0] == '\0') {
        return err_say(e, EBUSY, "another agent uses %s", dirs->state_path);
    }
    return err_say(e, EBUSY, "another agent uses %s: %s", dirs->state_path, holder);
}

/* What an agent was just making when it was killed, a shim or a namespace, shares its lock until it
 * has become itself or has noticed: that takes a moment. Nothing else waits for this yet. */
static int take_lock(int fd)
{
    const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};

    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || i == LOCK_TRIES) {
            return -errno;
        }
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

static int lock(struct statedir *dirs, struct err *e)
{
    char text[128], when[32];
    time_t now = time(NULL);
    struct tm tm;
    int n, rc;

    dirs->lock_fd =
        openat(dirs->state_fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (dirs->lock_fd < 0) {
        return err_set(e, errno, "open %s/%s", dirs->state_path, LOCK_NAME);
    }
    rc = take_lock(dirs->lock_fd);
    if (rc < 0) {
        return rc == -EWOULDBLOCK ? refuse(dirs, e) : err_set(e, rc, "lock %s", dirs->state_path);
    }
    (void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&now, &tm));
    n = snprintf(text, sizeof(text), "process %d, since %s\n", (int)getpid(), when);
    if (ftruncate(dirs->lock_fd, 0) < 0 || pwrite(dirs->lock_fd, text, (size_t)n, 0) != n) {
        return err_set(e, errno, "write %s/%s", dirs->state_path, LOCK_NAME);
    }
    return 0;
}

static int open_all(const char *state_path, const char *run_path, struct statedir *d, struct err *e)
{
    char seen[STATEDIR_BOOT_ID + 1] = "";

    d->state_fd = statedir_mkdirs(state_path, e);
    if (d->state_fd < 0) {
        return d->state_fd;
    }
    d->run_fd = statedir_mkdirs(run_path, e);
    if (d->run_fd < 0) {
        return d->run_fd;
    }
    if (lock(d, e) < 0 || statedir_boot_id(d->boot_id, e) < 0) {
        return e != NULL ? e->code : -EIO;
    }
    (void)read_small(d->run_fd, BOOT_NAME, seen, sizeof(seen));
    d->boot_changed = strcmp(seen, d->boot_id) != 0;
    return 0;
}

int statedir_open(const char *state_path, const char *run_path, struct statedir *ret, struct err *e)
{
    struct statedir d = {.state_path = xstrdup(state_path),
                         .run_path = xstrdup(run_path),
                         .state_fd = -1,
                         .run_fd = -1,
                         .lock_fd = -1};
    int rc = open_all(state_path, run_path, &d, e);

    if (rc < 0) {
        statedir_close(&d);
        return rc;
    }
    *ret = d;
    return 0;
}

int statedir_mark_boot(struct statedir *d, struct err *e)
{
    int rc = write_small(d->run_fd, BOOT_NAME, d->boot_id);

    if (rc < 0) {
        return err_set(e, rc, "write %s/%s", d->run_path, BOOT_NAME);
    }
    d->boot_changed = false;
    return 0;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

void statedir_close(struct statedir *d)
{
    close_fd(&d->lock_fd);
    close_fd(&d->run_fd);
    close_fd(&d->state_fd);
    free(d->state_path);
    free(d->run_path);
    d->state_path = NULL;
    d->run_path = NULL;
}
