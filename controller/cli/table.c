// SPDX-License-Identifier: Apache-2.0
#include "controller/cli/table.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/err.h"

#define GAP    2
#define LEAST  8  /* columns that a shrinking column keeps */
#define WIDEST 16 /* columns of a table */

void table_init(struct table *t, const struct table_column *columns, size_t n_columns)
{
    assert(n_columns > 0 && n_columns <= WIDEST);
    *t = (struct table){.columns = columns, .n_columns = n_columns};
}

void table_finish(struct table *t)
{
    for (size_t i = 0; i < t->n_cells; i++) {
        free(t->cells[i].text);
    }
    free(t->cells);
    *t = (struct table){0};
}

void table_put(struct table *t, enum term_style style, const char *text)
{
    struct buf escaped = {0};

    assert(t->n_columns > 0);
    if (t->n_cells == t->cap) {
        t->cap = t->cap > 0 ? 2 * t->cap : 64;
        t->cells = xrealloc(t->cells, t->cap, sizeof(*t->cells));
    }
    term_escape(text, &escaped);
    t->cells[t->n_cells++] = (struct table_cell){.text = buf_take(&escaped), .style = style};
}

void table_putf(struct table *t, enum term_style style, const char *fmt, ...)
{
    auto_free char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0) {
        die("out of memory");
    }
    va_end(ap);
    table_put(t, style, text);
}

size_t table_rows(const struct table *t)
{
    return t->n_cells / t->n_columns;
}

/* ---- layout ---- */

struct layout {
    unsigned width[WIDEST]; /* 0: the column is left out */
    size_t last;            /* the last column shown: not padded */
};

static void measure(const struct table *t, struct layout *l)
{
    for (size_t i = 0; i < t->n_cells; i++) {
        unsigned width = term_width(t->cells[i].text);
        size_t c = i % t->n_columns;

        l->width[c] = width > l->width[c] ? width : l->width[c];
    }
    for (size_t c = 0; c < t->n_columns; c++) {
        unsigned title = term_width(t->columns[c].title);

        if (l->width[c] == 0 && t->columns[c].optional) {
            continue;
        }
        l->width[c] = title > l->width[c] ? title : l->width[c];
        l->last = c;
    }
}

static unsigned total(const struct table *t, const struct layout *l)
{
    unsigned sum = 0;

    for (size_t c = 0; c < t->n_columns; c++) {
        sum += l->width[c] > 0 ? l->width[c] + (c < l->last ? GAP : 0) : 0;
    }
    return sum;
}

/* Takes what is too much from the widest shrinking column, one by one. */
static void shrink(const struct table *t, struct layout *l, unsigned columns)
{
    for (unsigned over = total(t, l) > columns ? total(t, l) - columns : 0; over > 0; over--) {
        size_t widest = t->n_columns;

        for (size_t c = 0; c < t->n_columns; c++) {
            if (t->columns[c].shrinks && l->width[c] > LEAST &&
                (widest == t->n_columns || l->width[c] > l->width[widest])) {
                widest = c;
            }
        }
        if (widest == t->n_columns) {
            return;
        }
        l->width[widest]--;
    }
}

/* ---- drawing ---- */

static void pad(struct buf *out, unsigned n)
{
    buf_printf(out, "%*s", (int)n, "");
}

static void put_cell(const struct table *t, const struct layout *l, const struct term *term,
                     size_t c, const struct table_cell *cell, struct buf *out)
{
    auto_buf struct buf text = {0};
    unsigned width;

    term_cut(term, cell->text, l->width[c], &text);
    width = term_width(buf_text(&text));
    if (t->columns[c].right) {
        pad(out, l->width[c] - width);
    }
    term_paint(term, cell->style, buf_text(&text), out);
    if (c != l->last) {
        pad(out, GAP + (t->columns[c].right ? 0 : l->width[c] - width));
    }
}

static void put_row(const struct table *t, const struct layout *l, const struct term *term,
                    const struct table_cell *row, struct buf *out)
{
    for (size_t c = 0; c < t->n_columns; c++) {
        if (l->width[c] > 0) {
            put_cell(t, l, term, c, &row[c], out);
        }
    }
    while (out->len > 0 && out->data[out->len - 1] == ' ') {
        out->data[--out->len] = '\0'; /* the last cells are empty */
    }
    buf_putc(out, '\n');
}

void table_render(const struct table *t, const struct term *term, unsigned columns, struct buf *out)
{
    struct layout l = {0};
    struct table_cell titles[WIDEST] = {0};

    assert(t->n_cells % t->n_columns == 0);
    measure(t, &l);
    if (columns > 0) {
        shrink(t, &l, columns);
    }
    for (size_t c = 0; c < t->n_columns; c++) {
        titles[c] = (struct table_cell){(char *)(uintptr_t)t->columns[c].title, TERM_DIM};
    }
    put_row(t, &l, term, titles, out);
    for (size_t row = 0; row < table_rows(t); row++) {
        put_row(t, &l, term, &t->cells[row * t->n_columns], out);
    }
}

void table_print(const struct table *t, const struct term *term)
{
    auto_buf struct buf out = {0};

    table_render(t, term, term_columns(term), &out);
    (void)fputs(buf_text(&out), term->file);
}
