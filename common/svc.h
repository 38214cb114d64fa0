// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_SVC_H
#define WHERRY_COMMON_SVC_H

/* The service table: who can be reached under which name and virtual address, on which network.
 * The controller makes one entry per service out of what it knows (controller/core), every agent
 * holds a copy, kept up to date by deltas and proven equal by a sum of hashes, as assignments are.
 * Plain C, shared by both sides; common/svctable.h holds a set of them. Pure.
 *
 * A network is known by its name in the cluster: "<stack>_<key>", or as the file names it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/name.h"

#define SVC_NETWORK_MAX   128  /* bytes of a network's name and its end */
#define SVC_NETWORKS_MAX  16   /* of one service: a mask of 32 bits tells them */
#define SVC_ALIAS_MAX     253  /* bytes */
#define SVC_ALIASES_MAX   32   /* of one service on one network */
#define SVC_ENDPOINTS_MAX 8192 /* listed of one service; more replicas than that are not named */
#define SVC_PORTS_MAX     1024 /* published by one service */
#define SVC_ENTRIES_MAX   65536

/* How connections to a virtual address are spread. */
enum svc_balance {
    SVC_BALANCE_RANDOM, /* each new one at random */
    SVC_BALANCE_CLIENT, /* by the client's address, as long as the endpoints stay the same */
    SVC_BALANCE_NONE    /* endpoint_mode: dnsrr: no virtual address, the names give endpoints */
};

struct svc_network {
    char name[SVC_NETWORK_MAX];
    uint32_t vip; /* IPv4 in host order; 0: none */
    bool internal;
    bool ipv6;                  /* enable_ipv6 */
    const char *const *aliases; /* lower case, valid host names */
    unsigned n_aliases;
};

/* Every container that has an address, ready or not. */
struct svc_endpoint {
    uint64_t incarnation;
    uint32_t slot;
    uint32_t address;  /* IPv4 in host order, out of its node's block */
    uint32_t extra;    /* the address that the file asked for (ipv4_address); 0: none */
    uint32_t networks; /* bit i: it is on the entry's i-th network */
    bool ready;        /* running, and healthy if it has a probe; its node is heard of */
    bool draining;     /* no new connection; old ones until it ends */
};

/* What tells one endpoint of a service from the others. */
struct svc_key {
    uint64_t incarnation;
    uint32_t slot;
};

/* Published by `mode: ingress`: reached on every node. (`mode: host` is a matter of the node.) */
struct svc_port {
    bool udp;
    uint16_t published;
    uint16_t target;
    uint32_t host_ip; /* 0: every address */
};

struct svc_entry {
    char stack[NAME_MAX_LEN + 1];
    char service[NAME_MAX_LEN + 1];
    enum svc_balance balance;
    const struct svc_network *networks; /* by name */
    unsigned n_networks;
    const struct svc_endpoint *endpoints; /* by (slot, incarnation) */
    unsigned n_endpoints;
    const struct svc_port *ports;
    unsigned n_ports;
};

/* "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,126}". */
bool svc_network_is_valid(const char *name);

/* A host name as somebody may ask for it: [a-z0-9_.-], up to SVC_ALIAS_MAX, no empty label and
 * none longer than 63. */
bool svc_alias_is_valid(const char *alias);

/* Of everything in it, in its order. */
struct id128 svc_hash(const struct svc_entry *entry);

/* Negative, 0, positive: by stack, then service. */
int svc_compare(const struct svc_entry *a, const char *stack, const char *service);

/* By slot, then incarnation: the order of an entry's endpoints. */
static inline int svc_key_compare(struct svc_key a, struct svc_key b)
{
    if (a.slot != b.slot) {
        return a.slot < b.slot ? -1 : 1;
    }
    return a.incarnation == b.incarnation ? 0 : a.incarnation < b.incarnation ? -1 : 1;
}

static inline struct svc_key svc_key_of(const struct svc_endpoint *p)
{
    return (struct svc_key){p->incarnation, p->slot};
}

/* A deep copy in one allocation; free() it. */
struct svc_entry *svc_copy(const struct svc_entry *entry);

/* The upper eighth of the cluster's range is for virtual addresses: 10.240.0.0/12 of 10.128.0.0/9.
 * Blocks of nodes come from the rest. */
static inline void svc_vip_range(uint32_t range, unsigned prefix, uint32_t *ret_net,
                                 unsigned *ret_prefix)
{
    uint32_t size = prefix == 0 ? 0 : (uint32_t)1 << (32 - prefix);

    *ret_prefix = prefix + 3;
    *ret_net = range + size - (size >> 3);
}

#endif
