// SPDX-License-Identifier: Apache-2.0
/* From plain structures to envelopes. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/codec_link_priv.h"
#include "common/utf8.h"

char *codec_link_text(const char *s)
{
    return (char *)(uintptr_t)(s != NULL ? s : "");
}

ProtobufCBinaryData codec_link_bytes(const void *data, size_t len)
{
    return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)data};
}

Wherry__Link__Sum codec_link_sum(struct id128 id)
{
    Wherry__Link__Sum sum = WHERRY__LINK__SUM__INIT;

    sum.hi = id.hi;
    sum.lo = id.lo;
    return sum;
}

static Wherry__Link__Position position_of(struct link_position p)
{
    Wherry__Link__Position msg = WHERRY__LINK__POSITION__INIT;

    msg.epoch = p.epoch;
    msg.revision = p.revision;
    return msg;
}

struct codec_link_list codec_link_list_of(size_t n, size_t item)
{
    size_t head = (n * sizeof(void *) + 15) / 16 * 16;
    struct codec_link_list l = {.pointers = xcalloc(1, head + n * item + 1), .item = item};

    l.items = (char *)l.pointers + head;
    for (size_t i = 0; i < n; i++) {
        l.pointers[i] = l.items + i * item;
    }
    return l;
}

void codec_link_list_finish(struct codec_link_list *l)
{
    free(l->pointers);
}

void codec_link_put(codec_link_envelope *env, enum link_kind kind, struct buf *out)
{
    size_t before = out->len;

    env->what_case = (Wherry__Link__Envelope__WhatCase)(kind + 1);
    doc_encode(&env->base, out);
    assert(out->len - before <= codec_link_rows[kind].cap);
}

/* Zero is none, and not sent. */
static ProtobufCBinaryData key_out(const uint8_t key[LINK_KEY])
{
    static const uint8_t none[LINK_KEY];

    return memcmp(key, none, LINK_KEY) == 0
               ? (ProtobufCBinaryData){0}
               : (ProtobufCBinaryData){.len = LINK_KEY, .data = (uint8_t *)(uintptr_t)key};
}

/* ---- greeting ---- */

static void facts_out(const struct link_facts *f, Wherry__Link__NodeFacts *msg,
                      struct codec_link_list *labels, struct codec_link_list *images)
{
    msg->name = codec_link_text(f->name);
    msg->os = codec_link_text(f->os);
    msg->arch = codec_link_text(f->arch);
    msg->kernel = codec_link_text(f->kernel);
    msg->version = codec_link_text(f->version);
    msg->underlay = codec_link_text(f->underlay);
    msg->cgroup = codec_link_text(f->cgroup);
    msg->degraded = codec_link_text(f->degraded);
    msg->cpu_millis = f->cpu_millis;
    msg->memory_bytes = f->memory_bytes;
    msg->pids = f->pids;
    msg->volumes_bytes_free = f->volumes_bytes_free;
    msg->bandwidth_bits = f->bandwidth_bits;
    msg->wireguard_key = key_out(f->wireguard_key);
    *labels = codec_link_list_of(f->n_labels, sizeof(Wherry__Spec__KeyValue));
    for (unsigned i = 0; i < f->n_labels; i++) {
        Wherry__Spec__KeyValue *kv = labels->pointers[i];

        wherry__spec__key_value__init(kv);
        kv->key = codec_link_text(f->labels[i].key);
        kv->value = codec_link_text(f->labels[i].value);
    }
    *images = codec_link_list_of(f->n_images, sizeof(Wherry__Link__ImageFact));
    for (unsigned i = 0; i < f->n_images; i++) {
        Wherry__Link__ImageFact *image = images->pointers[i];

        wherry__link__image_fact__init(image);
        image->name = codec_link_text(f->images[i].name);
        image->digest = codec_link_text(f->images[i].digest);
    }
    msg->labels = (Wherry__Spec__KeyValue **)labels->pointers;
    msg->n_labels = f->n_labels;
    msg->images = (Wherry__Link__ImageFact **)images->pointers;
    msg->n_images = f->n_images;
}

static void facts_message(const struct link_facts *f, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__NodeFacts msg = WHERRY__LINK__NODE_FACTS__INIT;
    auto_codec_link_list struct codec_link_list labels = {0};
    auto_codec_link_list struct codec_link_list images = {0};

    facts_out(f, &msg, &labels, &images);
    env->facts = &msg;
    codec_link_put(env, LINK_FACTS, out);
}

/* Zero is "". */
static char *id_out(struct id128 id, char ret[ID128_HEX + 1])
{
    ret[0] = '\0';
    if (!id128_is_zero(id)) {
        id128_to_hex(id, ret);
    }
    return ret;
}

static void hello(const struct link_hello *h, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__Hello msg = WHERRY__LINK__HELLO__INIT;
    Wherry__Link__NodeFacts facts = WHERRY__LINK__NODE_FACTS__INIT;
    Wherry__Link__Position position = position_of(h->position);
    Wherry__Link__Sum assigned = codec_link_sum(h->assigned);
    Wherry__Link__Sum observed = codec_link_sum(h->observed);
    Wherry__Link__Sum services = codec_link_sum(h->services);
    auto_codec_link_list struct codec_link_list labels = {0};
    auto_codec_link_list struct codec_link_list images = {0};
    char cluster[ID128_HEX + 1];
    char node[ID128_HEX + 1];

    facts_out(&h->facts, &facts, &labels, &images);
    msg.version = h->version;
    msg.features = h->features;
    msg.cluster_id = id_out(h->cluster_id, cluster);
    msg.node_id = id_out(h->node_id, node);
    msg.boot_id = codec_link_text(h->boot_id);
    msg.position = &position;
    msg.assigned = &assigned;
    msg.observed = &observed;
    msg.services = &services;
    msg.facts = &facts;
    env->hello = &msg;
    codec_link_put(env, LINK_HELLO, out);
}

static void welcome(const struct link_welcome *w, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__Welcome msg = WHERRY__LINK__WELCOME__INIT;
    Wherry__Link__Position position = position_of(w->position);
    char cluster[ID128_HEX + 1];

    msg.version = w->version;
    msg.features = w->features;
    msg.cluster_id = id_out(w->cluster_id, cluster);
    msg.position = &position;
    msg.heartbeat_ms = w->heartbeat_ms;
    msg.timeout_ms = w->timeout_ms;
    msg.cluster_range = codec_link_text(w->cluster_range);
    msg.node_block = codec_link_text(w->node_block);
    msg.report_all = w->report_all;
    msg.encrypt = w->encrypt;
    env->welcome = &msg;
    codec_link_put(env, LINK_WELCOME, out);
}

static void refuse(const struct link_refuse *r, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__Refuse msg = WHERRY__LINK__REFUSE__INIT;
    char reason[LINK_REASON_MAX];

    (void)snprintf(reason, sizeof(reason), "%s", codec_link_text(r->reason));
    utf8_repair(reason);
    msg.code = (Wherry__Link__RefuseCode)r->code;
    msg.reason = reason;
    env->refuse = &msg;
    codec_link_put(env, LINK_REFUSE, out);
}

/* ---- assignments ---- */

static void chunk_out(const struct link_set_chunk *c, struct codec_link_list *revisions,
                      struct codec_link_list *placements)
{
    *revisions = codec_link_list_of(c->n_revisions, sizeof(Wherry__Link__Revision));
    for (unsigned i = 0; i < c->n_revisions; i++) {
        Wherry__Link__Revision *msg = revisions->pointers[i];

        wherry__link__revision__init(msg);
        msg->digest = codec_link_bytes(c->revisions[i].digest, LINK_DIGEST);
        msg->container = codec_link_bytes(c->revisions[i].container, c->revisions[i].len);
    }
    *placements = codec_link_list_of(c->n_placements, sizeof(Wherry__Link__Placement));
    for (unsigned i = 0; i < c->n_placements; i++) {
        const struct link_placement *p = &c->placements[i];
        Wherry__Link__Placement *msg = placements->pointers[i];

        wherry__link__placement__init(msg);
        msg->incarnation = p->incarnation;
        msg->stack = codec_link_text(p->stack);
        msg->service = codec_link_text(p->service);
        msg->slot = p->slot;
        msg->revision = codec_link_bytes(p->revision, LINK_DIGEST);
        msg->wanted =
            p->stop ? WHERRY__LINK__WANTED__WANTED_STOP : WHERRY__LINK__WANTED__WANTED_RUN;
        msg->image_digest = codec_link_text(p->image_digest);
    }
}

static void set_begin(const struct link_set_begin *s, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__SetBegin msg = WHERRY__LINK__SET_BEGIN__INIT;
    Wherry__Link__Position position = position_of(s->position);

    msg.position = &position;
    msg.placements = s->placements;
    msg.revisions = s->revisions;
    env->set_begin = &msg;
    codec_link_put(env, LINK_SET_BEGIN, out);
}

static void set_chunk(const struct link_set_chunk *c, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__SetChunk msg = WHERRY__LINK__SET_CHUNK__INIT;
    auto_codec_link_list struct codec_link_list revisions = {0};
    auto_codec_link_list struct codec_link_list placements = {0};

    chunk_out(c, &revisions, &placements);
    msg.revisions = (Wherry__Link__Revision **)revisions.pointers;
    msg.n_revisions = c->n_revisions;
    msg.placements = (Wherry__Link__Placement **)placements.pointers;
    msg.n_placements = c->n_placements;
    env->set_chunk = &msg;
    codec_link_put(env, LINK_SET_CHUNK, out);
}

static void set_end(const struct link_set_end *s, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__SetEnd msg = WHERRY__LINK__SET_END__INIT;
    Wherry__Link__Sum sum = codec_link_sum(s->assigned);

    msg.assigned = &sum;
    env->set_end = &msg;
    codec_link_put(env, LINK_SET_END, out);
}

static void assign(const struct link_assign *a, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__Assign msg = WHERRY__LINK__ASSIGN__INIT;
    Wherry__Link__Position position = position_of(a->position);
    Wherry__Link__Sum sum = codec_link_sum(a->assigned);
    auto_codec_link_list struct codec_link_list revisions = {0};
    auto_codec_link_list struct codec_link_list placements = {0};

    chunk_out(&a->changed, &revisions, &placements);
    msg.position = &position;
    msg.revisions = (Wherry__Link__Revision **)revisions.pointers;
    msg.n_revisions = a->changed.n_revisions;
    msg.placements = (Wherry__Link__Placement **)placements.pointers;
    msg.n_placements = a->changed.n_placements;
    msg.removed = (uint64_t *)(uintptr_t)a->removed;
    msg.n_removed = a->n_removed;
    msg.assigned = a->has_sum ? &sum : NULL;
    env->assign = &msg;
    codec_link_put(env, LINK_ASSIGN, out);
}

static void routes(const struct link_routes *r, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__Routes msg = WHERRY__LINK__ROUTES__INIT;
    auto_codec_link_list struct codec_link_list list =
        codec_link_list_of(r->n, sizeof(Wherry__Link__Route));
    auto_free char *ids = xcalloc(r->n + 1, ID128_HEX + 1);

    for (unsigned i = 0; i < r->n; i++) {
        Wherry__Link__Route *route = list.pointers[i];

        wherry__link__route__init(route);
        route->node_id = id_out(r->routes[i].node_id, ids + (size_t)i * (ID128_HEX + 1));
        route->name = codec_link_text(r->routes[i].name);
        route->underlay = codec_link_text(r->routes[i].underlay);
        route->block = codec_link_text(r->routes[i].block);
        route->wireguard_key = key_out(r->routes[i].wireguard_key);
    }
    msg.routes = (Wherry__Link__Route **)list.pointers;
    msg.n_routes = r->n;
    env->routes = &msg;
    codec_link_put(env, LINK_ROUTES, out);
}

static void ack(const struct link_ack *a, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__Ack msg = WHERRY__LINK__ACK__INIT;
    Wherry__Link__Position position = position_of(a->position);
    Wherry__Link__Sum sum = codec_link_sum(a->assigned);

    msg.position = &position;
    msg.assigned = &sum;
    env->ack = &msg;
    codec_link_put(env, LINK_ACK, out);
}

/* ---- heartbeats ---- */

static void heartbeat(const struct link_heartbeat *h, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__Heartbeat msg = WHERRY__LINK__HEARTBEAT__INIT;

    msg.seq = h->seq;
    msg.sent_boottime_ms = h->sent_boottime_ms;
    msg.memory_used_bytes = h->memory_used_bytes;
    msg.loop_lag_us_max = h->loop_lag_us_max;
    env->heartbeat = &msg;
    codec_link_put(env, LINK_HEARTBEAT, out);
}

static void heartbeat_ack(const struct link_heartbeat_ack *a, codec_link_envelope *env,
                          struct buf *out)
{
    Wherry__Link__HeartbeatAck msg = WHERRY__LINK__HEARTBEAT_ACK__INIT;

    msg.seq = a->seq;
    msg.heartbeat_ms = a->heartbeat_ms;
    msg.timeout_ms = a->timeout_ms;
    env->heartbeat_ack = &msg;
    codec_link_put(env, LINK_HEARTBEAT_ACK, out);
}

/* ---- streams and volumes ---- */

static void stream_open(const struct link_stream_open *s, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__StreamOpen msg = WHERRY__LINK__STREAM_OPEN__INIT;
    Wherry__Link__LogsOpen logs = WHERRY__LINK__LOGS_OPEN__INIT;
    Wherry__Link__AskOpen ask = WHERRY__LINK__ASK_OPEN__INIT;

    logs.incarnation = s->logs.incarnation;
    logs.follow = s->logs.follow;
    logs.tail_all = s->logs.tail_all;
    logs.tail = s->logs.tail;
    logs.since_unix_ms = s->logs.since_unix_ms;
    msg.stream = s->stream;
    msg.credit = s->credit;
    if (s->ask.kind == NULL) {
        msg.what_case = WHERRY__LINK__STREAM_OPEN__WHAT_LOGS;
        msg.logs = &logs;
    } else {
        ask.kind = codec_link_text(s->ask.kind);
        ask.arguments = codec_link_bytes(s->ask.args, s->ask.len);
        msg.what_case = WHERRY__LINK__STREAM_OPEN__WHAT_ASK;
        msg.ask = &ask;
    }
    env->stream_open = &msg;
    codec_link_put(env, LINK_STREAM_OPEN, out);
}

static void stream_data(const struct link_stream_data *s, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__StreamData msg = WHERRY__LINK__STREAM_DATA__INIT;
    auto_codec_link_list struct codec_link_list list =
        codec_link_list_of(s->n, sizeof(Wherry__Link__LogLine));

    for (unsigned i = 0; i < s->n; i++) {
        Wherry__Link__LogLine *line = list.pointers[i];

        wherry__link__log_line__init(line);
        line->time_unix_ns = s->lines[i].unix_ns;
        line->source = s->lines[i].is_stderr ? 2 : 1;
        line->partial = s->lines[i].partial;
        line->text = codec_link_bytes(s->lines[i].text, s->lines[i].len);
    }
    msg.stream = s->stream;
    msg.lines = (Wherry__Link__LogLine **)list.pointers;
    msg.n_lines = s->n;
    env->stream_data = &msg;
    codec_link_put(env, LINK_STREAM_DATA, out);
}

static void stream_credit(const struct link_stream_credit *s, codec_link_envelope *env,
                          struct buf *out)
{
    Wherry__Link__StreamCredit msg = WHERRY__LINK__STREAM_CREDIT__INIT;

    msg.stream = s->stream;
    msg.bytes = s->bytes;
    env->stream_credit = &msg;
    codec_link_put(env, LINK_STREAM_CREDIT, out);
}

static void stream_end(const struct link_stream_end *s, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__StreamEnd msg = WHERRY__LINK__STREAM_END__INIT;
    char error[LINK_REASON_MAX];

    (void)snprintf(error, sizeof(error), "%s", codec_link_text(s->error));
    msg.stream = s->stream;
    msg.error = error;
    env->stream_end = &msg;
    codec_link_put(env, LINK_STREAM_END, out);
}

static void volume_forget(const struct link_volume_forget *v, codec_link_envelope *env,
                          struct buf *out)
{
    Wherry__Link__VolumeForget msg = WHERRY__LINK__VOLUME_FORGET__INIT;

    msg.request = v->request;
    msg.name = codec_link_text(v->name);
    env->volume_forget = &msg;
    codec_link_put(env, LINK_VOLUME_FORGET, out);
}

static void volume_forgotten(const struct link_volume_forgotten *v, codec_link_envelope *env,
                             struct buf *out)
{
    Wherry__Link__VolumeForgotten msg = WHERRY__LINK__VOLUME_FORGOTTEN__INIT;
    char error[LINK_REASON_MAX];

    (void)snprintf(error, sizeof(error), "%s", codec_link_text(v->error));
    msg.request = v->request;
    msg.error = error;
    env->volume_forgotten = &msg;
    codec_link_put(env, LINK_VOLUME_FORGOTTEN, out);
}

/* ---- all ---- */

void codec_link_encode(const struct link_message *m, struct buf *out)
{
    codec_link_envelope env = WHERRY__LINK__ENVELOPE__INIT;

    switch (m->kind) {
    case LINK_HELLO:
        return hello(&m->u.hello, &env, out);
    case LINK_WELCOME:
        return welcome(&m->u.welcome, &env, out);
    case LINK_REFUSE:
        return refuse(&m->u.refuse, &env, out);
    case LINK_SET_BEGIN:
        return set_begin(&m->u.set_begin, &env, out);
    case LINK_SET_CHUNK:
        return set_chunk(&m->u.set_chunk, &env, out);
    case LINK_SET_END:
        return set_end(&m->u.set_end, &env, out);
    case LINK_ASSIGN:
        return assign(&m->u.assign, &env, out);
    case LINK_ROUTES:
        return routes(&m->u.routes, &env, out);
    case LINK_ACK:
        return ack(&m->u.ack, &env, out);
    case LINK_REPORT:
        return codec_link_report_out(&m->u.report, &env, out);
    case LINK_HEARTBEAT:
        return heartbeat(&m->u.heartbeat, &env, out);
    case LINK_HEARTBEAT_ACK:
        return heartbeat_ack(&m->u.heartbeat_ack, &env, out);
    case LINK_STREAM_OPEN:
        return stream_open(&m->u.stream_open, &env, out);
    case LINK_STREAM_DATA:
        return stream_data(&m->u.stream_data, &env, out);
    case LINK_STREAM_CREDIT:
        return stream_credit(&m->u.stream_credit, &env, out);
    case LINK_STREAM_END:
        return stream_end(&m->u.stream_end, &env, out);
    case LINK_FACTS:
        return facts_message(&m->u.facts, &env, out);
    case LINK_VOLUME_FORGET:
        return volume_forget(&m->u.volume_forget, &env, out);
    case LINK_VOLUME_FORGOTTEN:
        return volume_forgotten(&m->u.volume_forgotten, &env, out);
    case LINK_SERVICES:
        return codec_link_services_out(&m->u.services, &env, out);
    case LINK_KIND_N:
        break;
    }
    assert(false);
}

static size_t length(const char *s)
{
    return s != NULL ? strlen(s) : 0;
}

size_t codec_link_size_revision(const struct link_revision *r)
{
    return 64 + r->len;
}

size_t codec_link_size_placement(const struct link_placement *p)
{
    return 96 + length(p->stack) + length(p->service) + length(p->image_digest);
}

size_t codec_link_size_observation(const struct link_observation *o)
{
    return 256 + length(o->stack) + length(o->service) + length(o->reason) +
           length(o->image_digest) + 4 * length(o->controls);
}

size_t codec_link_size_line(const struct link_line *line)
{
    return 32 + line->len;
}
