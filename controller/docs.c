// SPDX-License-Identifier: Apache-2.0
#include "controller/docs.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct revision {
    uint8_t digest[FLEET_DIGEST];
    void *bytes; /* NULL: not known */
    size_t len;
    unsigned refs;
    bool stored;
    bool touched; /* in the list of what has changed */
};

struct block {
    char *key;
    struct revision **list;
    unsigned n;
};

struct docs {
    struct docs_stack **stacks; /* by name */
    unsigned n_stacks, cap_stacks;
    struct revision **revisions; /* by digest */
    unsigned n_revisions, cap_revisions;
    struct block **blocks; /* by key */
    unsigned n_blocks, cap_blocks;
    struct revision **touched;
    unsigned n_touched, cap_touched;
};

/* ---- sorted lists of pointers ---- */

typedef int (*order_cb)(const void *element, const void *key);

static unsigned place_of(void *const *list, unsigned n, const void *key, order_cb order)
{
    unsigned low = 0;

    while (low < n) {
        unsigned mid = low + (n - low) / 2;

        if (order(list[mid], key) < 0) {
            low = mid + 1;
        } else {
            n = mid;
        }
    }
    return low;
}

static void *grow(void *list, unsigned n, unsigned *cap)
{
    if (n < *cap) {
        return list;
    }
    *cap = *cap == 0 ? 16 : 2 * *cap;
    return xrealloc(list, *cap, sizeof(void *));
}

static void insert(void **list, unsigned n, unsigned at, void *element)
{
    memmove(list + at + 1, list + at, (n - at) * sizeof(void *));
    list[at] = element;
}

static void erase(void **list, unsigned n, unsigned at)
{
    memmove(list + at, list + at + 1, (n - at - 1) * sizeof(void *));
}

static int by_digest(const void *element, const void *key)
{
    return memcmp(((const struct revision *)element)->digest, key, FLEET_DIGEST);
}

static int by_name(const void *element, const void *key)
{
    return strcmp(((const struct docs_stack *)element)->name, key);
}

static int by_key(const void *element, const void *key)
{
    return strcmp(((const struct block *)element)->key, key);
}

/* ---- revisions ---- */

static struct revision *revision_find(const struct docs *d, const uint8_t *digest)
{
    unsigned at = place_of((void *const *)d->revisions, d->n_revisions, digest, by_digest);

    return at < d->n_revisions && by_digest(d->revisions[at], digest) == 0 ? d->revisions[at]
                                                                           : NULL;
}

static void touch(struct docs *d, struct revision *r)
{
    if (r->touched) {
        return;
    }
    r->touched = true;
    d->touched = grow(d->touched, d->n_touched, &d->cap_touched);
    d->touched[d->n_touched++] = r;
}

static struct revision *revision_make(struct docs *d, const uint8_t *digest)
{
    struct revision *r = revision_find(d, digest);

    if (r != NULL) {
        return r;
    }
    r = xcalloc(1, sizeof(*r));
    memcpy(r->digest, digest, FLEET_DIGEST);
    d->revisions = grow(d->revisions, d->n_revisions, &d->cap_revisions);
    insert((void **)d->revisions, d->n_revisions,
           place_of((void *const *)d->revisions, d->n_revisions, digest, by_digest), r);
    d->n_revisions++;
    touch(d, r);
    return r;
}

static void revision_fill(struct revision *r, const void *bytes, size_t len)
{
    if (r->bytes == NULL) {
        r->bytes = xmalloc(len + 1);
        r->len = len;
        if (len > 0) {
            memcpy(r->bytes, bytes, len);
        }
    }
}

static void revision_drop(struct docs *d, struct revision *r)
{
    unsigned at = place_of((void *const *)d->revisions, d->n_revisions, r->digest, by_digest);

    assert(d->revisions[at] == r);
    erase((void **)d->revisions, d->n_revisions, at);
    d->n_revisions--;
    free(r->bytes);
    free(r);
}

static void name_it(struct docs *d, struct revision *r)
{
    r->refs++;
    touch(d, r);
}

static void unname_it(struct docs *d, struct revision *r)
{
    assert(r->refs > 0);
    r->refs--;
    touch(d, r);
}

void docs_stored_revision(struct docs *d, const uint8_t digest[FLEET_DIGEST], const void *bytes,
                          size_t len)
{
    struct revision *r = revision_make(d, digest);

    revision_fill(r, bytes, len);
    r->stored = true;
}

const void *docs_revision(const struct docs *d, const uint8_t digest[FLEET_DIGEST], size_t *ret_len)
{
    const struct revision *r = revision_find(d, digest);

    if (r == NULL || r->bytes == NULL) {
        return NULL;
    }
    *ret_len = r->len;
    return r->bytes;
}

void docs_settle(struct docs *d, const struct docs_changes *changes)
{
    for (unsigned i = 0; i < d->n_touched; i++) {
        struct revision *r = d->touched[i];

        r->touched = false;
        if (r->refs > 0 && !r->stored && r->bytes != NULL) {
            changes->put(changes->arg, r->digest, r->bytes, r->len);
            r->stored = true;
        } else if (r->refs == 0) {
            if (r->stored) {
                changes->del(changes->arg, r->digest);
            }
            revision_drop(d, r);
        }
    }
    d->n_touched = 0;
}

/* ---- stacks ---- */

static void name_services(struct docs *d, const struct codec_want *want, bool named)
{
    unsigned n = codec_want_stack(want)->n_wants;

    for (unsigned i = 0; i < n; i++) {
        const struct codec_want_revision *from = codec_want_revision(want, i);
        struct revision *r = revision_make(d, from->digest);

        if (named) {
            revision_fill(r, from->bytes, from->len);
            name_it(d, r);
        } else {
            unname_it(d, r);
        }
    }
}

static struct docs_stack *stack_find(const struct docs *d, const char *name)
{
    unsigned at = place_of((void *const *)d->stacks, d->n_stacks, name, by_name);

    return at < d->n_stacks && strcmp(d->stacks[at]->name, name) == 0 ? d->stacks[at] : NULL;
}

const struct docs_stack *docs_stack(const struct docs *d, const char *name)
{
    return stack_find(d, name);
}

void docs_put_stack(struct docs *d, const char *name, uint32_t revision, uint64_t applied_unix_ms,
                    struct codec_want *want)
{
    struct docs_stack *s = stack_find(d, name);

    name_services(d, want, true);
    if (s != NULL) {
        name_services(d, s->want, false);
        codec_want_free(s->want);
    } else {
        s = xcalloc(1, sizeof(*s));
        (void)snprintf(s->name, sizeof(s->name), "%s", name);
        d->stacks = grow(d->stacks, d->n_stacks, &d->cap_stacks);
        insert((void **)d->stacks, d->n_stacks,
               place_of((void *const *)d->stacks, d->n_stacks, name, by_name), s);
        d->n_stacks++;
    }
    s->revision = revision;
    s->applied_unix_ms = applied_unix_ms;
    s->want = want;
}

void docs_del_stack(struct docs *d, const char *name)
{
    struct docs_stack *s = stack_find(d, name);

    if (s == NULL) {
        return;
    }
    name_services(d, s->want, false);
    erase((void **)d->stacks, d->n_stacks,
          place_of((void *const *)d->stacks, d->n_stacks, name, by_name));
    d->n_stacks--;
    codec_want_free(s->want);
    free(s);
}

/* ---- blocks ---- */

static struct block *block_make(struct docs *d, const char *key)
{
    unsigned at = place_of((void *const *)d->blocks, d->n_blocks, key, by_key);
    struct block *b;

    if (at < d->n_blocks && strcmp(d->blocks[at]->key, key) == 0) {
        return d->blocks[at];
    }
    b = xcalloc(1, sizeof(*b));
    b->key = xstrdup(key);
    d->blocks = grow(d->blocks, d->n_blocks, &d->cap_blocks);
    insert((void **)d->blocks, d->n_blocks, at, b);
    d->n_blocks++;
    return b;
}

static void block_free(struct block *b)
{
    free(b->key);
    free(b->list);
    free(b);
}

void docs_put_block(struct docs *d, const char *key, const uint8_t (*digests)[FLEET_DIGEST],
                    unsigned n)
{
    struct block *b = block_make(d, key);
    struct revision **list = xcalloc(n + 1, sizeof(struct revision *));

    for (unsigned i = 0; i < n; i++) {
        list[i] = revision_make(d, digests[i]);
        name_it(d, list[i]);
    }
    for (unsigned i = 0; i < b->n; i++) {
        unname_it(d, b->list[i]);
    }
    free(b->list);
    b->list = list;
    b->n = n;
    if (n == 0) {
        erase((void **)d->blocks, d->n_blocks,
              place_of((void *const *)d->blocks, d->n_blocks, key, by_key));
        d->n_blocks--;
        block_free(b);
    }
}

/* ---- all ---- */

struct docs *docs_create(void)
{
    return xcalloc(1, sizeof(struct docs));
}

void docs_destroy(struct docs *d)
{
    if (d == NULL) {
        return;
    }
    for (unsigned i = 0; i < d->n_stacks; i++) {
        codec_want_free(d->stacks[i]->want);
        free(d->stacks[i]);
    }
    for (unsigned i = 0; i < d->n_blocks; i++) {
        block_free(d->blocks[i]);
    }
    for (unsigned i = 0; i < d->n_revisions; i++) {
        free(d->revisions[i]->bytes);
        free(d->revisions[i]);
    }
    free(d->stacks);
    free(d->blocks);
    free(d->revisions);
    free(d->touched);
    free(d);
}
