// SPDX-License-Identifier: Apache-2.0
#include "common/compose_interp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

static int expand(const struct compose_interp *in, const char *p, const char *end, unsigned depth,
                  struct buf *out, struct err *e);

size_t compose_interp_name_length(const char *text)
{
    size_t n = 0;

    while ((text[n] >= 'A' && text[n] <= 'Z') || (text[n] >= 'a' && text[n] <= 'z') ||
           text[n] == '_' || (n > 0 && text[n] >= '0' && text[n] <= '9')) {
        n++;
    }
    return n;
}

static int put(struct buf *out, const char *text, size_t len, struct err *e)
{
    if (out->len + len > DOC_LONG_MAX) {
        return err_say(e, E2BIG, "text has more than %d bytes once variables are replaced",
                       DOC_LONG_MAX);
    }
    buf_append(out, text, len);
    return 0;
}

/* The brace that closes what begins before `p`, or NULL. */
static const char *closing_brace(const char *p, const char *end)
{
    unsigned open = 1;

    for (; p < end; p++) {
        if (p + 1 < end && p[0] == '$' && (p[1] == '$' || p[1] == '{')) {
            open += p[1] == '{';
            p++;
        } else if (*p == '}' && --open == 0) {
            return p;
        }
    }
    return NULL;
}

static int put_value(const struct compose_interp *in, const char *name, const char *value,
                     struct buf *out, struct err *e)
{
    if (value == NULL) {
        if (in->unset != NULL) {
            in->unset(in->unset_arg, name);
        }
        return 0;
    }
    return put(out, value, strlen(value), e);
}

static int refuse_missing(const struct compose_interp *in, const char *name, const char *value,
                          const char *word, const char *end, unsigned depth, struct err *e)
{
    auto_buf struct buf why = {0};
    int rc = expand(in, word, end, depth + 1, &why, e);

    if (rc < 0) {
        return rc;
    }
    return err_say(e, EINVAL, "variable %.100s is required and %s%s%.200s", name,
                   value == NULL ? "not set" : "empty", why.len > 0 ? ": " : "", buf_text(&why));
}

/* The part of ${…} behind the name: an operator and a word. */
static int put_operator(const struct compose_interp *in, const char *name, const char *p,
                        const char *end, unsigned depth, struct buf *out, struct err *e)
{
    const char *value = in->lookup(in->lookup_arg, name);
    bool or_empty = p < end && *p == ':';
    bool has;

    if (p == end) {
        return put_value(in, name, value, out, e);
    }
    has = value != NULL && !(or_empty && value[0] == '\0');
    p += or_empty;
    switch (p < end ? *p : '\0') {
    case '-':
        return has ? put(out, value, strlen(value), e) : expand(in, p + 1, end, depth + 1, out, e);
    case '+':
        return has ? expand(in, p + 1, end, depth + 1, out, e) : 0;
    case '?':
        return has ? put(out, value, strlen(value), e)
                   : refuse_missing(in, name, value, p + 1, end, depth, e);
    default:
        return err_say(e, EINVAL,
                       "unknown operator after ${%.100s (allowed: } :- - :? ? :+ +, and $$ for a "
                       "dollar)",
                       name);
    }
}

/* At a dollar that is not doubled; moves `p` behind the variable. */
static int put_variable(const struct compose_interp *in, const char **p, const char *end,
                        unsigned depth, struct buf *out, struct err *e)
{
    bool braced = *p + 1 < end && (*p)[1] == '{';
    const char *name = *p + 1 + braced;
    size_t len = compose_interp_name_length(name);
    auto_free char *copy = xstrndup(name, len);
    const char *close = NULL;

    if (len == 0 || len > (size_t)(end - name)) {
        return err_say(e, EINVAL,
                       "no variable name follows a dollar (allowed: $VAR, ${VAR}, and $$ for a "
                       "dollar)");
    }
    if (!braced) {
        *p = name + len;
        return put_value(in, copy, in->lookup(in->lookup_arg, copy), out, e);
    }
    close = closing_brace(name + len, end);
    if (close == NULL) {
        return err_say(e, EINVAL, "no brace closes ${%.100s", copy);
    }
    *p = close + 1;
    return put_operator(in, copy, name + len, close, depth, out, e);
}

/* Recursion is bounded by COMPOSE_INTERP_DEPTH_MAX. */
static int expand(const struct compose_interp *in, const char *p, const char *end, unsigned depth,
                  struct buf *out, struct err *e)
{
    int rc = 0;

    if (depth > COMPOSE_INTERP_DEPTH_MAX) {
        return err_say(e, EINVAL, "variables are nested deeper than %d", COMPOSE_INTERP_DEPTH_MAX);
    }
    while (rc == 0 && p < end) {
        const char *dollar = memchr(p, '$', (size_t)(end - p));

        if (dollar == NULL) {
            return put(out, p, (size_t)(end - p), e);
        }
        rc = put(out, p, (size_t)(dollar - p), e);
        p = dollar;
        if (rc == 0 && p + 1 < end && p[1] == '$') {
            rc = put(out, "$", 1, e);
            p += 2;
        } else if (rc == 0) {
            rc = put_variable(in, &p, end, depth, out, e);
        }
    }
    return rc;
}

int compose_interp_text(const struct compose_interp *in, const char *text, struct buf *out,
                        struct err *e)
{
    return expand(in, text, text + strlen(text), 0, out, e);
}
