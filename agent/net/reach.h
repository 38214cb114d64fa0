// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_REACH_H
#define WHERRY_AGENT_NET_REACH_H

/* What the other nodes' answers say, and when to ask each: the pure part of uv_reach.h. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/net/net.h"

#define REACH_EVERY_MS   300u  /* a node is asked as often as that, */
#define REACH_PER_SECOND 1000u /* unless that made more than so many questions */
#define REACH_MISSED     3u    /* in a row, and it is away */

/* One node's answers tell that it is there again, or away. */
typedef void (*reach_cb)(void *arg, uint32_t block, unsigned prefix, bool answers);

struct reach_peer {
    struct net_route node;
    unsigned missed;
    bool waiting; /* asked and not answered yet */
    bool ever;    /* it has answered */
    bool away;
};

/* Zeroed memory asks nobody. */
struct reach {
    struct reach_peer *list; /* by block */
    unsigned n;
    unsigned at; /* who is asked next */
};

void reach_finish(struct reach *r);

/* These are the nodes, all of them; of those that stay, what is known stays. */
void reach_nodes(struct reach *r, const struct net_route *nodes, unsigned n, reach_cb cb,
                 void *arg);

/* How long from one question to the next. */
unsigned reach_pause_us(const struct reach *r);

/* Gives the node whose turn it is, as asked, after counting what it has missed. There is one. */
unsigned reach_ask(struct reach *r, reach_cb cb, void *arg);

/* An answer from that address to a question that was put to node `i`. */
void reach_answer(struct reach *r, unsigned i, uint32_t from, reach_cb cb, void *arg);

/* Of the node on whose block an address lies: 1 it answers, 0 it is away, -1 it has never answered
 * or is none of them. */
int reach_state(const struct reach *r, uint32_t address);

#endif
