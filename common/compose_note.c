// SPDX-License-Identifier: Apache-2.0
#include "common/compose_note.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

#define TAB_WIDTH   4
#define SHOWN_WIDTH 100 /* columns of a source line */
#define SHOWN_LEFT  60  /* of these before the caret when the line is cut */

/* Length of the sequence at `p`, and its code point; 1 and UINT32_MAX if it is no UTF-8. */
static size_t decode(const unsigned char *p, size_t len, uint32_t *ret_point)
{
    size_t n = utf8_length(p, len);
    uint32_t point = n < 2 ? p[0] : p[0] & (0xffu >> (n + 1));

    for (size_t i = 1; i < n; i++) {
        point = point << 6 | (p[i] & 0x3f);
    }
    *ret_point = n > 0 ? point : UINT32_MAX;
    return n > 0 ? n : 1;
}

/* C0, C1, and the marks that reorder a line (Unicode TR 36). */
static bool hides(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) ||
           (point >= 0x200e && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
           (point >= 0x2066 && point <= 0x2069);
}

/* Appends one character; gives the columns it takes. */
static unsigned put(struct buf *out, const unsigned char *p, size_t n, uint32_t point)
{
    if (point == UINT32_MAX || (hides(point) && point < 0x100)) {
        buf_printf(out, "\\x%02x", point == UINT32_MAX ? p[0] : (unsigned)point);
        return 4;
    }
    if (hides(point)) {
        buf_printf(out, "\\u%04x", (unsigned)point);
        return 6;
    }
    buf_append(out, p, n);
    return 1;
}

void compose_note_escape(struct buf *out, const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;

    for (size_t i = 0; i < len;) {
        uint32_t point;
        size_t n = decode(p + i, len - i, &point);

        (void)put(out, p + i, n, point);
        i += n;
    }
}

void compose_note_locate(const struct compose_source *source, size_t offset, unsigned *ret_line,
                         unsigned *ret_column)
{
    unsigned line = 1, column = 1;

    for (size_t i = 0; i < offset && i < source->len; i++) {
        if (source->bytes[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)source->bytes[i] & 0xc0) != 0x80) {
            column++;
        }
    }
    *ret_line = line;
    *ret_column = column;
}

static const char *find_line(const struct compose_source *source, unsigned line, size_t *ret_len)
{
    const char *p = source->bytes, *end = p + source->len;
    const char *stop;

    for (; line > 1; line--) {
        p = memchr(p, '\n', (size_t)(end - p));
        if (p == NULL) {
            return NULL;
        }
        p++;
    }
    stop = memchr(p, '\n', (size_t)(end - p));
    *ret_len = (size_t)((stop != NULL ? stop : end) - p);
    if (*ret_len > 0 && p[*ret_len - 1] == '\r') {
        (*ret_len)--;
    }
    return p;
}

/* The characters from `from` on that fit, with tabs as blanks. Gives the columns before `column`.
 */
static unsigned put_line(struct buf *out, const char *text, size_t len, unsigned from,
                         unsigned column)
{
    const unsigned char *p = (const unsigned char *)text;
    unsigned width = 0, before = 0, at = 1;
    size_t i = 0;

    while (i < len && width < SHOWN_WIDTH) {
        uint32_t point;
        size_t n = decode(p + i, len - i, &point);

        if (at == column) {
            before = width;
        }
        if (at >= from && point == '\t') {
            buf_printf(out, "%*s", TAB_WIDTH, "");
            width += TAB_WIDTH;
        } else if (at >= from) {
            width += put(out, p + i, n, point);
        }
        at++;
        i += n;
    }
    if (i < len) {
        buf_puts(out, "…");
    }
    return column >= at ? width : before;
}

static void put_source(struct buf *out, const struct compose_source *source,
                       const struct compose_place *place)
{
    unsigned from = place->column > SHOWN_WIDTH - 10 ? place->column - SHOWN_LEFT : 1;
    size_t len = 0;
    const char *line;
    unsigned before;

    if (source->bytes == NULL || place->line == 0) {
        return;
    }
    line = find_line(source, place->line, &len);
    if (line == NULL) {
        return;
    }
    buf_puts(out, from > 1 ? "    …" : "    ");
    before = put_line(out, line, len, from, place->column);
    buf_printf(out, "\n    %*s^\n", (int)(before + (from > 1)), "");
}

static void put_head(struct buf *out, const struct compose_note *note)
{
    buf_puts(out, note->file);
    if (note->line > 0) {
        buf_printf(out, ":%u:%u", note->line, note->column);
    }
    buf_puts(out, ": ");
    if (note->path[0] != '\0') {
        buf_printf(out, "%s: ", note->path);
    }
    buf_printf(out, "%s\n", note->message);
}

static char *escaped(const char *text)
{
    struct buf out = {0};

    compose_note_escape(&out, text, strlen(text));
    return buf_take(&out);
}

void compose_note_add(struct compose_notes *notes, unsigned max,
                      const struct compose_source *source, const struct compose_place *place,
                      const char *message)
{
    struct compose_note *note;
    struct buf text = {0};

    if (notes->n >= max) {
        notes->left_out++;
        return;
    }
    notes->items = xrealloc(notes->items, notes->n + 1, sizeof(*notes->items));
    note = &notes->items[notes->n++];
    *note = (struct compose_note){.file = escaped(source->file),
                                  .line = place->line,
                                  .column = place->column,
                                  .path = escaped(place->path),
                                  .message = escaped(message)};
    put_head(&text, note);
    put_source(&text, source, place);
    note->text = buf_take(&text);
}

static int by_place(const void *a, const void *b)
{
    const struct compose_note *x = a, *y = b;

    if (x->line != y->line) {
        return x->line < y->line ? -1 : 1;
    }
    if (x->column != y->column) {
        return x->column < y->column ? -1 : 1;
    }
    return strcmp(x->text, y->text);
}

void compose_note_sort(struct compose_notes *notes)
{
    if (notes->n > 1) {
        qsort(notes->items, notes->n, sizeof(*notes->items), by_place);
    }
}

void compose_note_finish(struct compose_notes *notes)
{
    for (unsigned i = 0; i < notes->n; i++) {
        free(notes->items[i].file);
        free(notes->items[i].path);
        free(notes->items[i].message);
        free(notes->items[i].text);
    }
    free(notes->items);
    *notes = (struct compose_notes){0};
}
