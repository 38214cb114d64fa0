// SPDX-License-Identifier: Apache-2.0
/* What the rules let pass, and how their elements change: two nodes, `a` and `b`, on one link, each
 * with its table in a namespace, their containers, and somebody outside, whom only `a` knows. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/net/net.h"
#include "agent/net/netelem.h"
#include "agent/net/nftset.h"
#include "agent/net/overlayplan.h"
#include "common/cleanup.h"
#include "netrig.h"

#define A_ADDRESS   0xc6336401u /* 198.51.100.1 */
#define B_ADDRESS   0xc6336402u
#define A_OUTSIDE   0xcb007101u /* 203.0.113.1 */
#define OUT_ADDRESS 0xcb007109u
#define A_BLOCK     0x0a800400u /* 10.128.4.0 */
#define B_BLOCK     0x0a800800u
#define VIP         0x0af00001u /* 10.240.0.1 */
#define CLASS_1     0x10000001u
#define CLASS_2     0x10000002u
#define CELLS       4 /* three on a, one on b */
#define ON_B        3

enum node_name { A, B, NODES };

static struct {
    uv_loop_t loop;
    struct node {
        int ns;
        struct net *net;
        struct netelems want;
        unsigned most;
    } node[NODES];
    int out;
    int cell[CELLS];
    uint32_t address[CELLS];
    int server[CELLS];
    struct netelems next;
    unsigned open;
    unsigned restored;
} t;

/* ---- the world ---- */

static const char *in(int ns)
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

static void open_node(enum node_name name)
{
    struct net_config c = {.suffix = name == A ? "a" : "b",
                           .range = 0x0a800000u,
                           .range_prefix = 9,
                           .block = name == A ? A_BLOCK : B_BLOCK,
                           .block_prefix = 22,
                           .all = on_all,
                           .arg = &t.node[name]};
    struct net_route other = {.block = name == A ? B_BLOCK : A_BLOCK,
                              .block_prefix = 22,
                              .via = name == A ? B_ADDRESS : A_ADDRESS};
    struct err e = {0};

    netrig_must(setns(t.node[name].ns, CLONE_NEWNET));
    ck_assert_msg(net_create(&t.loop, &c, &t.node[name].net, &e) == 0, "%s", e.text);
    netrig_must(setns(t.node[A].ns, CLONE_NEWNET));
    ck_assert_msg(net_routes(t.node[name].net, name == A ? A_ADDRESS : B_ADDRESS, &other, 1, &e) ==
                      0,
                  "%s", e.text);
    t.open++;
}

static void make_links(void)
{
    netrig_must(netrig_shell(
        "ip link set lo up; ip link add up0 type veth peer name up1 &&"
        "ip link set up1 netns /proc/%d/fd/%d && ip addr add 198.51.100.1/24 dev up0 &&"
        "ip link set up0 up && ip route add default via 198.51.100.2",
        (int)getpid(), t.node[B].ns));
    netrig_must(
        netrig_shell("ip link add out0 type veth peer name out1 &&"
                     "ip link set out1 netns /proc/%d/fd/%d && ip addr add 203.0.113.1/24 dev out0 "
                     "&& ip link set out0 up",
                     (int)getpid(), t.out));
    netrig_must(netrig_shell("%s sh -c 'ip link set lo up; ip addr add 198.51.100.2/24 dev up1;"
                             "ip link set up1 up; ip route add default via 198.51.100.1'",
                             in(t.node[B].ns)));
    netrig_must(netrig_shell("%s sh -c 'ip link set lo up; ip addr add 203.0.113.9/24 dev out1;"
                             "ip link set out1 up; ip route add default via 203.0.113.1'",
                             in(t.out)));
}

static void setup(void)
{
    struct err e = {0};

    ck_assert_int_eq(uv_loop_init(&t.loop), 0);
    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    t.node[A].ns = netrig_own_netns();
    t.node[B].ns = netrig_new_netns();
    t.out = netrig_new_netns();
    make_links();
    open_node(A);
    open_node(B);
    for (unsigned i = 0; i < CELLS; i++) {
        struct net *net = t.node[i == ON_B ? B : A].net;
        struct net_id id = {.incarnation = i, .run = 1};
        struct net_link link = {0};

        t.cell[i] = netrig_new_netns();
        ck_assert_int_eq(net_reserve(net, &link.address, &e), 0);
        t.address[i] = link.address;
        ck_assert_msg(net_attach(net, id, t.cell[i], &link, &e) == 0, "%s", e.text);
        t.server[i] = netrig_serve(t.cell[i], SOCK_STREAM, 80);
    }
}

static void on_closed(void *arg)
{
    (void)arg;
    t.open--;
}

static void close_nodes(bool remove)
{
    for (unsigned i = 0; i < NODES; i++) {
        net_close(t.node[i].net, remove, on_closed, NULL);
    }
    while (t.open > 0) {
        (void)uv_run(&t.loop, UV_RUN_ONCE);
    }
}

static void teardown(void)
{
    close_nodes(true);
    (void)uv_run(&t.loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&t.loop), 0);
    ck_assert_int_eq(netrig_shell("nft list tables | grep -q wherry"), 1);
    ck_assert_int_eq(netrig_shell("ip -o link | grep -q ' w[hx]'"), 1);
}

static void settle(unsigned ms)
{
    (void)netrig_run_until(&t.loop, netrig_never, ms);
}

/* ---- elements ---- */

static void add(struct netelem e)
{
    netelems_add(&t.next, &e);
}

static void add_vip(uint32_t vip, unsigned chain, const uint32_t *to, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        add((struct netelem){.set = NETELEM_VIP_TO, .address = vip, .index = i, .to = to[i]});
    }
    if (n > 0) {
        add((struct netelem){.set = NETELEM_VIP, .address = vip, .chain = (uint8_t)chain, .n = n});
    }
}

static void add_any(bool udp, uint16_t port, uint32_t to, uint16_t to_port)
{
    add((struct netelem){
        .set = NETELEM_ANY_TO, .udp = udp, .port = port, .to = to, .to_port = to_port});
    add((struct netelem){
        .set = NETELEM_ANY, .udp = udp, .port = port, .chain = NETELEM_CHAIN_ANY, .n = 1});
}

/* Cells 0 and 1 and the one on b share a network; 2 is another stack's. */
static void add_classes(void)
{
    for (unsigned i = 0; i < CELLS; i++) {
        uint32_t mark = i == 2 ? CLASS_2 : CLASS_1;

        add((struct netelem){.set = NETELEM_CLASS, .address = t.address[i], .mark = mark});
        add((struct netelem){.set = NETELEM_REACH, .address = t.address[i], .mark = mark});
    }
}

/* What was added since the last time is what the node shall have. */
static void apply(enum node_name name)
{
    struct node *n = &t.node[name];
    struct netelems removed = {0}, added = {0}, is = n->want;
    struct err e = {0};

    netelems_sort(&t.next);
    netelems_diff(&is, &t.next, &removed, &added);
    n->want = t.next;
    t.next = (struct netelems){0};
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

static void apply_classes(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        add_classes();
        apply((enum node_name)i);
    }
}

static uint64_t dropped(enum node_name name, const char *why)
{
    struct net_drop drops[NET_DROPS_MAX];
    struct err e = {0};
    unsigned n = 0;

    ck_assert_msg(net_counters(t.node[name].net, drops, &n, &e) == 0, "%s", e.text);
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(drops[i].name, why) == 0) {
            ck_assert_int_gt((int)strlen(drops[i].words), 10);
            return drops[i].packets;
        }
    }
    ck_abort_msg("no counter %s", why);
}

/* A number, in time. */
static void dropped_more(enum node_name name, const char *why, uint64_t than)
{
    ck_assert_msg(dropped(name, why) > than, "%s: %llu", why,
                  (unsigned long long)dropped(name, why));
}

/* ---- between containers ---- */

/* The error of a connection, and not after a time only. */
static int refusal(int ns, uint32_t address, uint16_t port)
{
    struct sockaddr_in name = netrig_name_of(address, port);
    auto_close int fd = netrig_make_socket(ns, SOCK_STREAM, 5000);

    return connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0 ? errno : 0;
}

START_TEST(who_shares_a_network_reaches_each_other)
{
    uint64_t before;

    netrig_refuse(t.cell[0], t.address[1], 80); /* nothing is known of them */
    apply_classes();
    before = dropped(A, "reach");
    ck_assert_uint_eq(netrig_visit(t.cell[0], t.address[1], 80, t.server[1]), t.address[0]);
    ck_assert_uint_eq(netrig_visit(t.cell[1], t.address[0], 80, t.server[0]), t.address[1]);
    ck_assert_uint_eq(netrig_visit(t.cell[0], t.address[ON_B], 80, t.server[ON_B]), t.address[0]);
    ck_assert_uint_eq(netrig_visit(t.cell[ON_B], t.address[1], 80, t.server[1]), t.address[ON_B]);
    ck_assert_uint_eq(dropped(A, "reach"), before);
    netrig_refuse(t.cell[0], t.address[2], 80);
    dropped_more(A, "reach", before);
    netrig_refuse(t.cell[2], t.address[0], 80);
    netrig_refuse(t.cell[2], t.address[ON_B], 80);
    netrig_refuse(t.cell[ON_B], t.address[2], 80);
    dropped_more(B, "reach", 0);
    ck_assert_uint_eq(netrig_visit(t.node[A].ns, t.address[2], 80, t.server[2]), A_ADDRESS);
}
END_TEST

/* Somebody else's mark is no class. */
START_TEST(a_mark_from_elsewhere_opens_nothing)
{
    netrig_must(netrig_shell(
        "nft 'add table ip mangle; add chain ip mangle pre { type filter hook prerouting priority "
        "mangle; }; add rule ip mangle pre meta mark set 0x%x'",
        CLASS_1));
    add((struct netelem){.set = NETELEM_REACH, .mark = CLASS_1, .address = t.address[1]});
    apply(A);
    netrig_refuse(t.cell[0], t.address[1], 80);
    netrig_must(netrig_shell("nft delete table ip mangle"));
}
END_TEST

/* ---- virtual addresses ---- */

/* Which cell of those a connection got to. */
static unsigned who_serves(int ns, uint32_t address)
{
    auto_close int fd = netrig_dial(ns, address, 80, NETRIG_WAIT_MS);

    ck_assert_int_ge(fd, 0);
    for (unsigned tries = 0; tries < 1000; tries++) {
        for (unsigned i = 0; i < CELLS; i++) {
            int got = accept4(t.server[i], NULL, NULL, SOCK_CLOEXEC);

            if (got >= 0) {
                (void)close(got);
                return i;
            }
        }
        (void)poll(NULL, 0, 1);
    }
    ck_abort_msg("nobody");
}

static void do_not_wait(void)
{
    for (unsigned i = 0; i < CELLS; i++) {
        netrig_must(fcntl(t.server[i], F_SETFL, O_NONBLOCK));
    }
}

START_TEST(a_virtual_address_leads_to_its_backends)
{
    const uint32_t both[] = {t.address[1], t.address[ON_B]};
    unsigned hits[CELLS] = {0};

    add_classes();
    add_vip(VIP, NETELEM_CHAIN_VIP, both + 1, 1);
    add_vip(VIP + 1, NETELEM_CHAIN_VIP, both, 1);
    add_vip(VIP + 2, NETELEM_CHAIN_VIP, both, 2);
    apply(A);
    add_classes();
    apply(B);
    ck_assert_uint_eq(netrig_visit(t.cell[0], VIP, 80, t.server[ON_B]), t.address[0]);
    ck_assert_uint_eq(netrig_visit(t.cell[0], VIP + 1, 80, t.server[1]), t.address[0]);
    do_not_wait();
    for (unsigned i = 0; i < 60; i++) {
        hits[who_serves(t.cell[0], VIP + 2)]++;
    }
    ck_assert_uint_eq(hits[1] + hits[ON_B], 60);
    ck_assert(hits[1] >= 10 && hits[ON_B] >= 10);
    netrig_must(netrig_shell(
        "%s ping -c 1 -W 5 10.240.0.2 >/dev/null 2>&1 || ! which ping >/dev/null", in(t.cell[0])));
    netrig_refuse(t.node[A].ns, VIP + 1, 80); /* not for the host itself */
    netrig_refuse(t.out, VIP + 1, 80);
}
END_TEST

START_TEST(a_client_stays_with_its_backend)
{
    const uint32_t both[] = {t.address[1], t.address[ON_B]};
    unsigned first;

    add_classes();
    add_vip(VIP, NETELEM_CHAIN_VIC, both, 2);
    apply(A);
    add_classes();
    apply(B);
    do_not_wait();
    first = who_serves(t.cell[0], VIP);
    for (unsigned i = 0; i < 20; i++) {
        ck_assert_uint_eq(who_serves(t.cell[0], VIP), first);
    }
    netrig_must(netrig_shell("nft delete table inet wherry_a")); /* also by the next table */
    settle(500);
    for (unsigned i = 0; i < 20; i++) {
        ck_assert_uint_eq(who_serves(t.cell[0], VIP), first);
    }
}
END_TEST

/* It had not to ask twice: that would take a second (RFC 6298, 2.1). */
static void refused_at_once(int ns, uint32_t address)
{
    uint64_t began = netrig_now_ms();

    ck_assert_int_eq(refusal(ns, address, 80), ECONNREFUSED);
    ck_assert_uint_lt(netrig_now_ms() - began, 900);
}

/* Whether there is none, or it is another's: the answer is the same, and it comes at once. */
START_TEST(a_virtual_address_is_refused_aloud)
{
    uint64_t before;

    add_classes();
    add_vip(VIP, NETELEM_CHAIN_VIP, &t.address[1], 1);
    apply(A);
    before = dropped(A, "reach");
    for (unsigned i = 0; i < 50; i++) {
        refused_at_once(t.cell[2], VIP);
        refused_at_once(t.cell[2], VIP + 1);
        refused_at_once(t.cell[0], VIP + 1);
    }
    ck_assert_uint_eq(dropped(A, "reach"), before + 150);
}
END_TEST

START_TEST(a_container_reaches_itself_by_its_virtual_address)
{
    add_classes();
    add_vip(VIP, NETELEM_CHAIN_VIP, &t.address[0], 1);
    apply(A);
    ck_assert_uint_eq(netrig_visit(t.cell[0], VIP, 80, t.server[0]), NET_GATEWAY);
    ck_assert_uint_eq(netrig_visit(t.cell[1], VIP, 80, t.server[0]), t.address[1]);
}
END_TEST

/* ---- published ports ---- */

START_TEST(a_port_leads_to_another_node)
{
    uint64_t before;

    add_classes();
    add_any(false, 8080, t.address[ON_B], 80);
    apply(A);
    add_classes();
    apply(B);
    before = dropped(B, "into");
    netrig_refuse(t.out, A_OUTSIDE, 8080); /* b does not know of it yet */
    dropped_more(B, "into", before);
    add_classes();
    add((struct netelem){.set = NETELEM_INGRESS, .address = t.address[ON_B], .port = 80});
    apply(B);
    ck_assert_uint_eq(netrig_visit(t.out, A_OUTSIDE, 8080, t.server[ON_B]), A_BLOCK);
    ck_assert_uint_eq(netrig_visit(t.cell[2], A_ADDRESS, 8080, t.server[ON_B]), t.address[2]);
    ck_assert_uint_eq(netrig_visit(t.cell[2], B_ADDRESS, 8080, t.server[ON_B]), t.address[2]);
    ck_assert_uint_eq(netrig_visit(t.node[A].ns, A_OUTSIDE, 8080, t.server[ON_B]), A_BLOCK);
    ck_assert_uint_eq(netrig_visit(t.node[A].ns, INADDR_LOOPBACK, 8080, t.server[ON_B]), A_BLOCK);
    netrig_refuse(t.out, t.address[ON_B], 80); /* by that port only */
    add_classes();
    apply(B);
    netrig_refuse(t.out, A_OUTSIDE, 8080);
}
END_TEST

START_TEST(a_local_backend_sees_its_client)
{
    add_classes();
    add_any(false, 8080, t.address[0], 80);
    apply(A);
    ck_assert_uint_eq(netrig_visit(t.out, A_OUTSIDE, 8080, t.server[0]), OUT_ADDRESS);
    ck_assert_uint_eq(netrig_visit(t.node[A].ns, INADDR_LOOPBACK, 8080, t.server[0]), NET_GATEWAY);
    ck_assert_uint_eq(netrig_visit(t.cell[2], A_ADDRESS, 8080, t.server[0]), NET_GATEWAY);
    ck_assert_uint_eq(netrig_visit(t.cell[0], A_ADDRESS, 8080, t.server[0]), NET_GATEWAY);
}
END_TEST

/* ---- outwards ---- */

/* Sends one datagram by a source address of its own choice. */
static void send_from(int ns, uint32_t source, uint32_t to, uint16_t port, const void *bytes,
                      size_t len)
{
    struct sockaddr_in from = netrig_name_of(source, 0);
    struct sockaddr_in name = netrig_name_of(to, port);
    auto_close int fd = netrig_make_socket(ns, SOCK_DGRAM, NETRIG_BLOCKED_MS);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    ck_assert_int_eq(sendto(fd, bytes, len, 0, (struct sockaddr *)&name, sizeof(name)),
                     (ssize_t)len);
}

START_TEST(who_may_not_leave_the_cluster_is_told_so)
{
    auto_close int web = netrig_serve(t.out, SOCK_STREAM, 443);
    uint64_t before = dropped(A, "egress");

    ck_assert_uint_eq(netrig_visit(t.cell[0], OUT_ADDRESS, 443, web), A_OUTSIDE);
    add_classes();
    add((struct netelem){.set = NETELEM_NOOUT, .address = t.address[0]});
    add((struct netelem){.set = NETELEM_NOOUT, .address = t.address[1]});
    add((struct netelem){
        .set = NETELEM_OUT, .address = t.address[1], .other = 0xcb007100u, .prefix = 24});
    add((struct netelem){
        .set = NETELEM_OUT, .address = t.address[1], .other = 0x08080808u, .prefix = 32});
    apply(A);
    ck_assert_int_eq(refusal(t.cell[0], OUT_ADDRESS, 443), EHOSTUNREACH);
    dropped_more(A, "egress", before);
    ck_assert_uint_eq(netrig_visit(t.cell[1], OUT_ADDRESS, 443, web), A_OUTSIDE);
    ck_assert_uint_eq(netrig_visit(t.cell[2], OUT_ADDRESS, 443, web), A_OUTSIDE);
    ck_assert_uint_eq(netrig_visit(t.cell[0], t.address[1], 80, t.server[1]), t.address[0]);
    add_classes();
    add((struct netelem){.set = NETELEM_NOOUT, .address = t.address[1]});
    add((struct netelem){.set = NETELEM_OUT, .address = t.address[1]}); /* 0.0.0.0/0 */
    apply(A);
    ck_assert_uint_eq(netrig_visit(t.cell[0], OUT_ADDRESS, 443, web), A_OUTSIDE);
    ck_assert_uint_eq(netrig_visit(t.cell[1], OUT_ADDRESS, 443, web), A_OUTSIDE);
}
END_TEST

/* An address that the file asked for, outside of the cluster's range. */
START_TEST(a_second_address_is_as_good_as_the_first)
{
    const uint32_t second = 0xac140005u; /* 172.20.0.5 */
    struct timeval tv = {.tv_sec = NETRIG_WAIT_MS / 1000};
    auto_close int log = netrig_serve(t.out, SOCK_DGRAM, 514);
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    char byte;

    netrig_must(netrig_shell("%s ip addr add 172.20.0.5/32 dev eth0", in(t.cell[1])));
    netrig_must(netrig_shell("set -- $(ip neigh show 10.128.4.2) &&"
                             "ip route add 172.20.0.5 dev $3 &&"
                             "ip neigh add 172.20.0.5 lladdr $5 dev $3 nud permanent"));
    add_classes();
    add((struct netelem){.set = NETELEM_CLASS, .address = second, .mark = CLASS_1});
    add((struct netelem){.set = NETELEM_REACH, .address = second, .mark = CLASS_1});
    apply(A);
    ck_assert_uint_eq(netrig_visit(t.cell[0], second, 80, t.server[1]), t.address[0]);
    netrig_refuse(t.cell[2], second, 80);
    netrig_must(setsockopt(log, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    send_from(t.cell[1], second, OUT_ADDRESS, 514, "?", 1);
    ck_assert_int_eq(recvfrom(log, &byte, 1, 0, (struct sockaddr *)&from, &len), 1);
    ck_assert_uint_eq(ntohl(from.sin_addr.s_addr), A_OUTSIDE);
}
END_TEST

/* ---- names ---- */

static int tracked(void)
{
    int n = -1;
    auto_fclose FILE *f = fopen("/proc/sys/net/netfilter/nf_conntrack_count", "re");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%d", &n), 1);
    return n;
}

static int serve_at_gateway(int type)
{
    struct sockaddr_in name = netrig_name_of(NET_GATEWAY, 53);
    int fd = netrig_make_socket(t.node[A].ns, type, NETRIG_WAIT_MS);

    netrig_must(bind(fd, (struct sockaddr *)&name, sizeof(name)));
    netrig_must(type == SOCK_STREAM ? listen(fd, 8) : 0);
    return fd;
}

/* Even if somebody publishes that port. */
START_TEST(names_are_asked_for_at_the_gateway)
{
    auto_close int datagrams = serve_at_gateway(SOCK_DGRAM);
    auto_close int streams = serve_at_gateway(SOCK_STREAM);
    auto_close int other = netrig_serve(t.node[A].ns, SOCK_STREAM, 54);
    uint64_t before = dropped(A, "host");
    int flows;

    add_any(true, 53, t.address[1], 53);
    add_any(false, 53, t.address[1], 53);
    apply(A);
    settle(50);
    flows = tracked();
    for (unsigned i = 0; i < 20; i++) {
        ck_assert_uint_eq(netrig_ask(t.cell[0], NET_GATEWAY, 53, datagrams), t.address[0]);
    }
    ck_assert_int_le(tracked(), flows);
    ck_assert_uint_eq(netrig_visit(t.cell[0], NET_GATEWAY, 53, streams), t.address[0]);
    ck_assert_uint_eq(dropped(A, "host"), before);
    netrig_refuse(t.cell[0], NET_GATEWAY, 54);
    dropped_more(A, "host", before);
    ck_assert_int_ge(other, 0);
}
END_TEST

/* ---- lies ---- */

static void no_source_check(void)
{
    netrig_must(netrig_shell("for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$f; done"));
}

START_TEST(false_source_addresses_are_counted_by_link)
{
    struct err e = {0};
    uint64_t n = 99;

    no_source_check();
    apply_classes();
    ck_assert_int_eq(net_spoofed(t.node[A].net, (struct net_id){1, 1}, &n, &e), 0);
    ck_assert_uint_eq(n, 0);
    netrig_must(netrig_shell("%s ip addr add 10.128.4.1/32 dev eth0", in(t.cell[1])));
    for (unsigned i = 0; i < 3; i++) {
        send_from(t.cell[1], t.address[0], t.address[ON_B], 9, "?", 1);
    }
    ck_assert_int_eq(net_spoofed(t.node[A].net, (struct net_id){1, 1}, &n, &e), 0);
    ck_assert_uint_eq(n, 3);
    ck_assert_int_eq(net_spoofed(t.node[A].net, (struct net_id){0, 1}, &n, &e), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_uint_eq(dropped(A, "spoof"), 3);
    netrig_must(netrig_shell("nft delete table inet wherry_a"));
    settle(500);
    ck_assert_uint_eq(net_restored(t.node[A].net), 1);
    ck_assert_uint_ge(dropped(A, "spoof"), 0);
}
END_TEST

/* Nor to the host's loopback, nor in the nodes' tunnel. */
START_TEST(nobody_sends_in_the_name_of_containers)
{
    uint32_t vni = htonl(overlayplan_vni("") << 8);
    uint8_t vxlan[50] = {8, 0, 0, 0};
    uint64_t before;
    int entries;

    no_source_check();
    apply_classes();
    netrig_must(netrig_shell("%s sh -c 'ip addr add 10.128.8.1/32 dev lo;"
                             "ip addr add 10.128.24.1/32 dev lo'",
                             in(t.out)));
    before = dropped(A, "astray");
    send_from(t.out, t.address[ON_B], t.address[0], 9, "?", 1);
    send_from(t.out, t.address[ON_B] + 0x1000, t.address[0], 9, "?", 1); /* nobody's */
    ck_assert_uint_eq(dropped(A, "astray"), before + 2);
    memcpy(vxlan + 4, &vni, 4);
    before = dropped(A, "tunnel");
    send_from(t.out, OUT_ADDRESS, A_OUTSIDE, 4789, vxlan, sizeof(vxlan));
    ck_assert_uint_eq(dropped(A, "tunnel"), before + 1);
    entries = tracked();
    send_from(t.node[B].ns, B_ADDRESS, A_ADDRESS, 4789, vxlan, sizeof(vxlan));
    send_from(t.node[A].ns, A_ADDRESS, B_ADDRESS, 4789, vxlan, sizeof(vxlan));
    ck_assert_int_le(tracked(), entries);
    vxlan[4] ^= 1; /* somebody else's tunnel */
    send_from(t.out, OUT_ADDRESS, A_OUTSIDE, 4789, vxlan, sizeof(vxlan));
    ck_assert_int_eq(tracked(), entries + 1);
    ck_assert_uint_eq(dropped(A, "tunnel"), before + 1);
    before = dropped(A, "loopback");
    netrig_must(
        netrig_shell("%s sh -c 'ip route del table local local 127.0.0.0/8 dev lo;"
                     "ip addr flush dev lo; echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet;"
                     "ip route del table local local 127.0.0.1 dev lo 2>/dev/null;"
                     "ip route add 127.0.0.0/8 via 203.0.113.1'",
                     in(t.out)));
    send_from(t.out, OUT_ADDRESS, INADDR_LOOPBACK, 9, "?", 1);
    ck_assert_uint_eq(dropped(A, "loopback"), before + 1);
}
END_TEST

/* ---- elements in the kernel ---- */

/* One of each set, and of each chain. */
static void add_one_of_each(void)
{
    add_classes();
    add_vip(VIP, NETELEM_CHAIN_VIP, t.address, 3);
    add_vip(VIP + 1, NETELEM_CHAIN_VIC, t.address, 2);
    add_any(false, 80, t.address[0], 8080);
    add_any(true, 53, t.address[1], 5353);
    add((struct netelem){.set = NETELEM_ONE,
                         .address = A_ADDRESS,
                         .udp = 1,
                         .port = 65535,
                         .chain = NETELEM_CHAIN_ONE,
                         .n = 1});
    add((struct netelem){.set = NETELEM_ONE_TO,
                         .address = A_ADDRESS,
                         .udp = 1,
                         .port = 65535,
                         .to = t.address[0],
                         .to_port = 1});
    add((struct netelem){.set = NETELEM_INGRESS, .address = t.address[0], .port = 80});
    add((struct netelem){.set = NETELEM_NOOUT, .address = t.address[0]});
    for (unsigned prefix = 1; prefix <= 32; prefix += 7) {
        add((struct netelem){.set = NETELEM_OUT,
                             .address = t.address[0] + prefix,
                             .other = 0xc0a80000u & ~(0xffffffffu >> (prefix - 1) >> 1),
                             .prefix = (uint8_t)prefix});
    }
    add((struct netelem){.set = NETELEM_OUT, .address = t.address[0]});
}

/* The table of a as sorted text, without counters; into a file of that name. */
static void list_table(const char *file)
{
    netrig_must(netrig_shell("nft -s list table inet wherry_a | tr ',' '\\n' |"
                             "sed 's/elements = {//; s/^[ \\t]*//; s/[ \\t}]*$//' | sort >%s",
                             file));
}

static char dir[] = "/tmp/netrules.XXXXXX";

static const char *in_dir(const char *name)
{
    static char paths[2][64];
    static unsigned next;
    char *path = paths[next++ % 2];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
    return path;
}

static void same_as_before(void)
{
    list_table(in_dir("after"));
    netrig_must(netrig_shell("diff %s %s >&2", in_dir("before"), in_dir("after")));
}

static void make_dir(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_dir(void)
{
    netrig_must(netrig_shell("rm -r %s", dir));
    (void)snprintf(dir, sizeof(dir), "/tmp/netrules.XXXXXX");
}

static bool restored(void)
{
    return net_restored(t.node[A].net) > t.restored;
}

static void destroy_table(void)
{
    t.restored = net_restored(t.node[A].net);
    netrig_must(netrig_shell("nft flush ruleset"));
    ck_assert(netrig_run_until(&t.loop, restored, NETRIG_WAIT_MS));
}

static int table_handle(void)
{
    return netrig_shell("exit $(nft -a list tables | sed -n 's/.*wherry_a.*handle //p')");
}

/* Netlink and text say the same, so that each may undo what the other did. */
START_TEST(what_netlink_and_nft_write_is_the_same)
{
    int handle = table_handle();

    make_dir();
    list_table(in_dir("empty"));
    add_one_of_each();
    apply(A);
    list_table(in_dir("before"));
    ck_assert_int_ne(netrig_shell("diff -q %s %s >/dev/null", in_dir("before"), in_dir("empty")),
                     0);
    ck_assert_int_eq(table_handle(), handle);
    ck_assert_uint_eq(net_restored(t.node[A].net), 0);
    destroy_table();
    same_as_before();
    handle = table_handle();
    apply(A); /* nothing */
    netrig_must(netrig_shell("mv %s %s", in_dir("empty"), in_dir("before")));
    same_as_before();
    ck_assert_int_eq(table_handle(), handle);
    settle(100);
    ck_assert_int_eq(table_handle(), handle);
    ck_assert_uint_eq(net_restored(t.node[A].net), 1);
    remove_dir();
}
END_TEST

/* What text adds netlink removes, and the reverse; changes by netlink are no foreign ones. */
START_TEST(nft_removes_what_netlink_added)
{
    static const char *const commands[] = {
        "delete element inet wherry_a w_class { 0xa800401 }",
        "delete element inet wherry_a w_reach { 0x10000001 . 0xa800401 }",
        "delete element inet wherry_a w_vip { 10.240.0.1 }",
        "delete element inet wherry_a w_vip_to { 10.240.0.1 . 2 }",
        "delete element inet wherry_a w_any { tcp . 80 }",
        "delete element inet wherry_a w_any_to { udp . 53 . 0 }",
        "delete element inet wherry_a w_one { 198.51.100.1 . udp . 65535 }",
        "delete element inet wherry_a w_one_to { 198.51.100.1 . udp . 65535 . 0 }",
        "delete element inet wherry_a w_ingress { 10.128.4.1 . tcp . 80 }",
        "delete element inet wherry_a w_noout { 10.128.4.1 }",
        "delete element inet wherry_a w_out { 10.128.4.1 . 0.0.0.0/0 }",
        "delete element inet wherry_a w_self { 10.128.4.1 . 10.128.4.1 }",
        "delete element inet wherry_a w_nodes { 198.51.100.2 }",
        "delete element inet wherry_a w_gates { 0xa800800 }",
        "delete element inet wherry_a w_blocks { 10.128.8.0/22 }",
    };

    make_dir();
    add_one_of_each();
    apply(A);
    list_table(in_dir("before"));
    for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        ck_assert_msg(netrig_shell("nft '%s'", commands[i]) == 0, "%s", commands[i]);
    }
    t.restored = 0;
    ck_assert(netrig_run_until(&t.loop, restored, NETRIG_WAIT_MS));
    settle(500);
    same_as_before();
    remove_dir();
}
END_TEST

/* The kernel refuses them; the table comes without the inner ones. */
START_TEST(networks_that_overlap_do_not_cost_the_table)
{
    auto_close int web = netrig_serve(t.out, SOCK_STREAM, 443);

    add_classes();
    add((struct netelem){.set = NETELEM_NOOUT, .address = t.address[0]});
    add((struct netelem){.set = NETELEM_OUT, .address = t.address[0]});
    add((struct netelem){
        .set = NETELEM_OUT, .address = t.address[0], .other = 0x0a000000u, .prefix = 8});
    apply(A);
    settle(500);
    ck_assert_uint_eq(netrig_visit(t.cell[0], OUT_ADDRESS, 443, web), A_OUTSIDE);
    add_classes();
    add((struct netelem){.set = NETELEM_NOOUT, .address = t.address[0]});
    apply(A);
    settle(500);
    netrig_refuse(t.cell[0], OUT_ADDRESS, 443);
}
END_TEST

/* The batch is one: what is refused leaves nothing, and the table is asserted. */
START_TEST(a_change_is_all_or_nothing)
{
    const struct netelem there = {.set = NETELEM_CLASS, .address = t.address[0], .mark = CLASS_1};
    const struct netelem other = {.set = NETELEM_CLASS, .address = t.address[0], .mark = 77};
    const struct netelem absent = {.set = NETELEM_NOOUT, .address = 1};
    const struct netelem no_chain = {
        .set = NETELEM_VIP, .address = VIP, .chain = NETELEM_CHAIN_VIP, .n = 4000};
    struct nftset *s = NULL;
    struct err e = {0};

    add_classes();
    apply(A);
    make_dir();
    list_table(in_dir("before"));
    ck_assert_int_eq(nftset_open("wherry_a", &s, &e), 0);
    ck_assert_uint_ne(nftset_port(s), 0);
    ck_assert_int_eq(nftset_change(s, &absent, 1, NULL, 0, &e), -ENOENT);
    ck_assert_msg(strstr(e.text, "wherry_a") != NULL, "%s", e.text);
    ck_assert_int_eq(nftset_change(s, NULL, 0, &other, 1, &e), -EEXIST);
    ck_assert_int_eq(nftset_change(s, &there, 1, &no_chain, 1, &e), -ENOENT);
    ck_assert_int_eq(nftset_change(s, &absent, 1, &absent, 1, &e), -ENOENT);
    ck_assert_int_eq(nftset_change(s, NULL, 0, &there, 1, &e), 0); /* it is as it shall be */
    ck_assert_int_eq(nftset_change(s, NULL, 0, NULL, 0, &e), 0);
    same_as_before();
    nftset_close(s);
    ck_assert_int_eq(nftset_open("wherry_none", &s, &e), 0);
    ck_assert_int_eq(nftset_change(s, NULL, 0, &there, 1, &e), -ENOENT);
    nftset_close(s);
    nftset_close(NULL);
    ck_assert_int_eq(net_elements(t.node[A].net, &absent, 1, NULL, 0, 0, &e), 0);
    settle(300);
    same_as_before();
    remove_dir();
}
END_TEST

/* Numbers of a seed. */
static unsigned draw(unsigned *state, unsigned below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 16) % below;
}

/* Whatever happens meanwhile, in the end the table holds what it shall. */
START_TEST(changes_during_an_assertion_are_not_lost)
{
    unsigned state = 5;

    make_dir();
    for (unsigned round = 0; round < 60; round++) {
        add_classes();
        for (unsigned i = 0; i < 200; i++) {
            if (draw(&state, 2) == 0) {
                add((struct netelem){.set = NETELEM_NOOUT, .address = 0x0a800500u + i});
            }
        }
        add_vip(VIP, NETELEM_CHAIN_VIP, t.address, 1 + draw(&state, 3));
        apply(A);
        if (round % 10 == 0) {
            netrig_must(netrig_shell("nft flush ruleset"));
        }
        settle(draw(&state, 30));
    }
    settle(1000);
    list_table(in_dir("before"));
    destroy_table();
    same_as_before();
    remove_dir();
}
END_TEST

/* ---- cost ---- */

static void add_services(unsigned n, uint32_t backend)
{
    for (unsigned i = 0; i < n; i++) {
        const uint32_t to[] = {0x0a800500u + i % 700, 0x0a800900u + i % 700, backend};

        add_vip(VIP + i, NETELEM_CHAIN_VIP, to, 3);
        add((struct netelem){.set = NETELEM_REACH, .mark = i + 1, .address = to[0]});
        add((struct netelem){.set = NETELEM_REACH, .mark = i + 1, .address = to[1]});
    }
}

static double change_us(unsigned rounds)
{
    struct netelem is = {.set = NETELEM_VIP_TO, .address = VIP + 7, .index = 2, .to = 0x0a800801u};
    struct node *n = &t.node[A];
    struct err e = {0};
    uint64_t began = uv_hrtime();

    for (unsigned i = 0; i < rounds; i++) {
        struct netelem next = is;

        next.to ^= 3;
        ck_assert_int_eq(net_elements(n->net, &is, 1, &next, 1, 3, &e), 0);
        is = next;
    }
    ck_assert_uint_eq(rounds % 2, 0); /* as it was */
    return (double)(uv_hrtime() - began) / 1e3 / rounds;
}

START_TEST(a_change_costs_the_same_among_five_thousand_services)
{
    enum { SERVICES = 5000 };
    double few, many;
    uint64_t began;

    add_services(10, 0x0a800801u);
    apply(A);
    few = change_us(200);
    add_services(SERVICES, 0x0a800801u);
    began = netrig_now_ms();
    apply(A);
    (void)fprintf(stderr, "%d services at once: %u ms\n", SERVICES,
                  (unsigned)(netrig_now_ms() - began));
    many = change_us(200);
    (void)fprintf(stderr, "one change: %.0f us among 10 services, %.0f us among %d\n", few, many,
                  SERVICES);
    ck_assert(many < few * 3 + 500);
    settle(1000);
    ck_assert_uint_eq(net_restored(t.node[A].net), 0);
    began = netrig_now_ms();
    destroy_table();
    (void)fprintf(stderr, "the whole table again: %u ms\n", (unsigned)(netrig_now_ms() - began));
    began = netrig_now_ms();
    netrig_must(netrig_shell("nft add element inet wherry_a w_noout { 10.0.0.1 }"));
    (void)fprintf(stderr, "one change by a process of nft: %u ms\n",
                  (unsigned)(netrig_now_ms() - began));
}
END_TEST

/* ---- flows ---- */

static bool arrives(int client, int server)
{
    char byte;

    (void)recv(client, &byte, 1, MSG_DONTWAIT);
    (void)send(client, "?", 1, 0);
    return recv(server, &byte, 1, 0) == 1;
}

START_TEST(datagrams_follow_a_virtual_address)
{
    auto_close int first = netrig_serve(t.cell[1], SOCK_DGRAM, 53);
    auto_close int second = netrig_serve(t.cell[ON_B], SOCK_DGRAM, 53);
    auto_close int client = netrig_make_socket(t.cell[0], SOCK_DGRAM, NETRIG_WAIT_MS);
    struct sockaddr_in to = netrig_name_of(VIP, 53);

    add_classes();
    add_vip(VIP, NETELEM_CHAIN_VIP, &t.address[1], 1);
    apply(A);
    add_classes();
    apply(B);
    settle(50);
    netrig_must(connect(client, (struct sockaddr *)&to, sizeof(to)));
    ck_assert(arrives(client, first));
    add_classes();
    add_vip(VIP, NETELEM_CHAIN_VIP, &t.address[ON_B], 1);
    apply(A);
    settle(50);
    ck_assert(arrives(client, second));
}
END_TEST

/* A connection lasts while its backend does, and is told when that is gone. */
START_TEST(connections_outlast_a_backend_that_drains_but_not_its_end)
{
    auto_close int client = -1;
    auto_close int served = -1;
    char byte;

    add_classes();
    add_vip(VIP, NETELEM_CHAIN_VIP, &t.address[1], 1);
    apply(A);
    client = netrig_dial(t.cell[0], VIP, 80, NETRIG_WAIT_MS);
    ck_assert_int_ge(client, 0);
    served = accept4(t.server[1], NULL, NULL, SOCK_CLOEXEC);
    add_classes();
    add_vip(VIP, NETELEM_CHAIN_VIP, &t.address[ON_B], 1);
    apply(A);
    add_classes();
    apply(B);
    settle(50);
    ck_assert_int_eq(send(client, "?", 1, 0), 1);
    ck_assert_int_eq(recv(served, &byte, 1, 0), 1);
    net_flush(t.node[A].net, &t.address[1], 1);
    settle(50);
    ck_assert_int_eq(send(client, "?", 1, 0), 1); /* the other knows nothing of it */
    ck_assert_int_eq(recv(client, &byte, 1, 0), -1);
    ck_assert_int_eq(errno, ECONNRESET);
}
END_TEST

/* ---- the agent goes and comes ---- */

START_TEST(another_agent_takes_the_table_over)
{
    make_dir();
    add_one_of_each();
    apply(A);
    list_table(in_dir("before"));
    close_nodes(false);
    same_as_before();
    open_node(A);
    open_node(B);
    same_as_before();
    remove_dir();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("netrules");
    TCase *c = tcase_create("netrules");
    SRunner *r = srunner_create(s);
    int failed;

    if (geteuid() != 0) {
        (void)fprintf(stderr, "needs root: network namespaces\n");
        return 77;
    }
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, who_shares_a_network_reaches_each_other);
    tcase_add_test(c, a_mark_from_elsewhere_opens_nothing);
    tcase_add_test(c, a_virtual_address_leads_to_its_backends);
    tcase_add_test(c, a_client_stays_with_its_backend);
    tcase_add_test(c, a_virtual_address_is_refused_aloud);
    tcase_add_test(c, a_container_reaches_itself_by_its_virtual_address);
    tcase_add_test(c, a_port_leads_to_another_node);
    tcase_add_test(c, a_local_backend_sees_its_client);
    tcase_add_test(c, who_may_not_leave_the_cluster_is_told_so);
    tcase_add_test(c, a_second_address_is_as_good_as_the_first);
    tcase_add_test(c, names_are_asked_for_at_the_gateway);
    tcase_add_test(c, false_source_addresses_are_counted_by_link);
    tcase_add_test(c, nobody_sends_in_the_name_of_containers);
    tcase_add_test(c, what_netlink_and_nft_write_is_the_same);
    tcase_add_test(c, nft_removes_what_netlink_added);
    tcase_add_test(c, networks_that_overlap_do_not_cost_the_table);
    tcase_add_test(c, a_change_is_all_or_nothing);
    tcase_add_test(c, changes_during_an_assertion_are_not_lost);
    tcase_add_test(c, a_change_costs_the_same_among_five_thousand_services);
    tcase_add_test(c, datagrams_follow_a_virtual_address);
    tcase_add_test(c, connections_outlast_a_backend_that_drains_but_not_its_end);
    tcase_add_test(c, another_agent_takes_the_table_over);
    suite_add_tcase(s, c);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
