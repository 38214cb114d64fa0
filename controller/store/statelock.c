// SPDX-License-Identifier: Apache-2.0
#include "controller/store/statelock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "common/cleanup.h"

static int busy(int fd, const char *dir, struct err *e)
{
    char holder[128];
    ssize_t n = pread(fd, holder, sizeof(holder) - 1, 0);

    holder[n > 0 ? n : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    return err_say(e, EBUSY, "%s belongs to another controller (%s)", dir,
                   n > 0 ? holder : "which does not say who it is");
}

static int sign(int fd, const char *dir, struct err *e)
{
    char text[128];
    char when[32];
    time_t now = time(NULL);
    struct tm tm;
    int len;

    (void)gmtime_r(&now, &tm);
    (void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    len = snprintf(text, sizeof(text), "pid %d, since %s\n", (int)getpid(), when);
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)len, 0) != len) {
        return err_set(e, errno, "write %s/lock", dir);
    }
    return 0;
}

static int check(int dir_fd, const char *dir, struct err *e)
{
    struct stat st;

    if (fstat(dir_fd, &st) < 0) {
        return err_set(e, errno, "stat %s", dir);
    }
    if (st.st_uid != geteuid() || (st.st_mode & 022) != 0) {
        return err_say(e, EPERM, "%s must belong to uid %u and not be writable for others", dir,
                       (unsigned)geteuid());
    }
    return 0;
}

int statelock_take(const char *dir, int *ret_fd, struct err *e)
{
    auto_close int dir_fd = -1;
    auto_close int fd = -1;
    int rc;

    if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
        return err_set(e, errno, "make %s", dir);
    }
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0) {
        return err_set(e, errno, "open %s", dir);
    }
    rc = check(dir_fd, dir, e);
    if (rc < 0) {
        return rc;
    }
    fd = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return err_set(e, errno, "open %s/lock", dir);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        return errno == EWOULDBLOCK ? busy(fd, dir, e) : err_set(e, errno, "lock %s", dir);
    }
    rc = sign(fd, dir, e);
    if (rc == 0) {
        *ret_fd = take_fd(&fd);
    }
    return rc;
}
