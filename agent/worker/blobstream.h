// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_WORKER_BLOBSTREAM_H
#define WHERRY_AGENT_WORKER_BLOBSTREAM_H

/* A blob read from its first byte to its last, decompressed on the way (none, gzip, zstd, told by
 * the first bytes), with the SHA-256 of what is stored and of what comes out. It refuses to become
 * absurdly larger than it is stored: 200 times, once 256 MiB have come out. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/worker/sha.h"
#include "common/err.h"

#define BLOBSTREAM_RATIO_MAX  200
#define BLOBSTREAM_RATIO_FREE (256u * 1024 * 1024)

struct blobstream;

/* Borrows `fd` (read with pread) until destroyed. */
struct blobstream *blobstream_create(int fd, uint64_t offset, uint64_t size);
void blobstream_destroy(struct blobstream *stream); /* accepts NULL */

/* Borrows the next piece until the following call. Returns its length, 0 at the end, or a negative
 * errno: -EBADMSG (damaged, truncated, bytes behind the end), -EFBIG (the ratio), what read gave.
 */
ssize_t blobstream_read(struct blobstream *stream, const void **ret_data, struct err *e);

/* Reads to the end, for the digests. */
int blobstream_drain(struct blobstream *stream, struct err *e);

/* After the end, once each: of the stored bytes, and of the decompressed ones. */
void blobstream_stored_digest(struct blobstream *stream, char ret_text[SHA_TEXT]);
void blobstream_digest(struct blobstream *stream, char ret_text[SHA_TEXT]);

/* Stored bytes read so far. */
uint64_t blobstream_position(const struct blobstream *stream);

#endif
