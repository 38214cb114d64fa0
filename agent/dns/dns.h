// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_DNS_DNS_H
#define WHERRY_AGENT_DNS_DNS_H

/* Names for containers (RFC 1034, 1035; EDNS0 by RFC 6891; SRV by RFC 2782). Pure: one question of
 * one container in, an answer out, or "ask the resolvers". Whoever asks sees only what shares a
 * network with it; for the rest a name does not exist.
 *
 * On network N a service is `web` and `web.shop`, its virtual address or, without one, its ready
 * endpoints; `tasks.web[.shop]` are the ready endpoints; `3.web[.shop]` and the container's host
 * name one of them, ready or not; aliases are like `web`. Each also with ".wherry.internal", which
 * names in answers (PTR, SRV) carry. Never forwarded: that suffix, and reverse names of the
 * cluster's range and of 169.254/16. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/svctable.h"

#define DNS_UDP_MAX     1232 /* what we send and take at most without asking (dnsflagday.net/2020) */
#define DNS_TCP_MAX     65535
#define DNS_NAME_MAX    255
#define DNS_TTL         3  /* seconds; names of the cluster change at once */
#define DNS_ANSWERS_MAX 64 /* endpoints in one answer, at random among more */
#define DNS_SUFFIX      "wherry.internal"

/* Who asks. Borrowed. */
struct dns_asker {
    const char *const *networks; /* names, sorted */
    unsigned n_networks;
    const char *stack;
    bool no_out; /* never asks the world: other names do not exist for it */
};

enum dns_verdict {
    DNS_ANSWERED, /* `ret` holds the answer */
    DNS_FORWARD,  /* a well-formed question about the world */
    DNS_IGNORE    /* no question at all: an answer, or too short to have an id */
};

/* An index over a service table, kept in step with it. */
struct dns_names;
struct dns_names *dns_names_create(uint32_t range, unsigned range_prefix);
void dns_names_destroy(struct dns_names *n); /* accepts NULL */
/* An entry was put (NULL: removed); borrowed until its next change. */
void dns_names_service(struct dns_names *n, const char *stack, const char *service,
                       const struct svc_entry *entry);
/* This node knows better than the table whether its own container is ready. */
void dns_names_local(struct dns_names *n, uint64_t incarnation, bool ready, bool gone);

/* Containers on networks with `enable_ipv6` have these addresses, too (agent/net/ip6.h; NULL: none
 * has): names have AAAA records then, of ready endpoints, for virtual addresses are of IPv4. */
struct ip6;
void dns_names_ip6(struct dns_names *n, const struct ip6 *cluster);

/* Handles one message as it came by UDP (`size_max`: DNS_UDP_MAX or what the asker can take, which
 * is found in the message) or TCP. `random` moves the order of addresses. `ret` has `size` bytes.
 */
enum dns_verdict dns_answer(const struct dns_names *n, const struct dns_asker *asker,
                            const uint8_t *message, size_t len, bool tcp, uint32_t random,
                            uint8_t *ret, size_t size, size_t *ret_len);

/* For `wherry net check`: what a name is for this asker. Appends at most `max` addresses; returns
 * how many, -ENOENT: no such name here; the world would be asked. */
int dns_names_find(const struct dns_names *n, const struct dns_asker *asker, const char *name,
                   uint32_t *ret, unsigned max);

#endif
