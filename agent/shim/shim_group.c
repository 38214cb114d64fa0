// SPDX-License-Identifier: Apache-2.0
/* What is in a cgroup: killing it whole, waiting until it is empty, removing it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/shim/shim.h"
#include "agent/shim/sys.h"
#include "common/cleanup.h"

#define PAUSE_MS   2
#define FREEZE_MS  500
#define PROCS_READ 65536

/* ---- who is in it ---- */

/* Kills everybody in one directory's cgroup.procs. Returns how many there were. */
static int kill_listed(int dir_fd)
{
    static char text[PROCS_READ];
    auto_close int fd = openat(dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n;
    int seen = 0;

    if (fd < 0) {
        return -errno;
    }
    while (len < sizeof(text) - 1 && (n = read(fd, text + len, sizeof(text) - 1 - len)) > 0) {
        len += (size_t)n;
    }
    text[len] = '\0';
    for (char *at = text; *at != '\0'; seen++) {
        long pid = strtol(at, &at, 10);

        if (pid > 1) {
            (void)kill((pid_t)pid, SIGKILL);
        }
        at += *at == '\n';
    }
    return seen;
}

/* Calls `fn` for the group and each directly below it (those of `exec`). Returns the sum. */
static int each_group(const char *path, int (*fn)(int dir_fd))
{
    auto_closedir DIR *dir = opendir(path);
    struct dirent *d;
    int sum;

    if (dir == NULL) {
        return -errno;
    }
    sum = fn(dirfd(dir));
    while (sum >= 0 && (d = readdir(dir)) != NULL) {
        auto_close int fd = -1;
        int n;

        if (d->d_type != DT_DIR || d->d_name[0] == '.') {
            continue;
        }
        fd = openat(dirfd(dir), d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        n = fd >= 0 ? fn(fd) : 0;
        sum += n > 0 ? n : 0;
    }
    return sum;
}

/* ---- killing ---- */

static int set_frozen(const char *path, const char *state)
{
    char file[PLAN_PATH_MAX + 32];

    (void)snprintf(file, sizeof(file), "%s/freezer.state", path);
    return step_write(AT_FDCWD, file, state);
}

static bool is_frozen(const char *path)
{
    char file[PLAN_PATH_MAX + 32], text[16] = "";
    auto_close int fd = -1;

    (void)snprintf(file, sizeof(file), "%s/freezer.state", path);
    fd = open(file, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && strncmp(text, "FROZEN", 6) == 0;
}

/* Nobody can fork away while all are frozen. */
static int kill_frozen(const char *path)
{
    uint64_t deadline = shim_clock_ms(CLOCK_BOOTTIME) + FREEZE_MS;
    int seen, rc = set_frozen(path, "FROZEN");

    while (rc == 0 && !is_frozen(path) && shim_poll_ms(deadline) > 0) {
        (void)poll(NULL, 0, 1);
    }
    seen = each_group(path, kill_listed);
    (void)set_frozen(path, "THAWED");
    return seen;
}

int shim_group_kill(const char *path, bool v2, bool freezer)
{
    char file[PLAN_PATH_MAX + 32];

    if (access(path, F_OK) < 0) {
        return -errno;
    }
    if (v2) {
        (void)snprintf(file, sizeof(file), "%s/cgroup.kill", path);
        (void)step_write(AT_FDCWD, file, "1");
    }
    return freezer ? kill_frozen(path) : each_group(path, kill_listed);
}

int shim_group_empty(const char *path, bool v2, bool freezer, uint64_t deadline_ms, struct err *e)
{
    for (;;) {
        int seen = shim_group_kill(path, v2, freezer);

        if (seen == 0 || seen == -ENOENT) {
            return 0;
        }
        if (seen < 0) {
            return err_set(e, seen, "look into %s", path);
        }
        if (shim_poll_ms(deadline_ms) == 0) {
            return err_say(e, ETIMEDOUT, "%d processes in %s do not end", seen, path);
        }
        (void)poll(NULL, 0, PAUSE_MS);
    }
}

/* ---- removing ---- */

static void remove_below(const char *path)
{
    auto_closedir DIR *dir = opendir(path);
    struct dirent *d;

    while (dir != NULL && (d = readdir(dir)) != NULL) {
        if (d->d_type == DT_DIR && d->d_name[0] != '.') {
            (void)unlinkat(dirfd(dir), d->d_name, AT_REMOVEDIR);
        }
    }
}

int shim_group_remove(const char *path, uint64_t deadline_ms, struct err *e)
{
    for (;;) {
        remove_below(path);
        if (rmdir(path) == 0 || errno == ENOENT) {
            return 0;
        }
        if (errno != EBUSY || shim_poll_ms(deadline_ms) == 0) {
            return err_set(e, errno, "remove %s", path);
        }
        (void)poll(NULL, 0, PAUSE_MS);
    }
}
