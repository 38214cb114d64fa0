// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_DNS_UV_DNS_H
#define WHERRY_AGENT_DNS_UV_DNS_H

/* The name server of a node: UDP and TCP on 169.254.1.1:53, which only containers of this node
 * reach. What is not a name of the cluster goes to the host's resolvers (/etc/resolv.conf, read
 * again when it changes; or the container's own `dns:`), each question with a random id from a
 * socket with a random port of its own, connected; answers must match id and question. Answers are
 * cached for their TTL within limits; a resolver that is silent is left alone for a while. */

#include "agent/dns/dns.h"
#include "common/err.h"

struct uv_loop_s;
struct uv_dns;

struct uv_dns_config {
    const char *address;     /* "169.254.1.1"; tests use others */
    uint16_t port;           /* 53 */
    const char *resolv_conf; /* "/etc/resolv.conf" */
    struct dns_names *names; /* borrowed */
    /* Who asks from this address: false: nobody we know, nothing is answered. `resolvers` NULL: the
     * host's; else IPv4 addresses in host order. Borrowed until the next turn of the loop. */
    bool (*asker)(void *arg, uint32_t address, struct dns_asker *ret, const uint32_t **resolvers,
                  unsigned *ret_n);
    void *arg;
};

struct uv_dns_stats {
    uint64_t queries, answered, forwarded, cached, refused, dropped, failed;
};

/* -EADDRINUSE: somebody else has the port. */
int uv_dns_create(struct uv_loop_s *loop, const struct uv_dns_config *config, struct uv_dns **ret,
                  struct err *e);
void uv_dns_stats(const struct uv_dns *d, struct uv_dns_stats *ret);
void uv_dns_close(struct uv_dns *d, void (*closed)(void *arg), void *arg);

#endif
