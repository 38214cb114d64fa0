// SPDX-License-Identifier: Apache-2.0
/* Rows sorted by name, and each also in a list by the version of its latest change. A row whose
 * service was removed moves to a second pair of these, of bounded length: the log of removals. */
#include "common/svctable.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"

#define REMOVALS_MAX 4096u

struct row {
    struct row *prev, *next; /* by version */
    uint64_t version;
    struct svc_entry *entry; /* NULL: removed */
    struct id128 hash;
    struct id128 head; /* hash of all but the endpoints */
    struct svcpatch_history history;
    char stack[NAME_MAX_LEN + 1];
    char service[NAME_MAX_LEN + 1];
};

struct rows {
    struct row **list; /* by stack, service */
    unsigned n, cap;
    struct row *first, *last;
};

struct svctable {
    struct rows live;
    struct rows removed;
    struct id128 sum;
    uint64_t version;
    uint64_t forgotten; /* of the latest removal that is no longer in the log */
};

/* ---- rows ---- */

static int compare(const struct row *r, const char *stack, const char *service)
{
    int by_stack = strcmp(r->stack, stack);

    return by_stack != 0 ? by_stack : strcmp(r->service, service);
}

static unsigned place(const struct rows *rows, const char *stack, const char *service)
{
    unsigned low = 0, high = rows->n;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (compare(rows->list[mid], stack, service) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static struct row *find(const struct rows *rows, const char *stack, const char *service)
{
    unsigned i = place(rows, stack, service);

    return i < rows->n && compare(rows->list[i], stack, service) == 0 ? rows->list[i] : NULL;
}

static void chain(struct rows *rows, struct row *r)
{
    r->prev = rows->last;
    r->next = NULL;
    *(rows->last != NULL ? &rows->last->next : &rows->first) = r;
    rows->last = r;
}

static void unchain(struct rows *rows, struct row *r)
{
    *(r->prev != NULL ? &r->prev->next : &rows->first) = r->next;
    *(r->next != NULL ? &r->next->prev : &rows->last) = r->prev;
}

/* The row has the highest version of all. */
static void rows_add(struct rows *rows, struct row *r)
{
    unsigned i = place(rows, r->stack, r->service);

    if (rows->n == rows->cap) {
        rows->cap = rows->cap == 0 ? 16 : 2 * rows->cap;
        rows->list = xrealloc(rows->list, rows->cap, sizeof(struct row *));
    }
    memmove(rows->list + i + 1, rows->list + i, (rows->n - i) * sizeof(struct row *));
    rows->list[i] = r;
    rows->n++;
    chain(rows, r);
}

static void rows_take(struct rows *rows, struct row *r)
{
    unsigned i = place(rows, r->stack, r->service);

    assert(i < rows->n);
    assert(rows->list[i] == r);
    memmove(rows->list + i, rows->list + i + 1, (rows->n - i - 1) * sizeof(struct row *));
    rows->n--;
    unchain(rows, r);
}

static void row_free(struct row *r)
{
    free(r->entry);
    svcpatch_finish(&r->history);
    free(r);
}

static void rows_clear(struct rows *rows)
{
    for (unsigned i = 0; i < rows->n; i++) {
        row_free(rows->list[i]);
    }
    rows->n = 0;
    rows->first = rows->last = NULL;
}

/* ---- table ---- */

struct svctable *svctable_create(void)
{
    return xcalloc(1, sizeof(struct svctable));
}

void svctable_destroy(struct svctable *t)
{
    if (t == NULL) {
        return;
    }
    rows_clear(&t->live);
    rows_clear(&t->removed);
    free(t->live.list);
    free(t->removed.list);
    free(t);
}

/* A row for a service that has none; out of the log if that remembers it. */
static struct row *row_for(struct svctable *t, const struct svc_entry *entry)
{
    struct row *r = find(&t->removed, entry->stack, entry->service);

    if (r != NULL) {
        rows_take(&t->removed, r);
        return r;
    }
    r = xcalloc(1, sizeof(*r));
    (void)snprintf(r->stack, sizeof(r->stack), "%s", entry->stack);
    (void)snprintf(r->service, sizeof(r->service), "%s", entry->service);
    return r;
}

static struct id128 hash_head(const struct svc_entry *entry)
{
    struct svc_entry head = *entry;

    head.n_endpoints = 0;
    return svc_hash(&head);
}

/* The row has its new version. */
static void row_set(struct row *r, const struct svc_entry *entry, struct id128 hash)
{
    struct id128 head = hash_head(entry);
    struct svc_entry *old = r->entry;

    if (old != NULL && id128_equal(r->head, head)) {
        svcpatch_change(&r->history, old, entry, r->version);
    } else {
        svcpatch_begin(&r->history, entry, r->version);
    }
    r->entry = svc_copy(entry); /* of what may be a part of the old one */
    r->hash = hash;
    r->head = head;
    free(old);
}

bool svctable_put(struct svctable *t, const struct svc_entry *entry)
{
    struct row *r = find(&t->live, entry->stack, entry->service);
    struct id128 hash = svc_hash(entry);

    if (r == NULL) {
        r = row_for(t, entry);
        r->version = ++t->version;
        rows_add(&t->live, r);
    } else if (id128_equal(r->hash, hash)) {
        return false;
    } else {
        t->sum = id128_sub(t->sum, r->hash);
        unchain(&t->live, r);
        r->version = ++t->version;
        chain(&t->live, r);
    }
    row_set(r, entry, hash);
    t->sum = id128_add(t->sum, hash);
    return true;
}

bool svctable_remove(struct svctable *t, const char *stack, const char *service)
{
    struct row *r = find(&t->live, stack, service);

    if (r == NULL) {
        return false;
    }
    rows_take(&t->live, r);
    t->sum = id128_sub(t->sum, r->hash);
    r->version = ++t->version;
    rows_add(&t->removed, r); /* by its names, which the caller may have out of the entry */
    free(r->entry);
    r->entry = NULL;
    svcpatch_finish(&r->history);
    if (t->removed.n > REMOVALS_MAX) {
        struct row *oldest = t->removed.first;

        t->forgotten = oldest->version;
        rows_take(&t->removed, oldest);
        row_free(oldest);
    }
    return true;
}

void svctable_clear(struct svctable *t)
{
    if (t->live.n > 0) {
        t->forgotten = ++t->version;
        rows_clear(&t->removed);
        rows_clear(&t->live);
        t->sum = (struct id128){0, 0};
    }
}

unsigned svctable_count(const struct svctable *t)
{
    return t->live.n;
}

const struct svc_entry *svctable_at(const struct svctable *t, unsigned i)
{
    assert(i < t->live.n);
    return t->live.list[i]->entry;
}

const struct svc_entry *svctable_find(const struct svctable *t, const char *stack,
                                      const char *service)
{
    const struct row *r = find(&t->live, stack, service);

    return r != NULL ? r->entry : NULL;
}

struct id128 svctable_sum(const struct svctable *t)
{
    return t->sum;
}

uint64_t svctable_version(const struct svctable *t)
{
    return t->version;
}

/* ---- what changed ---- */

/* The first of a list with a version above `since`; the newest are looked at first. */
static const struct row *after(const struct rows *rows, uint64_t since)
{
    const struct row *first = NULL;

    for (const struct row *r = rows->last; r != NULL && r->version > since; r = r->prev) {
        first = r;
    }
    return first;
}

bool svctable_since(const struct svctable *t, uint64_t since, svctable_cb cb, void *arg)
{
    return svctable_whole(t, since, since, cb, arg);
}

bool svctable_whole(const struct svctable *t, uint64_t begun, uint64_t since, svctable_cb cb,
                    void *arg)
{
    uint64_t heard = since > begun ? since : begun; /* of removals */
    const struct row *live = after(&t->live, since);
    const struct row *removed = after(&t->removed, heard);

    if (heard > t->version || heard < t->forgotten) {
        return false;
    }
    while (live != NULL || removed != NULL) {
        bool is_live = removed == NULL || (live != NULL && live->version < removed->version);
        const struct row *r = is_live ? live : removed;

        if (!cb(arg, r->version, r->stack, r->service, r->entry)) {
            break;
        }
        *(is_live ? &live : &removed) = r->next;
    }
    return true;
}

struct svc_patch *svctable_patch(const struct svctable *t, const char *stack, const char *service,
                                 uint64_t since)
{
    const struct row *r = find(&t->live, stack, service);

    return r != NULL ? svcpatch_make(&r->history, r->entry, since) : NULL;
}
