// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_UV_PROBE_TCP_H
#define WHERRY_AGENT_UV_PROBE_TCP_H

/* A TCP probe: connects from inside the container's network namespace to its own address, then,
 * where that is refused, to 127.0.0.1, because many programs listen on only one of them. No byte is
 * sent; a completed handshake is the answer. */

#include <stdint.h>
#include <uv.h>

struct uv_probe_tcp;

/* `status` 0: somebody accepts. -ECONNREFUSED, -ETIMEDOUT or another negative errno: not, and
 * `text` (valid during the call) says why. -ECANCELED: cancelled. */
typedef void (*uv_probe_tcp_cb)(void *arg, int status, const char *text);

/* Starts one. Borrows `netns_fd` until return; `address` in host order, 0: only 127.0.0.1. `cb`
 * comes exactly once, never from inside, after at most `timeout_ms`. The probe is ours and frees
 * itself after its callback; the pointer is only for uv_probe_tcp_cancel before it. */
struct uv_probe_tcp *uv_probe_tcp(uv_loop_t *loop, int netns_fd, uint32_t address, uint16_t port,
                                  uint32_t timeout_ms, uv_probe_tcp_cb cb, void *arg);

/* Ends it early: the callback comes with -ECANCELED, from the loop. */
void uv_probe_tcp_cancel(struct uv_probe_tcp *probe);

#endif
