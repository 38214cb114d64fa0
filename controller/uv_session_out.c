// SPDX-License-Identifier: Apache-2.0
/* The next frame of a session: whatever is due first, made from the present state. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "controller/uv_session_priv.h"

#define ROUTE_SIZE 256u /* more than one route takes, but for its strings */

void uv_session_write(struct session *se, const struct link_message *m)
{
    auto_buf struct buf bytes = {0};

    codec_link_encode(m, &bytes);
    uv_wire_write(&se->wire, bytes.data, bytes.len);
}

void uv_session_block(const struct uv_sessions *s, uint32_t block, char *ret, size_t size)
{
    unsigned prefix = s->config.node_prefix;
    struct in_addr address = {htonl(s->range_address + (block << (32 - prefix)))};
    char text[INET_ADDRSTRLEN];

    (void)inet_ntop(AF_INET, &address, text, sizeof(text));
    (void)snprintf(ret, size, "%s/%u", text, prefix);
}

static void welcome(struct session *se, const struct fleet *f)
{
    struct link_message m = {.kind = LINK_WELCOME};
    struct fleet_node_view node = {0};
    char block[64];

    (void)fleet_node_at(f, (unsigned)fleet_node_find(f, se->node_id), &node);
    uv_session_block(se->owner, node.block, block, sizeof(block));
    m.u.welcome = (struct link_welcome){
        .version = LINK_VERSION,
        .cluster_id = se->owner->config.cluster_id,
        .position = {.epoch = fleet_epoch(f), .revision = fleet_durable(f)},
        .heartbeat_ms = fleet_heartbeat_ms(f),
        .timeout_ms = fleet_timeout_ms(f),
        .cluster_range = se->owner->cluster_range,
        .node_block = block,
        .report_all = se->report_all,
        .encrypt = se->owner->config.encrypt,
    };
    se->welcome_due = false;
    uv_session_write(se, &m);
}

static void beat(struct session *se, const struct fleet *f)
{
    struct link_message m = {.kind = LINK_HEARTBEAT_ACK};

    m.u.heartbeat_ack = (struct link_heartbeat_ack){.seq = se->beat_seq,
                                                    .heartbeat_ms = fleet_heartbeat_ms(f),
                                                    .timeout_ms = fleet_timeout_ms(f)};
    se->beat_due = false;
    uv_session_write(se, &m);
}

/* ---- routes ---- */

/* All of them that a frame takes. */
static unsigned collect_routes(const struct session *se, const struct fleet *f,
                               struct link_route *routes, char (*blocks)[32])
{
    unsigned n = 0;
    size_t size = 0;

    for (unsigned i = 0; i < fleet_nodes(f); i++) {
        struct fleet_node_view node;

        if (!fleet_node_at(f, i, &node) || node.state == FLEET_NODE_STATE_LOST || !node.has_facts ||
            node.facts.underlay[0] == '\0') {
            continue;
        }
        size += ROUTE_SIZE + strlen(node.facts.underlay);
        if (size > FRAME_MAX) {
            log_warn("more nodes than one frame of routes takes: %s is told %u", se->name, n);
            break;
        }
        uv_session_block(se->owner, node.block, blocks[n], sizeof(blocks[n]));
        routes[n] = (struct link_route){.node_id = node.id,
                                        .name = node.name,
                                        .underlay = node.facts.underlay,
                                        .block = blocks[n]};
        memcpy(routes[n].wireguard_key, node.facts.wireguard_key, sizeof(routes[n].wireguard_key));
        n++;
    }
    return n;
}

/* After its start a controller knows the addresses only of nodes that it has heard; what the others
 * hold from before is better than that. */
static bool routes_are_due(const struct session *se)
{
    const struct uv_sessions_config *config = &se->owner->config;
    bool complete = true;

    if (se->routes_due && config->services != NULL) {
        (void)config->services(config->arg, &complete);
    }
    return se->routes_due && complete;
}

static void routes(struct session *se, const struct fleet *f)
{
    struct link_message m = {.kind = LINK_ROUTES};
    unsigned n = fleet_nodes(f);
    struct link_route *list = xcalloc(n + 1, sizeof(*list));
    char(*blocks)[32] = xcalloc(n + 1, sizeof(*blocks));

    m.u.routes.routes = list;
    m.u.routes.n = collect_routes(se, f, list, blocks);
    se->routes_due = false;
    uv_session_write(se, &m);
    free(list);
    free(blocks);
}

/* ---- what the owner asked ---- */

static bool request(struct session *se)
{
    for (unsigned i = 0; i < se->n_requests; i++) {
        struct session_request *r = &se->requests[i];

        if (!r->sent) {
            struct link_message m = {.kind = LINK_VOLUME_FORGET};

            m.u.volume_forget =
                (struct link_volume_forget){.request = r->number, .name = r->volume};
            r->sent = true;
            uv_session_write(se, &m);
            return true;
        }
    }
    return false;
}

static void stream_open(struct session *se, struct session_stream *st)
{
    struct link_message m = {.kind = LINK_STREAM_OPEN};

    m.u.stream_open = st->what;
    m.u.stream_open.stream = st->number;
    m.u.stream_open.credit = st->credit_due;
    st->open_due = false;
    st->credit_due = 0;
    uv_session_write(se, &m);
}

static void stream_credit(struct session *se, struct session_stream *st)
{
    struct link_message m = {.kind = LINK_STREAM_CREDIT};

    m.u.stream_credit = (struct link_stream_credit){.stream = st->number, .bytes = st->credit_due};
    st->credit_due = 0;
    uv_session_write(se, &m);
}

static void stream_end(struct session *se, struct session_stream *st)
{
    struct link_message m = {.kind = LINK_STREAM_END};

    m.u.stream_end = (struct link_stream_end){.stream = st->number, .error = ""};
    uv_session_stream_forget(se, st);
    uv_session_write(se, &m);
}

static bool stream(struct session *se)
{
    for (struct session_stream *st = se->streams; st != NULL; st = st->next) {
        if (st->open_due) {
            stream_open(se, st);
            return true;
        }
        if (st->closed) {
            stream_end(se, st);
            return true;
        }
        if (st->credit_due > 0) {
            stream_credit(se, st);
            return true;
        }
    }
    return false;
}

void uv_session_next(struct session *se)
{
    const struct fleet *f = se->owner->config.fleet(se->owner->config.arg);

    if (se->state != SESSION_READY || !uv_wire_is_writable(&se->wire) || f == NULL) {
        return;
    }
    if (se->welcome_due) {
        welcome(se, f);
    } else if (se->beat_due) {
        beat(se, f);
    } else if (routes_are_due(se)) {
        routes(se, f);
    } else if (!request(se) && !stream(se) && !uv_session_assign(se, f)) {
        (void)uv_session_services(se);
    }
}
