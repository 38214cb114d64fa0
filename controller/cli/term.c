// SPDX-License-Identifier: Apache-2.0
#include "controller/cli/term.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "common/cleanup.h"

/* ---- the terminal ---- */

static bool color_wanted(void)
{
    const char *no_color = getenv("NO_COLOR"); /* no-color.org: present and not empty */
    const char *term = getenv("TERM");

    return (no_color == NULL || no_color[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0;
}

/* A locale that is not set says nothing; today's terminals show UTF-8. */
static bool utf8_wanted(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *value = getenv(names[i]);

        if (value != NULL && value[0] != '\0') {
            return strcasestr(value, "utf-8") != NULL || strcasestr(value, "utf8") != NULL;
        }
    }
    return true;
}

void term_init(struct term *t, FILE *file, bool color_allowed)
{
    assert(file != NULL);
    *t = (struct term){.file = file, .tty = isatty(fileno(file)) == 1, .utf8 = utf8_wanted()};
    t->color = t->tty && color_allowed && color_wanted();
}

static struct winsize size_of(const struct term *t)
{
    struct winsize size = {0};

    if (!t->tty || ioctl(fileno(t->file), TIOCGWINSZ, &size) < 0) {
        return (struct winsize){0};
    }
    return size;
}

unsigned term_columns(const struct term *t)
{
    return size_of(t).ws_col;
}

unsigned term_rows(const struct term *t)
{
    return size_of(t).ws_row;
}

void term_paint(const struct term *t, enum term_style style, const char *text, struct buf *out)
{
    static const char *const codes[] = {[TERM_PLAIN] = "",  [TERM_BOLD] = "1",  [TERM_DIM] = "2",
                                        [TERM_GOOD] = "32", [TERM_WARN] = "33", [TERM_BAD] = "31"};

    if (!t->color || style == TERM_PLAIN) {
        buf_puts(out, text);
        return;
    }
    buf_printf(out, "\x1b[%sm%s\x1b[0m", codes[style], text);
}

/* ---- text ---- */

/* Decodes one character. Returns its bytes; 0 when they are not UTF-8 (RFC 3629). */
static size_t decode(const char *text, wchar_t *ret_c)
{
    static const struct {
        unsigned char mask, lead;
        wchar_t least;
    } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    const unsigned char *b = (const unsigned char *)text;

    for (size_t n = 0; n < ARRAY_LEN(forms); n++) {
        wchar_t c;

        if ((b[0] & forms[n].mask) != forms[n].lead) {
            continue;
        }
        c = b[0] & (unsigned char)~forms[n].mask;
        for (size_t i = 1; i <= n; i++) {
            if ((b[i] & 0xc0) != 0x80) {
                return 0;
            }
            c = c << 6 | (b[i] & 0x3f);
        }
        if (c < forms[n].least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
            return 0;
        }
        *ret_c = c;
        return n + 1;
    }
    return 0;
}

/* Marks that turn the direction of what follows (Unicode TR 9): a name could look like another. */
static bool turns(wchar_t c)
{
    return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x200e ||
           c == 0x200f || c == 0x061c;
}

static bool is_shown(wchar_t c)
{
    return c >= 0x20 && c != 0x7f && !(c >= 0x80 && c < 0xa0) && wcwidth(c) >= 0 && !turns(c);
}

/* Bytes of "ESC [ digits and ; m" at `text`; 0: it is something else. */
static size_t color_code(const char *text)
{
    size_t n;

    if (text[0] != '\x1b' || text[1] != '[') {
        return 0;
    }
    n = 2 + strspn(text + 2, "0123456789;");
    return text[n] == 'm' ? n + 1 : 0;
}

static void escape(const char *text, bool log, struct buf *out)
{
    while (text[0] != '\0') {
        wchar_t c = 0;
        size_t n = decode(text, &c);
        size_t keep = log && text[0] == '\t' ? 1 : log ? color_code(text) : 0;

        if (keep > 0 || (n > 0 && is_shown(c))) {
            n = keep > 0 ? keep : n;
            buf_append(out, text, n);
        } else if (n > 1) {
            buf_printf(out, "\\u%04x", (unsigned)c);
        } else {
            buf_printf(out, "\\x%02x", (unsigned char)text[0]);
            n = 1;
        }
        text += n;
    }
}

void term_escape(const char *text, struct buf *out)
{
    escape(text, false, out);
}

void term_escape_log(const char *text, struct buf *out)
{
    escape(text, true, out);
}

static unsigned columns_of(wchar_t c)
{
    int n = wcwidth(c);

    return n > 0 ? (unsigned)n : 0;
}

unsigned term_width(const char *text)
{
    unsigned width = 0;

    while (text[0] != '\0') {
        wchar_t c = '?';
        size_t n = decode(text, &c);

        width += columns_of(c);
        text += n > 0 ? n : 1;
    }
    return width;
}

void term_cut(const struct term *t, const char *text, unsigned columns, struct buf *out)
{
    const char *ellipsis = t->utf8 ? "…" : "~";
    unsigned used = 0;

    if (term_width(text) <= columns) {
        buf_puts(out, text);
        return;
    }
    while (columns > 0) {
        wchar_t c = '?';
        size_t n = decode(text, &c);

        if (used + columns_of(c) > columns - 1) {
            buf_puts(out, ellipsis);
            return;
        }
        used += columns_of(c);
        n = n > 0 ? n : 1;
        buf_append(out, text, n);
        text += n;
    }
}
