// SPDX-License-Identifier: Apache-2.0
/* Networks and names of a document: each by itself, and what holds between services. */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/compose_check_priv.h"
#include "common/compose_rule.h"
#include "common/doc.h"

static const Wherry__Spec__Network *find(const Wherry__Spec__Stack *stack, const char *name)
{
    for (size_t i = 0; i < stack->n_networks; i++) {
        if (strcmp(stack->networks[i]->name, name) == 0) {
            return stack->networks[i];
        }
    }
    return NULL;
}

/* ---- of the stack ---- */

static bool overlap(const char *a, const char *b)
{
    uint32_t x, y;
    unsigned p, q;

    compose_rule_read_cidr(a, &x, &p);
    compose_rule_read_cidr(b, &y, &q);
    p = p < q ? p : q;
    return p == 0 || (x ^ y) >> (32 - p) == 0;
}

static int check_subnets(struct compose_check *c, const Wherry__Spec__Stack *stack, size_t at)
{
    const Wherry__Spec__Network *n = stack->networks[at];

    if (n->n_subnets > COMPOSE_SUBNETS_MAX) {
        return compose_check_say(c, "ipam.config", "has %zu elements (allowed: at most %u)",
                                 n->n_subnets, COMPOSE_SUBNETS_MAX);
    }
    for (size_t i = 0; i < n->n_subnets; i++) {
        int rc = compose_check_rule(c, "ipam.config", compose_rule_subnet(n->subnets[i], c->e));

        for (size_t k = 0; rc == 0 && k <= at; k++) {
            const Wherry__Spec__Network *other = stack->networks[k];

            for (size_t l = 0; l < (k == at ? i : other->n_subnets); l++) {
                if (overlap(n->subnets[i], other->subnets[l])) {
                    return compose_check_say(c, "ipam.config", "%.40s overlaps %.40s of \"%.100s\"",
                                             n->subnets[i], other->subnets[l], other->key);
                }
            }
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int check_network(struct compose_check *c, const Wherry__Spec__Stack *stack, size_t at)
{
    const Wherry__Spec__Network *n = stack->networks[at];
    int rc = compose_check_rule(c, "", compose_rule_name(n->key, c->e));

    if (rc == 0) {
        rc = compose_check_rule(c, "name", compose_rule_network_name(n->name, c->e));
    }
    if (rc == 0) {
        rc = compose_check_shape(c, &n->base);
    }
    if (rc == 0) {
        rc = compose_check_pairs(c, "labels", n->labels, n->n_labels, compose_rule_label);
    }
    for (size_t i = 0; rc == 0 && i < at; i++) {
        if (strcmp(stack->networks[i]->name, n->name) == 0) {
            return compose_check_say(c, "name", "\"%.100s\" is the network \"%.100s\", too",
                                     n->name, stack->networks[i]->key);
        }
    }
    return rc == 0 ? check_subnets(c, stack, at) : rc;
}

int compose_check_networks(struct compose_check *c, const Wherry__Spec__Stack *stack)
{
    if (stack->n_networks > DOC_REPEATED_MAX) {
        return compose_check_say(c, "networks", "there are %zu (allowed: 0 to %d)",
                                 stack->n_networks, DOC_REPEATED_MAX);
    }
    for (size_t i = 0; i < stack->n_networks; i++) {
        int rc;

        if (i > 0 && strcmp(stack->networks[i - 1]->key, stack->networks[i]->key) >= 0) {
            return compose_check_say(c, "networks", "\"%.100s\" is not in order, or given twice",
                                     stack->networks[i]->key);
        }
        (void)snprintf(c->path, sizeof(c->path), "networks.%.100s", stack->networks[i]->key);
        rc = check_network(c, stack, i);
        if (rc < 0) {
            return rc;
        }
        c->path[0] = '\0';
    }
    return 0;
}

/* ---- of a container ---- */

static bool in_subnets(const Wherry__Spec__Network *n, const char *address)
{
    for (size_t i = 0; i < n->n_subnets; i++) {
        if (overlap(n->subnets[i], address)) {
            return true;
        }
    }
    return false;
}

static int check_address(struct compose_check *c, const Wherry__Spec__Network *n,
                         const Wherry__Spec__NetworkUse *use)
{
    int rc;

    if (use->ipv6_address[0] != '\0') {
        return compose_check_say(c, "networks", "ipv6_address is not supported yet");
    }
    if (use->ipv4_address[0] == '\0') {
        return 0;
    }
    rc = compose_check_rule(c, "networks", compose_rule_ipv4(use->ipv4_address, c->e));
    if (rc == 0 && !in_subnets(n, use->ipv4_address)) {
        return compose_check_say(c, "networks",
                                 "ipv4_address %.40s lies in no subnet of \"%.100s\" (allowed: one "
                                 "of its ipam.config)",
                                 use->ipv4_address, n->key);
    }
    return rc;
}

static int check_aliases(struct compose_check *c, const Wherry__Spec__NetworkUse *use)
{
    if (use->n_aliases > COMPOSE_ALIASES_MAX) {
        return compose_check_say(c, "networks", "has %zu aliases (allowed: at most %u)",
                                 use->n_aliases, COMPOSE_ALIASES_MAX);
    }
    for (size_t i = 0; i < use->n_aliases; i++) {
        int rc = compose_check_rule(c, "networks", compose_rule_alias(use->aliases[i], c->e));

        if (rc < 0) {
            return rc;
        }
        if (strpbrk(use->aliases[i], "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL ||
            (i > 0 && strcmp(use->aliases[i - 1], use->aliases[i]) >= 0)) {
            return compose_check_say(
                c, "networks",
                "alias \"%.100s\" is not in order, not in lower case, or given "
                "twice",
                use->aliases[i]);
        }
    }
    return 0;
}

static int check_use(struct compose_check *c, const Wherry__Spec__Stack *stack,
                     const Wherry__Spec__Container *it, size_t at)
{
    const Wherry__Spec__NetworkUse *use = it->networks[at];
    const Wherry__Spec__Network *n = find(stack, use->name);
    int rc;

    if (n == NULL) {
        return compose_check_say(c, "networks", "there is no network \"%.100s\"", use->name);
    }
    if (at > 0 && strcmp(it->networks[at - 1]->name, use->name) >= 0) {
        return compose_check_say(c, "networks", "\"%.100s\" is not in order, or given twice",
                                 use->name);
    }
    if (!n->external && (use->internal != n->internal || use->ipv6 != n->enable_ipv6)) {
        return compose_check_say(c, "networks", "is not as \"%.100s\" is declared", n->key);
    }
    rc = compose_check_rule(c, "networks", compose_rule_mac(use->mac_address, c->e));
    if (rc == 0) {
        rc = check_address(c, n, use);
    }
    return rc == 0 ? check_aliases(c, use) : rc;
}

static int check_uses(struct compose_check *c, const Wherry__Spec__Stack *stack,
                      const Wherry__Spec__Container *it)
{
    if (it->n_networks > COMPOSE_NETWORKS_MAX) {
        return compose_check_say(c, "networks", "there are %zu (allowed: at most %u)",
                                 it->n_networks, COMPOSE_NETWORKS_MAX);
    }
    if (it->n_networks > 0 && it->network_mode != WHERRY__SPEC__NETWORK_MODE__NETWORK_BRIDGE) {
        return compose_check_say(c, "networks",
                                 "cannot be with network_mode host or none (allowed: one of the "
                                 "two)");
    }
    for (size_t i = 0; i < it->n_networks; i++) {
        int rc = check_use(c, stack, it, i);

        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int check_list(struct compose_check *c, const char *key, char **list, size_t n, unsigned max,
                      int (*rule)(const char *, struct err *))
{
    if (n > max) {
        return compose_check_say(c, key, "has %zu elements (allowed: at most %u)", n, max);
    }
    for (size_t i = 0; i < n; i++) {
        int rc = compose_check_rule(c, key, rule(list[i], c->e));

        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* A host may have several addresses. */
static int by_host(const Wherry__Spec__KeyValue *a, const Wherry__Spec__KeyValue *b)
{
    int by_key = strcmp(a->key, b->key);

    return by_key != 0 ? by_key : strcmp(a->value, b->value);
}

static int check_hosts(struct compose_check *c, const Wherry__Spec__Container *it)
{
    if (it->n_extra_hosts > COMPOSE_HOSTS_MAX) {
        return compose_check_say(c, "extra_hosts", "has %zu elements (allowed: at most %u)",
                                 it->n_extra_hosts, COMPOSE_HOSTS_MAX);
    }
    for (size_t i = 0; i < it->n_extra_hosts; i++) {
        const Wherry__Spec__KeyValue *pair = it->extra_hosts[i];
        int rc = compose_check_rule(c, "extra_hosts", compose_rule_alias(pair->key, c->e));

        if (rc == 0) {
            rc = compose_check_rule(c, "extra_hosts", compose_rule_host_address(pair->value, c->e));
        }
        if (rc < 0) {
            return rc;
        }
        if (i > 0 && by_host(it->extra_hosts[i - 1], pair) >= 0) {
            return compose_check_say(c, "extra_hosts",
                                     "\"%.100s=%.100s\" is not in order, or given twice", pair->key,
                                     pair->value);
        }
    }
    return 0;
}

static int check_rate(struct compose_check *c, const char *key, uint64_t rate)
{
    if (rate != 0 && (rate < COMPOSE_RATE_MIN || rate > COMPOSE_RATE_MAX)) {
        return compose_check_say(c, key, "is out of range (allowed: 64kbit to 100gbit)");
    }
    return 0;
}

static int check_egress(struct compose_check *c, const Wherry__Spec__Egress *egress)
{
    int rc = check_list(c, "x-wherry.egress", egress->cidr, egress->n_cidr, COMPOSE_EGRESS_MAX,
                        compose_rule_cidr);

    for (size_t i = 1; rc == 0 && i < egress->n_cidr; i++) {
        if (strcmp(egress->cidr[i - 1], egress->cidr[i]) >= 0) {
            rc = compose_check_say(c, "x-wherry.egress",
                                   "\"%.100s\" is not in order, or given twice", egress->cidr[i]);
        }
    }
    return rc;
}

static int check_limits(struct compose_check *c, const Wherry__Spec__Container *it)
{
    bool limited = it->bandwidth != NULL &&
                   (it->bandwidth->in_bits_per_s > 0 || it->bandwidth->out_bits_per_s > 0);
    int rc;

    if (limited && it->network_mode != WHERRY__SPEC__NETWORK_MODE__NETWORK_BRIDGE) {
        return compose_check_say(c, "x-wherry.bandwidth",
                                 "cannot be limited with network_mode \"host\" or \"none\"");
    }
    rc = it->bandwidth != NULL
             ? check_rate(c, "x-wherry.bandwidth.in", it->bandwidth->in_bits_per_s)
             : 0;

    if (rc == 0 && it->bandwidth != NULL) {
        rc = check_rate(c, "x-wherry.bandwidth.out", it->bandwidth->out_bits_per_s);
    }
    if (rc == 0 && it->egress != NULL) {
        rc = check_egress(c, it->egress);
    }
    return rc;
}

int compose_check_container_net(struct compose_check *c, const Wherry__Spec__Stack *stack,
                                const Wherry__Spec__Container *it)
{
    int rc = check_uses(c, stack, it);

    if (rc == 0) {
        rc = compose_check_rule(c, "domainname", compose_rule_domain(it->domainname, c->e));
    }
    if (rc == 0) {
        rc = check_list(c, "dns", it->dns, it->n_dns, COMPOSE_DNS_MAX, compose_rule_ipv4);
    }
    if (rc == 0) {
        rc = check_list(c, "dns_search", it->dns_search, it->n_dns_search, COMPOSE_SEARCH_MAX,
                        compose_rule_domain);
    }
    if (rc == 0) {
        rc = check_list(c, "dns_opt", it->dns_opt, it->n_dns_opt, COMPOSE_SEARCH_MAX,
                        compose_rule_word);
    }
    if (rc == 0) {
        rc = check_hosts(c, it);
    }
    return rc == 0 ? check_limits(c, it) : rc;
}

/* ---- of a service, and between services ---- */

static bool has_ingress(const Wherry__Spec__Container *it)
{
    for (size_t i = 0; i < it->n_ports; i++) {
        if (it->ports[i]->published != 0 &&
            it->ports[i]->mode == WHERRY__SPEC__PORT_MODE__PORT_INGRESS) {
            return true;
        }
    }
    return false;
}

static int check_one(struct compose_check *c, const Wherry__Spec__Service *s)
{
    for (size_t i = 0; i < s->container->n_networks; i++) {
        const char *address = s->container->networks[i]->ipv4_address;

        if (address[0] != '\0' &&
            (s->mode == WHERRY__SPEC__MODE__MODE_GLOBAL ||
             s->mode == WHERRY__SPEC__MODE__MODE_GLOBAL_JOB || s->replicas > 1)) {
            return compose_check_say(c, "networks",
                                     "ipv4_address %.40s is for one replica (allowed: replicas 1)",
                                     address);
        }
    }
    if (s->endpoint_mode == WHERRY__SPEC__ENDPOINT_MODE__ENDPOINT_DNSRR &&
        has_ingress(s->container)) {
        return compose_check_say(c, "deploy.endpoint_mode",
                                 "dnsrr cannot be with ports published on every host (allowed: "
                                 "ports with \"mode: host\")");
    }
    return 0;
}

static bool same_port(const Wherry__Spec__Port *a, const Wherry__Spec__Port *b)
{
    return a->published != 0 && a->published == b->published && a->protocol == b->protocol &&
           a->mode == WHERRY__SPEC__PORT_MODE__PORT_INGRESS && b->mode == a->mode &&
           (a->host_ip[0] == '\0' || b->host_ip[0] == '\0' || strcmp(a->host_ip, b->host_ip) == 0);
}

static int check_ports_of_two(struct compose_check *c, const Wherry__Spec__Service *a,
                              const Wherry__Spec__Service *b)
{
    for (size_t i = 0; i < a->container->n_ports; i++) {
        for (size_t k = 0; k < b->container->n_ports; k++) {
            if (same_port(a->container->ports[i], b->container->ports[k])) {
                return compose_check_say(c, "ports", "port %u is published by \"%s\", too",
                                         a->container->ports[i]->published, b->name);
            }
        }
    }
    return 0;
}

/* Two services of one network: names and addresses. */
static int check_uses_of_two(struct compose_check *c, const Wherry__Spec__NetworkUse *a,
                             const Wherry__Spec__Service *other, const Wherry__Spec__NetworkUse *b)
{
    if (strcmp(a->name, b->name) != 0) {
        return 0;
    }
    for (size_t i = 0; i < a->n_aliases; i++) {
        if (strcmp(a->aliases[i], other->name) == 0) {
            return compose_check_say(c, "networks",
                                     "alias \"%.100s\" is the name of another service there",
                                     a->aliases[i]);
        }
    }
    if (a->ipv4_address[0] != '\0' && strcmp(a->ipv4_address, b->ipv4_address) == 0) {
        return compose_check_say(c, "networks", "ipv4_address %.40s is that of \"%s\", too",
                                 a->ipv4_address, other->name);
    }
    return 0;
}

static int check_two(struct compose_check *c, const Wherry__Spec__Service *a,
                     const Wherry__Spec__Service *b, bool first)
{
    int rc = first ? check_ports_of_two(c, a, b) : 0;

    for (size_t i = 0; rc == 0 && i < a->container->n_networks; i++) {
        for (size_t k = 0; rc == 0 && k < b->container->n_networks; k++) {
            rc = check_uses_of_two(c, a->container->networks[i], b, b->container->networks[k]);
        }
    }
    return rc;
}

/* After each service has been looked at by itself. */
int compose_check_between(struct compose_check *c, const Wherry__Spec__Stack *stack)
{
    for (size_t i = 0; i < stack->n_services; i++) {
        const Wherry__Spec__Service *s = stack->services[i];
        int rc;

        (void)snprintf(c->path, sizeof(c->path), "services.%s", s->name);
        rc = check_one(c, s);
        for (size_t k = 0; rc == 0 && k < stack->n_services; k++) {
            rc = i != k ? check_two(c, s, stack->services[k], k < i) : 0;
        }
        if (rc < 0) {
            return rc;
        }
        c->path[0] = '\0';
    }
    return 0;
}
