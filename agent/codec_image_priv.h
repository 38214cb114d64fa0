// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CODEC_IMAGE_PRIV_H
#define WHERRY_AGENT_CODEC_IMAGE_PRIV_H

/* What the two halves of the image codec (records, and messages of the worker) share. */

#include "agent/codec_image.h"
#include "common/doc.h"
#include "image.pb-c.h"

/* An image as a message that borrows from the structure, with what must be freed. */
struct codec_image_msg {
    Wherry__Image__Image image;
    Wherry__Image__Config config;
    Wherry__Image__Health health;
    char **diff_ids;
    Wherry__Image__Variable **env;
    Wherry__Image__Variable **labels;
};

void codec_image_msg_make(const struct image *image, struct codec_image_msg *ret);
void codec_image_msg_finish(struct codec_image_msg *msg);

/* Checks everything and makes a structure of its own. */
int codec_image_from_msg(const Wherry__Image__Image *msg, struct image *ret_image, struct err *e);
int codec_image_layer_check(const Wherry__Image__Layer *msg, struct index_layer *ret_layer,
                            struct err *e);
void codec_image_layer_make(const struct index_layer *layer, Wherry__Image__Layer *ret_msg);

/* doc_decode with the limits of images. */
int codec_image_message_decode(const ProtobufCMessageDescriptor *type, const void *bytes,
                               size_t len, struct doc *ret_doc, struct err *e);

#endif
