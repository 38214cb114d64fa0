// SPDX-License-Identifier: Apache-2.0
/* Which node takes a replica: filter (filter.c), score, tie-break by id. One pass over a service
 * looks at each node once, and then at a heap of those that accept. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "controller/core/filter.h"
#include "controller/core/fleet_priv.h"

struct candidate {
    struct node *node;
    uint64_t first, second; /* the smaller pair is the better one */
};

struct heap {
    struct candidate *list;
    unsigned n;
};

static struct candidate score(const struct fleet_want *want, struct node *node)
{
    uint64_t share = capacity_share(node);

    if (want->strategy == FLEET_BINPACK) {
        return (struct candidate){node, UINT64_MAX - share, node->count};
    }
    return (struct candidate){node, node->count, share};
}

static bool better(const struct candidate *a, const struct candidate *b)
{
    if (a->first != b->first) {
        return a->first < b->first;
    }
    if (a->second != b->second) {
        return a->second < b->second;
    }
    return a->node->id.hi != b->node->id.hi ? a->node->id.hi < b->node->id.hi
                                            : a->node->id.lo < b->node->id.lo;
}

static void sink(struct heap *h, unsigned i)
{
    for (;;) {
        unsigned best = i, left = 2 * i + 1;
        struct candidate c;

        for (unsigned k = left; k < h->n && k <= left + 1; k++) {
            best = better(&h->list[k], &h->list[best]) ? k : best;
        }
        if (best == i) {
            return;
        }
        c = h->list[i];
        h->list[i] = h->list[best];
        h->list[best] = c;
        i = best;
    }
}

static void fill_heap(const struct fleet *f, const struct service *s, struct heap *h)
{
    h->n = 0;
    for (unsigned i = 0; i < f->n_nodes; i++) {
        if (filter_accepts(f, s, f->nodes[i])) {
            h->list[h->n++] = score(s->want, f->nodes[i]);
        }
    }
    for (unsigned i = h->n / 2; i-- > 0;) {
        sink(h, i);
    }
}

/* How many replicas of the service each node has. */
static void count_replicas(struct fleet *f, const struct service *s)
{
    for (unsigned i = 0; i < f->n_nodes; i++) {
        f->nodes[i]->count = 0;
    }
    for (const struct placement *p = s->first; p != NULL; p = p->next) {
        p->node->count += !p->completed && !p->failed;
    }
}

static void pin_image(struct service *s, const struct node *node)
{
    const struct fleet_image *image = s->pin[0] == '\0' ? filter_image(node, s->want->image) : NULL;

    if (image != NULL) {
        (void)snprintf(s->pin, sizeof(s->pin), "%s", image->digest);
    }
}

/* Returns whether some volume is new, and so bound to this node from now on. */
static bool bind_volumes(struct fleet *f, const struct service *s, struct node *node)
{
    bool any = false;

    for (unsigned i = 0; i < s->ask->a.n_volumes; i++) {
        const char *name = s->ask->a.volumes[i].name;

        if (tables_binding(f, name) != NULL) {
            continue;
        }
        emit_volume(f, FLEET_PUT_VOLUME, tables_bind(f, name, s->stack->name, node));
        emit_happened(f, FLEET_HAPPENED_VOLUME_BOUND, s->stack->name, s->name, 0, node->name,
                      "volume %s lives on %s from now on", name, node->name);
        any = true;
    }
    return any;
}

/* Returns whether the other nodes have to be asked again. */
static bool put(struct fleet *f, struct service *s, struct slot *slot, struct node *node)
{
    bool pinned = s->pin[0] != '\0';
    bool bound;
    struct placement *p;

    pin_image(s, node);
    bound = bind_volumes(f, s, node);
    p = placements_new(f, s, slot->number, node);
    p->current = true;
    slot->current = p;
    node->count++;
    emit_of(f, FLEET_HAPPENED_PLACED, p, "placed on %s", node->name);
    return bound || !pinned;
}

static bool place_replicas(struct fleet *f, struct service *s)
{
    struct heap h = {.list = xcalloc(f->n_nodes + 1, sizeof(struct candidate))};
    bool all = true;

    fill_heap(f, s, &h);
    for (unsigned i = 0; i < s->n_slots && f->budget > 0; i++) {
        struct slot *slot = &s->slots[i];

        if (!slot->wanted || slot->current != NULL) {
            continue;
        }
        if (h.n == 0) {
            all = false;
            break;
        }
        if (put(f, s, slot, h.list[0].node)) {
            fill_heap(f, s, &h);
            continue;
        }
        if (filter_accepts(f, s, h.list[0].node)) {
            h.list[0] = score(s->want, h.list[0].node);
        } else {
            h.list[0] = h.list[--h.n];
        }
        sink(&h, 0);
    }
    free(h.list);
    return all;
}

struct node *place_global_node(const struct fleet *f, const struct slot *slot)
{
    for (unsigned i = 0; i < f->n_nodes; i++) {
        if (f->nodes[i]->block + 1 == slot->number) {
            return f->nodes[i];
        }
    }
    return NULL;
}

static bool place_global(struct fleet *f, struct service *s, const struct node **ret_refused)
{
    bool all = true;

    for (unsigned i = 0; i < f->n_nodes && f->budget > 0; i++) {
        struct node *node = f->nodes[i];
        struct slot *slot = tables_slot(s, node->block + 1);

        if (slot == NULL || !slot->wanted || slot->current != NULL) {
            continue;
        }
        if (filter_accepts(f, s, node)) {
            (void)put(f, s, slot, node);
        } else {
            *ret_refused = node;
            all = false;
        }
    }
    return all;
}

bool place_service(struct fleet *f, struct service *s)
{
    const struct node *refused = NULL;
    char text[FLEET_TEXT];
    bool all;

    assert(s->want != NULL);
    count_replicas(f, s);
    all = want_is_global(s->want) ? place_global(f, s, &refused) : place_replicas(f, s);
    if (!all) {
        filter_explain(f, s, refused, text);
        words_set(&s->pending, text);
    }
    return all;
}

bool place_could_replace(struct fleet *f, struct placement *p, char ret_text[FLEET_TEXT])
{
    struct service *s = p->service;
    bool global = want_is_global(s->want);
    bool had = p->reserved;
    bool found = false;

    count_replicas(f, s);
    p->node->count--;
    capacity_give(f, p);
    for (unsigned i = 0; i < f->n_nodes && !found; i++) {
        found = (!global || f->nodes[i] == p->node) && filter_accepts(f, s, f->nodes[i]);
    }
    if (!found) {
        filter_explain(f, s, global ? p->node : NULL, ret_text);
    }
    if (had) {
        capacity_take(f, p);
    }
    return found;
}
