// SPDX-License-Identifier: Apache-2.0
/* A service as the nodes shall know it: made from what is wanted and what has been observed. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "controller/core/fleet_priv.h"

struct making {
    const struct fleet *f;
    const struct service *s;
    struct svc_network networks[SVC_NETWORKS_MAX];
    unsigned n_networks;
    const struct ask *last; /* placements share few of them */
    uint32_t mask;
};

/* ---- networks ---- */

static void add_network(struct making *m, const struct fleet_network_use *use)
{
    const struct fleet_network *declared = netrules_declared(m->f, m->s->stack, use->name);
    const struct vip *vip = vips_find(m->s, use->name);
    unsigned i = 0;
    int order = 1;

    while (i < m->n_networks && (order = strcmp(m->networks[i].name, use->name)) < 0) {
        i++;
    }
    if (m->n_networks == SVC_NETWORKS_MAX || (i < m->n_networks && order == 0)) {
        return;
    }
    memmove(m->networks + i + 1, m->networks + i, (m->n_networks - i) * sizeof(*m->networks));
    m->networks[i] = (struct svc_network){
        .vip = vip != NULL && vip->revision <= m->f->durable ? vip->address : 0,
        .internal = declared != NULL ? declared->internal : use->internal,
        .ipv6 = use->ipv6, /* its containers have such addresses */
        .aliases = use->aliases,
        .n_aliases = use->n_aliases,
    };
    memcpy(m->networks[i].name, use->name, sizeof(use->name));
    m->n_networks++;
}

static void add_networks(struct making *m, const struct ask *ask)
{
    for (unsigned i = 0; i < ask->a.n_networks; i++) {
        add_network(m, &ask->a.networks[i]);
    }
}

/* What is wanted comes first: its aliases count. Containers of earlier revisions may be on other
 * networks. */
static void collect_networks(struct making *m)
{
    const struct ask *last = m->s->ask;

    if (m->s->ask != NULL) {
        add_networks(m, m->s->ask);
    }
    for (const struct placement *p = m->s->first; p != NULL; p = p->next) {
        if (p->ask != last) {
            add_networks(m, p->ask);
            last = p->ask;
        }
    }
}

static uint32_t mask_of(struct making *m, const struct ask *ask)
{
    if (m->last == ask) {
        return m->mask;
    }
    m->last = ask;
    m->mask = 0;
    for (unsigned i = 0; i < m->n_networks; i++) {
        for (unsigned k = 0; k < ask->a.n_networks; k++) {
            if (strcmp(m->networks[i].name, ask->a.networks[k].name) == 0) {
                m->mask |= UINT32_C(1) << i;
            }
        }
    }
    return m->mask;
}

/* ---- endpoints ---- */

/* It has an address, and may still use it. */
static bool is_endpoint(const struct placement *p)
{
    return p->seen.address != 0 && p->seen.phase != FLEET_PHASE_DONE &&
           !(p->stop && placements_ended(p));
}

static uint32_t extra_of(const struct ask *ask)
{
    for (unsigned i = 0; i < ask->a.n_networks; i++) {
        if (ask->a.networks[i].address != 0) {
            return ask->a.networks[i].address;
        }
    }
    return 0;
}

static int by_slot(const void *a, const void *b)
{
    const struct svc_endpoint *x = a, *y = b;

    if (x->slot != y->slot) {
        return x->slot < y->slot ? -1 : 1;
    }
    return (x->incarnation > y->incarnation) - (x->incarnation < y->incarnation);
}

static struct svc_endpoint *endpoints_of(struct making *m, unsigned *ret_n)
{
    struct svc_endpoint *list = xcalloc(m->s->n_placements + 1, sizeof(*list));
    unsigned n = 0;

    for (const struct placement *p = m->s->first; p != NULL; p = p->next) {
        if (is_endpoint(p)) {
            list[n++] = (struct svc_endpoint){
                .incarnation = p->incarnation,
                .slot = p->slot,
                .address = p->seen.address,
                .extra = extra_of(p->ask),
                .networks = mask_of(m, p->ask),
                .ready = placements_ready(p) && p->node->state == FLEET_NODE_STATE_READY,
                .draining = p->stop || p->seen.phase == FLEET_PHASE_STOPPING,
            };
        }
    }
    if (n > 1) {
        qsort(list, n, sizeof(*list), by_slot);
    }
    *ret_n = n < SVC_ENDPOINTS_MAX ? n : SVC_ENDPOINTS_MAX;
    return list;
}

/* ---- ports ---- */

/* Those that it holds: one that another service has is wanted in vain. */
static struct svc_port *ports_of(const struct making *m, unsigned *ret_n)
{
    static const struct fleet_ask none;
    const struct fleet_ask *ask = m->s->want != NULL ? &m->s->ask->a : &none;
    struct svc_port *list = xcalloc(ask->n_ports + 1, sizeof(*list));
    unsigned n = 0;

    for (unsigned i = 0; i < ask->n_ports && n < SVC_PORTS_MAX; i++) {
        const struct fleet_port *port = &ask->ports[i];

        if (port->ingress && port->target != 0 && capacity_publishes(m->f, m->s, port)) {
            list[n++] = (struct svc_port){.udp = port->udp,
                                          .published = port->port,
                                          .target = port->target,
                                          .host_ip = port->host_ip};
        }
    }
    *ret_n = n;
    return list;
}

static struct svc_entry *entry_of(struct making *m)
{
    struct svc_entry entry = {.balance =
                                  m->s->want != NULL ? m->s->want->balance : SVC_BALANCE_RANDOM};
    struct svc_endpoint *endpoints;
    struct svc_port *ports;
    struct svc_entry *made = NULL;

    collect_networks(m);
    ports = ports_of(m, &entry.n_ports);
    endpoints = endpoints_of(m, &entry.n_endpoints);
    memcpy(entry.stack, m->s->stack->name, sizeof(entry.stack));
    memcpy(entry.service, m->s->name, sizeof(entry.service));
    entry.networks = m->networks;
    entry.n_networks = m->n_networks;
    entry.endpoints = endpoints;
    entry.ports = ports;
    if (entry.n_networks + entry.n_ports > 0) {
        made = svc_copy(&entry);
    }
    free(endpoints);
    free(ports);
    return made;
}

struct svc_entry *fleet_svc_entry(const struct fleet *f, const char *stack, const char *service)
{
    const struct stack *st = tables_stack(f, stack);
    struct making m = {.f = f, .s = st != NULL ? tables_service(st, service) : NULL};

    return m.s != NULL ? entry_of(&m) : NULL;
}
