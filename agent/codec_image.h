// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CODEC_IMAGE_H
#define WHERRY_AGENT_CODEC_IMAGE_H

/* Image records and the image store's index (proto/image.proto) as plain structures. Decoding
 * trusts nothing: sizes are capped, every name, digest and number is checked against its grammar,
 * because what was recorded came from a process that reads hostile input. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/image.h"
#include "common/buf.h"
#include "common/err.h"

#define CODEC_IMAGE_LAYERS_MAX 8192 /* in one store */
#define CODEC_IMAGE_IMAGES_MAX 4096
#define CODEC_IMAGE_INDEX_MAX  (64u * 1024 * 1024)

struct index_layer {
    char diff_id[IMAGE_DIGEST_MAX];
    uint32_t link;
    uint64_t bytes;
    uint32_t entries;
    bool opaque; /* hides everything below */
};

struct image_index {
    uint32_t next_link;
    struct index_layer *layers;
    unsigned n_layers;
    struct image *images; /* their `layers` are not filled by the codec */
    unsigned n_images;
};

void codec_image_index_finish(struct image_index *index);
void codec_image_index_encode(const struct image_index *index, struct buf *out);

/* -EBADMSG or -E2BIG with the reason. */
int codec_image_index_decode(const void *bytes, size_t len, struct image_index *ret_index,
                             struct err *e);

/* Deep copies. Of the index without the images' `layers`. */
void codec_image_index_copy(const struct image_index *from, struct image_index *to);
void codec_image_copy(const struct image *image, struct image *ret_image);

#endif
