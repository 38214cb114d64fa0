// SPDX-License-Identifier: Apache-2.0
/* The agent's end of the link: dials, greets, obeys. Whatever ends a session, containers go on and
 * the controller is dialled again: within a second after a session that was welcome, else with
 * full jitter up to half a minute. One timer serves all deadlines. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "agent/uv_agent_link_priv.h"
#include "common/cleanup.h"
#include "common/log.h"

#define FIRST_MS   1000u
#define JITTER_MIN 2000u
#define JITTER_MAX 30000u
#define NODE_MS    10u /* of jitter for each node: a hundred dial in a second */
#define GREET_MS   15000u /* from the dial to the welcome */
#define PATIENCE   3u     /* timeouts without a word, and at least … */
#define SILENT_MIN 12000u

/* ---- time ---- */

static uint64_t random_below(uint64_t limit)
{
    uint64_t value = 0;

    if (getrandom(&value, sizeof(value), GRND_NONBLOCK) < 0) {
        value = uv_hrtime(); /* too early after the boot: spread is all that matters here */
    }
    return value % limit;
}

static uint64_t jitter(const struct uv_agent_link *l)
{
    uint64_t limit = FIRST_MS;
    uint64_t most = (uint64_t)NODE_MS * l->n_nodes;

    most = most < JITTER_MIN ? JITTER_MIN : most > JITTER_MAX ? JITTER_MAX : most;
    for (unsigned i = 1; i < l->failures && limit < most; i++) {
        limit *= 2;
    }
    return random_below(limit < most ? limit : most);
}

static uint64_t silent_ms(const struct uv_agent_link *l)
{
    uint64_t ms = (uint64_t)PATIENCE * l->timeout_ms;

    if (l->doubt) {
        ms += l->heartbeat_ms;
    }
    return ms > SILENT_MIN ? ms : SILENT_MIN;
}

static uint64_t min64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* A report waits for the wire too; on_writable goes on. If it were due before that, the timer would
 * run again and again without a poll in between, and the wire would never be. */
static uint64_t report_due(const struct uv_agent_link *l)
{
    bool some = l->n_dirty > 0 || l->n_gone > 0;

    return some && uv_wire_is_writable(&l->wire) ? l->report_ms : UINT64_MAX;
}

static uint64_t due(const struct uv_agent_link *l)
{
    uint64_t at = min64(l->dial_ms, l->greet_ms);

    if (l->state == LINK_STATE_READY) {
        at = min64(at, min64(l->beat_ms, l->heard_ms + silent_ms(l)));
        at = min64(at, report_due(l));
        at = min64(at, l->logs_ms);
    }
    return at;
}

static void on_timer(uv_timer_t *timer);

void uv_agent_link_arm(struct uv_agent_link *l)
{
    uint64_t at = due(l);
    uint64_t now = uv_now(l->agent->loop);

    if (l->closing) {
        return;
    }
    if (at == UINT64_MAX) {
        (void)uv_timer_stop(&l->timer);
        return;
    }
    /* Never 0: libuv 1.44 calls a timer that arms itself anew for now without end. */
    (void)uv_timer_start(&l->timer, on_timer, at > now ? at - now : 1, 0);
}

/* ---- ends ---- */

/* The same reason is a line once, not at every attempt. */
static void say(struct uv_agent_link *l)
{
    if (strcmp(l->reason, l->told) != 0) {
        log_warn("controller %s: %s; what runs goes on", l->agent->options.controller, l->reason);
        memcpy(l->told, l->reason, sizeof(l->told));
    }
}

void uv_agent_link_end(struct uv_agent_link *l, enum link_refusal code, const char *fmt, ...)
{
    struct link_message m = {.kind = LINK_REFUSE};
    auto_buf struct buf bytes = {0};
    va_list ap;

    if (l->state == LINK_STATE_ENDING) {
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(l->reason, sizeof(l->reason), fmt, ap);
    va_end(ap);
    l->state = LINK_STATE_ENDING;
    m.u.refuse = (struct link_refuse){.code = code, .reason = l->reason};
    codec_link_encode(&m, &bytes);
    uv_wire_end(&l->wire, bytes.data, bytes.len);
}

static void free_link(struct uv_agent_link *l)
{
    struct uv_agent *a = l->agent;

    uv_agent_link_pending_drop(l);
    free(l->dirty);
    free(l->gone);
    free(l->answers);
    free(l);
    a->link = NULL;
    uv_agent_release(a);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free_link(container_of((uv_timer_t *)handle, struct uv_agent_link, timer));
}

static void close_timer(struct uv_agent_link *l)
{
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}

static void on_wire_closed(struct uv_wire *wire)
{
    struct uv_agent_link *l = container_of(wire, struct uv_agent_link, wire);

    l->wire_open = false;
    l->state = LINK_STATE_AWAY;
    if (l->closing) {
        close_timer(l);
        return;
    }
    l->dial_ms = uv_now(l->agent->loop) + jitter(l);
    uv_agent_link_arm(l);
}

/* What belongs to one session. What is in the journal's hands goes on. */
static void drop_session(struct uv_agent_link *l)
{
    uv_agent_link_stage_drop(l);
    uv_agent_net_services_drop(l->agent);
    uv_agent_link_streams_drop_all(l);
    l->n_answers = 0;
    l->n_dirty = l->n_gone = 0; /* the next session compares sums */
    l->hello_due = l->beat_due = l->facts_due = l->ack_due = false;
    l->all = l->doubt = false;
    l->greet_ms = l->beat_ms = l->logs_ms = UINT64_MAX;
}

static void on_ended(struct uv_wire *wire, const struct err *why)
{
    struct uv_agent_link *l = container_of(wire, struct uv_agent_link, wire);

    if (l->reason[0] == '\0') {
        (void)snprintf(l->reason, sizeof(l->reason), "%s",
                       why->code != 0 ? why->text : "it has closed the connection");
    }
    say(l);
    l->failures++;
    l->state = LINK_STATE_ENDING;
    drop_session(l);
    uv_wire_close(&l->wire, on_wire_closed);
}

/* ---- frames ---- */

static void welcome(struct uv_agent_link *l, const struct link_message *m)
{
    const struct link_welcome *w = &m->u.welcome;

    uv_agent_link_welcome(l, w);
    if (l->state != LINK_STATE_READY) {
        return;
    }
    log_info("controller %s: welcome to cluster %s, block %s%s", l->agent->options.controller,
             l->agent->ledger.cluster_id, w->node_block,
             w->report_all ? ", everything is reported" : "");
    l->told[0] = '\0';
    l->failures = 0;
    l->heartbeat_ms = w->heartbeat_ms;
    l->timeout_ms = w->timeout_ms;
    l->greet_ms = UINT64_MAX;
    l->heard_ms = uv_now(l->agent->loop);
    l->beat_ms = l->heard_ms;
    l->all = w->report_all;
    l->all_begun = false;
    l->all_at = 0;
    uv_wire_limit(&l->wire, FRAME_MAX);
}

static void refuse(struct uv_agent_link *l, const struct link_message *m)
{
    (void)snprintf(l->reason, sizeof(l->reason), "it ends the session: %s: %.400s",
                   codec_link_refusal_name(m->u.refuse.code), m->u.refuse.reason);
    if (m->u.refuse.code == LINK_REFUSE_BUSY || m->u.refuse.code == LINK_REFUSE_STALE) {
        return; /* it loads its state, or raises its epoch, and is there again soon */
    }
    l->failures = l->failures < 4 ? 4 : l->failures; /* to ask again at once would change nothing */
}

static void routes(struct uv_agent_link *l, const struct link_message *m)
{
    const struct link_routes *r = &m->u.routes;
    auto_free struct uv_agent_route *list = xcalloc(r->n + 1, sizeof(*list));

    for (unsigned i = 0; i < r->n; i++) {
        struct uv_agent_route *to = &list[i];

        id128_to_hex(r->routes[i].node_id, to->node_id);
        (void)snprintf(to->name, sizeof(to->name), "%s", r->routes[i].name);
        (void)snprintf(to->underlay, sizeof(to->underlay), "%s", r->routes[i].underlay);
        (void)snprintf(to->block, sizeof(to->block), "%s", r->routes[i].block);
        memcpy(to->key, r->routes[i].wireguard_key, sizeof(to->key));
    }
    l->n_nodes = r->n;
    uv_agent_net_routes(l->agent, list, r->n);
}

static void heartbeat_ack(struct uv_agent_link *l, const struct link_message *m)
{
    l->heartbeat_ms = m->u.heartbeat_ack.heartbeat_ms;
    l->timeout_ms = m->u.heartbeat_ack.timeout_ms;
}

static void volume_forget(struct uv_agent_link *l, const struct link_message *m)
{
    char error[LINK_REASON_MAX];

    uv_agent_trash_discard(l->agent, m->u.volume_forget.name, error, sizeof(error));
    uv_agent_link_answer(l, m->u.volume_forget.request, error);
}

static void set_begin(struct uv_agent_link *l, const struct link_message *m)
{
    uv_agent_link_set_begin(l, &m->u.set_begin);
}

static void set_end(struct uv_agent_link *l, const struct link_message *m)
{
    uv_agent_link_set_end(l, &m->u.set_end);
}

static void assign(struct uv_agent_link *l, const struct link_message *m)
{
    uv_agent_link_assign(l, &m->u.assign);
}

static void stream_open(struct uv_agent_link *l, const struct link_message *m)
{
    uv_agent_link_streams_open(l, &m->u.stream_open);
}

static void stream_credit(struct uv_agent_link *l, const struct link_message *m)
{
    uv_agent_link_streams_credit(l, m->u.stream_credit.stream, m->u.stream_credit.bytes);
}

static void stream_end(struct uv_agent_link *l, const struct link_message *m)
{
    uv_agent_link_streams_drop(l, m->u.stream_end.stream);
}

/* What a controller says, in the order of the kinds; the others do not pass the codec, and chunks
 * of a set are kept (on_frame). */
static void (*const handlers[LINK_KIND_N])(struct uv_agent_link *l,
                                           const struct link_message *m) = {
    [LINK_WELCOME] = welcome,
    [LINK_REFUSE] = refuse,
    [LINK_SET_BEGIN] = set_begin,
    [LINK_SET_END] = set_end,
    [LINK_ASSIGN] = assign,
    [LINK_ROUTES] = routes,
    [LINK_HEARTBEAT_ACK] = heartbeat_ack,
    [LINK_STREAM_OPEN] = stream_open,
    [LINK_STREAM_CREDIT] = stream_credit,
    [LINK_STREAM_END] = stream_end,
    [LINK_VOLUME_FORGET] = volume_forget,
    [LINK_SERVICES] = uv_agent_link_services,
};

static void take(struct uv_agent_link *l, const uint8_t *bytes, size_t len)
{
    struct link_message m;
    struct err e = {0};
    int rc = codec_link_decode(bytes, len, LINK_CONTROLLER, l->state == LINK_STATE_READY, &m, &e);

    if (rc < 0) {
        uv_agent_link_end(l, LINK_REFUSE_PROTOCOL, "%.400s", e.text);
        return;
    }
    l->heard_ms = uv_now(l->agent->loop);
    l->doubt = false;
    if (m.kind == LINK_SET_CHUNK) {
        uv_agent_link_set_chunk(l, &m, len);
    } else {
        handlers[m.kind](l, &m);
    }
    codec_link_free(&m);
}

static void on_frame(struct uv_wire *wire, const uint8_t *bytes, size_t len)
{
    struct uv_agent_link *l = container_of(wire, struct uv_agent_link, wire);

    take(l, bytes, len);
    uv_agent_link_next(l);
    uv_agent_link_arm(l);
}

static void on_writable(struct uv_wire *wire)
{
    struct uv_agent_link *l = container_of(wire, struct uv_agent_link, wire);

    if (l->state == LINK_STATE_DIALING) {
        l->state = LINK_STATE_GREETING;
        l->hello_due = true;
    }
    uv_agent_link_next(l);
    uv_agent_link_arm(l);
}

static const struct uv_wire_events wire_events = {
    .frame = on_frame, .writable = on_writable, .ended = on_ended};

/* ---- what is due ---- */

static void dial(struct uv_agent_link *l, uint64_t now)
{
    assert(!l->wire_open);
    l->dial_ms = UINT64_MAX;
    l->greet_ms = now + GREET_MS;
    l->state = LINK_STATE_DIALING;
    l->session++;
    l->reason[0] = '\0';
    ledger_prune(&l->agent->ledger); /* a session sends each document once, so not within one */
    l->wire = (struct uv_wire){0};
    uv_wire_init(&l->wire, l->agent->loop, &wire_events, FRAME_MAX_FIRST);
    l->wire_open = true;
    uv_wire_connect(&l->wire, (const struct sockaddr *)&l->address);
}

static void give_up(struct uv_agent_link *l, const char *reason)
{
    struct err e;

    (void)err_say(&e, ETIMEDOUT, "%s", reason);
    on_ended(&l->wire, &e);
}

/* The first time it seems too long, a poll may find what was said while this process stood still.
 */
static void check_silence(struct uv_agent_link *l, uint64_t now)
{
    if (now < l->heard_ms + silent_ms(l)) {
        return;
    }
    if (l->doubt) {
        give_up(l, "nothing was heard for too long");
        return;
    }
    l->doubt = true;
    l->heard_ms = now - silent_ms(l) + l->heartbeat_ms;
}

static void serve(struct uv_agent_link *l, uint64_t now)
{
    if (now >= l->beat_ms) {
        l->beat_due = true;
        l->beat_ms = now + l->heartbeat_ms;
    }
    if (now >= l->logs_ms) {
        l->logs_ms = UINT64_MAX;
        uv_agent_link_streams_wake(l);
    }
    check_silence(l, now);
    uv_agent_link_next(l);
}

static void on_timer(uv_timer_t *timer)
{
    struct uv_agent_link *l = container_of(timer, struct uv_agent_link, timer);
    uint64_t now = uv_now(l->agent->loop);

    if (now >= l->dial_ms) {
        dial(l, now);
    } else if (now >= l->greet_ms) {
        give_up(l, l->state == LINK_STATE_DIALING ? "it cannot be reached" : "it does not answer");
    } else if (l->state == LINK_STATE_READY) {
        serve(l, now);
    }
    uv_agent_link_arm(l);
}

/* ---- for the executor ---- */

int uv_agent_link_create(struct uv_agent *a, struct err *e)
{
    struct sockaddr_storage address;
    struct uv_agent_link *l;
    int rc = uv_wire_parse(a->options.controller, &address, e);

    if (rc < 0) {
        return err_wrap(e, "--controller");
    }
    if (!name_is_valid(a->options.name != NULL ? a->options.name : a->facts.hostname)) {
        return err_say(e, EINVAL, "the node's name \"%.80s\" is not %s: give it one with --name",
                       a->options.name != NULL ? a->options.name : a->facts.hostname, name_rule);
    }
    l = xcalloc(1, sizeof(*l));
    l->agent = a;
    l->address = address;
    l->pending_end = &l->pending;
    drop_session(l);
    (void)uv_timer_init(a->loop, &l->timer);
    l->dial_ms = uv_now(a->loop) + random_below(FIRST_MS);
    a->link = l;
    uv_agent_link_arm(l);
    return 0;
}

static void list_put(uint64_t **list, unsigned *n, unsigned *cap, uint64_t incarnation)
{
    for (unsigned i = 0; i < *n; i++) {
        if ((*list)[i] == incarnation) {
            return;
        }
    }
    if (*n == *cap) {
        *cap = *cap > 0 ? 2 * *cap : 16;
        *list = xrealloc(*list, *cap, sizeof(**list));
    }
    (*list)[(*n)++] = incarnation;
}

/* Sent in the loop's next turn, so that what happens in one turn goes together. */
void uv_agent_link_report(struct uv_agent *a, uint64_t incarnation, bool gone)
{
    struct uv_agent_link *l = a->link;

    if (l->state != LINK_STATE_READY && l->state != LINK_STATE_GREETING) {
        return; /* the next session compares sums */
    }
    if (gone) {
        list_put(&l->gone, &l->n_gone, &l->cap_gone, incarnation);
    } else {
        list_put(&l->dirty, &l->n_dirty, &l->cap_dirty, incarnation);
    }
    uv_agent_link_arm(l);
}

void uv_agent_link_facts(struct uv_agent *a)
{
    a->link->facts_due = true;
    uv_agent_link_next(a->link);
}

void uv_agent_link_close(struct uv_agent *a)
{
    struct uv_agent_link *l = a->link;

    l->closing = true;
    drop_session(l);
    if (l->wire_open) {
        uv_wire_close(&l->wire, on_wire_closed);
    } else {
        close_timer(l);
    }
}
