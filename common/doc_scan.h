// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_DOC_SCAN_H
#define WHERRY_COMMON_DOC_SCAN_H

/* Walks an encoded protobuf message by its descriptor before anything is allocated for it: nesting,
 * counts, lengths, wire types, text. What passes can be given to protobuf-c. Pure but for errors.
 * Format: https://protobuf.dev/programming-guides/encoding/ */

#include "common/doc.h"

/* -EBADMSG: the bytes are no such message, with field and offset; -E2BIG: a limit is passed. */
int doc_scan(const ProtobufCMessageDescriptor *type, const void *bytes, size_t len,
             const struct doc_limits *limits, struct err *e);

#endif
