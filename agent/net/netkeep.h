// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_NETKEEP_H
#define WHERRY_AGENT_NET_NETKEEP_H

/* Keeps links, addresses, neighbours and routes as they were made, whoever else changes them: an
 * interface removed by hand, flushed routes, a link that was down. What can be put back is there
 * again within a second; a container whose link is gone is told of. */

#include "agent/net/attached.h"
#include "agent/net/overlay.h"
#include "agent/net/overlay6.h"

struct uv_loop_s;
struct netkeep;

/* `rtnl`, `overlay` and `attached` are borrowed until it is closed. */
struct netkeep_config {
    struct uv_loop_s *loop;
    int rtnl;
    struct overlay *overlay;
    struct overlay6 *overlay6; /* NULL: none */
    struct attached *attached;
};
int netkeep_create(const struct netkeep_config *config, struct netkeep **ret, struct err *e);

/* Now what lies between hosts, IPv4 and IPv6, is asserted, not when something has changed. Tries
 * all; the first error is returned. */
int netkeep_between(struct netkeep *k, struct err *e);

/* Whom to tell; NULL: nobody. Called from the loop. */
void netkeep_on_lost(struct netkeep *k, attached_lost_cb lost, void *arg);

/* How often everything has been looked at, because something had changed. */
unsigned netkeep_rounds(const struct netkeep *k);

/* Accepts NULL, and that nobody wants to know when it is closed. */
void netkeep_close(struct netkeep *k, void (*closed)(void *arg), void *arg);

#endif
