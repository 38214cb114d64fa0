// SPDX-License-Identifier: Apache-2.0
/* Steps: /proc, /dev, /sys and the view of the cgroups. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/shim/mnt.h"
#include "agent/shim/step.h"
#include "agent/shim/sys.h"
#include "common/cleanup.h"

#define NOTHING_SPECIAL (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* Puts a detached mount onto a directory of this name in `dir_fd`. */
static int place(int mount_fd, int dir_fd, const char *name, struct err *e)
{
    auto_close int target = mnt_own_dir(dir_fd, name, 0755, e);

    return target < 0 ? target : mnt_attach(mount_fd, target, e);
}

static int new_at(const char *type, const struct mnt_option *options, uint64_t attributes,
                  int dir_fd, const char *name, struct err *e)
{
    auto_close int fd = mnt_new(type, options, attributes, e);

    return fd < 0 ? fd : place(fd, dir_fd, name, e);
}

int step_fs_proc(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    (void)step;
    (void)fd;
    s->proc_fd = mnt_new("proc", NULL, NOTHING_SPECIAL, e);
    if (s->proc_fd < 0) {
        return s->proc_fd;
    }
    return place(s->proc_fd, s->root_fd, "proc", e);
}

/* ---- /dev ---- */

/* The shared tree, with the container's ids where tmpfs can (6.3); else its nodes show 65534. It is
 * read-only, as container root would own the nodes. */
int step_fs_dev_clone(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    const char *path = plan_text(&s->plan, step->text);
    uint64_t attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY;

    *fd = mnt_clone_mapped(AT_FDCWD, path, step->fd, attributes, e);
    if (*fd == -EINVAL) {
        *fd = mnt_clone(AT_FDCWD, path, attributes, e);
    }
    return *fd < 0 ? *fd : 0;
}

int step_fs_dev(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    static const struct mnt_option pts[] = {
        {"newinstance", NULL}, {"ptmxmode", "0666"}, {"mode", "0620"}, {"gid", "5"}, {NULL, NULL}};
    static const struct mnt_option shm[] = {{"mode", "1777"}, {"size", "65536k"}, {NULL, NULL}};
    int rc = place(*fd, s->root_fd, "dev", e);

    (void)step;
    s->dev_fd = *fd;
    if (rc == 0) {
        rc = new_at("devpts", pts, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, s->dev_fd, "pts", e);
    }
    if (rc == 0) {
        rc = new_at("tmpfs", shm, NOTHING_SPECIAL, s->dev_fd, "shm", e);
    }
    if (rc == 0) {
        rc = new_at("mqueue", NULL, NOTHING_SPECIAL, s->dev_fd, "mqueue", e);
    }
    return rc;
}

/* ---- /sys ---- */

/* In the host's network namespace no sysfs can be mounted from a user namespace: the container gets
 * the host's, alone (nothing that is mounted in it) and read-only. */
int step_fs_sys_clone(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    (void)s;
    if ((step->flags & PLAN_HOST_NET) == 0) {
        return 0;
    }
    *fd = mnt_clone(AT_FDCWD, "/sys", NOTHING_SPECIAL | MOUNT_ATTR_RDONLY, e);
    return *fd < 0 ? *fd : 0;
}

int step_fs_sys(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    (void)step;
    s->sys_fd = *fd >= 0 ? *fd : mnt_new("sysfs", NULL, NOTHING_SPECIAL | MOUNT_ATTR_RDONLY, e);
    return s->sys_fd < 0 ? s->sys_fd : place(s->sys_fd, s->root_fd, "sys", e);
}

/* ---- /sys/fs/cgroup ---- */

/* One v1 hierarchy, named by its controllers ("cpu,cpuacct"). */
static int place_v1(int dir_fd, const char *name, struct err *e)
{
    struct mnt_option options[8] = {{NULL, NULL}};
    char words[128];
    char *at = words;

    (void)snprintf(words, sizeof(words), "%s", name);
    for (unsigned i = 0; i < ARRAY_LEN(options) - 1 && at != NULL; i++) {
        char *comma = strchr(at, ',');

        options[i].key = at;
        at = comma != NULL ? comma + 1 : NULL;
        if (comma != NULL) {
            *comma = '\0';
        }
    }
    return new_at("cgroup", options, NOTHING_SPECIAL | MOUNT_ATTR_RDONLY, dir_fd, name, e);
}

static int place_all_v1(struct step_state *s, const struct plan_step *step, int dir_fd,
                        struct err *e)
{
    static const struct mnt_option small[] = {
        {"mode", "0755"}, {"size", "16k"}, {"nr_inodes", "32"}, {NULL, NULL}};
    auto_close int tmp = mnt_new("tmpfs", small, NOTHING_SPECIAL, e);
    const char *name = plan_text(&s->plan, step->list);
    int rc = tmp < 0 ? tmp : mnt_attach(tmp, dir_fd, e);

    for (uint32_t i = 0; i < step->n && rc == 0; i++, name += strlen(name) + 1) {
        rc = place_v1(tmp, name, e);
    }
    return rc == 0 ? mnt_set(tmp, MOUNT_ATTR_RDONLY, e) : rc;
}

int step_fs_cgroups(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    auto_close int dir = mnt_resolve(s->sys_fd, "fs/cgroup", O_PATH | O_DIRECTORY);
    auto_close int v2 = -1;

    (void)fd;
    if (dir < 0) {
        return err_set(e, dir, "open /sys/fs/cgroup");
    }
    if ((step->flags & PLAN_V2) == 0) {
        return place_all_v1(s, step, dir, e);
    }
    v2 = mnt_new("cgroup2", NULL, NOTHING_SPECIAL | MOUNT_ATTR_RDONLY, e);
    return v2 < 0 ? v2 : mnt_attach(v2, dir, e);
}
