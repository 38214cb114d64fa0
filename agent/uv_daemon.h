// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_UV_DAEMON_H
#define WHERRY_AGENT_UV_DAEMON_H

/* The agent as a daemon: runs until SIGTERM or SIGINT; its containers go on without it. */

#include "agent/options.h"

/* Returns the exit code. */
int uv_daemon_run(const struct options *options);

#endif
