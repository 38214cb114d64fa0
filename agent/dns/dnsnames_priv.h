// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_DNS_DNSNAMES_PRIV_H
#define WHERRY_AGENT_DNS_DNSNAMES_PRIV_H

/* The index of names, between who fills it (dnsindex.c) and who looks into it (dnsnames.c).
 *
 * Two hash tables follow the service table: names on a network to (entry, network), and addresses
 * to (entry, endpoint or network). Every service remembers what it put there. That others have the
 * same name on networks of theirs costs nothing. */

#include <string.h>

#include "agent/dns/dns.h"
#include "common/ip6.h"

/* A name of a service on one of its networks. */
struct label {
    struct label *next; /* in its bucket */
    struct service *service;
    unsigned network;
    uint64_t hash;
    char name[];
};

struct address {
    struct address *next;
    struct service *service;
    uint32_t address;
    int network; /* of a virtual address; -1: an endpoint's */
    unsigned endpoint;
};

struct service {
    struct service *next; /* in its bucket */
    const struct svc_entry *entry;
    char stack[NAME_MAX_LEN + 1];
    char service[NAME_MAX_LEN + 1];
    struct label **labels;
    unsigned n_labels;
    struct address *addresses;
    unsigned n_addresses;
};

struct local {
    struct local *next;
    uint64_t incarnation;
    bool ready;
    bool gone;
};

struct dns_names {
    uint32_t range;
    unsigned range_prefix;
    struct label **labels;
    struct address **addresses;
    struct service **services;
    struct local **locals;
    unsigned mask; /* buckets of each - 1 */
    unsigned n_labels;
    unsigned n_tombs;
    bool has_ip6;
    struct ip6 cluster;
};

static inline uint64_t dnsnames_hash_text(const char *text)
{
    return id128_hash(text, strlen(text)).lo;
}

static inline uint64_t dnsnames_hash(const char *network, const char *name)
{
    return dnsnames_hash_text(network) * 31 + dnsnames_hash_text(name);
}

static inline uint64_t dnsnames_hash_number(uint64_t number)
{
    return number * 0x9e3779b97f4a7c15ull >> 20;
}

#endif
