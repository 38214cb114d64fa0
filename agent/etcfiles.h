// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_ETCFILES_H
#define WHERRY_AGENT_ETCFILES_H

/* What a container finds in /etc/hosts and /etc/resolv.conf. */

#include <stdbool.h>
#include <stdint.h>

/* What is said of names. Everything is borrowed. */
struct etcfiles_names {
    const char *hostname;
    const char *domainname;        /* "": none */
    uint32_t address;              /* IPv4 in host order; 0: none, its own loopback */
    const char *ipv6;              /* likewise; "" or NULL: none */
    const char *const (*extra)[2]; /* name, and an address or "host-gateway" */
    unsigned n_extra;

    bool named;              /* it is on a network: the agent answers it at 169.254.1.1 */
    bool host_network;       /* the host's own resolvers, loopback too */
    const uint32_t *servers; /* of the document; without: the host's */
    unsigned n_servers;
    const char *const *search; /* likewise; "." alone: none */
    unsigned n_search;
    const char *const *options;
    unsigned n_options;
};

/* Free both. */
char *etcfiles_hosts(const struct etcfiles_names *names);

/* `path`: the host's own file, for what is not said otherwise, less the name servers on its
 * loopback, which a network namespace cannot reach. One that cannot be read is an empty one. */
char *etcfiles_resolv_conf(const char *path, const struct etcfiles_names *names);

#endif
