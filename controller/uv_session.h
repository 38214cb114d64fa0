// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_UV_SESSION_H
#define WHERRY_CONTROLLER_UV_SESSION_H

/* The sessions with the agents: listens, greets, and turns frames into events for the owner, which
 * feeds them to the fleet; and tells the nodes what the fleet's actions want, encoded from the
 * fleet's state when a socket takes it. A session remembers a position and the incarnations that
 * changed since, never messages. Nodes are named by their id: at most one session each, the newest.
 *
 * Every event may be called from inside a read; the owner queues (fleet.h asks for it anyway). No
 * function here calls an event back from inside, but for `gone` and `stream_end` of what it ends.
 */

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/codec_link.h"
#include "common/svctable.h"
#include "controller/core/fleet.h"

#define UV_SESSION_SESSIONS_MAX 12000u /* with the nodes that have not said Hello yet */
#define UV_SESSION_GREETING_MAX 1024u  /* that have not said Hello yet */
#define UV_SESSION_STREAMS_MAX  512u   /* of one node: two readers of a large service's logs */
#define UV_SESSION_REQUESTS_MAX 64u    /* VolumeForget of one node on their way */
#define UV_SESSION_HELLO_MS     10000u

struct uv_sessions;

struct uv_session_line {
    uint64_t unix_ns;
    bool is_stderr;
    bool partial; /* goes on in the next line */
    const void *text;
    size_t len;
};

/* All pointers are borrowed until return. */
struct uv_sessions_events {
    /* A node greets: answer with welcome or refuse. Feed FLEET_NODE_HELLO. */
    void (*hello)(void *arg, struct id128 node_id, const char *name, struct fleet_position position,
                  struct id128 assigned_sum, struct id128 observed_sum,
                  const struct fleet_facts *facts);
    /* The session of a node that said Hello is over, and no newer one has replaced it. */
    void (*gone)(void *arg, struct id128 node_id, const char *reason);
    /* The following come only between welcome and gone. The heartbeat has been answered. */
    void (*heartbeat)(void *arg, struct id128 node_id, uint64_t memory_used_bytes,
                      uint64_t loop_lag_us_max);
    void (*facts)(void *arg, struct id128 node_id, const struct fleet_facts *facts);
    void (*observed)(void *arg, struct id128 node_id, const struct fleet_observation *list,
                     unsigned n, const uint64_t *gone, unsigned n_gone, bool all_begin,
                     bool all_end);
    void (*ack)(void *arg, struct id128 node_id, struct fleet_position position,
                struct id128 assigned_sum);
    /* `error` "": the volume is gone from the node. */
    void (*volume_forgotten)(void *arg, struct id128 node_id, uint64_t request, const char *error);
    void (*stream_lines)(void *arg, uint64_t stream, const struct uv_session_line *lines,
                         unsigned n);
    /* The stream is over and its number means nothing any more; `error` "": as expected. */
    void (*stream_end)(void *arg, uint64_t stream, const char *error);
};

struct uv_sessions_config {
    const char *address; /* "ADDR:PORT", never a wildcard; borrowed until create returns */
    struct id128 cluster_id;
    const char *cluster_range;               /* "10.128.0.0/9": blocks of nodes are cut from it */
    unsigned node_prefix;                    /* 22 */
    bool encrypt;                            /* what goes from node to node */
    const struct uv_sessions_events *events; /* borrowed while it lives */
    /* The fleet as it is now; NULL while there is none (before it is loaded): nothing is encoded,
     * and agents that greet are told to come again. */
    const struct fleet *(*fleet)(void *arg);
    /* The document (encoded wherry.spec.Container) of a revision, borrowed until return to the
     * loop; NULL: not known (an orphan's: its node has it). */
    const void *(*revision)(void *arg, const uint8_t digest[FLEET_DIGEST], size_t *ret_len);
    /* The service table as it is now; NULL: there is none. Not complete: what is missing in it may
     * just not have been heard of, so nodes that hold one keep theirs. It lives as long as the
     * sessions are not reset. */
    const struct svctable *(*services)(void *arg, bool *ret_complete);
    void *arg;
};

/* Listens. -EINVAL: the address is none, or a wildcard; others as bind says. */
int uv_sessions_create(uv_loop_t *loop, const struct uv_sessions_config *config,
                       struct uv_sessions **ret, struct err *e);

/* The address it listens on, with the port that the kernel chose for port 0. */
const char *uv_sessions_address(const struct uv_sessions *s);

/* FLEET_WELCOME, once its revision is durable. Without a waiting session: nothing happens. */
void uv_sessions_welcome(struct uv_sessions *s, struct id128 node_id, bool report_all);

/* FLEET_REFUSE: the session ends with this reason; `gone` follows later, not from inside. */
void uv_sessions_refuse(struct uv_sessions *s, struct id128 node_id, enum link_refusal code,
                        const char *reason);

/* FLEET_SEND, once its revision is durable: what changed is told when the socket takes it. Call
 * with the action's revision. */
void uv_sessions_send(struct uv_sessions *s, struct id128 node_id, uint64_t revision, bool whole);

/* The set of nodes, an underlay address or a block has changed: tells everybody all routes. */
void uv_sessions_routes(struct uv_sessions *s);

/* The service table has changed, or become complete. */
void uv_sessions_services(struct uv_sessions *s);

/* Ends every session with REFUSE_BUSY (the fleet is dropped and loaded again, a new epoch): agents
 * come again. `gone` is not called. */
void uv_sessions_reset(struct uv_sessions *s, const char *reason);

/* -ENOTCONN: the node has no session; -EBUSY: too many of them wait. */
int uv_sessions_forget_volume(struct uv_sessions *s, struct id128 node_id, uint64_t request,
                              const char *volume, struct err *e);

/* Opens a stream of log lines, or of the rows that answer a question, with its credit; lines cost
 * LINK_LINE_COST of it. Copies; the number is given, not taken. Errors as above; -EOPNOTSUPP: the
 * agent is too old to be asked. */
int uv_sessions_stream_open(struct uv_sessions *s, struct id128 node_id,
                            const struct link_stream_open *what, uint64_t *ret_stream,
                            struct err *e);
/* The agent may send this much more. Unknown streams (ended meanwhile) are ignored. */
void uv_sessions_stream_credit(struct uv_sessions *s, uint64_t stream, uint32_t bytes);
/* No more events of it; `stream_end` does not come. */
void uv_sessions_stream_close(struct uv_sessions *s, uint64_t stream);

/* Connected sessions that have been welcomed. */
unsigned uv_sessions_count(const struct uv_sessions *s);

/* Ends all without events; `closed` is called when the memory is gone. */
void uv_sessions_close(struct uv_sessions *s, void (*closed)(void *arg), void *arg);

#endif
