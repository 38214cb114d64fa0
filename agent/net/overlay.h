// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_OVERLAY_H
#define WHERRY_AGENT_NET_OVERLAY_H

/* Between hosts, in the kernel: routes to the other nodes' blocks, the VXLAN device where one is
 * needed (overlayplan.h decides), and the host's own addresses on `lo`: the gateway of its
 * containers, and the first address of its block, by which it speaks to other blocks. What is
 * there is compared with what shall be, so everything may be asserted at any time, also after
 * another process has made it. Blocking netlink calls. */

#include "agent/net/net.h"
#include "agent/net/rtnlevent.h"

struct overlay;

struct overlay_config {
    const char *device; /* name of the VXLAN device */
    const char *secret; /* name of the WireGuard device; NULL: encryption is not possible */
    uint32_t vni;
    uint32_t metric; /* by which our routes are known */
    uint32_t gateway;
    uint32_t range; /* the cluster's */
    unsigned range_prefix;
    uint32_t block;
    unsigned block_prefix;
};

/* Copies. */
struct overlay *overlay_create(const struct overlay_config *config);
void overlay_destroy(struct overlay *o); /* accepts NULL */

/* Where WireGuard is talked of (wireguard.h); borrowed for good. */
void overlay_use(struct overlay *o, int genl);

/* Nothing goes to other nodes but by WireGuard, or that is over. Gives the public key of this node,
 * which is new with the first call. After an error nothing goes at all. */
int overlay_encrypt(struct overlay *o, int fd, bool on, uint8_t ret_key[NET_KEY], struct err *e);

/* These are the other nodes, all of them; `underlay` is this one's address among them (0: not
 * known). Copies. Until the first call nobody knows, and what is there stays. */
void overlay_nodes(struct overlay *o, uint32_t underlay, const struct net_route *nodes, unsigned n);

/* What the kernel has from an earlier process becomes what is known, if it has anything: so a
 * restart is not felt before the controller is heard. */
int overlay_recall(struct overlay *o, int fd, struct err *e);

/* The other nodes; borrowed until they change. */
const struct net_route *overlay_known(const struct overlay *o, unsigned *ret_n);

/* Makes the kernel so; `fd` is an rtnetlink socket. Tries all; the first error is returned. */
int overlay_assert(struct overlay *o, int fd, struct err *e);

/* Whether something of ours may have been changed, or a way to a node. */
bool overlay_matters(const struct overlay *o, const struct rtnlevent *event);

/* Removes all. */
void overlay_remove(struct overlay *o, int fd);

/* As last asserted; borrowed until then. */
const struct net_way *overlay_ways(const struct overlay *o, unsigned *ret_n);

#endif
