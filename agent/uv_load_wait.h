// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_UV_LOAD_WAIT_H
#define WHERRY_AGENT_UV_LOAD_WAIT_H

/* What a load is asked for (uv_load.h), and a way to wait for it without an event loop, for
 * commands. Names nothing of libuv. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/images.h"
#include "common/err.h"

struct uv_load_progress {
    unsigned layer, layers; /* from 1 */
    uint64_t bytes, bytes_total;
};

struct uv_load_options {
    const char *program;         /* path of wherry-worker; borrowed until done */
    const struct images *images; /* which store; read only to open it anew */
    const char *path;            /* file or directory; borrowed until return */
    const char *name;            /* NULL: as the archive says; borrowed until return */
    bool wait;                   /* for the store's lock; else -EBUSY */
    uint64_t timeout_ms;         /* 0: ten minutes */
    void (*on_progress)(void *arg, const struct uv_load_progress *progress); /* may be NULL */
    /* `status` 0: the index on disk has the images `digests` (NULL-terminated, borrowed during the
     * call): images_reload, images_find. Else `e` says why. */
    void (*on_done)(void *arg, int status, const struct err *e, char *const *digests);
    void *arg;
};

/* Loads and waits, on a loop of its own. Gives `ret_digests`: image_strv_free. Of the callbacks
 * only on_progress is used. */
int uv_load_wait(const struct uv_load_options *options, char ***ret_digests, struct err *e);

#endif
