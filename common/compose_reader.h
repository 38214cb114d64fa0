// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_COMPOSE_READER_H
#define WHERRY_COMMON_COMPOSE_READER_H

/* What the decoders of compose_* share while one file is read: the tree, the document that is being
 * made (all in one arena), and how something is said about a place. */

#include "common/compose_env.h"
#include "common/compose_note.h"
#include "common/compose_tree.h"
#include "spec.pb-c.h"

/* A key or an element on the way from the root; they live on the stack of the decoders. */
struct compose_at {
    const struct compose_at *up; /* NULL: the root itself, which has no name */
    const char *key;             /* NULL: an element */
    unsigned index;
};

struct compose_reader {
    struct compose_result *result;
    struct compose_source source;
    struct compose_tree tree;
    struct compose_env env;
    bool json;   /* paths are JSON pointers */
    bool strict; /* what is not supported yet is an error */
    const char *directory;
    Wherry__Spec__Stack *stack;
    const struct compose_node *services, *volumes, *networks; /* of the file; NULL: none */
    const struct compose_node *service;                       /* the one being decoded */
};

/* Adds an error, or a warning, about `node` at `at`. */
void compose_reader_fail(struct compose_reader *r, const struct compose_at *at,
                         const struct compose_node *node, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void compose_reader_warn(struct compose_reader *r, const struct compose_at *at,
                         const struct compose_node *node, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* A warning that is an error when the reader is strict. */
void compose_reader_later(struct compose_reader *r, const struct compose_at *at,
                          const struct compose_node *node, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The text of a scalar; NULL, and an error, if it is a list, a mapping or null. */
const char *compose_reader_text(struct compose_reader *r, const struct compose_at *at,
                                const struct compose_node *node);
/* Whether it is a list, or a mapping (null is an empty one). If not: an error. */
bool compose_reader_is_list(struct compose_reader *r, const struct compose_at *at,
                            const struct compose_node *node);
bool compose_reader_is_map(struct compose_reader *r, const struct compose_at *at,
                           const struct compose_node *node);

/* Whether it is a mapping, where a list is allowed too and has been looked for already. */
bool compose_reader_is_map_or_list(struct compose_reader *r, const struct compose_at *at,
                                   const struct compose_node *node);

/* Makes an empty message in the arena. */
void *compose_reader_message(struct compose_reader *r, const ProtobufCMessageDescriptor *type);
/* Appends to a repeated field of messages or strings, given as its array and count. */
void compose_reader_push(struct compose_reader *r, void *array, size_t *n, void *element);
char *compose_reader_copy(struct compose_reader *r, const char *text);

#endif
