// SPDX-License-Identifier: Apache-2.0
#include "common/askrow.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"

void askrow_put(struct buf *row, const char *key, const char *value)
{
    assert(key[0] != '\0');
    value = value != NULL ? value : "";
    buf_append(row, key, strlen(key) + 1);
    buf_append(row, value, strlen(value) + 1);
}

void askrow_putf(struct buf *row, const char *key, const char *fmt, ...)
{
    auto_free char *value = NULL;
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vasprintf(&value, fmt, ap);
    va_end(ap);
    if (len < 0) {
        die("out of memory");
    }
    askrow_put(row, key, value);
}

bool askrow_is_valid(const void *row, size_t len)
{
    const char *bytes = row;
    unsigned ends = 0;

    if (len == 0) {
        return true;
    }
    if (len > ASKROW_MAX || bytes[len - 1] != '\0') {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        ends += bytes[i] == '\0';
    }
    return ends % 2 == 0;
}

bool askrow_next(const void *row, size_t len, size_t *at, const char **ret_key,
                 const char **ret_value)
{
    const char *bytes = row;

    if (*at >= len) {
        return false;
    }
    *ret_key = bytes + *at;
    *at += strlen(*ret_key) + 1;
    assert(*at < len);
    *ret_value = bytes + *at;
    *at += strlen(*ret_value) + 1;
    return true;
}

const char *askrow_get(const void *row, size_t len, const char *key)
{
    const char *k, *value;
    size_t at = 0;

    while (askrow_next(row, len, &at, &k, &value)) {
        if (strcmp(k, key) == 0) {
            return value;
        }
    }
    return NULL;
}

const char *askrow_text(const void *row, size_t len, const char *key)
{
    const char *value = askrow_get(row, len, key);

    return value != NULL ? value : "";
}

uint64_t askrow_number(const void *row, size_t len, const char *key)
{
    const char *text = askrow_text(row, len, key);
    char *end = NULL;
    unsigned long long n;

    errno = 0;
    n = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 ? n : 0;
}

void askrow_end(struct buf *rows)
{
    buf_putc(rows, '\0');
}

bool askrow_take(const void *rows, size_t len, size_t *at, const void **ret_row, size_t *ret_len)
{
    const char *bytes = rows;
    size_t end = *at;

    while (end < len && bytes[end] != '\0') {
        for (unsigned i = 0; i < 2; i++) { /* a key and its value */
            const char *nul = end < len ? memchr(bytes + end, '\0', len - end) : NULL;

            if (nul == NULL) {
                return false;
            }
            end = (size_t)(nul - bytes) + 1;
        }
    }
    if (end >= len || end - *at > ASKROW_MAX) {
        return false;
    }
    *ret_row = bytes + *at;
    *ret_len = end - *at;
    *at = end + 1;
    return true;
}
