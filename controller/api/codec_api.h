// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CODEC_API_H
#define WHERRY_CONTROLLER_CODEC_API_H

/* The messages of proto/api.proto as JSON, from the world as it stands. All append to `out`, one
 * object and a newline. */

#include "controller/api/api.h"
#include "controller/ring.h"

void codec_api_error(const char *code, const char *message, struct buf *out);
void codec_api_version(const struct api_world *w, struct buf *out);
void codec_api_done(const struct fleet_action *reply, struct buf *out);
void codec_api_applied(const char *stack, const struct fleet_action *reply, char *const *warnings,
                       unsigned n_warnings, struct buf *out);
void codec_api_nodes(const struct api_world *w, struct buf *out);
void codec_api_volumes(const struct api_world *w, struct buf *out);
void codec_api_networks(const struct api_world *w, struct buf *out);
/* False, and nothing is appended: there is none of that name. */
bool codec_api_network(const struct api_world *w, const char *name, struct buf *out);
void codec_api_event(const struct ring_event *event, struct buf *out);
/* Instead of events that a reader was too slow for. */
void codec_api_event_gap(uint64_t missed, uint64_t unix_ms, struct buf *out);

struct codec_api_log {
    const char *container; /* "shop/web.3" */
    const char *node;
    uint64_t unix_ns;
    bool is_stderr;
    bool partial;
    const void *text;
    size_t len;
    const char *error; /* NULL: none */
};

void codec_api_log(const struct codec_api_log *line, struct buf *out);

/* What nodes have said together. */
void codec_api_doctor(const struct api_parts *parts, struct buf *out);
void codec_api_net_stats(const struct api_parts *parts, struct buf *out);
void codec_api_net_check(const struct api_gather *what, const struct api_parts *parts,
                         struct buf *out);

/* `stack` and `service` are indices of the fleet; -1: all. */
void codec_api_status(const struct api_world *w, int stack, struct buf *out);
void codec_api_containers(const struct api_world *w, int stack, int service, struct buf *out);
void codec_api_inspect(const struct api_world *w, unsigned stack, int service, struct buf *out);

#endif
