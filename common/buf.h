// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_BUF_H
#define WHERRY_COMMON_BUF_H

/* A growable byte buffer, always NUL-terminated after its length, so that text can be used as a
 * C string. Zeroed memory is an empty buffer. Memory that cannot be had ends the process; whoever
 * appends what a peer sent caps it first. */

#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data; /* NULL while empty */
    size_t len;
    size_t cap;
};

void buf_finish(struct buf *b);
void buf_clear(struct buf *b); /* keeps the memory */
void buf_reserve(struct buf *b, size_t more);
void buf_append(struct buf *b, const void *data, size_t len);
void buf_puts(struct buf *b, const char *text);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_consume(struct buf *b, size_t len); /* drops the first `len` bytes */
char *buf_take(struct buf *b);               /* gives the text (never NULL), leaves `b` empty */
const char *buf_text(const struct buf *b);   /* borrows; "" while empty */

#define auto_buf __attribute__((cleanup(buf_finish)))

#endif
