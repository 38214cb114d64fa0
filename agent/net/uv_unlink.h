// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_UV_UNLINK_H
#define WHERRY_AGENT_NET_UV_UNLINK_H

/* Removes links beside the loop: the kernel waits for everybody who may still look at a link, some
 * ten milliseconds, and would keep the loop waiting for every container that ends. Those that come
 * while it waits go together next, for the price of one. */

#include <stdbool.h>

#include "agent/net/net.h"

struct uv_loop_s;
struct uv_unlink;

struct uv_unlink_job {
    struct net_id id;
    char link[16];
    char mirror[16];
};

/* `gone` comes from the loop, for each job once: its links are gone (0), or could not be removed.
 */
struct uv_unlink_config {
    struct uv_loop_s *loop;
    void (*gone)(void *arg, const struct uv_unlink_job *job, int status, const struct err *e);
    void *arg;
};
int uv_unlink_create(const struct uv_unlink_config *config, struct uv_unlink **ret, struct err *e);

/* Copies. A second job of one run, while the first is under way, is that one. */
void uv_unlink_add(struct uv_unlink *u, const struct uv_unlink_job *job);

/* Accepts NULL, and no `closed`. What was added is removed before; `gone` comes no more. */
void uv_unlink_close(struct uv_unlink *u, void (*closed)(void *arg), void *arg);

#endif
