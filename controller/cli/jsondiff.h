// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_JSONDIFF_H
#define WHERRY_CONTROLLER_CLI_JSONDIFF_H

/* How two documents of one kind differ, for people: one line each,
 *
 *   environment.COLOUR: blue -> green
 *   ports[1]: {"target":81} (new)
 *   limits.memory: 32 MiB (gone) */

#include <jansson.h>

#include "common/buf.h"

/* Appends at most `max` lines, each with `head` in front; then that there are more. */
void jsondiff_put(const json_t *from, const json_t *to, const char *head, unsigned max,
                  struct buf *out);

#endif
