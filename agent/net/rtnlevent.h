// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_RTNLEVENT_H
#define WHERRY_AGENT_NET_RTNLEVENT_H

/* What the kernel tells everybody of links, addresses, neighbours and routes: as much of it as
 * says whether something of ours may be missing, and of queues. Pure. Addresses are IPv4 in host
 * order; of IPv6 ones the last 32 bits, from which ours follow (ip6.h), and prefixes accordingly.
 */

#include <linux/netlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

enum rtnlevent_kind {
    RTNLEVENT_LINK,
    RTNLEVENT_ADDRESS,
    RTNLEVENT_NEIGHBOUR, /* or a forwarding entry */
    RTNLEVENT_ROUTE,
    RTNLEVENT_QUEUE /* of a link's traffic (tc) */
};

struct rtnlevent {
    enum rtnlevent_kind kind;
    bool removed;
    uint32_t port; /* of the socket that asked for it; 0: nobody, or not told */
    unsigned index;
    char name[IFNAMSIZ]; /* LINK */
    bool down;           /* LINK: it was up */
    bool made;           /* LINK: it is new */
    uint32_t address;    /* ADDRESS, NEIGHBOUR; ROUTE: destination; 0: none */
    unsigned prefix;     /* ROUTE */
    uint32_t metric;     /* ROUTE */
};

/* False: it is nothing of this kind, or cut off. */
bool rtnlevent_read(const struct nlmsghdr *h, struct rtnlevent *ret);

#endif
