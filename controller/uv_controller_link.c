// SPDX-License-Identifier: Apache-2.0
/* Between the sessions, the API and the fleet: each callback makes one event, or passes on. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "controller/uv_controller_priv.h"

static void routes_changed(struct uv_controller *c)
{
    c->routes_dirty = c->fleet != NULL;
    c->routes_revision = c->fleet != NULL ? fleet_revision(c->fleet) : 0;
}

/* ---- from the agents ---- */

static void on_hello(void *arg, struct id128 node_id, const char *name,
                     struct fleet_position position, struct id128 assigned_sum,
                     struct id128 observed_sum, const struct fleet_facts *facts)
{
    struct fleet_event event = {.type = FLEET_NODE_HELLO};

    event.u.hello.node_id = node_id;
    event.u.hello.name = name;
    event.u.hello.position = position;
    event.u.hello.assigned_sum = assigned_sum;
    event.u.hello.observed_sum = observed_sum;
    event.u.hello.facts = *facts;
    uv_controller_feed(arg, &event);
    routes_changed(arg);
}

static void on_gone(void *arg, struct id128 node_id, const char *reason)
{
    struct fleet_event event = {.type = FLEET_NODE_GONE};
    char hex[ID128_HEX + 1];

    id128_to_hex(node_id, hex);
    log_info("the session with node %s is over: %s", hex, reason);
    event.u.node_id = node_id;
    uv_controller_feed(arg, &event);
}

static void on_heartbeat(void *arg, struct id128 node_id, uint64_t memory_used_bytes,
                         uint64_t loop_lag_us_max)
{
    struct fleet_event event = {.type = FLEET_HEARTBEAT};

    (void)memory_used_bytes;
    (void)loop_lag_us_max;
    event.u.node_id = node_id;
    uv_controller_feed(arg, &event);
}

static void on_facts(void *arg, struct id128 node_id, const struct fleet_facts *facts)
{
    struct fleet_event event = {.type = FLEET_FACTS};

    event.u.facts.node_id = node_id;
    event.u.facts.facts = *facts;
    uv_controller_feed(arg, &event);
    routes_changed(arg);
}

static void on_observed(void *arg, struct id128 node_id, const struct fleet_observation *list,
                        unsigned n, const uint64_t *gone, unsigned n_gone, bool all_begin,
                        bool all_end)
{
    struct fleet_event event = {.type = FLEET_OBSERVED};

    event.u.observed.node_id = node_id;
    event.u.observed.list = list;
    event.u.observed.n = n;
    event.u.observed.gone = gone;
    event.u.observed.n_gone = n_gone;
    event.u.observed.all_begin = all_begin;
    event.u.observed.all_end = all_end;
    uv_controller_feed(arg, &event);
}

static void on_ack(void *arg, struct id128 node_id, struct fleet_position position,
                   struct id128 assigned_sum)
{
    struct fleet_event event = {.type = FLEET_ACK};

    event.u.ack.node_id = node_id;
    event.u.ack.position = position;
    event.u.ack.assigned_sum = assigned_sum;
    uv_controller_feed(arg, &event);
}

static void on_volume_forgotten(void *arg, struct id128 node_id, uint64_t request,
                                const char *error)
{
    char hex[ID128_HEX + 1];

    (void)arg;
    (void)request;
    if (error[0] != '\0') {
        id128_to_hex(node_id, hex);
        log_warn("node %s could not remove a forgotten volume: %s", hex, error);
    }
}

static void on_stream_lines(void *arg, uint64_t stream, const struct uv_session_line *lines,
                            unsigned n)
{
    uv_api_stream_lines(((struct uv_controller *)arg)->api, stream, lines, n);
}

static void on_stream_end(void *arg, uint64_t stream, const char *error)
{
    uv_api_stream_end(((struct uv_controller *)arg)->api, stream, error);
}

static const struct fleet *fleet_now(void *arg)
{
    return ((struct uv_controller *)arg)->fleet;
}

static const struct svctable *services_now(void *arg, bool *ret_complete)
{
    const struct uv_controller *c = arg;

    *ret_complete = c->services_complete;
    return c->services;
}

static const void *revision_of(void *arg, const uint8_t digest[FLEET_DIGEST], size_t *ret_len)
{
    const struct uv_controller *c = arg;

    return c->docs != NULL ? docs_revision(c->docs, digest, ret_len) : NULL;
}

/* ---- from the API ---- */

static void on_world(void *arg, struct api_world *ret)
{
    const struct uv_controller *c = arg;

    *ret = (struct api_world){.fleet = c->fleet,
                              .docs = c->docs,
                              .services = c->services,
                              .cluster_id = c->cluster.id,
                              .range_text = c->cluster.range,
                              .range = c->range,
                              .started_unix_ms = c->started_unix_ms,
                              .now_unix_ms = uv_controller_unix()};
}

static void ask_to_event(uint64_t request, const struct api_ask *ask, struct fleet_event *ret)
{
    ret->type = ask->type;
    if (ask->type == FLEET_APPLY) {
        ret->u.apply.request = request;
        ret->u.apply.stack = *codec_want_stack(ask->want);
        ret->u.apply.prune = ask->prune;
    } else if (ask->type == FLEET_DELETE) {
        ret->u.del.request = request;
        ret->u.del.stack = ask->stack;
        ret->u.del.service = ask->service[0] != '\0' ? ask->service : NULL;
    } else if (ask->type == FLEET_NODE_LOST) {
        ret->u.lost.request = request;
        ret->u.lost.name = ask->name;
    } else {
        ret->u.forget.request = request;
        ret->u.forget.name = ask->name;
    }
}

static void on_ask(void *arg, uint64_t request, const struct api_ask *ask)
{
    struct uv_controller *c = arg;
    struct fleet_event event = {0};

    ask_to_event(request, ask, &event);
    c->asking = ask;
    uv_controller_feed(c, &event);
    c->asking = NULL;
    routes_changed(c);
}

static const struct ring *on_events(void *arg)
{
    return ((struct uv_controller *)arg)->ring;
}

static int on_stream_open(void *arg, struct id128 node_id, const struct link_stream_open *what,
                          uint64_t *ret_stream, struct err *e)
{
    return uv_sessions_stream_open(((struct uv_controller *)arg)->sessions, node_id, what,
                                   ret_stream, e);
}

static void on_stream_credit(void *arg, uint64_t stream, uint32_t bytes)
{
    uv_sessions_stream_credit(((struct uv_controller *)arg)->sessions, stream, bytes);
}

static void on_stream_close(void *arg, uint64_t stream)
{
    uv_sessions_stream_close(((struct uv_controller *)arg)->sessions, stream);
}

/* ---- both ---- */

static const struct uv_sessions_events session_events = {
    .hello = on_hello,
    .gone = on_gone,
    .heartbeat = on_heartbeat,
    .facts = on_facts,
    .observed = on_observed,
    .ack = on_ack,
    .volume_forgotten = on_volume_forgotten,
    .stream_lines = on_stream_lines,
    .stream_end = on_stream_end,
};

static const struct uv_api_host api_host = {
    .world = on_world,
    .ask = on_ask,
    .events = on_events,
    .stream_open = on_stream_open,
    .stream_credit = on_stream_credit,
    .stream_close = on_stream_close,
};

int uv_controller_link(struct uv_controller *c, struct err *e)
{
    struct uv_sessions_config sessions = {
        .address = c->config.listen,
        .cluster_id = c->cluster.id,
        .cluster_range = c->cluster.range,
        .node_prefix = c->cluster.node_prefix,
        .encrypt = c->cluster.encrypt,
        .events = &session_events,
        .fleet = fleet_now,
        .revision = revision_of,
        .services = services_now,
        .arg = c,
    };
    int rc = uv_sessions_create(c->loop, &sessions, &c->sessions, e);

    return rc < 0 ? rc : uv_api_create(c->loop, c->config.socket, &api_host, c, &c->api, e);
}
