// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "agent/net/netelem.h"
#include "common/err.h"

void netelems_add(struct netelems *l, const struct netelem *e)
{
    if (l->n == l->cap) {
        l->cap = l->cap > 0 ? l->cap * 2 : 16;
        l->list = xrealloc(l->list, l->cap, sizeof(*l->list));
    }
    l->list[l->n++] = *e;
}

/* From the bottom up, because it must keep the order of equals. */
static void merge(const struct netelem *from, unsigned a, unsigned b, unsigned end,
                  struct netelem *to)
{
    unsigned j = b;

    for (unsigned i = a, at = a; at < end; at++) {
        bool left = i < b && (j == end || netelem_compare_key(&from[i], &from[j]) <= 0);

        to[at] = left ? from[i++] : from[j++];
    }
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static void sort_stable(struct netelems *l)
{
    struct netelem *from = l->list;
    struct netelem *to = xcalloc(l->n, sizeof(*to));

    for (unsigned width = 1; width < l->n; width *= 2) {
        struct netelem *swap = from;

        for (unsigned i = 0; i < l->n; i += 2 * width) {
            merge(from, i, least(i + width, l->n), least(i + 2 * width, l->n), to);
        }
        from = to;
        to = swap;
    }
    l->cap = from == l->list ? l->cap : l->n;
    l->list = from;
    free(to);
}

void netelems_sort(struct netelems *l)
{
    unsigned kept = 0;

    if (l->n < 2) {
        return;
    }
    sort_stable(l);
    for (unsigned i = 1; i < l->n; i++) {
        if (netelem_compare_key(&l->list[kept], &l->list[i]) != 0) {
            l->list[++kept] = l->list[i];
        }
    }
    l->n = kept + 1;
}

static bool has_network(const struct netelem *e)
{
    return e->set == NETELEM_OUT || e->set == NETELEM_BLOCKS;
}

/* Of OUT the address is a part of the key, of BLOCKS it is the network. */
static bool lies_inside(const struct netelem *e, const struct netelem *outer)
{
    bool alone = e->set == NETELEM_BLOCKS;
    uint32_t bits = alone ? e->address ^ outer->address : e->other ^ outer->other;

    return e->set == outer->set && has_network(e) && (alone || e->address == outer->address) &&
           e->prefix >= outer->prefix && (outer->prefix == 0 || bits >> (32 - outer->prefix) == 0);
}

/* The outer one comes first. */
void netelems_drop_inner(struct netelems *l)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < l->n; i++) {
        if (kept == 0 || !lies_inside(&l->list[i], &l->list[kept - 1])) {
            l->list[kept++] = l->list[i];
        }
    }
    l->n = kept;
}

void netelems_finish(struct netelems *l)
{
    free(l->list);
    *l = (struct netelems){0};
}

void netelems_diff(const struct netelems *is, const struct netelems *want, struct netelems *removed,
                   struct netelems *added)
{
    unsigned i = 0;
    unsigned j = 0;

    while (i < is->n || j < want->n) {
        const struct netelem *old = i < is->n ? &is->list[i] : NULL;
        const struct netelem *new = j < want->n ? &want->list[j] : NULL;
        int rc = old == NULL ? 1 : new == NULL ? -1 : netelem_compare_key(old, new);
        bool same = rc == 0 && netelem_equal(old, new);

        if (rc <= 0 && !same) {
            netelems_add(removed, old);
        }
        if (rc >= 0 && !same) {
            netelems_add(added, new);
        }
        i += rc <= 0;
        j += rc >= 0;
    }
}
