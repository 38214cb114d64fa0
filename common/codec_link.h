// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_CODEC_LINK_H
#define WHERRY_COMMON_CODEC_LINK_H

/* What controller and agent say to each other (link.proto) as plain structures, and the table of
 * who may say what, when, and how long it may be. A frame is scanned before it is decoded into a
 * capped arena; what breaks a rule is an error whose text is the reason for dropping that peer. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/frame.h"
#include "common/name.h"
#include "common/svcpatch.h"

#define LINK_VERSION    1u
#define LINK_DIGEST     32
#define LINK_FRAME_AIM  (64u * 1024) /* what is encoded into one frame; one element may pass it */
#define LINK_REASON_MAX 512          /* of a Refuse, a StreamEnd, a VolumeForgotten */
#define LINK_CREDIT_MAX (1024u * 1024)
#define LINK_IMAGES_MAX 1024
#define LINK_LABELS_MAX 256
#define LINK_PERIOD_MIN 50u /* milliseconds between heartbeats */
#define LINK_PERIOD_MAX 60000u

enum link_side { LINK_AGENT, LINK_CONTROLLER };

/* id, name, who says it (A agent, C controller, B both), before or after the greeting, cap */
#define LINK_KINDS(X)                                                                              \
    X(HELLO, "hello", A, FIRST, FRAME_MAX_FIRST)                                                   \
    X(WELCOME, "welcome", C, FIRST, 4096)                                                          \
    X(REFUSE, "refuse", B, ANY, 4096)                                                              \
    X(SET_BEGIN, "set_begin", C, LATER, 4096)                                                      \
    X(SET_CHUNK, "set_chunk", C, LATER, FRAME_MAX)                                                 \
    X(SET_END, "set_end", C, LATER, 4096)                                                          \
    X(ASSIGN, "assign", C, LATER, FRAME_MAX)                                                       \
    X(ROUTES, "routes", C, LATER, FRAME_MAX)                                                       \
    X(ACK, "ack", A, LATER, 4096)                                                                  \
    X(REPORT, "report", A, LATER, FRAME_MAX)                                                       \
    X(HEARTBEAT, "heartbeat", A, LATER, 4096)                                                      \
    X(HEARTBEAT_ACK, "heartbeat_ack", C, LATER, 4096)                                              \
    X(STREAM_OPEN, "stream_open", C, LATER, 4096)                                                  \
    X(STREAM_DATA, "stream_data", A, LATER, FRAME_MAX)                                             \
    X(STREAM_CREDIT, "stream_credit", C, LATER, 4096)                                              \
    X(STREAM_END, "stream_end", B, LATER, 4096)                                                    \
    X(FACTS, "facts", A, LATER, FRAME_MAX)                                                         \
    X(VOLUME_FORGET, "volume_forget", C, LATER, 4096)                                              \
    X(VOLUME_FORGOTTEN, "volume_forgotten", A, LATER, 4096)                                        \
    X(SERVICES, "services", C, LATER, FRAME_MAX)
#define LINK_X_KIND(id, name, side, phase, cap) LINK_##id,
enum link_kind { LINK_KINDS(LINK_X_KIND) LINK_KIND_N };

struct link_row {
    const char *name;
    uint32_t cap;         /* bytes of the envelope */
    bool from_agent;      /* an agent may say it */
    bool from_controller; /* a controller may say it */
    bool first;           /* as the first message of its side */
    bool later;           /* after both have greeted */
};

extern const struct link_row codec_link_rows[LINK_KIND_N];

struct link_position {
    uint64_t epoch;
    uint64_t revision;
};

/* Negative, 0 or positive: epoch first. */
int codec_link_position_compare(struct link_position a, struct link_position b);

struct link_pair {
    const char *key;
    const char *value;
};

struct link_image {
    const char *name;
    const char *digest; /* "sha256:<hex>" */
};

#define LINK_KEY 32 /* bytes of a WireGuard key */

struct link_facts {
    const char *name; /* valid */
    const char *os;
    const char *arch;
    const char *kernel;
    const char *version;
    const char *underlay;
    const char *cgroup;
    const char *degraded;
    uint64_t cpu_millis;
    uint64_t memory_bytes;
    uint64_t pids;
    uint64_t volumes_bytes_free;
    uint64_t bandwidth_bits;         /* a second, in either direction; 0: not declared */
    uint8_t wireguard_key[LINK_KEY]; /* public; zero: none */
    const struct link_pair *labels;
    unsigned n_labels;
    const struct link_image *images;
    unsigned n_images;
};

/* What an agent understands beside what it always did; the bits of Hello.features. */
#define LINK_FEATURE_ASK      (UINT64_C(1) << 0) /* StreamOpen.ask */
#define LINK_FEATURE_SERVICES (UINT64_C(1) << 1) /* Services */
#define LINK_FEATURE_PATCHES  (UINT64_C(1) << 2) /* Services.patched */

struct link_hello {
    uint32_t version;
    uint64_t features;
    struct id128 cluster_id; /* zero: never joined */
    struct id128 node_id;    /* not zero */
    const char *boot_id;
    struct link_position position;
    struct id128 assigned;
    struct id128 observed;
    struct link_facts facts;
    struct id128 services; /* of the service table held; zero: none */
};

struct link_welcome {
    uint32_t version;
    uint64_t features;
    struct id128 cluster_id; /* not zero */
    struct link_position position;
    uint32_t heartbeat_ms;
    uint32_t timeout_ms;
    const char *cluster_range;
    const char *node_block;
    bool report_all;
    bool encrypt; /* nothing goes from node to node but by WireGuard */
};

/* As in link.proto. A number that this version does not know is LINK_REFUSE_UNSPECIFIED. */
#define LINK_REFUSALS(X)                                                                           \
    X(UNSPECIFIED, "refused")                                                                      \
    X(VERSION, "version")                                                                          \
    X(CLUSTER, "cluster")                                                                          \
    X(NAME, "name")                                                                                \
    X(PROTOCOL, "protocol")                                                                        \
    X(REPLACED, "replaced")                                                                        \
    X(STALE, "stale")                                                                              \
    X(BUSY, "busy")
#define LINK_X_REFUSAL(id, name) LINK_REFUSE_##id,
enum link_refusal { LINK_REFUSALS(LINK_X_REFUSAL) LINK_REFUSE_N };
const char *codec_link_refusal_name(enum link_refusal code);

struct link_refuse {
    enum link_refusal code;
    const char *reason;
};

struct link_revision {
    const uint8_t *digest; /* LINK_DIGEST bytes; of the container, checked when decoded */
    const void *container; /* encoded wherry.spec.Container */
    size_t len;
};

struct link_placement {
    uint64_t incarnation; /* not 0 */
    const char *stack;    /* a valid name; the service too */
    const char *service;
    uint32_t slot;
    const uint8_t *revision; /* LINK_DIGEST bytes */
    bool stop;
    const char *image_digest;
};

struct link_set_begin {
    struct link_position position;
    uint32_t placements;
    uint32_t revisions;
};

struct link_set_chunk {
    const struct link_revision *revisions;
    unsigned n_revisions;
    const struct link_placement *placements;
    unsigned n_placements;
};

struct link_set_end {
    struct id128 assigned;
};

struct link_assign {
    struct link_position position;
    struct link_set_chunk changed;
    const uint64_t *removed;
    unsigned n_removed;
    bool has_sum; /* false: more follows that is not durable yet */
    struct id128 assigned;
};

struct link_route {
    struct id128 node_id;
    const char *name;
    const char *underlay;
    const char *block;
    uint8_t wireguard_key[LINK_KEY]; /* zero: none */
};

struct link_routes {
    const struct link_route *routes;
    unsigned n;
};

struct link_ack {
    struct link_position position;
    struct id128 assigned;
};

/* Phases and healths have the numbers of link.proto, as in both cores. */
#define LINK_PHASE_MAX  7u
#define LINK_HEALTH_MAX 3u

struct link_observation {
    uint64_t incarnation; /* not 0 */
    uint32_t run;
    uint64_t seq;
    uint32_t phase; /* 1..LINK_PHASE_MAX */
    uint32_t health;
    bool exit_known;
    bool oom_killed;
    int32_t exit_code;
    int32_t exit_signal;
    uint32_t restarts;
    uint32_t address; /* IPv4 in host order */
    uint32_t pid;
    uint64_t started_unix_ms;
    uint64_t ended_unix_ms;
    uint64_t retry_unix_ms;
    const char *reason;
    const char *image_digest;
    const char *controls; /* lines; NULL: not said */
    const char *stack;
    const char *service;
    uint32_t slot;
    const uint8_t *revision; /* LINK_DIGEST bytes; NULL: not said */
};

struct link_report {
    bool all_begin;
    bool all_end;
    const struct link_observation *list;
    unsigned n;
    const uint64_t *gone;
    unsigned n_gone;
    bool has_sum;
    struct id128 observed;
};

struct link_heartbeat {
    uint64_t seq;
    uint64_t sent_boottime_ms;
    uint64_t memory_used_bytes;
    uint64_t loop_lag_us_max;
};

struct link_heartbeat_ack {
    uint64_t seq;
    uint32_t heartbeat_ms;
    uint32_t timeout_ms;
};

struct link_logs {
    uint64_t incarnation;
    bool follow;
    bool tail_all;
    uint32_t tail;
    uint64_t since_unix_ms;
};

/* A question to a node: rows go there and come back (askrow.h). */
#define LINK_ASK_KIND_MAX 32
#define LINK_ASK_ARGS_MAX 2048

struct link_ask {
    const char *kind; /* NULL: none, it is about logs */
    const void *args; /* one row, well-formed */
    size_t len;
};

struct link_stream_open {
    uint64_t stream; /* not 0 */
    uint32_t credit;
    struct link_logs logs; /* either this … */
    struct link_ask ask;   /* … or that */
};

struct link_line {
    uint64_t unix_ns;
    bool is_stderr;
    bool partial; /* goes on in the next line */
    const void *text;
    size_t len;
};

/* What a line costs of its stream's credit. */
#define LINK_LINE_COST(len) ((len) + 16u)

struct link_stream_data {
    uint64_t stream;
    const struct link_line *lines;
    unsigned n;
};

struct link_stream_credit {
    uint64_t stream;
    uint32_t bytes;
};

struct link_stream_end {
    uint64_t stream;
    const char *error;
};

struct link_volume_forget {
    uint64_t request;
    const char *name;
};

struct link_volume_forgotten {
    uint64_t request;
    const char *error; /* "": it is gone */
};

struct link_service {
    const char *stack; /* valid names */
    const char *service;
};

/* Entries are as svc.h says: names valid, lists in order, masks of networks that are there. */
struct link_services {
    bool whole_begin; /* what was told before counts no more, once whole_end is there */
    bool whole_end;   /* has a sum */
    const struct svc_entry *changed;
    unsigned n_changed;
    const struct link_service *removed;
    unsigned n_removed;
    bool has_sum; /* false: more follows */
    struct id128 sum;
    uint64_t version;
    const struct svc_patch *patched; /* of entries that may not be there */
    unsigned n_patched;
};

/* Everything in it is borrowed: by an encoder from the caller, in a decoded one from its `memory`
 * and from the bytes that were decoded. */
struct link_message {
    enum link_kind kind;
    union {
        struct link_hello hello;
        struct link_welcome welcome;
        struct link_refuse refuse;
        struct link_set_begin set_begin;
        struct link_set_chunk set_chunk;
        struct link_set_end set_end;
        struct link_assign assign;
        struct link_routes routes;
        struct link_ack ack;
        struct link_report report;
        struct link_heartbeat heartbeat;
        struct link_heartbeat_ack heartbeat_ack;
        struct link_stream_open stream_open;
        struct link_stream_data stream_data;
        struct link_stream_credit stream_credit;
        struct link_stream_end stream_end;
        struct link_facts facts;
        struct link_volume_forget volume_forget;
        struct link_volume_forgotten volume_forgotten;
        struct link_services services;
    } u;
    void *memory;
};

/* Decodes what `from` says; `greeted`: its first message has been taken before. -EBADMSG: it is no
 * envelope, of an unknown kind, or says something that cannot be; -EPROTO: not its turn;
 * -E2BIG: a limit is passed. Free with codec_link_free. */
int codec_link_decode(const void *bytes, size_t len, enum link_side from, bool greeted,
                      struct link_message *ret, struct err *e);
void codec_link_free(struct link_message *m);

/* Appends the envelope (without a frame's header). What it takes is the caller's to bound: its
 * row's cap is asserted. */
void codec_link_encode(const struct link_message *m, struct buf *out);

/* At most this many bytes of an envelope: for filling a frame. */
size_t codec_link_size_revision(const struct link_revision *r);
size_t codec_link_size_placement(const struct link_placement *p);
size_t codec_link_size_observation(const struct link_observation *o);
size_t codec_link_size_line(const struct link_line *line);
size_t codec_link_size_service(const struct svc_entry *entry);
size_t codec_link_size_patch(const struct svc_patch *patch);

#endif
