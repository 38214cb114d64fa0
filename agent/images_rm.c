// SPDX-License-Identifier: Apache-2.0
#include "agent/images_rm.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "agent/image_file.h"
#include "agent/images_priv.h"
#include "agent/images_sweep.h"
#include "agent/images_txn.h"
#include "common/imageref.h"

static bool layer_is_used(const struct image_index *index, const char *diff_id)
{
    for (unsigned i = 0; i < index->n_images; i++) {
        for (unsigned k = 0; k < index->images[i].n_diff_ids; k++) {
            if (strcmp(index->images[i].diff_ids[k], diff_id) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void drop_image(struct image_index *index, const char *digest)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < index->n_images; i++) {
        if (strcmp(index->images[i].digest, digest) == 0) {
            image_finish(&index->images[i]);
        } else {
            index->images[kept++] = index->images[i];
        }
    }
    index->n_images = kept;
    kept = 0;
    for (unsigned i = 0; i < index->n_layers; i++) {
        if (layer_is_used(index, index->layers[i].diff_id)) {
            index->layers[kept++] = index->layers[i];
        }
    }
    index->n_layers = kept;
}

static int refuse_pinned(const struct images *images, const char *digest, struct err *e)
{
    char owners[200];
    int n = images_pinned_by(images, digest, owners, sizeof(owners), e);

    if (n <= 0) {
        return n;
    }
    return err_say(e, EBUSY, "image %s is in use by %d container%s: %s", digest, n,
                   n == 1 ? "" : "s", owners);
}

static int remove_image(struct images *images, const char *digest, struct err *e)
{
    struct image_index index;
    int rc = refuse_pinned(images, digest, e);

    if (rc < 0) {
        return rc;
    }
    codec_image_index_copy(&images->index, &index);
    drop_image(&index, digest);
    rc = image_file_write(images->fd, images->path, &index, e);
    codec_image_index_finish(&index);
    if (rc < 0) {
        return rc;
    }
    rc = refuse_pinned(images, digest, e);
    if (rc < 0) { /* pinned just now: put it back, nothing is deleted yet */
        (void)image_file_write(images->fd, images->path, &images->index, NULL);
        return rc;
    }
    rc = images_reload(images, e);
    if (rc == 0) {
        rc = images_sweep_layers(images, e);
    }
    return rc == 0 ? images_sweep_trash(images, e) : rc;
}

static int remove_name(struct images *images, const char *digest, const char *name, struct err *e)
{
    struct image_index index;
    int rc;

    codec_image_index_copy(&images->index, &index);
    for (unsigned i = 0; i < index.n_images; i++) {
        if (strcmp(index.images[i].digest, digest) == 0) {
            image_name_drop(&index.images[i], name);
        }
    }
    rc = image_file_write(images->fd, images->path, &index, e);
    codec_image_index_finish(&index);
    return rc < 0 ? rc : images_reload(images, e);
}

static int remove_found(struct images *images, const char *reference, bool *ret_removed,
                        struct err *e)
{
    const struct image *image = images_find(images, reference);
    char digest[IMAGE_DIGEST_MAX];
    struct imageref ref;
    bool by_name;

    if (image == NULL) {
        return err_say(e, ENOENT, "image '%.200s' is not on this node", reference);
    }
    memcpy(digest, image->digest, sizeof(digest));
    by_name = imageref_parse(reference, &ref, NULL) == 0 && ref.digest[0] == '\0' &&
              image_has_name(image, ref.name);
    *ret_removed = !by_name || image->n_names <= 1;
    return *ret_removed ? remove_image(images, digest, e)
                        : remove_name(images, digest, ref.name, e);
}

int images_rm(struct images *images, const char *reference, bool wait, bool *ret_removed,
              struct err *e)
{
    struct images_txn *txn;
    bool removed = false;
    int rc = images_txn_begin(images, wait, &txn, e);

    if (rc < 0) {
        return rc;
    }
    rc = remove_found(images, reference, &removed, e);
    images_txn_end(txn);
    if (rc == 0 && ret_removed != NULL) {
        *ret_removed = removed;
    }
    return rc;
}
