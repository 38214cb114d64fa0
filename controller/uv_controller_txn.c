// SPDX-License-Identifier: Apache-2.0
/* What one step stores is one transaction: encoded when the step is done, so that it holds exactly
 * what was decided with it. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/failpoint.h"
#include "common/log.h"
#include "controller/uv_controller_priv.h"

#define EARLIER_MAX 10u /* revisions of a stack that are kept behind the one in force */

struct commit {
    struct uv_controller *controller;
    uint64_t generation;
    uint64_t revision;
};

static void put(struct store_txn *txn, const char *key, const struct buf *value)
{
    store_txn_put(txn, key, buf_text(value), value->len);
}

/* ---- stacks ---- */

struct having {
    const struct fleet *fleet;
    int stack;
};

static bool has_service(void *arg, const char *service)
{
    const struct having *h = arg;
    int i = h->stack < 0 ? -1 : fleet_service_find(h->fleet, (unsigned)h->stack, service);
    struct fleet_service_view v;

    return i >= 0 && fleet_service_at(h->fleet, (unsigned)h->stack, (unsigned)i, &v) &&
           v.want != NULL;
}

static void keep_earlier(struct store_txn *txn, const struct docs_stack *now)
{
    struct codec_store_stack old = {.revision = now->revision,
                                    .applied_unix_ms = now->applied_unix_ms};
    auto_buf struct buf value = {0};
    char key[CODEC_STORE_KEY];

    memcpy(old.name, now->name, sizeof(old.name));
    old.document = codec_want_bytes(now->want, &old.len);
    codec_store_write_stack(&old, &value);
    codec_store_key_earlier(now->name, now->revision, key);
    put(txn, key, &value);
    if (now->revision > EARLIER_MAX) {
        codec_store_key_earlier(now->name, now->revision - EARLIER_MAX, key);
        store_txn_del(txn, key);
    }
}

/* The document that is stored now is read like any other: nothing else could be loaded again. */
static struct codec_want *merged(struct uv_controller *c, const struct fleet_action *a,
                                 const struct docs_stack *now)
{
    struct having have = {.fleet = c->fleet, .stack = fleet_stack_find(c->fleet, a->stack)};
    const struct codec_want *asked = c->asking != NULL ? c->asking->want : NULL;
    auto_buf struct buf document = {0};
    struct codec_want *want = NULL;
    struct err e = {0};

    codec_want_merge(now != NULL ? now->want : NULL, asked, a->stack, has_service, &have,
                     &document);
    if (codec_want_decode(buf_text(&document), document.len, &want, &e) < 0) {
        die("the document of stack %s was checked and cannot be read: %s", a->stack, e.text);
    }
    return want;
}

static void put_stack(struct uv_controller *c, struct store_txn *txn, const struct fleet_action *a)
{
    const struct docs_stack *now = docs_stack(c->docs, a->stack);
    struct codec_want *want = merged(c, a, now);
    struct codec_store_stack s = {.revision = a->number, .applied_unix_ms = uv_controller_unix()};
    struct fleet_stack_view v;
    auto_buf struct buf value = {0};
    char key[CODEC_STORE_KEY];

    if (now != NULL) {
        keep_earlier(txn, now);
    }
    if (fleet_stack_at(c->fleet, (unsigned)fleet_stack_find(c->fleet, a->stack), &v)) {
        s.applied_unix_ms = v.applied_unix_ms;
    }
    memcpy(s.name, a->stack, sizeof(s.name));
    s.document = codec_want_bytes(want, &s.len);
    if (c->asking != NULL && c->asking->want != NULL) {
        memcpy(s.applied_digest, codec_want_stack(c->asking->want)->digest, FLEET_DIGEST);
    }
    codec_store_write_stack(&s, &value);
    codec_store_key_stack(a->stack, key);
    put(txn, key, &value);
    docs_put_stack(c->docs, a->stack, s.revision, s.applied_unix_ms, want);
}

static void del_stack(struct uv_controller *c, struct store_txn *txn, const struct fleet_action *a)
{
    const struct docs_stack *now = docs_stack(c->docs, a->stack);
    char key[CODEC_STORE_KEY];
    uint32_t last = now != NULL ? now->revision : 0;

    codec_store_key_stack(a->stack, key);
    store_txn_del(txn, key);
    for (uint32_t i = last > EARLIER_MAX + 1 ? last - EARLIER_MAX - 1 : 1; i <= last; i++) {
        codec_store_key_earlier(a->stack, i, key);
        store_txn_del(txn, key);
    }
    docs_del_stack(c->docs, a->stack);
}

/* ---- placements ---- */

struct gathering {
    struct fleet_placement_view *list;
    uint8_t (*digests)[FLEET_DIGEST];
    unsigned n, cap;
};

static void gather(void *arg, const struct fleet_placement_view *p)
{
    struct gathering *g = arg;

    if (g->n == g->cap) {
        g->cap = g->cap == 0 ? 64 : 2 * g->cap;
        g->list = xrealloc(g->list, g->cap, sizeof(*g->list));
        g->digests = xrealloc(g->digests, g->cap, sizeof(*g->digests));
    }
    memcpy(g->digests[g->n], p->revision, FLEET_DIGEST);
    g->list[g->n++] = *p;
}

static void put_block(struct uv_controller *c, struct store_txn *txn, const struct fleet_action *a)
{
    struct gathering g = {0};
    auto_buf struct buf value = {0};
    char key[CODEC_STORE_KEY];

    codec_store_key_block(a->stack, a->service, a->number, key);
    fleet_block_each(c->fleet, a->stack, a->service, a->number, gather, &g);
    if (g.n == 0) {
        store_txn_del(txn, key);
    } else {
        codec_store_write_block(g.list, g.n, &value);
        put(txn, key, &value);
    }
    docs_put_block(c->docs, key, (const uint8_t(*)[FLEET_DIGEST])g.digests, g.n);
    free(g.list);
    free(g.digests);
}

/* ---- nodes and volumes ---- */

static void put_node(struct uv_controller *c, struct store_txn *txn, const struct fleet_action *a)
{
    struct fleet_node_view v;
    struct codec_store_node n = {.id = a->node_id};
    auto_buf struct buf value = {0};
    char key[CODEC_STORE_KEY];
    int i = fleet_node_find(c->fleet, a->node_id);

    assert(i >= 0);
    (void)fleet_node_at(c->fleet, (unsigned)i, &v);
    memcpy(n.name, v.name, strnlen(v.name, sizeof(n.name) - 1));
    n.block = v.block;
    n.joined_unix_ms = v.joined_unix_ms;
    n.lost = v.state == FLEET_NODE_STATE_LOST;
    codec_store_write_node(&n, &value);
    codec_store_key_node(a->node_id, key);
    put(txn, key, &value);
}

static void put_vips(struct uv_controller *c, struct store_txn *txn, const struct fleet_action *a)
{
    struct fleet_vip_view list[SVC_NETWORKS_MAX];
    auto_buf struct buf value = {0};
    char key[CODEC_STORE_KEY];
    unsigned n = 0;

    codec_store_key_vips(a->stack, a->service, key);
    while (n < SVC_NETWORKS_MAX && fleet_svc_vip_at(c->fleet, a->stack, a->service, n, &list[n])) {
        n++;
    }
    if (n == 0) {
        store_txn_del(txn, key);
    } else {
        codec_store_write_vips(list, n, &value);
        put(txn, key, &value);
    }
}

static void put_volume(struct uv_controller *c, struct store_txn *txn, const struct fleet_action *a)
{
    struct fleet_volume_view v;
    struct codec_store_volume volume = {0};
    auto_buf struct buf value = {0};
    char key[CODEC_STORE_KEY];
    int i = fleet_volume_find(c->fleet, a->name);

    if (i < 0) {
        return; /* bound and forgotten in one step */
    }
    (void)fleet_volume_at(c->fleet, (unsigned)i, &v);
    memcpy(volume.name, v.name, strnlen(v.name, sizeof(volume.name) - 1));
    memcpy(volume.stack, v.stack, strnlen(v.stack, sizeof(volume.stack) - 1));
    volume.node_id = v.node_id;
    volume.made_unix_ms = v.made_unix_ms;
    codec_store_write_volume(&volume, &value);
    codec_store_key_volume(a->name, key);
    put(txn, key, &value);
}

static void del_volume(struct uv_controller *c, struct store_txn *txn, const struct fleet_action *a)
{
    char key[CODEC_STORE_KEY];

    (void)c;
    codec_store_key_volume(a->name, key);
    store_txn_del(txn, key);
}

/* ---- the transaction ---- */

static void revision_put(void *arg, const uint8_t digest[FLEET_DIGEST], const void *bytes,
                         size_t len)
{
    char key[CODEC_STORE_KEY];

    codec_store_key_revision(digest, key);
    store_txn_put(arg, key, bytes, len);
}

static void revision_del(void *arg, const uint8_t digest[FLEET_DIGEST])
{
    char key[CODEC_STORE_KEY];

    codec_store_key_revision(digest, key);
    store_txn_del(arg, key);
}

static void on_done(void *arg, const struct store_result *result)
{
    struct commit *commit = arg;
    struct uv_controller *c = commit->controller;
    bool stale = c->state == CONTROLLER_CLOSING || commit->generation != c->generation;
    uint64_t revision = commit->revision;

    free(commit);
    if (stale) {
        return;
    }
    if (result->status == 0 && result->revision == revision) {
        c->durable = revision;
    } else if (result->status == 0) {
        struct err e = {0};

        (void)err_say(&e, EIO, "the store is at revision %llu instead of %llu",
                      (unsigned long long)result->revision, (unsigned long long)revision);
        uv_controller_load_failed(c, &e);
    } else {
        uv_controller_load_failed(c, &result->error);
    }
}

typedef void (*writer)(struct uv_controller *c, struct store_txn *txn,
                       const struct fleet_action *a);

static const writer writers[] = {
    [FLEET_PUT_STACK] = put_stack,   [FLEET_DEL_STACK] = del_stack, [FLEET_PUT_NODE] = put_node,
    [FLEET_PUT_BLOCK] = put_block,   [FLEET_PUT_VIPS] = put_vips,   [FLEET_PUT_VOLUME] = put_volume,
    [FLEET_DEL_VOLUME] = del_volume,
};

void uv_controller_txn(struct uv_controller *c, const struct fleet_actions *actions)
{
    struct store_txn *txn = NULL;
    struct docs_changes changes = {.put = revision_put, .del = revision_del};
    struct commit *commit;

    for (unsigned i = 0; i < actions->n; i++) {
        if ((size_t)actions->list[i].type >= ARRAY_LEN(writers)) {
            continue;
        }
        if (txn == NULL) {
            txn = store_txn_create();
            store_txn_compare(txn, CODEC_STORE_CLUSTER, c->cluster_mod);
        }
        writers[actions->list[i].type](c, txn, &actions->list[i]);
    }
    if (txn == NULL) {
        return;
    }
    changes.arg = txn;
    docs_settle(c->docs, &changes);
    commit = xcalloc(1, sizeof(*commit));
    *commit = (struct commit){
        .controller = c, .generation = c->generation, .revision = fleet_revision(c->fleet)};
    FAILPOINT("controller.step.before_commit");
    store_commit(c->store, txn, on_done, commit);
}
