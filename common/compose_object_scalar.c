// SPDX-License-Identifier: Apache-2.0
/* The kinds of scalar that many keys share: compose_object_text and its like. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/compose_object.h"
#include "common/compose_value.h"

void compose_object_text(struct compose_reader *r, const struct compose_row *row,
                         const struct compose_at *at, const struct compose_node *node,
                         ProtobufCMessage *message)
{
    const char *text = compose_reader_text(r, at, node);
    void *place;
    struct err e;

    if (text == NULL) {
        return;
    }
    if (strlen(text) > DOC_STRING_MAX) {
        compose_reader_fail(r, at, node, "has %zu bytes (allowed: %d)", strlen(text),
                            DOC_STRING_MAX);
        return;
    }
    if (row->rule != NULL && row->rule(text, &e) < 0) {
        compose_reader_fail(r, at, node, "%s", e.text);
        return;
    }
    (void)compose_object_field(r, message, row->field, &place);
    *(char **)place = compose_reader_copy(r, text);
}

void compose_object_flag(struct compose_reader *r, const struct compose_row *row,
                         const struct compose_at *at, const struct compose_node *node,
                         ProtobufCMessage *message)
{
    const char *text = compose_reader_text(r, at, node);
    void *place;
    bool value;
    struct err e;

    if (text == NULL) {
        return;
    }
    if (compose_value_flag(text, &value, &e) < 0) {
        compose_reader_fail(r, at, node, "%s", e.text);
        return;
    }
    (void)compose_object_field(r, message, row->field, &place);
    *(protobuf_c_boolean *)place = value;
}

/* Two keys may mean one field (mem_limit, deploy.resources.limits.memory): they must agree. */
static void store(struct compose_reader *r, const struct compose_row *row,
                  const struct compose_at *at, const struct compose_node *node,
                  ProtobufCMessage *message, uint64_t value)
{
    const ProtobufCFieldDescriptor *field;
    uint64_t before;
    void *place;

    field = compose_object_field(r, message, row->field, &place);
    before = field->type == PROTOBUF_C_TYPE_UINT64 ? *(uint64_t *)place : *(uint32_t *)place;
    if (before != 0 && before != value) {
        compose_reader_fail(r, at, node,
                            "says another value than the key with the same meaning (allowed: one "
                            "of them, or the same in both)");
        return;
    }
    if (field->type == PROTOBUF_C_TYPE_UINT64) {
        *(uint64_t *)place = value;
    } else {
        assert(field->type == PROTOBUF_C_TYPE_UINT32 && value <= UINT32_MAX);
        *(uint32_t *)place = (uint32_t)value;
    }
}

/* The four kinds of number differ in how they are written, not in how they are kept. */
static void read_number(struct compose_reader *r, const struct compose_row *row,
                        const struct compose_at *at, const struct compose_node *node,
                        ProtobufCMessage *message,
                        int (*parse)(const char *, uint64_t *, struct err *), const char *range)
{
    const char *text = compose_reader_text(r, at, node);
    uint64_t value;
    struct err e;

    if (text == NULL) {
        return;
    }
    if (parse(text, &value, &e) < 0) {
        compose_reader_fail(r, at, node, "%s", e.text);
    } else if (value < row->min || value > row->max) {
        compose_reader_fail(r, at, node, "%.100s is out of range (allowed: %s)", text, range);
    } else {
        store(r, row, at, node, message, value);
    }
}

void compose_object_number(struct compose_reader *r, const struct compose_row *row,
                           const struct compose_at *at, const struct compose_node *node,
                           ProtobufCMessage *message)
{
    char range[64];

    (void)snprintf(range, sizeof(range), "%llu to %llu", (unsigned long long)row->min,
                   (unsigned long long)row->max);
    read_number(r, row, at, node, message, compose_value_number, range);
}

/* The largest unit in which a number of bytes is whole. */
static int put_bytes(char *out, size_t len, uint64_t bytes)
{
    static const char units[] = "bkmgtp";
    unsigned i = 0;

    while (bytes > 0 && bytes % 1024 == 0 && i < 5) {
        bytes /= 1024;
        i++;
    }
    return snprintf(out, len, "%llu%c", (unsigned long long)bytes, units[i]);
}

void compose_object_bytes(struct compose_reader *r, const struct compose_row *row,
                          const struct compose_at *at, const struct compose_node *node,
                          ProtobufCMessage *message)
{
    char range[64], low[24], high[24];

    (void)put_bytes(low, sizeof(low), row->min);
    (void)put_bytes(high, sizeof(high), row->max);
    (void)snprintf(range, sizeof(range), "%s to %s", low, high);
    read_number(r, row, at, node, message, compose_value_bytes, range);
}

void compose_object_millis(struct compose_reader *r, const struct compose_row *row,
                           const struct compose_at *at, const struct compose_node *node,
                           ProtobufCMessage *message)
{
    char range[64];

    (void)snprintf(range, sizeof(range), "%llums to %lluh", (unsigned long long)row->min,
                   (unsigned long long)(row->max / 3600000));
    read_number(r, row, at, node, message, compose_value_millis, range);
}

void compose_object_cpus(struct compose_reader *r, const struct compose_row *row,
                         const struct compose_at *at, const struct compose_node *node,
                         ProtobufCMessage *message)
{
    char range[64];

    (void)snprintf(range, sizeof(range), "%g to %g", (double)row->min / 1000,
                   (double)row->max / 1000);
    read_number(r, row, at, node, message, compose_value_cpus, range);
}

static void refuse_word(struct compose_reader *r, const struct compose_row *row,
                        const struct compose_at *at, const struct compose_node *node)
{
    auto_buf struct buf allowed = {0};

    for (const struct compose_word *w = row->words; w->word != NULL; w++) {
        buf_printf(&allowed, "%s%s", w == row->words ? "" : ", ", w->word);
    }
    compose_reader_fail(r, at, node, "\"%.100s\" is not known here (allowed: %s)", node->text,
                        buf_text(&allowed));
}

void compose_object_choice(struct compose_reader *r, const struct compose_row *row,
                           const struct compose_at *at, const struct compose_node *node,
                           ProtobufCMessage *message)
{
    const char *text = compose_reader_text(r, at, node);
    const struct compose_word *w = row->words;
    void *place;

    if (text == NULL) {
        return;
    }
    while (w->word != NULL && strcmp(w->word, text) != 0) {
        w++;
    }
    if (w->word == NULL) {
        refuse_word(r, row, at, node);
        return;
    }
    (void)compose_object_field(r, message, row->field, &place);
    *(int *)place = w->value;
}
