// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_UV_WORKER_H
#define WHERRY_AGENT_UV_WORKER_H

/* The agent's side of wherry-worker: keeps the long-lived prober running and asks it, and runs an
 * unpacker per load. The worker touches hostile bytes in our place, so its answers are decoded
 * with caps, and it is killed when its time is over. Every callback happens exactly once, with
 * -ECANCELED when the client is closed first. */

#include <stdint.h>
#include <uv.h>

#include "agent/image.h"
#include "agent/images.h"
#include "common/err.h"

struct uv_worker;

/* Borrows `program`, the path of wherry-worker, until closed. Starts nothing: the prober is
 * started by the first probe, and again (at most once a second) after it died. */
struct uv_worker *uv_worker_create(uv_loop_t *loop, const char *program);

/* Ends all workers; calls the callbacks of everything under way with -ECANCELED, then `closed`
 * when the memory is gone. */
void uv_worker_close(struct uv_worker *worker, void (*closed)(void *arg), void *arg);

/* ---- HTTP probes ---- */

struct uv_worker_target {
    int fd;           /* TCP socket of the right network namespace, not connected; -1: none */
    char address[46]; /* numeric address to connect it to */
};

struct uv_worker_http {
    struct uv_worker_target target[2]; /* the second is tried when the first refuses */
    uint16_t port;
    const char *path; /* begins with '/', borrowed until return */
    const char *host; /* Host header, borrowed until return */
    uint32_t timeout_ms;
};

/* `status` 0: healthy (HTTP 2xx or 3xx). Else negative, and `text` says why: "HTTP 503",
 * "connection refused", "no answer within 3000 ms", "-ECANCELED". Valid during the call. */
typedef void (*uv_worker_probe_cb)(void *arg, int status, const char *text);

/* Takes the descriptors, also on failure. The callback is always called, never from inside. */
void uv_worker_probe(struct uv_worker *worker, const struct uv_worker_http *http,
                     uv_worker_probe_cb cb, void *arg);

/* ---- loading images ---- */

struct uv_worker_progress {
    unsigned layer, layers; /* from 1 */
    uint64_t bytes, bytes_total;
};

struct uv_worker_load {
    struct images *images; /* borrowed until done; its lock is held meanwhile */
    const char *path;      /* file or directory, borrowed until return */
    const char *name;      /* NULL: as the archive says */
    uint64_t timeout_ms;   /* 0: ten minutes */
    void (*on_progress)(void *arg, const struct uv_worker_progress *progress); /* may be NULL */
    /* `status` 0: `digests` is the NULL-terminated list of images that are in the store now
     * (borrowed during the call; find them with images_find). Else `e` says why. */
    void (*on_done)(void *arg, int status, const struct err *e, char *const *digests);
    void *arg;
};

/* Loads in the background; one at a time per store. `on_done` is always called, never from
 * inside. Commit and clean-up run on libuv's pool, the loop is not blocked. */
void uv_worker_load(struct uv_worker *worker, const struct uv_worker_load *load);

#endif
