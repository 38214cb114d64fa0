// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_CODEC_LINK_PRIV_H
#define WHERRY_COMMON_CODEC_LINK_PRIV_H

/* Between the parts of codec_link: each way has its file. */

#include "common/codec_link.h"
#include "common/doc.h"
#include "link.pb-c.h"

typedef Wherry__Link__Envelope codec_link_envelope;

#define CODEC_LINK_ARRAYS 8

/* What a decoded message borrows from. */
struct codec_link_memory {
    struct doc doc;
    void *arrays[CODEC_LINK_ARRAYS];
    unsigned n_arrays;
};

/* Turns the decoded envelope into `m`, whose memory is there. */
int codec_link_in(const codec_link_envelope *env, struct link_message *m, struct err *e);

/* `n` zeroed things that live as long as the message; NULL for none. */
void *codec_link_array(struct link_message *m, size_t n, size_t size);
struct id128 codec_link_sum_in(const Wherry__Link__Sum *sum); /* NULL: zero */

/* ---- codec_link_out.c: for making messages ---- */

/* protobuf-c's fields want char *; nothing writes through them. NULL is "". */
char *codec_link_text(const char *s);
ProtobufCBinaryData codec_link_bytes(const void *data, size_t len);
Wherry__Link__Sum codec_link_sum(struct id128 id);

/* `n` messages and the pointers to them that protobuf-c wants, in one block. */
struct codec_link_list {
    void **pointers;
    char *items;
    size_t item;
};

struct codec_link_list codec_link_list_of(size_t n, size_t item);
void codec_link_list_finish(struct codec_link_list *l);
#define auto_codec_link_list __attribute__((cleanup(codec_link_list_finish)))

void codec_link_put(codec_link_envelope *env, enum link_kind kind, struct buf *out);

/* ---- codec_link_report.c ---- */
void codec_link_report_out(const struct link_report *r, codec_link_envelope *env, struct buf *out);

/* ---- codec_link_services.c: both ways ---- */
int codec_link_services_in(const Wherry__Link__Services *s, struct link_message *m, struct err *e);
void codec_link_services_out(const struct link_services *s, codec_link_envelope *env,
                             struct buf *out);

#endif
