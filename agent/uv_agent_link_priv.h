// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_UV_AGENT_LINK_PRIV_H
#define WHERRY_AGENT_UV_AGENT_LINK_PRIV_H

/* Shared by the parts of the agent's end of the link: uv_agent_link.c (dialling, greeting, time),
 * uv_agent_link_set.c (assignments into ledger and journal), uv_agent_link_services.c (the service
 * table), uv_agent_link_out.c (the next frame), uv_agent_link_streams.c (streams). */

#include "agent/uv_agent_priv.h"
#include "common/codec_link.h"
#include "common/uv_wire.h"

#define UV_AGENT_LINK_STREAMS_MAX 512u
#define UV_AGENT_LINK_ANSWERS_MAX 64u
#define UV_AGENT_LINK_REPORT_MS   50u

enum link_state {
    LINK_STATE_AWAY, /* no connection; dials at `dial_ms` */
    LINK_STATE_DIALING,
    LINK_STATE_GREETING, /* Hello is said or about to be */
    LINK_STATE_READY,
    LINK_STATE_ENDING
};

/* What is in the journal's hands; when it is durable, the core and the controller are told. */
struct link_pending {
    struct link_pending *next;
    uint64_t session; /* which asked for it */
    struct node_want *wants;
    unsigned n_wants;
    uint64_t *removed;
    unsigned n_removed;
    bool assign;
    bool whole;
    bool configure; /* the network's addresses have changed */
    struct link_position position;
    struct id128 sum;
};

/* A whole set that is being told: effective at its end. */
struct link_stage {
    bool open;
    struct link_position position;
    uint32_t placements; /* as announced */
    uint32_t told;
    size_t bytes;
    struct link_message *chunks;
    unsigned n_chunks, cap_chunks;
};

struct link_stream; /* uv_agent_link_streams.c */

struct link_answer {
    uint64_t request;
    char error[LINK_REASON_MAX];
};

struct uv_agent_link {
    struct uv_agent *agent;
    struct sockaddr_storage address;
    struct uv_wire wire;
    uv_timer_t timer;
    enum link_state state;
    bool wire_open;
    bool closing;
    unsigned failures; /* since the last welcome */
    unsigned n_nodes;  /* of the cluster, as last told */
    uint64_t session;  /* number of the connection */
    char reason[LINK_REASON_MAX];
    char told[LINK_REASON_MAX]; /* the last reason that was logged */

    /* deadlines, uv_now; UINT64_MAX: none */
    uint64_t dial_ms;
    uint64_t greet_ms; /* the greeting must be over */
    uint64_t beat_ms;
    uint64_t report_ms; /* not before, once something is to be reported */
    uint64_t logs_ms;

    uint32_t heartbeat_ms, timeout_ms;
    uint64_t beat_seq;
    uint64_t heard_ms;
    bool doubt; /* it was silent too long once; a poll has not told otherwise yet */

    bool hello_due;
    bool beat_due;
    bool facts_due;
    bool ack_due;
    struct link_position ack_position;
    struct id128 ack_sum;

    bool all; /* everything is being reported */
    bool all_begun;
    uint64_t all_at; /* incarnations up to this one have been */
    uint64_t *dirty; /* incarnations whose observation has changed, once each */
    uint64_t *gone;
    unsigned n_dirty, cap_dirty, n_gone, cap_gone;

    struct link_stage stage;
    struct link_pending *pending, **pending_end;
    struct link_stream *streams;
    unsigned n_streams;
    struct link_answer *answers;
    unsigned n_answers;
};

/* ---- uv_agent_link.c ---- */

/* Says why, and ends the session; containers are not touched. */
void uv_agent_link_end(struct uv_agent_link *l, enum link_refusal code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void uv_agent_link_arm(struct uv_agent_link *l);

/* ---- uv_agent_link_set.c ---- */
struct id128 uv_agent_link_assigned(const struct uv_agent *a);
struct id128 uv_agent_link_observed(const struct uv_agent *a);
void uv_agent_link_welcome(struct uv_agent_link *l, const struct link_welcome *w);
void uv_agent_link_set_begin(struct uv_agent_link *l, const struct link_set_begin *s);
/* Takes the message. */
void uv_agent_link_set_chunk(struct uv_agent_link *l, struct link_message *m, size_t len);
void uv_agent_link_set_end(struct uv_agent_link *l, const struct link_set_end *s);
void uv_agent_link_assign(struct uv_agent_link *l, const struct link_assign *assign);
void uv_agent_link_stage_drop(struct uv_agent_link *l);
void uv_agent_link_pending_drop(struct uv_agent_link *l);

/* ---- uv_agent_link_services.c ---- */
void uv_agent_link_services(struct uv_agent_link *l, const struct link_message *m);

/* ---- uv_agent_link_out.c ---- */
void uv_agent_link_next(struct uv_agent_link *l);
void uv_agent_link_write(struct uv_agent_link *l, const struct link_message *m);
void uv_agent_link_answer(struct uv_agent_link *l, uint64_t request, const char *error);

/* ---- uv_agent_link_streams.c ---- */
void uv_agent_link_streams_open(struct uv_agent_link *l, const struct link_stream_open *open);
void uv_agent_link_streams_credit(struct uv_agent_link *l, uint64_t stream, uint32_t bytes);
void uv_agent_link_streams_drop(struct uv_agent_link *l, uint64_t stream);
void uv_agent_link_streams_drop_all(struct uv_agent_link *l);
/* Those that follow look again for new lines. */
void uv_agent_link_streams_wake(struct uv_agent_link *l);
/* Writes a frame of some stream. False: there is nothing to write. */
bool uv_agent_link_streams_next(struct uv_agent_link *l);

#endif
