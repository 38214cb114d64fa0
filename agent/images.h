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
 * kilobytes; begin, commit and remove touch the disk and belong to a thread or a command. */

#include <stdbool.h>
#include <stddef.h>

#include "agent/image.h"
#include "common/err.h"

struct images;

/* Opens (and makes, where missing) the store of this state directory and reads its index. Gives
 * the handle. -EBADMSG: the index is damaged, said with its path. */
int images_open(const char *state_dir, struct images **ret_images, struct err *e);
void images_close(struct images *images);

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

/* Calls `each` for every pin; `keep` false removes it: for the agent's start, which knows its
 * containers. */
int images_pins_sweep(struct images *images, bool (*keep)(void *arg, const char *owner), void *arg,
                      struct err *e);

/* Takes the store's lock (waiting for it if `wait`, else -EBUSY naming the holder), removes what
 * earlier, interrupted loads left, makes an empty staging directory. Gives its descriptor, which
 * the caller closes. */
int images_begin(struct images *images, bool wait, int *ret_staging_fd, struct err *e);

/* What a load produced, collected from the worker's events. */
struct image_staged;
struct image_staged *image_staged_create(void);
void image_staged_destroy(struct image_staged *staged);

/* Takes one encoded LoadEvent that is a layer or an image (others: -EINVAL). */
int image_staged_add(struct image_staged *staged, const void *event, size_t len, struct err *e);

/* Moves the staged layers into place, syncs, and puts the images into the index; then releases
 * the lock. After a failure nothing has changed. `ret_digests` (may be NULL) gets a
 * NULL-terminated array of the images' digests: free each and the array. */
int images_commit(struct images *images, const struct image_staged *staged, char ***ret_digests,
                  struct err *e);

/* Throws the staging directory away and releases the lock. No effect without images_begin. */
void images_abort(struct images *images);

/* Diff ids of all unpacked layers: NULL-terminated, borrowed strings; free the array. */
const char **images_known(const struct images *images);

/* Removes a name; and the image with its unshared layers when that was its last name, or when it
 * is named by digest. -ENOENT, -EBUSY (in use: by whom; or the lock is held). `ret_removed` (may
 * be NULL): whether the image itself went. */
int images_remove(struct images *images, const char *reference, bool wait, bool *ret_removed,
                  struct err *e);

#endif
