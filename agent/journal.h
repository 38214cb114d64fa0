// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_JOURNAL_H
#define WHERRY_AGENT_JOURNAL_H

/* What an agent must not forget when the power fails: who it is, what it has been told, how often
 * a container may still be started. One append-only file; a batch is one write and one fdatasync:
 *
 *   file   = head batch*
 *   head   = "WHERRYJ1"                         (format and version)
 *   batch  = u32 mark, u32 length, u32 CRC32C of the payload, u32 CRC32C of these twelve bytes,
 *            payload
 *   payload= (u32 length, that many bytes)*     (one record each)       all numbers little-endian
 *
 * A batch counts whole or not at all. A last batch that was cut off by a crash is dropped and the
 * file truncated there; anything else that is not as written is refused with its place, because
 * guessing would lose what was acknowledged. When the file has grown large it is replaced, by
 * rename, with one batch that says the same. Everything here blocks: it runs at the start, and on
 * a pool thread afterwards (uv_journal.h). */

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define JOURNAL_RECORD_MAX (300u * 1024)
#define JOURNAL_BATCH_MAX  (64u * 1024 * 1024)

struct journal;

/* One record, borrowed during the call. A negative return ends the replay with that error. */
typedef int (*journal_each)(void *arg, const void *bytes, size_t len, struct err *e);

/* Opens or makes `journal` in the directory, replays it, cuts off a torn tail. Gives the handle.
 * -EBADMSG: damaged, said with path and offset. `ret_torn` (may be NULL): bytes cut off. */
int journal_open(int dir_fd, const char *dir_path, journal_each each, void *arg,
                 struct journal **ret_journal, size_t *ret_torn, struct err *e);
void journal_close(struct journal *journal);

/* Adds one record to a payload. At most JOURNAL_RECORD_MAX bytes. */
void journal_put(struct buf *payload, const void *bytes, size_t len);

/* Makes the records of `payload` durable as one batch. After a failure nothing of it counts, and
 * the journal must be replaced before anything is appended (-ESTALE until then). */
int journal_append(struct journal *journal, const struct buf *payload, struct err *e);

/* Replaces everything by one batch: new file, sync, rename, sync of the directory. */
int journal_replace(struct journal *journal, const struct buf *payload, struct err *e);

/* Bytes of the file now, and right after it was last replaced or opened. */
uint64_t journal_size(const struct journal *journal);
uint64_t journal_base_size(const struct journal *journal);

/* The replay alone, over bytes in memory: for tests and fuzzing. Returns how many bytes are good
 * (the rest is a torn tail), or a negative errno. */
int64_t journal_scan(const void *bytes, size_t len, journal_each each, void *arg, struct err *e);

#endif
