// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <string.h>

#include "common/compose_check_priv.h"
#include "common/doc.h"

/* Text that a program is given; everything else is a name of some kind. */
static bool is_long(const ProtobufCMessageDescriptor *type, const char *field)
{
    return type == &wherry__spec__argv__descriptor || strcmp(field, "argv") == 0 ||
           (type == &wherry__spec__key_value__descriptor && strcmp(field, "value") == 0);
}

static int check_string(struct compose_check *c, const ProtobufCMessage *message,
                        const ProtobufCFieldDescriptor *field, const char *text)
{
    size_t max = is_long(message->descriptor, field->name) ? DOC_LONG_MAX : DOC_STRING_MAX;

    if (strlen(text) > max) {
        return compose_check_say(c, "", "'%s' has %zu bytes (allowed: %zu)", field->name,
                                 strlen(text), max);
    }
    return 0;
}

/* One value of a field; recursion is bounded because spec.proto does not recurse. */
static int check_value(struct compose_check *c, const ProtobufCMessage *message,
                       const ProtobufCFieldDescriptor *field, const void *value)
{
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        return check_string(c, message, field, *(const char *const *)value);
    }
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessage *part = *(const ProtobufCMessage *const *)value;

        return part != NULL ? compose_check_shape(c, part) : 0;
    }
    if (field->type == PROTOBUF_C_TYPE_ENUM &&
        protobuf_c_enum_descriptor_get_value(field->descriptor, *(const int *)value) == NULL) {
        return compose_check_say(c, "", "'%s' has the unknown value %d", field->name,
                                 *(const int *)value);
    }
    return 0;
}

static int check_repeated(struct compose_check *c, const ProtobufCMessage *message,
                          const ProtobufCFieldDescriptor *field)
{
    const char *base = (const char *)message;
    size_t n = *(const size_t *)(const void *)(base + field->quantifier_offset);
    const void *const *values = *(const void *const *const *)(const void *)(base + field->offset);

    if (n > DOC_REPEATED_MAX) {
        return compose_check_say(c, "", "'%s' has %zu elements (allowed: %d)", field->name, n,
                                 DOC_REPEATED_MAX);
    }
    /* Strings and messages only: spec.proto repeats nothing else. */
    assert(field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE);
    for (size_t i = 0; i < n; i++) {
        int rc = check_value(c, message, field, &values[i]);

        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int compose_check_shape(struct compose_check *c, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;

    if (message->n_unknown_fields > 0) {
        return compose_check_say(c, "", "holds fields that this version does not know, in %s",
                                 type->short_name);
    }
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        int rc = field->label == PROTOBUF_C_LABEL_REPEATED
                     ? check_repeated(c, message, field)
                     : check_value(c, message, field, (const char *)message + field->offset);

        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}
