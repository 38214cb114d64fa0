// SPDX-License-Identifier: Apache-2.0
/* Networks: who declares them, and what the nodes know of the services on them. */
#include <stdlib.h>
#include <string.h>

#include "controller/api/codec_api_priv.h"
#include "spec.pb-c.h"

struct list {
    struct codec_api_pool *pool;
    const struct api_world *w;
    Wherry__Api__Network **items; /* by name */
    size_t n, cap;
};

/* ---- who declares and joins them ---- */

static void each_declared(const struct fleet *f,
                          void (*cb)(void *arg, const char *stack, const struct fleet_network *n),
                          void *arg)
{
    struct fleet_stack_view stack;
    struct fleet_network n;

    for (unsigned i = 0; fleet_stack_at(f, i, &stack); i++) {
        for (unsigned k = 0; fleet_stack_network_at(f, i, k, &n); k++) {
            cb(arg, stack.name, &n);
        }
    }
}

static void add(void *arg, const char *stack, const struct fleet_network *n)
{
    struct list *l = arg;
    Wherry__Api__Network *m;

    if (n->external) {
        return;
    }
    if (l->n == l->cap) {
        l->cap = l->cap == 0 ? 64 : 2 * l->cap;
        l->items = xrealloc(l->items, l->cap, sizeof(*l->items));
    }
    l->items[l->n++] = m = codec_api_alloc(l->pool, 1, sizeof(*m));
    wherry__api__network__init(m);
    m->name = codec_api_text(l->pool, "%s", n->name);
    m->stack = codec_api_borrow(stack);
    m->internal = n->internal;
    m->ipv6 = n->ipv6;
    m->attachable = n->attachable;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(Wherry__Api__Network *const *)a)->name,
                  (*(Wherry__Api__Network *const *)b)->name);
}

/* NULL: nobody declares it. */
static Wherry__Api__Network *find(const struct list *l, const char *name)
{
    size_t low = 0, high = l->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (strcmp(l->items[mid]->name, name) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < l->n && strcmp(l->items[low]->name, name) == 0 ? l->items[low] : NULL;
}

static void join(void *arg, const char *stack, const struct fleet_network *n)
{
    struct list *l = arg;
    Wherry__Api__Network *m = n->external ? find(l, n->name) : NULL;
    char **joined;

    if (m == NULL) {
        return;
    }
    joined = codec_api_alloc(l->pool, m->n_joined + 1, sizeof(*joined));
    if (m->n_joined > 0) {
        memcpy(joined, m->joined, m->n_joined * sizeof(*joined));
    }
    joined[m->n_joined++] = codec_api_borrow(stack);
    m->joined = joined;
}

/* ---- what is on them ---- */

static void count(const struct list *l, const struct svc_entry *e)
{
    for (unsigned i = 0; i < e->n_networks; i++) {
        Wherry__Api__Network *m = find(l, e->networks[i].name);

        if (m == NULL) {
            continue;
        }
        m->services++;
        m->vips += e->networks[i].vip != 0;
        for (unsigned k = 0; k < e->n_endpoints; k++) {
            m->containers += e->endpoints[k].networks >> i & 1;
        }
    }
}

static void gather(struct list *l)
{
    each_declared(l->w->fleet, add, l);
    if (l->n > 1) {
        qsort(l->items, l->n, sizeof(*l->items), by_name);
    }
    each_declared(l->w->fleet, join, l);
    for (unsigned i = 0; i < svctable_count(l->w->services); i++) {
        count(l, svctable_at(l->w->services, i));
    }
}

void codec_api_networks(const struct api_world *w, struct buf *out)
{
    auto_pool struct codec_api_pool pool = {0};
    struct list l = {.pool = &pool, .w = w};
    Wherry__Api__Networks m = WHERRY__API__NETWORKS__INIT;

    gather(&l);
    m.networks = l.items;
    m.n_networks = l.n;
    m.now_unix_ms = w->now_unix_ms;
    codec_api_emit(&m.base, out);
    free(l.items);
}

/* ---- one of them ---- */

static char *address(struct list *l, uint32_t ip)
{
    char *text = codec_api_alloc(l->pool, 1, IPRANGE_TEXT);

    iprange_address(ip, text);
    return text;
}

static void endpoints_to(struct list *l, const struct svc_entry *e, unsigned network,
                         Wherry__Api__NetworkService *m)
{
    m->endpoints = codec_api_alloc(l->pool, e->n_endpoints, sizeof(*m->endpoints));
    for (unsigned i = 0; i < e->n_endpoints; i++) {
        const struct svc_endpoint *p = &e->endpoints[i];
        Wherry__Api__NetworkEndpoint *to;
        struct fleet_placement_view v;

        if ((p->networks >> network & 1) == 0) {
            continue;
        }
        m->endpoints[m->n_endpoints++] = to = codec_api_alloc(l->pool, 1, sizeof(*to));
        wherry__api__network_endpoint__init(to);
        to->slot = p->slot;
        to->name = codec_api_text(l->pool, "%s/%s.%u", e->stack, e->service, p->slot);
        to->address = address(l, p->address);
        to->extra = address(l, p->extra);
        if (p->address != 0 && e->networks[network].ipv6) {
            to->ipv6_address = codec_api_ipv6(l->pool, l->w, p->address);
        }
        to->ready = p->ready;
        to->draining = p->draining;
        to->incarnation = p->incarnation;
        if (fleet_placement_find(l->w->fleet, p->incarnation, &v)) {
            to->node = codec_api_borrow(v.node_name);
        }
    }
}

static void ports_to(struct list *l, const struct svc_entry *e, Wherry__Api__NetworkService *m)
{
    m->ports = codec_api_alloc(l->pool, e->n_ports, sizeof(*m->ports));
    for (unsigned i = 0; i < e->n_ports; i++) {
        Wherry__Spec__Port *to = codec_api_alloc(l->pool, 1, sizeof(*to));

        wherry__spec__port__init(to);
        to->target = e->ports[i].target;
        to->published = e->ports[i].published;
        to->protocol = e->ports[i].udp ? WHERRY__SPEC__PROTOCOL__PROTOCOL_UDP
                                       : WHERRY__SPEC__PROTOCOL__PROTOCOL_TCP;
        to->host_ip = address(l, e->ports[i].host_ip);
        m->ports[m->n_ports++] = to;
    }
}

static Wherry__Api__NetworkService *service_of(struct list *l, const struct svc_entry *e,
                                               unsigned network)
{
    static const char *const balances[] = {[SVC_BALANCE_RANDOM] = "random",
                                           [SVC_BALANCE_CLIENT] = "client",
                                           [SVC_BALANCE_NONE] = "dnsrr"};
    const struct svc_network *n = &e->networks[network];
    Wherry__Api__NetworkService *m = codec_api_alloc(l->pool, 1, sizeof(*m));

    wherry__api__network_service__init(m);
    m->stack = codec_api_borrow(e->stack);
    m->service = codec_api_borrow(e->service);
    m->balance = codec_api_borrow(balances[e->balance]);
    m->vip = address(l, n->vip);
    m->aliases = (char **)(uintptr_t)n->aliases; /* nothing writes through it */
    m->n_aliases = n->n_aliases;
    ports_to(l, e, m);
    endpoints_to(l, e, network, m);
    return m;
}

static void services_to(struct list *l, const char *name, Wherry__Api__NetworkInspect *m)
{
    m->services = codec_api_alloc(l->pool, svctable_count(l->w->services), sizeof(*m->services));
    for (unsigned i = 0; i < svctable_count(l->w->services); i++) {
        const struct svc_entry *e = svctable_at(l->w->services, i);

        for (unsigned k = 0; k < e->n_networks; k++) {
            if (strcmp(e->networks[k].name, name) == 0) {
                m->services[m->n_services++] = service_of(l, e, k);
            }
        }
    }
}

bool codec_api_network(const struct api_world *w, const char *name, struct buf *out)
{
    auto_pool struct codec_api_pool pool = {0};
    struct list l = {.pool = &pool, .w = w};
    Wherry__Api__NetworkInspect m = WHERRY__API__NETWORK_INSPECT__INIT;

    gather(&l);
    m.network = find(&l, name);
    if (m.network != NULL) {
        m.now_unix_ms = w->now_unix_ms;
        services_to(&l, name, &m);
        codec_api_emit(&m.base, out);
    }
    free(l.items);
    return m.network != NULL;
}
