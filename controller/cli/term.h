// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_TERM_H
#define WHERRY_CONTROLLER_CLI_TERM_H

/* What is known of the terminal behind an output, and text made fit for it: what a controller or a
 * container says is never trusted with control characters. Text is UTF-8 and measured in columns.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/buf.h"

enum term_style {
    TERM_PLAIN,
    TERM_BOLD,
    TERM_DIM,
    TERM_GOOD,
    TERM_WARN,
    TERM_BAD,
};

struct term {
    FILE *file;
    bool tty;
    bool color;
    bool utf8; /* may draw beyond ASCII */
};

/* `color_allowed`: false with --no-color. NO_COLOR and TERM=dumb are looked at here. Borrows. */
void term_init(struct term *t, FILE *file, bool color_allowed);

/* Columns and rows as of now; 0: no terminal, or it does not say. */
unsigned term_columns(const struct term *t);
unsigned term_rows(const struct term *t);

/* Appends `text` in a style. TERM_PLAIN, and a terminal without colour, add nothing. */
void term_paint(const struct term *t, enum term_style style, const char *text, struct buf *out);

/* Appends `text` with everything that could steer a terminal made visible: control characters,
 * bytes that are not UTF-8, marks that reverse the direction ("\x1b", "\u202e"). */
void term_escape(const char *text, struct buf *out);

/* Likewise, for a container's log on a terminal: tabs and colours (ESC [ … m) stay as they are. */
void term_escape_log(const char *text, struct buf *out);

/* Columns of escaped text. */
unsigned term_width(const char *text);

/* Appends at most `columns` columns of escaped text, ending in an ellipsis when it was cut. */
void term_cut(const struct term *t, const char *text, unsigned columns, struct buf *out);

#endif
