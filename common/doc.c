// SPDX-License-Identifier: Apache-2.0
#include "common/doc.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/doc_scan.h"

/* protobuf-c keeps about 40 bytes per field while it decodes, and a field can be two bytes: so the
 * arena may grow to this many times the message, in blocks as they are needed. */
#define ARENA_TIMES 32
#define ARENA_FIXED (64u * 1024)
#define BLOCK_MIN   4096u
#define ALIGN       16u

const struct doc_limits doc_limits_default = {.repeated_max = DOC_REPEATED_MAX,
                                              .string_max = DOC_LONG_MAX};
const struct doc_limits doc_limits_wide = {.repeated_max = DOC_WIDE_MAX,
                                           .string_max = DOC_LONG_MAX};

/* ---- the arena ---- */

struct block {
    struct block *next;
    size_t used, size; /* of `data` */
    _Alignas(ALIGN) unsigned char data[];
};

struct arena {
    struct block *blocks;
    size_t total, max;
};

static void *arena_alloc(void *arg, size_t size)
{
    struct arena *arena = arg;
    struct block *block = arena->blocks;
    size_t want = (size + ALIGN - 1) / ALIGN * ALIGN;
    void *p;

    if (want < size || want > arena->max - arena->total) {
        return NULL;
    }
    if (block == NULL || block->size - block->used < want) {
        size_t room = want > BLOCK_MIN ? want : BLOCK_MIN;

        block = xmalloc(sizeof(*block) + room);
        *block = (struct block){.next = arena->blocks, .size = room};
        arena->blocks = block;
    }
    p = block->data + block->used;
    block->used += want;
    arena->total += want;
    return p;
}

/* Everything goes at once. */
static void arena_keep(void *arg, void *p)
{
    (void)arg;
    (void)p;
}

static void arena_free(struct arena *arena)
{
    struct block *block = arena->blocks;

    while (block != NULL) {
        struct block *next = block->next;

        free(block);
        block = next;
    }
    free(arena);
}

/* ---- decoding ---- */

int doc_decode(const ProtobufCMessageDescriptor *type, const void *bytes, size_t len,
               const struct doc_limits *limits, struct doc *ret_doc, struct err *e)
{
    struct arena *arena;
    ProtobufCAllocator allocator = {.alloc = arena_alloc, .free = arena_keep};
    ProtobufCMessage *message;
    int rc = doc_scan(type, bytes, len, limits, e);

    if (rc < 0) {
        return rc;
    }
    arena = xcalloc(1, sizeof(*arena));
    arena->max =
        len > (SIZE_MAX - ARENA_FIXED) / ARENA_TIMES ? SIZE_MAX : len * ARENA_TIMES + ARENA_FIXED;
    allocator.allocator_data = arena;
    message = protobuf_c_message_unpack(type, &allocator, len, bytes);
    if (message == NULL) {
        rc = arena->max - arena->total < len + BLOCK_MIN
                 ? err_say(e, E2BIG, "message needs more memory than %zu bytes", arena->max)
                 : err_say(e, EBADMSG, "message is no %s", type->name);
        arena_free(arena);
        return rc;
    }
    *ret_doc = (struct doc){.message = message, .arena = arena};
    return 0;
}

void doc_free(struct doc *doc)
{
    if (doc->arena != NULL) {
        arena_free(doc->arena);
    }
    *doc = (struct doc){0};
}

/* ---- encoding ---- */

void doc_encode(const ProtobufCMessage *message, struct buf *out)
{
    size_t len = protobuf_c_message_get_packed_size(message);

    buf_reserve(out, len);
    (void)protobuf_c_message_pack(message, (uint8_t *)out->data + out->len);
    out->len += len;
    out->data[out->len] = '\0';
}

void doc_digest(const ProtobufCMessage *message, uint8_t ret_digest[DOC_DIGEST])
{
    struct buf bytes = {0};
    unsigned len = 0;

    doc_encode(message, &bytes);
    if (EVP_Digest(buf_text(&bytes), bytes.len, ret_digest, &len, EVP_sha256(), NULL) != 1) {
        die("no SHA-256 in libcrypto");
    }
    assert(len == DOC_DIGEST);
    buf_finish(&bytes);
}

void doc_digest_hex(const uint8_t digest[DOC_DIGEST], char ret_hex[2 * DOC_DIGEST + 1])
{
    static const char digits[] = "0123456789abcdef";

    for (unsigned i = 0; i < DOC_DIGEST; i++) {
        ret_hex[2 * i] = digits[digest[i] >> 4];
        ret_hex[2 * i + 1] = digits[digest[i] & 15];
    }
    ret_hex[2 * DOC_DIGEST] = '\0';
}
