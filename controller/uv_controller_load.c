// SPDX-License-Identifier: Apache-2.0
/* From the store to a fleet, and back to it after the store has failed. Each load has an epoch of
 * its own, durably raised before: incarnations count from it and are never given twice. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/cleanup.h"
#include "common/failpoint.h"
#include "common/log.h"
#include "controller/uv_controller_priv.h"

#define AGAIN_MS       1000u
#define EPOCH_JUMP_MAX 1000000u /* no agent can have seen so many starts more than this store */

/* ---- the cluster ---- */

static int make_cluster(struct uv_controller *c, struct err *e)
{
    const struct uv_controller_config *config = &c->config;
    uint8_t id[16];

    if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id)) {
        return err_set(e, errno, "make a random id for the cluster");
    }
    c->cluster.id = id128_from_bytes(id);
    (void)snprintf(c->cluster.range, sizeof(c->cluster.range), "%s",
                   config->range != NULL ? config->range : UV_CONTROLLER_RANGE);
    c->cluster.node_prefix =
        config->node_prefix != 0 ? config->node_prefix : UV_CONTROLLER_NODE_PREFIX;
    c->cluster.created_unix_ms = uv_controller_unix();
    return 0;
}

/* Blocks of nodes are cut from the range once and for all. */
static int same_range(const struct uv_controller *c, struct err *e)
{
    const struct uv_controller_config *config = &c->config;

    if (config->range != NULL && strcmp(config->range, c->cluster.range) != 0) {
        return err_say(e, EINVAL,
                       "this cluster was made with range %s and not %s: its nodes have their "
                       "blocks from it; start without --range",
                       c->cluster.range, config->range);
    }
    if (config->node_prefix != 0 && config->node_prefix != c->cluster.node_prefix) {
        return err_say(e, EINVAL,
                       "this cluster was made with node prefix %u and not %u: its nodes have "
                       "blocks of that size; start without --node-prefix",
                       c->cluster.node_prefix, config->node_prefix);
    }
    return 0;
}

struct reading {
    struct uv_controller *c;
    struct err *e; /* its first error; code 0: none */
};

static void on_cluster(void *arg, const struct store_kv *kv)
{
    struct reading *r = arg;

    r->c->cluster_mod = kv->mod_revision;
    if (codec_store_read_cluster(kv->value, kv->len, &r->c->cluster, r->e) < 0) {
        (void)err_wrap(r->e, "read %s from the store", kv->key);
    }
}

int uv_controller_load_cluster(struct uv_controller *c, struct err *e)
{
    struct reading r = {.c = c, .e = e};
    int rc = store_get(c->store, CODEC_STORE_CLUSTER, on_cluster, &r, e);

    if (rc < 0 || e->code < 0) {
        return rc < 0 ? rc : e->code;
    }
    rc = rc == 0 ? make_cluster(c, e) : same_range(c, e);
    c->cluster.encrypt |= c->config.encrypt; /* is stored with the epoch that is raised now */
    return rc < 0 ? rc : iprange_parse(c->cluster.range, c->cluster.node_prefix, &c->range, e);
}

/* ---- store to fleet ---- */

static void load(struct uv_controller *c, struct fleet_event *event)
{
    struct fleet_actions none = {0};

    event->now_ms = uv_controller_now();
    event->unix_ms = uv_controller_unix();
    fleet_step(c->fleet, event, &none);
    fleet_actions_finish(&none);
}

static void on_node(void *arg, const struct store_kv *kv)
{
    struct reading *r = arg;
    struct codec_store_node n;
    struct fleet_event event = {.type = FLEET_LOAD_NODE};

    if (r->e->code < 0) {
        return;
    }
    if (codec_store_read_node(kv->value, kv->len, &n, r->e) < 0) {
        (void)err_wrap(r->e, "read %s from the store", kv->key);
        return;
    }
    event.u.node.id = n.id;
    if (n.block >= iprange_blocks(&r->c->range)) {
        log_warn("node %s has a block where virtual addresses are: they keep out of it", n.name);
    }
    event.u.node.name = n.name;
    event.u.node.block = n.block;
    event.u.node.joined_unix_ms = n.joined_unix_ms;
    event.u.node.lost = n.lost;
    load(r->c, &event);
}

static void on_revision(void *arg, const struct store_kv *kv)
{
    struct reading *r = arg;
    uint8_t digest[FLEET_DIGEST];

    if (r->e->code < 0) {
        return;
    }
    if (codec_store_parse_revision(kv->key, digest, r->e) < 0) {
        (void)err_wrap(r->e, "read %s from the store", kv->key);
        return;
    }
    docs_stored_revision(r->c->docs, digest, kv->value, kv->len);
}

static int load_stack(struct uv_controller *c, const struct store_kv *kv, struct err *e)
{
    struct codec_store_stack s = {0};
    struct codec_want *want = NULL;
    struct fleet_event event = {.type = FLEET_LOAD_STACK};
    int rc = codec_store_read_stack(kv->value, kv->len, &s, e);

    rc = rc < 0 ? rc : codec_want_decode(s.document, s.len, &want, e);
    if (rc == 0) {
        event.u.load_stack.stack = *codec_want_stack(want);
        memcpy(event.u.load_stack.stack.digest, s.applied_digest, FLEET_DIGEST);
        event.u.load_stack.revision = s.revision;
        event.u.load_stack.applied_unix_ms = s.applied_unix_ms;
        load(c, &event);
        docs_put_stack(c->docs, s.name, s.revision, s.applied_unix_ms, want);
    }
    codec_store_stack_free(&s);
    return rc;
}

static void on_stack(void *arg, const struct store_kv *kv)
{
    struct reading *r = arg;

    if (r->e->code == 0 && load_stack(r->c, kv, r->e) < 0) {
        (void)err_wrap(r->e, "read %s from the store", kv->key);
    }
}

/* ---- placements ---- */

struct block_reading {
    struct uv_controller *c;
    uint8_t (*digests)[FLEET_DIGEST];
    unsigned n, cap;
};

static bool is_wanted_now(const struct uv_controller *c, const struct fleet_load_placement *p)
{
    const struct docs_stack *s = docs_stack(c->docs, p->stack);
    const struct fleet_stack_want *w = s != NULL ? codec_want_stack(s->want) : NULL;

    for (unsigned i = 0; w != NULL && i < w->n_wants; i++) {
        if (strcmp(w->wants[i].service, p->service) == 0) {
            return memcmp(w->wants[i].revision, p->revision, FLEET_DIGEST) == 0;
        }
    }
    return false;
}

/* Of an earlier revision: what it takes is in its own document, if that is still known. */
static bool own_ask(const struct uv_controller *c, const struct fleet_load_placement *p,
                    struct fleet_ask *ret)
{
    size_t len = 0;
    const void *bytes = docs_revision(c->docs, p->revision, &len);

    return bytes != NULL && codec_want_ask(bytes, len, ret, NULL) == 0;
}

static void on_placement(void *arg, const struct fleet_load_placement *p)
{
    struct block_reading *b = arg;
    struct fleet_event event = {.type = FLEET_LOAD_PLACEMENT};
    struct fleet_ask ask = {0};

    event.u.placement = *p;
    if (!is_wanted_now(b->c, p) && own_ask(b->c, p, &ask)) {
        event.u.placement.ask = &ask;
    }
    load(b->c, &event);
    codec_want_ask_free(&ask);
    if (b->n == b->cap) {
        b->cap = b->cap == 0 ? FLEET_BLOCK : 2 * b->cap;
        b->digests = xrealloc(b->digests, b->cap, sizeof(*b->digests));
    }
    memcpy(b->digests[b->n++], p->revision, FLEET_DIGEST);
}

static void on_block(void *arg, const struct store_kv *kv)
{
    struct reading *r = arg;
    struct block_reading b = {.c = r->c};
    char stack[FLEET_NAME];
    char service[FLEET_NAME];
    uint32_t block;

    if (r->e->code < 0) {
        return;
    }
    if (codec_store_parse_block(kv->key, stack, service, &block, r->e) < 0 ||
        codec_store_read_block(kv->value, kv->len, stack, service, on_placement, &b, r->e) < 0) {
        (void)err_wrap(r->e, "read %s from the store", kv->key);
    } else {
        docs_put_block(r->c->docs, kv->key, (const uint8_t(*)[FLEET_DIGEST])b.digests, b.n);
    }
    free(b.digests);
}

static void on_volume(void *arg, const struct store_kv *kv)
{
    struct reading *r = arg;
    struct codec_store_volume v;
    struct fleet_event event = {.type = FLEET_LOAD_VOLUME};

    if (r->e->code < 0) {
        return;
    }
    if (codec_store_read_volume(kv->value, kv->len, &v, r->e) < 0) {
        (void)err_wrap(r->e, "read %s from the store", kv->key);
        return;
    }
    event.u.volume.name = v.name;
    event.u.volume.stack = v.stack;
    event.u.volume.node_id = v.node_id;
    event.u.volume.made_unix_ms = v.made_unix_ms;
    load(r->c, &event);
}

struct vip_reading {
    struct uv_controller *c;
    char stack[FLEET_NAME];
    char service[FLEET_NAME];
};

static void on_vip(void *arg, const struct fleet_vip_view *vip)
{
    struct vip_reading *v = arg;
    struct fleet_event event = {.type = FLEET_LOAD_VIP};

    event.u.vip.stack = v->stack;
    event.u.vip.service = v->service;
    event.u.vip.network = vip->network;
    event.u.vip.address = vip->address;
    load(v->c, &event);
}

static void on_vips(void *arg, const struct store_kv *kv)
{
    struct reading *r = arg;
    struct vip_reading v = {.c = r->c};

    if (r->e->code < 0) {
        return;
    }
    if (codec_store_parse_vips(kv->key, v.stack, v.service, r->e) < 0 ||
        codec_store_read_vips(kv->value, kv->len, on_vip, &v, r->e) < 0) {
        (void)err_wrap(r->e, "read %s from the store", kv->key);
    }
}

/* In the order in which one names the other. */
static const struct {
    const char *prefix;
    store_kv_cb cb;
} tables[] = {
    {CODEC_STORE_NODES, on_node},     {CODEC_STORE_REVISIONS, on_revision},
    {CODEC_STORE_STACKS, on_stack},   {CODEC_STORE_BLOCKS, on_block},
    {CODEC_STORE_VOLUMES, on_volume}, {CODEC_STORE_VIPS, on_vips},
};

static int load_all(struct uv_controller *c, uint64_t revision, struct err *e)
{
    struct reading r = {.c = c, .e = e};
    struct fleet_event event = {.type = FLEET_LOAD_CLUSTER};

    c->fleet = fleet_create();
    c->docs = docs_create();
    c->services = svctable_create();
    event.u.cluster.epoch = c->cluster.epoch;
    event.u.cluster.revision = revision;
    event.u.cluster.blocks_max = iprange_blocks(&c->range);
    event.u.cluster.range = c->range.base;
    event.u.cluster.range_prefix = c->range.prefix;
    event.u.cluster.node_prefix = c->range.node_prefix;
    load(c, &event);
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        int rc = store_list(c->store, tables[i].prefix, NULL, 0, tables[i].cb, &r, e);

        if (rc < 0 || e->code < 0) {
            return rc < 0 ? rc : e->code;
        }
    }
    return 0;
}

static void run(struct uv_controller *c, uint64_t revision)
{
    struct fleet_event event = {.type = FLEET_LOAD_DONE};

    c->state = CONTROLLER_RUNNING;
    c->durable = c->told = revision;
    c->due_ms = uv_controller_now(); /* reading took its time: no stall */
    uv_controller_feed(c, &event);
    log_info("epoch %llu, revision %llu: %u stacks, %u nodes", (unsigned long long)c->cluster.epoch,
             (unsigned long long)revision, fleet_stacks(c->fleet), fleet_nodes(c->fleet));
}

/* ---- the epoch ---- */

struct raising {
    struct uv_controller *c;
    uint64_t generation;
};

static void on_raised(void *arg, const struct store_result *result)
{
    struct raising *raising = arg;
    struct uv_controller *c = raising->c;
    bool stale = c->state == CONTROLLER_CLOSING || raising->generation != c->generation;
    struct err e = {0};

    free(raising);
    if (stale) {
        return;
    }
    if (result->status < 0) {
        uv_controller_load_failed(c, &result->error);
        return;
    }
    FAILPOINT("controller.epoch.after_commit");
    c->cluster_mod = result->revision;
    if (load_all(c, result->revision, &e) < 0) {
        uv_controller_drop(c, e.text);
        c->config.failed(c->config.arg, &e);
        return;
    }
    run(c, result->revision);
}

void uv_controller_load_raise(struct uv_controller *c, uint64_t seen)
{
    struct store_txn *txn = store_txn_create();
    struct raising *raising = xcalloc(1, sizeof(*raising));
    auto_buf struct buf value = {0};

    *raising = (struct raising){.c = c, .generation = c->generation};
    c->state = CONTROLLER_RAISING;
    c->cluster.epoch = (seen > c->cluster.epoch ? seen : c->cluster.epoch) + 1;
    codec_store_write_cluster(&c->cluster, &value);
    store_txn_compare(txn, CODEC_STORE_CLUSTER, c->cluster_mod);
    store_txn_put(txn, CODEC_STORE_CLUSTER, buf_text(&value), value.len);
    FAILPOINT("controller.epoch.before_commit");
    store_commit(c->store, txn, on_raised, raising);
}

/* ---- after a failure ---- */

void uv_controller_load_failed(struct uv_controller *c, const struct err *why)
{
    log_error("the store has failed, its content is read anew: %s", why->text);
    uv_controller_drop(c, "the controller's store has failed and is read anew");
    c->state = CONTROLLER_FAILED;
    uv_controller_kick(c);
}

/* The numbers in `cluster` may or may not have been stored: what is there counts. */
static int reopen(struct uv_controller *c, struct err *e)
{
    struct reading r = {.c = c, .e = e};
    uint64_t epoch = c->cluster.epoch;
    int rc = store_reopen(c->store, e);

    if (rc < 0) {
        return rc;
    }
    rc = store_get(c->store, CODEC_STORE_CLUSTER, on_cluster, &r, e);
    if (rc == 0) {
        c->cluster_mod = 0; /* the first epoch has not made it */
    }
    if (c->cluster.epoch < epoch) {
        c->cluster.epoch = epoch;
    }
    return rc < 0 ? rc : e->code;
}

uint64_t uv_controller_load_again(struct uv_controller *c)
{
    struct err e = {0};

    if (store_pending(c->store) > 0) {
        return 0; /* the last of them wakes the loop */
    }
    FAILPOINT("controller.store.before_reopen");
    if (reopen(c, &e) < 0) {
        log_error("the store cannot be opened again, next try in a second: %s", e.text);
        return AGAIN_MS;
    }
    FAILPOINT("controller.store.after_reopen");
    uv_controller_load_raise(c, 0);
    return 0;
}

bool uv_controller_load_may_raise(const struct uv_controller *c, uint64_t seen)
{
    return seen <= c->cluster.epoch + EPOCH_JUMP_MAX && seen < UINT32_MAX;
}
