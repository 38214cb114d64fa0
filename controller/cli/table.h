// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_TABLE_H
#define WHERRY_CONTROLLER_CLI_TABLE_H

/* Columns of text. Cells are escaped when they are put in, measured by what a terminal shows, and
 * on a terminal cut where a column may shrink, so that a row stays one line. */

#include <stdbool.h>
#include <stddef.h>

#include "controller/cli/term.h"

struct table_column {
    const char *title;
    bool right;    /* numbers */
    bool shrinks;  /* may be cut when the terminal is too narrow */
    bool optional; /* left out while all its cells are empty */
};

struct table_cell {
    char *text; /* escaped */
    enum term_style style;
};

struct table {
    const struct table_column *columns; /* borrowed */
    size_t n_columns;
    struct table_cell *cells; /* row by row */
    size_t n_cells;
    size_t cap;
};

void table_init(struct table *t, const struct table_column *columns, size_t n_columns);
void table_finish(struct table *t);

/* Puts the next cell, from left to right, row by row. */
void table_put(struct table *t, enum term_style style, const char *text);
void table_putf(struct table *t, enum term_style style, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

size_t table_rows(const struct table *t);

/* Appends the table in at most `columns` columns where its shrinking columns permit; 0: any. */
void table_render(const struct table *t, const struct term *term, unsigned columns,
                  struct buf *out);

/* Writes it to the terminal's file. */
void table_print(const struct table *t, const struct term *term);

#define auto_table __attribute__((cleanup(table_finish)))

#endif
