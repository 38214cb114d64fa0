// SPDX-License-Identifier: Apache-2.0
#include <assert.h>

#include "agent/core/node_priv.h"
#include "common/err.h"

static void put(struct node *node, unsigned at, struct node_container *c)
{
    node->heap[at] = c;
    c->heap_at = at;
}

/* Equal deadlines in the order of incarnations, so that runs are reproducible. */
static bool before(const struct node_container *a, const struct node_container *b)
{
    if (a->heap_key != b->heap_key) {
        return a->heap_key < b->heap_key;
    }
    return a->want.incarnation < b->want.incarnation;
}

static void sift_up(struct node *node, unsigned at)
{
    struct node_container *c = node->heap[at];

    while (at > 1 && before(c, node->heap[at / 2])) {
        put(node, at, node->heap[at / 2]);
        at /= 2;
    }
    put(node, at, c);
}

static void sift_down(struct node *node, unsigned at)
{
    struct node_container *c = node->heap[at];

    for (;;) {
        unsigned child = 2 * at;

        if (child > node->heap_n) {
            break;
        }
        if (child < node->heap_n && before(node->heap[child + 1], node->heap[child])) {
            child++;
        }
        if (!before(node->heap[child], c)) {
            break;
        }
        put(node, at, node->heap[child]);
        at = child;
    }
    put(node, at, c);
}

/* 0 means never. */
static uint64_t sooner(uint64_t a, uint64_t b)
{
    if (a == 0 || b == 0) {
        return a + b;
    }
    return a < b ? a : b;
}

static uint64_t earliest(const struct node_container *c)
{
    uint64_t probe = c->state == LIFECYCLE_RUNNING ? c->health_track.due_ms : 0;

    return sooner(sooner(c->due_ms, probe), c->clean_due_ms);
}

void due_remove(struct node *node, struct node_container *c)
{
    unsigned at = c->heap_at;
    struct node_container *last;

    if (at == 0) {
        return;
    }
    assert(node->heap[at] == c);
    c->heap_at = 0;
    last = node->heap[node->heap_n--];
    if (last != c) {
        put(node, at, last);
        sift_up(node, at);
        sift_down(node, last->heap_at);
    }
}

void due_update(struct node *node, struct node_container *c)
{
    uint64_t key = earliest(c);

    if (key == 0) {
        due_remove(node, c);
        return;
    }
    if (c->heap_at > 0 && c->heap_key == key) {
        return;
    }
    c->heap_key = key;
    if (c->heap_at == 0) {
        if (node->heap_n + 2 > node->heap_cap) {
            node->heap_cap = node->heap_cap > 0 ? 2 * node->heap_cap : 16;
            node->heap = xrealloc(node->heap, node->heap_cap, sizeof(struct node_container *));
        }
        put(node, ++node->heap_n, c);
    }
    sift_up(node, c->heap_at);
    sift_down(node, c->heap_at);
}

struct node_container *due_top(const struct node *node)
{
    return node->heap_n > 0 ? node->heap[1] : NULL;
}

uint64_t due_next(const struct node *node)
{
    return node->heap_n > 0 ? node->heap[1]->heap_key : UINT64_MAX;
}
