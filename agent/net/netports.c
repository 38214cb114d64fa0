// SPDX-License-Identifier: Apache-2.0
#include "agent/net/netports.h"

#include <errno.h>
#include <stdlib.h>

static int check_port(const struct rules_config *c, const struct net_port *p, struct err *e)
{
    const char *kind = p->udp ? "udp" : "tcp";

    if (p->port == 0) {
        return err_say(e, EINVAL, "published port 0/%s: 1 to 65535 are possible", kind);
    }
    if (p->n_backends > NET_BACKENDS_MAX) {
        return err_say(e, E2BIG, "published port %u/%s: %u containers; %d are possible",
                       (unsigned)p->port, kind, p->n_backends, NET_BACKENDS_MAX);
    }
    for (unsigned i = 0; i < p->n_backends; i++) {
        if (!rules_in_block(c, p->backends[i].address) || p->backends[i].port == 0) {
            return err_say(e, EINVAL, "published port %u/%s: a container not of this node",
                           (unsigned)p->port, kind);
        }
    }
    return 0;
}

static void add_backend(const struct net_port *p, unsigned i, struct netelems *ret)
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

static struct netelem port_element(const struct net_port *p)
{
    return (struct netelem){.set = p->host_ip != 0 ? NETELEM_ONE : NETELEM_ANY,
                            .udp = p->udp,
                            .port = p->port,
                            .address = p->host_ip,
                            .chain = p->host_ip != 0 ? NETELEM_CHAIN_ONE : NETELEM_CHAIN_ANY,
                            .n = p->n_backends};
}

static int by_key(const void *a, const void *b)
{
    return netelem_compare_key(a, b);
}

/* Also those without backends. */
static int check_once(const struct net_port *ports, unsigned n, struct err *e)
{
    struct netelems l = {0};
    int rc = 0;

    for (unsigned i = 0; i < n; i++) {
        struct netelem element = port_element(&ports[i]);

        netelems_add(&l, &element);
    }
    if (n > 1) {
        qsort(l.list, n, sizeof(*l.list), by_key);
    }
    for (unsigned i = 1; i < n && rc == 0; i++) {
        if (netelem_compare_key(&l.list[i - 1], &l.list[i]) == 0) {
            rc = err_say(e, EINVAL, "published port %u/%s is named twice", (unsigned)l.list[i].port,
                         l.list[i].udp ? "udp" : "tcp");
        }
    }
    netelems_finish(&l);
    return rc;
}

static int check(const struct rules_config *c, const struct net_port *ports, unsigned n,
                 struct err *e)
{
    if (n > NET_PORTS_MAX) {
        return err_say(e, E2BIG, "%u published ports; %d are possible", n, NET_PORTS_MAX);
    }
    for (unsigned i = 0; i < n; i++) {
        int rc = check_port(c, &ports[i], e);

        if (rc < 0) {
            return rc;
        }
    }
    return check_once(ports, n, e);
}

int netports_elements(const struct rules_config *c, const struct net_port *ports, unsigned n,
                      struct netelems *ret, unsigned *ret_backends_max, struct err *e)
{
    int rc = check(c, ports, n, e);

    if (rc < 0) {
        return rc;
    }
    *ret = (struct netelems){0};
    *ret_backends_max = 0;
    for (unsigned i = 0; i < n; i++) {
        struct netelem element = port_element(&ports[i]);

        for (unsigned j = 0; j < ports[i].n_backends; j++) {
            add_backend(&ports[i], j, ret);
        }
        if (element.n > 0) { /* a port without backends has no elements */
            netelems_add(ret, &element);
        }
        *ret_backends_max = element.n > *ret_backends_max ? element.n : *ret_backends_max;
    }
    netelems_sort(ret);
    return 0;
}
