// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_IMAGES_PRIV_H
#define WHERRY_AGENT_IMAGES_PRIV_H

/* The store's handle, shared by reading (images.c) and changing (images_txn.c). */

#include <sys/stat.h>

#include "agent/codec_image.h"
#include "agent/images.h"

struct images {
    char *path; /* <state>/images */
    char *layers_path;
    int fd; /* of `path` */
    int layers_fd;
    int pins_fd;
    struct image_index index;
    struct stat seen; /* of the index file when read; zeroed: there was none */
};

/* Fills `layers` of every image from the index's layers: top first, no repetition, nothing below
 * an opaque layer. -EBADMSG: an image names a layer that is not there. */
int images_resolve(struct image_index *index, struct err *e);

/* Appends the owners of this image's pins to `out`, separated by ", ", at most a few; returns how
 * many there are, or a negative errno. */
int images_pinned_by(const struct images *images, const char *digest, char *out, size_t size,
                     struct err *e);

/* Whether each pin names an image of the index. */
bool images_pins_are_known(const struct images *images);

#endif
