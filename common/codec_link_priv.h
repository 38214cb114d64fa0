// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_CODEC_LINK_PRIV_H
#define WHERRY_COMMON_CODEC_LINK_PRIV_H

/* Between the parts of codec_link: each way has its file. */

#include "common/codec_link.h"
#include "common/doc.h"
#include "link.pb-c.h"

typedef Wherry__Link__Envelope codec_link_envelope;

#define CODEC_LINK_ARRAYS 2

/* What a decoded message borrows from. */
struct codec_link_memory {
    struct doc doc;
    void *arrays[CODEC_LINK_ARRAYS];
    unsigned n_arrays;
};

/* Turns the decoded envelope into `m`, whose memory is there. */
int codec_link_in(const codec_link_envelope *env, struct link_message *m, struct err *e);

#endif
