// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_UV_FLOWS_H
#define WHERRY_AGENT_NET_UV_FLOWS_H

/* Where a datagram goes is decided once for each flow, and a client that keeps sending keeps its
 * flow for ever: to a container that has gone, or to a port that was not published yet when it
 * began. So after ports have changed the kernel's list of UDP flows is walked, a piece per turn of
 * the loop, and those that would go elsewhere today are forgotten; their next datagram is decided
 * anew. TCP does without: its flows end with their container. */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct uv_loop_s;
struct uv_flows;

/* A UDP flow as its first datagram was sent, and who answers. Addresses in host order. */
struct uv_flow {
    uint32_t src;
    uint32_t dst;
    uint16_t port;
    uint32_t answers;
};

typedef bool (*uv_flows_stale_cb)(void *arg, const struct uv_flow *flow);

int uv_flows_create(struct uv_loop_s *loop, uv_flows_stale_cb stale, void *arg,
                    struct uv_flows **ret, struct err *e);

/* Walks the list, once more if it is being walked already. */
void uv_flows_sweep(struct uv_flows *f);

void uv_flows_close(struct uv_flows *f, void (*closed)(void *arg), void *arg);

#endif
