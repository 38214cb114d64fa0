// SPDX-License-Identifier: Apache-2.0
#include "agent/treerm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

struct removal {
    int trash_fd;
    const char *path;
    uint64_t next; /* for names of directories that were moved up */
    long removed;
};

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static DIR *open_dir(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir;

    if (fd < 0) {
        return NULL;
    }
    dir = fdopendir(fd);
    if (dir == NULL) {
        (void)close(fd);
    }
    return dir;
}

/* Moves a directory that is not empty up into the trash directory, under a free name. */
static int move_up(struct removal *r, int dir_fd, const char *name, struct err *e)
{
    char up[32];

    for (;;) {
        (void)snprintf(up, sizeof(up), "t%" PRIu64, r->next++);
        if (renameat2(dir_fd, name, r->trash_fd, up, RENAME_NOREPLACE) == 0) {
            return 0;
        }
        if (errno != EEXIST) {
            return err_set(e, errno, "move %.100s out of %s", name, r->path);
        }
    }
}

/* Removes one entry of `dir_fd`; a directory that is not empty is moved up when `up` is set. */
static int remove_entry(struct removal *r, int dir_fd, const char *name, bool up, struct err *e)
{
    if (unlinkat(dir_fd, name, 0) == 0) {
        r->removed++;
        return 0;
    }
    if (errno != EISDIR && errno != EPERM) {
        return err_set(e, errno, "remove %.100s in %s", name, r->path);
    }
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0) {
        r->removed++;
        return 0;
    }
    if (errno != ENOTEMPTY && errno != EEXIST) {
        return err_set(e, errno, "remove %.100s in %s", name, r->path);
    }
    return up ? move_up(r, dir_fd, name, e) : 0;
}

/* Takes everything out of one directory of the trash, one level deep. */
static int flatten(struct removal *r, const char *name, struct err *e)
{
    auto_closedir DIR *dir = open_dir(r->trash_fd, name);
    struct dirent *d;

    if (dir == NULL) {
        return errno == ENOTDIR ? 0 : err_set(e, errno, "open %.100s in %s", name, r->path);
    }
    while ((d = readdir(dir)) != NULL) {
        int rc = is_dots(d->d_name) ? 0 : remove_entry(r, dirfd(dir), d->d_name, true, e);

        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* One pass over the trash directory. Returns whether it was empty, or a negative errno. */
static int pass(struct removal *r, struct err *e)
{
    auto_closedir DIR *dir = open_dir(r->trash_fd, ".");
    bool empty = true;
    struct dirent *d;

    if (dir == NULL) {
        return err_set(e, errno, "open %s", r->path);
    }
    while ((d = readdir(dir)) != NULL) {
        int rc = 0;

        if (is_dots(d->d_name)) {
            continue;
        }
        empty = false;
        if (d->d_type == DT_DIR || d->d_type == DT_UNKNOWN) {
            rc = flatten(r, d->d_name, e);
        }
        if (rc == 0) {
            rc = remove_entry(r, r->trash_fd, d->d_name, false, e);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return empty;
}

long treerm_empty(int trash_fd, const char *path, struct err *e)
{
    struct removal r = {.trash_fd = trash_fd, .path = path};
    int rc;

    do {
        rc = pass(&r, e);
    } while (rc == 0);
    return rc < 0 ? rc : r.removed;
}
