// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_VXLAN_H
#define WHERRY_AGENT_NET_VXLAN_H

/* A VXLAN device (RFC 7348) that learns nothing and floods nothing: every host beyond it is put in
 * by name, as one forwarding entry (its MAC is at that underlay address) and one permanent
 * neighbour (its address has that MAC). Blocking netlink calls; addresses are IPv4 in host order.
 */

#include <stdint.h>

#include "common/ip6.h"
#include "common/err.h"

#define VXLAN_PORT  4789 /* IANA's */
#define VXLAN_BYTES 50u  /* outer IPv4, UDP and VXLAN header, inner Ethernet header */

struct vxlan {
    const char *name;
    uint32_t vni;   /* 24 bits */
    uint32_t local; /* underlay address it sends by; 0: as the route says */
    uint32_t address;
    unsigned mtu;
};

/* Makes the device, or takes the one of that name if it is as it shall be; one that is not is
 * replaced, and loses its peers. Brings it up. */
int vxlan_make(int fd, const struct vxlan *v, unsigned *ret_index, struct err *e);

/* `address` is an address in the host's block, out of which its MAC is made. */
struct vxlan_peer {
    uint32_t address;
    uint32_t underlay;
};

/* Makes these all of the device's peers, by differences: neighbours by IPv4, or with `six` by the
 * IPv6 addresses that follow. Tries all; the first error is returned. */
int vxlan_peers(int fd, unsigned index, const struct ip6 *six, const struct vxlan_peer *want,
                unsigned n, struct err *e);

/* What is there from an earlier process: its peers (gives a list) and the address it sends by; 0
 * peers where there is no such device. */
int vxlan_recall(int fd, const char *name, struct vxlan_peer **ret, unsigned *ret_n,
                 uint32_t *ret_local, struct err *e);

#endif
