// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_ASKROW_H
#define WHERRY_COMMON_ASKROW_H

/* A row of an answer that a node gives (link.proto, AskOpen): keys and values, each ended by a NUL.
 * What a reader does not know it does not see, so that nodes of different ages understand each
 * other. Pure; the bytes may come from a stranger. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define ASKROW_MAX (8u * 1024) /* bytes of one */

/* Appends a field. `value` NULL: "". */
void askrow_put(struct buf *row, const char *key, const char *value);
void askrow_putf(struct buf *row, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Whether it is one, of at most ASKROW_MAX bytes; an empty one is. The rest wants it so. */
bool askrow_is_valid(const void *row, size_t len);

/* The value of a key; NULL: it has none. Borrowed from the row. */
const char *askrow_get(const void *row, size_t len, const char *key);

/* "" where it has none. */
const char *askrow_text(const void *row, size_t len, const char *key);

/* 0 where it has none, or what is no number. */
uint64_t askrow_number(const void *row, size_t len, const char *key);

/* Goes through the fields: `*at` begins as the row, and false is the end. */
bool askrow_next(const void *row, size_t len, size_t *at, const char **ret_key,
                 const char **ret_value);

/* Rows in a file or a pipe follow each other, an empty key between them. Ends what was put since
 * the last one. */
void askrow_end(struct buf *rows);

/* The next row, borrowed; `*at` begins at 0. False: there is no other, or what follows is none. */
bool askrow_take(const void *rows, size_t len, size_t *at, const void **ret_row, size_t *ret_len);

#endif
