// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_COMPOSE_VALUE_H
#define WHERRY_COMMON_COMPOSE_VALUE_H

/* How Compose writes values: exact integer arithmetic, nothing rounded, every overflow refused.
 * Each returns 0, or -EINVAL or -ERANGE with what was found and what is allowed; `ret` is untouched
 * then. Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* Digits only, no sign, no leading zero. */
int compose_value_number(const char *text, uint64_t *ret, struct err *e);
/* true, false, yes, no, on, off (as YAML 1.1 writes them). */
int compose_value_flag(const char *text, bool *ret, struct err *e);
/* "1m30s", "1.5s", "100ms", "0": h, m, s, ms, us, ns; the whole must be full milliseconds. */
int compose_value_millis(const char *text, uint64_t *ret, struct err *e);
/* "64m", "1.5gb", "512KiB", "1000": k, m, g, t are powers of 1024, as Docker has it. */
int compose_value_bytes(const char *text, uint64_t *ret, struct err *e);
/* "0.5", "2": thousandths of a core. */
int compose_value_cpus(const char *text, uint64_t *ret, struct err *e);
/* Octal: "1777", "0755", "0o700". */
int compose_value_mode(const char *text, uint32_t *ret, struct err *e);
/* "SIGTERM", "TERM", "15", "SIGRTMIN+3". */
int compose_value_signal(const char *text, uint32_t *ret, struct err *e);

/* Splits a command as a POSIX shell would into words, without expanding anything. */
struct compose_words {
    char **word; /* each and the array to be freed */
    size_t n;
};
int compose_value_split(const char *text, struct compose_words *ret, struct err *e);
void compose_value_words_free(struct compose_words *words);

/* An absolute path without ".", "..", doubled or trailing slashes: `text`, or `base`/`text` when it
 * is relative. Free it. */
char *compose_value_path(const char *base, const char *text);

#endif
