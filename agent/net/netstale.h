// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_NETSTALE_H
#define WHERRY_AGENT_NET_NETSTALE_H

/* Which flows go elsewhere than their next packet should, so that the kernel must forget them
 * (uv_flows.h). It is told what changes of the elements, not what they are: a change of one service
 * costs what that service has. Where more may have changed, everything is compared. Pure.
 *
 * - A flow from or to a container that is gone, whatever it is.
 * - A datagram, or a connection that is not established, that was led to a backend that is none any
 *   more.
 * - Datagrams that were led nowhere, to a port that is published by now. What containers send is
 *   none of these. */

#include "agent/net/netelem.h"
#include "agent/net/rules.h"
#include "agent/net/uv_flows.h"

/* Zeroed memory with a configuration is empty. */
struct netstale {
    const struct rules_config *rules;
    struct netelems log; /* what was told; the latest last unless sorted */
    bool sorted;
    struct netelems all;
    bool whole; /* `all` counts */
};

void netstale_gone(struct netstale *s, const uint32_t *addresses, unsigned n);

/* Returns whether there may be stale flows. */
bool netstale_change(struct netstale *s, const struct netelem *removed, unsigned n_removed,
                     const struct netelem *added, unsigned n_added);

/* These are all elements now (without changes told later). Copies what it needs. */
void netstale_whole(struct netstale *s, const struct netelem *list, unsigned n);

bool netstale_is(struct netstale *s, const struct uv_flow *flow);

/* All flows have been looked at. */
void netstale_clear(struct netstale *s);

#endif
