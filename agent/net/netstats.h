// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_NETSTATS_H
#define WHERRY_AGENT_NET_NETSTATS_H

/* What the links of a node's containers have carried, read from the kernel: links, queues, routes
 * and connections, each listed once for all. Blocking, and as long as a host with many connections
 * takes: it is for a process of its own, asked when somebody wants to know. */

#include <stdbool.h>

#include "agent/net/net.h"

/* As the container sees it: `in` is what it received. */
struct netstats_way {
    uint64_t bytes;
    uint64_t packets;
    uint64_t drops; /* by the link and its limit; of what it sent, by a false source address too */
};

struct netstats_link {
    struct net_id id;
    uint32_t address; /* out of the cluster's range; 0: none */
    struct netstats_way in;
    struct netstats_way out;
    uint32_t connections; /* that it has a part in now, either side */
};

struct netstats {
    struct netstats_link *list; /* by incarnation and run */
    unsigned n;
    bool connections_known; /* false: this kernel does not list them */
};

/* `suffix` as of the network's configuration. In the caller's network namespace. */
int netstats_read(const char *suffix, uint32_t range, unsigned range_prefix, struct netstats *ret,
                  struct err *e);
void netstats_finish(struct netstats *s);

#endif
