// SPDX-License-Identifier: Apache-2.0
#include "agent/net/netelem.h"

#include <assert.h>
#include <string.h>

const struct netelem_format *netelem_format(unsigned set)
{
#define NETELEM_X_FORMAT(id, set_name, set_key, set_value)                                         \
    [NETELEM_##id] = {.name = (set_name), .key = (set_key), .value = (set_value)},
    static const struct netelem_format formats[NETELEM_SET_N] = {NETELEM_SETS(NETELEM_X_FORMAT)};

    assert(set < NETELEM_SET_N);
    return &formats[set];
}

const char *netelem_chain_name(unsigned chain)
{
    static const char *const names[NETELEM_CHAIN_N] = {[NETELEM_CHAIN_VIP] = "w_vip",
                                                       [NETELEM_CHAIN_VIC] = "w_vic",
                                                       [NETELEM_CHAIN_ANY] = "w_any",
                                                       [NETELEM_CHAIN_ONE] = "w_one"};

    assert(chain > NETELEM_CHAIN_NONE && chain < NETELEM_CHAIN_N);
    return names[chain];
}

static int order(uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

/* What a set does not have is zero and so never decides. A mark is a value where there is no
 * second part of the key. */
int netelem_compare_key(const struct netelem *a, const struct netelem *b)
{
    int rc = order(a->set, b->set);

    rc = rc != 0 || a->set != NETELEM_REACH ? rc : order(a->mark, b->mark);
    rc = rc != 0 ? rc : order(a->address, b->address);
    rc = rc != 0 ? rc : order(a->udp, b->udp);
    rc = rc != 0 ? rc : order(a->port, b->port);
    rc = rc != 0 ? rc : order(a->index, b->index);
    rc = rc != 0 ? rc : order(a->other, b->other);
    return rc != 0 ? rc : order(a->prefix, b->prefix);
}

bool netelem_equal(const struct netelem *a, const struct netelem *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}
