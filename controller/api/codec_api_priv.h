// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CODEC_API_PRIV_H
#define WHERRY_CONTROLLER_CODEC_API_PRIV_H

/* Shared by the codec_api files: messages are put together in a pool that goes at once. */

#include "api.pb-c.h"
#include "common/doc.h"
#include "controller/api/codec_api.h"

struct codec_api_pool {
    struct codec_api_item *first;
};

void *codec_api_alloc(struct codec_api_pool *pool, size_t n, size_t size); /* zeroed */
/* The IPv6 address that follows from an IPv4 one, as text. */
char *codec_api_ipv6(struct codec_api_pool *pool, const struct api_world *w, uint32_t address);
char *codec_api_text(struct codec_api_pool *pool, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* A string of somebody else's that outlives the message. */
char *codec_api_borrow(const char *text);
void codec_api_pool_finish(struct codec_api_pool *pool);
#define auto_pool __attribute__((cleanup(codec_api_pool_finish)))

void codec_api_emit(const ProtobufCMessage *message, struct buf *out);

/* codec_api_status.c */
Wherry__Api__StackStatus *codec_api_stack(struct codec_api_pool *pool, const struct api_world *w,
                                          unsigned stack, int service);

/* Ports that the document in force gives a service. */
void codec_api_ports(const struct api_world *w, const char *stack, const char *service,
                     size_t *ret_n, Wherry__Spec__Port ***ret_list);

#endif
