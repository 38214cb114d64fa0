// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_NET_H
#define WHERRY_AGENT_NET_NET_H

/* The network of one node, as the agent's executor sees it: addresses out of the node's block, one
 * routed veth per container, published ports, routes to the blocks of other nodes. There is no
 * bridge and so no shared layer 2: the host holds a /32 route and a permanent neighbour for each
 * container, the container a default route by the link-local gateway 169.254.1.1. IPv6, where a
 * container has it, leads to the cluster's containers and nowhere else.
 *
 * Everything made carries `suffix`, so that it is found again after the agent has died, and several
 * agents can share one network namespace. Links, and the elements of the rules' sets, are changed
 * by blocking netlink calls that take well under a millisecond; the rules themselves are asserted
 * through the long-lived `nft` child (nettable.h). Must be used from one thread, the loop's.
 * Addresses are IPv4 in host order. */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct uv_loop_s;
struct net;
struct netelem;
struct netelems;

#define NET_GATEWAY      0xa9fe0101u /* 169.254.1.1 */
#define NET_BACKENDS_MAX 256         /* containers behind one port or virtual address */
#define NET_ROUTES_MAX   8192        /* other nodes */
#define NET_KEY          32          /* bytes of a WireGuard key */
#define NET_SUFFIX_MAX   16

struct net_config {
    const char *suffix; /* [a-z0-9_], at most NET_SUFFIX_MAX; "node" where nothing else is asked */
    uint32_t range;     /* the cluster's: 10.128.0.0 */
    unsigned range_prefix;
    uint32_t block; /* this node's, inside the range: 10.128.4.0 */
    unsigned block_prefix;
    const char *cluster;     /* its id: agents of one cluster find each other by it; NULL: "" */
    unsigned mtu;            /* of the containers' links; 0: 1500 */
    const char *nft_program; /* NULL: nft, by PATH */
    /* Appends all elements that the table shall hold, in no order, and gives the most backends of
     * one of them; called when the table is asserted: from net_create, later from the loop, until
     * it is closed. NULL: none. */
    unsigned (*all)(void *arg, struct netelems *ret);
    void *arg;
};

/* One run of one container. */
struct net_id {
    uint64_t incarnation;
    uint32_t run;
};

/* Checks the configuration, switches forwarding on, starts `nft` and asserts the table. Copies the
 * configuration. Gives the network; -EINVAL names the option that is wrong. */
int net_create(struct uv_loop_s *loop, const struct net_config *config, struct net **ret,
               struct err *e);

/* Lets go of everything, and what was made stays in force, because containers outlive the agent;
 * with `remove` the table, the links and the routes are removed. Ports that are not in force yet
 * are still published if `nft` is well, but callbacks under way come with -ECANCELED; then `closed`
 * comes, when the memory is gone. */
void net_close(struct net *net, bool remove, void (*closed)(void *arg), void *arg);

/* Takes a free address. -ENOSPC: the block is used up. */
int net_reserve(struct net *net, uint32_t *ret_address, struct err *e);

/* What a container's link has. */
struct net_link {
    uint32_t address;  /* reserved */
    uint32_t extra;    /* a second address, asked for, out of the cluster's range; 0: none */
    uint8_t mac[6];    /* of eth0, asked for; zero: made from the address */
    unsigned mtu;      /* 0: as the configuration says */
    bool ipv6;         /* it has the IPv6 address, too, that follows from `address` (ip6.h) */
    uint64_t bits_in;  /* a second, into the container; 0: no limit */
    uint64_t bits_out; /* out of it */
};

/* Lays `eth0` into the namespace (borrowed), whoever owns it, and brings `lo` up there. Nothing is
 * left behind on failure; the address stays reserved. -EADDRINUSE: `extra` is somebody's. */
int net_attach(struct net *net, struct net_id id, int netns_fd, const struct net_link *link,
               struct err *e);

/* Removes the link where it still exists, beside the loop, and then gives its addresses (`address`
 * 0: none was reserved) back. While it is under way, asking again changes nothing. */
void net_detach(struct net *net, struct net_id id, uint32_t address);

/* After a restart of the agent: what is still attached. Its addresses are reserved again, and links
 * of ours that are not in the list are removed. -EADDRINUSE, -ERANGE: an address is taken twice or
 * lies outside of the block; the others of the list are adopted all the same. */
struct net_found {
    struct net_id id;
    struct net_link link;
};
int net_adopt(struct net *net, const struct net_found *found, unsigned n, struct err *e);

/* Whom to tell (NULL: nobody) that the link of an attached container was removed by somebody else:
 * its network is gone and comes back only with a new start of the container. Told once, from the
 * loop, a moment after; it may also be that the container has just ended and is not detached yet.
 * What else others take away from links, addresses, neighbours and routes, the network puts back
 * by itself. */
void net_on_lost(struct net *net, void (*lost)(void *arg, struct net_id id), void *arg);

/* Changes elements of the table, at once and all together; `removed` go first. What was changed
 * must be in `all` before the call. A table that turns out to be another than it should be, or has
 * no chains for so many backends, is asserted soon, and 0 returned. */
int net_elements(struct net *net, const struct netelem *removed, unsigned n_removed,
                 const struct netelem *added, unsigned n_added, unsigned backends_max,
                 struct err *e);

/* Forgets the flows from and to containers that are gone, soon. Flows to backends that elements
 * have ceased to name are forgotten without it: datagrams, and what is not established. */
void net_flush(struct net *net, const uint32_t *addresses, unsigned n);

/* What was dropped or refused since the start, and why. */
struct net_drop {
    const char *name;  /* "spoof" */
    const char *words; /* "a container used a source address that is not its own" */
    uint64_t packets;
    uint64_t bytes;
};
#define NET_DROPS_MAX 16
int net_counters(struct net *net, struct net_drop ret[NET_DROPS_MAX], unsigned *ret_n,
                 struct err *e);

/* Packets with a false source address from one run of a container. */
int net_spoofed(struct net *net, struct net_id id, uint64_t *ret_packets, struct err *e);

/* Makes these the other nodes, all of them, and packets get to their blocks: by a plain route to
 * those on one of the host's links, through VXLAN to the others. Differences only; what is ours
 * and no longer named is removed. `underlay` is this node's own address as the others have it
 * (0: not known). Tries all; the first error is returned, -EMSGSIZE for a link whose MTU is too
 * small. Before the first call the nodes that an earlier agent knew stay. */
struct net_route {
    uint32_t block;
    unsigned block_prefix;
    uint32_t via;         /* underlay address of the node */
    uint8_t key[NET_KEY]; /* its public one, where the cluster is encrypted; else 0 */
};
int net_routes(struct net *net, uint32_t underlay, const struct net_route *routes, unsigned n,
               struct err *e);

/* How packets get to a node. */
enum net_way_kind {
    NET_WAY_LINK,      /* it is on a link of this host */
    NET_WAY_VXLAN,     /* it is elsewhere */
    NET_WAY_WIREGUARD, /* wherever it is, encrypted */
    NET_WAY_HERE       /* it is another agent of this host */
};
struct net_way {
    struct net_route node;
    enum net_way_kind kind;
    char link[16]; /* that leads to its underlay address; empty: none does */
    unsigned link_index;
    unsigned link_mtu; /* 0: not known */
    unsigned mtu;      /* of packets between containers */
};

/* Whether nothing goes to other nodes but encrypted, by WireGuard. Gives this node's public key,
 * for the others; the private one is new with every agent that asks for it. -EOPNOTSUPP: this
 * kernel has no WireGuard; then, as after any error, nothing goes to other nodes at all. */
int net_encrypt(struct net *net, bool on, uint8_t ret_key[NET_KEY], struct err *e);

/* As of the last assertion; borrowed until the next turn of the loop. */
const struct net_way *net_ways(const struct net *net, unsigned *ret_n);

/* How often the table had to be restored after somebody else changed it. */
unsigned net_restored(const struct net *net);

#endif
