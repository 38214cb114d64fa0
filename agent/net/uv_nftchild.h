// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_UV_NFTCHILD_H
#define WHERRY_AGENT_NET_UV_NFTCHILD_H

/* An `nft -j -i` that lives as long as we do: text goes in, lines come out, one socket for both,
 * so that an error comes before the answer that follows it. When we die it reads the end of its
 * input and goes. */

#include <stddef.h>

#include "common/err.h"

struct uv_loop_s;
struct uv_nftchild;

struct uv_nftchild_events {
    void (*line)(void *arg, const char *line); /* borrowed */
    void (*gone)(void *arg);                   /* it ended by itself and is dropped already */
    void (*closed)(void *arg);                 /* its memory is gone, however it ended */
    void *arg;
};

/* Once `*ret` is set, `closed` is owed, also after a failure. */
int uv_nftchild_start(struct uv_loop_s *loop, const char *program,
                      const struct uv_nftchild_events *events, struct uv_nftchild **ret,
                      struct err *e);

void uv_nftchild_send(struct uv_nftchild *c, const char *text, size_t len);

/* Takes what has come so far, which may call back, also `gone`. */
void uv_nftchild_receive(struct uv_nftchild *c);

/* Blocks until it says something, at most so long; then as uv_nftchild_receive. */
void uv_nftchild_wait(struct uv_nftchild *c, unsigned timeout_ms);

/* Kills it. Only `closed` comes from now on. */
void uv_nftchild_drop(struct uv_nftchild *c);

int uv_nftchild_pid(const struct uv_nftchild *c);

#endif
