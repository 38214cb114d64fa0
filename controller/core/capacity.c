// SPDX-License-Identifier: Apache-2.0
/* What is reserved on a node: memory, CPU, pids, bandwidth, addresses, ports of the host, and who
 * mounts which volume. Whatever may still hold something counts: also what is being stopped, or
 * unreachable. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/core/fleet_priv.h"

/* ---- ports of one node ---- */

static bool clash(const struct fleet_port *a, const struct fleet_port *b)
{
    return a->udp == b->udp && a->port == b->port &&
           (a->host_ip == b->host_ip || a->host_ip == 0 || b->host_ip == 0);
}

static bool same(const struct fleet_port *a, const struct fleet_port *b)
{
    return a->udp == b->udp && a->port == b->port && a->host_ip == b->host_ip;
}

static void port_take(struct node *node, const struct fleet_port *port, const struct service *s)
{
    for (unsigned i = 0; i < node->n_ports; i++) {
        if (node->ports[i].service == s && same(&node->ports[i].port, port)) {
            node->ports[i].refs++;
            return;
        }
    }
    node->ports = fleet_grow(node->ports, node->n_ports, &node->cap_ports, sizeof(*node->ports));
    node->ports[node->n_ports++] = (struct port_use){.port = *port, .service = s, .refs = 1};
}

static void port_give(struct node *node, const struct fleet_port *port, const struct service *s)
{
    for (unsigned i = 0; i < node->n_ports; i++) {
        if (node->ports[i].service == s && same(&node->ports[i].port, port)) {
            if (--node->ports[i].refs == 0) {
                node->ports[i] = node->ports[--node->n_ports];
            }
            return;
        }
    }
    assert(!"a port that was never taken");
}

/* ---- the cluster's tables: by port ---- */

/* The first of those with this port. */
static unsigned first_of(const struct port_table *t, uint16_t port)
{
    unsigned low = 0, high = t->n;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (t->list[mid].port.port < port) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static struct port_use *held(const struct port_table *t, const struct fleet_port *port,
                             const struct service *s)
{
    for (unsigned i = first_of(t, port->port); i < t->n && t->list[i].port.port == port->port;
         i++) {
        if (t->list[i].service == s && same(&t->list[i].port, port)) {
            return &t->list[i];
        }
    }
    return NULL;
}

static void table_take(struct port_table *t, const struct fleet_port *port, const struct service *s)
{
    struct port_use *use = held(t, port, s);
    unsigned i = first_of(t, port->port);

    if (use != NULL) {
        use->refs++;
        return;
    }
    t->list = fleet_grow(t->list, t->n, &t->cap, sizeof(*t->list));
    memmove(t->list + i + 1, t->list + i, (t->n - i) * sizeof(*t->list));
    t->list[i] = (struct port_use){.port = *port, .service = s, .refs = 1};
    t->n++;
}

static void table_give(struct port_table *t, const struct fleet_port *port, const struct service *s)
{
    struct port_use *use = held(t, port, s);

    assert(use != NULL);
    if (--use->refs == 0) {
        t->n--;
        memmove(use, use + 1, (size_t)(t->list + t->n - use) * sizeof(*use));
    }
}

/* What another service holds of it. */
static const struct port_use *table_clash(const struct port_table *t, const struct fleet_port *port,
                                          const struct service *s)
{
    for (unsigned i = first_of(t, port->port); i < t->n && t->list[i].port.port == port->port;
         i++) {
        if (t->list[i].service != s && clash(&t->list[i].port, port)) {
            return &t->list[i];
        }
    }
    return NULL;
}

/* ---- what a placement takes ---- */

static void ports_take(struct fleet *f, struct placement *p)
{
    for (unsigned i = 0; i < p->ask->a.n_ports; i++) {
        const struct fleet_port *port = &p->ask->a.ports[i];

        table_take(port->ingress ? &f->ingress : &f->hosted, port, p->service);
        if (!port->ingress) {
            port_take(p->node, port, p->service);
        }
    }
}

static void ports_give(struct fleet *f, struct placement *p)
{
    for (unsigned i = 0; i < p->ask->a.n_ports; i++) {
        const struct fleet_port *port = &p->ask->a.ports[i];

        table_give(port->ingress ? &f->ingress : &f->hosted, port, p->service);
        if (!port->ingress) {
            port_give(p->node, port, p->service);
        }
    }
}

void capacity_take(struct fleet *f, struct placement *p)
{
    const struct fleet_ask *a = &p->ask->a;

    assert(!p->reserved);
    p->reserved = true;
    p->node->reserved.memory_bytes += a->reserve.memory_bytes;
    p->node->reserved.cpu_millis += a->reserve.cpu_millis;
    p->node->reserved.pids += a->reserve.pids;
    p->node->reserved.bits_in += a->reserve.bits_in;
    p->node->reserved.bits_out += a->reserve.bits_out;
    p->node->addresses += a->linked;
    ports_take(f, p);
}

void capacity_give(struct fleet *f, struct placement *p)
{
    const struct fleet_ask *a = &p->ask->a;

    if (!p->reserved) {
        return;
    }
    assert(p->node->reserved.memory_bytes >= a->reserve.memory_bytes);
    p->reserved = false;
    p->node->reserved.memory_bytes -= a->reserve.memory_bytes;
    p->node->reserved.cpu_millis -= a->reserve.cpu_millis;
    p->node->reserved.pids -= a->reserve.pids;
    p->node->reserved.bits_in -= a->reserve.bits_in;
    p->node->reserved.bits_out -= a->reserve.bits_out;
    p->node->addresses -= a->linked;
    ports_give(f, p);
}

/* What is published on every node is in the way of everybody, and everybody in its. */
bool capacity_port_free(const struct fleet *f, const struct node *node,
                        const struct fleet_port *port, const struct service *service,
                        const struct port_use **ret_taken)
{
    const struct port_use *taken = table_clash(&f->ingress, port, service);

    if (taken == NULL && port->ingress) {
        taken = table_clash(&f->hosted, port, service);
    }
    for (unsigned i = 0; taken == NULL && i < node->n_ports; i++) {
        if (node->ports[i].service != service && clash(&node->ports[i].port, port)) {
            taken = &node->ports[i];
        }
    }
    if (taken != NULL) {
        *ret_taken = taken;
    }
    return taken == NULL;
}

bool capacity_publishes(const struct fleet *f, const struct service *s,
                        const struct fleet_port *port)
{
    return held(&f->ingress, port, s) != NULL;
}

/* ---- how full a node is ---- */

static uint64_t part(uint64_t used, uint64_t total)
{
    return total == 0 ? 0 : (uint64_t)((double)used / (double)total * 65536.0);
}

uint64_t capacity_share(const struct node *node)
{
    const struct fleet_reserve *used = &node->reserved;
    const struct fleet_reserve *total = &node->facts.total;
    const uint64_t parts[] = {
        part(used->memory_bytes, total->memory_bytes),
        part(used->cpu_millis, total->cpu_millis),
        part(used->pids, total->pids),
        part(used->bits_in, total->bits_in),
        part(used->bits_out, total->bits_out),
    };
    uint64_t most = 0;

    for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
        most = parts[i] > most ? parts[i] : most;
    }
    return most;
}
