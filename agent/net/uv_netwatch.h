// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_UV_NETWATCH_H
#define WHERRY_AGENT_NET_UV_NETWATCH_H

/* Hears of every change of links, addresses, neighbours and routes, and calls when it is time to
 * look at ours: soon after the first change that matters, so that those that come with it are seen
 * in one, and never more often than five times a second. */

#include "agent/net/rtnlevent.h"
#include "common/err.h"

struct uv_loop_s;
struct uv_netwatch;

struct uv_netwatch_config {
    struct uv_loop_s *loop;
    bool (*matters)(void *arg, const struct rtnlevent *event);
    void (*due)(void *arg);
    void *arg;
};

/* In the calling thread's network namespace. */
int uv_netwatch_create(const struct uv_netwatch_config *config, struct uv_netwatch **ret,
                       struct err *e);

/* `due` is called after this time, if it is not called before. */
void uv_netwatch_again(struct uv_netwatch *w, unsigned ms);

void uv_netwatch_close(struct uv_netwatch *w, void (*closed)(void *arg), void *arg);

#endif
