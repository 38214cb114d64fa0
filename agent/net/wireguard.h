// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_WIREGUARD_H
#define WHERRY_AGENT_NET_WIREGUARD_H

/* A WireGuard device (linux/wireguard.h): what goes by it is encrypted for the node whose block it
 * is for, and what comes by it is from a node that has shown its key. The private key is
 * in the kernel and in the process that made it, and never written anywhere. Blocking netlink
 * calls; addresses are IPv4 in host order. */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

#define WIREGUARD_PORT  51820
#define WIREGUARD_BYTES 60u /* outer IPv4 and UDP header, its own header and tag */
#define WIREGUARD_KEY   32

/* Opens a generic netlink socket in the calling thread's network namespace. */
int wireguard_open(struct err *e);

int wireguard_make_key(uint8_t ret_private[WIREGUARD_KEY], struct err *e);

/* Makes the device, or takes the one of that name, gives it the key if it has another, and brings
 * it up. Gives the public key. -EOPNOTSUPP: this kernel has no WireGuard. */
struct wireguard {
    const char *name;
    unsigned mtu;           /* 0: as it is */
    const uint8_t *private; /* WIREGUARD_KEY bytes */
};
int wireguard_make(int rtnl, int genl, const struct wireguard *w, unsigned *ret_index,
                   uint8_t ret_key[WIREGUARD_KEY], struct err *e);

struct wireguard_peer {
    uint8_t key[WIREGUARD_KEY];
    uint32_t underlay;
    uint32_t block; /* what it may send from, and is sent */
    unsigned block_prefix;
};

/* Makes these (sorted on the way) all of the device's peers, by differences. Where a peer is, it
 * tells itself by every packet; only `moved` sets the address of one that is there already. Tries
 * all; the first error is returned. */
int wireguard_peers(int genl, const char *name, struct wireguard_peer *want, unsigned n, bool moved,
                    struct err *e);

/* What is there from an earlier process: its key, and gives its peers. -ENODEV: there is no such
 * device. */
int wireguard_recall(int genl, const char *name, uint8_t ret_private[WIREGUARD_KEY],
                     struct wireguard_peer **ret, unsigned *ret_n, struct err *e);

#endif
