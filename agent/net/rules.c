// SPDX-License-Identifier: Apache-2.0
#include "agent/net/rules.h"

#include <assert.h>
#include <string.h>

#define LIMIT_MIN 8u

/* What may go where, in the order of the packet's way. %T is the table, %L our links, %R the
 * cluster's range, %B the node's block, %G the gateway.
 *
 * - w_guard, before anything is tracked: a container sends from its own address only (the way back
 *   to the source must be the link it came by), no IPv6, and nothing to the host's loopback: our
 *   links have route_localnet, because 127.0.0.1:PORT is translated towards them.
 * - w_pre, w_output: published ports, for others and for the host's own processes. 127.0.0.1 is
 *   the only loopback address that is published: 127.0.0.53 is somebody's resolver.
 * - w_post: a container that comes by a published port to one of its own node, maybe itself, must
 *   get its answers through the host, hence the gateway's address; so must 127.0.0.1. What leaves
 *   the cluster leaves by the host's address.
 * - w_input: no container talks to the host itself, only answers it; one of another node neither:
 *   what goes to a node keeps the container's address, so that the node can tell.
 * - w_forward: into a container go answers and what was published, out of it everything but other
 *   containers and link-local addresses (169.254.169.254 gives away the cloud's credentials). */
static const char *const table[] = {
    "add table %T",
    "delete table %T",
    "add table %T",
    "add map %T w_any { type inet_proto . inet_service : verdict; }",
    "add map %T w_one { type ipv4_addr . inet_proto . inet_service : verdict; }",
    "add map %T w_any_to { typeof meta l4proto . th dport . numgen random mod 2"
    " : ip daddr . th dport; }",
    "add map %T w_one_to { typeof ip daddr . meta l4proto . th dport . numgen random mod 2"
    " : ip daddr . th dport; }",

    "add set %T w_nodes { type ipv4_addr; }",
    "add set %T w_blocks { type ipv4_addr; flags interval; }",

    "add chain %T w_guard { type filter hook prerouting priority raw; }",
    "add rule %T w_guard iifname != \"%L*\" accept",
    "add rule %T w_guard meta nfproto != ipv4 drop",
    "add rule %T w_guard fib saddr . iif oif 0 drop",
    "add rule %T w_guard ip daddr 127.0.0.0/8 drop",

    "add chain %T w_pre { type nat hook prerouting priority dstnat; }",
    "add rule %T w_pre ip daddr . meta l4proto . th dport vmap @w_one",
    "add rule %T w_pre fib daddr type local ip daddr != 127.0.0.0/8"
    " meta l4proto . th dport vmap @w_any",

    "add chain %T w_output { type nat hook output priority -100; }",
    "add rule %T w_output ip daddr . meta l4proto . th dport vmap @w_one",
    "add rule %T w_output ip daddr 127.0.0.1 meta l4proto . th dport vmap @w_any",
    "add rule %T w_output fib daddr type local ip daddr != 127.0.0.0/8"
    " meta l4proto . th dport vmap @w_any",

    "add chain %T w_post { type nat hook postrouting priority srcnat; }",
    "add rule %T w_post oifname \"%L*\" ct status dnat ip saddr { 127.0.0.0/8, %B } snat ip to %G",
    "add rule %T w_post oifname != \"%L*\" ip saddr %B ip daddr != %R ip daddr != @w_nodes "
    "masquerade",

    "add chain %T w_input { type filter hook input priority filter; }",
    "add rule %T w_input iifname \"%L*\" ct state established,related accept",
    "add rule %T w_input iifname \"%L*\" drop",
    "add rule %T w_input ip saddr @w_blocks ct state established,related accept",
    "add rule %T w_input ip saddr @w_blocks drop",

    "add chain %T w_forward { type filter hook forward priority filter; }",
    "add rule %T w_forward oifname \"%L*\" ct state established,related accept",
    "add rule %T w_forward oifname \"%L*\" ct status dnat accept",
    "add rule %T w_forward oifname \"%L*\" drop",
    "add rule %T w_forward iifname \"%L*\" ct state established,related accept",
    "add rule %T w_forward iifname \"%L*\" ip daddr { %R, 169.254.0.0/16 } drop",
};

static void put_address(struct buf *ret, uint32_t a)
{
    buf_printf(ret, "%u.%u.%u.%u", a >> 24, a >> 16 & 0xff, a >> 8 & 0xff, a & 0xff);
}

static void put_net(struct buf *ret, uint32_t net, unsigned prefix)
{
    put_address(ret, net);
    buf_printf(ret, "/%u", prefix);
}

static void put_field(const struct rules_config *c, char field, struct buf *ret)
{
    switch (field) {
    case 'T':
        buf_printf(ret, "inet %s", c->table);
        break;
    case 'L':
        buf_puts(ret, c->links);
        break;
    case 'R':
        put_net(ret, c->range, c->range_prefix);
        break;
    case 'B':
        put_net(ret, c->block, c->block_prefix);
        break;
    case 'G':
        put_address(ret, NET_GATEWAY);
        break;
    default:
        assert(!"a field of the table above");
    }
}

static void put_command(const struct rules_config *c, const char *command, struct buf *ret)
{
    for (const char *at = command; *at != '\0'; at++) {
        if (*at == '%') {
            put_field(c, *++at, ret);
        } else {
            buf_putc(ret, *at);
        }
    }
    buf_puts(ret, "; ");
}

bool rules_in_block(const struct rules_config *c, uint32_t address)
{
    uint32_t i = address - c->block;

    return i > 0 && i < ((uint32_t)1 << (32 - c->block_prefix)) - 1;
}

/* "w_any3": ports of three backends. */
static void put_chain(const struct rules_config *c, bool one, unsigned n, struct buf *ret)
{
    const char *map = one ? "w_one" : "w_any";

    buf_printf(ret, "add chain inet %s %s%u; ", c->table, map, n);
    buf_printf(ret, "add rule inet %s %s%u meta l4proto { tcp, udp } dnat ip to ", c->table, map,
               n);
    buf_printf(ret, "%smeta l4proto . th dport . numgen random mod %u map @%s_to; ",
               one ? "ip daddr . " : "", n, map);
}

unsigned rules_limit(unsigned n_backends)
{
    unsigned limit = LIMIT_MIN;

    while (limit < n_backends) {
        limit *= 2;
    }
    return limit;
}

void rules_table(const struct rules_config *c, unsigned limit, struct buf *ret)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        put_command(c, table[i], ret);
    }
    for (unsigned n = 1; n <= limit; n++) {
        put_chain(c, false, n, ret);
        put_chain(c, true, n, ret);
    }
}

void rules_nodes(const struct rules_config *c, const struct net_route *nodes, unsigned n,
                 struct buf *ret)
{
    for (unsigned i = 0; i < n; i++) {
        buf_printf(ret, "add element inet %s w_nodes { ", c->table);
        put_address(ret, nodes[i].via);
        buf_printf(ret, " }; add element inet %s w_blocks { ", c->table);
        put_net(ret, nodes[i].block, nodes[i].block_prefix);
        buf_puts(ret, " }; ");
    }
}

void rules_remove(const struct rules_config *c, struct buf *ret)
{
    put_command(c, "add table %T", ret);
    put_command(c, "delete table %T", ret);
}

/* ---- ports ---- */

/* "80", "192.0.2.1 . tcp . 80": how the port's lookups begin. */
static void put_key(const struct net_port *p, struct buf *ret)
{
    if (p->host_ip != 0) {
        put_address(ret, p->host_ip);
        buf_puts(ret, " . ");
    }
    buf_printf(ret, "%s . %u", p->udp ? "udp" : "tcp", (unsigned)p->port);
}

static const char *map_of(const struct net_port *p)
{
    return p->host_ip != 0 ? "w_one" : "w_any";
}

static void put_backends(const struct rules_config *c, const struct net_port *p, bool values,
                         struct buf *ret)
{
    buf_printf(ret, "%s element inet %s %s_to { ", values ? "add" : "delete", c->table, map_of(p));
    for (unsigned i = 0; i < p->n_backends; i++) {
        buf_puts(ret, i > 0 ? ", " : "");
        put_key(p, ret);
        buf_printf(ret, " . %u", i);
        if (values) {
            buf_puts(ret, " : ");
            put_address(ret, p->backends[i].address);
            buf_printf(ret, " . %u", (unsigned)p->backends[i].port);
        }
    }
    buf_puts(ret, " }; ");
}

void rules_port_add(const struct rules_config *c, const struct net_port *p, struct buf *ret)
{
    assert(p->n_backends <= NET_BACKENDS_MAX);
    if (p->n_backends == 0) {
        return;
    }
    put_backends(c, p, true, ret);
    buf_printf(ret, "add element inet %s %s { ", c->table, map_of(p));
    put_key(p, ret);
    buf_printf(ret, " : goto %s%u }; ", map_of(p), p->n_backends);
}

void rules_port_del(const struct rules_config *c, const struct net_port *p, struct buf *ret)
{
    if (p->n_backends == 0) {
        return;
    }
    buf_printf(ret, "delete element inet %s %s { ", c->table, map_of(p));
    put_key(p, ret);
    buf_puts(ret, " }; ");
    put_backends(c, p, false, ret);
}
