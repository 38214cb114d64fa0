// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_WORKER_LOAD_PRIV_H
#define WHERRY_AGENT_WORKER_LOAD_PRIV_H

/* What the two kinds of source (load_oci.c, load_saved.c) need of a load under way. */

#include "agent/worker/load.h"
#include "agent/worker/ocijson.h"
#include "agent/worker/source.h"

/* One load under way. */
struct run {
    const struct load *load;
    struct source *source;
    char (*staged)[IMAGE_DIGEST_MAX]; /* diff ids unpacked in this load */
    unsigned n_staged;
    unsigned n_images;
};

/* What is expected of one layer's file. */
struct layer_want {
    const char *file;    /* in the source */
    const char *digest;  /* of the stored bytes; NULL: not known */
    uint64_t size;       /* likewise */
    const char *diff_id; /* of the decompressed bytes */
    unsigned number, of; /* from 1 */
};

/* Unpacks the layer, unless it is known or was unpacked before in this load. */
int load_want_layer(struct run *run, const struct layer_want *want, struct err *e);

/* Adds a name in its normal form. */
int load_add_name(struct image *image, const char *text, struct err *e);

/* Adds what the descriptor's annotations call the image, if anything. */
int load_add_ref(const struct run *run, const struct ocijson_descriptor *d, struct image *image,
                 struct err *e);

/* Tells of an image whose layers are all there. Borrows. */
int load_emit_image(struct run *run, struct image *image, struct err *e);

#endif
