// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_ETCFILES_H
#define WHERRY_AGENT_ETCFILES_H

/* What a container finds in /etc/hosts and /etc/resolv.conf. */

#include <stdbool.h>
#include <stdint.h>

/* Free both. `address` is IPv4 in host order; 0: none, then the name means the container's own
 * loopback. */
char *etcfiles_hosts(const char *hostname, uint32_t address);

/* The host's own file, less the name servers on its loopback, which a network namespace cannot
 * reach (`host_network`: as it is). A file that cannot be read is an empty one. */
char *etcfiles_resolv_conf(const char *path, bool host_network);

#endif
