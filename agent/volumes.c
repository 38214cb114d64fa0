// SPDX-License-Identifier: Apache-2.0
#include "agent/volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "agent/statedir.h"
#include "common/cleanup.h"
#include "common/failpoint.h"
#include "common/name.h"

int volumes_open(const char *state_path, struct volumes *ret, struct err *e)
{
    struct volumes v = {.path = xasprintf("%s/volumes", state_path), .fd = -1, .trash_fd = -1};
    auto_free char *trash = xasprintf("%s/volumes/.trash", state_path);

    v.fd = statedir_mkdirs(v.path, e);
    if (v.fd >= 0) {
        v.trash_fd = statedir_mkdirs(trash, e);
    }
    if (v.fd < 0 || v.trash_fd < 0) {
        volumes_close(&v);
        return e != NULL ? e->code : -EIO;
    }
    *ret = v;
    return 0;
}

void volumes_close(struct volumes *v)
{
    if (v->fd >= 0) {
        (void)close(v->fd);
    }
    if (v->trash_fd >= 0) {
        (void)close(v->trash_fd);
    }
    free(v->path);
    *v = (struct volumes){.fd = -1, .trash_fd = -1};
}

/* Made complete under another name and renamed, so that half a volume is never found. */
static int make(struct volumes *v, const char *name, struct err *e)
{
    char tmp[NAME_MAX_LEN + 8], data[NAME_MAX_LEN + 16];

    (void)snprintf(tmp, sizeof(tmp), ".new-%s", name);
    (void)snprintf(data, sizeof(data), "%s/data", tmp);
    if ((mkdirat(v->fd, tmp, 0700) < 0 && errno != EEXIST) ||
        (mkdirat(v->fd, data, 0755) < 0 && errno != EEXIST)) {
        return err_set(e, errno, "make volume %s", name);
    }
    FAILPOINT("agent.volume.before_rename");
    if (renameat(v->fd, tmp, v->fd, name) < 0 || fsync(v->fd) < 0) {
        return err_set(e, errno, "make volume %s", name);
    }
    FAILPOINT("agent.volume.after_rename");
    return 0;
}

int volumes_ensure(struct volumes *v, const char *name, char **ret_path, bool *ret_made,
                   struct err *e)
{
    struct stat st;
    bool missing;

    if (!name_is_valid(name)) {
        return err_say(e, EINVAL, "volume %.80s: a name is %s", name, name_rule);
    }
    missing = fstatat(v->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0;
    if (missing && errno != ENOENT) {
        return err_set(e, errno, "look for volume %s", name);
    }
    if (missing && make(v, name, e) < 0) {
        return e != NULL ? e->code : -EIO;
    }
    if (!missing && !S_ISDIR(st.st_mode)) {
        return err_say(e, ENOTDIR, "volume %s: %s/%s is no directory", name, v->path, name);
    }
    *ret_made = missing;
    *ret_path = xasprintf("%s/%s/data", v->path, name);
    return 0;
}

int volumes_discard(struct volumes *v, const char *name, struct err *e)
{
    char to[NAME_MAX_LEN + 40];
    struct timespec now;

    if (!name_is_valid(name)) {
        return err_say(e, EINVAL, "volume %.80s: a name is %s", name, name_rule);
    }
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)snprintf(to, sizeof(to), "%s.%lld.%09ld", name, (long long)now.tv_sec, now.tv_nsec);
    FAILPOINT("agent.volume.before_discard");
    if (renameat(v->fd, name, v->trash_fd, to) < 0) {
        return errno == ENOENT ? err_say(e, ENOENT, "there is no volume %s on this node", name)
                               : err_set(e, errno, "discard volume %s", name);
    }
    FAILPOINT("agent.volume.after_discard");
    return fsync(v->fd) < 0 ? err_set(e, errno, "sync %s", v->path) : 0;
}

uint64_t volumes_bytes_free(const struct volumes *v)
{
    struct statvfs st;

    if (fstatvfs(v->fd, &st) < 0) {
        return 0;
    }
    return (uint64_t)st.f_bavail * st.f_frsize;
}

/* Whether `path` is `dir`, below it or above it. */
static bool overlaps(const char *path, const char *dir)
{
    size_t p = strlen(path), d = strlen(dir);
    size_t shorter = p < d ? p : d;

    if (strncmp(path, dir, shorter) != 0) {
        return false;
    }
    return p == d || (p < d ? (dir[p] == '/' || p == 1) : (path[d] == '/' || d == 1));
}

static int refuse_bind(const char *real, const char *state_path, const char *run_path,
                       struct err *e)
{
    static const char *const kernel[] = {"/proc", "/sys", "/dev"};

    if (overlaps(real, state_path) || overlaps(real, run_path)) {
        return err_say(e, EPERM, "bind mount %s: it holds the agent's own state", real);
    }
    for (unsigned i = 0; i < ARRAY_LEN(kernel); i++) {
        size_t len = strlen(kernel[i]);

        if (strncmp(real, kernel[i], len) == 0 && (real[len] == '\0' || real[len] == '/')) {
            return err_say(e, EPERM, "bind mount %s: %s of the host is not given to containers",
                           real, kernel[i]);
        }
    }
    return 0;
}

int volumes_check_bind(const char *source, bool create, const char *state_path,
                       const char *run_path, struct err *e)
{
    auto_free char *real = realpath(source, NULL);

    if (real == NULL && errno == ENOENT && create) {
        auto_free char *below = xasprintf("%s/.", source);

        for (char *p = strchr(below + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
            *p = '\0';
            if (mkdir(below, 0755) < 0 && errno != EEXIST) {
                return err_set(e, errno, "make %s for a bind mount", below);
            }
            *p = '/';
        }
        real = realpath(source, NULL);
    }
    if (real == NULL) {
        return err_set(e, errno, "bind mount %s", source);
    }
    return refuse_bind(real, state_path, run_path, e);
}
