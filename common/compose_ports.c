// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/compose_parts.h"
#include "common/compose_rule.h"
#include "common/compose_value.h"

static const char allowed[] =
    "allowed: [[HOST_IP:]HOST_PORT:]PORT[/tcp|/udp], where ports may be ranges like 8000-8003";

struct range {
    uint32_t first, last;
};

static void refuse(const struct compose_element *p, const char *why)
{
    compose_reader_fail(p->r, p->at, p->node, "\"%.100s\" %s (%s)", p->node->text, why, allowed);
}

/* One port of a text with several: the one that is wrong is named. */
static bool read_port(const struct compose_element *p, const char *text, uint32_t *ret)
{
    uint64_t value = 0;

    if (compose_value_number(text, &value, NULL) < 0) {
        refuse(p, "is no port");
        return false;
    }
    if (value == 0 || value > UINT16_MAX) {
        compose_reader_fail(p->r, p->at, p->node,
                            "\"%.100s\": port %.20s is out of range (allowed: 1 to 65535)",
                            p->node->text, text);
        return false;
    }
    *ret = (uint32_t)value;
    return true;
}

/* "80" or "80-83"; cuts `text`. */
static bool read_range(const struct compose_element *p, char *text, struct range *ret)
{
    char *dash = strchr(text, '-');

    if (dash != NULL) {
        *dash = '\0';
    }
    if (!read_port(p, text, &ret->first) || (dash != NULL && !read_port(p, dash + 1, &ret->last))) {
        return false;
    }
    if (dash == NULL) {
        ret->last = ret->first;
    }
    if (ret->last < ret->first) {
        refuse(p, "has a range that ends before it begins");
        return false;
    }
    return true;
}

static void add(const struct compose_element *p, const Wherry__Spec__Port *like)
{
    Wherry__Spec__Container *c = p->service->container;
    Wherry__Spec__Port *port;

    if (c->n_ports >= COMPOSE_PORTS_MAX) {
        if (c->n_ports == COMPOSE_PORTS_MAX) {
            compose_reader_fail(p->r, p->at, p->node, "is one port too many (allowed: %u)",
                                COMPOSE_PORTS_MAX);
        }
        return;
    }
    port = compose_reader_message(p->r, &wherry__spec__port__descriptor);
    *port = *like;
    /* Every address of the host has one way to be written in a document. */
    port->host_ip = strcmp(like->host_ip, "0.0.0.0") == 0 ? (char *)"" : like->host_ip;
    compose_reader_push(p->r, &c->ports, &c->n_ports, port);
}

static void warn_inside_only(const struct compose_element *p)
{
    compose_reader_later(p->r, p->at, p->node,
                         "publishes no port of the host: a port chosen by chance is not supported "
                         "yet (allowed: HOST_PORT:PORT)");
}

/* Takes "/udp" off. */
static bool cut_protocol(const struct compose_element *p, char *work, Wherry__Spec__Port *port)
{
    char *slash = strchr(work, '/');

    if (slash == NULL) {
        return true;
    }
    *slash = '\0';
    if (strcmp(slash + 1, "udp") == 0) {
        port->protocol = WHERRY__SPEC__PROTOCOL__PROTOCOL_UDP;
    } else if (strcmp(slash + 1, "tcp") != 0) {
        refuse(p, "has an unknown protocol");
        return false;
    }
    return true;
}

/* Splits "ip:host:target" from its end; `ip` and `host` stay NULL where they are not given. */
static void split(char *work, char **ip, char **host, char **target)
{
    char *colon = strrchr(work, ':');

    *target = work;
    if (colon == NULL) {
        return;
    }
    *colon = '\0';
    *target = colon + 1;
    *host = work;
    colon = strrchr(work, ':');
    if (colon != NULL) {
        *colon = '\0';
        *host = colon + 1;
        *ip = work;
    }
}

static void add_range(const struct compose_element *p, Wherry__Spec__Port *port,
                      const struct range *host, const struct range *target)
{
    bool published = host->first != 0;

    if (published && host->last - host->first != target->last - target->first) {
        refuse(p, "has ranges of different length");
        return;
    }
    if (!published) {
        warn_inside_only(p);
    }
    for (uint32_t i = 0; i <= target->last - target->first && i <= COMPOSE_PORTS_MAX; i++) {
        port->target = target->first + i;
        port->published = published ? host->first + i : 0;
        add(p, port);
    }
}

static void read_short(const struct compose_element *p, const char *text)
{
    Wherry__Spec__Port port = WHERRY__SPEC__PORT__INIT;
    auto_free char *work = xstrdup(text);
    char *ip = NULL, *host = NULL, *target = NULL;
    struct range hosts = {0}, targets;
    struct err e;

    if (text[0] == '[') {
        refuse(p, "has an IPv6 address, which is not supported yet");
        return;
    }
    if (!cut_protocol(p, work, &port)) {
        return;
    }
    split(work, &ip, &host, &target);
    if (ip != NULL && compose_rule_host_ip(ip, &e) < 0) {
        compose_reader_fail(p->r, p->at, p->node, "%s", e.text);
        return;
    }
    if ((host != NULL && host[0] != '\0' && !read_range(p, host, &hosts)) ||
        !read_range(p, target, &targets)) {
        return;
    }
    port.host_ip = ip != NULL ? compose_reader_copy(p->r, ip) : (char *)"";
    add_range(p, &port, &hosts, &targets);
}

static void read_long(const struct compose_element *p)
{
    Wherry__Spec__Port *port = compose_reader_message(p->r, &wherry__spec__port__descriptor);

    compose_object_read(p->r, &compose_table_port, p->at, p->node, &port->base);
    if (port->target == 0) {
        return;
    }
    if (port->published == 0) {
        warn_inside_only(p);
    }
    add(p, port);
}

void compose_ports_read(struct compose_reader *r, const struct compose_row *row,
                        const struct compose_at *at, const struct compose_node *node,
                        ProtobufCMessage *message)
{
    (void)row;
    compose_list_elements(r, at, node, message, read_short, read_long);
}
