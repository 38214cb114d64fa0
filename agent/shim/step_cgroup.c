// SPDX-License-Identifier: Apache-2.0
/* Steps: control groups. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/shim/oomcount.h"
#include "agent/shim/step.h"
#include "agent/shim/sys.h"
#include "common/failpoint.h"

/* The shim's own group, and its place in the queue of an out-of-memory kill. */
int step_cgroup_self(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    const char *path = plan_text(&s->plan, step->list);
    char adj[16];
    int rc;

    (void)fd;
    for (uint32_t i = 0; i < step->n; i++, path += strlen(path) + 1) {
        rc = step_write(AT_FDCWD, path, "0");
        if (rc < 0) {
            return err_set(e, rc, "join %s", path);
        }
    }
    (void)snprintf(adj, sizeof(adj), "%d", (int)step->number);
    rc = step_write(AT_FDCWD, "/proc/self/oom_score_adj", adj);
    if (rc < 0 && rc != -EACCES && rc != -EPERM) { /* no CAP_SYS_RESOURCE: it stays where it is */
        return err_set(e, rc, "write /proc/self/oom_score_adj");
    }
    return 0;
}

/* v1: the child writes itself into `tasks` (one thread, no wait); v2: it is born there. */
static int open_to_join(struct step_state *s, const char *dir, bool v2, int *fd, struct err *e)
{
    char path[PLAN_PATH_MAX + 16];

    if (v2) {
        s->cgroup_fd = SYS(open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC));
        return s->cgroup_fd >= 0 ? 0 : err_set(e, errno, "open %s", dir);
    }
    (void)snprintf(path, sizeof(path), "%s/tasks", dir);
    *fd = SYS(open(path, O_WRONLY | O_CLOEXEC));
    return *fd >= 0 ? 0 : err_set(e, errno, "open %s", path);
}

/* exec: a group of its own below the container's, so that all of it can be killed. */
static int make_own(struct step_state *s, const char *dir, bool v2, struct err *e)
{
    char path[sizeof(s->own_group)];

    if ((size_t)snprintf(path, sizeof(path), "%s/exec-%d", dir, (int)getpid()) >= sizeof(path)) {
        return err_say(e, ENAMETOOLONG, "%s is too long", dir);
    }
    if (SYS(mkdir(path, 0755)) < 0 && errno != EEXIST) {
        return err_set(e, errno, "make %s", path);
    }
    memcpy(s->own_group, path, sizeof(path));
    s->own_v2 = v2;
    return 0;
}

int step_cgroup_make(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    const char *dir = plan_text(&s->plan, step->text);
    bool v2 = (step->flags & PLAN_V2) != 0;
    int rc = 0;

    FAILPOINT("shim.cgroup.before_mkdir");
    if ((step->flags & PLAN_OWN) != 0) {
        rc = make_own(s, dir, v2, e);
        dir = s->own_group;
    } else if (s->kind == PLAN_RUN && SYS(mkdir(dir, 0755)) < 0) {
        rc = err_set(e, errno, "make %s", dir);
    }
    FAILPOINT("shim.cgroup.after_mkdir");
    if (rc < 0 || (step->flags & PLAN_ATTACH) == 0) {
        return rc;
    }
    return open_to_join(s, dir, v2, fd, e);
}

int step_cgroup_join(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    if (*fd >= 0 && SYS(write(*fd, "0", 1)) != 1) {
        return err_set(e, errno, "join %s", plan_text(&s->plan, step->text));
    }
    return 0;
}

int step_cgroup_set(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    const char *path = plan_text(&s->plan, step->text);
    const char *value = plan_text(&s->plan, step->text2);
    int rc = step_write(AT_FDCWD, path, value);

    (void)fd;
    if (rc == -ENOENT && (step->flags & PLAN_OPTIONAL) != 0) {
        return 0;
    }
    return rc == 0 ? 0 : err_set(e, rc, "write %s to %s", value, path);
}

int step_cgroup_oom(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    const char *path = plan_text(&s->plan, step->text);

    (void)fd;
    s->oom_fd = SYS(open(path, O_RDONLY | O_CLOEXEC));
    if (s->oom_fd < 0) {
        return err_set(e, errno, "open %s", path);
    }
    s->oom_kills = oomcount_read(s->oom_fd);
    return 0;
}

/* Only after joining: then the container sees its own groups as the roots. */
int step_cgroup_ns(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    (void)step;
    (void)fd;
    if (s->kind == PLAN_EXEC) {
        return SYS(setns(s->pidfd, CLONE_NEWCGROUP)) == 0 ? 0 : err_set(e, errno, "setns");
    }
    return SYS(unshare(CLONE_NEWCGROUP)) == 0 ? 0 : err_set(e, errno, "unshare");
}
