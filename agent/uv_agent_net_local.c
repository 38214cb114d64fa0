// SPDX-License-Identifier: Apache-2.0
/* The containers of this node that have a link: what their documents say of networks and ports,
 * and how the core has them, told to the plan and to the names. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/uv_agent_net_priv.h"
#include "common/log.h"

static bool has_mac(const uint8_t mac[6])
{
    static const uint8_t none[6];

    return memcmp(mac, none, sizeof(none)) != 0;
}

void uv_agent_net_link(const struct attempt *at, struct net_link *ret)
{
    const struct order *order = at->unit->order;
    struct order_network_use use;

    *ret = (struct net_link){.address = at->address};
    if (order == NULL) {
        return; /* a stray: it is not known any more */
    }
    for (unsigned i = 0; order_network_use(order, i, &use); i++) {
        ret->ipv6 |= use.ipv6;
        ret->extra = ret->extra == 0 ? use.ipv4 : ret->extra;
        if (has_mac(use.mac) && !has_mac(ret->mac)) {
            memcpy(ret->mac, use.mac, sizeof(ret->mac));
        }
    }
    order_bandwidth(order, &ret->bits_in, &ret->bits_out);
}

/* ---- finding ---- */

static struct net_local **bucket_of(const struct net_up *up, uint32_t address)
{
    return (struct net_local **)&up->locals[address % UV_AGENT_NET_BUCKETS];
}

static struct net_local **place(const struct net_up *up, struct node_of of, uint32_t address)
{
    struct net_local **at = bucket_of(up, address);

    while (*at != NULL && ((*at)->of.incarnation != of.incarnation || (*at)->of.run != of.run)) {
        at = &(*at)->next;
    }
    return at;
}

const struct net_local *uv_agent_net_local_at(const struct net_up *up, uint32_t address)
{
    for (const struct net_local *l = *bucket_of(up, address); l != NULL; l = l->next) {
        if (l->address == address) {
            return l;
        }
    }
    for (unsigned i = 0; i < UV_AGENT_NET_BUCKETS; i++) {
        for (const struct net_local *l = up->locals[i]; l != NULL; l = l->next) {
            if (l->extra == address) {
                return l;
            }
        }
    }
    return NULL;
}

/* ---- what the document says ---- */

static void add_networks(struct net_local *l)
{
    struct order_network_use use;
    bool internal = true;

    for (unsigned i = 0; order_network_use(l->order, i, &use); i++) {
        internal = internal && use.internal;
        if (l->n_networks < SVC_NETWORKS_MAX) {
            l->networks[l->n_networks++] = use.name;
        }
    }
    l->no_world = internal && l->n_networks > 0;
}

/* With exceptions it may ask for their names; without any, questions would be a way out. */
static void add_egress(struct net_local *l)
{
    uint32_t net;
    unsigned prefix;

    l->no_out = l->no_world || order_egress_restricted(l->order);
    l->no_world = l->no_world || (l->no_out && !order_egress_to(l->order, 0, &net, &prefix));
}

static struct net_local *make(const struct attempt *at)
{
    struct net_local *l = xcalloc(1, sizeof(*l));
    const struct unit *u = at->unit;
    struct net_link link;

    uv_agent_net_link(at, &link);
    l->of = at->of;
    l->order = order_ref(u->order);
    (void)snprintf(l->stack, sizeof(l->stack), "%s", u->stack);
    (void)snprintf(l->service, sizeof(l->service), "%s", u->service);
    l->slot = u->slot;
    l->address = link.address;
    l->extra = link.extra;
    add_networks(l);
    add_egress(l);
    while (l->n_resolvers < UV_AGENT_NET_RESOLVERS &&
           order_dns(l->order, l->n_resolvers, &l->resolvers[l->n_resolvers])) {
        l->n_resolvers++;
    }
    return l;
}

static void free_local(struct net_local *l)
{
    order_unref(l->order);
    free(l);
}

/* ---- told to the plan ---- */

/* "": every address. */
static bool read_host_ip(const char *text, uint32_t *ret)
{
    struct in_addr in = {0};

    if (text[0] != '\0' && inet_pton(AF_INET, text, &in) != 1) {
        return false;
    }
    *ret = ntohl(in.s_addr);
    return true;
}

static unsigned ports_of(const struct net_local *l, struct netplan_port ret[SVC_PORTS_MAX])
{
    struct order_port p;
    unsigned n = 0;

    for (unsigned i = 0; n < SVC_PORTS_MAX && order_port(l->order, i, &p); i++) {
        ret[n] = (struct netplan_port){
            .udp = p.udp, .host = p.host, .published = p.published, .target = p.target};
        if (read_host_ip(p.host_ip, &ret[n].host_ip)) {
            n++;
        } else {
            log_warn("%s/%s: port %u is not published: %s is no IPv4 address", l->stack, l->service,
                     (unsigned)p.published, p.host_ip);
        }
    }
    return n;
}

/* None for who is on internal networks alone: nothing leads out of them. */
static unsigned out_of(const struct net_local *l, struct netplan_cidr ret[ORDER_EGRESS_MAX])
{
    unsigned n = 0;

    while (!l->no_world && n < ORDER_EGRESS_MAX &&
           order_egress_to(l->order, n, &ret[n].net, &ret[n].prefix)) {
        n++;
    }
    return n;
}

static void tell(struct net_up *up, const struct net_local *l, struct netplan_diff *diff)
{
    struct netplan_port ports[SVC_PORTS_MAX];
    struct netplan_cidr out[ORDER_EGRESS_MAX];
    const struct netplan_local local = {.incarnation = l->of.incarnation,
                                        .address = l->address,
                                        .extra = l->extra,
                                        .stack = l->stack,
                                        .service = l->service,
                                        .slot = l->slot,
                                        .networks = l->networks,
                                        .n_networks = l->n_networks,
                                        .ready = l->ready,
                                        .draining = l->draining,
                                        .no_out = l->no_out,
                                        .out = out,
                                        .n_out = out_of(l, out),
                                        .ports = ports,
                                        .n_ports = ports_of(l, ports)};

    netplan_local(up->plan, &local, diff);
    dns_names_local(up->names, l->of.incarnation, l->ready && !l->draining, false);
}

/* ---- how the core has it ---- */

static bool is_ready(const struct node_container *c, uint32_t run)
{
    return c != NULL && c->run == run && c->phase == NODE_PHASE_RUNNING &&
           (c->health == HEALTH_NONE || c->health == HEALTH_HEALTHY);
}

static bool is_draining(const struct node_container *c, uint32_t run)
{
    return c != NULL && c->run == run && c->phase == NODE_PHASE_STOPPING;
}

void uv_agent_net_local(struct net_up *up, const struct attempt *at, struct netplan_diff *diff)
{
    const struct node_container *c = node_find(up->agent->node, at->of.incarnation);
    struct net_local **place_of = place(up, at->of, at->address);
    struct net_local *l = *place_of;
    bool ready = is_ready(c, at->of.run);
    bool draining = is_draining(c, at->of.run);
    bool fresh = l == NULL;

    if (at->unit->order == NULL) {
        return; /* a stray: it is being removed */
    }
    if (fresh) {
        l = *place_of = make(at);
    }
    if (fresh || l->ready != ready || l->draining != draining) {
        l->ready = ready;
        l->draining = draining;
        tell(up, l, diff);
    }
}

static const struct net_local *other_run(const struct net_up *up, uint64_t incarnation)
{
    for (unsigned i = 0; i < UV_AGENT_NET_BUCKETS; i++) {
        for (const struct net_local *l = up->locals[i]; l != NULL; l = l->next) {
            if (l->of.incarnation == incarnation) {
                return l;
            }
        }
    }
    return NULL;
}

/* The plan and the names know one run of each. */
static void untell(struct net_up *up, uint64_t incarnation, struct netplan_diff *diff)
{
    const struct net_local *other = other_run(up, incarnation);

    if (other != NULL) {
        tell(up, other, diff);
        return;
    }
    netplan_local_gone(up->plan, incarnation, diff);
    dns_names_local(up->names, incarnation, false, true);
}

void uv_agent_net_local_gone(struct net_up *up, struct node_of of, struct netplan_diff *diff)
{
    for (unsigned i = 0; i < UV_AGENT_NET_BUCKETS; i++) {
        struct net_local **at = &up->locals[i];

        while (*at != NULL &&
               ((*at)->of.incarnation != of.incarnation || (*at)->of.run != of.run)) {
            at = &(*at)->next;
        }
        if (*at != NULL) {
            struct net_local *l = *at;

            *at = l->next;
            untell(up, of.incarnation, diff);
            free_local(l);
            return;
        }
    }
}

void uv_agent_net_local_finish(struct net_up *up)
{
    for (unsigned i = 0; i < UV_AGENT_NET_BUCKETS; i++) {
        while (up->locals[i] != NULL) {
            struct net_local *l = up->locals[i];

            up->locals[i] = l->next;
            free_local(l);
        }
    }
}
