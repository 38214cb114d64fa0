// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_OVERLAYPLAN_H
#define WHERRY_AGENT_NET_OVERLAYPLAN_H

/* Decides how packets get to the other nodes' blocks: to a node on one of the host's own links by
 * a plain route, to every other one through VXLAN, which needs nothing of what lies between. Each
 * pair of nodes for itself, both coming to the same. In an encrypted cluster WireGuard leads to all
 * of them, and nothing else does. Pure. */

#include "agent/net/net.h"
#include "agent/net/rtnl.h"

#define OVERLAYPLAN_MTU_MIN   1280u /* of links between hosts: what IPv6 promises */
#define OVERLAYPLAN_MTU_USUAL 1500u /* where nothing is known yet */

/* The VXLAN network of a cluster: out of its id, never 0. */
uint32_t overlayplan_vni(const char *cluster);

/* That of its IPv6 packets (overlay6.h), another one. */
uint32_t overlayplan_vni6(uint32_t vni);

/* What is to be done for a node, `way` being how the kernel sends to its underlay address, by
 * `link` (NULL: by none). */
struct net_way overlayplan_choose(const struct net_route *node, const struct rtnl_way *way,
                                  const struct rtnl_link *link, bool encrypt);

/* Of the device for this kind: what the best way of all allows; routes hold the others down. */
unsigned overlayplan_mtu(const struct net_way *ways, unsigned n, enum net_way_kind kind);

/* The route to a node's block, `device` being the one for its kind of way; unreachable where that
 * is missing, or the node's key. False: there is none, because the node is this host. */
bool overlayplan_route(const struct net_way *way, unsigned device, uint32_t own_address,
                       struct rtnl_route *ret);

/* Whether the node can be sent to by WireGuard: it has shown a key. */
bool overlayplan_has_key(const struct net_route *node);

/* -EMSGSIZE: a link between hosts is too narrow; the text names it. */
int overlayplan_check(const struct net_way *way, struct err *e);

#endif
