// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CORE_NODE_PRIV_H
#define WHERRY_AGENT_CORE_NODE_PRIV_H

/* Shared by the parts of the core: the table of containers (node.c), the moves (move.c), the heap
 * of deadlines (due.c) and the sentences (reason.c). */

#include "agent/core/node.h"

struct node {
    struct node_container **list; /* by incarnation; owned */
    unsigned n;
    unsigned cap;
    struct node_container **heap; /* [1..heap_n], smallest key first; borrows */
    unsigned heap_n;
    unsigned heap_cap;
    bool looked; /* LOOKED has come: act */
};

/* One event on its way to one container. */
struct move_step {
    struct node *node;
    struct node_container *c;
    const struct node_event *event;
    enum lifecycle_event cause; /* what the event means to it */
    struct node_actions *ret;
};

/* Looks the cell up and does its move; checks the invariants. The container may be gone after. */
void move_dispatch(struct move_step *s, enum lifecycle_event event);

/* Its remains of `run` shall be removed: at most once per run. */
void move_clean(struct move_step *s, uint32_t run);

void move_act(struct move_step *s, enum node_action_type type);
void move_report(struct move_step *s);

/* Removes the container from the table and frees it. */
void node_forget(struct node *node, struct node_container *c);

/* Brings the heap up to date with the container's deadlines. */
void due_update(struct node *node, struct node_container *c);
void due_remove(struct node *node, struct node_container *c);
uint64_t due_next(const struct node *node);
struct node_container *due_top(const struct node *node); /* NULL: none */

/* Sentences for people, into c->reason. */
void reason_exit(struct node_container *c, uint64_t ran_ms);
void reason_set(struct node_container *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void reason_add(struct node_container *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void reason_duration(uint64_t ms, char *ret, unsigned size);

#endif
