// SPDX-License-Identifier: Apache-2.0
#include "controller/codec_store.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/doc.h"
#include "store.pb-c.h"

/* ---- keys ---- */

void codec_store_key_node(struct id128 id, char *ret)
{
    char hex[ID128_HEX + 1];

    id128_to_hex(id, hex);
    (void)snprintf(ret, CODEC_STORE_KEY, CODEC_STORE_NODES "%s", hex);
}

void codec_store_key_stack(const char *stack, char *ret)
{
    (void)snprintf(ret, CODEC_STORE_KEY, CODEC_STORE_STACKS "%s", stack);
}

void codec_store_key_earlier(const char *stack, uint32_t revision, char *ret)
{
    (void)snprintf(ret, CODEC_STORE_KEY, CODEC_STORE_EARLIER "%s/%010" PRIu32, stack, revision);
}

void codec_store_key_revision(const uint8_t digest[FLEET_DIGEST], char *ret)
{
    char hex[2 * DOC_DIGEST + 1];

    doc_digest_hex(digest, hex);
    (void)snprintf(ret, CODEC_STORE_KEY, CODEC_STORE_REVISIONS "%s", hex);
}

void codec_store_key_block(const char *stack, const char *service, uint32_t block, char *ret)
{
    (void)snprintf(ret, CODEC_STORE_KEY, CODEC_STORE_BLOCKS "%s/%s/%06" PRIu32, stack, service,
                   block);
}

void codec_store_key_volume(const char *volume, char *ret)
{
    (void)snprintf(ret, CODEC_STORE_KEY, CODEC_STORE_VOLUMES "%s", volume);
}

void codec_store_key_vips(const char *stack, const char *service, char *ret)
{
    (void)snprintf(ret, CODEC_STORE_KEY, CODEC_STORE_VIPS "%s/%s", stack, service);
}

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int codec_store_parse_revision(const char *key, uint8_t ret_digest[FLEET_DIGEST], struct err *e)
{
    const char *hex = key + strlen(CODEC_STORE_REVISIONS);

    if (strlen(hex) != (size_t)2 * FLEET_DIGEST) {
        return err_say(e, EINVAL, "key names no digest");
    }
    for (unsigned i = 0; i < FLEET_DIGEST; i++) {
        int high = nibble(hex[2 * i]);
        int low = nibble(hex[2 * i + 1]);

        if (high < 0 || low < 0) {
            return err_say(e, EINVAL, "key names no digest");
        }
        ret_digest[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

/* The valid name up to a slash. Returns what follows it, or NULL. */
static const char *name_part(const char *from, char *ret)
{
    const char *end = strchr(from, '/');

    if (end == NULL || end - from >= FLEET_NAME) {
        return NULL;
    }
    memcpy(ret, from, (size_t)(end - from));
    ret[end - from] = '\0';
    return name_is_valid(ret) ? end + 1 : NULL;
}

int codec_store_parse_block(const char *key, char *ret_stack, char *ret_service,
                            uint32_t *ret_block, struct err *e)
{
    const char *at = name_part(key + strlen(CODEC_STORE_BLOCKS), ret_stack);
    char *end = NULL;
    unsigned long block;

    at = at != NULL ? name_part(at, ret_service) : NULL;
    if (at == NULL || *at < '0' || *at > '9') {
        return err_say(e, EINVAL, "key names no block of placements");
    }
    block = strtoul(at, &end, 10);
    if (*end != '\0' || block > UINT32_MAX / FLEET_BLOCK) {
        return err_say(e, EINVAL, "key names no block of placements");
    }
    *ret_block = (uint32_t)block;
    return 0;
}

int codec_store_parse_vips(const char *key, char *ret_stack, char *ret_service, struct err *e)
{
    const char *at = name_part(key + strlen(CODEC_STORE_VIPS), ret_stack);

    if (at == NULL || !name_is_valid(at)) {
        return err_say(e, EINVAL, "key names no service");
    }
    (void)snprintf(ret_service, FLEET_NAME, "%s", at);
    return 0;
}

/* ---- values ---- */

static int id_read(const char *hex, struct id128 *ret, struct err *e)
{
    if (id128_from_hex(hex, ret) < 0 || id128_is_zero(*ret)) {
        return err_say(e, EBADMSG, "holds an id that is none: '%.40s'", hex);
    }
    return 0;
}

static int name_read(const char *name, char *ret, size_t size, struct err *e)
{
    if (!name_is_valid(name) && !(size == FLEET_VOLUME && strlen(name) < size && *name != '\0')) {
        return err_say(e, EBADMSG, "holds a name that is none: '%.64s' (allowed: %s)", name,
                       name_rule);
    }
    (void)snprintf(ret, size, "%s", name);
    return 0;
}

int codec_store_read_cluster(const void *bytes, size_t len, struct codec_store_cluster *ret,
                             struct err *e)
{
    auto_doc struct doc doc = {0};
    const Wherry__Store__Cluster *m;
    struct codec_store_cluster c = {0};
    int rc =
        doc_decode(&wherry__store__cluster__descriptor, bytes, len, &doc_limits_default, &doc, e);

    if (rc < 0) {
        return rc;
    }
    m = (const Wherry__Store__Cluster *)doc.message;
    rc = id_read(m->id, &c.id, e);
    if (rc < 0) {
        return rc;
    }
    if (strlen(m->range) >= sizeof(c.range)) {
        return err_say(e, EBADMSG, "holds no address range: '%.40s'", m->range);
    }
    (void)snprintf(c.range, sizeof(c.range), "%s", m->range);
    c.epoch = m->epoch;
    c.node_prefix = m->node_prefix;
    c.created_unix_ms = m->created_unix_ms;
    c.encrypt = m->encrypt;
    *ret = c;
    return 0;
}

void codec_store_write_cluster(const struct codec_store_cluster *c, struct buf *out)
{
    Wherry__Store__Cluster m = WHERRY__STORE__CLUSTER__INIT;
    char hex[ID128_HEX + 1];

    id128_to_hex(c->id, hex);
    m.id = hex;
    m.epoch = c->epoch;
    m.range = (char *)(uintptr_t)c->range;
    m.node_prefix = c->node_prefix;
    m.created_unix_ms = c->created_unix_ms;
    m.encrypt = c->encrypt;
    doc_encode(&m.base, out);
}

int codec_store_read_node(const void *bytes, size_t len, struct codec_store_node *ret,
                          struct err *e)
{
    auto_doc struct doc doc = {0};
    const Wherry__Store__Node *m;
    struct codec_store_node n = {0};
    int rc = doc_decode(&wherry__store__node__descriptor, bytes, len, &doc_limits_default, &doc, e);

    if (rc < 0) {
        return rc;
    }
    m = (const Wherry__Store__Node *)doc.message;
    rc = id_read(m->id, &n.id, e);
    rc = rc < 0 ? rc : name_read(m->name, n.name, sizeof(n.name), e);
    n.block = m->block;
    n.joined_unix_ms = m->joined_unix_ms;
    n.lost = m->lost;
    if (rc == 0) {
        *ret = n;
    }
    return rc;
}

void codec_store_write_node(const struct codec_store_node *n, struct buf *out)
{
    Wherry__Store__Node m = WHERRY__STORE__NODE__INIT;
    char hex[ID128_HEX + 1];

    id128_to_hex(n->id, hex);
    m.id = hex;
    m.name = (char *)(uintptr_t)n->name;
    m.block = n->block;
    m.joined_unix_ms = n->joined_unix_ms;
    m.lost = n->lost;
    doc_encode(&m.base, out);
}

int codec_store_read_stack(const void *bytes, size_t len, struct codec_store_stack *ret,
                           struct err *e)
{
    auto_doc struct doc doc = {0};
    const Wherry__Store__Stack *m;
    struct codec_store_stack s = {0};
    int rc =
        doc_decode(&wherry__store__stack__descriptor, bytes, len, &doc_limits_default, &doc, e);

    if (rc < 0) {
        return rc;
    }
    m = (const Wherry__Store__Stack *)doc.message;
    rc = name_read(m->name, s.name, sizeof(s.name), e);
    if (rc < 0) {
        return rc;
    }
    if (m->applied_digest.len != 0 && m->applied_digest.len != FLEET_DIGEST) {
        return err_say(e, EBADMSG, "holds a digest of %zu bytes", m->applied_digest.len);
    }
    if (m->applied_digest.len == FLEET_DIGEST) {
        memcpy(s.applied_digest, m->applied_digest.data, FLEET_DIGEST);
    }
    s.revision = m->revision;
    s.applied_unix_ms = m->applied_unix_ms;
    s.document = s.memory = xmalloc(m->document.len + 1);
    s.len = m->document.len;
    if (s.len > 0) {
        memcpy(s.memory, m->document.data, s.len);
    }
    *ret = s;
    return 0;
}

void codec_store_stack_free(struct codec_store_stack *s)
{
    free(s->memory);
    *s = (struct codec_store_stack){0};
}

void codec_store_write_stack(const struct codec_store_stack *s, struct buf *out)
{
    static const uint8_t none[FLEET_DIGEST];
    Wherry__Store__Stack m = WHERRY__STORE__STACK__INIT;

    m.name = (char *)(uintptr_t)s->name;
    m.revision = s->revision;
    m.applied_unix_ms = s->applied_unix_ms;
    m.document.data = (uint8_t *)(uintptr_t)s->document;
    m.document.len = s->len;
    if (memcmp(s->applied_digest, none, FLEET_DIGEST) != 0) {
        m.applied_digest.data = (uint8_t *)(uintptr_t)s->applied_digest;
        m.applied_digest.len = FLEET_DIGEST;
    }
    doc_encode(&m.base, out);
}

int codec_store_read_volume(const void *bytes, size_t len, struct codec_store_volume *ret,
                            struct err *e)
{
    auto_doc struct doc doc = {0};
    const Wherry__Store__VolumeBinding *m;
    struct codec_store_volume v = {0};
    int rc = doc_decode(&wherry__store__volume_binding__descriptor, bytes, len, &doc_limits_default,
                        &doc, e);

    if (rc < 0) {
        return rc;
    }
    m = (const Wherry__Store__VolumeBinding *)doc.message;
    rc = name_read(m->name, v.name, sizeof(v.name), e);
    rc = rc < 0 || m->stack[0] == '\0' ? rc : name_read(m->stack, v.stack, sizeof(v.stack), e);
    rc = rc < 0 ? rc : id_read(m->node_id, &v.node_id, e);
    v.made_unix_ms = m->made_unix_ms;
    if (rc == 0) {
        *ret = v;
    }
    return rc;
}

int codec_store_read_vips(const void *bytes, size_t len,
                          void (*cb)(void *arg, const struct fleet_vip_view *vip), void *arg,
                          struct err *e)
{
    auto_doc struct doc doc = {0};
    const Wherry__Store__VirtualAddresses *m;
    int rc = doc_decode(&wherry__store__virtual_addresses__descriptor, bytes, len,
                        &doc_limits_default, &doc, e);

    if (rc < 0) {
        return rc;
    }
    m = (const Wherry__Store__VirtualAddresses *)doc.message;
    if (m->n_list > SVC_NETWORKS_MAX) {
        return err_say(e, EBADMSG, "holds %zu virtual addresses (allowed: at most %u)", m->n_list,
                       SVC_NETWORKS_MAX);
    }
    for (size_t i = 0; i < m->n_list; i++) {
        if (!svc_network_is_valid(m->list[i]->network)) {
            return err_say(
                e, EBADMSG,
                "virtual address %zu is on '%.64s', which is no network's name (allowed: "
                "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,126})",
                i + 1, m->list[i]->network);
        }
        if (m->list[i]->address == 0) {
            return err_say(e, EBADMSG,
                           "virtual address %zu, on '%.64s', is 0.0.0.0 (allowed: one of the "
                           "cluster's range)",
                           i + 1, m->list[i]->network);
        }
    }
    for (size_t i = 0; i < m->n_list; i++) {
        cb(arg, &(struct fleet_vip_view){m->list[i]->network, m->list[i]->address});
    }
    return 0;
}

void codec_store_write_vips(const struct fleet_vip_view *list, unsigned n, struct buf *out)
{
    Wherry__Store__VirtualAddresses m = WHERRY__STORE__VIRTUAL_ADDRESSES__INIT;
    Wherry__Store__VirtualAddress items[SVC_NETWORKS_MAX];
    Wherry__Store__VirtualAddress *pointers[SVC_NETWORKS_MAX];

    assert(n <= SVC_NETWORKS_MAX);
    for (unsigned i = 0; i < n; i++) {
        wherry__store__virtual_address__init(&items[i]);
        items[i].network = (char *)(uintptr_t)list[i].network;
        items[i].address = list[i].address;
        pointers[i] = &items[i];
    }
    m.list = pointers;
    m.n_list = n;
    doc_encode(&m.base, out);
}

void codec_store_write_volume(const struct codec_store_volume *v, struct buf *out)
{
    Wherry__Store__VolumeBinding m = WHERRY__STORE__VOLUME_BINDING__INIT;
    char hex[ID128_HEX + 1];

    id128_to_hex(v->node_id, hex);
    m.name = (char *)(uintptr_t)v->name;
    m.stack = (char *)(uintptr_t)v->stack;
    m.node_id = hex;
    m.made_unix_ms = v->made_unix_ms;
    doc_encode(&m.base, out);
}

/* ---- blocks of placements ---- */

static int placement_read(const Wherry__Store__Placement *m, struct fleet_load_placement *ret,
                          struct err *e)
{
    if (m->incarnation == 0) {
        return err_say(e, EBADMSG, "holds a placement without incarnation");
    }
    if (m->revision.len != FLEET_DIGEST) {
        return err_say(e, EBADMSG, "holds a revision of %zu bytes", m->revision.len);
    }
    if (strlen(m->image_digest) >= FLEET_IMAGE_DIGEST) {
        return err_say(e, EBADMSG, "holds no image digest: '%.80s'", m->image_digest);
    }
    ret->incarnation = m->incarnation;
    ret->slot = m->slot;
    memcpy(ret->revision, m->revision.data, FLEET_DIGEST);
    ret->stop = m->wanted == WHERRY__STORE__PLACEMENT_WANTED__PLACEMENT_STOP;
    ret->current = m->current;
    ret->completed = m->completed;
    ret->failed = m->failed;
    ret->created_unix_ms = m->created_unix_ms;
    ret->mod_revision = m->mod_revision;
    ret->image_digest = m->image_digest;
    return id_read(m->node_id, &ret->node_id, e);
}

int codec_store_read_block(const void *bytes, size_t len, const char *stack, const char *service,
                           void (*cb)(void *arg, const struct fleet_load_placement *p), void *arg,
                           struct err *e)
{
    auto_doc struct doc doc = {0};
    const Wherry__Store__PlacementBlock *m;
    auto_free struct fleet_load_placement *list = NULL;
    int rc = doc_decode(&wherry__store__placement_block__descriptor, bytes, len, &doc_limits_wide,
                        &doc, e);

    if (rc < 0) {
        return rc;
    }
    m = (const Wherry__Store__PlacementBlock *)doc.message;
    list = xcalloc(m->n_placements + 1, sizeof(*list));
    for (size_t i = 0; i < m->n_placements; i++) {
        list[i].stack = stack;
        list[i].service = service;
        rc = placement_read(m->placements[i], &list[i], e);
        if (rc < 0) {
            return rc;
        }
    }
    for (size_t i = 0; i < m->n_placements; i++) {
        cb(arg, &list[i]);
    }
    return 0;
}

struct row {
    Wherry__Store__Placement m;
    char node_id[ID128_HEX + 1];
};

static void placement_write(const struct fleet_placement_view *p, struct row *row)
{
    wherry__store__placement__init(&row->m);
    id128_to_hex(p->node_id, row->node_id);
    row->m.incarnation = p->incarnation;
    row->m.slot = p->slot;
    row->m.node_id = row->node_id;
    row->m.revision.data = (uint8_t *)(uintptr_t)p->revision;
    row->m.revision.len = FLEET_DIGEST;
    row->m.wanted = p->stop ? WHERRY__STORE__PLACEMENT_WANTED__PLACEMENT_STOP
                            : WHERRY__STORE__PLACEMENT_WANTED__PLACEMENT_RUN;
    row->m.created_unix_ms = p->created_unix_ms;
    row->m.image_digest = (char *)(uintptr_t)p->image_digest;
    row->m.current = p->current;
    row->m.completed = p->completed;
    row->m.failed = p->failed;
    row->m.mod_revision = p->mod_revision;
}

void codec_store_write_block(const struct fleet_placement_view *list, unsigned n, struct buf *out)
{
    Wherry__Store__PlacementBlock m = WHERRY__STORE__PLACEMENT_BLOCK__INIT;
    auto_free struct row *rows = xcalloc(n + 1, sizeof(*rows));
    auto_free Wherry__Store__Placement **pointers =
        xcalloc(n + 1, sizeof(Wherry__Store__Placement *));

    for (unsigned i = 0; i < n; i++) {
        placement_write(&list[i], &rows[i]);
        pointers[i] = &rows[i].m;
    }
    m.placements = pointers;
    m.n_placements = n;
    doc_encode(&m.base, out);
}
