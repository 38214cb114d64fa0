// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_NETLINKS_H
#define WHERRY_AGENT_NET_NETLINKS_H

/* The addresses of a node's block and the links of its containers, as net.h has them: which are
 * taken is kept here, everything else is found again by its name in the kernel. `rtnl` is a socket
 * of rtnl_open. */

#include "agent/net/net.h"

struct attached;
struct netlinks;

struct netlinks *netlinks_create(const struct net_config *config);
void netlinks_destroy(struct netlinks *l); /* accepts NULL */

int netlinks_reserve(struct netlinks *l, int rtnl, uint32_t *ret_address, struct err *e);
int netlinks_attach(struct netlinks *l, int rtnl, struct net_id id, int netns_fd,
                    const struct net_link *link, struct err *e);
int netlinks_detach(struct netlinks *l, int rtnl, struct net_id id, uint32_t address,
                    struct err *e);

/* The same in two steps: the run is let go, with the name of its link; and that has gone. Whoever
 * needs an address in between removes the link himself. */
void netlinks_leave(struct netlinks *l, struct net_id id, uint32_t address, char ret_link[16]);
void netlinks_left(struct netlinks *l, struct net_id id);

int netlinks_adopt(struct netlinks *l, int rtnl, const struct net_found *found, unsigned n,
                   struct err *e);

/* What is attached, by which the links are kept as they are. */
struct attached *netlinks_attached(const struct netlinks *l);

/* Removes all of ours. Tries all; the first error is returned. */
int netlinks_remove(struct netlinks *l, int rtnl, struct err *e);

#endif
