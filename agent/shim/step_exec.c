// SPDX-License-Identifier: Apache-2.0
/* Steps: finding and executing the command. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/shim/shim_init.h"
#include "agent/shim/step.h"
#include "agent/shim/sys.h"

/* Fills a NULL-terminated array; the strings stay in the plan. */
static unsigned take_list(const struct step_state *s, const struct plan_step *step, char **ret)
{
    const char *at = plan_text(&s->plan, step->list);
    unsigned n;

    for (n = 0; n < step->n; n++, at += strlen(at) + 1) {
        ret[n] = (char *)(uintptr_t)at;
    }
    ret[n] = NULL;
    return n;
}

static const char *value_of(const struct step_state *s, const char *key)
{
    size_t n = strlen(key);

    for (unsigned i = 0; s->env[i] != NULL; i++) {
        if (strncmp(s->env[i], key, n) == 0 && s->env[i][n] == '=') {
            return s->env[i] + n + 1;
        }
    }
    return NULL;
}

int step_exec_env(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    unsigned n = take_list(s, step, s->env);

    (void)fd;
    (void)e;
    if (value_of(s, "HOME") == NULL) {
        s->env[n++] = s->home;
        s->env[n] = NULL;
    }
    s->search = value_of(s, "PATH");
    return 0;
}

/* ---- finding ---- */

static int check_program(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0) {
        return -errno;
    }
    if (!S_ISREG(st.st_mode)) {
        return -EACCES;
    }
    return access(path, X_OK) == 0 ? 0 : -errno;
}

/* As execvp does it: the first that can be executed; one that cannot is remembered. */
static int search_path(struct step_state *s, const char *name)
{
    const char *at = s->search != NULL ? s->search : "";
    int found = -ENOENT;

    while (at != NULL) {
        const char *colon = strchr(at, ':');
        size_t len = colon != NULL ? (size_t)(colon - at) : strlen(at);
        int rc = -ENOENT;

        if ((size_t)snprintf(s->path, sizeof(s->path), "%.*s/%s", (int)len, len > 0 ? at : ".",
                             name) < sizeof(s->path) &&
            len > 0) {
            rc = check_program(s->path);
        }
        if (rc == 0) {
            return 0;
        }
        found = rc == -EACCES ? rc : found;
        at = colon != NULL ? colon + 1 : NULL;
    }
    return found;
}

int step_exec_find(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    const char *name;
    int rc;

    (void)fd;
    if (take_list(s, step, s->argv) == 0) {
        return err_say(e, EINVAL, "empty");
    }
    name = s->argv[0];
    if (strchr(name, '/') == NULL) {
        rc = search_path(s, name);
        return rc == -ENOENT ? err_say(e, rc, "exec \"%.200s\": not found in PATH", name)
                             : (rc < 0 ? err_set(e, rc, "exec \"%.200s\"", name) : 0);
    }
    if ((size_t)snprintf(s->path, sizeof(s->path), "%s", name) >= sizeof(s->path)) {
        return err_set(e, ENAMETOOLONG, "exec \"%.200s\"", name);
    }
    rc = check_program(s->path);
    return rc < 0 ? err_set(e, rc, "exec \"%.200s\"", name) : 0;
}

/* ---- executing ---- */

/* `init`: the reaper is this program again, out of the same memfd. */
int step_exec_self(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    (void)fd;
    if ((step->flags & PLAN_INIT) == 0) {
        return 0;
    }
    s->self_fd = SYS(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    return s->self_fd >= 0 ? 0 : err_set(e, errno, "open /proc/self/exe");
}

/* argv becomes: SHIM_INIT_NAME, path, argv… */
static void exec_init(struct step_state *s)
{
    unsigned n = 0;

    while (s->argv[n] != NULL) {
        n++;
    }
    memmove(s->argv + 2, s->argv, (n + 1) * sizeof(s->argv[0]));
    s->argv[0] = (char *)(uintptr_t)SHIM_INIT_NAME;
    s->argv[1] = s->path;
    (void)syscall(SYS_execveat, s->self_fd, "", s->argv, s->env, AT_EMPTY_PATH);
}

int step_exec_run(struct step_state *s, const struct plan_step *step, int *fd, struct err *e)
{
    (void)fd;
    if ((step->flags & PLAN_INIT) != 0) {
        exec_init(s);
        return err_set(e, errno, "execute the init of \"%.200s\"", s->argv[2]);
    }
    (void)execve(s->path, s->argv, s->env);
    return err_set(e, errno, "exec \"%.200s\"", s->argv[0]);
}
