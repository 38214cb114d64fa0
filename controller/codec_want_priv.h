// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CODEC_WANT_PRIV_H
#define WHERRY_CONTROLLER_CODEC_WANT_PRIV_H

/* Between the parts of codec_want: codec_want.c (a document), codec_want_ask.c (what one replica
 * takes), codec_want_merge.c (a document from two). */

#include "controller/codec_want.h"
#include "spec.pb-c.h"

/* `stack` NULL: which volumes are external is not known. What is in `ret` is to be freed even after
 * an error. */
int codec_want_ask_of(const Wherry__Spec__Container *c, const Wherry__Spec__Stack *stack,
                      struct fleet_ask *ret, struct err *e);

#endif
