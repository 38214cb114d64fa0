// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_UTF8_H
#define WHERRY_COMMON_UTF8_H

/* UTF-8 as RFC 3629 has it: shortest form, no surrogates, to U+10FFFF. Pure. */

#include <stddef.h>

/* Length of the sequence that `text` begins with; 0: there is none within `len` bytes. */
size_t utf8_length(const void *text, size_t len);

/* Puts '?' for each byte that belongs to no sequence: names from an image can hold any bytes, and
 * text that was cut may end within a character. */
void utf8_repair(char *text);

#endif
