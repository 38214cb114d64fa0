// SPDX-License-Identifier: Apache-2.0
/* The thread, its queues and the rule that after a failed commit nothing more is promised. `lock`
 * guards the queues, `file_lock` the file; the second is never taken while the first is held. */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "controller/store/store_file.h"

struct queue {
    struct store_txn *first;
    struct store_txn **end;
    unsigned n;
};

struct store {
    char *path;
    void (*wake)(void *arg);
    void *arg;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct queue waiting;
    struct queue complete;
    unsigned pending; /* given and not drained */
    bool closing;
    struct err failed; /* code 0: not */
    pthread_mutex_t file_lock;
    struct store_file *file; /* NULL: could not be opened again */
};

static void queue_init(struct queue *q)
{
    *q = (struct queue){.end = &q->first};
}

static void queue_add(struct queue *q, struct store_txn *txn)
{
    txn->next = NULL;
    *q->end = txn;
    q->end = &txn->next;
    q->n++;
}

static struct store_txn *queue_pop(struct queue *q)
{
    struct store_txn *txn = q->first;

    q->first = txn->next;
    if (q->first == NULL) {
        q->end = &q->first;
    }
    q->n--;
    txn->next = NULL;
    return txn;
}

/* What goes into one commit. */
static void group_take(struct queue *from, struct queue *group)
{
    unsigned ops = 0;

    queue_init(group);
    while (from->first != NULL && (ops == 0 || ops + from->first->n <= STORE_GROUP_OPS)) {
        ops += from->first->n + 1;
        queue_add(group, queue_pop(from));
    }
}

static void group_fail(struct store_txn *first, const struct err *e)
{
    for (struct store_txn *txn = first; txn != NULL; txn = txn->next) {
        txn->result.status = e->code;
        txn->result.error = *e;
    }
}

static int group_commit(struct store *s, struct store_txn *first, struct err *e)
{
    int rc;

    (void)pthread_mutex_lock(&s->file_lock);
    rc = s->file != NULL ? store_file_group(s->file, first, e)
                         : err_say(e, EIO, "%s is not open", s->path);
    (void)pthread_mutex_unlock(&s->file_lock);
    return rc;
}

/* Called and returns with `lock` held. */
static void one_group(struct store *s)
{
    struct queue group;
    struct err e = s->failed;

    group_take(&s->waiting, &group);
    (void)pthread_mutex_unlock(&s->lock);
    if (e.code != 0 || group_commit(s, group.first, &e) < 0) {
        group_fail(group.first, &e);
    }
    (void)pthread_mutex_lock(&s->lock);
    s->failed = e;
    while (group.first != NULL) {
        queue_add(&s->complete, queue_pop(&group));
    }
    s->wake(s->arg);
}

static void *thread_main(void *arg)
{
    struct store *s = arg;

    (void)pthread_setname_np(pthread_self(), "store");
    (void)pthread_mutex_lock(&s->lock);
    while (!s->closing || s->waiting.first != NULL) {
        if (s->waiting.first == NULL) {
            (void)pthread_cond_wait(&s->more, &s->lock);
        } else {
            one_group(s);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void destroy(struct store *s)
{
    store_file_close(s->file);
    (void)pthread_cond_destroy(&s->more);
    (void)pthread_mutex_destroy(&s->lock);
    (void)pthread_mutex_destroy(&s->file_lock);
    free(s->path);
    free(s);
}

/* All signals are the loop's. */
static int thread_start(struct store *s, struct err *e)
{
    sigset_t all;
    sigset_t before;
    int rc;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&s->thread, NULL, thread_main, s);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 ? 0 : err_set(e, rc, "start the store's thread");
}

int store_open(const char *dir, void (*wake)(void *arg), void *arg, struct store **ret,
               struct err *e)
{
    struct store *s = xcalloc(1, sizeof(*s));
    mode_t before = umask(077);
    int rc;

    s->path = xasprintf("%s/store.db", dir);
    s->wake = wake;
    s->arg = arg;
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_mutex_init(&s->file_lock, NULL);
    (void)pthread_cond_init(&s->more, NULL);
    queue_init(&s->waiting);
    queue_init(&s->complete);
    rc = store_file_open(s->path, &s->file, e);
    (void)umask(before);
    rc = rc < 0 ? rc : thread_start(s, e);
    if (rc < 0) {
        destroy(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void store_close(struct store *s)
{
    if (s == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&s->lock);
    s->closing = true;
    (void)pthread_cond_signal(&s->more);
    (void)pthread_mutex_unlock(&s->lock);
    (void)pthread_join(s->thread, NULL);
    (void)store_drain(s);
    destroy(s);
}

int store_reopen(struct store *s, struct err *e)
{
    int rc;

    assert(store_pending(s) == 0);
    (void)pthread_mutex_lock(&s->file_lock);
    store_file_close(s->file);
    s->file = NULL;
    rc = store_file_open(s->path, &s->file, e);
    (void)pthread_mutex_unlock(&s->file_lock);
    if (rc == 0) {
        (void)pthread_mutex_lock(&s->lock);
        s->failed = (struct err){0};
        (void)pthread_mutex_unlock(&s->lock);
    }
    return rc;
}

uint64_t store_revision(struct store *s)
{
    uint64_t revision;

    (void)pthread_mutex_lock(&s->file_lock);
    revision = s->file != NULL ? store_file_revision(s->file) : 0;
    (void)pthread_mutex_unlock(&s->file_lock);
    return revision;
}

int store_get(struct store *s, const char *key, store_kv_cb cb, void *arg, struct err *e)
{
    int rc;

    (void)pthread_mutex_lock(&s->file_lock);
    rc = s->file != NULL ? store_file_get(s->file, key, cb, arg, e)
                         : err_say(e, EIO, "%s is not open", s->path);
    (void)pthread_mutex_unlock(&s->file_lock);
    return rc;
}

int store_list(struct store *s, const char *prefix, const char *after, unsigned limit,
               store_kv_cb cb, void *arg, struct err *e)
{
    int rc;

    (void)pthread_mutex_lock(&s->file_lock);
    rc = s->file != NULL ? store_file_list(s->file, prefix, after, limit, cb, arg, e)
                         : err_say(e, EIO, "%s is not open", s->path);
    (void)pthread_mutex_unlock(&s->file_lock);
    return rc;
}

/* Refuses what no commit should have to carry. */
static int admit(const struct store *s, const struct store_txn *txn, struct err *e)
{
    if (s->waiting.n >= STORE_QUEUE_MAX) {
        return err_say(e, EAGAIN, "%u transactions wait for the store: too many", s->waiting.n);
    }
    if (txn->n > STORE_OPS_MAX) {
        return err_say(e, E2BIG, "a transaction of %u operations; at most %u", txn->n,
                       STORE_OPS_MAX);
    }
    for (unsigned i = 0; i < txn->n; i++) {
        if (txn->ops[i].len > STORE_VALUE_MAX) {
            return err_say(e, E2BIG, "value of %s has %zu bytes; at most %u", txn->ops[i].key,
                           txn->ops[i].len, STORE_VALUE_MAX);
        }
    }
    return 0;
}

void store_commit(struct store *s, struct store_txn *txn, store_done_cb done, void *arg)
{
    txn->done = done;
    txn->arg = arg;
    (void)pthread_mutex_lock(&s->lock);
    assert(!s->closing);
    s->pending++;
    txn->result.status = admit(s, txn, &txn->result.error);
    if (txn->result.status < 0) {
        /* What follows may build on it: the same as a failed commit. */
        s->failed = txn->result.error;
        queue_add(&s->complete, txn);
        s->wake(s->arg);
    } else {
        queue_add(&s->waiting, txn);
        (void)pthread_cond_signal(&s->more);
    }
    (void)pthread_mutex_unlock(&s->lock);
}

unsigned store_drain(struct store *s)
{
    unsigned n = 0;

    for (;;) {
        struct store_txn *txn = NULL;

        (void)pthread_mutex_lock(&s->lock);
        if (s->complete.first != NULL) {
            txn = queue_pop(&s->complete);
            s->pending--;
        }
        (void)pthread_mutex_unlock(&s->lock);
        if (txn == NULL) {
            return n;
        }
        txn->done(txn->arg, &txn->result);
        store_txn_destroy(txn);
        n++;
    }
}

unsigned store_pending(struct store *s)
{
    unsigned n;

    (void)pthread_mutex_lock(&s->lock);
    n = s->pending;
    (void)pthread_mutex_unlock(&s->lock);
    return n;
}
