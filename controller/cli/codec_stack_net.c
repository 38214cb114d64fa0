// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "controller/cli/codec_stack_priv.h"

static void put_flag(struct yamlout *y, const char *key, bool on)
{
    if (on) {
        yamlout_raw(y, key, "true");
    }
}

static void put_set(struct yamlout *y, const char *key, const char *text)
{
    if (text[0] != '\0') {
        yamlout_text(y, key, text);
    }
}

static void put_list(struct yamlout *y, const char *key, char *const *texts, size_t n)
{
    if (n > 0) {
        yamlout_list(y, key, texts, n);
    }
}

/* ---- of a service ---- */

/* A use has the name in the cluster; the file knows networks by their keys. */
static const char *key_of(const Wherry__Spec__Stack *stack, const char *name)
{
    for (size_t i = 0; i < stack->n_networks; i++) {
        if (strcmp(stack->networks[i]->name, name) == 0) {
            return stack->networks[i]->key;
        }
    }
    return name;
}

static void put_use(struct yamlout *y, const char *key, const Wherry__Spec__NetworkUse *use)
{
    if (use->n_aliases == 0 && use->ipv4_address[0] == '\0' && use->ipv6_address[0] == '\0' &&
        use->mac_address[0] == '\0') {
        yamlout_raw(y, key, "{}");
        return;
    }
    yamlout_open(y, key);
    put_list(y, "aliases", use->aliases, use->n_aliases);
    put_set(y, "ipv4_address", use->ipv4_address);
    put_set(y, "ipv6_address", use->ipv6_address);
    put_set(y, "mac_address", use->mac_address);
    yamlout_close(y);
}

void codec_stack_put_net(struct yamlout *y, const Wherry__Spec__Stack *stack,
                         const Wherry__Spec__Container *c)
{
    if (c->n_networks > 0) {
        yamlout_open(y, "networks");
        for (size_t i = 0; i < c->n_networks; i++) {
            put_use(y, key_of(stack, c->networks[i]->name), c->networks[i]);
        }
        yamlout_close(y);
    }
    put_set(y, "domainname", c->domainname);
    put_list(y, "dns", c->dns, c->n_dns);
    put_list(y, "dns_search", c->dns_search, c->n_dns_search);
    put_list(y, "dns_opt", c->dns_opt, c->n_dns_opt);
    codec_stack_put_pairs(y, "extra_hosts", c->extra_hosts, c->n_extra_hosts);
}

/* ---- x-wherry ---- */

static bool is_limited(const Wherry__Spec__Bandwidth *b)
{
    return b != NULL && (b->in_bits_per_s > 0 || b->out_bits_per_s > 0);
}

static bool is_restricted(const Wherry__Spec__Egress *egress)
{
    return egress != NULL && egress->restricted;
}

bool codec_stack_has_link(const Wherry__Spec__Service *s)
{
    return is_limited(s->container->bandwidth) || is_restricted(s->container->egress) ||
           s->balance == WHERRY__SPEC__BALANCE__BALANCE_CLIENT;
}

static void put_rate(struct yamlout *y, const char *key, uint64_t rate)
{
    if (rate > 0) {
        yamlout_raw(y, key, "%" PRIu64 "bit", rate);
    }
}

void codec_stack_put_link(struct yamlout *y, const Wherry__Spec__Service *s)
{
    const Wherry__Spec__Bandwidth *b = s->container->bandwidth;
    const Wherry__Spec__Egress *egress = s->container->egress;

    if (s->balance == WHERRY__SPEC__BALANCE__BALANCE_CLIENT) {
        yamlout_text(y, "balance", "client");
    }
    if (is_limited(b)) {
        yamlout_open(y, "bandwidth");
        put_rate(y, "in", b->in_bits_per_s);
        put_rate(y, "out", b->out_bits_per_s);
        yamlout_close(y);
    }
    if (is_restricted(egress) && egress->n_cidr == 0) {
        yamlout_text(y, "egress", "deny");
    } else if (is_restricted(egress)) {
        yamlout_list(y, "egress", egress->cidr, egress->n_cidr);
    }
}

/* ---- of the stack ---- */

static void put_subnets(struct yamlout *y, const Wherry__Spec__Network *n)
{
    if (n->n_subnets == 0) {
        return;
    }
    yamlout_open(y, "ipam");
    yamlout_open(y, "config");
    for (size_t i = 0; i < n->n_subnets; i++) {
        yamlout_item(y);
        yamlout_text(y, "subnet", n->subnets[i]);
        yamlout_close(y);
    }
    yamlout_close(y);
    yamlout_close(y);
}

static void put_network(struct yamlout *y, const Wherry__Spec__Network *n)
{
    yamlout_open(y, n->key);
    yamlout_text(y, "name", n->name);
    put_flag(y, "external", n->external);
    put_flag(y, "internal", n->internal);
    put_flag(y, "attachable", n->attachable);
    put_flag(y, "enable_ipv6", n->enable_ipv6);
    put_subnets(y, n);
    codec_stack_put_pairs(y, "labels", n->labels, n->n_labels);
    yamlout_close(y);
}

void codec_stack_put_networks(struct yamlout *y, const Wherry__Spec__Stack *stack)
{
    if (stack->n_networks == 0) {
        return;
    }
    yamlout_open(y, "networks");
    for (size_t i = 0; i < stack->n_networks; i++) {
        put_network(y, stack->networks[i]);
    }
    yamlout_close(y);
}
