// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_UV_WORKER_H
#define WHERRY_AGENT_UV_WORKER_H

/* The agent's side of `wherry-worker probe`: keeps the long-lived prober running and asks it. The
 * prober reads what containers answer in our place, so its own answers are decoded with caps, and
 * a probe's time is kept here too. Every callback happens exactly once, with -ECANCELED when the
 * client is closed first. */

#include <stdint.h>
#include <uv.h>

struct uv_worker;

/* Borrows `program`, the path of wherry-worker, until closed. Starts nothing: the prober is
 * started by the first probe, and again (at most once a second) after it died. */
struct uv_worker *uv_worker_create(uv_loop_t *loop, const char *program);

/* Ends the prober; calls the callbacks of everything under way with -ECANCELED, then `closed`
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

/* `status` 0: healthy (HTTP 2xx or 3xx). -EPROTO, -ECONNREFUSED, -ETIMEDOUT: not, and `text`
 * (valid during the call) says why: "HTTP 503", "connection refused", "no answer within 3000 ms".
 * -EAGAIN, -ECANCELED: no verdict, because the prober died or is being closed. */
typedef void (*uv_worker_probe_cb)(void *arg, int status, const char *text);

/* Takes the descriptors, also on failure. The callback is always called, never from inside. */
void uv_worker_probe(struct uv_worker *worker, const struct uv_worker_http *http,
                     uv_worker_probe_cb cb, void *arg);

#endif
