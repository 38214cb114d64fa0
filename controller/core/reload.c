// SPDX-License-Identifier: Apache-2.0
/* The fleet as the store remembers it. Nothing is decided before all of it is there. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "controller/core/fleet_priv.h"

static void load_stack(struct fleet *f, const struct fleet_event *e)
{
    const struct fleet_stack_want *from = &e->u.load_stack.stack;
    struct stack *stack = tables_stack_make(f, from->name);

    stack->stored = true;
    stack->revision = e->u.load_stack.revision;
    stack->applied_unix_ms = e->u.load_stack.applied_unix_ms;
    memcpy(stack->digest, from->digest, FLEET_DIGEST);
    netrules_set(f, stack, from);
    for (unsigned i = 0; i < from->n_wants; i++) {
        struct service *s = tables_service_make(stack, from->wants[i].service);

        assert(s->want == NULL);
        s->want = want_copy(&from->wants[i]);
        s->ask = want_ask(&s->want->ask);
    }
}

static struct node *load_node(struct fleet *f, struct id128 id, const char *name, uint32_t block,
                              bool lost)
{
    struct node *node = roster_find(f, id);

    if (node == NULL) {
        node = roster_add(f, id, name, block);
        vips_avoid(f, node);
        node->state = lost ? FLEET_NODE_STATE_LOST : FLEET_NODE_STATE_EXPECTED;
    }
    return node;
}

/* A placement on a node without a record: as if the node had been given up. */
static struct node *node_of(struct fleet *f, struct id128 id)
{
    char hex[ID128_HEX + 1];

    id128_to_hex(id, hex);
    return load_node(f, id, hex, UINT32_MAX - 1, true);
}

static struct ask *ask_of(const struct service *s, const struct fleet_load_placement *from)
{
    bool same = s->want != NULL && memcmp(s->want->revision, from->revision, FLEET_DIGEST) == 0;

    if (s->want != NULL && (from->ask != NULL ? want_ask_equal(from->ask, &s->ask->a) : same)) {
        return want_ask_ref(s->ask);
    }
    return want_ask(from->ask);
}

static void load_flags(struct fleet *f, struct service *s, struct placement *p,
                       const struct fleet_load_placement *from)
{
    p->stop = from->stop;
    p->completed = from->completed;
    p->failed = from->failed;
    if (p->completed || p->failed) {
        capacity_give(f, p);
    }
    if (from->current) {
        struct slot *slot = tables_slot_make(s, from->slot);

        if (slot->current == NULL) {
            slot->current = p;
            p->current = true;
        }
        s->released = true;
    }
}

static void load_placement(struct fleet *f, const struct fleet_load_placement *from)
{
    struct service *s = tables_service_make(tables_stack_make(f, from->stack), from->service);
    struct node *node = node_of(f, from->node_id);
    struct placement *p;

    if (incmap_find(f, from->incarnation) != NULL) {
        return;
    }
    p = placements_add(f, s, from->slot, node, from->incarnation, ask_of(s, from));
    memcpy(p->revision, from->revision, FLEET_DIGEST);
    p->created_unix_ms = from->created_unix_ms;
    p->mod_revision = from->mod_revision;
    (void)snprintf(p->image_digest, sizeof(p->image_digest), "%s",
                   from->image_digest != NULL ? from->image_digest : "");
    if (!placements_outdated(p) && s->want != NULL && p->image_digest[0] != '\0') {
        memcpy(s->pin, p->image_digest, sizeof(s->pin));
    }
    if (from->mod_revision > f->revision) {
        f->revision = from->mod_revision;
    }
    load_flags(f, s, p, from);
    placements_join(p);
}

static void load_volume(struct fleet *f, const struct fleet_event *e)
{
    struct binding *b;

    if (tables_binding(f, e->u.volume.name) != NULL) {
        return;
    }
    b = tables_bind(f, e->u.volume.name, e->u.volume.stack, node_of(f, e->u.volume.node_id));
    b->made_unix_ms = e->u.volume.made_unix_ms;
}

/* One of a service that nobody knows any more leaves when its turn comes, and the address with it.
 */
static void load_vip(struct fleet *f, const struct fleet_event *e)
{
    struct service *s = tables_service_make(tables_stack_make(f, e->u.vip.stack), e->u.vip.service);

    vips_load(f, s, e->u.vip.network, e->u.vip.address);
    s->shown = true;
}

/* A store of an earlier version has none. */
static void load_done(struct fleet *f)
{
    f->loaded = true;
    f->durable = f->revision;
    for (unsigned i = 0; i < f->n_nodes; i++) {
        f->nodes[i]->removed_since = f->revision;
    }
    for (unsigned i = 0; i < f->n_stacks; i++) {
        for (unsigned k = 0; k < f->stacks[i]->n; k++) {
            vips_loaded(f, f->stacks[i]->services[k]);
            vips_settle(f, f->stacks[i]->services[k]);
            tables_dirty(f, f->stacks[i]->services[k]);
        }
    }
    silence_expect_all(f);
}

bool reload_event(struct fleet *f, const struct fleet_event *e)
{
    if (e->type == FLEET_LOAD_CLUSTER) {
        assert(e->u.cluster.epoch > 0);
        assert(e->u.cluster.epoch <= UINT32_MAX);
        f->epoch = e->u.cluster.epoch;
        f->revision = e->u.cluster.revision;
        f->blocks_max = e->u.cluster.blocks_max;
        vips_range(f, e->u.cluster.range, e->u.cluster.range_prefix, e->u.cluster.node_prefix);
    } else if (e->type == FLEET_LOAD_NODE) {
        struct node *node =
            load_node(f, e->u.node.id, e->u.node.name, e->u.node.block, e->u.node.lost);

        node->joined_unix_ms = e->u.node.joined_unix_ms;
    } else if (e->type == FLEET_LOAD_STACK) {
        load_stack(f, e);
    } else if (e->type == FLEET_LOAD_PLACEMENT) {
        load_placement(f, &e->u.placement);
    } else if (e->type == FLEET_LOAD_VOLUME) {
        load_volume(f, e);
    } else if (e->type == FLEET_LOAD_VIP) {
        load_vip(f, e);
    } else if (e->type == FLEET_LOAD_DONE) {
        load_done(f);
    } else {
        return false;
    }
    return true;
}
