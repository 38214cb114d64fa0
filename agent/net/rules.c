// SPDX-License-Identifier: Apache-2.0
#include "agent/net/rules.h"

#include <assert.h>
#include <string.h>

#include "agent/net/net.h"
#include "agent/net/overlayplan.h"
#include "common/svc.h"

#define LIMIT_MIN 8u
#define COUNTER   "w_n_" /* how counters' names in the table begin */

/* What may go where, in the order of the packet's way. %T is the table, %L our links, %R the
 * cluster's range, %V its part for virtual addresses, %B the node's block and %A the first address
 * of that, %G the gateway, %N the overlay's number, %C{x} a counter; %S is the cluster's range in
 * IPv6, %M the number of the overlay for that.
 *
 * - w_guard, before anything is tracked: a container sends from its own address only (the way back
 *   to the source must be the link it came by), of IPv6 too if it has one (it has a route then).
 *   Nobody sends to the host's loopback:
 * our links have route_localnet, and so have those that lead to nodes, because 127.0.0.1:PORT is
 *   translated towards them. What others send
 *   in the name of a container must come by the way that leads to it: only the nodes' routes and
 *   their tunnel do. Questions of names are not tracked: a flood of them fills no table.
 * - w_answer: the same of the answers; and nobody is told that there is no name server: the agent
 *   is being replaced, and who hears nothing asks again.
 * - w_pre, w_output: virtual addresses, for containers; published ports, for others and for the
 *   host's own processes too. 127.0.0.1 is the only loopback address that is published: 127.0.0.53
 *   is somebody's resolver. Another node's address is as good as our own for a container, which
 *   does not come to that node itself.
 * - w_vain: a virtual address that leads nowhere is refused here, because no route leads to it.
 * - w_post: a container that comes by a virtual address to itself, or by a published port to one of
 *   its own node, must get its answers through the host, hence the gateway's address; so must
 *   127.0.0.1. Who comes from outside and is led on to another node comes back by this one. What
 *   leaves the cluster leaves by the host's address, also if it comes by an address of a container
 *   that lies outside of the block (w_self has it twice).
 * - w_input: no container talks to the host itself but to ask for names, it only answers it; one of
 *   another node neither: what goes to a node keeps the container's address, so that the node can
 *   tell.
 * - w_forward: segments are no larger than the way; what has begun goes on. Then w_from and w_into.
 * - w_from, out of a container: to addresses that other nodes' containers asked for, which is to
 *   them; to published ports; w_across, to containers: where its class may
 *   go, and a virtual address is refused aloud whether it exists or not (TCP by a reset,
 *   which has no limit of so many a second), another's container in silence; outside: everything
 * but link-local addresses (169.254.169.254 gives away the cloud's credentials) and nodes, unless
 * it may not leave the cluster.
 * - w_into, into a container from elsewhere: from containers of other nodes, whose nodes have
 *   looked; from those nodes themselves to what they were led to; to what is published here.
 * - w_across6, w_into6: IPv6 is for containers among themselves. Their addresses end with those of
 *   IPv4 (ip6.h), so the same sets say who may talk to whom: w_class and w_reach, and w_gates, are
 *   asked for bytes of the header, of IPv4 at 12 and 16, of IPv6 at 20 and 36. */
static const char *const table[] = {
    "add table %T",
    "delete table %T",
    "add table %T",
    "add map %T w_class { typeof @nh,96,32 : meta mark; }",
    "add set %T w_reach { typeof meta mark . @nh,128,32; }",
    "add map %T w_vip { type ipv4_addr : verdict; }",
    "add map %T w_vip_to { typeof ip daddr . numgen random mod 2 : ip daddr; }",
    "add map %T w_any { type inet_proto . inet_service : verdict; }",
    "add map %T w_one { type ipv4_addr . inet_proto . inet_service : verdict; }",
    "add map %T w_any_to { typeof meta l4proto . th dport . numgen random mod 2"
    " : ip daddr . th dport; }",
    "add map %T w_one_to { typeof ip daddr . meta l4proto . th dport . numgen random mod 2"
    " : ip daddr . th dport; }",
    "add set %T w_ingress { type ipv4_addr . inet_proto . inet_service; }",
    "add set %T w_noout { type ipv4_addr; }",
    "add set %T w_out { type ipv4_addr . ipv4_addr; flags interval; }",
    "add set %T w_extra { type ipv4_addr; }",
    "add set %T w_self { type ipv4_addr . ipv4_addr; }",
    "add set %T w_nodes { type ipv4_addr; }",
    "add set %T w_gates { typeof @nh,96,32; }",
    "add set %T w_blocks { type ipv4_addr; flags interval; }",
    "add set %T " RULES_SPOOF_SET
    " { type ifname; flags dynamic, timeout; size 65535; timeout 1h; counter; }",

    "add chain %T w_link6",
    "add rule %T w_link6 ip6 saddr != %S %C{family} drop",
    "add rule %T w_link6 fib saddr . iif oif 0 update @" RULES_SPOOF_SET
    " { iifname } %C{spoof} drop",

    "add chain %T w_link",
    "add rule %T w_link meta nfproto ipv6 goto w_link6",
    "add rule %T w_link fib saddr . iif oif 0 update @" RULES_SPOOF_SET
    " { iifname } %C{spoof} drop",
    "add rule %T w_link ip daddr 127.0.0.0/8 %C{loopback} drop",
    "add rule %T w_link ip daddr %G udp dport 53 notrack",

    "add chain %T w_guard { type filter hook prerouting priority raw; }",
    "add rule %T w_guard iifname \"%L*\" goto w_link",
    "add rule %T w_guard iifname != \"lo\" ip daddr 127.0.0.0/8 %C{loopback} drop",
    "add rule %T w_guard ip saddr %R fib saddr . iif oif 0 %C{astray} drop",
    "add rule %T w_guard ip6 saddr %S fib saddr . iif oif 0 %C{astray} drop",

    "add chain %T w_answer { type filter hook output priority raw; }",
    "add rule %T w_answer ip saddr %G udp sport 53 notrack",
    "add rule %T w_answer ip saddr %G icmp type destination-unreachable"
    " @th,192,32 0xa9fe0101 @th,240,16 53 drop",

    "add chain %T w_pre { type nat hook prerouting priority dstnat; }",
    "add rule %T w_pre iifname \"%L*\" ip daddr vmap @w_vip",
    "add rule %T w_pre ip daddr . meta l4proto . th dport vmap @w_one",
    "add rule %T w_pre fib daddr type local ip daddr != { 127.0.0.0/8, %G }"
    " meta l4proto . th dport vmap @w_any",
    "add rule %T w_pre iifname \"%L*\" ip daddr @w_nodes meta l4proto . th dport vmap @w_any",

    "add chain %T w_vain { type filter hook prerouting priority dstnat + 10; }",
    "add rule %T w_vain iifname \"%L*\" ip daddr %V meta l4proto tcp %C{reach}"
    " reject with tcp reset",
    "add rule %T w_vain iifname \"%L*\" ip daddr %V %C{reach} reject",

    "add chain %T w_output { type nat hook output priority -100; }",
    "add rule %T w_output ip daddr . meta l4proto . th dport vmap @w_one",
    "add rule %T w_output ip daddr 127.0.0.1 meta l4proto . th dport vmap @w_any",
    "add rule %T w_output fib daddr type local ip daddr != { 127.0.0.0/8, %G }"
    " meta l4proto . th dport vmap @w_any",

    "add chain %T w_post { type nat hook postrouting priority srcnat; }",
    "add rule %T w_post oifname \"%L*\" ip saddr . ip daddr @w_self snat ip to %G",
    "add rule %T w_post oifname \"%L*\" ct status dnat ct original ip daddr != %V"
    " ip saddr { 127.0.0.0/8, %B } snat ip to %G",
    "add rule %T w_post oifname != \"%L*\" ct status dnat ip saddr != %R ip daddr @w_blocks"
    " snat ip to %A",
    "add rule %T w_post oifname != \"%L*\" ip saddr %B ip daddr != %R ip daddr != @w_nodes "
    "masquerade",
    "add rule %T w_post oifname != \"%L*\" ip saddr . ip saddr @w_self ip daddr != %R masquerade",

    "add chain %T w_host",
    "add rule %T w_host ip daddr %G udp dport 53 accept",
    "add rule %T w_host ip daddr %G tcp dport 53 accept",
    "add rule %T w_host ct state established,related accept",
    "add rule %T w_host %C{host} drop",

    "add chain %T w_input { type filter hook input priority filter; }",
    "add rule %T w_input iifname \"%L*\" goto w_host",
    "add rule %T w_input meta nfproto ipv4 udp dport 4789 @nh,96,32 @w_gates accept",
    "add rule %T w_input ip saddr @w_blocks ct state established,related accept",
    "add rule %T w_input ip saddr @w_blocks %C{blocks} drop",
    "add rule %T w_input iifname != \"lo\" ip6 saddr %S ct state established,related accept",
    "add rule %T w_input iifname != \"lo\" ip6 saddr %S %C{blocks} drop",

    "add chain %T w_syn",
    "add rule %T w_syn iifname \"%L*\" tcp option maxseg size set rt mtu",
    "add rule %T w_syn oifname \"%L*\" tcp option maxseg size set rt mtu",

    "add chain %T w_across",
    "add rule %T w_across meta mark set 0",
    "add rule %T w_across meta mark set @nh,96,32 map @w_class",
    "add rule %T w_across meta mark . @nh,128,32 @w_reach meta mark set 0 accept",
    "add rule %T w_across ct original ip daddr %V meta l4proto tcp %C{reach} reject with tcp reset",
    "add rule %T w_across ct original ip daddr %V %C{reach} reject",
    "add rule %T w_across %C{reach} drop",

    "add chain %T w_across6",
    "add rule %T w_across6 ip6 daddr != %S %C{egress} reject with icmpv6 admin-prohibited",
    "add rule %T w_across6 meta mark set 0",
    "add rule %T w_across6 meta mark set @nh,160,32 map @w_class",
    "add rule %T w_across6 meta mark . @nh,288,32 @w_reach meta mark set 0 accept",
    "add rule %T w_across6 %C{reach} drop",

    "add chain %T w_from",
    "add rule %T w_from meta nfproto ipv6 goto w_across6",
    "add rule %T w_from ct original ip daddr @w_extra goto w_across",
    "add rule %T w_from ct status dnat ct original ip daddr != %V accept",
    "add rule %T w_from oifname \"%L*\" goto w_across",
    "add rule %T w_from ip daddr %R goto w_across",
    "add rule %T w_from ip daddr 169.254.0.0/16 %C{local} drop",
    "add rule %T w_from ip daddr @w_nodes %C{local} drop",
    "add rule %T w_from ip saddr @w_noout ip saddr . ip daddr != @w_out %C{egress}"
    " reject with icmp admin-prohibited",

    "add chain %T w_into6",
    "add rule %T w_into6 ip6 saddr %S @nh,160,32 != @w_gates accept",
    "add rule %T w_into6 %C{into} drop",

    "add chain %T w_into",
    "add rule %T w_into meta nfproto ipv6 goto w_into6",
    "add rule %T w_into @nh,96,32 @w_gates ip daddr . meta l4proto . th dport @w_ingress accept",
    "add rule %T w_into @nh,96,32 @w_gates %C{into} drop",
    "add rule %T w_into ip saddr @w_blocks accept",
    "add rule %T w_into ct status dnat accept",
    "add rule %T w_into %C{into} drop",

    "add chain %T w_forward { type filter hook forward priority filter; }",
    "add rule %T w_forward tcp flags & (syn | rst) == syn jump w_syn",
    "add rule %T w_forward ct state established,related accept",
    "add rule %T w_forward iifname \"%L*\" goto w_from",
    "add rule %T w_forward oifname \"%L*\" goto w_into",
};

/* Where there is an overlay: its packets come from nodes, else anybody could send in the name of
 * any container. Behind UDP's eight bytes and the flags lies the number (RFC 7348, section 5). They
 * are not tracked: every flow inside has a port of its own, which would be one entry each way. The
 * one of IPv6 comes from nodes' first addresses, by whatever way IPv4 takes. */
static const char *const overlay[] = {
    "add rule %T w_guard udp dport 4789 @th,96,24 %N ip saddr != @w_nodes %C{tunnel} drop",
    ("add rule %T w_guard meta nfproto ipv4 udp dport 4789 @th,96,24 %M @nh,96,32 != @w_gates"
     " %C{tunnel} drop"),
    "add rule %T w_guard udp dport 4789 @th,96,24 { %N, %M } notrack",
    "add rule %T w_answer udp dport 4789 @th,96,24 { %N, %M } notrack",
};

#define RULES_X_WORDS(id, counter_name, counter_words)                                             \
    [RULES_COUNT_##id] = {.name = (counter_name), .words = (counter_words)},
static const struct {
    const char *name;
    const char *words;
} counters[RULES_COUNTER_N] = {RULES_COUNTERS(RULES_X_WORDS)};

/* ---- the table ---- */

static void put_address(struct buf *ret, uint32_t a)
{
    buf_printf(ret, "%u.%u.%u.%u", a >> 24, a >> 16 & 0xff, a >> 8 & 0xff, a & 0xff);
}

static void put_net(struct buf *ret, uint32_t net, unsigned prefix)
{
    put_address(ret, net);
    buf_printf(ret, "/%u", prefix);
}

static void put_virtual(const struct rules_config *c, struct buf *ret)
{
    unsigned prefix;
    uint32_t net;

    svc_vip_range(c->range, c->range_prefix, &net, &prefix);
    put_net(ret, net, prefix);
}

static void put_net6(const struct rules_config *c, struct buf *ret)
{
    struct ip6 ip = ip6_of(&c->six, c->range);
    char text[IP6_TEXT];

    ip6_text(&ip, text);
    buf_printf(ret, "%s/%u", text, c->range_prefix + IP6_V4_AT);
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
    case 'V':
        put_virtual(c, ret);
        break;
    case 'B':
        put_net(ret, c->block, c->block_prefix);
        break;
    case 'A':
        put_address(ret, c->block);
        break;
    case 'G':
        put_address(ret, NET_GATEWAY);
        break;
    case 'S':
        put_net6(c, ret);
        break;
    case 'N':
        buf_printf(ret, "%u", (unsigned)c->vni);
        break;
    case 'M':
        buf_printf(ret, "%u", (unsigned)overlayplan_vni6(c->vni));
        break;
    default:
        assert(!"a field of the table above");
    }
}

/* "{x}", behind %C. Gives where it ends. */
static const char *put_counter(const char *at, struct buf *ret)
{
    const char *end = strchr(at, '}');

    assert(end != NULL);
    buf_puts(ret, "counter name " COUNTER);
    buf_append(ret, at + 1, (size_t)(end - at - 1));
    return end;
}

static void put_command(const struct rules_config *c, const char *command, struct buf *ret)
{
    for (const char *at = command; *at != '\0'; at++) {
        if (at[0] == '%' && at[1] == 'C') {
            at = put_counter(at + 2, ret);
        } else if (*at == '%') {
            put_field(c, *++at, ret);
        } else {
            buf_putc(ret, *at);
        }
    }
    buf_puts(ret, "; ");
}

/* "w_any3": of ports of three backends. */
static void put_chain(const struct rules_config *c, unsigned chain, unsigned n, struct buf *ret)
{
    static const struct {
        const char *key;
        const char *draw;
        const char *map;
    } draws[NETELEM_CHAIN_N] = {
        [NETELEM_CHAIN_VIP] = {"ip to ip daddr", "numgen random mod", "w_vip_to"},
        [NETELEM_CHAIN_VIC] = {"ip to ip daddr", "jhash ip saddr mod", "w_vip_to"},
        [NETELEM_CHAIN_ANY] = {"ip to meta l4proto . th dport", "numgen random mod", "w_any_to"},
        [NETELEM_CHAIN_ONE] = {"ip to ip daddr . meta l4proto . th dport", "numgen random mod",
                               "w_one_to"},
    };
    const char *name = netelem_chain_name(chain);
    bool ports = chain == NETELEM_CHAIN_ANY || chain == NETELEM_CHAIN_ONE;

    buf_printf(ret, "add chain inet %s %s%u; ", c->table, name, n);
    buf_printf(ret, "add rule inet %s %s%u %sdnat %s . %s %u %smap @%s; ", c->table, name, n,
               ports ? "meta l4proto { tcp, udp } " : "", draws[chain].key, draws[chain].draw, n,
               /* else every assertion would deal the clients anew */
               chain == NETELEM_CHAIN_VIC ? "seed 0x5748 " : "", draws[chain].map);
}

bool rules_in_block(const struct rules_config *c, uint32_t address)
{
    uint32_t i = address - c->block;

    return i > 0 && i < ((uint32_t)1 << (32 - c->block_prefix)) - 1;
}

unsigned rules_limit(unsigned n_backends)
{
    unsigned limit = LIMIT_MIN;

    while (limit < n_backends) {
        limit *= 2;
    }
    return limit;
}

static void put_counters(const struct rules_config *c, struct buf *ret)
{
    for (unsigned i = 0; i < RULES_COUNTER_N; i++) {
        buf_printf(ret, "add counter inet %s " COUNTER "%s; ", c->table, counters[i].name);
    }
}

void rules_table(const struct rules_config *c, unsigned limit, struct buf *ret)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        put_command(c, table[i], ret);
        if (i == 2) { /* the table is there */
            put_counters(c, ret);
        }
    }
    for (size_t i = 0; c->vni != 0 && i < sizeof(overlay) / sizeof(overlay[0]); i++) {
        put_command(c, overlay[i], ret);
    }
    for (unsigned n = 1; n <= limit; n++) {
        for (unsigned chain = NETELEM_CHAIN_NONE + 1; chain < NETELEM_CHAIN_N; chain++) {
            put_chain(c, chain, n, ret);
        }
    }
}

void rules_remove(const struct rules_config *c, struct buf *ret)
{
    put_command(c, "add table %T", ret);
    put_command(c, "delete table %T", ret);
}

/* ---- elements ---- */

static void put_key_field(const struct netelem *e, char letter, uint32_t address, struct buf *ret)
{
    switch (letter) {
    case 'a':
        put_address(ret, address);
        break;
    case 'A': /* bytes of a header have no type */
        buf_printf(ret, "0x%x", (unsigned)address);
        break;
    case 'N':
        put_net(ret, address, e->prefix);
        break;
    case 'm':
        buf_printf(ret, "0x%x", (unsigned)e->mark);
        break;
    case 'p':
        buf_puts(ret, e->udp ? "udp" : "tcp");
        break;
    case 't':
        buf_printf(ret, "%u", (unsigned)e->port);
        break;
    case 'i':
        buf_printf(ret, "%u", (unsigned)e->index);
        break;
    default:
        assert(!"a letter of the table of sets");
    }
}

static void put_key(const struct netelem *e, const char *key, struct buf *ret)
{
    bool again = key[0] == 'a';

    for (const char *at = key; *at != '\0'; at++) {
        buf_puts(ret, at > key ? " . " : "");
        put_key_field(e, *at, again && at > key ? e->other : e->address, ret);
    }
}

static void put_value(const struct netelem *e, const char *value, struct buf *ret)
{
    if (value[0] == 'v') {
        buf_printf(ret, " : goto %s%u", netelem_chain_name(e->chain), (unsigned)e->n);
    } else if (value[0] == 'm') {
        buf_printf(ret, " : 0x%x", (unsigned)e->mark);
    } else if (value[0] == 'a') {
        buf_puts(ret, " : ");
        put_address(ret, e->to);
        if (value[1] == 't') {
            buf_printf(ret, " . %u", (unsigned)e->to_port);
        }
    }
}

void rules_elems(const struct rules_config *c, const struct netelem *list, unsigned n,
                 struct buf *ret)
{
    for (unsigned i = 0; i < n; i++) {
        const struct netelem_format *format = netelem_format(list[i].set);
        bool first = i == 0 || list[i - 1].set != list[i].set;

        if (first) {
            buf_printf(ret, "%sadd element inet %s %s { ", i > 0 ? " }; " : "", c->table,
                       format->name);
        }
        buf_puts(ret, first ? "" : ", ");
        put_key(&list[i], format->key, ret);
        put_value(&list[i], format->value, ret);
    }
    buf_puts(ret, n > 0 ? " }; " : "");
}

/* ---- counters ---- */

const char *rules_counter_name(unsigned counter)
{
    assert(counter < RULES_COUNTER_N);
    return counters[counter].name;
}

const char *rules_counter_words(unsigned counter)
{
    assert(counter < RULES_COUNTER_N);
    return counters[counter].words;
}

unsigned rules_counter_find(const char *name)
{
    unsigned i = 0;

    if (strncmp(name, COUNTER, strlen(COUNTER)) != 0) {
        return RULES_COUNTER_N;
    }
    while (i < RULES_COUNTER_N && strcmp(name + strlen(COUNTER), counters[i].name) != 0) {
        i++;
    }
    return i;
}
