// SPDX-License-Identifier: Apache-2.0
/* Steps: what is hidden or frozen of /proc and /sys. Files show our own /dev/null, checked by its
 * device number; directories show one empty read-only directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/shim/mnt.h"
#include "agent/shim/step.h"
#include "agent/shim/sys.h"
#include "common/cleanup.h"

#define FROZEN (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* A path in our own /proc or /sys, without links. -ENOENT: this kernel has none. */
static int open_own(struct step_state *s, const char *path)
{
    int root = strncmp(path, "/proc/", 6) == 0 ? s->proc_fd : s->sys_fd;
    const char *below = strchr(path + 1, '/') + 1;
    int fd = SYS(sys_openat2(root, below, O_PATH | O_CLOEXEC, 0,
                             RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS));

    return fd >= 0 ? fd : -errno;
}

static int null_clone(struct step_state *s, struct err *e)
{
    auto_close int null = SYS(sys_openat2(s->dev_fd, "null", O_PATH | O_CLOEXEC, 0,
                                          RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS));
    struct stat st;

    if (null < 0 || fstat(null, &st) < 0) {
        return err_set(e, errno, "open /dev/null");
    }
    if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3)) {
        return err_say(e, EINVAL, "/dev/null is not what it should be");
    }
    return mnt_clone(null, "", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, e);
}

/* The first is a new tmpfs, every other a clone of it. */
static int empty_clone(struct step_state *s, struct err *e)
{
    static const struct mnt_option options[] = {
        {"size", "4k"}, {"nr_inodes", "2"}, {"mode", "0555"}, {NULL, NULL}};

    if (s->empty_fd >= 0) {
        return mnt_clone(s->empty_fd, "", FROZEN, e);
    }
    s->empty_fd = mnt_new("tmpfs", options, FROZEN, e);
    return s->empty_fd < 0 ? s->empty_fd : dup(s->empty_fd);
}

static int hide(struct step_state *s, int target, struct err *e)
{
    auto_close int cover = -1;
    struct stat st;

    if (fstat(target, &st) < 0) {
        return err_set(e, errno, "stat");
    }
    cover = S_ISDIR(st.st_mode) ? empty_clone(s, e) : null_clone(s, e);
    return cover < 0 ? cover : mnt_attach(cover, target, e);
}

static int freeze(struct step_state *s, int target, struct err *e)
{
    auto_close int same = mnt_clone(target, "", FROZEN, e);

    (void)s;
    return same < 0 ? same : mnt_attach(same, target, e);
}

static int each(struct step_state *s, const struct plan_step *step,
                int (*fn)(struct step_state *, int, struct err *), struct err *e)
{
    const char *path = plan_text(&s->plan, step->list);

    for (uint32_t i = 0; i < step->n; i++, path += strlen(path) + 1) {
        auto_close int target = open_own(s, path);

        if (target == -ENOENT || target == -ENOTDIR) {
            continue;
        }
        if (target < 0) {
            return err_set(e, target, "open %s", path);
        }
        if (fn(s, target, e) < 0) {
            return err_wrap(e, "%s", path);
        }
    }
    return 0;
}

int step_mask_hide(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    (void)fd;
    return each(s, step, hide, e);
}

int step_mask_freeze(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    (void)fd;
    return each(s, step, freeze, e);
}
