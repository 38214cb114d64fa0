// SPDX-License-Identifier: Apache-2.0
/* Steps: who the command runs as, and where. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/shim/mnt.h"
#include "agent/shim/step.h"
#include "agent/shim/sys.h"
#include "agent/shim/userdb.h"
#include "common/cleanup.h"

int step_user_find(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    struct userdb_user user;
    int rc;

    (void)fd;
    rc = userdb_find(plan_text(&s->plan, step->text), "/etc/passwd", "/etc/group", &user, e);
    if (rc < 0) {
        return rc;
    }
    s->uid = user.uid;
    s->gid = user.gid;
    s->n_groups = user.n_groups;
    memcpy(s->groups, user.groups, sizeof(s->groups));
    (void)snprintf(s->home, sizeof(s->home), "HOME=%s", user.home);
    return 0;
}

/* Made if it is missing, as Docker does; resolved in the container's root and never through a magic
 * link, so that a descriptor of ours cannot become a way out. */
int step_user_cwd(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    auto_close int root = SYS(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    auto_close int dir = -1;
    const char *path = plan_text(&s->plan, step->text);

    (void)fd;
    if (root < 0) {
        return err_set(e, errno, "open /");
    }
    dir = mnt_resolve(root, path, O_PATH | O_DIRECTORY);
    if (dir == -ENOENT) {
        dir = mnt_make_dirs(root, path, 0755, e);
        if (dir < 0) {
            return dir;
        }
    }
    if (dir < 0) {
        return err_set(e, dir, "open %s", path);
    }
    return SYS(fchdir(dir)) == 0 ? 0 : err_set(e, errno, "change to %s", path);
}
