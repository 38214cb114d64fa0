// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_UV_LOAD_H
#define WHERRY_AGENT_UV_LOAD_H

/* Loading an image into the store: begins a transaction, runs one `wherry-worker load` over the
 * archive, collects what it says, commits. What waits for the disk runs on libuv's pool; the worker
 * is killed when its time is over. */

#include <uv.h>

#include "agent/uv_load_wait.h"

struct uv_load;

/* Loads in the background. `on_done` is called exactly once, never from inside, after everything
 * of this load is closed; the handle is invalid then. */
struct uv_load *uv_load_start(uv_loop_t *loop, const struct uv_load_options *options);

/* Ends it early: `on_done` comes with -ECANCELED, unless the commit is done already. */
void uv_load_cancel(struct uv_load *load);

#endif
