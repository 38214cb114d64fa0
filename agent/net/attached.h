// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_ATTACHED_H
#define WHERRY_AGENT_NET_ATTACHED_H

/* The containers' links, as they were laid: what of the host's end is missing is put back. A link
 * that has gone altogether took the container's end with it, and with that the container's
 * network: it is told, because only a new start of the container mends it. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/net/net.h"
#include "agent/net/rtnl.h"
#include "agent/net/rtnlevent.h"
#include "agent/net/tc.h"

struct attached;

/* `links` is what the names of all of them begin with. */
struct attached *attached_create(const char *links);
void attached_destroy(struct attached *a); /* accepts NULL */

void attached_add(struct attached *a, struct net_id id, const char *name,
                  const struct rtnl_peer *peer);
/* How fast the link of that name is; the names in it are not looked at. */
void attached_limit(struct attached *a, const char *name, const struct tc_limit *limit);
void attached_remove(struct attached *a, const char *name); /* also if it was never added */

/* Whether something of theirs may have been changed. */
bool attached_matters(const struct attached *a, const struct rtnlevent *event);

/* Puts back what is missing, all that can be; the first error is returned. `ret_restored` counts
 * links. `ret_missing`: some have gone and were not told yet. */
int attached_assert(struct attached *a, int fd, unsigned *ret_restored, bool *ret_missing,
                    struct err *e);

/* Calls for each link that was missing in two assertions at least this time apart, once. Do not
 * change the list from inside. */
typedef void (*attached_lost_cb)(void *arg, struct net_id id);
void attached_tell_lost(struct attached *a, uint64_t now_ms, unsigned apart_ms,
                        attached_lost_cb lost, void *arg);

#endif
