// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_NETPORTS_H
#define WHERRY_AGENT_NET_NETPORTS_H

/* The published ports of a node as a sorted list, whose difference to the next one is what changes
 * in the table. Pure. */

#include <stdbool.h>

#include "agent/net/rules.h"
#include "agent/net/uv_flows.h"

struct netports {
    struct net_port *list; /* owned, with the backends; NULL: none */
    unsigned n;
};

/* Makes a checked copy. -EINVAL, -E2BIG name the port. */
int netports_take(const struct rules_config *c, const struct net_port *ports, unsigned n,
                  struct netports *ret, struct err *e);
void netports_finish(struct netports *ports);

/* Appends what turns `is` into `want`; all that goes, goes first. Returns whether UDP ports are
 * among it. */
bool netports_difference(const struct netports *is, const struct netports *want,
                         const struct rules_config *c, struct buf *ret);

/* The most backends of one port. */
unsigned netports_backends_max(const struct netports *ports);

/* Whether a flow goes elsewhere than its next datagram should. */
bool netports_is_stale(const struct netports *ports, const struct rules_config *c,
                       const struct uv_flow *flow);

#endif
