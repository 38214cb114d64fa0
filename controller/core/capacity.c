// SPDX-License-Identifier: Apache-2.0
/* What is reserved on a node: memory, CPU, pids, ports of the host, and who mounts which volume.
 * Whatever may still hold something counts: also what is being stopped, or unreachable. */
#include <assert.h>
#include <stdlib.h>

#include "controller/core/fleet_priv.h"

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

void capacity_take(struct placement *p)
{
    const struct fleet_ask *a = &p->ask->a;

    assert(!p->reserved);
    p->reserved = true;
    p->node->reserved.memory_bytes += a->reserve.memory_bytes;
    p->node->reserved.cpu_millis += a->reserve.cpu_millis;
    p->node->reserved.pids += a->reserve.pids;
    for (unsigned i = 0; i < a->n_ports; i++) {
        port_take(p->node, &a->ports[i], p->service);
    }
}

void capacity_give(struct placement *p)
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
    for (unsigned i = 0; i < a->n_ports; i++) {
        port_give(p->node, &a->ports[i], p->service);
    }
}

bool capacity_port_free(const struct node *node, const struct fleet_port *port,
                        const struct service *service, const struct service **ret_owner)
{
    for (unsigned i = 0; i < node->n_ports; i++) {
        if (node->ports[i].service != service && clash(&node->ports[i].port, port)) {
            *ret_owner = node->ports[i].service;
            return false;
        }
    }
    return true;
}

static uint64_t part(uint64_t used, uint64_t total)
{
    return total == 0 ? 0 : (uint64_t)((double)used / (double)total * 65536.0);
}

uint64_t capacity_share(const struct node *node)
{
    uint64_t memory = part(node->reserved.memory_bytes, node->facts.total.memory_bytes);
    uint64_t cpu = part(node->reserved.cpu_millis, node->facts.total.cpu_millis);
    uint64_t pids = part(node->reserved.pids, node->facts.total.pids);
    uint64_t most = memory > cpu ? memory : cpu;

    return most > pids ? most : pids;
}
