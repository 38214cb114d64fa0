// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_WORKER_HTTPPROBE_H
#define WHERRY_AGENT_WORKER_HTTPPROBE_H

/* HTTP probes, hundreds at once, in one process that can make no socket of its own: each job is a
 * datagram that brings the socket to connect. One GET: http only, no redirects, no proxy, no
 * cookies, no decompression, at most 4 KiB of the answer's body. */

#include "common/err.h"

#define HTTPPROBE_MAX      1024 /* at once: more are answered "too many probes at once" */
#define HTTPPROBE_BODY_MAX 4096

struct httpprobe;

/* Before the jail: what curl needs from outside. `control_fd` is a SOCK_SEQPACKET socket. */
int httpprobe_create(int control_fd, struct httpprobe **ret_probe, struct err *e);

/* Serves until the other side closes. Returns 0 then. */
int httpprobe_run(struct httpprobe *probe, struct err *e);

void httpprobe_destroy(struct httpprobe *probe);

#endif
