// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_IMAGES_H
#define WHERRY_AGENT_IMAGES_H

/* The image store of one node, <state>/images:
 *
 *   index          which images there are, of which layers (our own format, checksummed, replaced
 *                  by rename: after a crash it is the old one or the new one)
 *   layers/<link>  one unpacked layer each, flat and with short names, because the shim mounts one
 *                  idmapped clone of `layers` and names layers as subdirectories of it; plain ids
 *                  0..65535 on disk, whiteouts as char 0:0, opaque marks as user.overlay.opaque
 *   staging/       what a load in progress writes; trash/: what waits to be deleted
 *   pins/          <digest hex>.<owner>: this image is in use
 *   lock           held by the one command that changes the store
 *
 * Everything lies below a directory of mode 0700 owned by root: setuid files of images must not be
 * reachable for users of the host. Blocking and small: reading the index is one read of some
 * kilobytes. What changes the store is in images_txn.h and
 * images_rm.h. */

#include <stdbool.h>
#include <stddef.h>

#include "agent/image.h"
#include "common/err.h"

struct images;

/* Opens (and makes, where missing) the store of this state directory and reads its index. Gives
 * the handle. -EBADMSG: the index is damaged, said with its path. */
int images_open(const char *state_dir, struct images **ret_images, struct err *e);
void images_close(struct images *images);

/* Another handle on the same store, for a thread. */
int images_reopen(const struct images *images, struct images **ret_images, struct err *e);

/* Whether another process has replaced the index since it was read: one stat. */
bool images_changed(const struct images *images);

/* Reads the index again. On failure the old contents stay. Borrowed images become invalid. */
int images_reload(struct images *images, struct err *e);

unsigned images_count(const struct images *images);

/* Borrows until the next reload, commit or remove. */
const struct image *images_at(const struct images *images, unsigned i);

/* Finds by name ("busybox", "shop/web:1"), digest ("sha256:…", or at least 12 digits of it) or
 * both ("web@sha256:…"). Borrows as above; NULL: there is none, or the text is no reference. */
const struct image *images_find(const struct images *images, const char *reference);

/* Descriptor of layers/, O_PATH: borrows. */
int images_layers_fd(const struct images *images);
const char *images_layers_path(const struct images *images);

/* Marks the image as in use by `owner` (letters, digits, '-', '_', '.'; at most 64), so that
 * nobody removes it; idempotent. -ENOENT: it was removed meanwhile. Unpinning what is not pinned
 * is fine. */
int images_pin(struct images *images, const char *digest, const char *owner, struct err *e);
int images_unpin(struct images *images, const char *digest, const char *owner, struct err *e);

/* Digest of the image that `owner` has pinned. -ENOENT: none. Untouched on failure. */
int images_pin_of(const struct images *images, const char *owner, char ret_digest[IMAGE_DIGEST_MAX],
                  struct err *e);

/* Calls `each` for every pin; `keep` false removes it: for the agent's start, which knows its
 * containers. */
int images_pins_sweep(struct images *images, bool (*keep)(void *arg, const char *owner), void *arg,
                      struct err *e);

#endif
