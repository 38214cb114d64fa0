// SPDX-License-Identifier: Apache-2.0
/* What one replica takes on its node, and the networks it is on: from its Container alone. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/doc.h"
#include "controller/codec_want_priv.h"

static int port_of(const Wherry__Spec__Port *from, struct fleet_port *ret, struct err *e)
{
    struct in_addr host = {0};

    if (from->published > UINT16_MAX) {
        return err_say(e, EBADMSG, "ports: published %u (allowed: 1 to 65535)", from->published);
    }
    if (from->target == 0 || from->target > UINT16_MAX) {
        return err_say(e, EBADMSG, "ports: target %u (allowed: 1 to 65535)", from->target);
    }
    if (from->host_ip[0] != '\0' && inet_pton(AF_INET, from->host_ip, &host) != 1) {
        return err_say(e, EBADMSG, "ports: host_ip '%.64s' is no IPv4 address", from->host_ip);
    }
    *ret = (struct fleet_port){
        .udp = from->protocol == WHERRY__SPEC__PROTOCOL__PROTOCOL_UDP,
        .ingress = from->mode != WHERRY__SPEC__PORT_MODE__PORT_HOST,
        .port = (uint16_t)from->published,
        .target = (uint16_t)from->target,
        .host_ip = ntohl(host.s_addr),
    };
    return 0;
}

static int ports_of(const Wherry__Spec__Container *c, struct fleet_ask *ask, struct err *e)
{
    struct fleet_port *ports = xcalloc(c->n_ports + 1, sizeof(*ports));

    ask->ports = ports;
    for (size_t i = 0; i < c->n_ports; i++) {
        if (c->ports[i]->published == 0) {
            continue;
        }
        if (port_of(c->ports[i], &ports[ask->n_ports], e) < 0) {
            return e->code;
        }
        ask->n_ports++;
    }
    return 0;
}

static bool is_external(const Wherry__Spec__Stack *stack, const char *key)
{
    for (size_t i = 0; stack != NULL && i < stack->n_volumes; i++) {
        if (strcmp(stack->volumes[i]->key, key) == 0) {
            return stack->volumes[i]->external;
        }
    }
    return false;
}

static bool has_volume(const struct fleet_ask *ask, const char *name)
{
    for (unsigned i = 0; i < ask->n_volumes; i++) {
        if (strcmp(ask->volumes[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static int volumes_of(const Wherry__Spec__Container *c, const Wherry__Spec__Stack *stack,
                      struct fleet_ask *ask, struct err *e)
{
    struct fleet_volume_use *volumes = xcalloc(c->n_mounts + 1, sizeof(*volumes));

    ask->volumes = volumes;
    for (size_t i = 0; i < c->n_mounts; i++) {
        const Wherry__Spec__Mount *mount = c->mounts[i];
        struct fleet_volume_use *use = &volumes[ask->n_volumes];

        if (mount->type != WHERRY__SPEC__MOUNT_TYPE__MOUNT_VOLUME || *mount->volume_name == '\0' ||
            has_volume(ask, mount->volume_name)) {
            continue; /* an anonymous volume lives and dies with its container */
        }
        if (strlen(mount->volume_name) >= sizeof(use->name)) {
            return err_say(e, EBADMSG, "mounts: name of volume %.64s… is longer than %d bytes",
                           mount->volume_name, FLEET_VOLUME - 1);
        }
        (void)snprintf(use->name, sizeof(use->name), "%s", mount->volume_name);
        use->external = is_external(stack, mount->source);
        ask->n_volumes++;
    }
    return 0;
}

static int network_of(const Wherry__Spec__NetworkUse *from, struct fleet_network_use *to,
                      struct err *e)
{
    const char **aliases = xcalloc(from->n_aliases + 1, sizeof(*aliases));
    struct in_addr address = {0};

    to->aliases = aliases;
    if (!svc_network_is_valid(from->name) || from->n_aliases > SVC_ALIASES_MAX) {
        return err_say(e, EBADMSG, "networks: '%.64s' is no name, or has more than %d aliases",
                       from->name, SVC_ALIASES_MAX);
    }
    (void)snprintf(to->name, sizeof(to->name), "%s", from->name);
    if (from->ipv4_address[0] != '\0' && inet_pton(AF_INET, from->ipv4_address, &address) != 1) {
        return err_say(e, EBADMSG, "networks: ipv4_address '%.64s' is no IPv4 address",
                       from->ipv4_address);
    }
    to->address = ntohl(address.s_addr);
    to->internal = from->internal;
    to->ipv6 = from->ipv6;
    for (size_t i = 0; i < from->n_aliases; i++) {
        if (!svc_alias_is_valid(from->aliases[i])) {
            return err_say(e, EBADMSG, "networks: alias '%.64s' is no host name", from->aliases[i]);
        }
        aliases[to->n_aliases++] = xstrdup(from->aliases[i]);
    }
    return 0;
}

static int use_order(const void *a, const void *b)
{
    return strcmp(((const struct fleet_network_use *)a)->name,
                  ((const struct fleet_network_use *)b)->name);
}

static int networks_of(const Wherry__Spec__Container *c, struct fleet_ask *ask, struct err *e)
{
    struct fleet_network_use *list = xcalloc(c->n_networks + 1, sizeof(*list));

    ask->networks = list;
    if (c->n_networks > SVC_NETWORKS_MAX) {
        return err_say(e, E2BIG, "networks: %zu are more than %d", c->n_networks, SVC_NETWORKS_MAX);
    }
    for (size_t i = 0; i < c->n_networks; i++) {
        ask->n_networks++; /* from here on it is freed with the rest */
        if (network_of(c->networks[i], &list[i], e) < 0) {
            return e->code;
        }
    }
    qsort(list, ask->n_networks, sizeof(*list), use_order);
    for (unsigned i = 1; i < ask->n_networks; i++) {
        if (strcmp(list[i - 1].name, list[i].name) == 0) {
            return err_say(e, EBADMSG, "networks: %s is there twice", list[i].name);
        }
    }
    return 0;
}

int codec_want_ask_of(const Wherry__Spec__Container *c, const Wherry__Spec__Stack *stack,
                      struct fleet_ask *ret, struct err *e)
{
    if (c->limits != NULL) {
        ret->reserve.memory_bytes = c->limits->memory_bytes;
        ret->reserve.pids = c->limits->pids;
    }
    if (c->bandwidth != NULL) {
        ret->reserve.bits_in = c->bandwidth->in_bits_per_s;
        ret->reserve.bits_out = c->bandwidth->out_bits_per_s;
    }
    ret->linked = c->network_mode == WHERRY__SPEC__NETWORK_MODE__NETWORK_BRIDGE;
    return ports_of(c, ret, e) < 0 || volumes_of(c, stack, ret, e) < 0 || networks_of(c, ret, e) < 0
               ? e->code
               : 0;
}

void codec_want_ask_free(struct fleet_ask *ask)
{
    for (unsigned i = 0; i < ask->n_networks; i++) {
        for (unsigned k = 0; k < ask->networks[i].n_aliases; k++) {
            free((void *)(uintptr_t)ask->networks[i].aliases[k]);
        }
        free((void *)(uintptr_t)ask->networks[i].aliases);
    }
    free((void *)(uintptr_t)ask->networks);
    free((void *)(uintptr_t)ask->ports);
    free((void *)(uintptr_t)ask->volumes);
    *ask = (struct fleet_ask){0};
}

int codec_want_ask(const void *container, size_t len, struct fleet_ask *ret, struct err *e)
{
    auto_doc struct doc doc = {0};
    struct fleet_ask ask = {0};
    int rc = doc_decode(&wherry__spec__container__descriptor, container, len, &doc_limits_default,
                        &doc, e);

    rc = rc < 0 ? rc
                : codec_want_ask_of((const Wherry__Spec__Container *)doc.message, NULL, &ask, e);
    if (rc < 0) {
        codec_want_ask_free(&ask);
        return rc;
    }
    *ret = ask;
    return 0;
}
