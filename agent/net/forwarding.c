// SPDX-License-Identifier: Apache-2.0
#include "agent/net/forwarding.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/cleanup.h"

#define CONF6 "/proc/sys/net/ipv6/conf"

static int check_proc(int fd, const char *path, struct err *e)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC) {
        return err_say(e, EXDEV, "%s is not of a proc file system", path);
    }
    return 0;
}

static int switch_on(const char *path, struct err *e)
{
    auto_close int fd = open(path, O_RDWR | O_CLOEXEC);
    char now = '0';
    int rc;

    if (fd < 0) {
        return err_set(e, errno, "open %s", path);
    }
    rc = check_proc(fd, path, e);
    if (rc < 0 || (read(fd, &now, 1) == 1 && now == '1')) {
        return rc;
    }
    return pwrite(fd, "1", 1, 0) == 1 ? 0 : err_set(e, errno, "write to %s", path);
}

int forwarding_on(struct err *e)
{
    return switch_on("/proc/sys/net/ipv4/ip_forward", e);
}

static bool is_on(int dir, const char *file)
{
    auto_close int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
    char now = '0';

    return fd >= 0 && read(fd, &now, 1) == 1 && now == '1';
}

/* 1: while it does not forward; 2: also if it does. */
static void keep_heeding(int conf, const char *link)
{
    auto_close int dir = openat(conf, link, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    auto_close int fd = -1;

    if (dir < 0 || is_on(dir, "forwarding") || !is_on(dir, "accept_ra")) {
        return;
    }
    fd = openat(dir, "accept_ra", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "2", 1);
    }
}

static int keep_all_heeding(int conf, struct err *e)
{
    int fd = fcntl(conf, F_DUPFD_CLOEXEC, 0);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    if (dir == NULL) {
        return err_set(e, errno, "read " CONF6);
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "all") != 0) {
            keep_heeding(conf, entry->d_name);
        }
    }
    (void)closedir(dir);
    return 0;
}

int forwarding_on6(struct err *e)
{
    auto_close int conf = open(CONF6, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc;

    if (conf < 0) {
        return err_say(e, EAFNOSUPPORT, "this host's kernel has no IPv6");
    }
    rc = check_proc(conf, CONF6, e);
    if (rc == 0 && !is_on(conf, "all/forwarding")) {
        rc = keep_all_heeding(conf, e);
    }
    return rc == 0 ? switch_on(CONF6 "/all/forwarding", e) : rc;
}
