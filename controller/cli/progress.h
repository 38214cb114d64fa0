// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_PROGRESS_H
#define WHERRY_CONTROLLER_CLI_PROGRESS_H

/* How far several things are: on a terminal a bar each, redrawn in place at most ten times a
 * second; elsewhere a plain line whenever a count changes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/cli/term.h"

struct progress_row {
    const char *name;
    uint64_t done, wanted; /* wanted 0: no bar, the note alone */
    enum term_style style;
    const char *note; /* "" or why it is not done */
};

struct progress {
    const struct term *term;
    unsigned drawn;    /* lines on the terminal that are ours */
    uint64_t drawn_ms; /* when; 0: never */
    struct {
        char *name;
        uint64_t done, wanted;
    } * said; /* without a terminal: what the last lines told */
    size_t n_said;
};

/* Borrows `term`. */
void progress_init(struct progress *p, const struct term *term);
void progress_finish(struct progress *p);

/* Shows the rows if enough time has gone by; `last`: in any case, and for good. */
void progress_show(struct progress *p, const struct progress_row *rows, size_t n, uint64_t now_ms,
                   bool last);

/* Appends the rows as a terminal of this size shows them: at most `lines` lines, the ones that are
 * not done first. 0: any. Returns how many lines. */
unsigned progress_render(const struct progress_row *rows, size_t n, const struct term *term,
                         unsigned columns, unsigned lines, struct buf *out);

#endif
