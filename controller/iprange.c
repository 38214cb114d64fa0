// SPDX-License-Identifier: Apache-2.0
#include "controller/iprange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODE_PREFIX_MAX 28u /* a block of 16 addresses */
#define BLOCKS_BITS_MAX 24u

/* One number of at most `max` and the character after it. Returns what follows, or NULL. */
static const char *number(const char *text, unsigned long max, char end, unsigned *ret)
{
    char *after = NULL;
    unsigned long n;

    if (*text < '0' || *text > '9') {
        return NULL;
    }
    n = strtoul(text, &after, 10);
    if (n > max || *after != end) {
        return NULL;
    }
    *ret = (unsigned)n;
    return after + 1;
}

int iprange_parse(const char *text, unsigned node_prefix, struct iprange *ret, struct err *e)
{
    struct iprange r = {.node_prefix = node_prefix};
    const char *at = text;
    unsigned part = 0;

    for (unsigned i = 0; i < 4; i++) {
        at = at != NULL ? number(at, 255, i < 3 ? '.' : '/', &part) : NULL;
        r.base = r.base << 8 | part;
    }
    at = at != NULL ? number(at, 30, '\0', &r.prefix) : NULL;
    if (at == NULL || r.prefix < 4 || (r.base << r.prefix) != 0) {
        return err_say(e, EINVAL,
                       "range '%s' is none: an IPv4 network is needed, as in 10.128.0.0/9", text);
    }
    if (node_prefix < r.prefix || node_prefix > NODE_PREFIX_MAX ||
        node_prefix - r.prefix > BLOCKS_BITS_MAX) {
        return err_say(e, EINVAL, "node prefix %u does not fit the range %s (allowed: %u to %u)",
                       node_prefix, text, r.prefix, NODE_PREFIX_MAX);
    }
    *ret = r;
    return 0;
}

static uint32_t all_blocks(const struct iprange *r)
{
    return 1u << (r->node_prefix - r->prefix);
}

uint32_t iprange_blocks(const struct iprange *r)
{
    uint32_t all = all_blocks(r);

    if (all == 1) {
        return 1; /* a cluster of one node; virtual addresses keep out of its block */
    }
    return all - (all > 8 ? all / 8 : 1);
}

void iprange_address(uint32_t address, char ret[IPRANGE_TEXT])
{
    ret[0] = '\0';
    if (address != 0) {
        (void)snprintf(ret, IPRANGE_TEXT, "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
                       address >> 8 & 255, address & 255);
    }
}

void iprange_block(const struct iprange *r, uint32_t block, char ret[IPRANGE_TEXT])
{
    size_t len;

    ret[0] = '\0';
    if (block >= all_blocks(r)) {
        return;
    }
    iprange_address(r->base + (block << (32 - r->node_prefix)), ret);
    len = strlen(ret);
    (void)snprintf(ret + len, IPRANGE_TEXT - len, "/%u", r->node_prefix);
}
