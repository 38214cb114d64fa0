// SPDX-License-Identifier: Apache-2.0
/* The service table's file: written a second after a change at the latest, a piece per turn of the
 * loop, and put in its place on libuv's pool. What changes while it is being written may be in it
 * as before: then it is written again, a second later. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/svcfile.h"
#include "agent/uv_agent_net_priv.h"
#include "common/cleanup.h"
#include "common/log.h"

#define PAUSE_MS 1000u
#define TURN_MS  1u  /* never 0: libuv 1.44 would call it again without a poll in between */
#define PIECE    64u /* entries in one turn */

struct net_keep {
    struct uv_agent_net *net;
    uv_timer_t timer;
    uv_work_t work;
    bool changed; /* since the writing began */
    bool writing;
    bool working; /* on the pool */
    bool closing;
    struct buf file;
    char stack[NAME_MAX_LEN + 1]; /* the last entry that is in `file` */
    char service[NAME_MAX_LEN + 1];
    struct err e;
};

static void on_timer(uv_timer_t *timer);

/* ---- writing ---- */

static void on_write(uv_work_t *work)
{
    struct net_keep *k = container_of(work, struct net_keep, work);

    svcfile_end(&k->file);
    k->e.code = svcfile_write(k->net->agent->dirs.state_fd, &k->file, &k->e);
}

static void finish(struct net_keep *k)
{
    struct uv_agent_net *n = k->net;

    buf_finish(&k->file);
    n->keep = NULL;
    free(k);
    uv_agent_net_let_go(n);
}

static void on_timer_closed(uv_handle_t *handle)
{
    finish(container_of((uv_timer_t *)handle, struct net_keep, timer));
}

static void on_written(uv_work_t *work, int status)
{
    struct net_keep *k = container_of(work, struct net_keep, work);

    (void)status;
    k->working = k->writing = false;
    if (k->e.code < 0) {
        log_warn("the service table is not kept: %s", k->e.text);
    }
    buf_finish(&k->file);
    if (k->closing) {
        uv_close((uv_handle_t *)&k->timer, on_timer_closed);
    } else if (k->changed) {
        (void)uv_timer_start(&k->timer, on_timer, PAUSE_MS, 0);
    }
}

/* The first entry behind the last that was written. */
static unsigned next_entry(const struct net_keep *k)
{
    const struct svctable *t = k->net->table;
    unsigned low = 0, high = svctable_count(t);

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (svc_compare(svctable_at(t, mid), k->stack, k->service) <= 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* Returns whether that was the last. */
static bool write_piece(struct net_keep *k, unsigned most)
{
    const struct svctable *t = k->net->table;
    unsigned from = next_entry(k);
    unsigned n = svctable_count(t) - from;

    for (unsigned i = 0; i < n && i < most; i++) {
        const struct svc_entry *entry = svctable_at(t, from + i);

        svcfile_put(&k->file, entry);
        (void)snprintf(k->stack, sizeof(k->stack), "%s", entry->stack);
        (void)snprintf(k->service, sizeof(k->service), "%s", entry->service);
    }
    return n <= most;
}

static void begin(struct net_keep *k)
{
    k->writing = true;
    k->changed = false;
    k->stack[0] = k->service[0] = '\0';
    buf_clear(&k->file);
    svcfile_begin(&k->file);
}

static void on_timer(uv_timer_t *timer)
{
    struct net_keep *k = container_of(timer, struct net_keep, timer);

    if (!k->writing) {
        begin(k);
    }
    if (!write_piece(k, PIECE)) {
        (void)uv_timer_start(&k->timer, on_timer, TURN_MS, 0);
        return;
    }
    k->working = true;
    if (uv_queue_work(k->net->agent->loop, &k->work, on_write, on_written) < 0) {
        die("uv_queue_work refused the service table");
    }
}

void uv_agent_net_keep_changed(struct uv_agent_net *n)
{
    struct net_keep *k = n->keep;

    if (!k->changed && !k->writing) {
        (void)uv_timer_start(&k->timer, on_timer, PAUSE_MS, 0);
    }
    k->changed = true;
}

/* ---- reading ---- */

static void on_entry(void *arg, const struct svc_entry *entry)
{
    struct uv_agent_net *n = arg;

    (void)svctable_put(n->table, entry);
}

void uv_agent_net_keep_read(struct uv_agent_net *n)
{
    struct err e = {0};
    int rc = svcfile_read(n->agent->dirs.state_fd, on_entry, n, &e);

    if (rc < 0 && rc != -ENOENT) {
        log_warn("%s/" SVCFILE_NAME " is ignored: %s", n->agent->dirs.state_path, e.text);
    }
}

/* ---- life ---- */

void uv_agent_net_keep_create(struct uv_agent_net *n)
{
    struct net_keep *k = xcalloc(1, sizeof(*k));

    k->net = n;
    (void)uv_timer_init(n->agent->loop, &k->timer);
    n->keep = k;
}

/* What has changed in the last second is written here and now. */
void uv_agent_net_keep_close(struct uv_agent_net *n)
{
    struct net_keep *k = n->keep;

    k->closing = true;
    if (k->working) {
        return; /* on_written goes on; what changed since, the controller tells again */
    }
    if (k->writing || k->changed) {
        begin(k);
        (void)write_piece(k, SVC_ENTRIES_MAX);
        on_write(&k->work);
    }
    uv_close((uv_handle_t *)&k->timer, on_timer_closed);
}
