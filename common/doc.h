// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_DOC_H
#define WHERRY_COMMON_DOC_H

/* Walks over any protobuf message by its descriptor, so that nothing is written per message: JSON,
 * canonical bytes and digest, limits, and decoding from a hostile frame. A new field costs a line
 * in a .proto file and nothing here.
 *
 * Limits (deploy/docs and proto/README.md): nesting 16, 1,024 elements per repeated field (more
 * where DOC_WIDE is said), strings 4 KiB, bytes up to the frame. */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define DOC_DEPTH_MAX    16
#define DOC_REPEATED_MAX 1024
#define DOC_WIDE_MAX     65536
#define DOC_STRING_MAX   4096
#define DOC_LONG_MAX     65536 /* command and environment strings */
#define DOC_DIGEST       32    /* SHA-256 */
#define DOC_SPEC_MAX     (256 * 1024)

struct doc_limits {
    size_t repeated_max; /* elements of one repeated field */
    size_t string_max;   /* bytes of one string */
};

extern const struct doc_limits doc_limits_default; /* DOC_REPEATED_MAX, DOC_LONG_MAX */
extern const struct doc_limits doc_limits_wide;    /* DOC_WIDE_MAX, DOC_LONG_MAX: state sets */

/* A decoded message and everything in it: one block of memory, freed by doc_free. */
struct doc {
    ProtobufCMessage *message; /* NULL: empty */
    void *arena;
};

/* Walks the encoded bytes for depth, counts and lengths, then decodes them into one arena of at
 * most `4 * len + 64 KiB` bytes. Returns 0; -EBADMSG with the place and the reason in `e`;
 * -E2BIG when a limit is passed. */
int doc_decode(const ProtobufCMessageDescriptor *type, const void *bytes, size_t len,
               const struct doc_limits *limits, struct doc *ret_doc, struct err *e);
void doc_free(struct doc *doc);
#define auto_doc __attribute__((cleanup(doc_free)))

/* Appends the canonical encoding: fields by number, defaults left out (what protobuf-c packs). */
void doc_encode(const ProtobufCMessage *message, struct buf *out);

/* SHA-256 of the canonical encoding. */
void doc_digest(const ProtobufCMessage *message, uint8_t ret_digest[DOC_DIGEST]);
void doc_digest_hex(const uint8_t digest[DOC_DIGEST], char ret_hex[2 * DOC_DIGEST + 1]);

/* Appends JSON: field names as in the .proto, enums by lower-case name without the common prefix,
 * 64-bit numbers as numbers, bytes as lower-case hexadecimal, defaults left out; sub-messages of
 * repeated {key, value} pairs as objects. */
void doc_to_json(const ProtobufCMessage *message, struct buf *out);

/* Appends a JSON string with its quotes; invalid UTF-8 becomes U+FFFD. */
void doc_json_string(struct buf *out, const char *text);

/* Name of an enum value as in JSON ("replicated", "tcp"), or "?". */
const char *doc_enum_name(const ProtobufCEnumDescriptor *type, int value, char *scratch,
                          size_t scratch_len);

#endif
