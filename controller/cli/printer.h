// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_PRINTER_H
#define WHERRY_CONTROLLER_CLI_PRINTER_H

/* Any JSON value as indented text for people: "key: value" lines, lists with dashes, times and
 * sizes by the ends of their names (_unix_ms, _bytes, _ms). */

#include <jansson.h>

#include "common/buf.h"

/* Appends one value, or a key without the unit that its value says. */
void printer_scalar(const char *key, const json_t *value, struct buf *out);
void printer_key(const char *key, struct buf *out);

/* Appends the object's fields, each on lines that begin with `indent` spaces. */
void printer_put(const json_t *object, unsigned indent, struct buf *out);

#endif
