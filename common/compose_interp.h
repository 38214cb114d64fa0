// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_COMPOSE_INTERP_H
#define WHERRY_COMMON_COMPOSE_INTERP_H

/* Variables in text, as the Compose Specification has them ("Interpolation"): $VAR, ${VAR},
 * ${VAR:-x}, ${VAR-x}, ${VAR:?x}, ${VAR?x}, ${VAR:+x}, ${VAR+x}, nested, and $$ for a dollar. */

#include <stdbool.h>

#include "common/buf.h"
#include "common/compose.h"

#define COMPOSE_INTERP_DEPTH_MAX 16

struct compose_interp {
    compose_lookup *lookup;
    void *lookup_arg;
    /* Told of a variable without a value, for which nothing was put. May be NULL. */
    void (*unset)(void *arg, const char *name);
    void *unset_arg;
};

/* Appends the text with its variables replaced, DOC_LONG_MAX bytes at most. -EINVAL: bad syntax, or
 * a required variable has no value; -E2BIG. What was appended until then stays. */
int compose_interp_text(const struct compose_interp *in, const char *text, struct buf *out,
                        struct err *e);

/* [A-Za-z_][A-Za-z0-9_]*: its length at `text`, 0 if there is none. */
size_t compose_interp_name_length(const char *text);

#endif
