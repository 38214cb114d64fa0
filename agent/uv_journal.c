// SPDX-License-Identifier: Apache-2.0
#include "agent/uv_journal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"

#define AGAIN_MS    1000
#define COMPACT_MIN (1024u * 1024) /* smaller files are not worth replacing */

struct waiter {
    void (*cb)(void *arg);
    void *arg;
};

struct waiters {
    struct waiter *list;
    unsigned n;
};

struct uv_journal {
    uv_loop_t *loop;
    struct journal *journal;
    const struct ledger *ledger;
    uv_work_t work;
    uv_timer_t again;
    struct buf pending; /* records for the next batch */
    struct buf writing; /* records of the batch under way; only the pool's thread reads it then */
    struct waiters wait_pending;
    struct waiters wait_writing;
    bool busy;
    bool wanted;  /* a commit was asked for */
    bool replace; /* the batch under way, or the next, replaces the file */
    bool closing;
    uint64_t base_size; /* of what the file said when it was last written as a whole */
    int status;
    struct err e;
    char trouble[ERR_TEXT_MAX];
    void (*closed)(void *arg);
    void *closed_arg;
};

static void start(struct uv_journal *j);
static void finish(struct uv_journal *j);

static void on_work(uv_work_t *work)
{
    struct uv_journal *j = container_of(work, struct uv_journal, work);

    j->status = j->replace ? journal_replace(j->journal, &j->writing, &j->e)
                           : journal_append(j->journal, &j->writing, &j->e);
}

static void on_again(uv_timer_t *timer)
{
    start(container_of(timer, struct uv_journal, again));
}

static bool is_overgrown(const struct uv_journal *j)
{
    uint64_t size = journal_size(j->journal);

    return size > COMPACT_MIN && size > 4 * j->base_size;
}

/* The same waiters wait for the next attempt, which writes everything. */
static void failed(struct uv_journal *j)
{
    if (j->trouble[0] == '\0') {
        log_error("the journal cannot be written; no new work is taken until it can: %s",
                  j->e.text);
    }
    memcpy(j->trouble, j->e.text, sizeof(j->trouble));
    j->replace = true;
    (void)uv_timer_start(&j->again, on_again, AGAIN_MS, 0);
}

static void succeeded(struct uv_journal *j)
{
    struct waiters done = j->wait_writing;

    if (j->trouble[0] != '\0') {
        log_info("the journal can be written again");
    }
    j->trouble[0] = '\0';
    j->wait_writing = (struct waiters){0};
    if (j->replace) {
        j->base_size = journal_base_size(j->journal);
    }
    j->replace = is_overgrown(j);
    for (unsigned i = 0; i < done.n; i++) {
        done.list[i].cb(done.list[i].arg);
    }
    free(done.list);
    if (j->wanted) {
        start(j);
    }
}

static void on_worked(uv_work_t *work, int status)
{
    struct uv_journal *j = container_of(work, struct uv_journal, work);

    (void)status; /* never cancelled: the close waits for it */
    j->busy = false;
    if (j->closing) {
        finish(j);
    } else if (j->status < 0) {
        failed(j);
    } else {
        succeeded(j);
    }
}

static void join(struct waiters *to, struct waiters *from)
{
    if (from->n == 0) {
        return;
    }
    to->list = xrealloc(to->list, to->n + from->n, sizeof(struct waiter));
    memcpy(to->list + to->n, from->list, from->n * sizeof(struct waiter));
    to->n += from->n;
    free(from->list);
    *from = (struct waiters){0};
}

/* What is pending becomes the batch under way; a replacing batch says everything instead. */
static void take_pending(struct uv_journal *j)
{
    buf_clear(&j->writing);
    if (j->replace) {
        ledger_snapshot(j->ledger, &j->writing);
    } else {
        buf_append(&j->writing, buf_text(&j->pending), j->pending.len);
    }
    buf_clear(&j->pending);
    join(&j->wait_writing, &j->wait_pending);
    j->wanted = false;
}

static void start(struct uv_journal *j)
{
    if (j->busy || j->closing) {
        return;
    }
    take_pending(j);
    j->busy = true;
    if (uv_queue_work(j->loop, &j->work, on_work, on_worked) < 0) {
        die("uv_queue_work refused the journal");
    }
}

/* How large the file would be, were it written anew: one that was found may be mostly past. */
static uint64_t snapshot_size(const struct ledger *ledger)
{
    auto_buf struct buf all = {0};

    ledger_snapshot(ledger, &all);
    return all.len;
}

struct uv_journal *uv_journal_create(uv_loop_t *loop, struct journal *journal,
                                     const struct ledger *ledger)
{
    struct uv_journal *j = xcalloc(1, sizeof(*j));

    j->loop = loop;
    j->journal = journal;
    j->ledger = ledger;
    j->base_size = snapshot_size(ledger);
    j->replace = is_overgrown(j);
    (void)uv_timer_init(loop, &j->again);
    return j;
}

void uv_journal_put(struct uv_journal *j, const struct journal_record *record)
{
    codec_journal_put(&j->pending, record);
}

void uv_journal_commit(struct uv_journal *j, void (*cb)(void *arg), void *arg)
{
    struct waiter w = {cb, arg};
    struct waiters one = {&w, 1};

    if (cb != NULL) {
        struct waiters *to = &j->wait_pending;

        to->list = xrealloc(to->list, to->n + one.n, sizeof(struct waiter));
        to->list[to->n++] = w;
    }
    j->wanted = true;
    if (!uv_is_active((uv_handle_t *)&j->again)) {
        start(j);
    }
}

const char *uv_journal_trouble(const struct uv_journal *j)
{
    return j->trouble;
}

static void on_closed(uv_handle_t *handle)
{
    struct uv_journal *j = container_of((uv_timer_t *)handle, struct uv_journal, again);
    void (*closed)(void *) = j->closed;
    void *arg = j->closed_arg;

    journal_close(j->journal);
    buf_finish(&j->pending);
    buf_finish(&j->writing);
    free(j->wait_pending.list);
    free(j->wait_writing.list);
    free(j);
    closed(arg);
}

static void finish(struct uv_journal *j)
{
    struct err e = {0};

    if (j->status < 0) {
        j->replace = true;
    }
    if (j->replace || j->pending.len > 0) {
        take_pending(j);
        if ((j->replace ? journal_replace(j->journal, &j->writing, &e)
                        : journal_append(j->journal, &j->writing, &e)) < 0) {
            log_error("the journal could not be written at the end: %s", e.text);
        }
    }
    uv_close((uv_handle_t *)&j->again, on_closed);
}

void uv_journal_close(struct uv_journal *j, void (*closed)(void *arg), void *arg)
{
    assert(!j->closing);
    j->closing = true;
    j->closed = closed;
    j->closed_arg = arg;
    if (!j->busy) {
        finish(j);
    }
}
