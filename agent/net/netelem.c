// SPDX-License-Identifier: Apache-2.0
#include "agent/net/netelem.h"

#include <stdlib.h>
#include <string.h>

#include "common/err.h"

static int order(uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

/* What a set does not have is zero and so never decides. A mark is a value where there is no
 * second part of the key. */
int netelem_compare_key(const struct netelem *a, const struct netelem *b)
{
    int rc = order(a->set, b->set);

    rc = rc != 0 || a->set != NETELEM_REACH ? rc : order(a->mark, b->mark);
    rc = rc != 0 ? rc : order(a->address, b->address);
    rc = rc != 0 ? rc : order(a->udp, b->udp);
    rc = rc != 0 ? rc : order(a->port, b->port);
    rc = rc != 0 ? rc : order(a->index, b->index);
    rc = rc != 0 ? rc : order(a->other, b->other);
    return rc != 0 ? rc : order(a->prefix, b->prefix);
}

bool netelem_equal(const struct netelem *a, const struct netelem *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

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

void netelems_finish(struct netelems *l)
{
    free(l->list);
    *l = (struct netelems){0};
}
