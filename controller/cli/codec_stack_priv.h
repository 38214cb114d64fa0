// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_CODEC_STACK_PRIV_H
#define WHERRY_CONTROLLER_CLI_CODEC_STACK_PRIV_H

/* Parts of codec_stack_to_compose. */

#include <stdbool.h>

#include "controller/cli/yamlout.h"
#include "spec.pb-c.h"

void codec_stack_put_pairs(struct yamlout *y, const char *key, Wherry__Spec__KeyValue *const *pairs,
                           size_t n);

/* codec_stack_net.c: of a service, what "x-wherry" says of its link, and of the stack. */
void codec_stack_put_net(struct yamlout *y, const Wherry__Spec__Stack *stack,
                         const Wherry__Spec__Container *c);
bool codec_stack_has_link(const Wherry__Spec__Service *s);
void codec_stack_put_link(struct yamlout *y, const Wherry__Spec__Service *s);
void codec_stack_put_networks(struct yamlout *y, const Wherry__Spec__Stack *stack);

#endif
