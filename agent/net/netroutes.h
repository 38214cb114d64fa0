// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_NETROUTES_H
#define WHERRY_AGENT_NET_NETROUTES_H

/* A complete set of routes: what is there is compared with what shall be. */

#include <stdint.h>

#include "agent/net/rtnl.h"
#include "common/err.h"

/* Makes these (sorted on the way) all of the routes with this metric: of IPv4, or with `six` of
 * IPv6 in that cluster. Tries all; the first error
 * is returned. */
int netroutes_make(int fd, const struct ip6 *six, uint32_t metric, struct rtnl_route *want,
                   unsigned n, struct err *e);

#endif
