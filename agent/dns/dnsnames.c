// SPDX-License-Identifier: Apache-2.0
#include "agent/dns/dnsnames.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/dns/dnsnames_priv.h"
#include "common/cleanup.h"

static bool is_ready(const struct dns_names *n, const struct svc_endpoint *p)
{
    for (const struct local *l = n->locals[dnsnames_hash_number(p->incarnation) & n->mask];
         l != NULL; l = l->next) {
        if (l->incarnation == p->incarnation) {
            return l->ready && !p->draining;
        }
    }
    return p->ready && !p->draining;
}

static bool is_gone(const struct dns_names *n, const struct svc_endpoint *p)
{
    for (const struct local *l = n->locals[dnsnames_hash_number(p->incarnation) & n->mask];
         l != NULL; l = l->next) {
        if (l->incarnation == p->incarnation) {
            return l->gone;
        }
    }
    return false;
}

/* ---- looking up ---- */

static bool on_network(const struct dns_asker *asker, const char *network)
{
    for (unsigned i = 0; i < asker->n_networks; i++) {
        if (strcmp(asker->networks[i], network) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether a service has the name there; `stack` NULL: of any. */
static bool is_label(const struct label *l, uint64_t hash, const char *network, const char *name,
                     const char *stack)
{
    return l->hash == hash && strcmp(l->name, name) == 0 &&
           strcmp(l->service->entry->networks[l->network].name, network) == 0 &&
           (stack == NULL || strcmp(l->service->stack, stack) == 0);
}

/* All that have the name on a network of the asker. */
static unsigned collect(const struct dns_names *n, const struct dns_asker *asker, const char *name,
                        const char *stack, struct dnsnames_match *ret)
{
    unsigned found = 0;

    for (unsigned i = 0; i < asker->n_networks; i++) {
        uint64_t hash = dnsnames_hash(asker->networks[i], name);

        for (const struct label *l = n->labels[hash & n->mask];
             l != NULL && found < DNSNAMES_MATCHES_MAX; l = l->next) {
            if (is_label(l, hash, asker->networks[i], name, stack)) {
                ret[found++] =
                    (struct dnsnames_match){.entry = l->service->entry, .network = l->network};
            }
        }
    }
    return found;
}

/* Those of its own stack, if there are any. */
static unsigned find_plain(const struct dns_names *n, const struct dns_asker *asker,
                           const char *name, struct dnsnames *ret)
{
    ret->n = collect(n, asker, name, asker->stack, ret->matches);
    if (ret->n == 0) {
        ret->n = collect(n, asker, name, NULL, ret->matches);
    }
    return ret->n;
}

/* Takes "<number>." off; 0: there is none. */
static uint32_t cut_slot(const char **name)
{
    size_t digits = strspn(*name, "0123456789");
    uint32_t slot;

    if (digits == 0 || digits > 7 || (*name)[digits] != '.' || (*name)[0] == '0') {
        return 0;
    }
    slot = (uint32_t)strtoul(*name, NULL, 10);
    *name += digits + 1;
    return slot;
}

/* "web-3", as a container is called by itself; cuts `work`. 0: it is none. */
static uint32_t cut_host(char *work)
{
    size_t first = strcspn(work, ".");
    char *dash = memrchr(work, '-', first);
    char *end;
    unsigned long slot;

    if (dash == NULL || dash == work || dash[1] < '1' || dash[1] > '9') {
        return 0;
    }
    slot = strtoul(dash + 1, &end, 10);
    if (end != work + first || slot > UINT32_MAX) {
        return 0;
    }
    memmove(dash, end, strlen(end) + 1);
    return (uint32_t)slot;
}

bool dnsnames_find(const struct dns_names *n, const struct dns_asker *asker, const char *name,
                   struct dnsnames *ret)
{
    char host[DNS_NAME_MAX + 1];

    *ret = (struct dnsnames){.kind = DNSNAMES_SERVICE};
    if (find_plain(n, asker, name, ret) > 0) {
        return true;
    }
    if (strncmp(name, "tasks.", 6) == 0) {
        ret->kind = DNSNAMES_TASKS;
        return find_plain(n, asker, name + 6, ret) > 0;
    }
    ret->kind = DNSNAMES_SLOT;
    (void)snprintf(host, sizeof(host), "%s", name);
    ret->slot = cut_slot(&name);
    if (ret->slot > 0) {
        return find_plain(n, asker, name, ret) > 0;
    }
    ret->slot = cut_host(host);
    return ret->slot > 0 && find_plain(n, asker, host, ret) > 0;
}

static unsigned add(uint32_t *ret, unsigned count, unsigned max, uint32_t address)
{
    for (unsigned i = 0; i < count; i++) {
        if (ret[i] == address) {
            return count;
        }
    }
    if (count < max) {
        ret[count++] = address;
    }
    return count;
}

/* Endpoints of one match that the kind of name means, beginning with a random one. */
static unsigned add_endpoints(const struct dns_names *n, const struct dnsnames *found,
                              const struct dnsnames_match *m, uint32_t random, uint32_t *ret,
                              unsigned count, unsigned max)
{
    const struct svc_entry *e = m->entry;

    for (unsigned i = 0; i < e->n_endpoints && count < max; i++) {
        const struct svc_endpoint *p = &e->endpoints[(i + random) % e->n_endpoints];
        bool wanted = found->kind == DNSNAMES_SLOT ? p->slot == found->slot && !is_gone(n, p)
                                                   : is_ready(n, p);

        if (wanted && (p->networks >> m->network & 1) != 0) {
            count = add(ret, count, max, p->address);
        }
    }
    return count;
}

unsigned dnsnames_addresses(const struct dns_names *n, const struct dnsnames *found,
                            uint32_t random, uint32_t *ret, unsigned max)
{
    unsigned count = 0;

    for (unsigned i = 0; i < found->n; i++) {
        const struct dnsnames_match *m = &found->matches[(i + random) % found->n];
        uint32_t vip = m->entry->networks[m->network].vip;

        if (found->kind == DNSNAMES_SERVICE && vip != 0 && m->entry->balance != SVC_BALANCE_NONE) {
            count = add(ret, count, max, vip);
        } else {
            count = add_endpoints(n, found, m, random, ret, count, max);
        }
    }
    return count;
}

unsigned dnsnames_addresses6(const struct dns_names *n, const struct dnsnames *found,
                             uint32_t random, struct ip6 *ret, unsigned max)
{
    struct dnsnames with = {.kind = found->kind, .slot = found->slot};
    uint32_t address[DNS_ANSWERS_MAX];
    unsigned count;

    if (with.kind == DNSNAMES_SERVICE) {
        with.kind = DNSNAMES_TASKS;
    }
    for (unsigned i = 0; i < found->n && n->has_ip6; i++) {
        if (found->matches[i].entry->networks[found->matches[i].network].ipv6) {
            with.matches[with.n++] = found->matches[i];
        }
    }
    count = dnsnames_addresses(n, &with, random, address,
                               max < DNS_ANSWERS_MAX ? max : DNS_ANSWERS_MAX);
    for (unsigned i = 0; i < count; i++) {
        ret[i] = ip6_of(&n->cluster, address[i]);
    }
    return count;
}

bool dnsnames_inside6(const struct dns_names *n, const struct ip6 *address)
{
    return n->has_ip6 && memcmp(n->cluster.bytes, address->bytes, IP6_PREFIX / 8) == 0;
}

uint32_t dnsnames_to_v4(const struct dns_names *n, const struct ip6 *address)
{
    uint32_t found = 0;

    return ip6_to_v4(&n->cluster, address, &found) ? found : 0;
}

bool dnsnames_inside(const struct dns_names *n, uint32_t address)
{
    return (n->range_prefix < 32 && (address ^ n->range) >> (32 - n->range_prefix) == 0) ||
           address >> 16 == 0xa9fe;
}

/* The service that has the address, if the asker may know. */
bool dnsnames_reverse(const struct dns_names *n, const struct dns_asker *asker, uint32_t address,
                      char *ret, size_t size)
{
    for (const struct address *a = n->addresses[dnsnames_hash_number(address) & n->mask]; a != NULL;
         a = a->next) {
        const struct svc_entry *e = a->service->entry;

        for (unsigned i = 0; a->address == address && i < e->n_networks; i++) {
            bool there = a->network >= 0 ? (unsigned)a->network == i
                                         : (e->endpoints[a->endpoint].networks >> i & 1) != 0;

            if (!there || !on_network(asker, e->networks[i].name)) {
                continue;
            }
            if (a->network >= 0) {
                (void)snprintf(ret, size, "%s.%s." DNS_SUFFIX, e->service, e->stack);
            } else {
                (void)snprintf(ret, size, "%u.%s.%s." DNS_SUFFIX, e->endpoints[a->endpoint].slot,
                               e->service, e->stack);
            }
            return true;
        }
    }
    return false;
}

/* ---- for checks ---- */

int dns_names_find(const struct dns_names *n, const struct dns_asker *asker, const char *name,
                   uint32_t *ret, unsigned max)
{
    struct dnsnames found;

    if (!dnsnames_find(n, asker, name, &found)) {
        return -ENOENT;
    }
    return (int)dnsnames_addresses(n, &found, 0, ret, max);
}
