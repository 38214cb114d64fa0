// SPDX-License-Identifier: Apache-2.0
#include "controller/cli/printer.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/imageref.h"
#include "controller/cli/humane.h"
#include "controller/cli/term.h"

#define STEP 2

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text);
    size_t n = strlen(end);

    return len >= n && strcmp(text + len - n, end) == 0;
}

static void put_number(const char *key, json_int_t value, struct buf *out)
{
    char text[HUMANE_MAX];

    if (value > 0 && ends_with(key, "_unix_ms")) {
        humane_clock((uint64_t)value, text);
    } else if (value > 0 && ends_with(key, "_bytes")) {
        humane_bytes((uint64_t)value, text);
    } else if (value > 0 && ends_with(key, "_millis")) {
        humane_cores((uint64_t)value, text);
    } else if (value > 0 && ends_with(key, "_ms")) {
        humane_took((uint64_t)value, text);
    } else {
        (void)snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, value);
    }
    buf_puts(out, text);
}

void printer_scalar(const char *key, const json_t *value, struct buf *out)
{
    bool is_image = strcmp(key, "image") == 0 || strcmp(key, "images") == 0;

    if (json_is_string(value)) {
        const char *text = json_string_value(value);

        term_escape(is_image ? imageref_short(text) : text, out);
    } else if (json_is_integer(value)) {
        put_number(key, json_integer_value(value), out);
    } else if (json_is_real(value)) {
        buf_printf(out, "%g", json_real_value(value));
    } else {
        buf_puts(out, json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "-");
    }
}

static bool is_nested(const json_t *value)
{
    return json_is_object(value) || json_is_array(value);
}

/* The unit has been said by the value. */
void printer_key(const char *key, struct buf *out)
{
    static const char *const ends[] = {"_unix_ms", "_bytes", "_millis", "_ms"};
    size_t len = strlen(key);

    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        if (ends_with(key, ends[i]) && len > strlen(ends[i])) {
            len -= strlen(ends[i]);
            break;
        }
    }
    auto_free char *shown = xstrndup(key, len);

    term_escape(shown, out);
}

static void put_list(const json_t *list, const char *key, unsigned indent, struct buf *out)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *value = json_array_get(list, i);
        size_t from = out->len;

        if (is_nested(value)) {
            printer_put(value, indent + STEP, out);
            if (out->len > from + indent) {
                out->data[from + indent] = '-';
            }
            continue;
        }
        buf_printf(out, "%*s- ", (int)indent, "");
        printer_scalar(key, value, out);
        buf_putc(out, '\n');
    }
}

void printer_put(const json_t *object, unsigned indent, struct buf *out)
{
    const char *key;
    json_t *value;

    if (json_is_array(object)) {
        put_list(object, "", indent, out);
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        buf_printf(out, "%*s", (int)indent, "");
        printer_key(key, out);
        if (!is_nested(value)) {
            buf_puts(out, ": ");
            printer_scalar(key, value, out);
            buf_putc(out, '\n');
            continue;
        }
        buf_puts(out, ":\n");
        if (json_is_array(value)) {
            put_list(value, key, indent + STEP, out);
        } else {
            printer_put(value, indent + STEP, out);
        }
    }
}
