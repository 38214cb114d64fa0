// SPDX-License-Identifier: Apache-2.0
#include "agent/worker/jsonget.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* Jansson recurses to 2,048; we allow less, and find out without recursing. */
static bool too_deep(const char *text, size_t len, unsigned max)
{
    unsigned depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > max) {
                return true;
            }
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

int jsonget_parse(const char *text, size_t len, unsigned depth_max, json_t **ret_root,
                  struct err *e)
{
    json_error_t error;
    json_t *root;

    if (too_deep(text, len, depth_max)) {
        return err_say(e, EBADMSG, "JSON is nested deeper than %u", depth_max);
    }
    root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        return err_say(e, EBADMSG, "JSON is wrong at line %d, column %d: %s", error.line,
                       error.column, error.text);
    }
    *ret_root = root;
    return 0;
}

static const json_t *member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_null(value) ? NULL : value;
}

int jsonget_string(const json_t *object, const char *key, size_t max, const char **ret_text,
                   struct err *e)
{
    const json_t *value = member(object, key);

    if (value == NULL) {
        *ret_text = "";
        return 0;
    }
    if (!json_is_string(value)) {
        return err_say(e, EBADMSG, "'%s' is not a string", key);
    }
    if (json_string_length(value) > max) {
        return err_say(e, E2BIG, "'%s' is longer than %zu bytes", key, max);
    }
    *ret_text = json_string_value(value);
    return 0;
}

int jsonget_text(const json_t *object, const char *key, char *ret_text, size_t size, struct err *e)
{
    const char *text;
    int rc = jsonget_string(object, key, size - 1, &text, e);

    if (rc == 0) {
        memcpy(ret_text, text, strlen(text) + 1);
    }
    return rc;
}

int jsonget_u64(const json_t *object, const char *key, uint64_t *ret_value, struct err *e)
{
    const json_t *value = member(object, key);

    if (value == NULL) {
        *ret_value = 0;
        return 0;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return err_say(e, EBADMSG, "'%s' is not a whole number from 0", key);
    }
    *ret_value = (uint64_t)json_integer_value(value);
    return 0;
}

int jsonget_array(const json_t *object, const char *key, size_t max, const json_t **ret_array,
                  struct err *e)
{
    const json_t *value = member(object, key);

    if (value != NULL && !json_is_array(value)) {
        return err_say(e, EBADMSG, "'%s' is not an array", key);
    }
    if (value != NULL && json_array_size(value) > max) {
        return err_say(e, E2BIG, "'%s' has %zu elements (allowed: %zu)", key,
                       json_array_size(value), max);
    }
    *ret_array = value;
    return 0;
}

int jsonget_object(const json_t *object, const char *key, size_t max, const json_t **ret_object,
                   struct err *e)
{
    const json_t *value = member(object, key);

    if (value != NULL && !json_is_object(value)) {
        return err_say(e, EBADMSG, "'%s' is not an object", key);
    }
    if (value != NULL && json_object_size(value) > max) {
        return err_say(e, E2BIG, "'%s' has %zu members (allowed: %zu)", key,
                       json_object_size(value), max);
    }
    *ret_object = value;
    return 0;
}
