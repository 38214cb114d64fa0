// SPDX-License-Identifier: Apache-2.0
/* Steps: volumes, host directories, tmpfs, and the files below /etc. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/shim/mnt.h"
#include "agent/shim/step.h"
#include "agent/shim/sys.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

/* mkdir -p on the host, as Docker does for a bind whose source is missing. */
static int make_source(const char *path, struct err *e)
{
    char part[PLAN_PATH_MAX];

    for (size_t at = 1; at > 0;) {
        size_t end = at + strcspn(path + at, "/");

        (void)snprintf(part, sizeof(part), "%.*s", (int)end, path);
        if (SYS(mkdir(part, 0755)) < 0 && errno != EEXIST) {
            return err_set(e, errno, "make %s", part);
        }
        at = path[end] == '/' ? end + 1 : 0;
    }
    return 0;
}

/* Picks the source up while the agent's mount namespace is around us: a detached clone with the
 * container's ids. What is mounted below it does not come along. */
int step_mount_source(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    const char *source = plan_text(&s->plan, step->text2);
    uint64_t attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

    if (source[0] == '\0') {
        return 0; /* a tmpfs */
    }
    if ((step->flags & PLAN_READONLY) != 0) {
        attributes |= MOUNT_ATTR_RDONLY;
    }
    if ((step->flags & PLAN_CREATE) != 0 && access(source, F_OK) < 0 &&
        make_source(source, e) < 0) {
        return e->code;
    }
    FAILPOINT("shim.mount.before_clone");
    *fd = mnt_clone_mapped(AT_FDCWD, source, step->fd, attributes, e);
    return *fd < 0 ? *fd : 0;
}

static int new_tmpfs(const struct plan_step *step, struct err *e)
{
    char size[24], mode[16];
    struct mnt_option options[] = {{"size", size}, {"mode", mode}, {NULL, NULL}};
    uint64_t attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

    (void)snprintf(size, sizeof(size), "%" PRIu64, step->number);
    (void)snprintf(mode, sizeof(mode), "%o", (unsigned)step->number2);
    if ((step->flags & PLAN_READONLY) != 0) {
        attributes |= MOUNT_ATTR_RDONLY;
    }
    return mnt_new("tmpfs", options, attributes, e);
}

static int place(struct step_state *s, const char *path, int mount_fd, struct err *e)
{
    auto_close int target = -1;
    struct stat st;

    if (fstat(mount_fd, &st) < 0) {
        return err_set(e, errno, "look at the source of %s", path);
    }
    target = mnt_target(s->root_fd, path, S_ISDIR(st.st_mode), e);
    if (target < 0) {
        return target;
    }
    return mnt_attach(mount_fd, target, e) < 0 ? err_wrap(e, "%s", path) : 0;
}

int step_mount_place(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    if (*fd < 0) {
        *fd = new_tmpfs(step, e);
    }
    return *fd < 0 ? *fd : place(s, plan_text(&s->plan, step->text), *fd, e);
}

/* ---- files ---- */

static int write_file(int dir_fd, const char *name, const char *text)
{
    auto_close int fd =
        SYS(openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
    size_t len = strlen(text);

    if (fd < 0 || fchmod(fd, 0644) < 0) {
        return -errno;
    }
    return SYS(write(fd, text, len)) == (ssize_t)len ? 0 : -EIO;
}

/* Written into the run directory, shown read-only. */
int step_mount_file(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    const char *name = strrchr(plan_text(&s->plan, step->text), '/') + 1;
    int rc = write_file(s->run_fd, name, plan_text(&s->plan, step->text2));

    if (rc < 0) {
        return err_set(e, rc, "write %s", name);
    }
    *fd =
        mnt_clone(s->run_fd, name,
                  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, e);
    return *fd < 0 ? *fd : 0;
}

int step_mount_file_place(struct step_state *s, const struct plan_step *step, int *fd,
                          struct err *e)
{
    return place(s, plan_text(&s->plan, step->text), *fd, e);
}
