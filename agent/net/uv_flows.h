// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_UV_FLOWS_H
#define WHERRY_AGENT_NET_UV_FLOWS_H

/* Where a packet goes is decided once for each flow, and a client that keeps sending keeps its
 * flow for ever: to a container that has gone, or to a port that was not published yet when it
 * began. So after something has changed the kernel's list of TCP and UDP flows is walked, a piece
 * per turn of the loop, and those that would go elsewhere today (netstale.h) are forgotten; their
 * next packet is decided anew. */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct uv_loop_s;
struct uv_flows;

/* A flow as its first packet was sent, and who answers. Addresses in host order. */
struct uv_flow {
    uint32_t src;
    uint32_t dst;
    uint16_t port;
    bool udp;
    bool established; /* TCP that was answered and has not begun to end */
    uint32_t answers;
};

struct uv_flows_events {
    bool (*stale)(void *arg, const struct uv_flow *flow);
    void (*swept)(void *arg); /* all were looked at since the last uv_flows_sweep() */
    void *arg;
};

int uv_flows_create(struct uv_loop_s *loop, const struct uv_flows_events *events,
                    struct uv_flows **ret, struct err *e);

/* Walks the list, once more if it is being walked already. */
void uv_flows_sweep(struct uv_flows *f);

void uv_flows_close(struct uv_flows *f, void (*closed)(void *arg), void *arg);

#endif
