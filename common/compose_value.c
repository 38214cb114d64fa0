// SPDX-License-Identifier: Apache-2.0
#include "common/compose_value.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/cleanup.h"

static const char digits[] = "0123456789";

int compose_value_number(const char *text, uint64_t *ret, struct err *e)
{
    uint64_t value = 0;

    if (text[0] == '\0' || strspn(text, digits) != strlen(text)) {
        return err_say(e, EINVAL, "\"%.100s\" is no whole number", text);
    }
    if (text[0] == '0' && text[1] != '\0') {
        return err_say(e, EINVAL, "\"%.100s\" begins with a zero: is it octal? (allowed: decimal)",
                       text);
    }
    for (const char *p = text; *p != '\0'; p++) {
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value)) {
            return err_say(e, ERANGE, "\"%.100s\" is too large", text);
        }
    }
    *ret = value;
    return 0;
}

int compose_value_flag(const char *text, bool *ret, struct err *e)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};

    for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *ret = i % 2 == 1;
            return 0;
        }
    }
    return err_say(e, EINVAL, "\"%.100s\" is neither true nor false", text);
}

/* ---- decimals with a unit ---- */

/* "12.5": 12 and 5/10. Fractions longer than 18 digits are refused: they would not be exact. */
struct decimal {
    uint64_t whole, part, scale;
};

static int read_decimal(const char **text, struct decimal *ret)
{
    struct decimal d = {.scale = 1};
    const char *p = *text;

    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(d.whole, 10u, &d.whole) ||
            __builtin_add_overflow(d.whole, (uint64_t)(*p - '0'), &d.whole)) {
            return -ERANGE;
        }
    }
    if (*p == '.') {
        const char *dot = p++;

        for (; *p >= '0' && *p <= '9'; p++) {
            if (p - dot > 18) {
                return -ERANGE;
            }
            d.part = d.part * 10 + (uint64_t)(*p - '0');
            d.scale *= 10;
        }
        if (p == dot + 1) {
            return -EINVAL;
        }
    }
    if (p == *text) {
        return -EINVAL;
    }
    *text = p;
    *ret = d;
    return 0;
}

/* d * unit, rounded down; `ret_exact` says whether nothing was lost. */
static int scale_decimal(const struct decimal *d, uint64_t unit, uint64_t *ret, bool *ret_exact)
{
    __uint128_t part = (__uint128_t)d->part * unit;
    __uint128_t sum = (__uint128_t)d->whole * unit + part / d->scale;

    if (sum > UINT64_MAX) {
        return -ERANGE;
    }
    *ret = (uint64_t)sum;
    *ret_exact = part % d->scale == 0;
    return 0;
}

struct unit {
    const char *name;
    uint64_t size;
};

/* Longer names first where one begins another. */
static const struct unit times[] = {
    {"ns", 1},
    {"us", 1000},
    {"µs", 1000},
    {"ms", 1000000},
    {"s", 1000000000u},
    {"m", 60 * 1000000000ull},
    {"h", 3600 * 1000000000ull},
};

static const struct unit *find_time(const char *p)
{
    for (unsigned i = 0; i < ARRAY_LEN(times); i++) {
        if (strncmp(p, times[i].name, strlen(times[i].name)) == 0) {
            return &times[i];
        }
    }
    return NULL;
}

int compose_value_millis(const char *text, uint64_t *ret, struct err *e)
{
    static const char allowed[] = "allowed: number and unit, like 1m30s, 1.5s, 100ms";
    const char *p = text;
    uint64_t total = 0;

    if (strcmp(text, "0") == 0) {
        *ret = 0;
        return 0;
    }
    do {
        const struct unit *unit;
        struct decimal d;
        uint64_t ns = 0;
        bool exact = true;
        int rc = read_decimal(&p, &d);

        if (rc == -EINVAL) {
            return err_say(e, EINVAL, "\"%.100s\" is no duration (%s)", text, allowed);
        }
        unit = rc == 0 ? find_time(p) : NULL;
        if (rc == 0 && unit == NULL) {
            return err_say(e, EINVAL, "\"%.100s\" has %s unit (%s)", text,
                           *p == '\0' ? "no" : "an unknown", allowed);
        }
        if (rc < 0 || scale_decimal(&d, unit->size, &ns, &exact) < 0 ||
            __builtin_add_overflow(total, ns, &total)) {
            return err_say(e, ERANGE, "\"%.100s\" is too long", text);
        }
        if (!exact) {
            return err_say(e, EINVAL, "\"%.100s\" is finer than a nanosecond", text);
        }
        p += strlen(unit->name);
    } while (*p != '\0');
    if (total % 1000000 != 0) {
        return err_say(e, EINVAL, "\"%.100s\" is finer than a millisecond", text);
    }
    *ret = total / 1000000;
    return 0;
}

int compose_value_bytes(const char *text, uint64_t *ret, struct err *e)
{
    static const char prefixes[] = "bkmgtp";
    const char *p = text, *prefix;
    struct decimal d;
    uint64_t unit = 1;
    bool exact;
    int rc = read_decimal(&p, &d);

    if (rc == 0 && *p == ' ') {
        p++;
    }
    if (rc == 0 && *p != '\0') {
        prefix = strchr(prefixes, *p | 0x20);
        rc = prefix == NULL ? -EINVAL : 0;
        unit = prefix == NULL ? 1 : 1ull << (10 * (prefix - prefixes));
        p++;
        if (unit > 1 && (*p | 0x20) == 'i') {
            p++;
            rc = (*p | 0x20) == 'b' ? rc : -EINVAL;
        }
        if (unit > 1 && (*p | 0x20) == 'b') {
            p++;
        }
    }
    if (rc == -EINVAL || (rc == 0 && *p != '\0')) {
        return err_say(e, EINVAL, "\"%.100s\" is no size (allowed: like 64m, 1.5gb, 512KiB, 1000)",
                       text);
    }
    if (rc < 0 || scale_decimal(&d, unit, ret, &exact) < 0) {
        return err_say(e, ERANGE, "\"%.100s\" is too large", text);
    }
    return 0;
}

int compose_value_cpus(const char *text, uint64_t *ret, struct err *e)
{
    const char *p = text;
    struct decimal d;
    uint64_t millis = 0;
    bool exact = true;
    int rc = read_decimal(&p, &d);

    if (rc == -EINVAL || (rc == 0 && *p != '\0')) {
        return err_say(e, EINVAL, "\"%.100s\" is no number of cores (allowed: like 0.5, 2)", text);
    }
    if (rc < 0 || scale_decimal(&d, 1000, &millis, &exact) < 0) {
        return err_say(e, ERANGE, "\"%.100s\" is too large or too fine", text);
    }
    if (!exact) {
        return err_say(e, EINVAL, "\"%.100s\" is finer than a thousandth of a core", text);
    }
    *ret = millis;
    return 0;
}

int compose_value_mode(const char *text, uint32_t *ret, struct err *e)
{
    const char *p = strncmp(text, "0o", 2) == 0 ? text + 2 : text;
    size_t len = strlen(p);

    if (len == 0 || len > 5 || strspn(p, "01234567") != len || strtoul(p, NULL, 8) > 07777) {
        return err_say(e, EINVAL, "\"%.100s\" is no file mode (allowed: octal, 0 to 7777)", text);
    }
    *ret = (uint32_t)strtoul(p, NULL, 8);
    return 0;
}

/* ---- signals ---- */

#define SIGNAL_MAX                                                                                 \
    64 /* of the kernel; its real-time signals are 32 to 64, two are the C library's */
#define RT_MIN 34

/* "RTMIN+3", "RTMAX-1", "RTMIN". 0: none of these. */
static uint32_t real_time_signal(const char *name)
{
    bool low = strncasecmp(name, "RTMIN", 5) == 0;
    unsigned long step = 0;

    if (!low && strncasecmp(name, "RTMAX", 5) != 0) {
        return 0;
    }
    if (name[5] != '\0') {
        if (name[5] != (low ? '+' : '-') || strspn(name + 6, digits) != strlen(name + 6) ||
            name[6] == '\0' || strlen(name + 6) > 2) {
            return 0;
        }
        step = strtoul(name + 6, NULL, 10);
    }
    if (step > SIGNAL_MAX - RT_MIN) {
        return 0;
    }
    return (uint32_t)(low ? RT_MIN + step : SIGNAL_MAX - step);
}

int compose_value_signal(const char *text, uint32_t *ret, struct err *e)
{
    const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
    uint64_t number = 0;
    uint32_t found = real_time_signal(name);

    if (compose_value_number(text, &number, NULL) == 0 && number <= SIGNAL_MAX) {
        found = (uint32_t)number;
    }
    for (int i = 1; i < 32 && found == 0; i++) {
        const char *known = sigabbrev_np(i);

        if (known != NULL && strcasecmp(name, known) == 0) {
            found = (uint32_t)i;
        }
    }
    if (found == 0) {
        return err_say(e, EINVAL,
                       "\"%.100s\" is no signal (allowed: like SIGTERM, INT, 15, SIGRTMIN+3)",
                       text);
    }
    *ret = found;
    return 0;
}

/* ---- words ---- */

static void add_word(struct compose_words *words, struct buf *word)
{
    words->word = xrealloc(words->word, words->n + 2, sizeof(*words->word));
    words->word[words->n++] = buf_take(word);
    words->word[words->n] = NULL;
}

/* Reads one word from `p`: quotes removed, what they hold kept. NULL: a quote is not closed. */
static const char *read_word(const char *p, struct buf *word)
{
    char quote = '\0';

    for (; *p != '\0'; p++) {
        if (quote == '\0' && strchr(" \t\r\n", *p) != NULL) {
            break;
        }
        if (*p == quote) {
            quote = '\0';
        } else if (quote == '\0' && (*p == '\'' || *p == '"')) {
            quote = *p;
        } else if (*p == '\\' && quote != '\'') {
            if (p[1] == '\0') {
                return NULL;
            }
            if (quote == '"' && p[1] != '"' && p[1] != '\\') {
                buf_putc(word, '\\');
            }
            buf_putc(word, *++p);
        } else {
            buf_putc(word, *p);
        }
    }
    return quote == '\0' ? p : NULL;
}

int compose_value_split(const char *text, struct compose_words *ret, struct err *e)
{
    struct compose_words words = {0};
    const char *p = text;

    for (;;) {
        struct buf word = {0};

        p += strspn(p, " \t\r\n");
        if (*p == '\0') {
            break;
        }
        p = read_word(p, &word);
        if (p == NULL) {
            buf_finish(&word);
            compose_value_words_free(&words);
            return err_say(e, EINVAL, "\"%.100s\" ends within quotes or after a backslash", text);
        }
        add_word(&words, &word);
    }
    *ret = words;
    return 0;
}

void compose_value_words_free(struct compose_words *words)
{
    for (size_t i = 0; i < words->n; i++) {
        free(words->word[i]);
    }
    free(words->word);
    *words = (struct compose_words){0};
}

/* ---- paths ---- */

static void add_parts(struct buf *out, const char *text)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "/");

        if (len == 2 && memcmp(text, "..", 2) == 0) {
            char *slash = out->len > 0 ? strrchr(out->data, '/') : NULL;

            if (slash != NULL) {
                *slash = '\0';
                out->len = (size_t)(slash - out->data);
            }
        } else if (len > 0 && !(len == 1 && *text == '.')) {
            buf_putc(out, '/');
            buf_append(out, text, len);
        }
        text += len + (text[len] == '/');
    }
}

char *compose_value_path(const char *base, const char *text)
{
    struct buf out = {0};

    if (text[0] != '/') {
        add_parts(&out, base);
    }
    add_parts(&out, text);
    if (out.len == 0) {
        buf_putc(&out, '/');
    }
    return buf_take(&out);
}
