// SPDX-License-Identifier: Apache-2.0
/* What agents say: each frame is judged and decoded, and becomes one event for the owner. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "controller/uv_session_priv.h"

static const struct uv_sessions_events *events_of(const struct session *se)
{
    return se->owner->config.events;
}

static void *arg_of(const struct session *se)
{
    return se->owner->config.arg;
}

/* ---- facts ---- */

struct facts {
    struct fleet_facts facts;
    struct fleet_label *labels;
    struct fleet_image *images;
};

static void facts_init(struct facts *to, const struct link_facts *from)
{
    to->labels = xcalloc(from->n_labels + 1, sizeof(*to->labels));
    to->images = xcalloc(from->n_images + 1, sizeof(*to->images));
    for (unsigned i = 0; i < from->n_labels; i++) {
        to->labels[i] = (struct fleet_label){from->labels[i].key, from->labels[i].value};
    }
    for (unsigned i = 0; i < from->n_images; i++) {
        to->images[i] = (struct fleet_image){from->images[i].name, from->images[i].digest};
    }
    to->facts = (struct fleet_facts){
        .os = from->os,
        .arch = from->arch,
        .kernel = from->kernel,
        .version = from->version,
        .underlay = from->underlay,
        .cgroup = from->cgroup,
        .degraded = from->degraded,
        .total = {.memory_bytes = from->memory_bytes,
                  .cpu_millis = from->cpu_millis,
                  .pids = from->pids,
                  .bits_in = from->bandwidth_bits,
                  .bits_out = from->bandwidth_bits},
        .volumes_bytes_free = from->volumes_bytes_free,
        .labels = to->labels,
        .n_labels = from->n_labels,
        .images = to->images,
        .n_images = from->n_images,
    };
    memcpy(to->facts.wireguard_key, from->wireguard_key, sizeof(to->facts.wireguard_key));
}

static void facts_finish(struct facts *facts)
{
    free(facts->labels);
    free(facts->images);
}

static void facts(struct session *se, const struct link_message *m)
{
    struct facts f;

    facts_init(&f, &m->u.facts);
    events_of(se)->facts(arg_of(se), se->node_id, &f.facts);
    facts_finish(&f);
}

/* ---- greeting ---- */

static void hello(struct session *se, const struct link_message *m)
{
    const struct link_hello *h = &m->u.hello;
    struct id128 ours = se->owner->config.cluster_id;
    char hex[ID128_HEX + 1];
    struct facts f;

    if (h->version != LINK_VERSION) {
        uv_session_end(se, LINK_REFUSE_VERSION,
                       "the agent speaks version %u of the protocol, this controller version %u",
                       h->version, LINK_VERSION);
        return;
    }
    if (!id128_is_zero(h->cluster_id) && !id128_equal(h->cluster_id, ours)) {
        id128_to_hex(ours, hex);
        uv_session_end(se, LINK_REFUSE_CLUSTER,
                       "the agent belongs to another cluster; this one is %s", hex);
        return;
    }
    if (se->owner->config.fleet(arg_of(se)) == NULL) {
        uv_session_end(se, LINK_REFUSE_BUSY, "the controller is not ready yet");
        return;
    }
    se->node_id = h->node_id;
    se->features = h->features;
    (void)snprintf(se->name, sizeof(se->name), "%s", h->facts.name);
    se->holds = h->assigned;
    se->holds_known = true;
    se->services_held = h->services;
    uv_session_enter(se);
    facts_init(&f, &h->facts);
    events_of(se)->hello(arg_of(se), h->node_id, h->facts.name,
                         (struct fleet_position){h->position.epoch, h->position.revision},
                         h->assigned, h->observed, &f.facts);
    facts_finish(&f);
}

static void refuse(struct session *se, const struct link_message *m)
{
    log_warn("agent %s (%s) ends its session: %s: %s", se->name, se->peer,
             codec_link_refusal_name(m->u.refuse.code), m->u.refuse.reason);
    (void)snprintf(se->reason, sizeof(se->reason), "the agent refused: %.400s", m->u.refuse.reason);
}

/* ---- reports ---- */

static struct fleet_observation observation_of(const struct link_observation *o)
{
    struct fleet_observation to = {
        .incarnation = o->incarnation,
        .run = o->run,
        .seq = o->seq,
        .phase = (enum fleet_phase)o->phase,
        .health = (enum fleet_health)o->health,
        .exit_known = o->exit_known,
        .oom_killed = o->oom_killed,
        .exit_code = o->exit_code,
        .exit_signal = o->exit_signal,
        .restarts = o->restarts,
        .address = o->address,
        .pid = o->pid,
        .started_unix_ms = o->started_unix_ms,
        .ended_unix_ms = o->ended_unix_ms,
        .retry_unix_ms = o->retry_unix_ms,
        .reason = o->reason,
        .image_digest = o->image_digest,
        .controls = o->controls,
        .stack = o->stack,
        .service = o->service,
        .slot = o->slot,
    };

    if (o->revision != NULL) {
        memcpy(to.revision, o->revision, sizeof(to.revision));
    }
    return to;
}

static void report(struct session *se, const struct link_message *m)
{
    const struct link_report *r = &m->u.report;
    auto_free struct fleet_observation *list = xcalloc(r->n + 1, sizeof(*list));

    for (unsigned i = 0; i < r->n; i++) {
        list[i] = observation_of(&r->list[i]);
    }
    events_of(se)->observed(arg_of(se), se->node_id, list, r->n, r->gone, r->n_gone, r->all_begin,
                            r->all_end);
}

static void ack(struct session *se, const struct link_message *m)
{
    const struct link_ack *a = &m->u.ack;

    events_of(se)->ack(arg_of(se), se->node_id,
                       (struct fleet_position){a->position.epoch, a->position.revision},
                       a->assigned);
}

static void heartbeat(struct session *se, const struct link_message *m)
{
    se->beat_due = true;
    se->beat_seq = m->u.heartbeat.seq;
    events_of(se)->heartbeat(arg_of(se), se->node_id, m->u.heartbeat.memory_used_bytes,
                             m->u.heartbeat.loop_lag_us_max);
    uv_session_next(se);
}

/* ---- streams and volumes ---- */

/* NULL: it has ended, or the owner has closed it. */
static struct session_stream *stream_of(const struct session *se, uint64_t number)
{
    for (struct session_stream *st = se->streams; st != NULL; st = st->next) {
        if (st->number == number) {
            return st->closed ? NULL : st;
        }
    }
    return NULL;
}

/* A line may begin while there is credit. */
static bool pay(struct session_stream *st, const struct link_line *lines, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (st->credit <= 0) {
            return false;
        }
        st->credit -= (int64_t)LINK_LINE_COST(lines[i].len);
    }
    return true;
}

static void stream_data(struct session *se, const struct link_message *m)
{
    const struct link_stream_data *d = &m->u.stream_data;
    struct session_stream *st = stream_of(se, d->stream);
    auto_free struct uv_session_line *lines = xcalloc(d->n + 1, sizeof(*lines));

    if (st == NULL) {
        return;
    }
    if (!pay(st, d->lines, d->n)) {
        uv_session_end(se, LINK_REFUSE_PROTOCOL, "stream_data: more than the credit given");
        return;
    }
    for (unsigned i = 0; i < d->n; i++) {
        lines[i] = (struct uv_session_line){.unix_ns = d->lines[i].unix_ns,
                                            .is_stderr = d->lines[i].is_stderr,
                                            .partial = d->lines[i].partial,
                                            .text = d->lines[i].text,
                                            .len = d->lines[i].len};
    }
    events_of(se)->stream_lines(arg_of(se), d->stream, lines, d->n);
}

static void stream_end(struct session *se, const struct link_message *m)
{
    struct session_stream *st = stream_of(se, m->u.stream_end.stream);

    if (st != NULL) {
        uv_session_stream_forget(se, st);
        events_of(se)->stream_end(arg_of(se), m->u.stream_end.stream, m->u.stream_end.error);
    }
}

static void volume_forgotten(struct session *se, const struct link_message *m)
{
    const struct link_volume_forgotten *v = &m->u.volume_forgotten;

    for (unsigned i = 0; i < se->n_requests; i++) {
        if (se->requests[i].number == v->request && se->requests[i].sent) {
            se->requests[i] = se->requests[--se->n_requests];
            events_of(se)->volume_forgotten(arg_of(se), se->node_id, v->request, v->error);
            return;
        }
    }
}

/* ---- all ---- */

/* What an agent says, in the order of the kinds; the others do not pass the codec. */
static void (*const handlers[LINK_KIND_N])(struct session *se, const struct link_message *m) = {
    [LINK_HELLO] = hello,
    [LINK_REFUSE] = refuse,
    [LINK_ACK] = ack,
    [LINK_REPORT] = report,
    [LINK_HEARTBEAT] = heartbeat,
    [LINK_STREAM_DATA] = stream_data,
    [LINK_STREAM_END] = stream_end,
    [LINK_FACTS] = facts,
    [LINK_VOLUME_FORGOTTEN] = volume_forgotten,
};

void uv_session_frame(struct session *se, const uint8_t *bytes, size_t len)
{
    struct link_message m;
    struct err e = {0};
    int rc = codec_link_decode(bytes, len, LINK_AGENT, se->state != SESSION_GREETING, &m, &e);

    if (rc < 0) {
        uv_session_end(se, LINK_REFUSE_PROTOCOL, "%.400s", e.text);
        return;
    }
    if (se->state == SESSION_ASKED && m.kind != LINK_REFUSE) {
        uv_session_end(se, LINK_REFUSE_PROTOCOL, "%s before the welcome",
                       codec_link_rows[m.kind].name);
    } else {
        se->heard_ms = uv_now(se->owner->loop);
        handlers[m.kind](se, &m);
    }
    codec_link_free(&m);
}
