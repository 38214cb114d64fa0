// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_UV_HTTP_H
#define WHERRY_CONTROLLER_UV_HTTP_H

/* HTTP/1.1 on a unix socket, on our loop. Knows nothing of what is asked: whole requests go to the
 * owner, named by the number of their exchange; answers come back whole, or as streams whose queue
 * is bounded. libwebsockets is behind it and shows nowhere else. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/err.h"

#define UV_HTTP_CONNECTIONS_MAX 256u
#define UV_HTTP_PARAMS_MAX      16u
#define UV_HTTP_STREAM_MAX      (256u * 1024) /* queued bytes of one stream */

struct uv_http;

struct uv_http_request {
    const char *method;                     /* "GET" */
    const char *path;                       /* percent-decoded, begins with '/' */
    const char *params[UV_HTTP_PARAMS_MAX]; /* "stack=shop", decoded */
    unsigned n_params;
    const void *body;
    size_t len;
    bool is_allowed; /* the peer is one of those who may ask */
    bool too_large;  /* the body is over its cap and was not kept */
    bool bad;        /* too many parameters, or a body of unknown length */
};

struct uv_http_events {
    /* The largest body that this request may have. */
    size_t (*body_max)(void *arg, const char *method, const char *path);
    /* A whole request: to be answered with uv_http_answer or uv_http_stream, now or later. */
    void (*request)(void *arg, uint64_t exchange, const struct uv_http_request *request);
    /* At least half of the stream's queue is free again. */
    void (*drained)(void *arg, uint64_t exchange);
    /* The client has left before the end of the answer. */
    void (*gone)(void *arg, uint64_t exchange);
};

/* Listens on the unix socket `path`. Errors as of httpsock_listen. */
int uv_http_create(uv_loop_t *loop, const char *path, const struct uv_http_events *events,
                   void *arg, struct uv_http **ret, struct err *e);

/* Answers whole, as JSON. An exchange that is gone is ignored: here and below. */
void uv_http_answer(struct uv_http *h, uint64_t exchange, int status, const char *body, size_t len);

/* Answers 200 with a stream of lines, each a JSON object. */
void uv_http_stream(struct uv_http *h, uint64_t exchange);
/* How much may be written now. */
size_t uv_http_stream_room(const struct uv_http *h, uint64_t exchange);
/* Queues; what passes the room by more than one write of it is the caller's fault. */
void uv_http_stream_write(struct uv_http *h, uint64_t exchange, const void *bytes, size_t len);
/* What is queued still goes out. */
void uv_http_stream_end(struct uv_http *h, uint64_t exchange);

/* Ends everything without events and removes the socket. The loop then runs empty, and only then
 * uv_http_destroy frees what is left. */
void uv_http_close(struct uv_http *h);
void uv_http_destroy(struct uv_http *h); /* accepts NULL */

#endif
