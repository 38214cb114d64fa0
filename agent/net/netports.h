// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_NETPORTS_H
#define WHERRY_AGENT_NET_NETPORTS_H

/* The published ports of a node as elements of the table. Pure. */

#include "agent/net/net.h"
#include "agent/net/netelem.h"
#include "agent/net/rules.h"

/* Gives the elements (sorted; the caller's) and the most backends of a port; -EINVAL, -E2BIG name
 * the port, and nothing is given. */
int netports_elements(const struct rules_config *c, const struct net_port *ports, unsigned n,
                      struct netelems *ret, unsigned *ret_backends_max, struct err *e);

#endif
