// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_FORWARDING_H
#define WHERRY_AGENT_NET_FORWARDING_H

/* The network namespace's switches for forwarding, all of it: packets are forwarded only if the
 * link they come by says so, and those of published ports come by the host's. What may be
 * forwarded, the table says. */

#include "common/err.h"

int forwarding_on(struct err *e);

/* A router does not heed what other routers say, unless it is told to: so links that do are told,
 * and the host keeps its own IPv6 address and its way out. -EAFNOSUPPORT: there is no IPv6. */
int forwarding_on6(struct err *e);

#endif
