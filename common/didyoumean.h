// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_DIDYOUMEAN_H
#define WHERRY_COMMON_DIDYOUMEAN_H

/* The nearest known word to one that is not known: for keys of a file, commands and options.
 * Distance of Damerau and Levenshtein with adjacent transpositions, case and '-' for '_' for free;
 * at most 2, and 1 for words of up to three letters. Pure. */

#include <stddef.h>

#define DIDYOUMEAN_LEN_MAX 64 /* longer words have no near one */

struct didyoumean {
    const char *word;
    const char *best; /* NULL: none near enough */
    unsigned distance;
};

void didyoumean_start(struct didyoumean *d, const char *word);      /* borrows */
void didyoumean_offer(struct didyoumean *d, const char *candidate); /* borrows; the first wins */

/* ` (did you mean "x"?)`, or "" if nothing is near. Returns `scratch`. */
const char *didyoumean_phrase(const struct didyoumean *d, char *scratch, size_t len);

/* The number of edits between two words, or `limit` + 1 if there are more. */
unsigned didyoumean_distance(const char *a, const char *b, unsigned limit);

#endif
