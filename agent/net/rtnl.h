// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_RTNL_H
#define WHERRY_AGENT_NET_RTNL_H

/* Links, addresses, neighbours and routes of the kernel, by rtnetlink. Calls are blocking: the
 * kernel does what a message says while it is sent, so nothing is ever waited for. Every error
 * names the step, and what the kernel says about it beyond a number. Addresses are IPv4 in host
 * order; with `six` they mean the IPv6 ones that follow from them in that cluster (ip6.h). */

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ip6.h"

/* Marks the routes that are ours (RTA_PROTOCOL); which of us, says their metric. */
#define RTNL_PROTOCOL 87

/* Opens a socket in the calling thread's network namespace. */
int rtnl_open(struct err *e);

/* Who is beyond a link. */
struct rtnl_peer {
    uint32_t address;
    uint32_t extra; /* another of its addresses; 0: none */
    uint8_t mac[6]; /* zero: as it follows from the address */
    bool ipv6;      /* it has an IPv6 address, too, */
    struct ip6 six; /* of this cluster */
};

/* A link between this namespace and another: the host's end and the container's `eth0`. */
struct rtnl_veth {
    const char *name;  /* of the host's end, shorter than IFNAMSIZ */
    const char *alias; /* for people */
    struct rtnl_peer peer;
    uint32_t gateway;
    uint32_t range; /* where IPv6 leads to: there is none of the world */
    unsigned range_prefix;
    unsigned mtu;
    int netns_fd;
};

/* Lays it, with addresses, routes and permanent neighbours on both ends and `lo` up beyond. All
 * or nothing. -EEXIST: there is a link of that name. */
int rtnl_veth_add(int fd, const struct rtnl_veth *veth, struct err *e);

/* Puts back what somebody has taken from the host's end: up, routes and neighbours. */
int rtnl_veth_hold(int fd, const char *name, unsigned index, const struct rtnl_peer *peer,
                   struct err *e);

/* Permanent entries of one table: IPv4 neighbours (AF_INET), those of IPv6 by what their addresses
 * follow from (AF_INET6), or forwarding entries (AF_BRIDGE). */
struct rtnl_neighbour {
    unsigned index; /* of the link */
    uint32_t address;
    uint8_t mac[6];
};
typedef void (*rtnl_neighbour_cb)(void *arg, const struct rtnl_neighbour *neighbour);
int rtnl_neighbours(int fd, unsigned char family, rtnl_neighbour_cb cb, void *arg, struct err *e);

/* Whether it is what a veth's host end has for the container. */
bool rtnl_veth_is_peer(const struct rtnl_peer *peer, const struct rtnl_neighbour *neighbour);

/* Returns 0 too when there is none. */
int rtnl_link_del(int fd, const char *name, struct err *e);

/* The same of many, which costs little more than of one. */
int rtnl_links_del(int fd, const char *const *names, unsigned n, struct err *e);

/* What there is to know of a link. */
struct rtnl_link {
    unsigned index;
    char name[IFNAMSIZ];
    unsigned mtu;
    bool up;
    bool shared;   /* others are on it, found by their addresses: no tunnel */
    bool localnet; /* packets from and to 127.0.0.0/8 may pass */
};

/* Calls back for each link of a kind ("veth") whose name begins with `prefix`; do not change links
 * from inside. */
typedef void (*rtnl_link_cb)(void *arg, const struct rtnl_link *link);
int rtnl_links(int fd, const char *kind, const char *prefix, rtnl_link_cb cb, void *arg,
               struct err *e);

/* -ENODEV: there is none of that index. */
int rtnl_link_get(int fd, unsigned index, struct rtnl_link *ret, struct err *e);

int rtnl_link_localnet(int fd, unsigned index, bool on, struct err *e);

/* Addresses of the host's own that no link shows to others: on `lo`, and never the source of
 * anything by themselves. Both return 0 too when nothing is to be done. */
int rtnl_host_address_set(int fd, uint32_t address, struct err *e);
int rtnl_host_address_del(int fd, uint32_t address, struct err *e);
int rtnl_host_address6_set(int fd, const struct ip6 *six, uint32_t address, struct err *e);
int rtnl_host_address6_del(int fd, const struct ip6 *six, uint32_t address, struct err *e);

/* How the kernel would send to an address. */
struct rtnl_way {
    bool none;      /* nothing leads there */
    bool local;     /* it is the host's own */
    bool gateway;   /* somebody has to pass it on */
    unsigned index; /* of the link */
    unsigned mtu;   /* of the route; 0: the link's */
    unsigned prefix;
    uint8_t protocol;
};
int rtnl_way_to(int fd, uint32_t address, struct rtnl_way *ret, struct err *e);

/* Without `via` and `index`: unreachable, the end of the world for what is not more specific; with
 * `silent` nobody is told so. */
struct rtnl_route {
    const struct ip6 *six; /* NULL: IPv4 */
    uint32_t dst;
    unsigned prefix;
    uint32_t via;
    unsigned index; /* of the link; 0: the one where `via` is */
    bool silent;
    bool onlink;  /* `via` is there although no address of the link says so */
    uint32_t src; /* of what the host itself sends; 0: an address of the link */
    unsigned mtu; /* 0: the link's */
    uint32_t metric;
};

/* Adds it, or replaces the one of the same destination and metric. */
int rtnl_route_set(int fd, const struct rtnl_route *route, struct err *e);

/* Returns 0 too when there is none. */
int rtnl_route_del(int fd, const struct rtnl_route *route, struct err *e);

/* Calls back for each route of RTNL_PROTOCOL and this metric (0: any); with `six` (borrowed by
 * them) for those of IPv6 that lie in that cluster. */
typedef void (*rtnl_route_cb)(void *arg, const struct rtnl_route *route);
int rtnl_routes(int fd, uint32_t metric, rtnl_route_cb cb, void *arg, struct err *e);
int rtnl_routes6(int fd, const struct ip6 *six, uint32_t metric, rtnl_route_cb cb, void *arg,
                 struct err *e);

#endif
