// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_COMPOSE_CHECK_PRIV_H
#define WHERRY_COMMON_COMPOSE_CHECK_PRIV_H

/* Between the parts of compose_check: what every message needs, what a container needs, and what
 * holds between services. */

#include "common/compose_check.h"

struct compose_check {
    struct err *e;
    char path[512]; /* of what is being looked at: "services.web" */
};

/* Sets "<path>.<key>: <text>"; `key` may be "". Returns -EINVAL. */
int compose_check_say(struct compose_check *c, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Passes 0; else puts "<path>.<key>: " in front of what `e` says. */
int compose_check_rule(struct compose_check *c, const char *key, int rc);

/* Lengths of strings, enums, missing parts, unknown fields: by the descriptor. */
int compose_check_shape(struct compose_check *c, const ProtobufCMessage *message);
/* Keys valid, sorted, each once. */
int compose_check_pairs(struct compose_check *c, const char *key, Wherry__Spec__KeyValue **pairs,
                        size_t n, int (*rule)(const char *, struct err *));
int compose_check_container(struct compose_check *c, const Wherry__Spec__Stack *stack,
                            const Wherry__Spec__Container *container);
/* compose_check_net.c: networks, names, limits of links. */
int compose_check_networks(struct compose_check *c, const Wherry__Spec__Stack *stack);
int compose_check_container_net(struct compose_check *c, const Wherry__Spec__Stack *stack,
                                const Wherry__Spec__Container *container);
int compose_check_between(struct compose_check *c, const Wherry__Spec__Stack *stack);
/* No service waits for itself, by any way. */
int compose_check_cycles(struct compose_check *c, const Wherry__Spec__Stack *stack);

#endif
