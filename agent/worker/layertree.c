// SPDX-License-Identifier: Apache-2.0
#include "agent/worker/layertree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/cleanup.h"

void layertree_init(struct layertree *tree, int root_fd)
{
    *tree = (struct layertree){.root_fd = root_fd, .dir_fd = -1};
}

void layertree_finish(struct layertree *tree)
{
    cleanup_close(&tree->dir_fd);
    tree->dir_fd = -1;
}

/* Links are resolved as if the root were "/": openat2(2), RESOLVE_IN_ROOT. */
static int open_in_root(int root_fd, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};

    return (int)syscall(SYS_openat2, root_fd, path[0] != '\0' ? path : ".", &how, sizeof(how));
}

/* Opens `prefix`, a leading part of a path, or makes it in its parent `parent_fd`. */
static int open_or_make(int root_fd, int parent_fd, const char *prefix, struct err *e)
{
    char scratch[TARPATH_SHOW];
    const char *base = strrchr(prefix, '/');
    int fd = open_in_root(root_fd, prefix);

    base = base != NULL ? base + 1 : prefix;
    if (fd < 0 && errno == ENOENT) {
        if (mkdirat(parent_fd, base, 0755) < 0) {
            return err_set(e, errno, "make its directory '%s'", tarpath_show(prefix, scratch));
        }
        fd = open_in_root(root_fd, prefix);
    }
    return fd < 0 ? err_set(e, errno, "open its directory '%s'", tarpath_show(prefix, scratch))
                  : fd;
}

static int open_each(int root_fd, const char *dir, struct err *e)
{
    char prefix[TARPATH_MAX];
    auto_close int fd = open_in_root(root_fd, "");
    const char *p = dir;

    if (fd < 0) {
        return err_set(e, errno, "open the layer's root");
    }
    while (*p != '\0') {
        const char *slash = strchrnul(p, '/');
        size_t len = (size_t)(slash - dir);
        int next;

        memcpy(prefix, dir, len);
        prefix[len] = '\0';
        next = open_or_make(root_fd, fd, prefix, e);
        if (next < 0) {
            return next;
        }
        (void)close(fd);
        fd = next;
        p = *slash == '/' ? slash + 1 : slash;
    }
    return take_fd(&fd);
}

int layertree_dir(struct layertree *tree, const char *dir, bool make, struct err *e)
{
    char scratch[TARPATH_SHOW];
    int fd;

    if (tree->dir_fd >= 0 && strcmp(tree->dir, dir) == 0) {
        return tree->dir_fd;
    }
    fd = open_in_root(tree->root_fd, dir);
    if (fd < 0 && errno == ENOENT && make) {
        fd = open_each(tree->root_fd, dir, e);
        if (fd < 0) {
            return fd;
        }
    }
    if (fd < 0) {
        return err_set(e, errno, "open directory '%s'", tarpath_show(dir, scratch));
    }
    layertree_finish(tree);
    tree->dir_fd = fd;
    memcpy(tree->dir, dir, strlen(dir) + 1);
    return fd;
}

int layertree_clear(struct layertree *tree, int dir_fd, const char *base, bool want_dir,
                    bool *ret_hidden, struct err *e)
{
    struct stat st;
    int rc;

    *ret_hidden = false;
    if (fstatat(dir_fd, base, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return errno == ENOENT ? 0 : err_set(e, errno, "look for an earlier entry");
    }
    if (S_ISDIR(st.st_mode) && want_dir) {
        return 1;
    }
    *ret_hidden = S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
    rc = unlinkat(dir_fd, base, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
    if (rc < 0 && (errno == ENOTEMPTY || errno == EEXIST)) {
        return err_say(e, EEXIST, "it would replace a directory that is not empty");
    }
    if (rc < 0) {
        return err_set(e, errno, "replace an earlier entry");
    }
    if (tree->dir_fd != dir_fd) {
        layertree_finish(tree); /* what was removed may have been part of its path */
    } else {
        memcpy(tree->dir, "//", 3); /* not found again, but stays open for this entry */
    }
    return 0;
}

int layertree_mark_opaque(int dir_fd, struct err *e)
{
    return fsetxattr(dir_fd, "user.overlay.opaque", "y", 1, 0) < 0
               ? err_set(e, errno, "mark the directory as opaque")
               : 0;
}

static int mark_existing(int dir_fd, const char *base, struct err *e)
{
    auto_close int fd = openat(dir_fd, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? err_set(e, errno, "open the directory it hides") : layertree_mark_opaque(fd, e);
}

int layertree_hide(int dir_fd, const char *base, struct err *e)
{
    struct stat st;

    if (fstatat(dir_fd, base, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        return S_ISDIR(st.st_mode) ? mark_existing(dir_fd, base, e) : 0;
    }
    if (errno != ENOENT) {
        return err_set(e, errno, "look for an earlier entry");
    }
    return mknodat(dir_fd, base, S_IFCHR | 0600, makedev(0, 0)) < 0
               ? err_set(e, errno, "make the whiteout")
               : 0;
}
