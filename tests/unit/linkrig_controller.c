// SPDX-License-Identifier: Apache-2.0
/* The controller's end: sessions, a fleet, and a store that is a counter. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "linkrig.h"

const struct id128 linkrig_cluster = {.hi = 0xc1, .lo = 0x57e2};

uv_loop_t linkrig_loop;
struct linkrig_controller linkrig_ctl;
uint8_t linkrig_document[64];
size_t linkrig_document_len;
uint8_t linkrig_revision[FLEET_DIGEST];

static uint64_t unix_ms(void)
{
    return (uint64_t)time(NULL) * 1000;
}

static void act(const struct fleet_action *a)
{
    switch (a->type) {
    case FLEET_WELCOME:
        uv_sessions_welcome(linkrig_ctl.sessions, a->node_id, a->report_all);
        uv_sessions_routes(linkrig_ctl.sessions);
        break;
    case FLEET_REFUSE:
        uv_sessions_refuse(linkrig_ctl.sessions, a->node_id,
                           a->refusal == FLEET_REFUSE_STALE ? LINK_REFUSE_STALE : LINK_REFUSE_NAME,
                           a->text);
        break;
    case FLEET_SEND:
        uv_sessions_send(linkrig_ctl.sessions, a->node_id, a->revision, a->whole);
        break;
    case FLEET_RAISE_EPOCH:
        linkrig_ctl.raised++;
        break;
    case FLEET_PUT_STACK:
    case FLEET_DEL_STACK:
    case FLEET_PUT_NODE:
    case FLEET_PUT_BLOCK:
    case FLEET_PUT_VIPS:
    case FLEET_SERVICE:
    case FLEET_PUT_VOLUME:
    case FLEET_DEL_VOLUME:
    case FLEET_REPLY:
    case FLEET_EVENT:
        break;
    }
}

void linkrig_persist(void)
{
    struct fleet_actions held = linkrig_ctl.held;

    linkrig_ctl.held = (struct fleet_actions){0};
    if (linkrig_ctl.put > fleet_durable(linkrig_ctl.fleet)) {
        linkrig_feed((struct fleet_event){.type = FLEET_PERSISTED, .u.revision = linkrig_ctl.put});
    }
    for (unsigned i = 0; i < held.n; i++) {
        act(&held.list[i]);
    }
    fleet_actions_finish(&held);
}

void linkrig_feed(struct fleet_event event)
{
    struct fleet_actions now = linkrig_ctl.held;

    event.now_ms = uv_hrtime() / 1000000;
    event.unix_ms = unix_ms();
    fleet_step(linkrig_ctl.fleet, &event, &now);
    linkrig_ctl.held = now;
    linkrig_ctl.put = fleet_revision(linkrig_ctl.fleet);
    if (!linkrig_ctl.slow_store) {
        linkrig_persist();
    }
}

static void on_hello(void *arg, struct id128 id, const char *name, struct fleet_position position,
                     struct id128 assigned, struct id128 observed, const struct fleet_facts *facts)
{
    struct fleet_event e = {.type = FLEET_NODE_HELLO};

    (void)arg;
    linkrig_ctl.hellos++;
    e.u.hello.node_id = id;
    e.u.hello.name = name;
    e.u.hello.position = position;
    e.u.hello.assigned_sum = assigned;
    e.u.hello.observed_sum = observed;
    e.u.hello.facts = *facts;
    linkrig_feed(e);
}

static void on_gone(void *arg, struct id128 id, const char *reason)
{
    (void)arg;
    linkrig_ctl.gones++;
    (void)snprintf(linkrig_ctl.gone_why, sizeof(linkrig_ctl.gone_why), "%s", reason);
    linkrig_feed((struct fleet_event){.type = FLEET_NODE_GONE, .u.node_id = id});
}

static void on_heartbeat(void *arg, struct id128 id, uint64_t memory, uint64_t lag)
{
    (void)arg;
    (void)memory;
    (void)lag;
    linkrig_ctl.beats++;
    linkrig_feed((struct fleet_event){.type = FLEET_HEARTBEAT, .u.node_id = id});
}

static void on_facts(void *arg, struct id128 id, const struct fleet_facts *facts)
{
    struct fleet_event e = {.type = FLEET_FACTS};

    (void)arg;
    e.u.facts.node_id = id;
    e.u.facts.facts = *facts;
    linkrig_feed(e);
}

static void on_observed(void *arg, struct id128 id, const struct fleet_observation *list,
                        unsigned n, const uint64_t *gone, unsigned n_gone, bool all_begin,
                        bool all_end)
{
    struct fleet_event e = {.type = FLEET_OBSERVED};

    (void)arg;
    e.u.observed.node_id = id;
    e.u.observed.list = list;
    e.u.observed.n = n;
    e.u.observed.gone = gone;
    e.u.observed.n_gone = n_gone;
    e.u.observed.all_begin = all_begin;
    e.u.observed.all_end = all_end;
    linkrig_feed(e);
}

static void on_ack(void *arg, struct id128 id, struct fleet_position position, struct id128 sum)
{
    struct fleet_event e = {.type = FLEET_ACK};

    (void)arg;
    linkrig_ctl.acks++;
    e.u.ack.node_id = id;
    e.u.ack.position = position;
    e.u.ack.assigned_sum = sum;
    linkrig_feed(e);
}

static void on_forgotten(void *arg, struct id128 id, uint64_t request, const char *error)
{
    (void)arg;
    (void)id;
    ck_assert_uint_eq(request, 77);
    linkrig_ctl.forgotten++;
    (void)snprintf(linkrig_ctl.forget_error, sizeof(linkrig_ctl.forget_error), "%s", error);
}

static void on_lines(void *arg, uint64_t stream, const struct uv_session_line *lines, unsigned n)
{
    (void)arg;
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(linkrig_ctl.line, sizeof(linkrig_ctl.line), "%.*s", (int)lines[i].len,
                       (const char *)lines[i].text);
        linkrig_ctl.lines++;
    }
    if (linkrig_ctl.credit_back == stream) {
        uv_sessions_stream_credit(linkrig_ctl.sessions, stream, 4096);
    }
}

static void on_log_end(void *arg, uint64_t stream, const char *error)
{
    (void)arg;
    (void)stream;
    linkrig_ctl.log_ends++;
    (void)snprintf(linkrig_ctl.log_error, sizeof(linkrig_ctl.log_error), "%s", error);
}

const struct fleet *linkrig_the_fleet(void *arg)
{
    (void)arg;
    return linkrig_ctl.fleet;
}

const struct svctable *linkrig_the_services(void *arg, bool *ret_complete)
{
    (void)arg;
    *ret_complete = linkrig_ctl.services_complete;
    return linkrig_ctl.services;
}

const void *linkrig_the_revision(void *arg, const uint8_t digest[FLEET_DIGEST], size_t *ret_len)
{
    (void)arg;
    if (memcmp(digest, linkrig_revision, FLEET_DIGEST) != 0) {
        return NULL;
    }
    *ret_len = linkrig_document_len;
    return linkrig_document;
}

int linkrig_open_logs(struct id128 node, const struct link_logs *logs, uint32_t credit,
                      uint64_t *ret_stream)
{
    struct link_stream_open what = {.credit = credit, .logs = *logs};

    return uv_sessions_stream_open(linkrig_ctl.sessions, node, &what, ret_stream, NULL);
}

int linkrig_open_ask(struct id128 node, const char *kind, uint32_t credit, uint64_t *ret_stream)
{
    struct link_stream_open what = {.credit = credit, .ask = {.kind = kind}};

    return uv_sessions_stream_open(linkrig_ctl.sessions, node, &what, ret_stream, NULL);
}

const struct uv_sessions_events linkrig_events = {
    .hello = on_hello,
    .gone = on_gone,
    .heartbeat = on_heartbeat,
    .facts = on_facts,
    .observed = on_observed,
    .ack = on_ack,
    .volume_forgotten = on_forgotten,
    .stream_lines = on_lines,
    .stream_end = on_log_end,
};

/* A fleet as after a start with an empty store. */
void linkrig_fleet_new(uint64_t epoch)
{
    struct fleet_event e = {.type = FLEET_LOAD_CLUSTER};

    fleet_destroy(linkrig_ctl.fleet);
    fleet_actions_finish(&linkrig_ctl.held);
    linkrig_ctl.fleet = fleet_create();
    linkrig_ctl.epoch = epoch;
    e.u.cluster.epoch = epoch;
    e.u.cluster.blocks_max = 64;
    linkrig_feed(e);
    linkrig_feed((struct fleet_event){.type = FLEET_LOAD_DONE});
}

void linkrig_apply(unsigned replicas)
{
    struct fleet_want want = {
        .image = LINKRIG_IMAGE, .mode = FLEET_REPLICATED, .replicas = replicas};
    struct fleet_event e = {.type = FLEET_APPLY};

    (void)snprintf(want.service, sizeof(want.service), "web");
    memcpy(want.revision, linkrig_revision, sizeof(want.revision));
    want.digest[0] = (uint8_t)replicas;
    e.u.apply.request = 1;
    e.u.apply.stack.name = "shop";
    e.u.apply.stack.digest[0] = (uint8_t)replicas;
    e.u.apply.stack.wants = &want;
    e.u.apply.stack.n_wants = 1;
    linkrig_feed(e);
}

unsigned linkrig_running(void)
{
    struct fleet_counts counts = {0};
    int stack = fleet_stack_find(linkrig_ctl.fleet, "shop");

    if (stack >= 0 && fleet_service_find(linkrig_ctl.fleet, (unsigned)stack, "web") >= 0) {
        fleet_service_counts(linkrig_ctl.fleet, (unsigned)stack, 0, &counts);
    }
    return counts.running;
}

struct id128 linkrig_sum_of(uint64_t node)
{
    struct fleet_node_view view;
    int at = fleet_node_find(linkrig_ctl.fleet, (struct id128){.lo = node});

    ck_assert_int_ge(at, 0);
    ck_assert(fleet_node_at(linkrig_ctl.fleet, (unsigned)at, &view));
    return view.assigned_sum;
}
