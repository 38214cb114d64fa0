// SPDX-License-Identifier: Apache-2.0
/* All sessions: the listener, the table of nodes, and what the owner asks. A session is in the
 * list from the accept on, and in the table from its Hello until it ends or a newer one takes its
 * place. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/uv_session_priv.h"

#define BACKLOG  1024
#define SWEEP_MS 1000u

/* ---- the table of nodes ---- */

static int id_order(struct id128 a, struct id128 b)
{
    if (a.hi != b.hi) {
        return a.hi < b.hi ? -1 : 1;
    }
    return (a.lo > b.lo) - (a.lo < b.lo);
}

static unsigned place_of(const struct uv_sessions *s, struct id128 id)
{
    unsigned low = 0, high = s->n_nodes;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (id_order(s->by_node[mid]->node_id, id) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct session *uv_sessions_find(const struct uv_sessions *s, struct id128 id)
{
    unsigned i = place_of(s, id);

    return i < s->n_nodes && id128_equal(s->by_node[i]->node_id, id) ? s->by_node[i] : NULL;
}

/* One that can be told something. */
static struct session *ready(const struct uv_sessions *s, struct id128 id)
{
    struct session *se = uv_sessions_find(s, id);

    return se != NULL && se->state == SESSION_READY ? se : NULL;
}

void uv_sessions_insert(struct uv_sessions *s, struct session *se)
{
    unsigned i = place_of(s, se->node_id);

    if (s->n_nodes == s->cap_nodes) {
        s->cap_nodes = s->cap_nodes > 0 ? 2 * s->cap_nodes : 16;
        s->by_node = xrealloc(s->by_node, s->cap_nodes, sizeof(*s->by_node));
    }
    memmove(s->by_node + i + 1, s->by_node + i, (s->n_nodes - i) * sizeof(*s->by_node));
    s->by_node[i] = se;
    s->n_nodes++;
}

/* False: it is not there (any more). */
bool uv_sessions_take_out(struct session *se)
{
    struct uv_sessions *s = se->owner;
    unsigned i = place_of(s, se->node_id);

    if (i >= s->n_nodes || s->by_node[i] != se) {
        return false;
    }
    s->n_nodes--;
    memmove(s->by_node + i, s->by_node + i + 1, (s->n_nodes - i) * sizeof(*s->by_node));
    return true;
}

void uv_sessions_release(struct uv_sessions *s)
{
    if (--s->live > 0) {
        return;
    }
    free(s->by_node);
    s->closed(s->closed_arg);
    free(s);
}

/* ---- time ---- */

/* While this process stood still nobody was silent: what was sent meanwhile is not read yet. */
static void on_timer(uv_timer_t *timer)
{
    struct uv_sessions *s = container_of(timer, struct uv_sessions, timer);
    uint64_t now = uv_now(s->loop);
    uint64_t stood = now - s->swept_ms > 2 * SWEEP_MS ? now - s->swept_ms : 0;

    s->swept_ms = now;
    for (struct session *se = s->all; se != NULL; se = se->next) {
        se->heard_ms += stood;
        uv_session_sweep(se, now);
    }
}

/* ---- the listener ---- */

static bool is_wildcard(const struct sockaddr_storage *ss)
{
    static const struct in6_addr none;

    if (ss->ss_family == AF_INET) {
        return ((const struct sockaddr_in *)ss)->sin_addr.s_addr == INADDR_ANY;
    }
    return memcmp(&((const struct sockaddr_in6 *)ss)->sin6_addr, &none, sizeof(none)) == 0;
}

static void name_address(struct uv_sessions *s)
{
    struct sockaddr_storage ss = {0};
    int len = sizeof(ss);
    char host[INET6_ADDRSTRLEN] = "";
    unsigned port;

    (void)uv_tcp_getsockname(&s->listener, (struct sockaddr *)&ss, &len);
    if (ss.ss_family == AF_INET) {
        (void)uv_ip4_name((const struct sockaddr_in *)&ss, host, sizeof(host));
        port = ntohs(((const struct sockaddr_in *)&ss)->sin_port);
        (void)snprintf(s->address, sizeof(s->address), "%s:%u", host, port);
    } else {
        (void)uv_ip6_name((const struct sockaddr_in6 *)&ss, host, sizeof(host));
        port = ntohs(((const struct sockaddr_in6 *)&ss)->sin6_port);
        (void)snprintf(s->address, sizeof(s->address), "[%s]:%u", host, port);
    }
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct uv_sessions *s = container_of((uv_tcp_t *)stream, struct uv_sessions, listener);

    if (status == 0 && !s->closing) {
        uv_session_accept(s, stream);
    }
}

static int listen_on(struct uv_sessions *s, const struct sockaddr_storage *ss, struct err *e)
{
    int rc = uv_tcp_bind(&s->listener, (const struct sockaddr *)ss, 0);

    if (rc == 0) {
        rc = uv_listen((uv_stream_t *)&s->listener, BACKLOG, on_connection);
    }
    if (rc < 0) {
        return err_say(e, rc, "listen on %s: %s", s->config.address, uv_strerror(rc));
    }
    name_address(s);
    return 0;
}

/* "10.128.0.0/9" */
static int parse_range(struct uv_sessions *s, struct err *e)
{
    char host[INET_ADDRSTRLEN];
    const char *slash = strchr(s->config.cluster_range, '/');
    size_t len = slash != NULL ? (size_t)(slash - s->config.cluster_range) : sizeof(host);
    struct in_addr address;

    if (len < sizeof(host)) {
        (void)snprintf(host, sizeof(host), "%.*s", (int)len, s->config.cluster_range);
        if (inet_pton(AF_INET, host, &address) == 1 && s->config.node_prefix >= 8 &&
            s->config.node_prefix <= 30) {
            s->range_address = ntohl(address.s_addr);
            (void)snprintf(s->cluster_range, sizeof(s->cluster_range), "%s",
                           s->config.cluster_range);
            return 0;
        }
    }
    return err_say(e, EINVAL,
                   "the cluster's range \"%s\" with a prefix of %u for a node: it takes a range as "
                   "10.128.0.0/9 and a prefix between 8 and 30",
                   s->config.cluster_range, s->config.node_prefix);
}

/* ---- for the owner ---- */

static void nothing(void *arg)
{
    (void)arg;
}

int uv_sessions_create(uv_loop_t *loop, const struct uv_sessions_config *config,
                       struct uv_sessions **ret, struct err *e)
{
    struct uv_sessions *s;
    struct sockaddr_storage ss;
    int rc = uv_wire_parse(config->address, &ss, e);

    if (rc < 0) {
        return rc;
    }
    if (is_wildcard(&ss)) {
        return err_say(e, EINVAL,
                       "listen on %s: a wildcard address is refused, because sessions are not "
                       "encrypted: name one address of this host",
                       config->address);
    }
    s = xcalloc(1, sizeof(*s));
    s->loop = loop;
    s->config = *config;
    rc = parse_range(s, e);
    if (rc < 0) {
        free(s);
        return rc;
    }
    (void)uv_tcp_init(loop, &s->listener);
    (void)uv_timer_init(loop, &s->timer);
    s->live = 2;
    s->swept_ms = uv_now(loop);
    (void)uv_timer_start(&s->timer, on_timer, SWEEP_MS, SWEEP_MS);
    rc = listen_on(s, &ss, e);
    if (rc < 0) {
        uv_sessions_close(s, nothing, NULL);
        return rc;
    }
    *ret = s;
    return 0;
}

const char *uv_sessions_address(const struct uv_sessions *s)
{
    return s->address;
}

void uv_sessions_welcome(struct uv_sessions *s, struct id128 node_id, bool report_all)
{
    struct session *se = uv_sessions_find(s, node_id);

    if (se == NULL || se->state != SESSION_ASKED) {
        return;
    }
    se->state = SESSION_READY;
    se->heard_ms = uv_now(s->loop);
    se->report_all = report_all;
    se->welcome_due = se->routes_due = true;
    uv_wire_limit(&se->wire, FRAME_MAX);
    uv_session_next(se);
}

void uv_sessions_refuse(struct uv_sessions *s, struct id128 node_id, enum link_refusal code,
                        const char *reason)
{
    struct session *se = uv_sessions_find(s, node_id);

    if (se != NULL) {
        uv_session_end(se, code, "%s", reason);
    }
}

void uv_sessions_send(struct uv_sessions *s, struct id128 node_id, uint64_t revision, bool whole)
{
    struct session *se = ready(s, node_id);

    if (se == NULL) {
        return;
    }
    if (!se->sent) {
        se->sent = true;
        se->told = revision > 0 ? revision - 1 : 0; /* it had what was before, as its sum said */
    }
    se->send_due = true;
    se->set_due |= whole;
    uv_session_next(se);
}

void uv_sessions_routes(struct uv_sessions *s)
{
    for (unsigned i = 0; i < s->n_nodes; i++) {
        if (s->by_node[i]->state == SESSION_READY) {
            s->by_node[i]->routes_due = true;
            uv_session_next(s->by_node[i]);
        }
    }
}

void uv_sessions_services(struct uv_sessions *s)
{
    for (unsigned i = 0; i < s->n_nodes; i++) {
        if (s->by_node[i]->state == SESSION_READY) {
            uv_session_next(s->by_node[i]);
        }
    }
}

void uv_sessions_reset(struct uv_sessions *s, const char *reason)
{
    while (s->n_nodes > 0) {
        struct session *se = s->by_node[s->n_nodes - 1];

        (void)uv_sessions_take_out(se);
        uv_session_drop_waiting(se, /* tell: */ true);
        uv_session_end(se, LINK_REFUSE_BUSY, "%s", reason);
    }
}

static struct session *ready_or(const struct uv_sessions *s, struct id128 node_id, struct err *e)
{
    struct session *se = ready(s, node_id);

    if (se == NULL) {
        (void)err_say(e, ENOTCONN, "the node is not connected");
    }
    return se;
}

int uv_sessions_forget_volume(struct uv_sessions *s, struct id128 node_id, uint64_t request,
                              const char *volume, struct err *e)
{
    struct session *se = ready_or(s, node_id, e);
    struct session_request *r;

    if (se == NULL) {
        return -ENOTCONN;
    }
    if (se->n_requests == UV_SESSION_REQUESTS_MAX) {
        return err_say(e, EBUSY, "%u volumes are being removed from %s already",
                       UV_SESSION_REQUESTS_MAX, se->name);
    }
    if (se->requests == NULL) {
        se->requests = xcalloc(UV_SESSION_REQUESTS_MAX, sizeof(*se->requests));
    }
    r = &se->requests[se->n_requests++];
    *r = (struct session_request){.number = request};
    (void)snprintf(r->volume, sizeof(r->volume), "%s", volume);
    uv_session_next(se);
    return 0;
}

/* With copies of what a question borrows. */
static struct session_stream *stream_make(const struct link_stream_open *what)
{
    struct session_stream *st = xcalloc(1, sizeof(*st));

    st->what = *what;
    st->credit_due = what->credit < LINK_CREDIT_MAX ? what->credit : LINK_CREDIT_MAX;
    st->credit = st->credit_due;
    st->open_due = true;
    if (what->ask.kind != NULL) {
        assert(strlen(what->ask.kind) < sizeof(st->kind));
        assert(what->ask.len <= LINK_ASK_ARGS_MAX);
        (void)snprintf(st->kind, sizeof(st->kind), "%s", what->ask.kind);
        st->args = xcalloc(1, what->ask.len + 1);
        if (what->ask.len > 0) {
            memcpy(st->args, what->ask.args, what->ask.len);
        }
        st->what.ask.kind = st->kind;
        st->what.ask.args = st->args;
    }
    return st;
}

int uv_sessions_stream_open(struct uv_sessions *s, struct id128 node_id,
                            const struct link_stream_open *what, uint64_t *ret_stream,
                            struct err *e)
{
    struct session *se = ready_or(s, node_id, e);
    struct session_stream *st;

    if (se == NULL) {
        return -ENOTCONN;
    }
    if (what->ask.kind != NULL && (se->features & LINK_FEATURE_ASK) == 0) {
        return err_say(e, EOPNOTSUPP, "the agent of node %s is too old to be asked", se->name);
    }
    if (se->n_streams == UV_SESSION_STREAMS_MAX) {
        return err_say(e, EBUSY, "%u streams from %s are open already", UV_SESSION_STREAMS_MAX,
                       se->name);
    }
    st = stream_make(what);
    st->number = ++s->last_stream;
    st->next = se->streams;
    se->streams = st;
    se->n_streams++;
    *ret_stream = st->number;
    uv_session_next(se);
    return 0;
}

static struct session_stream *stream_find(const struct uv_sessions *s, uint64_t stream,
                                          struct session **ret_session)
{
    for (unsigned i = 0; i < s->n_nodes; i++) {
        for (struct session_stream *st = s->by_node[i]->streams; st != NULL; st = st->next) {
            if (st->number == stream && !st->closed) {
                *ret_session = s->by_node[i];
                return st;
            }
        }
    }
    return NULL;
}

void uv_sessions_stream_credit(struct uv_sessions *s, uint64_t stream, uint32_t bytes)
{
    struct session *se;
    struct session_stream *st = stream_find(s, stream, &se);

    if (st == NULL) {
        return;
    }
    bytes = bytes < LINK_CREDIT_MAX - st->credit_due ? bytes : LINK_CREDIT_MAX - st->credit_due;
    st->credit_due += bytes;
    st->credit += bytes;
    uv_session_next(se);
}

void uv_sessions_stream_close(struct uv_sessions *s, uint64_t stream)
{
    struct session *se;
    struct session_stream *st = stream_find(s, stream, &se);

    if (st == NULL) {
        return;
    }
    if (st->open_due) {
        uv_session_stream_forget(se, st); /* the agent has not heard of it */
        return;
    }
    st->closed = true;
    uv_session_next(se);
}

unsigned uv_sessions_count(const struct uv_sessions *s)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->n_nodes; i++) {
        n += s->by_node[i]->state == SESSION_READY;
    }
    return n;
}

static void on_listener_closed(uv_handle_t *handle)
{
    uv_sessions_release(container_of((uv_tcp_t *)handle, struct uv_sessions, listener));
}

static void on_timer_closed(uv_handle_t *handle)
{
    uv_sessions_release(container_of((uv_timer_t *)handle, struct uv_sessions, timer));
}

void uv_sessions_close(struct uv_sessions *s, void (*closed)(void *arg), void *arg)
{
    assert(!s->closing);
    s->closing = true;
    s->closed = closed;
    s->closed_arg = arg;
    s->n_nodes = 0;
    for (struct session *se = s->all; se != NULL; se = se->next) {
        uv_session_close(se);
    }
    uv_close((uv_handle_t *)&s->listener, on_listener_closed);
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}
