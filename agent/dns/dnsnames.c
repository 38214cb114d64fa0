// SPDX-License-Identifier: Apache-2.0
/* Two hash tables that follow the service table: names on a network to (entry, network), and
 * addresses to (entry, endpoint or network). Every service remembers what it put there. That others
 * have the same name on networks of theirs costs nothing. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/dns/dns.h"
#include "agent/dns/dnsnames.h"
#include "common/cleanup.h"
#include "common/err.h"

#define TOMBS_MAX 4096 /* containers of ours that are gone and may still be in the table */

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
};

static uint64_t hash_text(const char *text)
{
    return id128_hash(text, strlen(text)).lo;
}

static uint64_t hash_name(const char *network, const char *name)
{
    return hash_text(network) * 31 + hash_text(name);
}

static uint64_t hash_number(uint64_t number)
{
    return number * 0x9e3779b97f4a7c15ull >> 20;
}

/* ---- life ---- */

static void make_buckets(struct dns_names *n, unsigned size)
{
    n->mask = size - 1;
    n->labels = xcalloc(size, sizeof(*n->labels));
    n->addresses = xcalloc(size, sizeof(*n->addresses));
    n->services = xcalloc(size, sizeof(*n->services));
    n->locals = xcalloc(size, sizeof(*n->locals));
}

struct dns_names *dns_names_create(uint32_t range, unsigned range_prefix)
{
    struct dns_names *n = xcalloc(1, sizeof(*n));

    n->range = range;
    n->range_prefix = range_prefix;
    make_buckets(n, 64);
    return n;
}

static void service_free(struct service *s)
{
    for (unsigned i = 0; i < s->n_labels; i++) {
        free(s->labels[i]);
    }
    free(s->labels);
    free(s->addresses);
    free(s);
}

void dns_names_destroy(struct dns_names *n)
{
    if (n == NULL) {
        return;
    }
    for (unsigned i = 0; i <= n->mask; i++) {
        for (struct service *s = n->services[i], *next; s != NULL; s = next) {
            next = s->next;
            service_free(s);
        }
        for (struct local *l = n->locals[i], *next; l != NULL; l = next) {
            next = l->next;
            free(l);
        }
    }
    free(n->labels);
    free(n->addresses);
    free(n->services);
    free(n->locals);
    free(n);
}

/* ---- what a service put there ---- */

static void link_labels(struct dns_names *n, struct service *s)
{
    for (unsigned i = 0; i < s->n_labels; i++) {
        struct label **bucket = &n->labels[s->labels[i]->hash & n->mask];

        s->labels[i]->next = *bucket;
        *bucket = s->labels[i];
    }
    for (unsigned i = 0; i < s->n_addresses; i++) {
        struct address **bucket = &n->addresses[hash_number(s->addresses[i].address) & n->mask];

        s->addresses[i].next = *bucket;
        *bucket = &s->addresses[i];
    }
    n->n_labels += s->n_labels;
}

static void unlink_labels(struct dns_names *n, struct service *s)
{
    for (unsigned i = 0; i < s->n_labels; i++) {
        struct label **at = &n->labels[s->labels[i]->hash & n->mask];

        while (*at != s->labels[i]) {
            at = &(*at)->next;
        }
        *at = s->labels[i]->next;
        free(s->labels[i]);
    }
    for (unsigned i = 0; i < s->n_addresses; i++) {
        struct address **at = &n->addresses[hash_number(s->addresses[i].address) & n->mask];

        while (*at != &s->addresses[i]) {
            at = &(*at)->next;
        }
        *at = s->addresses[i].next;
    }
    n->n_labels -= s->n_labels;
    free(s->labels);
    free(s->addresses);
    s->labels = NULL;
    s->addresses = NULL;
    s->n_labels = 0;
    s->n_addresses = 0;
}

/* Four times the buckets; every chain is made anew. */
static void grow(struct dns_names *n)
{
    struct dns_names old = *n;

    make_buckets(n, (old.mask + 1) * 4);
    n->n_labels = 0;
    for (unsigned i = 0; i <= old.mask; i++) {
        for (struct service *s = old.services[i], *next; s != NULL; s = next) {
            struct service **bucket =
                &n->services[(hash_text(s->stack) ^ hash_text(s->service)) & n->mask];

            next = s->next;
            s->next = *bucket;
            *bucket = s;
            link_labels(n, s);
        }
        for (struct local *l = old.locals[i], *next; l != NULL; l = next) {
            struct local **bucket = &n->locals[hash_number(l->incarnation) & n->mask];

            next = l->next;
            l->next = *bucket;
            *bucket = l;
        }
    }
    free(old.labels);
    free(old.addresses);
    free(old.services);
    free(old.locals);
}

static void add_label(struct service *s, unsigned network, const char *first, const char *second)
{
    size_t size = strlen(first) + strlen(second) + 2;
    struct label *l = xcalloc(1, sizeof(*l) + size);

    (void)snprintf(l->name, size, "%s%s%s", first, second[0] != '\0' ? "." : "", second);
    l->service = s;
    l->network = network;
    l->hash = hash_name(s->entry->networks[network].name, l->name);
    s->labels[s->n_labels++] = l;
}

static void add_address(struct service *s, uint32_t address, int network, unsigned endpoint)
{
    if (address != 0) {
        s->addresses[s->n_addresses++] = (struct address){
            .service = s, .address = address, .network = network, .endpoint = endpoint};
    }
}

/* "web", "web.shop", and each alias with and without the stack. */
static void index_service(struct dns_names *n, struct service *s)
{
    const struct svc_entry *e = s->entry;
    unsigned names = 0;

    for (unsigned i = 0; i < e->n_networks; i++) {
        names += 2 * (1 + e->networks[i].n_aliases);
    }
    s->labels = xcalloc(names + 1, sizeof(struct label *));
    s->addresses =
        xcalloc((size_t)e->n_networks + 2 * (size_t)e->n_endpoints + 1, sizeof(*s->addresses));
    for (unsigned i = 0; i < e->n_networks; i++) {
        const struct svc_network *net = &e->networks[i];

        add_label(s, i, e->service, "");
        add_label(s, i, e->service, e->stack);
        for (unsigned k = 0; k < net->n_aliases; k++) {
            add_label(s, i, net->aliases[k], "");
            add_label(s, i, net->aliases[k], e->stack);
        }
        add_address(s, net->vip, (int)i, 0);
    }
    for (unsigned i = 0; i < e->n_endpoints; i++) {
        add_address(s, e->endpoints[i].address, -1, i);
        add_address(s, e->endpoints[i].extra, -1, i);
    }
    link_labels(n, s);
}

static struct service **find_service(struct dns_names *n, const char *stack, const char *service)
{
    struct service **at = &n->services[(hash_text(stack) ^ hash_text(service)) & n->mask];

    while (*at != NULL &&
           (strcmp((*at)->stack, stack) != 0 || strcmp((*at)->service, service) != 0)) {
        at = &(*at)->next;
    }
    return at;
}

void dns_names_service(struct dns_names *n, const char *stack, const char *service,
                       const struct svc_entry *entry)
{
    struct service **at = find_service(n, stack, service);
    struct service *s = *at;

    if (s != NULL) {
        unlink_labels(n, s);
    }
    if (entry == NULL) {
        if (s != NULL) {
            *at = s->next;
            service_free(s);
        }
        return;
    }
    if (s == NULL) {
        s = xcalloc(1, sizeof(*s));
        (void)snprintf(s->stack, sizeof(s->stack), "%s", stack);
        (void)snprintf(s->service, sizeof(s->service), "%s", service);
        *at = s;
    }
    s->entry = entry;
    index_service(n, s);
    if (n->n_labels > 2 * n->mask) {
        grow(n);
    }
}

/* ---- what this node knows itself ---- */

static void drop_tombs(struct dns_names *n)
{
    for (unsigned i = 0; i <= n->mask; i++) {
        for (struct local **at = &n->locals[i]; *at != NULL;) {
            struct local *l = *at;

            if (l->gone) {
                *at = l->next;
                free(l);
            } else {
                at = &l->next;
            }
        }
    }
    n->n_tombs = 0;
}

void dns_names_local(struct dns_names *n, uint64_t incarnation, bool ready, bool gone)
{
    struct local **bucket = &n->locals[hash_number(incarnation) & n->mask];
    struct local *l = *bucket;

    while (l != NULL && l->incarnation != incarnation) {
        l = l->next;
    }
    if (l == NULL) {
        l = xcalloc(1, sizeof(*l));
        l->incarnation = incarnation;
        l->next = *bucket;
        *bucket = l;
    }
    n->n_tombs += gone && !l->gone;
    l->ready = ready && !gone;
    l->gone = gone;
    if (n->n_tombs > TOMBS_MAX) {
        drop_tombs(n);
    }
}

static bool is_ready(const struct dns_names *n, const struct svc_endpoint *p)
{
    for (const struct local *l = n->locals[hash_number(p->incarnation) & n->mask]; l != NULL;
         l = l->next) {
        if (l->incarnation == p->incarnation) {
            return l->ready && !p->draining;
        }
    }
    return p->ready && !p->draining;
}

static bool is_gone(const struct dns_names *n, const struct svc_endpoint *p)
{
    for (const struct local *l = n->locals[hash_number(p->incarnation) & n->mask]; l != NULL;
         l = l->next) {
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
        uint64_t hash = hash_name(asker->networks[i], name);

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

bool dnsnames_inside(const struct dns_names *n, uint32_t address)
{
    return (n->range_prefix < 32 && (address ^ n->range) >> (32 - n->range_prefix) == 0) ||
           address >> 16 == 0xa9fe;
}

/* The service that has the address, if the asker may know. */
bool dnsnames_reverse(const struct dns_names *n, const struct dns_asker *asker, uint32_t address,
                      char *ret, size_t size)
{
    for (const struct address *a = n->addresses[hash_number(address) & n->mask]; a != NULL;
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
