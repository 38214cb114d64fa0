// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_FRAME_H
#define WHERRY_COMMON_FRAME_H

/* Frames on a byte stream: u32 big-endian length, then that many bytes (one Envelope). Knows
 * nothing of sockets: bytes come in, frames come out, whatever the stream below is (TCP, a unix
 * socket, TLS, the simulator's network). A length of zero or over the cap is refused before
 * anything is allocated. Pure but for memory. */

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define FRAME_HEADER    4
#define FRAME_MAX_FIRST (64u * 1024)   /* before the peer is known */
#define FRAME_MAX       (1024u * 1024) /* after */

struct frame_reader {
    struct buf in;
    size_t done; /* bytes of `in` already handed out */
    uint32_t max;
};

void frame_reader_init(struct frame_reader *r, uint32_t max);
void frame_reader_finish(struct frame_reader *r);

/* Takes the next bytes of the stream (copies). Returns 0, or -EMSGSIZE when the frame they begin
 * is longer than the cap or empty: drop the peer. */
int frame_feed(struct frame_reader *r, const void *bytes, size_t len, struct err *e);

/* Borrows the next whole frame until the following call. Returns 1 with a frame, 0 when more
 * bytes are needed, -EMSGSIZE as above. */
int frame_next(struct frame_reader *r, const uint8_t **ret_bytes, size_t *ret_len, struct err *e);

/* Appends header and payload. `len` is at most FRAME_MAX. */
void frame_put(struct buf *out, const void *bytes, size_t len);

#endif
