// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_UV_REACH_H
#define WHERRY_AGENT_NET_UV_REACH_H

/* Whether the other nodes can be reached from this one, as only this one knows: each is asked
 * (ICMP echo, RFC 792) at its underlay address a few times a second. A node that has answered and
 * then misses three in a row is away until it answers again. One that has never answered is
 * believed to be there: something on the way may swallow ICMP. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/net/net.h"
#include "common/err.h"

struct uv_loop_s;
struct uv_reach;

/* Of what one node's answers say: it is there, or away. */
typedef void (*uv_reach_cb)(void *arg, uint32_t block, unsigned prefix, bool answers);

/* In the calling thread's network namespace. `cb` comes from the loop. */
int uv_reach_create(struct uv_loop_s *loop, uv_reach_cb cb, void *arg, struct uv_reach **ret,
                    struct err *e);

/* Asks these nodes, all of them; those that were asked before keep what is known of them. One that
 * is away and no longer named, or has another address now, is called back as there. Copies. */
void uv_reach_nodes(struct uv_reach *r, const struct net_route *nodes, unsigned n);

/* As reach_state (reach.h). */
int uv_reach_state(const struct uv_reach *r, uint32_t address);

/* Accepts NULL, then `closed` comes at once. */
void uv_reach_close(struct uv_reach *r, void (*closed)(void *arg), void *arg);

#endif
