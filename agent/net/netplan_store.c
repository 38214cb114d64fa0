// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/net/netplan_priv.h"
#include "common/err.h"

#define BUCKETS_MIN 64u

struct netplan_cell {
    struct netplan_cell *next; /* in its bucket */
    struct netelem key;
    unsigned refs;                 /* of elements without values */
    struct netplan_claim **claims; /* the first has it */
    unsigned n_claims;
};

/* ---- cells ---- */

static uint32_t hash(const struct netelem *key)
{
    uint64_t h = key->set | (uint64_t)key->udp << 8 | (uint64_t)key->prefix << 16 |
                 (uint64_t)key->port << 32;
    bool mark = key->set == NETELEM_REACH || key->set == NETPLAN_SET_KNOWN;

    h = (h ^ key->address) * 0x9e3779b97f4a7c15u;
    h = (h ^ h >> 29 ^ key->other) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 32 ^ (mark ? key->mark : 0)) * 0x94d049bb133111ebu;
    return (uint32_t)(h >> 32);
}

/* As netelem_compare_key, and the private set has a mark in its key. */
static bool is_key(const struct netelem *a, const struct netelem *b)
{
    return netelem_compare_key(a, b) == 0 && (a->set != NETPLAN_SET_KNOWN || a->mark == b->mark);
}

static void grow(struct netplan_store *s)
{
    unsigned n = s->n_buckets > 0 ? 2 * s->n_buckets : BUCKETS_MIN;
    struct netplan_cell **buckets = xcalloc(n, sizeof(struct netplan_cell *));

    for (unsigned i = 0; i < s->n_buckets; i++) {
        while (s->buckets[i] != NULL) {
            struct netplan_cell *c = s->buckets[i];
            struct netplan_cell **to = &buckets[hash(&c->key) % n];

            s->buckets[i] = c->next;
            c->next = *to;
            *to = c;
        }
    }
    free(s->buckets);
    s->buckets = buckets;
    s->n_buckets = n;
}

static struct netplan_cell **place(const struct netplan_store *s, const struct netelem *key)
{
    struct netplan_cell **at = &s->buckets[hash(key) % s->n_buckets];

    while (*at != NULL && !is_key(&(*at)->key, key)) {
        at = &(*at)->next;
    }
    return at;
}

static struct netplan_cell *get(struct netplan_store *s, const struct netelem *key)
{
    struct netplan_cell **at;

    if (s->n_cells >= s->n_buckets) {
        grow(s);
    }
    at = place(s, key);
    if (*at == NULL) {
        *at = xcalloc(1, sizeof(**at));
        (*at)->key = *key;
        s->n_cells++;
    }
    return *at;
}

static void drop(struct netplan_store *s, struct netplan_cell **at)
{
    struct netplan_cell *c = *at;

    *at = c->next;
    s->n_cells--;
    free(c->claims);
    free(c);
}

/* ---- elements without values ---- */

static void ref(struct netplan_store *s, const struct netelem *e, struct netplan_diff *d)
{
    struct netplan_cell *c = get(s, e);

    if (c->refs++ == 0 && e->set != NETPLAN_SET_KNOWN) {
        netplan_diff_step(d, e, true);
    }
}

static void unref(struct netplan_store *s, const struct netelem *e, struct netplan_diff *d)
{
    struct netplan_cell **at = place(s, e);

    assert(*at != NULL && (*at)->refs > 0);
    if (--(*at)->refs > 0) {
        return;
    }
    drop(s, at);
    if (e->set == NETPLAN_SET_KNOWN) {
        netplan_diff_flush(d, e->address);
    } else {
        netplan_diff_step(d, e, false);
    }
}

static int compare_refs(const struct netelem *a, const struct netelem *b)
{
    int rc = netelem_compare_key(a, b);

    return rc != 0 ? rc : (a->mark > b->mark) - (a->mark < b->mark);
}

static int by_ref(const void *a, const void *b)
{
    return compare_refs(a, b);
}

static bool is_sorted(const struct netelems *l)
{
    for (unsigned i = 1; i < l->n; i++) {
        if (compare_refs(&l->list[i - 1], &l->list[i]) >= 0) {
            return false;
        }
    }
    return true;
}

/* Mostly they are made in order. */
static void sort_refs(struct netelems *l)
{
    unsigned kept = 0;

    if (is_sorted(l)) {
        return;
    }
    qsort(l->list, l->n, sizeof(*l->list), by_ref);
    for (unsigned i = 1; i < l->n; i++) {
        if (compare_refs(&l->list[kept], &l->list[i]) != 0) {
            l->list[++kept] = l->list[i];
        }
    }
    l->n = kept + 1;
}

static void apply_refs(struct netplan_store *s, struct netplan_owner *o, struct netelems *want,
                       struct netplan_diff *d)
{
    const struct netelems is = o->refs;

    sort_refs(want);
    for (unsigned i = 0, k = 0; i < is.n || k < want->n;) {
        int rc = i == is.n ? 1 : k == want->n ? -1 : compare_refs(&is.list[i], &want->list[k]);

        if (rc < 0) {
            unref(s, &is.list[i], d);
        } else if (rc > 0) {
            ref(s, &want->list[k], d);
        }
        i += rc <= 0;
        k += rc >= 0;
    }
    netelems_finish(&o->refs);
    o->refs = *want;
    *want = (struct netelems){0};
}

/* ---- claims ---- */

struct netplan_claim *netplan_store_claim(struct netplan_want *w, const struct netelem *key)
{
    struct netplan_claim *c = xcalloc(1, sizeof(*c));

    if (w->n_claims == w->cap_claims) {
        w->cap_claims = w->cap_claims > 0 ? 2 * w->cap_claims : 4;
        w->claims = xrealloc(w->claims, w->cap_claims, sizeof(struct netplan_claim *));
    }
    netelems_add(&c->elems, key);
    w->claims[w->n_claims++] = c;
    return c;
}

static void free_claim(struct netplan_claim *c)
{
    netelems_finish(&c->elems);
    free(c);
}

/* Does not depend on who came first, so that every start of the agent decides alike. Of containers
 * with one address the later is right. */
static int compare_owners(const struct netplan_owner *a, const struct netplan_owner *b)
{
    int rc = strcmp(a->stack, b->stack);

    rc = rc != 0 ? rc : strcmp(a->service, b->service);
    return rc != 0 ? rc : (a->incarnation < b->incarnation) - (a->incarnation > b->incarnation);
}

static bool same_elems(const struct netelems *a, const struct netelems *b)
{
    return a->n == b->n && memcmp(a->list, b->list, a->n * sizeof(*a->list)) == 0;
}

/* From one claim's elements to another's, or none. */
static void change(struct netplan_store *s, const struct netelems *is, const struct netelems *want,
                   struct netplan_diff *d)
{
    static const struct netelems none = {0};

    is = is != NULL ? is : &none;
    want = want != NULL ? want : &none;
    for (unsigned i = 0, k = 0; i < is->n || k < want->n;) {
        int rc = i == is->n     ? 1
                 : k == want->n ? -1
                                : netelem_compare_key(&is->list[i], &want->list[k]);
        bool equal = rc == 0 && netelem_equal(&is->list[i], &want->list[k]);

        if (rc <= 0 && !equal) {
            netplan_diff_step(d, &is->list[i], false);
        }
        if (rc >= 0 && !equal) {
            netplan_diff_step(d, &want->list[k], true);
        }
        i += rc <= 0;
        k += rc >= 0;
    }
    s->sizes[is->n > 0 ? is->list[0].n : 0]--;
    s->sizes[want->n > 0 ? want->list[0].n : 0]++;
}

static const struct netelems *top(const struct netplan_cell *c)
{
    return c->n_claims > 0 ? &c->claims[0]->elems : NULL;
}

static void insert_claim(struct netplan_cell *c, struct netplan_claim *claim)
{
    unsigned i = c->n_claims;

    c->claims = xrealloc(c->claims, c->n_claims + 1, sizeof(struct netplan_claim *));
    for (; i > 0 && compare_owners(claim->owner, c->claims[i - 1]->owner) < 0; i--) {
        c->claims[i] = c->claims[i - 1];
    }
    c->claims[i] = claim;
    c->n_claims++;
}

static void remove_claim(struct netplan_cell *c, const struct netplan_claim *claim)
{
    unsigned i = 0;

    while (c->claims[i] != claim) {
        i++;
        assert(i < c->n_claims);
    }
    c->n_claims--;
    memmove(&c->claims[i], &c->claims[i + 1], (c->n_claims - i) * sizeof(struct netplan_claim *));
}

static void put_claim(struct netplan_store *s, struct netplan_claim *claim, struct netplan_diff *d)
{
    struct netplan_cell *c = get(s, &claim->elems.list[0]);
    const struct netelems *before = top(c);

    insert_claim(c, claim);
    if (top(c) != before) {
        change(s, before, top(c), d);
    }
}

static void take_claim(struct netplan_store *s, struct netplan_claim *claim, struct netplan_diff *d)
{
    struct netplan_cell **at = place(s, &claim->elems.list[0]);
    const struct netelems *before = top(*at);

    remove_claim(*at, claim);
    if (top(*at) != before) {
        change(s, before, top(*at), d);
    }
    if ((*at)->n_claims == 0) {
        drop(s, at);
    }
    free_claim(claim);
}

/* The claim stays where it is, with other elements. */
static void refill_claim(struct netplan_store *s, struct netplan_claim *claim,
                         struct netplan_claim *with, struct netplan_diff *d)
{
    struct netplan_cell *c = *place(s, &claim->elems.list[0]);

    if (c->claims[0] == claim) {
        change(s, &claim->elems, &with->elems, d);
    }
    netelems_finish(&claim->elems);
    claim->elems = with->elems;
    free(with);
}

static int by_claim(const void *a, const void *b)
{
    struct netplan_claim *const *x = a, *const *y = b;

    return netelem_compare_key(&(*x)->elems.list[0], &(*y)->elems.list[0]);
}

/* Both lists sorted; what is kept is moved from the old list into the new. */
static void apply_claims(struct netplan_store *s, struct netplan_owner *o, struct netplan_want *w,
                         struct netplan_diff *d)
{
    struct netplan_claim **is = o->claims;

    if (w->n_claims > 0) {
        qsort(w->claims, w->n_claims, sizeof(struct netplan_claim *), by_claim);
    }
    for (unsigned i = 0, k = 0; i < o->n_claims || k < w->n_claims;) {
        int rc = i == o->n_claims ? 1 : k == w->n_claims ? -1 : by_claim(&is[i], &w->claims[k]);

        if (rc < 0) {
            take_claim(s, is[i], d);
        } else if (rc > 0) {
            w->claims[k]->owner = o;
            put_claim(s, w->claims[k], d);
        } else if (same_elems(&is[i]->elems, &w->claims[k]->elems)) {
            free_claim(w->claims[k]);
            w->claims[k] = is[i];
        } else {
            refill_claim(s, is[i], w->claims[k], d);
            w->claims[k] = is[i];
        }
        i += rc <= 0;
        k += rc >= 0;
    }
    free(is);
    o->claims = w->claims;
    o->n_claims = w->n_claims;
}

/* ---- the whole ---- */

void netplan_store_apply(struct netplan_store *s, struct netplan_owner *o, struct netplan_want *w,
                         struct netplan_diff *diff)
{
    if (s->n_buckets == 0) {
        grow(s);
    }
    apply_refs(s, o, &w->refs, diff);
    apply_claims(s, o, w, diff);
    *w = (struct netplan_want){0};
    diff->backends_max = netplan_store_backends_max(s);
}

void netplan_store_all(const struct netplan_store *s, struct netelems *ret)
{
    for (unsigned i = 0; i < s->n_buckets; i++) {
        for (const struct netplan_cell *c = s->buckets[i]; c != NULL; c = c->next) {
            const struct netelems *claimed = top(c);

            if (c->refs > 0 && c->key.set != NETPLAN_SET_KNOWN) {
                netelems_add(ret, &c->key);
            }
            for (unsigned k = 0; claimed != NULL && k < claimed->n; k++) {
                netelems_add(ret, &claimed->list[k]);
            }
        }
    }
    netelems_sort(ret);
}

unsigned netplan_store_backends_max(const struct netplan_store *s)
{
    unsigned n = NETPLAN_BACKENDS_MAX;

    while (n > 0 && s->sizes[n] == 0) {
        n--;
    }
    return n;
}

void netplan_store_finish(struct netplan_store *s)
{
    for (unsigned i = 0; i < s->n_buckets; i++) {
        while (s->buckets[i] != NULL) {
            drop(s, &s->buckets[i]);
        }
    }
    free(s->buckets);
}

void netplan_store_forget(struct netplan_owner *o)
{
    for (unsigned i = 0; i < o->n_claims; i++) {
        free_claim(o->claims[i]);
    }
    free(o->claims);
    netelems_finish(&o->refs);
}
