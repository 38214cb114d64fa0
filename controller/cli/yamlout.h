// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_YAMLOUT_H
#define WHERRY_CONTROLLER_CLI_YAMLOUT_H

/* Writes block YAML, line by line. Strings are quoted unless every reader takes them for the same
 * plain string; a '$' is doubled, because Compose files are interpolated. */

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

struct yamlout {
    struct buf *out;
    unsigned depth;
    const char *held; /* "- " in front of the next key of a list's element */
};

void yamlout_open(struct yamlout *y, const char *key); /* "key:", what follows is inside */
void yamlout_close(struct yamlout *y);
void yamlout_item(struct yamlout *y); /* an element with keys; close with yamlout_close */

void yamlout_text(struct yamlout *y, const char *key, const char *text);
void yamlout_raw(struct yamlout *y, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void yamlout_list(struct yamlout *y, const char *key, char *const *texts, size_t n);
void yamlout_millis(struct yamlout *y, const char *key, uint64_t ms);

#endif
