// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_COMPOSE_NOTE_H
#define WHERRY_COMMON_COMPOSE_NOTE_H

/* Errors and warnings about a file, as text that a terminal can be given: with the source line and
 * a caret, control characters escaped, long lines cut around the place. */

#include "common/compose.h"

struct compose_source {
    const char *file;  /* as the user named it */
    const char *bytes; /* its content, for the source line; NULL: none is shown */
    size_t len;
};

struct compose_place {
    unsigned line, column; /* in characters, from 1; 0: the file as a whole */
    const char *path;      /* of the key; "" if there is none */
};

/* Adds a note, or counts it beyond `max`. */
void compose_note_add(struct compose_notes *notes, unsigned max,
                      const struct compose_source *source, const struct compose_place *place,
                      const char *message);
void compose_note_sort(struct compose_notes *notes);
void compose_note_finish(struct compose_notes *notes);

/* Appends printable UTF-8: control characters, bytes that are no UTF-8, and what turns the
 * direction of text, are escaped. */
void compose_note_escape(struct buf *out, const char *text, size_t len);

/* Line and column of an offset in bytes. */
void compose_note_locate(const struct compose_source *source, size_t offset, unsigned *ret_line,
                         unsigned *ret_column);

#endif
