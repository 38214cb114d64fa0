// SPDX-License-Identifier: Apache-2.0
/* What all runs share: made at the start, by blocking calls, before the loop turns. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/capnames.h"
#include "agent/nodefacts.h"
#include "agent/shim/plan.h"
#include "agent/statedir.h"
#include "agent/uv_engine_priv.h"
#include "common/cleanup.h"

/* ---- making ---- */

static int make_dir(const char *parent, const char *name, struct err *e)
{
    auto_free char *path = xasprintf("%s/%s", parent, name);
    auto_close int fd = statedir_mkdirs(path, e);

    return fd < 0 ? fd : 0;
}

static int open_shims_group(struct uv_engine *en, struct err *e)
{
    auto_free char *path = NULL;

    if (en->groups.kind != CGROUPS_V2) {
        return 0;
    }
    path = cgroups_path(&en->groups, 0, CGROUPS_SHIMS);
    en->shims_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return en->shims_fd < 0 ? err_set(e, errno, "open control group %s", path) : 0;
}

static int make_groups(struct uv_engine *en, struct err *e)
{
    struct nodefacts facts;
    int rc = cgroups_detect(&en->groups, e);

    rc = rc < 0 ? rc : nodefacts_read(&facts, e);
    rc = rc < 0 ? rc
                : cgroups_make_parent(&en->groups, en->config.cgroup_parent, facts.memory_bytes, e);
    return rc < 0 ? rc : open_shims_group(en, e);
}

/* The filter of the common case is compiled before anybody waits for it. */
static int warm_filter(struct uv_engine *en, struct err *e)
{
    const struct buf *filter;

    return sysfilter_get(&en->sandbox.filters, capnames_default(true), &filter, e);
}

static int make(struct uv_engine *en, struct err *e)
{
    const struct uv_engine_config *c = &en->config;
    int rc = make_dir(c->run_path, "runs", e);

    rc = rc < 0 ? rc : make_dir(c->state_path, "upper", e);
    rc = rc < 0 ? rc : statedir_boot_id(en->sandbox.boot_id, e);
    rc = rc < 0 ? rc : make_groups(en, e);
    rc = rc < 0 ? rc
                : shimhome_make(c->state_path, c->run_path, &en->groups, c->shim_program, &en->home,
                                e);
    return rc < 0 ? rc : warm_filter(en, e);
}

static void finish(struct uv_engine *en)
{
    cgroups_drop_parent(&en->groups);
    cgroups_finish(&en->groups);
    shimhome_finish(&en->home);
    plan_sandbox_finish(&en->sandbox);
    cleanup_close(&en->shims_fd);
    free(en);
}

int uv_engine_create(uv_loop_t *loop, const struct uv_engine_config *config, struct uv_engine **ret,
                     struct err *e)
{
    struct uv_engine *en = xcalloc(1, sizeof(*en));
    int rc;

    static_assert(RECORD_BOOT_ID == STATEDIR_BOOT_ID, "one kind of boot id");
    en->loop = loop;
    en->config = *config;
    en->home = SHIMHOME_NONE;
    en->shims_fd = -1;
    en->sandbox.state_path = config->state_path;
    en->sandbox.run_path = config->run_path;
    en->sandbox.layers_path = config->layers_path;
    en->sandbox.dev_path = SHIMHOME_DEV;
    en->sandbox.groups = &en->groups;
    rc = make(en, e);
    if (rc < 0) {
        finish(en);
        return rc;
    }
    (void)uv_timer_init(loop, &en->timer);
    en->live = 1;
    *ret = en;
    return 0;
}

/* ---- closing ---- */

void uv_engine_release(struct uv_engine *en)
{
    void (*closed)(void *arg) = en->closed;
    void *arg = en->closed_arg;

    assert(en->live > 0);
    if (--en->live > 0) {
        return;
    }
    finish(en);
    closed(arg);
}

static void on_timer_closed(uv_handle_t *handle)
{
    uv_engine_release(container_of((uv_timer_t *)handle, struct uv_engine, timer));
}

void uv_engine_close(struct uv_engine *en, void (*closed)(void *arg), void *arg)
{
    assert(!en->closing);
    en->closing = true;
    en->closed = closed;
    en->closed_arg = arg;
    uv_engine_runs_close(en);
    uv_engine_jobs_close(en);
    uv_close((uv_handle_t *)&en->timer, on_timer_closed);
}

/* ---- for the parts ---- */

struct shimspawn uv_engine_spawn(const struct uv_engine *en, const char *mode)
{
    return (struct shimspawn){
        .program_fd = en->home.program_fd, .cgroup_fd = en->shims_fd, .mode = mode};
}

int uv_engine_run_dir(const struct uv_engine *en, struct node_of of)
{
    char name[RECORD_NAME_MAX];
    auto_free char *path = NULL;
    int fd;

    record_name(of.incarnation, of.run, name);
    path = xasprintf("%s/runs/%s", en->config.run_path, name);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

/* ---- what is told about the host ---- */

const char *uv_engine_degraded(const struct uv_engine *en)
{
    return cgroups_degraded(&en->groups);
}

const char *uv_engine_cgroup(const struct uv_engine *en)
{
    return cgroups_kind_name(en->groups.kind);
}
