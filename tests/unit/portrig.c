// SPDX-License-Identifier: Apache-2.0
#include "portrig.h"

static void add_backend(const struct portrig_port *p, unsigned i, struct netelems *ret)
{
    struct netelem e = {.set = p->host_ip != 0 ? NETELEM_ONE_TO : NETELEM_ANY_TO,
                        .udp = p->udp,
                        .port = p->port,
                        .address = p->host_ip,
                        .index = i,
                        .to = p->backends[i].address,
                        .to_port = p->backends[i].port};

    netelems_add(ret, &e);
}

static void add_port(const struct portrig_port *p, struct netelems *ret)
{
    struct netelem e = {.set = p->host_ip != 0 ? NETELEM_ONE : NETELEM_ANY,
                        .udp = p->udp,
                        .port = p->port,
                        .address = p->host_ip,
                        .chain = p->host_ip != 0 ? NETELEM_CHAIN_ONE : NETELEM_CHAIN_ANY,
                        .n = p->n_backends};

    if (p->n_backends > 0) { /* a port without backends has no elements */
        netelems_add(ret, &e);
    }
}

unsigned portrig_elements(const struct portrig_port *ports, unsigned n, struct netelems *ret)
{
    unsigned most = 0;

    for (unsigned i = 0; i < n; i++) {
        for (unsigned j = 0; j < ports[i].n_backends; j++) {
            add_backend(&ports[i], j, ret);
        }
        add_port(&ports[i], ret);
        most = ports[i].n_backends > most ? ports[i].n_backends : most;
    }
    netelems_sort(ret);
    return most;
}
