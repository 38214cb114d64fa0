// SPDX-License-Identifier: Apache-2.0
#include "agent/uv_agent_ports.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/* A port with room for its containers, and whose it is. */
struct published {
    struct net_port port;
    struct net_backend *backends;
    const struct unit *owner;
};

struct ports {
    struct published *list;
    unsigned n;
    unsigned cap;
};

static struct published *find_port(const struct ports *ports, const struct net_port *p)
{
    for (unsigned i = 0; i < ports->n; i++) {
        const struct net_port *is = &ports->list[i].port;

        if (is->port == p->port && is->udp == p->udp && is->host_ip == p->host_ip) {
            return &ports->list[i];
        }
    }
    return NULL;
}

static struct published *add_port(struct ports *ports, const struct net_port *p,
                                  const struct unit *owner)
{
    struct published *added;

    if (ports->n == ports->cap) {
        ports->cap = ports->cap > 0 ? ports->cap * 2 : 16;
        ports->list = xrealloc(ports->list, ports->cap, sizeof(*ports->list));
    }
    added = &ports->list[ports->n++];
    *added = (struct published){.port = *p, .owner = owner};
    return added;
}

static bool same_service(const struct unit *a, const struct unit *b)
{
    return strcmp(a->stack, b->stack) == 0 && strcmp(a->service, b->service) == 0;
}

/* Replicas of one service share a port of the node; different services cannot. */
static void add_backend(struct ports *ports, const struct unit *u, const struct net_port *key,
                        struct net_backend backend)
{
    struct published *p = find_port(ports, key);

    if (p == NULL) {
        p = add_port(ports, key, u);
    }
    if (!same_service(p->owner, u)) {
        log_warn("%s: port %u is published already, by %s", u->name, (unsigned)key->port,
                 p->owner->name);
        return;
    }
    if (p->port.n_backends == NET_BACKENDS_MAX) {
        return;
    }
    p->backends = xrealloc(p->backends, p->port.n_backends + 1, sizeof(*p->backends));
    p->backends[p->port.n_backends++] = backend;
    p->port.backends = p->backends;
}

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

static void gather_attempt(const struct attempt *at, struct ports *ports)
{
    struct order_port p;

    if (!at->attached || !at->started || at->cleaning || at->unit->order == NULL) {
        return;
    }
    for (unsigned i = 0; order_port(at->unit->order, i, &p); i++) {
        struct net_port key = {.udp = p.udp, .port = p.published};

        if (!read_host_ip(p.host_ip, &key.host_ip)) {
            log_warn("%s: port %u is not published: %s is no IPv4 address", at->unit->name,
                     (unsigned)p.published, p.host_ip);
            continue;
        }
        add_backend(ports, at->unit, &key,
                    (struct net_backend){.address = at->address, .port = p.target});
    }
}

void uv_agent_ports_gather(const struct uv_agent *a, struct uv_agent_ports *ret)
{
    struct ports ports = {0};

    for (const struct unit *u = a->units; u != NULL; u = u->next) {
        for (const struct attempt *at = u->attempts; at != NULL; at = at->next) {
            gather_attempt(at, &ports);
        }
    }
    ret->list = xcalloc(ports.n + 1, sizeof(*ret->list));
    ret->n = ports.n;
    for (unsigned i = 0; i < ports.n; i++) {
        ret->list[i] = ports.list[i].port;
    }
    free(ports.list);
}

void uv_agent_ports_finish(struct uv_agent_ports *ports)
{
    for (unsigned i = 0; i < ports->n; i++) {
        free((void *)(uintptr_t)ports->list[i].backends);
    }
    free(ports->list);
    *ports = (struct uv_agent_ports){0};
}
