// SPDX-License-Identifier: Apache-2.0
#include "common/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

static int negative(int code)
{
    if (code == 0) {
        return -EINVAL;
    }
    return code < 0 ? code : -code;
}

int err_set(struct err *e, int errno_code, const char *fmt, ...)
{
    int code = negative(errno_code);
    va_list ap;
    int n;

    if (e == NULL) {
        return code;
    }
    e->code = code;
    va_start(ap, fmt);
    n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    if (errno_code != 0 && n >= 0 && (size_t)n < sizeof(e->text)) {
        (void)snprintf(e->text + n, sizeof(e->text) - (size_t)n, ": %s", strerror(-code));
    }
    utf8_repair(e->text);
    return code;
}

int err_say(struct err *e, int errno_code, const char *fmt, ...)
{
    int code = negative(errno_code);
    va_list ap;

    if (e == NULL) {
        return code;
    }
    e->code = code;
    va_start(ap, fmt);
    (void)vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    utf8_repair(e->text);
    return code;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    char inner[ERR_TEXT_MAX];
    va_list ap;
    int n;

    if (e == NULL) {
        return -EIO;
    }
    memcpy(inner, e->text, sizeof(inner));
    inner[sizeof(inner) - 1] = '\0';
    va_start(ap, fmt);
    n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(e->text)) {
        (void)snprintf(e->text + n, sizeof(e->text) - (size_t)n, ": %s", inner);
    }
    utf8_repair(e->text);
    return e->code;
}

void die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)fputs("wherry: fatal: ", stderr);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
    abort();
}

void *xmalloc(size_t size)
{
    void *p = malloc(size > 0 ? size : 1);

    if (p == NULL) {
        die("no memory for %zu bytes", size);
    }
    return p;
}

void *xcalloc(size_t n, size_t size)
{
    void *p = calloc(n > 0 ? n : 1, size > 0 ? size : 1);

    if (p == NULL) {
        die("no memory for %zu x %zu bytes", n, size);
    }
    return p;
}

void *xrealloc(void *p, size_t n, size_t size)
{
    size_t bytes;
    void *q;

    if (__builtin_mul_overflow(n, size, &bytes)) {
        die("no memory for %zu x %zu bytes", n, size);
    }
    q = realloc(p, bytes > 0 ? bytes : 1);
    if (q == NULL) {
        die("no memory for %zu bytes", bytes);
    }
    return q;
}

char *xstrdup(const char *s)
{
    return xstrndup(s, strlen(s));
}

char *xstrndup(const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *p = xmalloc(len + 1);

    memcpy(p, s, len);
    p[len] = '\0';
    return p;
}

char *xasprintf(const char *fmt, ...)
{
    va_list ap;
    char *p = NULL;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&p, fmt, ap);
    va_end(ap);
    if (n < 0) {
        die("no memory for a string");
    }
    return p;
}
