// SPDX-License-Identifier: Apache-2.0
/* The nodes: who they are, what they say of themselves, their coming and their being given up. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "controller/core/fleet_priv.h"

static int id_order(struct id128 a, struct id128 b)
{
    if (a.hi != b.hi) {
        return a.hi < b.hi ? -1 : 1;
    }
    return (a.lo > b.lo) - (a.lo < b.lo);
}

static unsigned place_of(const struct fleet *f, struct id128 id)
{
    unsigned low = 0, high = f->n_nodes;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (id_order(f->nodes[mid]->id, id) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct node *roster_find(const struct fleet *f, struct id128 id)
{
    unsigned i = place_of(f, id);

    return i < f->n_nodes && id128_equal(f->nodes[i]->id, id) ? f->nodes[i] : NULL;
}

struct node *roster_named(const struct fleet *f, const char *name_or_id)
{
    struct node *lost = NULL;
    struct id128 id;

    if (id128_from_hex(name_or_id, &id) == 0 && roster_find(f, id) != NULL) {
        return roster_find(f, id);
    }
    for (unsigned i = 0; i < f->n_nodes; i++) {
        if (strcmp(f->nodes[i]->name, name_or_id) != 0) {
            continue;
        }
        if (f->nodes[i]->state != FLEET_NODE_STATE_LOST) {
            return f->nodes[i];
        }
        lost = f->nodes[i];
    }
    return lost;
}

struct node *roster_add(struct fleet *f, struct id128 id, const char *name, uint32_t block)
{
    unsigned i = place_of(f, id);
    struct node *node = xcalloc(1, sizeof(*node));

    assert(roster_find(f, id) == NULL);
    f->nodes = fleet_grow(f->nodes, f->n_nodes, &f->cap_nodes, sizeof(*f->nodes));
    memmove(f->nodes + i + 1, f->nodes + i, (f->n_nodes - i) * sizeof(*f->nodes));
    f->nodes[i] = node;
    f->n_nodes++;
    node->id = id;
    (void)snprintf(node->name, sizeof(node->name), "%s", name);
    node->block = block;
    node->joined_unix_ms = f->unix_ms;
    node->removed_since = f->revision;
    return node;
}

bool roster_usable(const struct node *node)
{
    return node->state == FLEET_NODE_STATE_READY && node->settled && node->has_facts;
}

/* ---- facts ---- */

static char *text_or_empty(const char *text)
{
    return xstrdup(text != NULL ? text : "");
}

static void facts_free(struct fleet_facts *facts)
{
    const char *texts[] = {facts->os,       facts->arch,   facts->kernel,  facts->version,
                           facts->underlay, facts->cgroup, facts->degraded};

    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        free((void *)(uintptr_t)texts[i]);
    }
    for (unsigned i = 0; i < facts->n_labels; i++) {
        free((void *)(uintptr_t)facts->labels[i].key);
        free((void *)(uintptr_t)facts->labels[i].value);
    }
    for (unsigned i = 0; i < facts->n_images; i++) {
        free((void *)(uintptr_t)facts->images[i].name);
        free((void *)(uintptr_t)facts->images[i].digest);
    }
    free((void *)(uintptr_t)facts->labels);
    free((void *)(uintptr_t)facts->images);
}

static int image_order(const void *a, const void *b)
{
    const struct fleet_image *x = a, *y = b;
    int c = strcmp(x->name, y->name);

    return c != 0 ? c : strcmp(x->digest, y->digest);
}

static void facts_copy(struct fleet_facts *to, const struct fleet_facts *from)
{
    struct fleet_label *labels = xcalloc(from->n_labels + 1, sizeof(*labels));
    struct fleet_image *images = xcalloc(from->n_images + 1, sizeof(*images));

    *to = *from;
    to->os = text_or_empty(from->os);
    to->arch = text_or_empty(from->arch);
    to->kernel = text_or_empty(from->kernel);
    to->version = text_or_empty(from->version);
    to->underlay = text_or_empty(from->underlay);
    to->cgroup = text_or_empty(from->cgroup);
    to->degraded = text_or_empty(from->degraded);
    for (unsigned i = 0; i < from->n_labels; i++) {
        labels[i].key = text_or_empty(from->labels[i].key);
        labels[i].value = text_or_empty(from->labels[i].value);
    }
    for (unsigned i = 0; i < from->n_images; i++) {
        images[i].name = text_or_empty(from->images[i].name);
        images[i].digest = text_or_empty(from->images[i].digest);
    }
    if (from->n_images > 1) {
        qsort(images, from->n_images, sizeof(*images), image_order);
    }
    to->labels = labels;
    to->images = images;
}

void roster_facts(struct fleet *f, struct node *node, const struct fleet_facts *facts)
{
    if (node->has_facts) {
        facts_free(&node->facts);
    }
    facts_copy(&node->facts, facts);
    node->has_facts = true;
    tables_wake(f);
    tables_globals_dirty(f);
}

/* ---- coming ---- */

/* The lowest number no node has. */
static bool free_block(const struct fleet *f, uint32_t *ret_block)
{
    bool *used = xcalloc(f->n_nodes + 1, sizeof(*used));
    uint32_t block = 0;

    for (unsigned i = 0; i < f->n_nodes; i++) {
        if (f->nodes[i]->block <= f->n_nodes) {
            used[f->nodes[i]->block] = true;
        }
    }
    while (used[block]) {
        block++;
    }
    free(used);
    *ret_block = block;
    return block < f->blocks_max;
}

static bool name_taken(struct fleet *f, const struct fleet_event *e)
{
    struct node *other = roster_named(f, e->u.hello.name);

    if (other == NULL || other->state == FLEET_NODE_STATE_LOST ||
        id128_equal(other->id, e->u.hello.node_id)) {
        return false;
    }
    emit_refuse(f, e->u.hello.node_id, FLEET_REFUSE_NAME,
                "another node is named %s (it is %s): give this one another name, or say "
                "`wherry node lost %s` if that one will not come back",
                other->name, fleet_node_state_name(other->state), other->name);
    return true;
}

static bool seen_more(struct fleet *f, const struct fleet_event *e)
{
    const struct fleet_position *p = &e->u.hello.position;

    if (p->epoch < f->epoch || (p->epoch == f->epoch && p->revision <= f->revision)) {
        return false;
    }
    emit_refuse(f, e->u.hello.node_id, FLEET_REFUSE_STALE,
                "the node has seen epoch %llu, revision %llu; this controller is at epoch %llu, "
                "revision %llu: it raises its own and asks again",
                (unsigned long long)p->epoch, (unsigned long long)p->revision,
                (unsigned long long)f->epoch, (unsigned long long)f->revision);
    emit_raise_epoch(f, p->epoch);
    return true;
}

static struct node *join(struct fleet *f, const struct fleet_event *e)
{
    struct node *node;
    uint32_t block;

    if (f->n_nodes >= FLEET_NODES_MAX || !free_block(f, &block)) {
        emit_refuse(f, e->u.hello.node_id, FLEET_REFUSE_FULL,
                    "the cluster's address range has no block left for another node (%u nodes)",
                    f->n_nodes);
        return NULL;
    }
    node = roster_add(f, e->u.hello.node_id, e->u.hello.name, block);
    emit_put_node(f, node);
    emit_happened(f, FLEET_HAPPENED_NODE_JOINED, NULL, NULL, 0, node->name,
                  "node %s has joined the cluster", node->name);
    return node;
}

void roster_settle(struct fleet *f, struct node *node)
{
    if (node->settled) {
        return;
    }
    node->settled = node->told_all = true;
    emit_send(f, node, !id128_equal(node->assigned_sum, node->hello_sum));
    silence_mark(f, node);
    tables_wake(f);
    tables_globals_dirty(f);
}

void roster_hello(struct fleet *f, const struct fleet_event *e)
{
    struct node *node = roster_find(f, e->u.hello.node_id);
    bool report_all;

    if (seen_more(f, e) || name_taken(f, e)) {
        return;
    }
    if (node == NULL && (node = join(f, e)) == NULL) {
        return;
    }
    if (strcmp(node->name, e->u.hello.name) != 0 || node->state == FLEET_NODE_STATE_LOST) {
        (void)snprintf(node->name, sizeof(node->name), "%s", e->u.hello.name);
        emit_put_node(f, node);
    }
    if (node->state == FLEET_NODE_STATE_LOST) {
        node->state = FLEET_NODE_STATE_EXPECTED;
    }
    node->connected = true;
    node->settled = node->reporting = false;
    node->hello_sum = e->u.hello.assigned_sum;
    roster_facts(f, node, &e->u.hello.facts);
    silence_heard(f, node);
    report_all = !id128_equal(node->observed_sum, e->u.hello.observed_sum);
    emit_welcome(f, node, report_all);
    if (!report_all) {
        roster_settle(f, node);
    }
}

/* ---- given up ---- */

/* A silent node may still have its session; what comes of it later must not make it ready behind
 * the store's back, so it ends here. */
static void give_up(struct fleet *f, struct node *node)
{
    if (node->connected) {
        emit_refuse(f, node->id, FLEET_REFUSE_LOST,
                    "node %s was silent and an operator has said that it is lost: it greets anew",
                    node->name);
    }
    node->state = FLEET_NODE_STATE_LOST;
    node->since_unix_ms = f->unix_ms;
    node->connected = node->settled = node->reporting = node->braked = false;
    f->brake_look = true;
    emit_put_node(f, node);
    silence_mark(f, node);
    tables_globals_dirty(f);
    tables_wake(f);
    emit_happened(f, FLEET_HAPPENED_NODE_LOST, NULL, NULL, 0, node->name,
                  "an operator says that node %s is lost: its %u container%s replaced", node->name,
                  node->n_placements, node->n_placements == 1 ? " is" : "s are");
}

void roster_lost(struct fleet *f, const struct fleet_event *e)
{
    struct node *node = roster_named(f, e->u.lost.name);

    if (node == NULL) {
        (void)emit_reply(f, e->u.lost.request, FLEET_NOT_FOUND, "no node is named %s",
                         e->u.lost.name);
    } else if (node->state == FLEET_NODE_STATE_LOST) {
        (void)emit_reply(f, e->u.lost.request, FLEET_UNCHANGED, "node %s is already lost",
                         node->name);
    } else if (node->connected && node->state == FLEET_NODE_STATE_READY) {
        (void)emit_reply(f, e->u.lost.request, FLEET_CONFLICT,
                         "node %s is connected and ready: stop its agent and containers first",
                         node->name);
    } else {
        give_up(f, node);
        (void)emit_reply(f, e->u.lost.request, FLEET_OK, "node %s is lost", node->name);
    }
}

void roster_finish(struct fleet *f)
{
    for (unsigned i = 0; i < f->n_nodes; i++) {
        struct node *node = f->nodes[i];

        while (node->oldest != NULL) {
            struct placement *p = node->oldest;

            node->oldest = p->newer;
            placements_forget_seen(p);
            want_ask_drop(p->ask);
            free(p);
        }
        if (node->has_facts) {
            facts_free(&node->facts);
        }
        free(node->ports);
        free(node->removed);
        free(node);
    }
    free(f->nodes);
}
