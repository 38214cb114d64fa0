// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_COMPOSE_OBJECT_H
#define WHERRY_COMMON_COMPOSE_OBJECT_H

/* Reads a mapping by its table, and the kinds of value that many keys share. */

#include "common/compose_table.h"

const struct compose_row *compose_object_find(const struct compose_object *object, const char *key);

/* Every key of the mapping by its row; keys without one are errors. */
void compose_object_read(struct compose_reader *r, const struct compose_object *object,
                         const struct compose_at *at, const struct compose_node *node,
                         ProtobufCMessage *message);
/* The presets of the keys that the mapping (NULL: there is none) does not have. */
void compose_object_preset(struct compose_reader *r, const struct compose_object *object,
                           const struct compose_at *at, const struct compose_node *node,
                           ProtobufCMessage *message);

/* Where a field lives; parts on the way are made if `r` is given. NULL: there is no such field. */
const ProtobufCFieldDescriptor *compose_object_field(struct compose_reader *r,
                                                     ProtobufCMessage *message, const char *field,
                                                     void **ret_place);
/* The same without a message: what a table test asks. */
const ProtobufCFieldDescriptor *compose_object_describe(const ProtobufCMessageDescriptor *type,
                                                        const char *field);

compose_decode compose_object_nested; /* a mapping by row->object, into the same message */
compose_decode compose_object_text;   /* rule */
compose_decode compose_object_flag;
compose_decode compose_object_number; /* min, max; uint32 and uint64 fields, like the next three */
compose_decode compose_object_bytes;
compose_decode compose_object_millis;
compose_decode compose_object_cpus;
compose_decode compose_object_choice; /* words */

#endif
