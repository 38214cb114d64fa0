// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_DNS_DNSNAMES_H
#define WHERRY_AGENT_DNS_DNSNAMES_H

/* Looking up in the index of names (dns.h), between dnsnames.c and dnsanswer.c. Pure. */

#include "agent/dns/dns.h"
#include "common/ip6.h"

#define DNSNAMES_MATCHES_MAX 16 /* services with one alias */

enum dnsnames_kind {
    DNSNAMES_SERVICE, /* "web": the virtual address, or what is ready */
    DNSNAMES_TASKS,   /* "tasks.web": what is ready */
    DNSNAMES_SLOT     /* "3.web", "web-3": one, ready or not */
};

struct dnsnames_match {
    const struct svc_entry *entry;
    unsigned network;
};

struct dnsnames {
    enum dnsnames_kind kind;
    uint32_t slot;
    struct dnsnames_match matches[DNSNAMES_MATCHES_MAX];
    unsigned n;
};

/* `name` in lower case, without the suffix. False: this asker has no such name. */
bool dnsnames_find(const struct dns_names *n, const struct dns_asker *asker, const char *name,
                   struct dnsnames *ret);

/* What it means now; returns how many, at most `max`. */
unsigned dnsnames_addresses(const struct dns_names *n, const struct dnsnames *found,
                            uint32_t random, uint32_t *ret, unsigned max);

/* The same of IPv6: of endpoints only, and where the network has it. */
unsigned dnsnames_addresses6(const struct dns_names *n, const struct dnsnames *found,
                             uint32_t random, struct ip6 *ret, unsigned max);

/* "3.web.shop.wherry.internal" for an address; false: the asker shares nothing with it. */
bool dnsnames_reverse(const struct dns_names *n, const struct dns_asker *asker, uint32_t address,
                      char *ret, size_t size);

/* Whether it is an address of which the world knows nothing: the cluster's, or link-local. */
bool dnsnames_inside(const struct dns_names *n, uint32_t address);
bool dnsnames_inside6(const struct dns_names *n, const struct ip6 *address);

/* The IPv4 address that it follows from; 0: none. */
uint32_t dnsnames_to_v4(const struct dns_names *n, const struct ip6 *address);

#endif
