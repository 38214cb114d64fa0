// SPDX-License-Identifier: Apache-2.0
/* From plain structures to envelopes. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/codec_link_priv.h"

/* protobuf-c's setters want char *; nothing writes through it. */
static char *text(const char *s)
{
    return (char *)(uintptr_t)(s != NULL ? s : "");
}

static ProtobufCBinaryData bytes_of(const void *data, size_t len)
{
    return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)data};
}

static Wherry__Link__Sum sum_of(struct id128 id)
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

/* An array of `n` messages and of the pointers to them that protobuf-c wants, in one block. */
struct list {
    void **pointers;
    char *items;
    size_t item;
};

static struct list list_of(size_t n, size_t item)
{
    size_t head = (n * sizeof(void *) + 15) / 16 * 16;
    struct list l = {.pointers = xcalloc(1, head + n * item + 1), .item = item};

    l.items = (char *)l.pointers + head;
    for (size_t i = 0; i < n; i++) {
        l.pointers[i] = l.items + i * item;
    }
    return l;
}

static void list_finish(struct list *l)
{
    free(l->pointers);
}
#define auto_list __attribute__((cleanup(list_finish)))

static void put(codec_link_envelope *env, enum link_kind kind, struct buf *out)
{
    size_t before = out->len;

    env->what_case = (Wherry__Link__Envelope__WhatCase)(kind + 1);
    doc_encode(&env->base, out);
    assert(out->len - before <= codec_link_rows[kind].cap);
}

/* ---- greeting ---- */

static void facts_out(const struct link_facts *f, Wherry__Link__NodeFacts *msg, struct list *labels,
                      struct list *images)
{
    msg->name = text(f->name);
    msg->os = text(f->os);
    msg->arch = text(f->arch);
    msg->kernel = text(f->kernel);
    msg->version = text(f->version);
    msg->underlay = text(f->underlay);
    msg->cgroup = text(f->cgroup);
    msg->degraded = text(f->degraded);
    msg->cpu_millis = f->cpu_millis;
    msg->memory_bytes = f->memory_bytes;
    msg->pids = f->pids;
    msg->volumes_bytes_free = f->volumes_bytes_free;
    *labels = list_of(f->n_labels, sizeof(Wherry__Spec__KeyValue));
    for (unsigned i = 0; i < f->n_labels; i++) {
        Wherry__Spec__KeyValue *kv = labels->pointers[i];

        wherry__spec__key_value__init(kv);
        kv->key = text(f->labels[i].key);
        kv->value = text(f->labels[i].value);
    }
    *images = list_of(f->n_images, sizeof(Wherry__Link__ImageFact));
    for (unsigned i = 0; i < f->n_images; i++) {
        Wherry__Link__ImageFact *image = images->pointers[i];

        wherry__link__image_fact__init(image);
        image->name = text(f->images[i].name);
        image->digest = text(f->images[i].digest);
    }
    msg->labels = (Wherry__Spec__KeyValue **)labels->pointers;
    msg->n_labels = f->n_labels;
    msg->images = (Wherry__Link__ImageFact **)images->pointers;
    msg->n_images = f->n_images;
}

static void facts_message(const struct link_facts *f, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__NodeFacts msg = WHERRY__LINK__NODE_FACTS__INIT;
    auto_list struct list labels = {0};
    auto_list struct list images = {0};

    facts_out(f, &msg, &labels, &images);
    env->facts = &msg;
    put(env, LINK_FACTS, out);
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
    Wherry__Link__Sum assigned = sum_of(h->assigned);
    Wherry__Link__Sum observed = sum_of(h->observed);
    auto_list struct list labels = {0};
    auto_list struct list images = {0};
    char cluster[ID128_HEX + 1];
    char node[ID128_HEX + 1];

    facts_out(&h->facts, &facts, &labels, &images);
    msg.version = h->version;
    msg.features = h->features;
    msg.cluster_id = id_out(h->cluster_id, cluster);
    msg.node_id = id_out(h->node_id, node);
    msg.boot_id = text(h->boot_id);
    msg.position = &position;
    msg.assigned = &assigned;
    msg.observed = &observed;
    msg.facts = &facts;
    env->hello = &msg;
    put(env, LINK_HELLO, out);
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
    msg.cluster_range = text(w->cluster_range);
    msg.node_block = text(w->node_block);
    msg.report_all = w->report_all;
    env->welcome = &msg;
    put(env, LINK_WELCOME, out);
}

static void refuse(const struct link_refuse *r, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__Refuse msg = WHERRY__LINK__REFUSE__INIT;
    char reason[LINK_REASON_MAX];

    (void)snprintf(reason, sizeof(reason), "%s", text(r->reason));
    msg.code = (Wherry__Link__RefuseCode)r->code;
    msg.reason = reason;
    env->refuse = &msg;
    put(env, LINK_REFUSE, out);
}

/* ---- assignments ---- */

static void chunk_out(const struct link_set_chunk *c, struct list *revisions,
                      struct list *placements)
{
    *revisions = list_of(c->n_revisions, sizeof(Wherry__Link__Revision));
    for (unsigned i = 0; i < c->n_revisions; i++) {
        Wherry__Link__Revision *msg = revisions->pointers[i];

        wherry__link__revision__init(msg);
        msg->digest = bytes_of(c->revisions[i].digest, LINK_DIGEST);
        msg->container = bytes_of(c->revisions[i].container, c->revisions[i].len);
    }
    *placements = list_of(c->n_placements, sizeof(Wherry__Link__Placement));
    for (unsigned i = 0; i < c->n_placements; i++) {
        const struct link_placement *p = &c->placements[i];
        Wherry__Link__Placement *msg = placements->pointers[i];

        wherry__link__placement__init(msg);
        msg->incarnation = p->incarnation;
        msg->stack = text(p->stack);
        msg->service = text(p->service);
        msg->slot = p->slot;
        msg->revision = bytes_of(p->revision, LINK_DIGEST);
        msg->wanted =
            p->stop ? WHERRY__LINK__WANTED__WANTED_STOP : WHERRY__LINK__WANTED__WANTED_RUN;
        msg->image_digest = text(p->image_digest);
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
    put(env, LINK_SET_BEGIN, out);
}

static void set_chunk(const struct link_set_chunk *c, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__SetChunk msg = WHERRY__LINK__SET_CHUNK__INIT;
    auto_list struct list revisions = {0};
    auto_list struct list placements = {0};

    chunk_out(c, &revisions, &placements);
    msg.revisions = (Wherry__Link__Revision **)revisions.pointers;
    msg.n_revisions = c->n_revisions;
    msg.placements = (Wherry__Link__Placement **)placements.pointers;
    msg.n_placements = c->n_placements;
    env->set_chunk = &msg;
    put(env, LINK_SET_CHUNK, out);
}

static void set_end(const struct link_set_end *s, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__SetEnd msg = WHERRY__LINK__SET_END__INIT;
    Wherry__Link__Sum sum = sum_of(s->assigned);

    msg.assigned = &sum;
    env->set_end = &msg;
    put(env, LINK_SET_END, out);
}

static void assign(const struct link_assign *a, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__Assign msg = WHERRY__LINK__ASSIGN__INIT;
    Wherry__Link__Position position = position_of(a->position);
    Wherry__Link__Sum sum = sum_of(a->assigned);
    auto_list struct list revisions = {0};
    auto_list struct list placements = {0};

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
    put(env, LINK_ASSIGN, out);
}

static void routes(const struct link_routes *r, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__Routes msg = WHERRY__LINK__ROUTES__INIT;
    auto_list struct list list = list_of(r->n, sizeof(Wherry__Link__Route));
    auto_free char *ids = xcalloc(r->n + 1, ID128_HEX + 1);

    for (unsigned i = 0; i < r->n; i++) {
        Wherry__Link__Route *route = list.pointers[i];

        wherry__link__route__init(route);
        route->node_id = id_out(r->routes[i].node_id, ids + (size_t)i * (ID128_HEX + 1));
        route->name = text(r->routes[i].name);
        route->underlay = text(r->routes[i].underlay);
        route->block = text(r->routes[i].block);
    }
    msg.routes = (Wherry__Link__Route **)list.pointers;
    msg.n_routes = r->n;
    env->routes = &msg;
    put(env, LINK_ROUTES, out);
}

static void ack(const struct link_ack *a, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__Ack msg = WHERRY__LINK__ACK__INIT;
    Wherry__Link__Position position = position_of(a->position);
    Wherry__Link__Sum sum = sum_of(a->assigned);

    msg.position = &position;
    msg.assigned = &sum;
    env->ack = &msg;
    put(env, LINK_ACK, out);
}

/* ---- reports ---- */

static size_t lines_in(const char *text_or_null)
{
    size_t n = text_or_null != NULL && text_or_null[0] != '\0';

    for (const char *p = text_or_null; n > 0 && (p = strchr(p, '\n')) != NULL; p++) {
        n++;
    }
    return n;
}

/* Cuts the lines apart in a copy at `copy`; gives how much of it was used. */
static size_t controls_out(const char *controls, char **pointers, char *copy)
{
    size_t len = strlen(controls);
    char *at = copy;

    memcpy(copy, controls, len + 1);
    for (size_t i = 0; at != NULL; i++) {
        char *end = strchr(at, '\n');

        pointers[i] = at;
        if (end != NULL) {
            *end++ = '\0';
        }
        at = end;
    }
    return len + 1;
}

static void observation_out(const struct link_observation *o, Wherry__Link__Observation *msg)
{
    wherry__link__observation__init(msg);
    msg->incarnation = o->incarnation;
    msg->run = o->run;
    msg->seq = o->seq;
    msg->phase = (Wherry__Link__Phase)o->phase;
    msg->health = (Wherry__Link__Health)o->health;
    msg->exit_known = o->exit_known;
    msg->exit_code = o->exit_code;
    msg->exit_signal = o->exit_signal;
    msg->oom_killed = o->oom_killed;
    msg->restarts = o->restarts;
    msg->reason = text(o->reason);
    msg->address = o->address;
    msg->started_unix_ms = o->started_unix_ms;
    msg->ended_unix_ms = o->ended_unix_ms;
    msg->retry_unix_ms = o->retry_unix_ms;
    msg->image_digest = text(o->image_digest);
    msg->stack = text(o->stack);
    msg->service = text(o->service);
    msg->slot = o->slot;
    msg->revision = bytes_of(o->revision, o->revision != NULL ? LINK_DIGEST : 0);
    msg->pid = o->pid;
}

static void report(const struct link_report *r, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__Report msg = WHERRY__LINK__REPORT__INIT;
    Wherry__Link__Sum sum = sum_of(r->observed);
    auto_list struct list list = list_of(r->n, sizeof(Wherry__Link__Observation));
    auto_free char **pointers = NULL;
    auto_free char *copy = NULL;
    size_t n_lines = 0, n_bytes = 0, line = 0, at = 0;

    for (unsigned i = 0; i < r->n; i++) {
        n_lines += lines_in(r->list[i].controls);
        n_bytes += r->list[i].controls != NULL ? strlen(r->list[i].controls) + 1 : 0;
    }
    pointers = xcalloc(n_lines + 1, sizeof(*pointers));
    copy = xmalloc(n_bytes + 1);
    for (unsigned i = 0; i < r->n; i++) {
        Wherry__Link__Observation *o = list.pointers[i];

        observation_out(&r->list[i], o);
        o->n_controls = lines_in(r->list[i].controls);
        if (o->n_controls > 0) {
            o->controls = pointers + line;
            at += controls_out(r->list[i].controls, o->controls, copy + at);
            line += o->n_controls;
        }
    }
    msg.all_begin = r->all_begin;
    msg.all_end = r->all_end;
    msg.observations = (Wherry__Link__Observation **)list.pointers;
    msg.n_observations = r->n;
    msg.gone = (uint64_t *)(uintptr_t)r->gone;
    msg.n_gone = r->n_gone;
    msg.observed = r->has_sum ? &sum : NULL;
    env->report = &msg;
    put(env, LINK_REPORT, out);
}

static void heartbeat(const struct link_heartbeat *h, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__Heartbeat msg = WHERRY__LINK__HEARTBEAT__INIT;

    msg.seq = h->seq;
    msg.sent_boottime_ms = h->sent_boottime_ms;
    msg.memory_used_bytes = h->memory_used_bytes;
    msg.loop_lag_us_max = h->loop_lag_us_max;
    env->heartbeat = &msg;
    put(env, LINK_HEARTBEAT, out);
}

static void heartbeat_ack(const struct link_heartbeat_ack *a, codec_link_envelope *env,
                          struct buf *out)
{
    Wherry__Link__HeartbeatAck msg = WHERRY__LINK__HEARTBEAT_ACK__INIT;

    msg.seq = a->seq;
    msg.heartbeat_ms = a->heartbeat_ms;
    msg.timeout_ms = a->timeout_ms;
    env->heartbeat_ack = &msg;
    put(env, LINK_HEARTBEAT_ACK, out);
}

/* ---- streams and volumes ---- */

static void stream_open(const struct link_stream_open *s, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__StreamOpen msg = WHERRY__LINK__STREAM_OPEN__INIT;
    Wherry__Link__LogsOpen logs = WHERRY__LINK__LOGS_OPEN__INIT;

    logs.incarnation = s->logs.incarnation;
    logs.follow = s->logs.follow;
    logs.tail_all = s->logs.tail_all;
    logs.tail = s->logs.tail;
    logs.since_unix_ms = s->logs.since_unix_ms;
    msg.stream = s->stream;
    msg.credit = s->credit;
    msg.what_case = WHERRY__LINK__STREAM_OPEN__WHAT_LOGS;
    msg.logs = &logs;
    env->stream_open = &msg;
    put(env, LINK_STREAM_OPEN, out);
}

static void stream_data(const struct link_stream_data *s, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__StreamData msg = WHERRY__LINK__STREAM_DATA__INIT;
    auto_list struct list list = list_of(s->n, sizeof(Wherry__Link__LogLine));

    for (unsigned i = 0; i < s->n; i++) {
        Wherry__Link__LogLine *line = list.pointers[i];

        wherry__link__log_line__init(line);
        line->time_unix_ns = s->lines[i].unix_ns;
        line->source = s->lines[i].is_stderr ? 2 : 1;
        line->partial = s->lines[i].partial;
        line->text = bytes_of(s->lines[i].text, s->lines[i].len);
    }
    msg.stream = s->stream;
    msg.lines = (Wherry__Link__LogLine **)list.pointers;
    msg.n_lines = s->n;
    env->stream_data = &msg;
    put(env, LINK_STREAM_DATA, out);
}

static void stream_credit(const struct link_stream_credit *s, codec_link_envelope *env,
                          struct buf *out)
{
    Wherry__Link__StreamCredit msg = WHERRY__LINK__STREAM_CREDIT__INIT;

    msg.stream = s->stream;
    msg.bytes = s->bytes;
    env->stream_credit = &msg;
    put(env, LINK_STREAM_CREDIT, out);
}

static void stream_end(const struct link_stream_end *s, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__StreamEnd msg = WHERRY__LINK__STREAM_END__INIT;
    char error[LINK_REASON_MAX];

    (void)snprintf(error, sizeof(error), "%s", text(s->error));
    msg.stream = s->stream;
    msg.error = error;
    env->stream_end = &msg;
    put(env, LINK_STREAM_END, out);
}

static void volume_forget(const struct link_volume_forget *v, codec_link_envelope *env,
                          struct buf *out)
{
    Wherry__Link__VolumeForget msg = WHERRY__LINK__VOLUME_FORGET__INIT;

    msg.request = v->request;
    msg.name = text(v->name);
    env->volume_forget = &msg;
    put(env, LINK_VOLUME_FORGET, out);
}

static void volume_forgotten(const struct link_volume_forgotten *v, codec_link_envelope *env,
                             struct buf *out)
{
    Wherry__Link__VolumeForgotten msg = WHERRY__LINK__VOLUME_FORGOTTEN__INIT;
    char error[LINK_REASON_MAX];

    (void)snprintf(error, sizeof(error), "%s", text(v->error));
    msg.request = v->request;
    msg.error = error;
    env->volume_forgotten = &msg;
    put(env, LINK_VOLUME_FORGOTTEN, out);
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
        return report(&m->u.report, &env, out);
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
