// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_UV_AGENT_PORTS_H
#define WHERRY_AGENT_UV_AGENT_PORTS_H

/* The ports that this node publishes, gathered from the orders of what runs: replicas of one
 * service share a port, of different services the first has it. */

#include "agent/net/net.h"
#include "agent/uv_agent_priv.h"

struct uv_agent_ports {
    struct net_port *list; /* owned, with the backends */
    unsigned n;
};

void uv_agent_ports_gather(const struct uv_agent *a, struct uv_agent_ports *ret);
void uv_agent_ports_finish(struct uv_agent_ports *ports);

#endif
