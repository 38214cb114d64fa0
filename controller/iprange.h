// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_IPRANGE_H
#define WHERRY_CONTROLLER_IPRANGE_H

/* The cluster's address range and the blocks of the nodes in it. Pure. */

#include <stdint.h>

#include "common/err.h"

#define IPRANGE_TEXT 24 /* "255.255.255.255/32" */

struct iprange {
    uint32_t base; /* host order */
    unsigned prefix;
    unsigned node_prefix;
};

/* "10.128.0.0/9", cut into blocks of `node_prefix`. -EINVAL says what is allowed. */
int iprange_parse(const char *text, unsigned node_prefix, struct iprange *ret, struct err *e);

/* How many nodes can have one: the last eighth of the range is for virtual addresses. */
uint32_t iprange_blocks(const struct iprange *r);

/* "10.128.4.0/22"; "" beyond the range. */
void iprange_block(const struct iprange *r, uint32_t block, char ret[IPRANGE_TEXT]);

/* "10.128.4.7"; "" for 0. */
void iprange_address(uint32_t address, char ret[IPRANGE_TEXT]);

#endif
