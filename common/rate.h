// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_RATE_H
#define WHERRY_COMMON_RATE_H

/* Bits a second as people write them: "10mbit", "1.5gbit". k, m, g are powers of 1000. Pure. */

#include <stdint.h>

#include "common/err.h"

#define RATE_TEXT 32

/* In the largest unit of which it is one at least, with three decimals at most: "1.5gbit". */
void rate_text(uint64_t bits_per_s, char ret[RATE_TEXT]);

/* "10mbit", "1.5gbit", "64kbit", "2000". -EINVAL, -ERANGE: the error's text says what is
 * allowed. */
int rate_parse(const char *text, uint64_t *ret, struct err *e);

#endif
