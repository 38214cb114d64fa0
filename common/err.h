// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_ERR_H
#define WHERRY_COMMON_ERR_H

/* An error as a plain value: a code and one sentence of context, outermost first:
 * `rootfs: mount proc on /proc: Operation not permitted`. It needs no allocation and crosses a
 * pipe unchanged, and its text is UTF-8 whatever it was made of, so it fits into any document.
 * Functions that can fail return 0 or a negative errno and take a last `struct err *` (may be
 * NULL); a function either logs or returns, never both. */

#include <stddef.h>

#define ERR_TEXT_MAX 512

struct err {
    int code; /* 0 or a negative errno */
    char text[ERR_TEXT_MAX];
};

/* Sets `e` to "<text>: <strerror(errno_code)>", or to the text alone when the code is 0 (then
 * -EINVAL is used). `errno_code` may have either sign. The text begins with the verb that failed.
 * Returns the negative code. */
int err_set(struct err *e, int errno_code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Like err_set, but the text is the whole sentence: nothing is appended. */
int err_say(struct err *e, int errno_code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "<context>: " in front of the text. Returns the code already in `e` (-EIO if e is NULL). */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Ends the process with a message: for memory that could not be had and for broken invariants,
 * from which a restart recovers better than an unwinding nobody tested. */
_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Allocators that never return NULL. `n` and `size` are checked for overflow. */
void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
