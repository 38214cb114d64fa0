// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CODEC_STORE_H
#define WHERRY_CONTROLLER_CODEC_STORE_H

/* Keys and values of the controller's store (store.proto) as plain C. What is read is held to the
 * limits of common/doc.h; an error names what is wrong, and the caller puts the key before it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "controller/core/fleet.h"

#define CODEC_STORE_CLUSTER   "cluster"
#define CODEC_STORE_NODES     "node/"
#define CODEC_STORE_STACKS    "stack/"
#define CODEC_STORE_EARLIER   "stackrev/"
#define CODEC_STORE_REVISIONS "rev/"
#define CODEC_STORE_BLOCKS    "place/"
#define CODEC_STORE_VOLUMES   "volume/"
#define CODEC_STORE_VIPS      "vip/"
#define CODEC_STORE_KEY       320 /* the longest key and its end */

struct codec_store_cluster {
    struct id128 id;
    uint64_t epoch;
    char range[32];
    unsigned node_prefix;
    uint64_t created_unix_ms;
    bool encrypt; /* what goes from node to node */
};

struct codec_store_node {
    struct id128 id;
    char name[FLEET_NAME];
    uint32_t block;
    uint64_t joined_unix_ms;
    bool lost;
};

struct codec_store_stack {
    char name[FLEET_NAME];
    uint32_t revision;
    uint64_t applied_unix_ms;
    uint8_t applied_digest[FLEET_DIGEST]; /* zero: something was removed since */
    const void *document;                 /* when read: until codec_store_stack_free */
    size_t len;
    void *memory;
};

struct codec_store_volume {
    char name[FLEET_VOLUME];
    char stack[FLEET_NAME];
    struct id128 node_id;
    uint64_t made_unix_ms;
};

/* Keys, into buffers of CODEC_STORE_KEY bytes. */
void codec_store_key_node(struct id128 id, char *ret);
void codec_store_key_stack(const char *stack, char *ret);
void codec_store_key_earlier(const char *stack, uint32_t revision, char *ret);
void codec_store_key_revision(const uint8_t digest[FLEET_DIGEST], char *ret);
void codec_store_key_block(const char *stack, const char *service, uint32_t block, char *ret);
void codec_store_key_volume(const char *volume, char *ret);
void codec_store_key_vips(const char *stack, const char *service, char *ret);

/* The digest that a revision's key names. -EINVAL: it is no such key. */
int codec_store_parse_revision(const char *key, uint8_t ret_digest[FLEET_DIGEST], struct err *e);
/* Stack and service that a block's key names; both buffers of FLEET_NAME bytes. */
int codec_store_parse_block(const char *key, char *ret_stack, char *ret_service,
                            uint32_t *ret_block, struct err *e);

/* Likewise of virtual addresses. */
int codec_store_parse_vips(const char *key, char *ret_stack, char *ret_service, struct err *e);

/* Values. A write appends. */
int codec_store_read_cluster(const void *bytes, size_t len, struct codec_store_cluster *ret,
                             struct err *e);
void codec_store_write_cluster(const struct codec_store_cluster *c, struct buf *out);
int codec_store_read_node(const void *bytes, size_t len, struct codec_store_node *ret,
                          struct err *e);
void codec_store_write_node(const struct codec_store_node *n, struct buf *out);
int codec_store_read_stack(const void *bytes, size_t len, struct codec_store_stack *ret,
                           struct err *e);
void codec_store_stack_free(struct codec_store_stack *s);
void codec_store_write_stack(const struct codec_store_stack *s, struct buf *out);
int codec_store_read_volume(const void *bytes, size_t len, struct codec_store_volume *ret,
                            struct err *e);
void codec_store_write_volume(const struct codec_store_volume *v, struct buf *out);

/* Calls `cb` for each virtual address of a service, once all have been checked. */
int codec_store_read_vips(const void *bytes, size_t len,
                          void (*cb)(void *arg, const struct fleet_vip_view *vip), void *arg,
                          struct err *e);
void codec_store_write_vips(const struct fleet_vip_view *list, unsigned n, struct buf *out);

/* Calls `cb` for each placement of a block, in order; stack and service are set to those given.
 * Nothing is called before all of it has been checked. */
int codec_store_read_block(const void *bytes, size_t len, const char *stack, const char *service,
                           void (*cb)(void *arg, const struct fleet_load_placement *p), void *arg,
                           struct err *e);
void codec_store_write_block(const struct fleet_placement_view *list, unsigned n, struct buf *out);

#endif
