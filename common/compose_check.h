// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_COMPOSE_CHECK_H
#define WHERRY_COMMON_COMPOSE_CHECK_H

/* Whether a decoded Stack is one that the reader could have made: every limit, name, reference and
 * order. The reader asks at its end; the controller asks of what a client sent, trusting nothing.
 * A document with fields that this version does not know is refused: they would not be honoured. */

#include "common/err.h"
#include "spec.pb-c.h"

/* -EINVAL with "<path>: <what was found, what is allowed>", the path as in a Compose file. */
int compose_check(const Wherry__Spec__Stack *stack, struct err *e);

#endif
