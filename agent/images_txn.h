// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_IMAGES_TXN_H
#define WHERRY_AGENT_IMAGES_TXN_H

/* Changes of the image store, above all putting in what a load has unpacked. One at a time per
 * store, across processes, by a lock file. Everything here waits for the disk, so it belongs to a
 * command or a thread, with a handle of its own, never to the event loop.
 *
 * After a crash at any point the index is the old one or the new one, and whatever lies about is
 * swept by the next transaction. */

#include <stdbool.h>
#include <stddef.h>

#include "agent/images.h"
#include "common/err.h"

struct images_txn;

/* Takes the lock (waiting for it if `wait`, else -EBUSY naming the holder), reads the index again,
 * sweeps what interrupted transactions left, makes an empty staging directory. Borrows `images`
 * until the end. */
int images_txn_begin(struct images *images, bool wait, struct images_txn **ret_txn, struct err *e);

/* The staging directory, for the worker: borrows. */
int images_txn_staging_fd(const struct images_txn *txn);

/* Diff ids of all unpacked layers: NULL-terminated, strings borrowed; free the array. */
const char **images_txn_known(const struct images_txn *txn);

/* Remembers one encoded LoadEvent that is a layer or an image (others: -EINVAL). Not the disk. */
int images_txn_add(struct images_txn *txn, const void *event, size_t len, struct err *e);

/* Moves the staged layers into place, syncs, and puts the images into the index. After a failure
 * nothing has changed. `ret_digests` (may be NULL) gets the NULL-terminated digests of the images:
 * image_strv_free. */
int images_txn_commit(struct images_txn *txn, char ***ret_digests, struct err *e);

/* Throws staging away, releases the lock, frees. Accepts NULL. */
void images_txn_end(struct images_txn *txn);

#endif
