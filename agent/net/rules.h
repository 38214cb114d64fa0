// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_RULES_H
#define WHERRY_AGENT_NET_RULES_H

/* The words for `nft`: one table, whose chains never change, and four maps, whose elements do. One
 * command ends with ';', one text without a newline is one transaction. Pure.
 *
 * A published port is two lookups: `w_any` (or `w_one` by host address) leads to the chain for its
 * number of backends, which draws a number below it and finds that backend in `w_any_to`
 * (`w_one_to`). The chains for the numbers up to a limit are part of the table. (They cannot be
 * added to it: nft 1.0.6 refuses a rule that reads a map of these types unless it makes the map in
 * the same transaction.) */

#include <stdbool.h>
#include <stdint.h>

#include "agent/net/net.h"
#include "common/buf.h"

#define RULES_NAME_MAX 64

struct rules_config {
    char table[RULES_NAME_MAX];
    char links[16]; /* what our veths' names begin with */
    uint32_t range;
    unsigned range_prefix;
    uint32_t block;
    unsigned block_prefix;
};

/* Whether it is an address that a container of this node can have: the first and the last are left
 * out, because some programs think they mean the network. */
bool rules_in_block(const struct rules_config *c, uint32_t address);

/* Up to how many backends of a port a table should allow that has one with so many. */
unsigned rules_limit(unsigned n_backends);

/* Replaces the table, whatever was in it, by one without ports, which may have up to `limit`
 * backends each. */
void rules_table(const struct rules_config *c, unsigned limit, struct buf *ret);

/* Adds the other nodes to a table that was just replaced. */
void rules_nodes(const struct rules_config *c, const struct net_route *nodes, unsigned n,
                 struct buf *ret);

void rules_remove(const struct rules_config *c, struct buf *ret);

/* Publishes one port or takes it back. A port without backends has no rules. */
void rules_port_add(const struct rules_config *c, const struct net_port *p, struct buf *ret);
void rules_port_del(const struct rules_config *c, const struct net_port *p, struct buf *ret);

#endif
