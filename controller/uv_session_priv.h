// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_UV_SESSION_PRIV_H
#define WHERRY_CONTROLLER_UV_SESSION_PRIV_H

/* Shared by the parts of the sessions: uv_sessions.c (the listener, who is there, what the owner
 * asks), uv_session.c (one session's life),
 * uv_session_in.c (frames to events), uv_session_out.c (the next frame). */

#include "common/codec_link.h"
#include "common/uv_wire.h"
#include "controller/uv_session.h"

#define UV_SESSION_VOLUME_MAX FLEET_VOLUME

enum session_state {
    SESSION_GREETING, /* has not said Hello */
    SESSION_ASKED,    /* has; the owner has not answered */
    SESSION_READY,
    SESSION_ENDING /* told why; waits for its stream to end */
};

/* A growable array of incarnations, read from the front. */
struct session_list {
    uint64_t *ids;
    unsigned at, n, cap;
};

struct session_stream {
    struct session_stream *next;
    uint64_t number;
    struct link_stream_open what;
    char kind[LINK_ASK_KIND_MAX]; /* what `what.ask` borrows; the arguments too */
    void *args;
    uint32_t credit_due; /* to be told */
    int64_t credit;      /* the agent may send; a last line may pass it */
    bool open_due;
    bool closed; /* by the owner: to be told, then forgotten */
};

struct session_request {
    uint64_t number;
    bool sent;
    char volume[UV_SESSION_VOLUME_MAX];
};

struct session {
    struct uv_sessions *owner;
    struct session *prev, *next;
    struct uv_wire wire;
    enum session_state state;
    struct id128 node_id;
    uint64_t features;
    char name[FLEET_NAME];
    char peer[64];
    char reason[LINK_REASON_MAX]; /* why it ends */
    uint64_t heard_ms;            /* uv_now; since when it greets */

    bool welcome_due;
    bool report_all;
    bool routes_due;
    bool beat_due;
    uint64_t beat_seq;

    /* what it is assigned: see uv_session_assign.c */
    bool send_due;
    bool set_due;
    bool sent; /* some SEND has come */
    bool in_set;
    bool holds_known;
    uint64_t told;      /* revision up to which it has been told everything */
    uint64_t target;    /* of the increment or set on its way */
    struct id128 holds; /* sum of what it then has */
    struct id128 set_sum;
    struct session_list changed;
    struct session_list removed;
    uint8_t (*digests)[FLEET_DIGEST]; /* revisions it has been sent, sorted */
    unsigned n_digests, cap_digests;

    /* the service table: see uv_session_services.c */
    struct id128 services_held; /* sum, as Hello said it */
    bool services_known;        /* what it has been told in this session counts */
    bool services_whole;        /* between whole_begin and whole_end */
    bool services_begin_due;
    uint64_t services_begun; /* version when the whole was begun */
    uint64_t services_told;  /* version */
    uint64_t services_exact; /* version at which the node's table was equal; 0: unknown */

    struct session_stream *streams;
    unsigned n_streams;
    struct session_request *requests; /* UV_SESSION_REQUESTS_MAX of them; NULL: none were made */
    unsigned n_requests;
};

struct uv_sessions {
    uv_loop_t *loop;
    struct uv_sessions_config config;
    char cluster_range[64];
    uint32_t range_address; /* host order */
    char address[80];
    uv_tcp_t listener;
    uv_timer_t timer;
    uint64_t swept_ms;
    struct session *all;
    struct session **by_node; /* the newest of each node that said Hello, by node id */
    unsigned n_nodes, cap_nodes;
    unsigned n_all, n_greeting;
    uint64_t last_stream;
    unsigned live; /* handles and sessions */
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- uv_sessions.c ---- */

/* NULL: the node has said no Hello, or its session is over. */
struct session *uv_sessions_find(const struct uv_sessions *s, struct id128 id);
void uv_sessions_insert(struct uv_sessions *s, struct session *se);
/* Out of the table of nodes. False: it is not there (any more). */
bool uv_sessions_take_out(struct session *se);
/* One handle or session less; frees everything after the last. */
void uv_sessions_release(struct uv_sessions *s);

/* ---- uv_session.c ---- */

void uv_session_accept(struct uv_sessions *s, uv_stream_t *stream);
void uv_session_sweep(struct session *se, uint64_t now);
void uv_session_close(struct session *se);

/* Who waits for something from this session is told that it will not come. */
void uv_session_drop_waiting(struct session *se, bool tell);

/* Says why, and ends. */
void uv_session_end(struct session *se, enum link_refusal code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Makes it the session of its node; an older one is told so and ends. */
void uv_session_enter(struct session *se);

void uv_session_stream_forget(struct session *se, struct session_stream *stream);

/* ---- uv_session_in.c ---- */
void uv_session_frame(struct session *se, const uint8_t *bytes, size_t len);

/* ---- uv_session_out.c ---- */

/* Writes what comes next, if anything does and the wire takes it. */
void uv_session_next(struct session *se);
void uv_session_write(struct session *se, const struct link_message *m);

/* "10.128.4.0/22" of the block with this number; "": the range has no such block. */
void uv_session_block(const struct uv_sessions *s, uint32_t block, char *ret, size_t size);

/* ---- uv_session_assign.c ---- */

/* Writes the next frame of a set or an increment. False: there is none to write now. */
bool uv_session_assign(struct session *se, const struct fleet *fleet);
void uv_session_list_finish(struct session_list *list);

/* ---- uv_session_services.c ---- */

/* Writes the next frame of the service table. False: there is none to write now. */
bool uv_session_services(struct session *se);

#endif
