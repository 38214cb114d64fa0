// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_UV_API_H
#define WHERRY_CONTROLLER_UV_API_H

/* Carries requests from the socket to the API (api.h) and its answers back: at once, when the
 * fleet's reply is durable, or as a stream of log lines or events. */

#include "common/codec_link.h"
#include "controller/api/api.h"
#include "controller/api/uv_http.h"
#include "controller/ring.h"
#include "controller/uv_session.h"

#define UV_API_READERS_MAX    32u  /* streams of logs, and as many of events */
#define UV_API_GATHERINGS_MAX 8u   /* answers that nodes give together, at once */
#define UV_API_TAILS_MAX      256u /* containers in one stream of logs */

struct uv_api;

/* What the daemon does for it. */
struct uv_api_host {
    void (*world)(void *arg, struct api_world *ret);
    /* Feeds the fleet. uv_api_reply follows with the same number, not from inside. */
    void (*ask)(void *arg, uint64_t request, const struct api_ask *ask);
    const struct ring *(*events)(void *arg);
    /* As uv_sessions_stream_*. */
    int (*stream_open)(void *arg, struct id128 node_id, const struct link_stream_open *what,
                       uint64_t *ret_stream, struct err *e);
    void (*stream_credit)(void *arg, uint64_t stream, uint32_t bytes);
    void (*stream_close)(void *arg, uint64_t stream);
};

int uv_api_create(uv_loop_t *loop, const char *path, const struct uv_api_host *host, void *arg,
                  struct uv_api **ret, struct err *e);

/* FLEET_REPLY, durable. */
void uv_api_reply(struct uv_api *api, const struct fleet_action *reply);
/* The fleet is dropped: everything under way is answered so. */
void uv_api_unavailable(struct uv_api *api);
/* An event has been added to the ring. */
void uv_api_event(struct uv_api *api, const struct ring_event *event);
/* From the sessions. */
void uv_api_stream_lines(struct uv_api *api, uint64_t stream, const struct uv_session_line *lines,
                         unsigned n);
void uv_api_stream_end(struct uv_api *api, uint64_t stream, const char *error);

/* As uv_http_close and uv_http_destroy. */
void uv_api_close(struct uv_api *api);
void uv_api_destroy(struct uv_api *api); /* accepts NULL */

#endif
