// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_API_H
#define WHERRY_CONTROLLER_API_H

/* The HTTP API without HTTP (deploy/docs/api.md, proto/api.proto): a request and the world as it
 * stands go in; what comes out is an answer, or what has to be done for it. Whoever carries
 * requests (uv_api.c) does that. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/svctable.h"
#include "controller/codec_want.h"
#include "controller/docs.h"
#include "controller/iprange.h"

#define API_NAME_MAX 256 /* of a host, as in DNS */

struct api_world {
    const struct fleet *fleet; /* NULL: it is being loaded */
    const struct docs *docs;
    const struct svctable *services; /* as the nodes know them */
    struct id128 cluster_id;
    const char *range_text;
    struct iprange range;
    uint64_t started_unix_ms;
    uint64_t now_unix_ms;
};

struct api_request {
    const char *method;
    const char *path;
    const char *const *params; /* "stack=shop" */
    unsigned n_params;
    const void *body;
    size_t len;
    bool is_allowed;
    bool too_large;
    bool bad;
};

enum api_kind {
    API_NOW,    /* `status` and `body` are the answer */
    API_ASK,    /* `ask` is for the fleet; its reply becomes the answer (api_reply) */
    API_LOGS,   /* a stream of log lines */
    API_EVENTS, /* a stream of events */
    API_GATHER  /* nodes are asked what api_gather_next says, until there is nothing more to ask */
};

/* One of FLEET_APPLY, _DELETE, _NODE_LOST, _VOLUME_FORGET. */
struct api_ask {
    enum fleet_event_type type;
    char stack[FLEET_NAME];
    char service[FLEET_NAME]; /* "": the whole stack */
    char name[FLEET_VOLUME];
    bool prune;
    struct codec_want *want; /* APPLY; owned */
};

struct api_logs {
    char stack[FLEET_NAME];
    char service[FLEET_NAME];
    uint32_t slot; /* 0: all */
    bool follow;
    bool tail_all;
    uint32_t tail;
    uint64_t since_unix_ms;
};

struct api_events {
    char stack[FLEET_NAME]; /* "": all */
    bool follow;
    uint64_t since_unix_ms;
};

enum api_gather_kind { API_GATHER_DOCTOR, API_GATHER_STATS, API_GATHER_CHECK };

/* What is asked of nodes: of one, of all, or about the way between two containers. */
struct api_gather {
    enum api_gather_kind kind;
    char node[FLEET_NAME];          /* "": all */
    char from[2 * FLEET_NAME + 16]; /* "shop/web.1" */
    char to[API_NAME_MAX];
    uint16_t port;        /* 0: none */
    uint64_t incarnation; /* of the container that is meant by `from` */
};

struct api_answer {
    enum api_kind kind;
    int status;
    struct buf body;
    struct api_ask ask;
    struct api_logs logs;
    struct api_events events;
    struct api_gather gather;
};

void api_answer_finish(struct api_answer *a);

/* The largest body this request may have. */
size_t api_body_max(const char *method, const char *path);

/* `ret` is zeroed memory; free it with api_answer_finish. */
void api_answer(const struct api_world *world, const struct api_request *request,
                struct api_answer *ret);

/* The answer to what was asked, from the fleet's reply. */
void api_reply(const struct api_ask *ask, const struct fleet_action *reply, struct api_answer *ret);

/* ---- answers that nodes give together ---- */

#define API_QUESTIONS_MAX 16384 /* of one answer: every node once */

/* A question to a node, and what it has said. */
struct api_part {
    struct id128 node_id;
    char node[FLEET_NAME];
    const char *kind;     /* as in link.proto's AskOpen */
    uint64_t incarnation; /* of the container it is about; 0: none */
    struct buf args;      /* a row */
    struct buf rows;      /* as askrow_take reads them */
    char error[512];      /* "": all was said */
};

struct api_parts {
    struct api_part *list;
    unsigned n, cap;
};

void api_parts_finish(struct api_parts *parts);

/* Appends the questions to be asked next; none: everything was said. Those before have been
 * answered. */
void api_gather_next(const struct api_world *w, const struct api_gather *what,
                     struct api_parts *parts);

/* The answer, out of all that was said. */
void api_gather_answer(const struct api_world *w, const struct api_gather *what,
                       const struct api_parts *parts, struct api_answer *ret);

/* An answer that is an error: its HTTP status follows from the code ("not_found"). */
void api_error(struct api_answer *ret, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The fleet was dropped while it was asked. */
void api_unavailable(struct api_answer *ret);

#endif
