// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NETFACTS_H
#define WHERRY_AGENT_NETFACTS_H

/* What an agent knows itself of the way from a container of its own to a name: rows for `wherry
 * net check` (netprobe.h lists them), out of the service table and the index of names. Pure. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/dns/dns.h"
#include "common/buf.h"
#include "common/svctable.h"

#define NETFACTS_TARGETS_MAX 9u /* as netprobe.h's */

struct netfacts_world {
    const struct svctable *table; /* NULL: it is not known */
    const struct dns_names *names;
    uint32_t range; /* the cluster's */
    unsigned range_prefix;
    /* Whether the node that an address lives on answers: 1, 0, or -1 where nobody knows. */
    int (*answers)(void *arg, uint32_t address);
    void *arg;
};

/* Where A wants to get to. */
struct netfacts_targets {
    uint32_t list[NETFACTS_TARGETS_MAX];
    unsigned n;
    uint32_t vip; /* one of them; 0: none is */
    bool world;   /* out of the cluster, as far as is known */
    bool ask;     /* it is a name that the name server should know */
};

/* Appends what `to` is for the asker, and the containers it leads to. */
void netfacts_gather(const struct netfacts_world *w, const struct dns_asker *asker, const char *to,
                     struct netfacts_targets *ret, struct buf *rows);

#endif
