// SPDX-License-Identifier: Apache-2.0
/* What the agent keeps beside its journal: the health of each run in the run directory, so that a
 * new agent goes on with it, and one directory of logs per incarnation, which goes when the
 * incarnation does. Health is a file of a few bytes on a tmpfs; logs are removed on libuv's pool,
 * because unlinking them frees megabytes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/uv_agent_priv.h"
#include "common/cleanup.h"
#include "common/failpoint.h"
#include "common/log.h"

#define HEALTH_DIR "health"

static void health_name(uint64_t incarnation, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%" PRIx64, incarnation);
}

static int health_dir(const struct uv_agent *a, struct err *e)
{
    auto_free char *path = xasprintf("%s/" HEALTH_DIR, a->dirs.run_path);

    return statedir_mkdirs(path, e);
}

static int write_health(int dir, const char *name, const char *text)
{
    char tmp[40];
    auto_close int fd = -1;
    ssize_t len = (ssize_t)strlen(text);

    (void)snprintf(tmp, sizeof(tmp), ".%s", name);
    fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return -errno;
    }
    if (write(fd, text, (size_t)len) != len) {
        return -EIO;
    }
    FAILPOINT("agent.health.before_rename");
    return renameat(dir, tmp, dir, name) < 0 ? -errno : 0;
}

void uv_agent_keep_health(struct uv_agent *a, const struct node_container *c)
{
    struct unit *u = uv_agent_unit(a, c->want.incarnation);
    struct err e = {0};
    auto_close int dir = -1;
    char name[24], text[48];
    int rc;

    if (u == NULL || (u->saved_health == c->health && u->saved_run == c->run)) {
        return;
    }
    u->saved_health = c->health;
    u->saved_run = c->run;
    dir = health_dir(a, &e);
    if (dir < 0) {
        log_warn("%s: its health cannot be kept: %s", u->name, e.text);
        return;
    }
    health_name(c->want.incarnation, name, sizeof(name));
    (void)snprintf(text, sizeof(text), "%u %d\n", (unsigned)c->run, (int)c->health);
    rc = write_health(dir, name, text);
    if (rc < 0) {
        log_warn("%s: its health cannot be kept: %s", u->name, strerror(-rc));
    }
}

enum health_state uv_agent_keep_read(const struct uv_agent *a, struct node_of of)
{
    auto_close int dir = health_dir(a, NULL);
    auto_close int fd = -1;
    char name[24], text[48];
    ssize_t n;
    char *end;

    health_name(of.incarnation, name, sizeof(name));
    fd = dir >= 0 ? openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (n <= 0) {
        return HEALTH_NONE;
    }
    text[n] = '\0';
    if (strtoul(text, &end, 10) != of.run || end[0] != ' ' || end[1] < '0' + HEALTH_NONE ||
        end[1] > '0' + HEALTH_UNHEALTHY) {
        return HEALTH_NONE;
    }
    return (enum health_state)(end[1] - '0');
}

/* ---- logs ---- */

struct removal {
    uv_work_t work;
    struct uv_agent *agent;
    char *path;
    struct err e;
};

/* Only files of ours lie there, one level deep. */
static int remove_logs(const char *path, struct err *e)
{
    auto_closedir DIR *dir = opendir(path);
    struct dirent *d;

    if (dir == NULL) {
        return errno == ENOENT ? 0 : err_set(e, errno, "open %s", path);
    }
    while ((d = readdir(dir)) != NULL) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0) {
            continue;
        }
        if (unlinkat(dirfd(dir), d->d_name, 0) < 0) {
            return err_set(e, errno, "remove %s/%s", path, d->d_name);
        }
    }
    return rmdir(path) < 0 && errno != ENOENT ? err_set(e, errno, "remove %s", path) : 0;
}

static void on_remove(uv_work_t *work)
{
    struct removal *r = container_of(work, struct removal, work);

    (void)remove_logs(r->path, &r->e);
}

static void on_removed(uv_work_t *work, int status)
{
    struct removal *r = container_of(work, struct removal, work);

    (void)status;
    if (r->e.code < 0) {
        log_warn("old logs: %s", r->e.text);
    }
    uv_agent_release(r->agent);
    free(r->path);
    free(r);
}

static void drop_logs(struct uv_agent *a, const char *name)
{
    struct removal *r = xcalloc(1, sizeof(*r));

    r->agent = a;
    r->path = xasprintf("%s/logs/%s", a->dirs.state_path, name);
    uv_agent_hold(a);
    if (uv_queue_work(a->loop, &r->work, on_remove, on_removed) < 0) {
        die("uv_queue_work refused the removal of logs");
    }
}

void uv_agent_keep_drop(struct uv_agent *a, uint64_t incarnation)
{
    auto_close int dir = health_dir(a, NULL);
    char name[24];

    health_name(incarnation, name, sizeof(name));
    if (dir >= 0) {
        (void)unlinkat(dir, name, 0);
    }
    drop_logs(a, name);
}

/* ---- at the start ---- */

static void sweep_dir(struct uv_agent *a, const char *path,
                      void (*drop)(struct uv_agent *a, const char *name))
{
    auto_closedir DIR *dir = opendir(path);
    struct dirent *d;

    while (dir != NULL && (d = readdir(dir)) != NULL) {
        char *end;
        uint64_t incarnation = strtoull(d->d_name, &end, 16);

        if (*end == '\0' && incarnation > 0 && uv_agent_unit(a, incarnation) == NULL) {
            drop(a, d->d_name);
        }
    }
}

static void drop_health(struct uv_agent *a, const char *name)
{
    auto_close int dir = health_dir(a, NULL);

    if (dir >= 0) {
        (void)unlinkat(dir, name, 0);
    }
}

void uv_agent_keep_sweep(struct uv_agent *a)
{
    auto_free char *logs = xasprintf("%s/logs", a->dirs.state_path);
    auto_free char *health = xasprintf("%s/" HEALTH_DIR, a->dirs.run_path);

    sweep_dir(a, logs, drop_logs);
    sweep_dir(a, health, drop_health);
}
