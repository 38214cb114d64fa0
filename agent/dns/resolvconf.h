// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_DNS_RESOLVCONF_H
#define WHERRY_AGENT_DNS_RESOLVCONF_H

/* The name servers of a resolv.conf(5). Pure. */

#include <stddef.h>
#include <stdint.h>

#define RESOLVCONF_SERVERS_MAX 3 /* MAXNS of resolv.conf(5) */

/* The first IPv4 name servers but `except`, in host order; returns how many. */
unsigned resolvconf_servers(const char *text, uint32_t except,
                            uint32_t ret[RESOLVCONF_SERVERS_MAX]);

#endif
