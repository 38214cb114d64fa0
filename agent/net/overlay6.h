// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_OVERLAY6_H
#define WHERRY_AGENT_NET_OVERLAY6_H

/* Between hosts, IPv6: a VXLAN device of its own, whose packets go from node to node by the first
 * addresses of their blocks, and so by whatever way IPv4 takes there (overlay.h), encrypted where
 * that is. Nothing has to be known of the network between hosts but what IPv4 needs. There only
 * when a container of this node has an IPv6 address. Blocking netlink calls. */

#include "common/ip6.h"
#include "agent/net/net.h"
#include "agent/net/rtnlevent.h"

struct overlay6;

struct overlay6_config {
    const char *device; /* name of the VXLAN device */
    uint32_t vni;
    uint32_t metric; /* by which our routes are known */
    struct ip6 six;  /* of the cluster; all else follows from the IPv4 addresses: */
    uint32_t range;
    unsigned range_prefix;
    uint32_t block;
    unsigned block_prefix;
};

/* Copies. */
struct overlay6 *overlay6_create(const struct overlay6_config *config);
void overlay6_destroy(struct overlay6 *o); /* accepts NULL */

/* A container has an IPv6 address: from now on there is something to be asserted. Switches
 * forwarding on. */
int overlay6_need(struct overlay6 *o, struct err *e);
bool overlay6_is_needed(const struct overlay6 *o);

/* Makes the kernel so, `ways` being those of IPv4; with none of them it is left as it is, because
 * the other nodes may not be known yet. Tries all; the first error is returned. */
int overlay6_assert(struct overlay6 *o, int fd, const struct net_way *ways, unsigned n,
                    struct err *e);

/* Whether something of ours may have been changed. */
bool overlay6_matters(const struct overlay6 *o, const struct rtnlevent *event);

/* Removes all, whoever made it. */
void overlay6_remove(struct overlay6 *o, int fd);

#endif
