// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_UV_HTTP_PRIV_H
#define WHERRY_CONTROLLER_UV_HTTP_PRIV_H

/* Shared by uv_http.c (requests and answers) and uv_http_listen.c (the socket, the library's life).
 */

#include <libwebsockets.h>
#include <sys/types.h>

#include "common/buf.h"
#include "controller/api/uv_http.h"

#define UV_HTTP_REQUEST_S 20 /* for a request to come whole */

struct exchange {
    uint64_t id;
    struct uv_http *http;
    struct lws *wsi;
    struct exchange *next, **at;
    const char *method;
    char *path;
    char *params[UV_HTTP_PARAMS_MAX];
    unsigned n_params;
    size_t body_max;
    struct buf body;
    struct buf out;
    size_t sent; /* of `out` */
    int status;
    bool bad;
    bool too_large;
    bool answered; /* status and, unless a stream, all of `out` are there */
    bool headed;   /* the headers are out */
    bool stream;
    bool ended; /* of a stream: nothing more comes */
    bool last;  /* the connection ends with it */
};

struct session {
    struct exchange *exchange; /* NULL: between two requests */
};

struct uv_http {
    const struct uv_http_events *events;
    void *arg;
    struct lws_context *context;
    struct lws_vhost *vhost;
    char *path;
    int fd;
    gid_t group;
    uv_poll_t poll;
    uv_timer_t again; /* after descriptors have run out */
    struct lws *connections[UV_HTTP_CONNECTIONS_MAX];
    unsigned n_connections;
    struct exchange *exchanges;
    uint64_t last_id;
    bool closing;
};

/* What libwebsockets calls for everything. */
int uv_http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t len);

#endif
