// SPDX-License-Identifier: Apache-2.0
#include "common/doc_scan.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "common/utf8.h"

#define FIELDS_MAX 64 /* of one message of ours */

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* A part of the input; `begin` is the whole input's, for offsets in messages. */
struct span {
    const uint8_t *begin, *p, *end;
};

struct scan {
    const struct doc_limits *limits;
    struct err *e;
};

static int scan_message(const struct scan *s, const ProtobufCMessageDescriptor *type,
                        struct span in, unsigned depth);

static int bad(const struct scan *s, const struct span *in, const char *what)
{
    return err_say(s->e, EBADMSG, "message is wrong at byte %zu: %s", (size_t)(in->p - in->begin),
                   what);
}

/* At most ten bytes, and no bits beyond the 64th. */
static int read_varint(const struct scan *s, struct span *in, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < 10; i++) {
        uint8_t byte;

        if (in->p == in->end) {
            return bad(s, in, "number is cut off");
        }
        byte = *in->p++;
        if (i == 9 && byte > 1) {
            break;
        }
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            *ret_value = value;
            return 0;
        }
    }
    return bad(s, in, "number is too long");
}

/* Gives the bytes of the value without its length. */
static int read_value(const struct scan *s, struct span *in, unsigned wire, struct span *ret_value)
{
    uint64_t len = 0;
    int rc = 0;

    *ret_value = *in;
    switch (wire) {
    case WIRE_VARINT:
        rc = read_varint(s, in, &len);
        ret_value->end = in->p;
        return rc;
    case WIRE_64:
        len = 8;
        break;
    case WIRE_32:
        len = 4;
        break;
    case WIRE_BYTES:
        rc = read_varint(s, in, &len);
        break;
    default:
        return bad(s, in, "wire type is not allowed");
    }
    if (rc < 0) {
        return rc;
    }
    if (len > (uint64_t)(in->end - in->p)) {
        return bad(s, in, "value is cut off");
    }
    ret_value->p = in->p;
    in->p += len;
    ret_value->end = in->p;
    return 0;
}

static unsigned wire_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return WIRE_32;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return WIRE_64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return WIRE_BYTES;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
        break;
    }
    return WIRE_VARINT;
}

static int scan_string(const struct scan *s, const ProtobufCFieldDescriptor *field, struct span in)
{
    if ((size_t)(in.end - in.p) > s->limits->string_max) {
        return err_say(s->e, E2BIG, "'%s' has %zu bytes (allowed: %zu)", field->name,
                       (size_t)(in.end - in.p), s->limits->string_max);
    }
    while (in.p < in.end) {
        size_t n = *in.p != '\0' ? utf8_length(in.p, (size_t)(in.end - in.p)) : 0;

        if (n == 0) {
            return err_say(s->e, EBADMSG, "'%s' is not UTF-8 text without NUL", field->name);
        }
        in.p += n;
    }
    return 0;
}

static int count(const struct scan *s, const ProtobufCFieldDescriptor *field, size_t *counted,
                 size_t more)
{
    *counted += more;
    if (*counted > s->limits->repeated_max) {
        return err_say(s->e, E2BIG, "'%s' has more than %zu elements", field->name,
                       s->limits->repeated_max);
    }
    return 0;
}

/* Numbers one behind the other in one value. */
static int scan_packed(const struct scan *s, const ProtobufCFieldDescriptor *field, struct span in,
                       size_t *counted)
{
    while (in.p < in.end) {
        struct span value;
        int rc = read_value(s, &in, wire_of(field->type), &value);

        if (rc == 0) {
            rc = count(s, field, counted, 1);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int scan_known(const struct scan *s, const ProtobufCFieldDescriptor *field, unsigned wire,
                      struct span value, size_t *counted, unsigned depth)
{
    unsigned expected = wire_of(field->type);
    int rc = 0;

    if (field->label == PROTOBUF_C_LABEL_REPEATED && wire == WIRE_BYTES && expected != WIRE_BYTES) {
        return scan_packed(s, field, value, counted);
    }
    if (wire != expected) {
        return err_say(s->e, EBADMSG, "'%s' has wire type %u instead of %u", field->name, wire,
                       expected);
    }
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        rc = count(s, field, counted, 1);
    }
    if (rc == 0 && field->type == PROTOBUF_C_TYPE_STRING) {
        rc = scan_string(s, field, value);
    }
    if (rc == 0 && field->type == PROTOBUF_C_TYPE_MESSAGE) {
        rc = scan_message(s, field->descriptor, value, depth + 1);
    }
    return rc;
}

static int scan_field(const struct scan *s, const ProtobufCMessageDescriptor *type, struct span *in,
                      size_t *counts, size_t *unknown, unsigned depth)
{
    const ProtobufCFieldDescriptor *field;
    struct span value;
    uint64_t key = 0;
    int rc = read_varint(s, in, &key);

    if (rc < 0) {
        return rc;
    }
    if (key >> 3 == 0 || key >> 3 > 536870911) { /* 2^29 - 1: the highest there can be */
        return bad(s, in, "field number is not allowed");
    }
    rc = read_value(s, in, (unsigned)(key & 7), &value);
    if (rc < 0) {
        return rc;
    }
    field = protobuf_c_message_descriptor_get_field(type, (unsigned)(key >> 3));
    if (field != NULL) {
        return scan_known(s, field, (unsigned)(key & 7), value, &counts[field - type->fields],
                          depth);
    }
    if (++*unknown > s->limits->repeated_max) {
        return err_say(s->e, E2BIG, "message has more than %zu unknown fields",
                       s->limits->repeated_max);
    }
    return 0;
}

/* Recursion is bounded by DOC_DEPTH_MAX. */
static int scan_message(const struct scan *s, const ProtobufCMessageDescriptor *type,
                        struct span in, unsigned depth)
{
    size_t counts[FIELDS_MAX] = {0};
    size_t unknown = 0;

    assert(type->n_fields <= FIELDS_MAX);
    if (depth > DOC_DEPTH_MAX) {
        return err_say(s->e, E2BIG, "message is nested deeper than %d", DOC_DEPTH_MAX);
    }
    while (in.p < in.end) {
        int rc = scan_field(s, type, &in, counts, &unknown, depth);

        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int doc_scan(const ProtobufCMessageDescriptor *type, const void *bytes, size_t len,
             const struct doc_limits *limits, struct err *e)
{
    const struct scan s = {.limits = limits, .e = e};
    const struct span in = {.begin = bytes, .p = bytes, .end = (const uint8_t *)bytes + len};

    return len == 0 ? 0 : scan_message(&s, type, in, 1);
}
