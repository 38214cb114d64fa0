// SPDX-License-Identifier: Apache-2.0
/* From decoded messages to plain structures; what cannot be is refused here. */
#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/askrow.h"
#include "common/codec_link_priv.h"

static int bad(struct err *e, const char *what)
{
    return err_say(e, EBADMSG, "%s", what);
}

void *codec_link_array(struct link_message *m, size_t n, size_t size)
{
    struct codec_link_memory *memory = m->memory;
    void *p;

    if (n == 0) {
        return NULL;
    }
    assert(memory->n_arrays < CODEC_LINK_ARRAYS);
    p = xcalloc(n, size);
    memory->arrays[memory->n_arrays++] = p;
    return p;
}

struct id128 codec_link_sum_in(const Wherry__Link__Sum *sum)
{
    return sum != NULL ? (struct id128){.hi = sum->hi, .lo = sum->lo} : (struct id128){0};
}

static struct link_position position_of(const Wherry__Link__Position *p)
{
    return p != NULL ? (struct link_position){.epoch = p->epoch, .revision = p->revision}
                     : (struct link_position){0};
}

/* "" is zero where `empty` allows it. */
static int id_in(const char *hex, bool empty, struct id128 *ret, struct err *e)
{
    if (hex[0] == '\0' && empty) {
        *ret = (struct id128){0};
        return 0;
    }
    if (id128_from_hex(hex, ret) < 0 || id128_is_zero(*ret)) {
        return bad(e, "an id is not 32 hexadecimal digits");
    }
    return 0;
}

/* ---- greeting ---- */

static int labels_in(const Wherry__Link__NodeFacts *f, struct link_message *m,
                     struct link_facts *to, struct err *e)
{
    struct link_pair *labels;

    if (f->n_labels > LINK_LABELS_MAX) {
        return err_say(e, E2BIG, "%zu labels are more than %d", f->n_labels, LINK_LABELS_MAX);
    }
    labels = codec_link_array(m, f->n_labels, sizeof(*labels));
    for (size_t i = 0; i < f->n_labels; i++) {
        labels[i] = (struct link_pair){.key = f->labels[i]->key, .value = f->labels[i]->value};
    }
    to->labels = labels;
    to->n_labels = (unsigned)f->n_labels;
    return 0;
}

static int images_in(const Wherry__Link__NodeFacts *f, struct link_message *m,
                     struct link_facts *to, struct err *e)
{
    struct link_image *images;

    if (f->n_images > LINK_IMAGES_MAX) {
        return err_say(e, E2BIG, "%zu images are more than %d", f->n_images, LINK_IMAGES_MAX);
    }
    images = codec_link_array(m, f->n_images, sizeof(*images));
    for (size_t i = 0; i < f->n_images; i++) {
        images[i] = (struct link_image){.name = f->images[i]->name, .digest = f->images[i]->digest};
    }
    to->images = images;
    to->n_images = (unsigned)f->n_images;
    return 0;
}

static int key_in(ProtobufCBinaryData key, uint8_t ret[LINK_KEY], struct err *e)
{
    if (key.len != 0 && key.len != LINK_KEY) {
        return bad(e, "a WireGuard key has 32 bytes");
    }
    memset(ret, 0, LINK_KEY);
    if (key.len > 0) {
        memcpy(ret, key.data, LINK_KEY);
    }
    return 0;
}

static int facts_in(const Wherry__Link__NodeFacts *f, struct link_message *m, struct link_facts *to,
                    struct err *e)
{
    int rc;

    if (!name_is_valid(f->name)) {
        return err_say(e, EBADMSG, "a node's name is not %s", name_rule);
    }
    *to = (struct link_facts){
        .name = f->name,
        .os = f->os,
        .arch = f->arch,
        .kernel = f->kernel,
        .version = f->version,
        .underlay = f->underlay,
        .cgroup = f->cgroup,
        .degraded = f->degraded,
        .cpu_millis = f->cpu_millis,
        .memory_bytes = f->memory_bytes,
        .pids = f->pids,
        .volumes_bytes_free = f->volumes_bytes_free,
        .bandwidth_bits = f->bandwidth_bits,
    };
    rc = key_in(f->wireguard_key, to->wireguard_key, e);
    rc = rc == 0 ? labels_in(f, m, to, e) : rc;
    return rc < 0 ? rc : images_in(f, m, to, e);
}

static int hello_in(const Wherry__Link__Hello *h, struct link_message *m, struct err *e)
{
    struct link_hello *to = &m->u.hello;
    int rc;

    if (h->facts == NULL) {
        return bad(e, "it says nothing of the node");
    }
    to->version = h->version;
    to->features = h->features;
    to->boot_id = h->boot_id;
    to->position = position_of(h->position);
    to->assigned = codec_link_sum_in(h->assigned);
    to->observed = codec_link_sum_in(h->observed);
    to->services = codec_link_sum_in(h->services);
    rc = id_in(h->cluster_id, /* empty: */ true, &to->cluster_id, e);
    if (rc == 0) {
        rc = id_in(h->node_id, /* empty: */ false, &to->node_id, e);
    }
    return rc < 0 ? rc : facts_in(h->facts, m, &to->facts, e);
}

static bool period_fits(uint32_t heartbeat_ms, uint32_t timeout_ms)
{
    return heartbeat_ms >= LINK_PERIOD_MIN && heartbeat_ms <= LINK_PERIOD_MAX &&
           timeout_ms >= heartbeat_ms && timeout_ms <= 100 * LINK_PERIOD_MAX;
}

static int welcome_in(const Wherry__Link__Welcome *w, struct link_message *m, struct err *e)
{
    struct link_welcome *to = &m->u.welcome;

    *to = (struct link_welcome){
        .version = w->version,
        .features = w->features,
        .position = position_of(w->position),
        .heartbeat_ms = w->heartbeat_ms,
        .timeout_ms = w->timeout_ms,
        .cluster_range = w->cluster_range,
        .node_block = w->node_block,
        .report_all = w->report_all,
        .encrypt = w->encrypt,
    };
    if (!period_fits(w->heartbeat_ms, w->timeout_ms)) {
        return bad(e, "the heartbeat's period or timeout cannot be");
    }
    return id_in(w->cluster_id, /* empty: */ false, &to->cluster_id, e);
}

static int refuse_in(const Wherry__Link__Refuse *r, struct link_message *m)
{
    unsigned code = (unsigned)r->code;

    m->u.refuse = (struct link_refuse){
        .code = code < LINK_REFUSE_N ? (enum link_refusal)code : LINK_REFUSE_UNSPECIFIED,
        .reason = r->reason,
    };
    return 0;
}

/* ---- assignments ---- */

static int revision_in(const Wherry__Link__Revision *r, struct link_revision *to, struct err *e)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (r->digest.len != LINK_DIGEST || r->container.len > DOC_SPEC_MAX) {
        return bad(e, "a revision's digest or document has the wrong length");
    }
    if (EVP_Digest(r->container.data, r->container.len, digest, &len, EVP_sha256(), NULL) != 1) {
        die("no SHA-256 in libcrypto");
    }
    if (memcmp(digest, r->digest.data, LINK_DIGEST) != 0) {
        return bad(e, "a revision's document is not what its digest says");
    }
    *to = (struct link_revision){
        .digest = r->digest.data, .container = r->container.data, .len = r->container.len};
    return 0;
}

static int placement_in(const Wherry__Link__Placement *p, struct link_placement *to, struct err *e)
{
    if (p->incarnation == 0 || p->revision.len != LINK_DIGEST || !name_is_valid(p->stack) ||
        !name_is_valid(p->service)) {
        return bad(e, "a placement is not complete");
    }
    if (p->wanted != WHERRY__LINK__WANTED__WANTED_RUN &&
        p->wanted != WHERRY__LINK__WANTED__WANTED_STOP) {
        return err_say(e, EBADMSG, "placement %s/%s.%u is wanted in a way that is not known",
                       p->stack, p->service, p->slot);
    }
    *to = (struct link_placement){
        .incarnation = p->incarnation,
        .stack = p->stack,
        .service = p->service,
        .slot = p->slot,
        .revision = p->revision.data,
        .stop = p->wanted == WHERRY__LINK__WANTED__WANTED_STOP,
        .image_digest = p->image_digest,
    };
    return 0;
}

static int changed_in(Wherry__Link__Revision *const *revisions, size_t n_revisions,
                      Wherry__Link__Placement *const *placements, size_t n_placements,
                      struct link_message *m, struct link_set_chunk *to, struct err *e)
{
    struct link_revision *rs = codec_link_array(m, n_revisions, sizeof(*rs));
    struct link_placement *ps = codec_link_array(m, n_placements, sizeof(*ps));
    int rc = 0;

    for (size_t i = 0; i < n_revisions && rc == 0; i++) {
        rc = revision_in(revisions[i], &rs[i], e);
    }
    for (size_t i = 0; i < n_placements && rc == 0; i++) {
        rc = placement_in(placements[i], &ps[i], e);
    }
    *to = (struct link_set_chunk){.revisions = rs,
                                  .n_revisions = (unsigned)n_revisions,
                                  .placements = ps,
                                  .n_placements = (unsigned)n_placements};
    return rc;
}

static int assign_in(const Wherry__Link__Assign *a, struct link_message *m, struct err *e)
{
    struct link_assign *to = &m->u.assign;

    to->position = position_of(a->position);
    to->removed = a->removed;
    to->n_removed = (unsigned)a->n_removed;
    to->has_sum = a->assigned != NULL;
    to->assigned = codec_link_sum_in(a->assigned);
    return changed_in(a->revisions, a->n_revisions, a->placements, a->n_placements, m, &to->changed,
                      e);
}

static int set_begin_in(const Wherry__Link__SetBegin *s, struct link_message *m)
{
    m->u.set_begin = (struct link_set_begin){.position = position_of(s->position),
                                             .placements = s->placements,
                                             .revisions = s->revisions};
    return 0;
}

static int routes_in(const Wherry__Link__Routes *r, struct link_message *m, struct err *e)
{
    struct link_route *to = codec_link_array(m, r->n_routes, sizeof(*to));

    m->u.routes = (struct link_routes){.routes = to, .n = (unsigned)r->n_routes};
    for (size_t i = 0; i < r->n_routes; i++) {
        int rc = id_in(r->routes[i]->node_id, /* empty: */ false, &to[i].node_id, e);

        rc = rc == 0 ? key_in(r->routes[i]->wireguard_key, to[i].wireguard_key, e) : rc;
        if (rc < 0) {
            return rc;
        }
        if (!name_is_valid(r->routes[i]->name)) {
            return err_say(e, EBADMSG, "a node's name is not %s", name_rule);
        }
        to[i].name = r->routes[i]->name;
        to[i].underlay = r->routes[i]->underlay;
        to[i].block = r->routes[i]->block;
    }
    return 0;
}

static int ack_in(const Wherry__Link__Ack *a, struct link_message *m)
{
    m->u.ack = (struct link_ack){.position = position_of(a->position),
                                 .assigned = codec_link_sum_in(a->assigned)};
    return 0;
}

/* ---- reports ---- */

/* Joins the controls to lines; NULL: none said. The memory is the message's. */
static char *lines_of(char *const *controls, size_t n, char *at)
{
    char *begin = at;

    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(controls[i]);

        memcpy(at, controls[i], len);
        at[len] = i + 1 < n ? '\n' : '\0';
        at += len + 1;
    }
    return n > 0 ? begin : NULL;
}

static int observation_in(const Wherry__Link__Observation *o, struct link_observation *to,
                          struct err *e)
{
    if (o->incarnation == 0 || (o->revision.len != 0 && o->revision.len != LINK_DIGEST)) {
        return bad(e, "an observation names no incarnation, or no whole revision");
    }
    if ((unsigned)o->phase == 0 || (unsigned)o->phase > LINK_PHASE_MAX ||
        (unsigned)o->health > LINK_HEALTH_MAX) {
        return bad(e, "an observation's phase or health is not known");
    }
    *to = (struct link_observation){
        .incarnation = o->incarnation,
        .run = o->run,
        .seq = o->seq,
        .phase = (uint32_t)o->phase,
        .health = (uint32_t)o->health,
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
        .stack = o->stack,
        .service = o->service,
        .slot = o->slot,
        .revision = o->revision.len > 0 ? o->revision.data : NULL,
    };
    return 0;
}

static size_t controls_bytes(const Wherry__Link__Report *r)
{
    size_t bytes = 0;

    for (size_t i = 0; i < r->n_observations; i++) {
        for (size_t k = 0; k < r->observations[i]->n_controls; k++) {
            bytes += strlen(r->observations[i]->controls[k]) + 1;
        }
    }
    return bytes;
}

static int report_in(const Wherry__Link__Report *r, struct link_message *m, struct err *e)
{
    struct link_observation *to = codec_link_array(m, r->n_observations, sizeof(*to));
    char *text = codec_link_array(m, controls_bytes(r), 1);

    for (size_t i = 0; i < r->n_observations; i++) {
        const Wherry__Link__Observation *o = r->observations[i];
        int rc = observation_in(o, &to[i], e);

        if (rc < 0) {
            return rc;
        }
        to[i].controls = lines_of(o->controls, o->n_controls, text);
        for (size_t k = 0; k < o->n_controls; k++) {
            text += strlen(o->controls[k]) + 1;
        }
    }
    m->u.report = (struct link_report){.all_begin = r->all_begin,
                                       .all_end = r->all_end,
                                       .list = to,
                                       .n = (unsigned)r->n_observations,
                                       .gone = r->gone,
                                       .n_gone = (unsigned)r->n_gone,
                                       .has_sum = r->observed != NULL,
                                       .observed = codec_link_sum_in(r->observed)};
    return 0;
}

static int heartbeat_in(const Wherry__Link__Heartbeat *h, struct link_message *m)
{
    m->u.heartbeat = (struct link_heartbeat){.seq = h->seq,
                                             .sent_boottime_ms = h->sent_boottime_ms,
                                             .memory_used_bytes = h->memory_used_bytes,
                                             .loop_lag_us_max = h->loop_lag_us_max};
    return 0;
}

static int heartbeat_ack_in(const Wherry__Link__HeartbeatAck *a, struct link_message *m,
                            struct err *e)
{
    m->u.heartbeat_ack = (struct link_heartbeat_ack){
        .seq = a->seq, .heartbeat_ms = a->heartbeat_ms, .timeout_ms = a->timeout_ms};
    return period_fits(a->heartbeat_ms, a->timeout_ms)
               ? 0
               : bad(e, "the heartbeat's period or timeout cannot be");
}

/* ---- streams and volumes ---- */

static int logs_in(const Wherry__Link__LogsOpen *l, struct link_logs *ret, struct err *e)
{
    *ret = (struct link_logs){.incarnation = l->incarnation,
                              .follow = l->follow,
                              .tail_all = l->tail_all,
                              .tail = l->tail,
                              .since_unix_ms = l->since_unix_ms};
    return l->incarnation != 0 ? 0 : bad(e, "logs of no container");
}

static int ask_in(const Wherry__Link__AskOpen *a, struct link_ask *ret, struct err *e)
{
    *ret = (struct link_ask){.kind = a->kind, .args = a->arguments.data, .len = a->arguments.len};
    if (a->kind[0] == '\0' || strlen(a->kind) >= LINK_ASK_KIND_MAX ||
        ret->len > LINK_ASK_ARGS_MAX || !askrow_is_valid(ret->args, ret->len)) {
        return bad(e, "a question without a name, or whose arguments are no row");
    }
    return 0;
}

static int stream_open_in(const Wherry__Link__StreamOpen *s, struct link_message *m, struct err *e)
{
    struct link_stream_open *to = &m->u.stream_open;

    *to = (struct link_stream_open){.stream = s->stream, .credit = s->credit};
    if (s->stream == 0 || s->credit > LINK_CREDIT_MAX) {
        return bad(e, "a stream without a number, or with too much credit");
    }
    if (s->what_case == WHERRY__LINK__STREAM_OPEN__WHAT_LOGS) {
        return logs_in(s->logs, &to->logs, e);
    }
    if (s->what_case == WHERRY__LINK__STREAM_OPEN__WHAT_ASK) {
        return ask_in(s->ask, &to->ask, e);
    }
    return bad(e, "a stream of nothing that is known");
}

static int stream_data_in(const Wherry__Link__StreamData *s, struct link_message *m, struct err *e)
{
    struct link_line *lines = codec_link_array(m, s->n_lines, sizeof(*lines));

    for (size_t i = 0; i < s->n_lines; i++) {
        const Wherry__Link__LogLine *line = s->lines[i];

        if (line->source != 1 && line->source != 2) {
            return bad(e, "a line is neither of stdout nor of stderr");
        }
        lines[i] = (struct link_line){.unix_ns = line->time_unix_ns,
                                      .is_stderr = line->source == 2,
                                      .partial = line->partial,
                                      .text = line->text.data,
                                      .len = line->text.len};
    }
    m->u.stream_data =
        (struct link_stream_data){.stream = s->stream, .lines = lines, .n = (unsigned)s->n_lines};
    return 0;
}

static int volume_forget_in(const Wherry__Link__VolumeForget *v, struct link_message *m)
{
    m->u.volume_forget = (struct link_volume_forget){.request = v->request, .name = v->name};
    return 0;
}

/* ---- all ---- */

int codec_link_in(const codec_link_envelope *env, struct link_message *m, struct err *e)
{
    switch (m->kind) {
    case LINK_HELLO:
        return hello_in(env->hello, m, e);
    case LINK_WELCOME:
        return welcome_in(env->welcome, m, e);
    case LINK_REFUSE:
        return refuse_in(env->refuse, m);
    case LINK_SET_BEGIN:
        return set_begin_in(env->set_begin, m);
    case LINK_SET_CHUNK:
        return changed_in(env->set_chunk->revisions, env->set_chunk->n_revisions,
                          env->set_chunk->placements, env->set_chunk->n_placements, m,
                          &m->u.set_chunk, e);
    case LINK_SET_END:
        m->u.set_end.assigned = codec_link_sum_in(env->set_end->assigned);
        return env->set_end->assigned != NULL ? 0 : bad(e, "it has no sum");
    case LINK_ASSIGN:
        return assign_in(env->assign, m, e);
    case LINK_ROUTES:
        return routes_in(env->routes, m, e);
    case LINK_ACK:
        return ack_in(env->ack, m);
    case LINK_REPORT:
        return report_in(env->report, m, e);
    case LINK_HEARTBEAT:
        return heartbeat_in(env->heartbeat, m);
    case LINK_HEARTBEAT_ACK:
        return heartbeat_ack_in(env->heartbeat_ack, m, e);
    case LINK_STREAM_OPEN:
        return stream_open_in(env->stream_open, m, e);
    case LINK_STREAM_DATA:
        return stream_data_in(env->stream_data, m, e);
    case LINK_STREAM_CREDIT:
        m->u.stream_credit = (struct link_stream_credit){.stream = env->stream_credit->stream,
                                                         .bytes = env->stream_credit->bytes};
        return 0;
    case LINK_STREAM_END:
        m->u.stream_end = (struct link_stream_end){.stream = env->stream_end->stream,
                                                   .error = env->stream_end->error};
        return 0;
    case LINK_FACTS:
        return facts_in(env->facts, m, &m->u.facts, e);
    case LINK_VOLUME_FORGET:
        return volume_forget_in(env->volume_forget, m);
    case LINK_VOLUME_FORGOTTEN:
        m->u.volume_forgotten = (struct link_volume_forgotten){
            .request = env->volume_forgotten->request, .error = env->volume_forgotten->error};
        return 0;
    case LINK_SERVICES:
        return codec_link_services_in(env->services, m, e);
    case LINK_KIND_N:
        break;
    }
    return bad(e, "unknown");
}
