// SPDX-License-Identifier: Apache-2.0
#include "common/didyoumean.h"

#include <stdio.h>
#include <string.h>

static char fold(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (char)(c - 'A' + 'a');
    }
    return c == '-' ? '_' : c;
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;

    return m < c ? m : c;
}

/* Optimal string alignment over three rows of the matrix. */
unsigned didyoumean_distance(const char *a, const char *b, unsigned limit)
{
    unsigned rows[3][DIDYOUMEAN_LEN_MAX + 1] = {{0}};
    size_t la = strnlen(a, DIDYOUMEAN_LEN_MAX + 1), lb = strnlen(b, DIDYOUMEAN_LEN_MAX + 1);

    if (la > DIDYOUMEAN_LEN_MAX || lb > DIDYOUMEAN_LEN_MAX || la > lb + limit || lb > la + limit) {
        return limit + 1;
    }
    for (size_t j = 0; j <= lb; j++) {
        rows[0][j] = (unsigned)j;
    }
    for (size_t i = 1; i <= la; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned differs = fold(a[i - 1]) != fold(b[j - 1]);

            row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + differs);
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
                fold(a[i - 2]) == fold(b[j - 1]) && before[j - 2] + 1 < row[j]) {
                row[j] = before[j - 2] + 1;
            }
        }
    }
    return rows[la % 3][lb] <= limit ? rows[la % 3][lb] : limit + 1;
}

void didyoumean_start(struct didyoumean *d, const char *word)
{
    *d = (struct didyoumean){.word = word, .distance = strnlen(word, 4) <= 3 ? 2 : 3};
}

void didyoumean_offer(struct didyoumean *d, const char *candidate)
{
    unsigned distance = didyoumean_distance(d->word, candidate, d->distance - (d->distance > 0));

    /* Two edits of a two-letter word are another word. */
    if (distance < d->distance && distance < strlen(candidate)) {
        d->best = candidate;
        d->distance = distance;
    }
}

const char *didyoumean_phrase(const struct didyoumean *d, char *scratch, size_t len)
{
    scratch[0] = '\0';
    if (d->best != NULL) {
        (void)snprintf(scratch, len, " (did you mean \"%s\"?)", d->best);
    }
    return scratch;
}
