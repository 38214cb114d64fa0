// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_UV_CHILD_H
#define WHERRY_AGENT_UV_CHILD_H

/* A program that is run for what it says: this one again, for looking at things that would block
 * the loop (a large ruleset, a connection that is tried). What it writes is gathered until it ends,
 * up to a cap and a deadline. */

#include <stddef.h>

#include "common/err.h"

struct uv_loop_s;
struct uv_child;

struct uv_child_order {
    const char *program;
    char *const *args; /* from the program's name to NULL; borrowed until return */
    size_t bytes_max;
    unsigned timeout_ms;
    /* It has ended; `error` "": as it should. Not called after uv_child_cancel. */
    void (*done)(void *arg, const char *out, size_t len, const char *error);
    void (*closed)(void *arg); /* its memory is gone; always the last */
    void *arg;
};

/* Once `*ret` is set, `closed` is owed, also after a failure. */
void uv_child_start(struct uv_loop_s *loop, const struct uv_child_order *order,
                    struct uv_child **ret);

/* Kills it; only `closed` comes from now on. */
void uv_child_cancel(struct uv_child *c);

#endif
