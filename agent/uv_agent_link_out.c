// SPDX-License-Identifier: Apache-2.0
/* The agent's next frame: whatever is due first, made from the present state of the core. Reports
 * go at once after a quiet time, else one frame per 50 ms; what changed meanwhile is one entry of
 * a list, however often it changed. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/uv_agent_link_priv.h"
#include "common/cleanup.h"
#include "common/log.h"

#define FRAME_ITEMS 512u

void uv_agent_link_write(struct uv_agent_link *l, const struct link_message *m)
{
    auto_buf struct buf bytes = {0};

    codec_link_encode(m, &bytes);
    uv_wire_write(&l->wire, bytes.data, bytes.len);
}

/* ---- facts ---- */

struct facts {
    struct link_facts facts;
    struct link_pair labels[UV_AGENT_LABELS_MAX];
    char label_keys[UV_AGENT_LABELS_MAX][128];
    struct link_image images[LINK_IMAGES_MAX];
    char degraded[LINK_REASON_MAX];
};

static void labels(const struct uv_agent *a, struct facts *f)
{
    for (unsigned i = 0; i < a->options.n_labels; i++) {
        const char *label = a->options.labels[i];
        const char *value = strchr(label, '=');
        size_t len = value != NULL ? (size_t)(value - label) : strlen(label);

        (void)snprintf(f->label_keys[i], sizeof(f->label_keys[i]), "%.*s", (int)len, label);
        f->labels[i] =
            (struct link_pair){.key = f->label_keys[i], .value = value != NULL ? value + 1 : ""};
    }
    f->facts.labels = f->labels;
    f->facts.n_labels = a->options.n_labels;
}

/* One line per name; an image without a name goes by its digest. */
static void images(const struct uv_agent *a, struct facts *f)
{
    unsigned n = 0;

    for (unsigned i = 0; i < images_count(a->images); i++) {
        const struct image *image = images_at(a->images, i);

        for (unsigned k = 0; k < image->n_names && n < LINK_IMAGES_MAX; k++) {
            f->images[n++] = (struct link_image){.name = image->names[k], .digest = image->digest};
        }
        if (image->n_names == 0 && n < LINK_IMAGES_MAX) {
            f->images[n++] = (struct link_image){.name = image->digest, .digest = image->digest};
        }
    }
    f->facts.images = f->images;
    f->facts.n_images = n;
}

static void degraded(const struct uv_agent *a, struct facts *f)
{
    const char *engine = uv_engine_degraded(a->engine);
    const char *net = uv_agent_net_degraded(a);

    (void)snprintf(f->degraded, sizeof(f->degraded), "%s%s%s", engine,
                   engine[0] != '\0' && net[0] != '\0' ? "; " : "", net);
}

static void facts_of(const struct uv_agent *a, struct facts *f)
{
    degraded(a, f);
    f->facts = (struct link_facts){
        .name = a->options.name != NULL ? a->options.name : a->facts.hostname,
        .os = "linux",
        .arch = a->facts.arch,
        .kernel = a->facts.kernel,
        .version = WHERRY_VERSION,
        .underlay = a->options.address,
        .cgroup = uv_engine_cgroup(a->engine),
        .degraded = f->degraded,
        .cpu_millis = a->facts.cpu_millis,
        .memory_bytes = a->facts.memory_bytes,
        .pids = a->facts.pids,
        .volumes_bytes_free = volumes_bytes_free(&a->volumes),
        .bandwidth_bits = a->options.bandwidth_bits,
    };
    static_assert(LINK_KEY == UV_AGENT_KEY, "one kind of key");
    uv_agent_net_key(a, f->facts.wireguard_key);
    labels(a, f);
    images(a, f);
}

static void facts(struct uv_agent_link *l)
{
    struct link_message m = {.kind = LINK_FACTS};
    auto_free struct facts *f = xcalloc(1, sizeof(*f));

    facts_of(l->agent, f);
    m.u.facts = f->facts;
    l->facts_due = false;
    uv_agent_link_write(l, &m);
}

/* ---- greeting and heartbeat ---- */

static struct id128 id_of(const char *hex)
{
    struct id128 id = {0};

    (void)id128_from_hex(hex, &id); /* "" stays zero */
    return id;
}

static void hello(struct uv_agent_link *l)
{
    const struct uv_agent *a = l->agent;
    struct link_message m = {.kind = LINK_HELLO};
    auto_free struct facts *f = xcalloc(1, sizeof(*f));

    facts_of(a, f);
    m.u.hello = (struct link_hello){
        .version = LINK_VERSION,
        .features = LINK_FEATURE_ASK | LINK_FEATURE_SERVICES | LINK_FEATURE_PATCHES,
        .cluster_id = id_of(a->ledger.cluster_id),
        .node_id = id_of(a->ledger.node_id),
        .boot_id = a->dirs.boot_id,
        .position = {.epoch = a->ledger.epoch, .revision = a->ledger.revision},
        .assigned = uv_agent_link_assigned(a),
        .observed = uv_agent_link_observed(a),
        .facts = f->facts,
        .services = uv_agent_net_services_sum(a),
    };
    l->hello_due = l->facts_due = false;
    uv_agent_link_write(l, &m);
}

static void beat(struct uv_agent_link *l)
{
    struct link_message m = {.kind = LINK_HEARTBEAT};

    m.u.heartbeat = (struct link_heartbeat){.seq = ++l->beat_seq,
                                            .sent_boottime_ms = uv_agent_now_ms(),
                                            .memory_used_bytes = nodefacts_memory_used(),
                                            .loop_lag_us_max = l->agent->lag_us_max};
    l->agent->lag_us_max = 0;
    l->beat_due = false;
    uv_agent_link_write(l, &m);
}

static void ack(struct uv_agent_link *l)
{
    struct link_message m = {.kind = LINK_ACK};

    m.u.ack = (struct link_ack){.position = l->ack_position, .assigned = l->ack_sum};
    l->ack_due = false;
    uv_agent_link_write(l, &m);
}

/* ---- answers ---- */

void uv_agent_link_answer(struct uv_agent_link *l, uint64_t request, const char *error)
{
    struct link_answer *answer;

    if (l->n_answers == UV_AGENT_LINK_ANSWERS_MAX) {
        uv_agent_link_end(l, LINK_REFUSE_PROTOCOL, "more than %u requests at once",
                          UV_AGENT_LINK_ANSWERS_MAX);
        return;
    }
    if (l->answers == NULL) {
        l->answers = xcalloc(UV_AGENT_LINK_ANSWERS_MAX, sizeof(*l->answers));
    }
    answer = &l->answers[l->n_answers++];
    answer->request = request;
    (void)snprintf(answer->error, sizeof(answer->error), "%s", error);
    uv_agent_link_next(l);
}

static void answer(struct uv_agent_link *l)
{
    struct link_answer *last = &l->answers[l->n_answers - 1];
    struct link_message m = {.kind = LINK_VOLUME_FORGOTTEN};

    m.u.volume_forgotten =
        (struct link_volume_forgotten){.request = last->request, .error = last->error};
    l->n_answers--;
    uv_agent_link_write(l, &m);
}

/* ---- reports ---- */

struct fill {
    struct link_observation list[FRAME_ITEMS];
    uint64_t gone[FRAME_ITEMS];
    char *texts[FRAME_ITEMS]; /* what `controls` of the observations borrow */
    unsigned n, n_gone, n_texts;
    size_t size;
};

static void fill_free(struct fill *fill)
{
    for (unsigned i = 0; i < fill->n_texts; i++) {
        free(fill->texts[i]);
    }
    free(fill);
}

/* The controls of a run as its engine applied them: once per run and session, because they do not
 * change. NULL: told, or not to be told yet. The caller frees it. */
static char *controls_of(const struct uv_agent_link *l, const struct node_container *c,
                         struct attempt **ret_attempt)
{
    struct node_of of = {.incarnation = c->want.incarnation, .run = c->run};
    struct attempt *at = uv_agent_attempt(l->agent, of);
    struct buf text = {0};

    if (at == NULL || at->run == NULL || c->phase != NODE_PHASE_RUNNING ||
        at->controls_told == l->session) {
        return NULL;
    }
    uv_engine_controls(at->run, &text);
    if (text.len > 0 && text.data[text.len - 1] == '\n') {
        text.data[--text.len] = '\0';
    }
    *ret_attempt = at;
    return buf_take(&text);
}

static void identify(struct uv_agent *a, const struct node_container *c, struct link_observation *o)
{
    const struct unit *unit = uv_agent_unit(a, c->want.incarnation);

    if (unit == NULL) {
        return;
    }
    o->stack = unit->stack;
    o->service = unit->service;
    o->slot = unit->slot;
    o->revision = unit->order != NULL || unit->damage != NULL ? unit->revision : NULL;
    o->image_digest = unit->image_digest;
    for (const struct attempt *at = unit->attempts; at != NULL; at = at->next) {
        if (at->of.run == c->run) {
            o->address = at->address;
            o->image_digest = at->pinned[0] != '\0' ? at->pinned : o->image_digest;
        }
    }
}

static struct link_observation observation_of(struct uv_agent *a, const struct node_container *c)
{
    struct link_observation o = {
        .incarnation = c->want.incarnation,
        .run = c->run,
        .seq = c->seq,
        .phase = (uint32_t)c->phase,
        .health = (uint32_t)c->health,
        .restarts = c->run > 0 ? c->run - 1 : 0,
        .pid = c->pid,
        .started_unix_ms = c->started_unix_ms,
        .retry_unix_ms = c->retry_unix_ms,
        .reason = c->reason,
    };

    if (c->ended) {
        o.exit_known = c->exit.known;
        o.oom_killed = c->exit.oom;
        o.exit_code = c->exit.code;
        o.exit_signal = c->exit.signal;
        o.ended_unix_ms = c->ended_unix_ms;
    }
    identify(a, c, &o);
    return o;
}

/* False: the frame is full. */
static bool fill_one(struct uv_agent_link *l, struct fill *fill, const struct node_container *c)
{
    struct link_observation o;
    struct attempt *told = NULL;
    auto_free char *controls = NULL;
    size_t size;

    if (c == NULL || c->phase == 0) {
        return true; /* gone meanwhile, which is said elsewhere; or nothing is known of it yet */
    }
    o = observation_of(l->agent, c);
    o.controls = controls = controls_of(l, c, &told);
    size = codec_link_size_observation(&o);
    if (fill->n == FRAME_ITEMS || (fill->n > 0 && fill->size + size > LINK_FRAME_AIM)) {
        return false;
    }
    if (controls != NULL) {
        told->controls_told = l->session;
        fill->texts[fill->n_texts++] = take_ptr(controls);
    }
    fill->list[fill->n++] = o;
    fill->size += size;
    return true;
}

/* The first container behind `incarnation`. */
static unsigned place_after(const struct node *node, uint64_t incarnation)
{
    unsigned low = 0, high = node_count(node);

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (node_at(node, mid)->want.incarnation <= incarnation) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* Returns whether these were the last. */
static bool fill_all(struct uv_agent_link *l, struct fill *fill)
{
    const struct node *node = l->agent->node;
    unsigned i = place_after(node, l->all_at);

    for (; i < node_count(node); i++) {
        const struct node_container *c = node_at(node, i);

        if (!fill_one(l, fill, c)) {
            return false;
        }
        l->all_at = c->want.incarnation;
    }
    return true;
}

static void report_all(struct uv_agent_link *l)
{
    struct link_message m = {.kind = LINK_REPORT};
    struct fill *fill = xcalloc(1, sizeof(*fill));

    m.u.report.all_begin = !l->all_begun;
    m.u.report.all_end = fill_all(l, fill);
    m.u.report.list = fill->list;
    m.u.report.n = fill->n;
    m.u.report.has_sum = m.u.report.all_end;
    m.u.report.observed = uv_agent_link_observed(l->agent);
    l->all_begun = true;
    l->all = !m.u.report.all_end;
    uv_agent_link_write(l, &m);
    fill_free(fill);
}

static unsigned fill_dirty(struct uv_agent_link *l, struct fill *fill)
{
    unsigned i = 0;

    while (i < l->n_dirty && fill_one(l, fill, node_find(l->agent->node, l->dirty[i]))) {
        i++;
    }
    return i;
}

static void drop_front(uint64_t *list, unsigned *n, unsigned front)
{
    *n -= front;
    if (*n > 0) {
        memmove(list, list + front, *n * sizeof(*list));
    }
}

static void report_some(struct uv_agent_link *l)
{
    struct link_message m = {.kind = LINK_REPORT};
    struct fill *fill = xcalloc(1, sizeof(*fill));

    fill->n_gone = l->n_gone < FRAME_ITEMS ? l->n_gone : FRAME_ITEMS;
    if (fill->n_gone > 0) {
        memcpy(fill->gone, l->gone, fill->n_gone * sizeof(*fill->gone));
        drop_front(l->gone, &l->n_gone, fill->n_gone);
        fill->size = fill->n_gone * 10;
    }
    drop_front(l->dirty, &l->n_dirty, fill_dirty(l, fill));
    m.u.report.list = fill->list;
    m.u.report.n = fill->n;
    m.u.report.gone = fill->gone;
    m.u.report.n_gone = fill->n_gone;
    m.u.report.has_sum = l->n_dirty == 0 && l->n_gone == 0;
    m.u.report.observed = uv_agent_link_observed(l->agent);
    l->report_ms = uv_now(l->agent->loop) + UV_AGENT_LINK_REPORT_MS;
    uv_agent_link_write(l, &m);
    fill_free(fill);
}

/* ---- all ---- */

static bool some_to_report(const struct uv_agent_link *l)
{
    return (l->n_dirty > 0 || l->n_gone > 0) && uv_now(l->agent->loop) >= l->report_ms;
}

void uv_agent_link_next(struct uv_agent_link *l)
{
    if (!l->wire_open || !uv_wire_is_writable(&l->wire)) {
        return;
    }
    if (l->hello_due) {
        hello(l);
        return;
    }
    if (l->state != LINK_STATE_READY) {
        return;
    }
    if (l->beat_due) {
        beat(l);
    } else if (l->ack_due) {
        ack(l);
    } else if (l->all) {
        report_all(l);
    } else if (some_to_report(l)) {
        report_some(l);
    } else if (l->n_answers > 0) {
        answer(l);
    } else if (l->facts_due) {
        facts(l);
    } else {
        (void)uv_agent_link_streams_next(l);
    }
}
