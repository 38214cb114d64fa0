// SPDX-License-Identifier: Apache-2.0
#include "agent/shim/mnt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "agent/shim/sys.h"
#include "common/cleanup.h"

#define INSIDE (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
#define DIRECT (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
#define TRIES  64 /* EAGAIN: somebody renames in a volume that is shared */

static int set_option(int fd, const struct mnt_option *o)
{
    return o->value == NULL ? SYS(fsconfig(fd, FSCONFIG_SET_FLAG, o->key, NULL, 0))
                            : SYS(fsconfig(fd, FSCONFIG_SET_STRING, o->key, o->value, 0));
}

int mnt_new(const char *type, const struct mnt_option *options, uint64_t attributes, struct err *e)
{
    auto_close int fs = SYS(fsopen(type, FSOPEN_CLOEXEC));
    int fd;

    if (fs < 0) {
        return err_set(e, errno, "open file system %s", type);
    }
    for (const struct mnt_option *o = options; o != NULL && o->key != NULL; o++) {
        if (set_option(fs, o) < 0) {
            return err_set(e, errno, "set %s of %s", o->key, type);
        }
    }
    if (SYS(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) < 0) {
        return err_set(e, errno, "make %s", type);
    }
    fd = SYS(fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)attributes));
    return fd >= 0 ? fd : err_set(e, errno, "mount %s", type);
}

static int set_attributes(int fd, struct mount_attr *attr)
{
    return SYS(mount_setattr(fd, "", AT_EMPTY_PATH, attr, sizeof(*attr)));
}

int mnt_set(int fd, uint64_t attributes, struct err *e)
{
    struct mount_attr attr = {.attr_set = attributes};

    return set_attributes(fd, &attr) == 0 ? 0 : err_set(e, errno, "set attributes of a mount");
}

static int clone_tree(int dir_fd, const char *path)
{
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;

    return SYS(open_tree(dir_fd, path, flags | (path[0] == '\0' ? AT_EMPTY_PATH : 0)));
}

int mnt_clone(int dir_fd, const char *path, uint64_t attributes, struct err *e)
{
    struct mount_attr attr = {.attr_set = attributes};
    auto_close int fd = clone_tree(dir_fd, path);

    if (fd < 0) {
        return err_set(e, errno, "clone the mount of \"%s\"", path);
    }
    if (set_attributes(fd, &attr) < 0) {
        return err_set(e, errno, "set attributes of the mount of \"%s\"", path);
    }
    return take_fd(&fd);
}

int mnt_clone_mapped(int dir_fd, const char *path, int userns_fd, uint64_t attributes,
                     struct err *e)
{
    struct mount_attr attr = {.attr_set = attributes | MOUNT_ATTR_IDMAP,
                              .userns_fd = (unsigned)userns_fd};
    auto_close int fd = clone_tree(dir_fd, path);

    if (fd < 0) {
        return err_set(e, errno, "clone the mount of \"%s\"", path);
    }
    if (set_attributes(fd, &attr) < 0) {
        return errno == EINVAL
                   ? err_say(e, EINVAL, "the file system of \"%s\" cannot map user ids", path)
                   : err_set(e, errno, "map the ids of \"%s\"", path);
    }
    return take_fd(&fd);
}

int mnt_attach(int mount_fd, int target_fd, struct err *e)
{
    if (SYS(move_mount(mount_fd, "", target_fd, "",
                       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)) < 0) {
        return err_set(e, errno, "attach a mount");
    }
    return 0;
}

/* ---- places ---- */

static int open_place(int dir_fd, const char *path, uint64_t flags, uint64_t resolve)
{
    int fd = -1;

    for (unsigned i = 0; i < TRIES; i++) {
        fd = SYS(sys_openat2(dir_fd, path, flags | O_CLOEXEC, 0, resolve));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) {
            break;
        }
    }
    return fd >= 0 ? fd : -errno;
}

int mnt_resolve(int root_fd, const char *path, uint64_t flags)
{
    return open_place(root_fd, path, flags, INSIDE);
}

int mnt_own_dir(int dir_fd, const char *name, unsigned mode, struct err *e)
{
    int fd = open_place(dir_fd, name, O_PATH | O_DIRECTORY, DIRECT);

    if (fd == -ENOENT) {
        if (SYS(mkdirat(dir_fd, name, mode)) < 0) {
            return err_set(e, errno, "make /%s", name);
        }
        fd = open_place(dir_fd, name, O_PATH | O_DIRECTORY, DIRECT);
    }
    if (fd == -ELOOP || fd == -ENOTDIR) {
        return err_say(e, fd, "/%s of the image is not a directory", name);
    }
    return fd >= 0 ? fd : err_set(e, fd, "open /%s", name);
}

/* One more component below `dir` (O_PATH); takes `dir`. */
static int step_down(int root_fd, int dir, const char *path, size_t len, unsigned mode,
                     struct err *e)
{
    auto_close int parent = dir;
    char part[PATH_MAX];
    const char *name;
    int fd;

    (void)snprintf(part, sizeof(part), "%.*s", (int)len, path);
    name = strrchr(part, '/') != NULL ? strrchr(part, '/') + 1 : part;
    fd = mnt_resolve(root_fd, part, O_PATH | O_DIRECTORY);
    if (fd == -ENOENT) {
        if (SYS(mkdirat(parent, name, mode)) < 0) {
            return err_set(e, errno, "make directory %s", part);
        }
        fd = mnt_resolve(root_fd, part, O_PATH | O_DIRECTORY);
    }
    return fd >= 0 ? fd : err_set(e, fd, "open directory %s", part);
}

int mnt_make_dirs(int root_fd, const char *path, unsigned mode, struct err *e)
{
    int fd = mnt_resolve(root_fd, "/", O_PATH | O_DIRECTORY);
    size_t at = 1;

    if (fd < 0) {
        return err_set(e, fd, "open the root");
    }
    while (fd >= 0 && path[at] != '\0') {
        size_t end = at + strcspn(path + at, "/");

        fd = step_down(root_fd, fd, path, end, mode, e);
        at = path[end] == '/' ? end + 1 : end;
    }
    return fd;
}

/* Makes what is missing of a mount point. */
static int make_target(int root_fd, const char *path, bool is_dir, struct err *e)
{
    char parent[PATH_MAX];
    const char *name = strrchr(path, '/') + 1;
    auto_close int dir = -1, fd = -1;
    int made;

    if (is_dir) {
        return mnt_make_dirs(root_fd, path, 0755, e);
    }
    (void)snprintf(parent, sizeof(parent), "%.*s", (int)(name - path), path);
    dir = mnt_make_dirs(root_fd, parent, 0755, e);
    if (dir < 0) {
        return dir;
    }
    fd = SYS(openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (fd < 0) {
        return err_set(e, errno, "make file %s", path);
    }
    made = mnt_resolve(root_fd, path, O_PATH);
    return made >= 0 ? made : err_set(e, made, "open file %s", path);
}

static bool is_kernels_own(int fd)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0) {
        return true;
    }
    return fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ||
           fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC ||
           fs.f_type == DEVPTS_SUPER_MAGIC;
}

int mnt_target(int root_fd, const char *path, bool is_dir, struct err *e)
{
    auto_close int fd = mnt_resolve(root_fd, path, O_PATH);
    struct stat st;

    if (fd == -ENOENT) {
        fd = make_target(root_fd, path, is_dir, e);
        if (fd < 0) {
            return fd;
        }
    }
    if (fd < 0 || fstat(fd, &st) < 0) {
        return err_set(e, fd < 0 ? fd : errno, "open mount point %s", path);
    }
    if (is_kernels_own(fd)) {
        return err_say(e, EPERM, "mount point %s leads into the kernel's own file systems", path);
    }
    if (S_ISDIR(st.st_mode) != is_dir) {
        return err_say(e, is_dir ? ENOTDIR : EISDIR, "mount point %s is %sa directory", path,
                       is_dir ? "not " : "");
    }
    return take_fd(&fd);
}
