// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_RTNLMSG_H
#define WHERRY_AGENT_NET_RTNLMSG_H

/* The rtnetlink messages of which everything is made, each appended to a batch. Addresses are IPv4
 * in host order; where `six` is given, the IPv6 ones are meant that follow from them in that
 * cluster (ip6.h), and prefixes are longer by those bits. */

#include <stdbool.h>
#include <stdint.h>

#include "common/ip6.h"
#include "agent/net/nlbatch.h"

/* One about a link, with an empty header. */
struct nlmsghdr *rtnlmsg_link(struct nlbatch *m, uint16_t type, uint16_t flags, const char *what);

void rtnlmsg_get(struct nlbatch *m, const char *name);

/* No IPv6 address by itself; a kernel without IPv6 refuses, which is as good. */
void rtnlmsg_no_ipv6(struct nlbatch *m, const char *name);

struct nlmsghdr *rtnlmsg_up(struct nlbatch *m, const char *name, const char *what);
void rtnlmsg_noarp(struct nlmsghdr *up); /* it neither asks for addresses nor answers */

/* What a link of ours allows. */
void rtnlmsg_settings(struct nlmsghdr *h);

/* `scope` as in rtnetlink(7): of RT_SCOPE_HOST the kernel never sends by itself. */
void rtnlmsg_address(struct nlbatch *m, uint16_t type, unsigned index, uint32_t address,
                     unsigned char scope);

void rtnlmsg_neighbour(struct nlbatch *m, uint16_t type, unsigned index, uint32_t address,
                       const uint8_t mac[6]);

/* Nobody else can have the address, so nobody is asked whether he has. */
void rtnlmsg_address6(struct nlbatch *m, uint16_t type, unsigned index, const struct ip6 *six,
                      uint32_t address);
void rtnlmsg_neighbour6(struct nlbatch *m, uint16_t type, unsigned index, const struct ip6 *six,
                        uint32_t address, const uint8_t mac[6]);

/* Any kind of route; what is 0 is left out. */
struct rtnlmsg_way {
    const struct ip6 *six;
    uint32_t dst;
    unsigned prefix;
    uint32_t via;
    unsigned index;
    uint32_t src;
    unsigned mtu;
    uint32_t metric;
    bool onlink; /* `via` is there although no route says so */
    unsigned char type;
    unsigned char scope;
    unsigned char protocol;
};
void rtnlmsg_way(struct nlbatch *m, uint16_t type, uint16_t flags, const struct rtnlmsg_way *w);

#endif
