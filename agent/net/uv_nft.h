// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_UV_NFT_H
#define WHERRY_AGENT_NET_UV_NFT_H

/* One nftables table kept as it shall be, through one long-lived `nft -j -i` child. The table is
 * asserted as a whole in one transaction, all or nothing, so that there is no moment without rules;
 * the text is followed by a `list tables`, whose answer means done, and an error before it refused.
 * If the child is silent or dies, another one is started. If somebody else changes the table (the
 * kernel tells, with the socket that did it), it is asserted again. Elements are changed by
 * nftset.h, whose socket is known for our own. */

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

struct uv_loop_s;
struct uv_nft;

struct uv_nft_config {
    struct uv_loop_s *loop;
    const char *program; /* borrowed for its life */
    const char *table;   /* its name in the family inet; copied */
    uint32_t own_port;   /* netlink port of another socket that is ours; 0: none */
    /* Appends the transaction that replaces the table by what it shall be now. */
    void (*whole)(void *arg, struct buf *ret);
    /* The table is in force (0), or was refused and is tried again later. Never from inside. */
    void (*done)(void *arg, int status, const struct err *e);
    void *arg;
};

/* Starts the child and asserts the table, for which it waits (a few milliseconds, at most two
 * seconds), because nothing may run without it. */
int uv_nft_create(const struct uv_nft_config *config, struct uv_nft **ret, struct err *e);

/* Asserts the whole table; `done` comes later. */
void uv_nft_assert(struct uv_nft *n);

/* Takes what the kernel tells of changes: for who makes many in one turn of the loop. */
void uv_nft_listen(struct uv_nft *n);

/* `last` (may be NULL) is the last transaction; without it, what waits is sent. Then the child
 * ends. No `done` from now on. */
void uv_nft_close(struct uv_nft *n, const char *last, void (*closed)(void *arg), void *arg);

/* How often the table was asserted again because somebody else had changed it. */
unsigned uv_nft_restored(const struct uv_nft *n);

/* Of the child now; 0: none. For tests. */
int uv_nft_pid(const struct uv_nft *n);

#endif
