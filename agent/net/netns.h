// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_NETNS_H
#define WHERRY_AGENT_NET_NETNS_H

/* Sockets that belong to another network namespace. A socket belongs for life to the namespace its
 * maker was in, so we go there for the one call and come back. setns(CLONE_NEWNET) moves only the
 * calling thread, hence libuv's pool and other threads never notice; no thread may be created in
 * between, and none is. Not coming back would leave the agent working in a container's namespace:
 * then the process ends (die), and the next one adopts everything. */

#include "common/err.h"

/* Makes a close-on-exec socket in the namespace `netns_fd` (borrowed). Gives a descriptor, or a
 * negative errno. */
int netns_socket(int netns_fd, int domain, int type, int protocol, struct err *e);

#endif
