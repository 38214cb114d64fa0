// SPDX-License-Identifier: Apache-2.0
/* Steps: the container's root file system. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/shim/mnt.h"
#include "agent/shim/step.h"
#include "agent/shim/sys.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

#define OVERLAY_ATTRIBUTES (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
#define STORE_ATTRIBUTES   (OVERLAY_ATTRIBUTES | MOUNT_ATTR_RDONLY)

struct overlay {
    const char *layers; /* names, one behind the other, top first */
    uint32_t n;
    const char *base;
    int store_fd; /* idmapped clone of the layer store */
};

/* ---- kernels since 6.5: layers one by one, from a detached clone ---- */

/* The kernel's own sentence about what it did not like, if it has one. */
static int overlay_error(int fs, int code, const char *what, struct err *e)
{
    char text[256];
    ssize_t n = read(fs, text, sizeof(text) - 1);

    if (n <= 0) {
        return err_set(e, code, "%s", what);
    }
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return err_set(e, code, "%s (%s)", what, text);
}

static int add_layers(const struct overlay *o, int fs, struct err *e)
{
    const char *name = o->layers;

    if (sys_denied("lowerdir+")) {
        return err_say(e, EINVAL, "lowerdir+ is denied");
    }
    for (uint32_t i = 0; i < o->n; i++, name += strlen(name) + 1) {
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", o->store_fd, name);
        if (SYS(fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", path, 0)) < 0) {
            return overlay_error(fs, errno, name, e);
        }
    }
    return 0;
}

/* Relative names, because options are seen inside, in /proc/self/mountinfo. */
static int add_upper(const struct overlay *o, int fs, struct err *e)
{
    if (SYS(chdir(o->base)) < 0) {
        return err_set(e, errno, "change to %s", o->base);
    }
    if (SYS(fsconfig(fs, FSCONFIG_SET_STRING, "upperdir", "u", 0)) < 0 ||
        SYS(fsconfig(fs, FSCONFIG_SET_STRING, "workdir", "w", 0)) < 0 ||
        SYS(fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL, 0)) < 0) {
        return overlay_error(fs, errno, "set options of overlayfs", e);
    }
    return 0;
}

static int overlay_new(const struct overlay *o, struct err *e)
{
    auto_close int fs = SYS(fsopen("overlay", FSOPEN_CLOEXEC));
    int rc, fd;

    if (fs < 0) {
        return err_set(e, errno, "open overlayfs");
    }
    rc = add_layers(o, fs, e);
    if (rc == 0) {
        rc = add_upper(o, fs, e);
    }
    if (rc == 0 && SYS(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) < 0) {
        rc = overlay_error(fs, errno, "make the overlay", e);
    }
    (void)!chdir("/");
    if (rc < 0) {
        return rc;
    }
    fd = SYS(fsmount(fs, FSMOUNT_CLOEXEC, OVERLAY_ATTRIBUTES));
    return fd >= 0 ? fd : err_set(e, errno, "mount the overlay");
}

/* ---- kernel 6.1: layers must be attached where the caller is, and named in one string ---- */

/* One page for all options. Upper and work are named from their directory, as they are seen inside.
 */
static int overlay_options(const struct overlay *o, char *ret, size_t size, struct err *e)
{
    const char *name = o->layers;
    size_t len = (size_t)snprintf(ret, size, "userxattr,lowerdir=");

    for (uint32_t i = 0; i < o->n && len < size; i++, name += strlen(name) + 1) {
        len += (size_t)snprintf(ret + len, size - len, "%s" PLAN_LAYERS_AT "/%s", i > 0 ? ":" : "",
                                name);
    }
    if (len < size) {
        len += (size_t)snprintf(ret + len, size - len, ",upperdir=u,workdir=w");
    }
    return len < size ? 0 : err_say(e, E2BIG, "the names of %u layers fill a page", o->n);
}

/* Mounts at PLAN_ROOT_AT and picks it up as a detached clone. */
static int overlay_attached(const struct overlay *o, struct err *e)
{
    char options[4096];
    int fd, rc = overlay_options(o, options, sizeof(options), e);

    if (rc < 0) {
        return rc;
    }
    if (SYS(chdir(o->base)) < 0 ||
        SYS(mount("overlay", PLAN_ROOT_AT, "overlay", MS_NOSUID | MS_NODEV, options)) < 0) {
        return err_set(e, errno, "mount the overlay at " PLAN_ROOT_AT);
    }
    fd = SYS(open_tree(AT_FDCWD, PLAN_ROOT_AT, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    if (fd < 0) {
        rc = err_set(e, errno, "clone " PLAN_ROOT_AT);
    }
    (void)umount2(PLAN_ROOT_AT, MNT_DETACH);
    return fd >= 0 ? fd : rc;
}

static int overlay_old(const struct overlay *o, struct err *e)
{
    int fd;

    if (SYS(unshare(CLONE_NEWNS)) < 0) { /* other shims are in the same mount namespace */
        return err_set(e, errno, "unshare the mount namespace");
    }
    if (SYS(move_mount(o->store_fd, "", AT_FDCWD, PLAN_LAYERS_AT, MOVE_MOUNT_F_EMPTY_PATH)) < 0) {
        return err_set(e, errno, "attach the layers at " PLAN_LAYERS_AT);
    }
    fd = overlay_attached(o, e);
    (void)!chdir("/");
    (void)umount2(PLAN_LAYERS_AT, MNT_DETACH);
    return fd;
}

/* Kernels before 6.5 know no lowerdir+, and write a line into their log when they are asked. */
static bool is_old_kernel(void)
{
    struct utsname uts;
    unsigned long major, minor;
    char *end;

    if (uname(&uts) < 0) {
        return false;
    }
    major = strtoul(uts.release, &end, 10);
    minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
    return major < 6 || (major == 6 && minor < 5);
}

/* What a kernel says that does not know the new way. */
static bool is_unknown(int rc)
{
    return rc == -EINVAL || rc == -ENODATA || rc == -EOPNOTSUPP || rc == -ENOSYS;
}

int step_root_make(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    auto_close int store =
        mnt_clone_mapped(AT_FDCWD, plan_text(&s->plan, step->text), step->fd, STORE_ATTRIBUTES, e);
    struct overlay o = {.layers = plan_text(&s->plan, step->list),
                        .n = step->n,
                        .base = plan_text(&s->plan, step->text2),
                        .store_fd = store};
    int root;

    if (store < 0) {
        return store;
    }
    FAILPOINT("shim.root.before_mount");
    root = is_old_kernel() ? -ENOSYS : overlay_new(&o, e);
    if (root < 0 && is_unknown(root)) {
        root = overlay_old(&o, e);
    }
    FAILPOINT("shim.root.after_mount");
    *fd = root;
    return root < 0 ? root : 0;
}

int step_root_place(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    (void)step;
    if (SYS(move_mount(*fd, "", AT_FDCWD, PLAN_ROOT_AT, MOVE_MOUNT_F_EMPTY_PATH)) < 0) {
        return err_set(e, errno, "attach at " PLAN_ROOT_AT);
    }
    s->root_fd = *fd;
    return 0;
}

int step_root_switch(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    (void)fd;
    if ((step->flags & PLAN_READONLY) != 0 && mnt_set(s->root_fd, MOUNT_ATTR_RDONLY, e) < 0) {
        return e->code;
    }
    if (SYS(fchdir(s->root_fd)) < 0 || SYS(syscall(SYS_pivot_root, ".", ".")) < 0) {
        return err_set(e, errno, "pivot_root");
    }
    if (SYS(umount2(".", MNT_DETACH)) < 0) {
        return err_set(e, errno, "let go of the host's root");
    }
    return SYS(chdir("/")) == 0 ? 0 : err_set(e, errno, "change to the root");
}
