// SPDX-License-Identifier: Apache-2.0
#include "common/compose_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

#define WAY_MAX (COMPOSE_DEPTH_MAX + 2)

/* RFC 6901: '~' and '/' of a key are written "~0" and "~1". */
static void put_pointer(struct buf *out, const char *key)
{
    for (; *key != '\0'; key++) {
        if (*key == '~' || *key == '/') {
            buf_puts(out, *key == '~' ? "~0" : "~1");
        } else {
            buf_putc(out, *key);
        }
    }
}

static char *path_of(const struct compose_reader *r, const struct compose_at *at)
{
    const struct compose_at *way[WAY_MAX];
    struct buf out = {0};
    unsigned n = 0;

    for (; at != NULL && at->up != NULL && n < WAY_MAX; at = at->up) {
        way[n++] = at;
    }
    while (n-- > 0) {
        if (r->json && way[n]->key != NULL) {
            buf_putc(&out, '/');
            put_pointer(&out, way[n]->key);
        } else if (way[n]->key != NULL) {
            buf_printf(&out, "%s%s", out.len > 0 ? "." : "", way[n]->key);
        } else {
            buf_printf(&out, r->json ? "/%u" : "[%u]", way[n]->index);
        }
    }
    return buf_take(&out);
}

static void add(struct compose_reader *r, bool error, const struct compose_at *at,
                const struct compose_node *node, const char *fmt, va_list ap)
{
    auto_free char *path = path_of(r, at);
    auto_free char *message = NULL;
    struct compose_place place = {.line = node != NULL ? node->line : 0,
                                  .column = node != NULL ? node->column : 0,
                                  .path = path};

    if (vasprintf(&message, fmt, ap) < 0) {
        die("no memory for a message");
    }
    compose_note_add(error ? &r->result->errors : &r->result->warnings,
                     error ? COMPOSE_ERRORS_MAX : COMPOSE_WARNS_MAX, &r->source, &place, message);
}

void compose_reader_fail(struct compose_reader *r, const struct compose_at *at,
                         const struct compose_node *node, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add(r, true, at, node, fmt, ap);
    va_end(ap);
}

void compose_reader_warn(struct compose_reader *r, const struct compose_at *at,
                         const struct compose_node *node, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add(r, false, at, node, fmt, ap);
    va_end(ap);
}

void compose_reader_later(struct compose_reader *r, const struct compose_at *at,
                          const struct compose_node *node, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add(r, r->strict, at, node, fmt, ap);
    va_end(ap);
}

static const char *kind_of(const struct compose_node *node)
{
    switch (node->kind) {
    case COMPOSE_LIST:
        return "a list";
    case COMPOSE_MAP:
        return "a mapping";
    case COMPOSE_SCALAR:
        break;
    }
    return compose_tree_is_null(node) ? "nothing" : "text";
}

const char *compose_reader_text(struct compose_reader *r, const struct compose_at *at,
                                const struct compose_node *node)
{
    if (node->kind == COMPOSE_SCALAR && !compose_tree_is_null(node)) {
        return node->text;
    }
    compose_reader_fail(r, at, node, "is %s (allowed: a text or a number)", kind_of(node));
    return NULL;
}

bool compose_reader_is_list(struct compose_reader *r, const struct compose_at *at,
                            const struct compose_node *node)
{
    if (node->kind == COMPOSE_LIST || compose_tree_is_null(node)) {
        return true;
    }
    compose_reader_fail(r, at, node, "is %s (allowed: a list)", kind_of(node));
    return false;
}

bool compose_reader_is_map(struct compose_reader *r, const struct compose_at *at,
                           const struct compose_node *node)
{
    if (node->kind == COMPOSE_MAP || compose_tree_is_null(node)) {
        return true;
    }
    compose_reader_fail(r, at, node, "is %s (allowed: a mapping)", kind_of(node));
    return false;
}

bool compose_reader_is_map_or_list(struct compose_reader *r, const struct compose_at *at,
                                   const struct compose_node *node)
{
    if (node->kind == COMPOSE_MAP || compose_tree_is_null(node)) {
        return true;
    }
    compose_reader_fail(r, at, node, "is %s (allowed: a list or a mapping)", kind_of(node));
    return false;
}

void *compose_reader_message(struct compose_reader *r, const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *message = compose_tree_alloc(&r->tree, type->sizeof_message);

    type->message_init(message);
    return message;
}

void compose_reader_push(struct compose_reader *r, void *array, size_t *n, void *element)
{
    void **old, **list;

    memcpy(&old, array, sizeof(old));
    list = old;
    /* The arrays grow at powers of two: their capacity needs no field. */
    if ((*n & (*n - 1)) == 0) {
        list = compose_tree_alloc(&r->tree, (*n > 0 ? *n * 2 : 1) * sizeof(*list));
        if (*n > 0) {
            memcpy(list, old, *n * sizeof(*list));
        }
        memcpy(array, &list, sizeof(list));
    }
    list[(*n)++] = element;
}

char *compose_reader_copy(struct compose_reader *r, const char *text)
{
    return compose_tree_text(&r->tree, text, strlen(text));
}
