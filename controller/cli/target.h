// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_TARGET_H
#define WHERRY_CONTROLLER_CLI_TARGET_H

/* What a command is about, as people write it: shop, shop/web, shop/web.3. */

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/name.h"

struct target {
    char stack[NAME_MAX_LEN + 1];
    char service[NAME_MAX_LEN + 1]; /* "": the whole stack */
    uint32_t slot;                  /* 0: the whole service */
};

/* `slots`: whether a slot may be said. Returns 0; -E2BIG with the place, the value and the rule. */
int target_parse(const char *text, bool slots, struct target *ret, struct err *e);

/* Appends "/v1/stacks/S/S", without the slot. */
void target_add_path(const struct target *t, struct buf *path);

/* Appends "?stack=S&service=S&slot=N", what is set. */
void target_add_query(const struct target *t, struct buf *path);

#endif
