// SPDX-License-Identifier: Apache-2.0
#include "controller/api/codec_api.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/ip6.h"
#include "controller/api/codec_api_priv.h"

/* ---- the pool ---- */

struct codec_api_item {
    struct codec_api_item *next;
    _Alignas(16) unsigned char data[];
};

void *codec_api_alloc(struct codec_api_pool *pool, size_t n, size_t size)
{
    struct codec_api_item *item = xcalloc(1, sizeof(*item) + n * size + 1);

    item->next = pool->first;
    pool->first = item;
    return item->data;
}

char *codec_api_text(struct codec_api_pool *pool, const char *fmt, ...)
{
    char text[FLEET_TEXT + 256];
    va_list ap;
    int len;
    char *to;

    va_start(ap, fmt);
    len = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    len = len < 0 ? 0 : len >= (int)sizeof(text) ? (int)sizeof(text) - 1 : len;
    to = codec_api_alloc(pool, 1, (size_t)len + 1);
    memcpy(to, text, (size_t)len);
    return to;
}

char *codec_api_borrow(const char *text)
{
    return (char *)(uintptr_t)(text != NULL ? text : "");
}

void codec_api_pool_finish(struct codec_api_pool *pool)
{
    while (pool->first != NULL) {
        struct codec_api_item *item = pool->first;

        pool->first = item->next;
        free(item);
    }
}

void codec_api_emit(const ProtobufCMessage *message, struct buf *out)
{
    doc_to_json(message, out);
    buf_putc(out, '\n');
}

char *codec_api_ipv6(struct codec_api_pool *pool, const struct api_world *w, uint32_t address)
{
    char hex[ID128_HEX + 1], text[IP6_TEXT];
    struct ip6 ip;

    id128_to_hex(w->cluster_id, hex);
    ip = ip6_cluster(hex);
    ip = ip6_of(&ip, address);
    ip6_text(&ip, text);
    return codec_api_text(pool, "%s", text);
}

/* ---- small answers ---- */

void codec_api_error(const char *code, const char *message, struct buf *out)
{
    Wherry__Api__Error m = WHERRY__API__ERROR__INIT;

    m.code = codec_api_borrow(code);
    m.message = codec_api_borrow(message);
    codec_api_emit(&m.base, out);
}

void codec_api_version(const struct api_world *w, struct buf *out)
{
    Wherry__Api__Version m = WHERRY__API__VERSION__INIT;
    char hex[ID128_HEX + 1];

    id128_to_hex(w->cluster_id, hex);
    m.version = codec_api_borrow(WHERRY_VERSION);
    m.cluster_id = hex;
    m.started_unix_ms = w->started_unix_ms;
    m.cluster_range = codec_api_borrow(w->range_text);
    if (w->fleet != NULL) {
        m.epoch = fleet_epoch(w->fleet);
        m.revision = fleet_durable(w->fleet);
    }
    codec_api_emit(&m.base, out);
}

static char *result_of(const struct fleet_action *reply)
{
    return codec_api_borrow(reply->result == FLEET_UNCHANGED ? "unchanged" : "ok");
}

void codec_api_done(const struct fleet_action *reply, struct buf *out)
{
    Wherry__Api__Done m = WHERRY__API__DONE__INIT;

    m.result = result_of(reply);
    m.text = codec_api_borrow(reply->text);
    codec_api_emit(&m.base, out);
}

void codec_api_applied(const char *stack, const struct fleet_action *reply, char *const *warnings,
                       unsigned n_warnings, struct buf *out)
{
    auto_pool struct codec_api_pool pool = {0};
    Wherry__Api__Applied m = WHERRY__API__APPLIED__INIT;

    m.stack = codec_api_borrow(stack);
    m.result = result_of(reply);
    m.text = codec_api_borrow(reply->text);
    m.revision = reply->number;
    m.changes = codec_api_alloc(&pool, reply->n_lines, sizeof(Wherry__Api__Change *));
    for (unsigned i = 0; i < reply->n_lines; i++) {
        Wherry__Api__Change *change = codec_api_alloc(&pool, 1, sizeof(*change));

        wherry__api__change__init(change);
        change->service = codec_api_borrow(reply->lines[i].service);
        change->change = codec_api_borrow(fleet_change_name(reply->lines[i].change));
        change->replaces = reply->lines[i].replaces;
        m.changes[m.n_changes++] = change;
    }
    m.warnings = (char **)(uintptr_t)warnings;
    m.n_warnings = n_warnings;
    codec_api_emit(&m.base, out);
}

/* ---- nodes and volumes ---- */

static void node_facts(struct codec_api_pool *pool, const struct fleet_facts *f,
                       Wherry__Api__Node *m)
{
    m->address = codec_api_borrow(f->underlay);
    m->os = codec_api_borrow(f->os);
    m->arch = codec_api_borrow(f->arch);
    m->kernel = codec_api_borrow(f->kernel);
    m->version = codec_api_borrow(f->version);
    m->cgroup = codec_api_borrow(f->cgroup);
    m->degraded = codec_api_borrow(f->degraded);
    m->memory_bytes = f->total.memory_bytes;
    m->cpu_millis = f->total.cpu_millis;
    m->pids = f->total.pids;
    m->bandwidth_bits = f->total.bits_in;
    m->labels = codec_api_alloc(pool, f->n_labels, sizeof(Wherry__Spec__KeyValue *));
    for (unsigned i = 0; i < f->n_labels; i++) {
        Wherry__Spec__KeyValue *label = codec_api_alloc(pool, 1, sizeof(*label));

        wherry__spec__key_value__init(label);
        label->key = codec_api_borrow(f->labels[i].key);
        label->value = codec_api_borrow(f->labels[i].value);
        m->labels[m->n_labels++] = label;
    }
    m->images = codec_api_alloc(pool, f->n_images, sizeof(char *));
    for (unsigned i = 0; i < f->n_images; i++) {
        m->images[m->n_images++] = codec_api_borrow(f->images[i].name);
    }
}

static Wherry__Api__Node *node_of(struct codec_api_pool *pool, const struct api_world *w,
                                  const struct fleet_node_view *v)
{
    Wherry__Api__Node *m = codec_api_alloc(pool, 1, sizeof(*m));

    wherry__api__node__init(m);
    m->id = codec_api_alloc(pool, 1, ID128_HEX + 1);
    id128_to_hex(v->id, m->id);
    m->name = codec_api_borrow(v->name);
    m->state = codec_api_borrow(fleet_node_state_name(v->state));
    m->connected = v->connected;
    m->since_unix_ms = v->since_unix_ms;
    m->block = codec_api_alloc(pool, 1, IPRANGE_TEXT);
    iprange_block(&w->range, v->block, m->block);
    m->memory_reserved_bytes = v->reserved.memory_bytes;
    m->cpu_reserved_millis = v->reserved.cpu_millis;
    m->pids_reserved = v->reserved.pids;
    m->bandwidth_in_reserved_bits = v->reserved.bits_in;
    m->bandwidth_out_reserved_bits = v->reserved.bits_out;
    m->containers = v->placements;
    m->joined_unix_ms = v->joined_unix_ms;
    if (v->has_facts) {
        node_facts(pool, &v->facts, m);
    }
    return m;
}

static int node_order(const void *a, const void *b)
{
    const Wherry__Api__Node *x = *(Wherry__Api__Node *const *)a;
    const Wherry__Api__Node *y = *(Wherry__Api__Node *const *)b;
    int c = strcmp(x->name, y->name);

    return c != 0 ? c : strcmp(x->id, y->id);
}

void codec_api_nodes(const struct api_world *w, struct buf *out)
{
    auto_pool struct codec_api_pool pool = {0};
    Wherry__Api__Nodes m = WHERRY__API__NODES__INIT;
    struct fleet_node_view v;

    m.now_unix_ms = w->now_unix_ms;
    m.nodes = codec_api_alloc(&pool, fleet_nodes(w->fleet), sizeof(Wherry__Api__Node *));
    while (fleet_node_at(w->fleet, (unsigned)m.n_nodes, &v)) {
        m.nodes[m.n_nodes++] = node_of(&pool, w, &v);
    }
    if (m.n_nodes > 1) {
        qsort(m.nodes, m.n_nodes, sizeof(Wherry__Api__Node *), node_order);
    }
    codec_api_emit(&m.base, out);
}

void codec_api_volumes(const struct api_world *w, struct buf *out)
{
    auto_pool struct codec_api_pool pool = {0};
    Wherry__Api__Volumes m = WHERRY__API__VOLUMES__INIT;
    struct fleet_volume_view v;

    m.now_unix_ms = w->now_unix_ms;
    m.volumes = codec_api_alloc(&pool, fleet_volumes(w->fleet), sizeof(Wherry__Api__Volume *));
    while (fleet_volume_at(w->fleet, (unsigned)m.n_volumes, &v)) {
        Wherry__Api__Volume *volume = codec_api_alloc(&pool, 1, sizeof(*volume));

        wherry__api__volume__init(volume);
        volume->name = codec_api_borrow(v.name);
        volume->stack = codec_api_borrow(v.stack);
        volume->node = codec_api_borrow(v.node_name);
        volume->made_unix_ms = v.made_unix_ms;
        volume->users = v.users;
        m.volumes[m.n_volumes++] = volume;
    }
    codec_api_emit(&m.base, out);
}

/* ---- lines of streams ---- */

void codec_api_event(const struct ring_event *event, struct buf *out)
{
    Wherry__Api__Event m = WHERRY__API__EVENT__INIT;

    m.time_unix_ms = event->unix_ms;
    m.what = codec_api_borrow(fleet_happening_name(event->what));
    m.stack = codec_api_borrow(event->stack);
    m.service = codec_api_borrow(event->service);
    m.slot = event->slot;
    m.node = codec_api_borrow(event->node);
    m.text = codec_api_borrow(event->text);
    codec_api_emit(&m.base, out);
}

void codec_api_event_gap(uint64_t missed, uint64_t unix_ms, struct buf *out)
{
    Wherry__Api__Event m = WHERRY__API__EVENT__INIT;
    char text[96];

    (void)snprintf(text, sizeof(text), "%llu events came too fast for this reader and are left out",
                   (unsigned long long)missed);
    m.time_unix_ms = unix_ms;
    m.what = codec_api_borrow("events.missed");
    m.text = text;
    codec_api_emit(&m.base, out);
}

void codec_api_log(const struct codec_api_log *line, struct buf *out)
{
    Wherry__Api__LogLine m = WHERRY__API__LOG_LINE__INIT;
    auto_buf struct buf text = {0};

    buf_append(&text, line->len > 0 ? line->text : "", line->len);
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\0') {
            text.data[i] = '\xff'; /* no UTF-8 either: U+FFFD */
        }
    }
    m.container = codec_api_borrow(line->container);
    m.node = codec_api_borrow(line->node);
    m.time_unix_ns = line->unix_ns;
    if (line->error == NULL) {
        m.source = codec_api_borrow(line->is_stderr ? "stderr" : "stdout");
        m.text = codec_api_borrow(buf_text(&text));
    } else {
        m.error = codec_api_borrow(line->error);
    }
    m.partial = line->partial;
    codec_api_emit(&m.base, out);
}
