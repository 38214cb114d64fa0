// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_WORKER_OCICONFIG_H
#define WHERRY_AGENT_WORKER_OCICONFIG_H

/* The image configuration (OCI image specification 1.1, config.md, and Docker's additions) into a
 * struct image: what a container starts from. Everything else in it is left alone; labels are kept
 * to be shown and decide nothing. */

#include <stddef.h>

#include "agent/image.h"
#include "common/err.h"

/* Fills the diff ids and the configuration; `ret_image` is zeroed before. `arch` is the node's
 * ("amd64"). -EBADMSG or -E2BIG names the member; -ENOEXEC: for another platform. */
int ociconfig_parse(const char *text, size_t len, const char *arch, struct image *ret_image,
                    struct err *e);

/* GOARCH of this machine, "amd64". */
const char *ociconfig_host_arch(void);

/* "SIGTERM", "TERM", "15" -> 15; "SIGRTMIN+3" as glibc numbers it. 0: unknown. */
unsigned ociconfig_signal(const char *text);

#endif
