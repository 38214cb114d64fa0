// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_RULES_H
#define WHERRY_AGENT_NET_RULES_H

/* The words for `nft`: one table, whose chains never change, and sets and maps, whose elements do
 * (netelem.h). One command ends with ';', one text without a newline is one transaction. Pure.
 *
 * A virtual address or a published port is two lookups: `w_vip` (`w_any`, or `w_one` by host
 * address) leads to the chain for its number of backends, which draws a number below it, or makes
 * one of the client's address, and finds that backend in `w_vip_to` (`w_any_to`, `w_one_to`). The
 * chains for the numbers up to a limit are part of the table. (They cannot be added to it: nft
 * 1.0.6 refuses a rule that reads a map of these types unless it makes the map in the same
 * transaction.) So what a packet costs does not depend on how many of anything there are. */

#include <stdbool.h>
#include <stdint.h>

#include "common/ip6.h"
#include "agent/net/netelem.h"
#include "common/buf.h"

#define RULES_NAME_MAX 64

/* Named counters, one for every reason for which packets are dropped or refused. */
#define RULES_COUNTERS(X)                                                                          \
    X(SPOOF, "spoof", "a container used a source address that is not its own")                     \
    X(FAMILY, "family", "a container without an IPv6 address sent IPv6")                           \
    X(LOOPBACK, "loopback", "somebody addressed the host's loopback from outside")                 \
    X(ASTRAY, "astray", "a source inside the cluster's range came by a way that is not its own")   \
    X(TUNNEL, "tunnel", "a VXLAN packet came from somebody who is no node")                        \
    X(HOST, "host", "a container of this node addressed the host itself")                          \
    X(BLOCKS, "blocks", "a container of another node addressed this host")                         \
    X(REACH, "reach", "a container addressed one with which it shares no network")                 \
    X(LOCAL, "local", "a container addressed 169.254.0.0/16 or another node")                      \
    X(EGRESS, "egress", "a container that may not leave the cluster tried to")                     \
    X(INTO, "into", "somebody outside addressed a container by what is not published")

#define RULES_X_COUNTER(id, name, words) RULES_COUNT_##id,
enum rules_counter { RULES_COUNTERS(RULES_X_COUNTER) RULES_COUNTER_N };
const char *rules_counter_name(unsigned counter);  /* "spoof" */
const char *rules_counter_words(unsigned counter); /* what happened */

/* By the name in the table; RULES_COUNTER_N: none of ours. */
unsigned rules_counter_find(const char *name);

/* Our links, each with a counter of packets with a false source address. */
#define RULES_SPOOF_SET "w_spoof"

struct rules_config {
    char table[RULES_NAME_MAX];
    char links[16]; /* what our veths' names begin with */
    uint32_t range;
    unsigned range_prefix;
    uint32_t block;
    unsigned block_prefix;
    uint32_t vni;   /* of the overlay; 0: none */
    struct ip6 six; /* the cluster's IPv6 addresses */
};

/* Whether it is an address that a container of this node can have: the first and the last are left
 * out, because some programs think they mean the network, and the first is the node's own. */
bool rules_in_block(const struct rules_config *c, uint32_t address);

/* Up to how many backends of a port a table should allow that has one with so many. */
unsigned rules_limit(unsigned n_backends);

/* Replaces the table, whatever was in it, by one without elements, whose ports and virtual
 * addresses may have up to `limit` backends each. */
void rules_table(const struct rules_config *c, unsigned limit, struct buf *ret);

/* Adds elements to a table that was just replaced, in the same transaction; shortest if sorted. */
void rules_elems(const struct rules_config *c, const struct netelem *list, unsigned n,
                 struct buf *ret);

void rules_remove(const struct rules_config *c, struct buf *ret);

#endif
