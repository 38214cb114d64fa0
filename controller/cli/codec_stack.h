// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_CODEC_STACK_H
#define WHERRY_CONTROLLER_CLI_CODEC_STACK_H

/* A stack's document, for commands that do not know its message. */

#include "common/buf.h"
#include "common/doc.h"

/* Borrowed from the document. */
const char *codec_stack_name(const struct doc *stack);

/* Appends the document as a Compose file that reads back into the same document. */
void codec_stack_to_compose(const struct doc *stack, struct buf *out);

#endif
