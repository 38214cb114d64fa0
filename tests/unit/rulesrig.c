// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "rulesrig.h"

struct rulesrig rulesrig;

/* ---- the world ---- */

const char *rulesrig_in(int ns)
{
    static char text[64];

    (void)snprintf(text, sizeof(text), "nsenter --net=/proc/%d/fd/%d", (int)getpid(), ns);
    return text;
}

static unsigned on_all(void *arg, struct netelems *ret)
{
    const struct node *n = arg;

    for (unsigned i = 0; i < n->want.n; i++) {
        netelems_add(ret, &n->want.list[i]);
    }
    return n->most;
}

void rulesrig_open_node(enum rulesrig_node name)
{
    struct net_config c = {.suffix = name == RULESRIG_A ? "a" : "b",
                           .range = 0x0a800000u,
                           .range_prefix = 9,
                           .block = name == RULESRIG_A ? RULESRIG_A_BLOCK : RULESRIG_B_BLOCK,
                           .block_prefix = 22,
                           .all = on_all,
                           .arg = &rulesrig.node[name]};
    struct net_route other = {.block = name == RULESRIG_A ? RULESRIG_B_BLOCK : RULESRIG_A_BLOCK,
                              .block_prefix = 22,
                              .via = name == RULESRIG_A ? RULESRIG_B_ADDRESS : RULESRIG_A_ADDRESS};
    struct err e = {0};

    netrig_must(setns(rulesrig.node[name].ns, CLONE_NEWNET));
    ck_assert_msg(net_create(&rulesrig.loop, &c, &rulesrig.node[name].net, &e) == 0, "%s", e.text);
    netrig_must(setns(rulesrig.node[RULESRIG_A].ns, CLONE_NEWNET));
    ck_assert_msg(net_routes(rulesrig.node[name].net,
                             name == RULESRIG_A ? RULESRIG_A_ADDRESS : RULESRIG_B_ADDRESS, &other,
                             1, &e) == 0,
                  "%s", e.text);
}

static void make_links(void)
{
    netrig_must(netrig_shell(
        "ip link set lo up; ip link add up0 type veth peer name up1 &&"
        "ip link set up1 netns /proc/%d/fd/%d && ip addr add 198.51.100.1/24 dev up0 &&"
        "ip link set up0 up && ip route add default via 198.51.100.2",
        (int)getpid(), rulesrig.node[RULESRIG_B].ns));
    netrig_must(
        netrig_shell("ip link add out0 type veth peer name out1 &&"
                     "ip link set out1 netns /proc/%d/fd/%d && ip addr add 203.0.113.1/24 dev out0 "
                     "&& ip link set out0 up",
                     (int)getpid(), rulesrig.out));
    netrig_must(netrig_shell("%s sh -c 'ip link set lo up; ip addr add 198.51.100.2/24 dev up1;"
                             "ip link set up1 up; ip route add default via 198.51.100.1'",
                             rulesrig_in(rulesrig.node[RULESRIG_B].ns)));
    netrig_must(netrig_shell("%s sh -c 'ip link set lo up; ip addr add 203.0.113.9/24 dev out1;"
                             "ip link set out1 up; ip route add default via 203.0.113.1'",
                             rulesrig_in(rulesrig.out)));
}

void rulesrig_setup(void)
{
    struct err e = {0};

    ck_assert_int_eq(uv_loop_init(&rulesrig.loop), 0);
    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    rulesrig.node[RULESRIG_A].ns = netrig_own_netns();
    rulesrig.node[RULESRIG_B].ns = netrig_new_netns();
    rulesrig.out = netrig_new_netns();
    make_links();
    rulesrig_open_node(RULESRIG_A);
    rulesrig_open_node(RULESRIG_B);
    for (unsigned i = 0; i < RULESRIG_CELLS; i++) {
        struct net *net = rulesrig.node[i == RULESRIG_ON_B ? RULESRIG_B : RULESRIG_A].net;
        struct net_id id = {.incarnation = i, .run = 1};
        struct net_link link = {0};

        rulesrig.cell[i] = netrig_new_netns();
        ck_assert_int_eq(net_reserve(net, &link.address, &e), 0);
        rulesrig.address[i] = link.address;
        ck_assert_msg(net_attach(net, id, rulesrig.cell[i], &link, &e) == 0, "%s", e.text);
        rulesrig.server[i] = netrig_serve(rulesrig.cell[i], SOCK_STREAM, 80);
    }
}

void rulesrig_close_nodes(bool remove)
{
    struct net *nets[RULESRIG_NODES];

    for (unsigned i = 0; i < RULESRIG_NODES; i++) {
        nets[i] = rulesrig.node[i].net;
    }
    netrig_close(&rulesrig.loop, nets, RULESRIG_NODES, remove);
}

void rulesrig_teardown(void)
{
    rulesrig_close_nodes(true);
    (void)uv_run(&rulesrig.loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&rulesrig.loop), 0);
    ck_assert_int_eq(netrig_shell("nft list tables | grep -q wherry"), 1);
    ck_assert_int_eq(netrig_shell("ip -o link | grep -q ' w[hx]'"), 1);
}

void rulesrig_settle(unsigned ms)
{
    (void)netrig_run_until(&rulesrig.loop, netrig_never, ms);
}

/* ---- elements ---- */

void rulesrig_add(struct netelem e)
{
    netelems_add(&rulesrig.next, &e);
}

void rulesrig_add_vip(uint32_t vip, unsigned chain, const uint32_t *to, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        rulesrig_add(
            (struct netelem){.set = NETELEM_VIP_TO, .address = vip, .index = i, .to = to[i]});
    }
    if (n > 0) {
        rulesrig_add(
            (struct netelem){.set = NETELEM_VIP, .address = vip, .chain = (uint8_t)chain, .n = n});
    }
}

void rulesrig_add_any(bool udp, uint16_t port, uint32_t to, uint16_t to_port)
{
    rulesrig_add((struct netelem){
        .set = NETELEM_ANY_TO, .udp = udp, .port = port, .to = to, .to_port = to_port});
    rulesrig_add((struct netelem){
        .set = NETELEM_ANY, .udp = udp, .port = port, .chain = NETELEM_CHAIN_ANY, .n = 1});
}

/* Cells 0 and 1 and the one on b share a network; 2 is another stack's. */
void rulesrig_add_classes(void)
{
    for (unsigned i = 0; i < RULESRIG_CELLS; i++) {
        uint32_t mark = i == 2 ? RULESRIG_CLASS_2 : RULESRIG_CLASS_1;

        rulesrig_add(
            (struct netelem){.set = NETELEM_CLASS, .address = rulesrig.address[i], .mark = mark});
        rulesrig_add(
            (struct netelem){.set = NETELEM_REACH, .address = rulesrig.address[i], .mark = mark});
    }
}

/* What was added since the last time is what the node shall have. */
void rulesrig_apply(enum rulesrig_node name)
{
    struct node *n = &rulesrig.node[name];
    struct netelems removed = {0}, added = {0}, is = n->want;
    struct err e = {0};

    netelems_sort(&rulesrig.next);
    netelems_diff(&is, &rulesrig.next, &removed, &added);
    n->want = rulesrig.next;
    rulesrig.next = (struct netelems){0};
    n->most = 0;
    for (unsigned i = 0; i < n->want.n; i++) {
        n->most = n->want.list[i].n > n->most ? n->want.list[i].n : n->most;
    }
    ck_assert_msg(net_elements(n->net, removed.list, removed.n, added.list, added.n, n->most, &e) ==
                      0,
                  "%s", e.text);
    netelems_finish(&is);
    netelems_finish(&removed);
    netelems_finish(&added);
}

void rulesrig_apply_classes(void)
{
    for (unsigned i = 0; i < RULESRIG_NODES; i++) {
        rulesrig_add_classes();
        rulesrig_apply((enum rulesrig_node)i);
    }
}

uint64_t rulesrig_dropped(enum rulesrig_node name, const char *why)
{
    struct net_drop drops[NET_DROPS_MAX];
    struct err e = {0};
    unsigned n = 0;

    ck_assert_msg(net_counters(rulesrig.node[name].net, drops, &n, &e) == 0, "%s", e.text);
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(drops[i].name, why) == 0) {
            ck_assert_int_gt((int)strlen(drops[i].words), 10);
            return drops[i].packets;
        }
    }
    ck_abort_msg("no counter %s", why);
}

/* A number, in time. */
void rulesrig_dropped_more(enum rulesrig_node name, const char *why, uint64_t than)
{
    ck_assert_msg(rulesrig_dropped(name, why) > than, "%s: %llu", why,
                  (unsigned long long)rulesrig_dropped(name, why));
}
