// SPDX-License-Identifier: Apache-2.0
#include "agent/net/reach.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void reach_finish(struct reach *r)
{
    free(r->list);
    *r = (struct reach){0};
}

static int by_block(const void *a, const void *b)
{
    const struct reach_peer *l = a;
    const struct reach_peer *r = b;

    return (l->node.block > r->node.block) - (l->node.block < r->node.block);
}

static bool is_same(const struct net_route *a, const struct net_route *b)
{
    return a->block == b->block && a->block_prefix == b->block_prefix && a->via == b->via;
}

static struct reach_peer *find(const struct reach *r, const struct reach_peer *key)
{
    return r->n > 0 ? bsearch(key, r->list, r->n, sizeof(*r->list), by_block) : NULL;
}

void reach_nodes(struct reach *r, const struct net_route *nodes, unsigned n, reach_cb cb, void *arg)
{
    struct reach want = {.list = xcalloc(n + 1, sizeof(*want.list)), .n = n};

    for (unsigned i = 0; i < n; i++) {
        want.list[i].node = nodes[i];
    }
    qsort(want.list, n, sizeof(*want.list), by_block);
    for (unsigned i = 0; i < r->n; i++) {
        const struct reach_peer *old = &r->list[i];
        struct reach_peer *now = find(&want, old);

        if (now != NULL && is_same(&now->node, &old->node)) {
            *now = *old;
        } else if (old->away) {
            cb(arg, old->node.block, old->node.block_prefix, true);
        }
    }
    free(r->list);
    *r = want;
}

unsigned reach_pause_us(const struct reach *r)
{
    unsigned spread = REACH_EVERY_MS * 1000 / (r->n > 0 ? r->n : 1);
    unsigned least = 1000000 / REACH_PER_SECOND;

    return spread > least ? spread : least;
}

unsigned reach_ask(struct reach *r, reach_cb cb, void *arg)
{
    unsigned i = r->at < r->n ? r->at : 0;
    struct reach_peer *p = &r->list[i];

    assert(r->n > 0);
    r->at = i + 1;
    p->missed += p->waiting && p->missed < REACH_MISSED;
    p->waiting = true;
    if (p->ever && !p->away && p->missed == REACH_MISSED) {
        p->away = true;
        cb(arg, p->node.block, p->node.block_prefix, false);
    }
    return i;
}

void reach_answer(struct reach *r, unsigned i, uint32_t from, reach_cb cb, void *arg)
{
    struct reach_peer *p = &r->list[i];

    if (i >= r->n || p->node.via != from) {
        return; /* the nodes have changed since */
    }
    p->missed = 0;
    p->waiting = false;
    p->ever = true;
    if (p->away) {
        p->away = false;
        cb(arg, p->node.block, p->node.block_prefix, true);
    }
}

int reach_state(const struct reach *r, uint32_t address)
{
    for (unsigned i = 0; i < r->n; i++) {
        const struct reach_peer *p = &r->list[i];
        unsigned bits = 32 - p->node.block_prefix;

        if (bits >= 32 || (address ^ p->node.block) >> bits == 0) {
            return p->away ? 0 : p->ever ? 1 : -1;
        }
    }
    return -1;
}
