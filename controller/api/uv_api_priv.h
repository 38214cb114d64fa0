// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_UV_API_PRIV_H
#define WHERRY_CONTROLLER_UV_API_PRIV_H

/* Shared by uv_api.c (requests and their answers), uv_api_streams.c (logs and events) and
 * uv_api_asks.c (answers that nodes give together). */

#include "controller/api/uv_api.h"

#define UV_API_CONTAINER (2 * FLEET_NAME + 16) /* "shop/web.3" */

/* A change that waits for the fleet's reply. */
struct pending {
    struct pending *next;
    uint64_t exchange;
    struct api_ask ask;
};

/* One who reads events. */
struct follower {
    struct follower *next;
    uint64_t exchange;
    struct api_events what;
    uint64_t number; /* the next event for it */
};

/* One container's part of a stream of logs. */
struct tail {
    struct tail *next;
    uint64_t stream; /* 0: it is over */
    uint64_t incarnation;
    uint64_t last_unix_ns;
    uint32_t owed; /* credit used up and not given back */
    char container[UV_API_CONTAINER];
    char node[FLEET_NAME];
};

/* One who reads logs. */
struct reader {
    struct reader *next;
    uint64_t exchange;
    struct api_logs what;
    struct tail *tails;
    unsigned n_tails;
    unsigned n_open;
    uint32_t credit; /* of each */
};

/* An answer that is being gathered from nodes. */
struct gathering {
    struct gathering *next;
    uint64_t exchange;
    struct api_gather what;
    struct api_parts parts;
    uint64_t *streams; /* of each part; 0: it has been answered */
    unsigned n_open;
    size_t bytes;
};

struct uv_api {
    const struct uv_api_host *host;
    void *arg;
    struct uv_http *http;
    struct pending *pending;
    struct follower *followers;
    unsigned n_followers;
    struct reader *readers;
    unsigned n_readers;
    struct gathering *gatherings;
    unsigned n_gatherings;
};

/* uv_api_streams.c. False: too many read already. */
bool uv_api_streams_events(struct uv_api *api, uint64_t exchange, const struct api_events *what);
bool uv_api_streams_logs(struct uv_api *api, uint64_t exchange, const struct api_logs *what);
/* False: it is none of logs. */
bool uv_api_streams_lines(struct uv_api *api, uint64_t stream, const struct uv_session_line *lines,
                          unsigned n);
bool uv_api_streams_end(struct uv_api *api, uint64_t stream, const char *error);
void uv_api_streams_drained(struct uv_api *api, uint64_t exchange);
void uv_api_streams_gone(struct uv_api *api, uint64_t exchange);
/* Ends the streams of logs, saying why. */
void uv_api_streams_cut(struct uv_api *api, const char *why);
void uv_api_streams_finish(struct uv_api *api);

/* uv_api_asks.c, likewise */
bool uv_api_asks_open(struct uv_api *api, uint64_t exchange, const struct api_gather *what);
bool uv_api_asks_lines(struct uv_api *api, uint64_t stream, const struct uv_session_line *lines,
                       unsigned n);
bool uv_api_asks_end(struct uv_api *api, uint64_t stream, const char *error);
void uv_api_asks_gone(struct uv_api *api, uint64_t exchange);
void uv_api_asks_cut(struct uv_api *api);
void uv_api_asks_finish(struct uv_api *api);

#endif
