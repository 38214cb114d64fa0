// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_REPLY_H
#define WHERRY_CONTROLLER_CLI_REPLY_H

/* Reading the controller's answers (proto/api.proto): a field that is absent, or of another type,
 * is at its default. Everything returned is borrowed from the object, which may be NULL. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

const char *reply_text(const json_t *object, const char *key); /* never NULL */
uint64_t reply_number(const json_t *object, const char *key);
bool reply_flag(const json_t *object, const char *key);
const json_t *reply_list(const json_t *object, const char *key); /* NULL: empty */
const json_t *reply_object(const json_t *object, const char *key);

/* The element of a list of objects whose `key` is `text`; NULL: none. */
const json_t *reply_find(const json_t *list, const char *key, const char *text);

/* Appends a list of spec.Port as people write it: "8080->80, 53->53/udp, 9000->9000 (this host)". */
void reply_ports(const json_t *ports, struct buf *out);

#endif
