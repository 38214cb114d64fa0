// SPDX-License-Identifier: Apache-2.0
#include "agent/net/uv_unlink.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "agent/net/rtnl.h"
#include "common/cleanup.h"

struct jobs {
    struct uv_unlink_job *list;
    unsigned n;
    unsigned cap;
};

struct uv_unlink {
    struct uv_unlink_config config;
    uv_work_t work;
    bool working;
    bool closing;
    int rtnl; /* the pool's thread has it while `working` */
    struct jobs waiting;
    struct jobs under_way;
    int status;
    struct err e;
    void (*closed)(void *arg);
    void *closed_arg;
};

static void start(struct uv_unlink *u);

/* ---- on a thread of the pool ---- */

static void on_work(uv_work_t *work)
{
    struct uv_unlink *u = container_of(work, struct uv_unlink, work);
    const struct jobs *jobs = &u->under_way;
    const char **names = xcalloc(2 * (size_t)jobs->n + 1, sizeof(*names));

    for (unsigned i = 0; i < jobs->n; i++) {
        names[2 * i] = jobs->list[i].link;
        names[2 * i + 1] = jobs->list[i].mirror;
    }
    u->status = rtnl_links_del(u->rtnl, names, 2 * jobs->n, &u->e);
    free(names);
}

/* ---- on the loop ---- */

static void finish(struct uv_unlink *u)
{
    void (*closed)(void *arg) = u->closed;
    void *arg = u->closed_arg;

    (void)close(u->rtnl);
    free(u->waiting.list);
    free(u->under_way.list);
    free(u);
    if (closed != NULL) {
        closed(arg);
    }
}

static void on_worked(uv_work_t *work, int status)
{
    struct uv_unlink *u = container_of(work, struct uv_unlink, work);
    struct jobs done = u->under_way;

    assert(status == 0);
    u->working = false;
    u->under_way = (struct jobs){0};
    for (unsigned i = 0; i < done.n && !u->closing; i++) {
        u->config.gone(u->config.arg, &done.list[i], u->status, &u->e);
    }
    free(done.list);
    start(u);
    if (!u->working && u->closing) {
        finish(u);
    }
}

static void start(struct uv_unlink *u)
{
    int rc;

    if (u->working || u->waiting.n == 0) {
        return;
    }
    u->under_way = u->waiting;
    u->waiting = (struct jobs){0};
    u->working = true;
    rc = uv_queue_work(u->config.loop, &u->work, on_work, on_worked);
    assert(rc == 0);
}

static bool has(const struct jobs *jobs, struct net_id id)
{
    for (unsigned i = 0; i < jobs->n; i++) {
        if (jobs->list[i].id.incarnation == id.incarnation && jobs->list[i].id.run == id.run) {
            return true;
        }
    }
    return false;
}

/* ---- for the owner ---- */

int uv_unlink_create(const struct uv_unlink_config *config, struct uv_unlink **ret, struct err *e)
{
    int rtnl = rtnl_open(e);
    struct uv_unlink *u;

    if (rtnl < 0) {
        return rtnl;
    }
    u = xcalloc(1, sizeof(*u));
    u->config = *config;
    u->rtnl = rtnl;
    *ret = u;
    return 0;
}

void uv_unlink_add(struct uv_unlink *u, const struct uv_unlink_job *job)
{
    struct jobs *jobs = &u->waiting;

    assert(!u->closing);
    if (has(jobs, job->id) || has(&u->under_way, job->id)) {
        return;
    }
    if (jobs->n == jobs->cap) {
        jobs->cap = jobs->cap > 0 ? jobs->cap * 2 : 16;
        jobs->list = xrealloc(jobs->list, jobs->cap, sizeof(*jobs->list));
    }
    jobs->list[jobs->n++] = *job;
    start(u);
}

void uv_unlink_close(struct uv_unlink *u, void (*closed)(void *arg), void *arg)
{
    if (u == NULL) {
        return;
    }
    u->closing = true;
    u->closed = closed;
    u->closed_arg = arg;
    if (!u->working) {
        finish(u);
    }
}
