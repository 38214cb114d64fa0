// SPDX-License-Identifier: Apache-2.0
#include "controller/cli/yamlout.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/err.h"

static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./@-";

/* Words that YAML 1.1 or 1.2 read as something else. */
static bool is_word(const char *text)
{
    static const char *const words[] = {"y",   "n",    "yes",   "no",  "on",
                                        "off", "true", "false", "null"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcasecmp(words[i], text) == 0) {
            return true;
        }
    }
    return false;
}

/* Begins with a letter or a slash: then it is no number, date or sign. A colon inside is plain
 * when something follows it ("shop/web:1"). */
static bool is_plain(const char *text)
{
    size_t n = strspn(text, plain);

    if (text[0] == '\0' || strchr("0123456789_.@-", text[0]) != NULL || is_word(text)) {
        return false;
    }
    while (text[n] == ':' && text[n + 1] != '\0' && strchr(plain, text[n + 1]) != NULL) {
        n += 1 + strspn(text + n + 1, plain);
    }
    return text[n] == '\0';
}

static void put_text(const char *text, struct buf *out)
{
    if (is_plain(text)) {
        buf_puts(out, text);
        return;
    }
    buf_putc(out, '"');
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            buf_printf(out, "\\%c", *c);
        } else if (*c == '\n') {
            buf_puts(out, "\\n");
        } else if (*c < 0x20 || *c == 0x7f) {
            buf_printf(out, "\\x%02x", *c);
        } else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) {
            buf_printf(out, "\\x%02x", *++c); /* C1 controls */
        } else {
            buf_puts(out, *c == '$' ? "$$" : (char[]){(char)*c, '\0'});
        }
    }
    buf_putc(out, '"');
}

/* The beginning of a line. */
static void begin(struct yamlout *y)
{
    unsigned depth = y->held != NULL ? y->depth - 1 : y->depth;

    buf_printf(y->out, "%*s%s", (int)(2 * depth), "", y->held != NULL ? y->held : "");
    y->held = NULL;
}

static void put_key(struct yamlout *y, const char *key)
{
    struct buf text = {0};

    begin(y);
    put_text(key, &text);
    /* Keys are not interpolated. */
    for (const char *c = buf_text(&text); *c != '\0'; c++) {
        c += c[0] == '$' && c[1] == '$';
        buf_putc(y->out, *c);
    }
    buf_finish(&text);
    buf_putc(y->out, ':');
}

void yamlout_open(struct yamlout *y, const char *key)
{
    put_key(y, key);
    buf_putc(y->out, '\n');
    y->depth++;
}

void yamlout_close(struct yamlout *y)
{
    y->depth--;
    y->held = NULL;
}

void yamlout_item(struct yamlout *y)
{
    y->depth++;
    y->held = "- ";
}

void yamlout_text(struct yamlout *y, const char *key, const char *text)
{
    put_key(y, key);
    buf_putc(y->out, ' ');
    put_text(text, y->out);
    buf_putc(y->out, '\n');
}

void yamlout_raw(struct yamlout *y, const char *key, const char *fmt, ...)
{
    auto_free char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0) {
        die("out of memory");
    }
    va_end(ap);
    put_key(y, key);
    buf_printf(y->out, " %s\n", text);
}

void yamlout_list(struct yamlout *y, const char *key, char *const *texts, size_t n)
{
    if (n == 0) {
        yamlout_raw(y, key, "[]");
        return;
    }
    yamlout_open(y, key);
    for (size_t i = 0; i < n; i++) {
        begin(y);
        buf_puts(y->out, "- ");
        put_text(texts[i], y->out);
        buf_putc(y->out, '\n');
    }
    yamlout_close(y);
}

void yamlout_millis(struct yamlout *y, const char *key, uint64_t ms)
{
    bool whole = ms % 1000 == 0;

    yamlout_raw(y, key, "%" PRIu64 "%s", whole ? ms / 1000 : ms, whole ? "s" : "ms");
}
