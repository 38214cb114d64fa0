// SPDX-License-Identifier: Apache-2.0
#include "agent/net/netports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

static int by_port(const void *a, const void *b)
{
    const struct net_port *l = a;
    const struct net_port *r = b;

    if (l->host_ip != r->host_ip) {
        return l->host_ip < r->host_ip ? -1 : 1;
    }
    if (l->port != r->port) {
        return l->port < r->port ? -1 : 1;
    }
    return (int)l->udp - (int)r->udp;
}

static bool same_backends(const struct net_port *a, const struct net_port *b)
{
    if (a->n_backends != b->n_backends) {
        return false;
    }
    for (unsigned i = 0; i < a->n_backends; i++) {
        if (a->backends[i].address != b->backends[i].address ||
            a->backends[i].port != b->backends[i].port) {
            return false;
        }
    }
    return true;
}

static void free_ports(struct net_port *ports, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        free((void *)(uintptr_t)ports[i].backends);
    }
    free(ports);
}

static struct net_port *copy_ports(const struct net_port *ports, unsigned n)
{
    struct net_port *copy = xcalloc(n + 1, sizeof(*copy));

    for (unsigned i = 0; i < n; i++) {
        struct net_backend *backends = xcalloc(ports[i].n_backends + 1, sizeof(*backends));

        if (ports[i].n_backends > 0) {
            memcpy(backends, ports[i].backends, ports[i].n_backends * sizeof(*backends));
        }
        copy[i] = ports[i];
        copy[i].backends = backends;
    }
    qsort(copy, n, sizeof(*copy), by_port);
    return copy;
}

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

/* `ports` sorted. */
static int check_ports(const struct rules_config *c, const struct net_port *ports, unsigned n,
                       struct err *e)
{
    for (unsigned i = 0; i < n; i++) {
        int rc = check_port(c, &ports[i], e);

        if (rc < 0) {
            return rc;
        }
        if (i > 0 && by_port(&ports[i - 1], &ports[i]) == 0) {
            return err_say(e, EINVAL, "published port %u/%s is named twice",
                           (unsigned)ports[i].port, ports[i].udp ? "udp" : "tcp");
        }
    }
    return 0;
}

/* What turns the ports in force into `want`; both sorted. All that goes, goes first. */
bool netports_difference(const struct netports *is, const struct netports *want,
                         const struct rules_config *c, struct buf *ret)
{
    auto_buf struct buf added = {0};
    unsigned i = 0;
    unsigned j = 0;
    bool udp = false;

    while (i < is->n || j < want->n) {
        int order = i == is->n ? 1 : j == want->n ? -1 : by_port(&is->list[i], &want->list[j]);
        bool changed = order != 0 || !same_backends(&is->list[i], &want->list[j]);

        udp = udp || (changed && (order <= 0 ? is->list[i].udp : want->list[j].udp));
        if (order <= 0) {
            if (changed) {
                rules_port_del(c, &is->list[i], ret);
            }
            i++;
        }
        if (order >= 0) {
            if (changed) {
                rules_port_add(c, &want->list[j], &added);
            }
            j++;
        }
    }
    buf_append(ret, buf_text(&added), added.len);
    return udp;
}

unsigned netports_backends_max(const struct netports *ports)
{
    unsigned most = 0;

    for (unsigned i = 0; i < ports->n; i++) {
        most = ports->list[i].n_backends > most ? ports->list[i].n_backends : most;
    }
    return most;
}

/* ---- flows of UDP ---- */

static bool serves(const struct net_port *p, uint32_t address)
{
    for (unsigned i = 0; i < p->n_backends; i++) {
        if (p->backends[i].address == address) {
            return true;
        }
    }
    return false;
}

/* The port that a datagram to this address would meet: one of the address itself comes first. */
static const struct net_port *find_udp(const struct netports *ports, uint32_t dst, uint16_t port)
{
    struct net_port key = {.udp = true, .port = port, .host_ip = dst};
    const struct net_port *found = NULL;

    if (ports->n > 0) {
        found = bsearch(&key, ports->list, ports->n, sizeof(key), by_port);
        key.host_ip = 0;
        found = found != NULL && found->n_backends > 0
                    ? found
                    : bsearch(&key, ports->list, ports->n, sizeof(key), by_port);
    }
    return found != NULL && found->n_backends > 0 ? found : NULL;
}

/* Either it was led to a container that does not serve it any more, or it was led nowhere and
 * should have been. What containers send outwards is neither. */
bool netports_is_stale(const struct netports *ports, const struct rules_config *c,
                       const struct uv_flow *flow)
{
    const struct net_port *p = find_udp(ports, flow->dst, flow->port);

    if (flow->dst != flow->answers) {
        return rules_in_block(c, flow->answers) && (p == NULL || !serves(p, flow->answers));
    }
    return p != NULL && !rules_in_block(c, flow->src) && !rules_in_block(c, flow->dst);
}

/* A checked and sorted copy. */
int netports_take(const struct rules_config *c, const struct net_port *ports, unsigned n,
                  struct netports *ret, struct err *e)
{
    struct net_port *copy;
    int rc;

    if (n > NET_PORTS_MAX) {
        return err_say(e, E2BIG, "%u published ports; %d are possible", n, NET_PORTS_MAX);
    }
    copy = copy_ports(ports, n);
    rc = check_ports(c, copy, n, e);
    if (rc < 0) {
        free_ports(copy, n);
        return rc;
    }
    *ret = (struct netports){.list = copy, .n = n};
    return 0;
}

void netports_finish(struct netports *ports)
{
    free_ports(ports->list, ports->n);
    *ports = (struct netports){0};
}
