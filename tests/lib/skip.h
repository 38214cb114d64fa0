// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_TESTS_LIB_SKIP_H
#define WHERRY_TESTS_LIB_SKIP_H

/* A test that cannot be here says why, and its program ends with SKIP: neither passed nor failed.
 * Continuous integration runs as root and skips none of them. */

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define SKIP 77 /* as ctest and automake have it */

/* Whether it is to be skipped; `what` is for what root is needed. */
static inline bool skip_unless_root(const char *what)
{
    if (geteuid() != 0) {
        (void)fprintf(stderr, "skipped: needs root for %s\n", what);
        return true;
    }
    return false;
}

#endif
