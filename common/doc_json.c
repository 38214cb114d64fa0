// SPDX-License-Identifier: Apache-2.0
/* A message as JSON, by its descriptor. Compact, on one line: a stream is one object a line. */
#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/doc.h"
#include "common/utf8.h"

#define NESTING_MAX 32 /* no message of ours recurses; decoded ones are held to DOC_DEPTH_MAX */

static void message_to(const ProtobufCMessage *m, unsigned depth, struct buf *out);

/* ---- strings ---- */

static void escape(struct buf *out, unsigned char c)
{
    static const char short_of[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                    ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\'};

    if (c < sizeof(short_of) && short_of[c] != '\0') {
        buf_putc(out, '\\');
        buf_putc(out, short_of[c]);
    } else {
        buf_printf(out, "\\u%04x", c);
    }
}

void doc_json_string(struct buf *out, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;

    buf_putc(out, '"');
    while (*s != '\0') {
        size_t len = utf8_length(s, strnlen((const char *)s, 4));

        if (len == 0) {
            buf_puts(out, "\xef\xbf\xbd");
            len = 1;
        } else if (*s < 0x20 || *s == '"' || *s == '\\' || *s == 0x7f) {
            escape(out, *s);
        } else {
            buf_append(out, s, len);
        }
        s += len;
    }
    buf_putc(out, '"');
}

/* ---- enums ---- */

/* Bytes of `name` that all names of the enum begin with, up to and with an underscore. */
static size_t common_prefix(const ProtobufCEnumDescriptor *type)
{
    const char *first = type->values[0].name;
    size_t len = strlen(first);

    for (unsigned i = 1; i < type->n_values; i++) {
        size_t k = 0;

        while (k < len && type->values[i].name[k] == first[k]) {
            k++;
        }
        len = k;
    }
    if (type->n_values < 2) {
        const char *end = strchr(first, '_');

        return end != NULL ? (size_t)(end - first) + 1 : 0;
    }
    while (len > 0 && first[len - 1] != '_') {
        len--;
    }
    return len;
}

const char *doc_enum_name(const ProtobufCEnumDescriptor *type, int value, char *scratch,
                          size_t scratch_len)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(type, value);
    size_t n = 0;

    if (v == NULL || scratch_len == 0) {
        return "?";
    }
    for (const char *c = v->name + common_prefix(type); *c != '\0' && n + 1 < scratch_len; c++) {
        scratch[n++] = (char)(*c == '_' ? '-' : tolower((unsigned char)*c));
    }
    scratch[n] = '\0';
    return scratch;
}

static void enum_to(const ProtobufCEnumDescriptor *type, int value, struct buf *out)
{
    char name[64];

    if (protobuf_c_enum_descriptor_get_value(type, value) == NULL) {
        buf_printf(out, "%d", value); /* of a newer version */
        return;
    }
    doc_json_string(out, doc_enum_name(type, value, name, sizeof(name)));
}

/* ---- values ---- */

static void bytes_to(const ProtobufCBinaryData *bytes, struct buf *out)
{
    buf_putc(out, '"');
    for (size_t i = 0; i < bytes->len; i++) {
        buf_printf(out, "%02x", bytes->data[i]);
    }
    buf_putc(out, '"');
}

static void double_to(double value, struct buf *out)
{
    if (isfinite(value)) {
        buf_printf(out, "%.17g", value);
    } else {
        buf_puts(out, "null");
    }
}

static void value_to(const ProtobufCFieldDescriptor *field, const void *p, unsigned depth,
                     struct buf *out)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        buf_printf(out, "%" PRId32, *(const int32_t *)p);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        buf_printf(out, "%" PRId64, *(const int64_t *)p);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        buf_printf(out, "%" PRIu32, *(const uint32_t *)p);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        buf_printf(out, "%" PRIu64, *(const uint64_t *)p);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        double_to((double)*(const float *)p, out);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        double_to(*(const double *)p, out);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        buf_puts(out, *(const protobuf_c_boolean *)p ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_ENUM:
        enum_to(field->descriptor, *(const int *)p, out);
        break;
    case PROTOBUF_C_TYPE_STRING:
        doc_json_string(out, *(char *const *)p != NULL ? *(char *const *)p : "");
        break;
    case PROTOBUF_C_TYPE_BYTES:
        bytes_to(p, out);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        message_to(*(ProtobufCMessage *const *)p, depth + 1, out);
        break;
    }
}

static size_t size_of(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return 4;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_ENUM:
        return sizeof(int);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    }
    return 0;
}

/* Whether the single value at `p` is its default, or absent. */
static bool is_default(const ProtobufCFieldDescriptor *field, const void *p)
{
    static const unsigned char zero[16];

    if (field->type == PROTOBUF_C_TYPE_STRING) {
        const char *text = *(char *const *)p;

        return text == NULL || text[0] == '\0';
    }
    if (field->type == PROTOBUF_C_TYPE_BYTES) {
        return ((const ProtobufCBinaryData *)p)->len == 0;
    }
    return memcmp(p, zero, size_of(field)) == 0;
}

/* ---- messages ---- */

static bool is_pair(const ProtobufCFieldDescriptor *field)
{
    const ProtobufCMessageDescriptor *type = field->descriptor;

    return field->type == PROTOBUF_C_TYPE_MESSAGE && type->n_fields == 2 &&
           strcmp(type->fields[0].name, "key") == 0 &&
           type->fields[0].type == PROTOBUF_C_TYPE_STRING &&
           strcmp(type->fields[1].name, "value") == 0 &&
           type->fields[1].type == PROTOBUF_C_TYPE_STRING;
}

static void pair_to(const ProtobufCMessage *m, unsigned depth, struct buf *out)
{
    const ProtobufCMessageDescriptor *type = m->descriptor;
    const char *base = (const char *)m;

    value_to(&type->fields[0], base + type->fields[0].offset, depth, out);
    buf_putc(out, ':');
    value_to(&type->fields[1], base + type->fields[1].offset, depth, out);
}

static void list_to(const ProtobufCFieldDescriptor *field, const char *items, size_t n,
                    unsigned depth, struct buf *out)
{
    bool pairs = is_pair(field);

    buf_putc(out, pairs ? '{' : '[');
    for (size_t i = 0; i < n; i++) {
        const void *p = items + i * size_of(field);

        if (i > 0) {
            buf_putc(out, ',');
        }
        if (pairs) {
            pair_to(*(ProtobufCMessage *const *)p, depth, out);
        } else {
            value_to(field, p, depth, out);
        }
    }
    buf_putc(out, pairs ? '}' : ']');
}

static bool is_shown(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *field)
{
    const char *base = (const char *)m;

    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        return *(const size_t *)(base + field->quantifier_offset) > 0;
    }
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        return *(const uint32_t *)(base + field->quantifier_offset) == field->id;
    }
    return !is_default(field, base + field->offset);
}

static void message_to(const ProtobufCMessage *m, unsigned depth, struct buf *out)
{
    const char *base = (const char *)m;
    bool first = true;

    assert(depth < NESTING_MAX);
    buf_putc(out, '{');
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &m->descriptor->fields[i];
        const void *p = base + field->offset;

        if (!is_shown(m, field)) {
            continue;
        }
        buf_printf(out, "%s\"%s\":", first ? "" : ",", field->name);
        first = false;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            list_to(field, *(const char *const *)p,
                    *(const size_t *)(base + field->quantifier_offset), depth, out);
        } else {
            value_to(field, p, depth, out);
        }
    }
    buf_putc(out, '}');
}

void doc_to_json(const ProtobufCMessage *message, struct buf *out)
{
    message_to(message, 0, out);
}
