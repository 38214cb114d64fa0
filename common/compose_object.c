// SPDX-License-Identifier: Apache-2.0
#include "common/compose_object.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/didyoumean.h"

#define LISTED_MAX 12 /* keys that are named when none is near */

static int by_key(const void *key, const void *row)
{
    return strcmp(key, ((const struct compose_row *)row)->key);
}

const struct compose_row *compose_object_find(const struct compose_object *object, const char *key)
{
    if (object->n == 0) {
        return NULL;
    }
    return bsearch(key, object->rows, object->n, sizeof(object->rows[0]), by_key);
}

/* ---- keys without a row ---- */

static void list_keys(const struct compose_object *object, struct buf *out)
{
    if (object->n == 0) {
        buf_puts(out, " (allowed: none yet)");
        return;
    }
    if (object->n > LISTED_MAX) {
        return;
    }
    for (unsigned i = 0; i < object->n; i++) {
        buf_printf(out, "%s%s", i == 0 ? " (allowed: " : ", ", object->rows[i].key);
    }
    buf_putc(out, ')');
}

static void refuse_unknown(struct compose_reader *r, const struct compose_object *object,
                           const struct compose_at *at, const struct compose_node *key)
{
    auto_buf struct buf hint = {0};
    struct didyoumean near;
    char phrase[100];

    didyoumean_start(&near, key->text);
    for (unsigned i = 0; i < object->n; i++) {
        didyoumean_offer(&near, object->rows[i].key);
    }
    if (object->wherry != NULL) {
        didyoumean_offer(&near, "x-wherry");
    }
    buf_puts(&hint, didyoumean_phrase(&near, phrase, sizeof(phrase)));
    if (hint.len == 0) {
        list_keys(object, &hint);
    }
    compose_reader_fail(r, at->up, key, "\"%.100s\" is no key of %s%s", key->text, object->name,
                        buf_text(&hint));
}

/* `x-…` is for other programs; `x-wherry` is ours, and must be right. */
static void read_extension(struct compose_reader *r, const struct compose_object *object,
                           const struct compose_at *at, const struct compose_entry *entry,
                           ProtobufCMessage *message)
{
    if (strcmp(entry->key->text, "x-wherry") != 0) {
        return;
    }
    if (object->wherry == NULL) {
        compose_reader_fail(r, at->up, entry->key,
                            "\"x-wherry\" has no place in %s (allowed: at the top, in a service)",
                            object->name);
        return;
    }
    compose_object_read(r, object->wherry, at, entry->value, message);
}

/* ---- keys with a row ---- */

static bool is_word_of(const char *words, const char *text)
{
    size_t len = strlen(text);

    for (const char *p = words; *p != '\0'; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");

        if (n == len && memcmp(p, text, len) == 0) {
            return true;
        }
        p += n;
    }
    return false;
}

/* Whether the value asks for what Wherry does anyway. */
static bool is_harmless(const struct compose_row *row, const struct compose_node *node)
{
    if (compose_tree_is_null(node) || (node->kind != COMPOSE_SCALAR && node->n == 0)) {
        return true;
    }
    if (row->harmless == NULL || node->kind == COMPOSE_MAP) {
        return false;
    }
    if (node->kind == COMPOSE_SCALAR) {
        return is_word_of(row->harmless, node->text);
    }
    for (unsigned i = 0; i < node->n; i++) {
        const struct compose_node *element = node->entries[i].value;

        if (element->kind != COMPOSE_SCALAR || !is_word_of(row->harmless, element->text)) {
            return false;
        }
    }
    return true;
}

static void read_entry(struct compose_reader *r, const struct compose_object *object,
                       const struct compose_at *up, const struct compose_entry *entry,
                       ProtobufCMessage *message)
{
    const struct compose_node *key = entry->key, *value = entry->value;
    const struct compose_at at = {.up = up, .key = key->text};
    const struct compose_row *row = compose_object_find(object, key->text);

    if (value->broken || key->broken) {
        return;
    }
    if (row == NULL && strncmp(key->text, "x-", 2) == 0) {
        read_extension(r, object, &at, entry, message);
        return;
    }
    if (row == NULL) {
        refuse_unknown(r, object, &at, key);
        return;
    }
    switch (row->status) {
    case COMPOSE_HONOURED:
        row->decode(r, row, &at, value, message);
        break;
    case COMPOSE_LATER:
        if (!is_harmless(row, value)) {
            compose_reader_later(r, &at, key, "is not supported yet (%s)", row->doc);
        }
        break;
    case COMPOSE_REFUSED:
        if (!is_harmless(row, value)) {
            compose_reader_fail(r, &at, key,
                                "is not supported yet, and without it the result would be less "
                                "safe than this file says (%s)",
                                row->doc);
        }
        break;
    case COMPOSE_MOOT:
        break;
    }
}

void compose_object_read(struct compose_reader *r, const struct compose_object *object,
                         const struct compose_at *at, const struct compose_node *node,
                         ProtobufCMessage *message)
{
    if (!compose_reader_is_map(r, at, node)) {
        return;
    }
    for (unsigned i = 0; i < node->n; i++) {
        read_entry(r, object, at, &node->entries[i], message);
    }
    for (unsigned i = 0; i < object->n; i++) {
        if (object->rows[i].required && compose_tree_get(node, object->rows[i].key) == NULL) {
            compose_reader_fail(r, at, node, "has no \"%s\": %s", object->rows[i].key,
                                object->rows[i].doc);
        }
    }
}

void compose_object_preset(struct compose_reader *r, const struct compose_object *object,
                           const struct compose_at *up, const struct compose_node *node,
                           ProtobufCMessage *message)
{
    for (unsigned i = 0; i < object->n; i++) {
        const struct compose_row *row = &object->rows[i];
        const struct compose_at at = {.up = up, .key = row->key};
        struct compose_node value = {.kind = COMPOSE_SCALAR, .text = row->preset};

        if (row->preset != NULL && (node == NULL || compose_tree_get(node, row->key) == NULL)) {
            row->decode(r, row, &at, &value, message);
        }
    }
}

void compose_object_nested(struct compose_reader *r, const struct compose_row *row,
                           const struct compose_at *at, const struct compose_node *node,
                           ProtobufCMessage *message)
{
    compose_object_read(r, row->object, at, node, message);
}

/* ---- fields ---- */

static const ProtobufCFieldDescriptor *field_of(const ProtobufCMessageDescriptor *type,
                                                const char *name, size_t len)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        if (strlen(type->fields[i].name) == len && memcmp(type->fields[i].name, name, len) == 0) {
            return &type->fields[i];
        }
    }
    return NULL;
}

const ProtobufCFieldDescriptor *compose_object_describe(const ProtobufCMessageDescriptor *type,
                                                        const char *field)
{
    size_t len = strcspn(field, ".");
    const ProtobufCFieldDescriptor *found = field_of(type, field, len);

    if (found == NULL || field[len] == '\0') {
        return found;
    }
    return found->type == PROTOBUF_C_TYPE_MESSAGE
               ? compose_object_describe(found->descriptor, field + len + 1)
               : NULL;
}

const ProtobufCFieldDescriptor *compose_object_field(struct compose_reader *r,
                                                     ProtobufCMessage *message, const char *field,
                                                     void **ret_place)
{
    size_t len = strcspn(field, ".");
    const ProtobufCFieldDescriptor *found = field_of(message->descriptor, field, len);
    void *place;

    assert(found != NULL);
    place = (char *)message + found->offset;
    if (field[len] == '.') {
        ProtobufCMessage **part = place;

        if (*part == NULL) {
            *part = compose_reader_message(r, found->descriptor);
        }
        return compose_object_field(r, *part, field + len + 1, ret_place);
    }
    *ret_place = place;
    return found;
}
