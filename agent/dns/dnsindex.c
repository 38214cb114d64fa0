// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>

#include "agent/dns/dnsnames_priv.h"
#include "common/cleanup.h"
#include "common/err.h"

#define TOMBS_MAX 4096 /* containers of ours that are gone and may still be in the table */

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
        struct address **bucket =
            &n->addresses[dnsnames_hash_number(s->addresses[i].address) & n->mask];

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
        struct address **at =
            &n->addresses[dnsnames_hash_number(s->addresses[i].address) & n->mask];

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
                &n->services[(dnsnames_hash_text(s->stack) ^ dnsnames_hash_text(s->service)) &
                             n->mask];

            next = s->next;
            s->next = *bucket;
            *bucket = s;
            link_labels(n, s);
        }
        for (struct local *l = old.locals[i], *next; l != NULL; l = next) {
            struct local **bucket = &n->locals[dnsnames_hash_number(l->incarnation) & n->mask];

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
    l->hash = dnsnames_hash(s->entry->networks[network].name, l->name);
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
    struct service **at =
        &n->services[(dnsnames_hash_text(stack) ^ dnsnames_hash_text(service)) & n->mask];

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
    struct local **bucket = &n->locals[dnsnames_hash_number(incarnation) & n->mask];
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

void dns_names_ip6(struct dns_names *n, const struct ip6 *cluster)
{
    n->has_ip6 = cluster != NULL;
    if (cluster != NULL) {
        n->cluster = *cluster;
    }
}
