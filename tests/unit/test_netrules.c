// SPDX-License-Identifier: Apache-2.0
/* What the rules let pass. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/net/nftset.h"
#include "agent/net/overlayplan.h"
#include "common/cleanup.h"
#include "rulesrig.h"
#include "tests/lib/skip.h"

/* ---- between containers ---- */

/* The error of a connection, and not after a time only. */
static int refusal(int ns, uint32_t address, uint16_t port)
{
    struct sockaddr_in name = netrig_name_of(address, port);
    auto_close int fd = netrig_socket(ns, AF_INET, SOCK_STREAM, 5000);

    return connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0 ? errno : 0;
}

START_TEST(who_shares_a_network_reaches_each_other)
{
    uint64_t before;

    netrig_refuse(rulesrig.cell[0], rulesrig.address[1], 80); /* nothing is known of them */
    rulesrig_apply_classes();
    before = rulesrig_dropped(RULESRIG_A, "reach");
    ck_assert_uint_eq(netrig_visit(rulesrig.cell[0], rulesrig.address[1], 80, rulesrig.server[1]),
                      rulesrig.address[0]);
    ck_assert_uint_eq(netrig_visit(rulesrig.cell[1], rulesrig.address[0], 80, rulesrig.server[0]),
                      rulesrig.address[1]);
    ck_assert_uint_eq(netrig_visit(rulesrig.cell[0], rulesrig.address[RULESRIG_ON_B], 80,
                                   rulesrig.server[RULESRIG_ON_B]),
                      rulesrig.address[0]);
    ck_assert_uint_eq(
        netrig_visit(rulesrig.cell[RULESRIG_ON_B], rulesrig.address[1], 80, rulesrig.server[1]),
        rulesrig.address[RULESRIG_ON_B]);
    ck_assert_uint_eq(rulesrig_dropped(RULESRIG_A, "reach"), before);
    netrig_refuse(rulesrig.cell[0], rulesrig.address[2], 80);
    rulesrig_dropped_more(RULESRIG_A, "reach", before);
    netrig_refuse(rulesrig.cell[2], rulesrig.address[0], 80);
    netrig_refuse(rulesrig.cell[2], rulesrig.address[RULESRIG_ON_B], 80);
    netrig_refuse(rulesrig.cell[RULESRIG_ON_B], rulesrig.address[2], 80);
    rulesrig_dropped_more(RULESRIG_B, "reach", 0);
    ck_assert_uint_eq(
        netrig_visit(rulesrig.node[RULESRIG_A].ns, rulesrig.address[2], 80, rulesrig.server[2]),
        RULESRIG_A_ADDRESS);
}
END_TEST

/* Somebody else's mark is no class. */
START_TEST(a_mark_from_elsewhere_opens_nothing)
{
    netrig_must(netrig_shell(
        "nft 'add table ip mangle; add chain ip mangle pre { type filter hook prerouting priority "
        "mangle; }; add rule ip mangle pre meta mark set 0x%x'",
        RULESRIG_CLASS_1));
    rulesrig_add((struct netelem){
        .set = NETELEM_REACH, .mark = RULESRIG_CLASS_1, .address = rulesrig.address[1]});
    rulesrig_apply(RULESRIG_A);
    netrig_refuse(rulesrig.cell[0], rulesrig.address[1], 80);
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
        for (unsigned i = 0; i < RULESRIG_CELLS; i++) {
            int got = accept4(rulesrig.server[i], NULL, NULL, SOCK_CLOEXEC);

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
    for (unsigned i = 0; i < RULESRIG_CELLS; i++) {
        netrig_must(fcntl(rulesrig.server[i], F_SETFL, O_NONBLOCK));
    }
}

START_TEST(a_virtual_address_leads_to_its_backends)
{
    const uint32_t both[] = {rulesrig.address[1], rulesrig.address[RULESRIG_ON_B]};
    unsigned hits[RULESRIG_CELLS] = {0};

    rulesrig_add_classes();
    rulesrig_add_vip(RULESRIG_VIP, NETELEM_CHAIN_VIP, both + 1, 1);
    rulesrig_add_vip(RULESRIG_VIP + 1, NETELEM_CHAIN_VIP, both, 1);
    rulesrig_add_vip(RULESRIG_VIP + 2, NETELEM_CHAIN_VIP, both, 2);
    rulesrig_apply(RULESRIG_A);
    rulesrig_add_classes();
    rulesrig_apply(RULESRIG_B);
    ck_assert_uint_eq(
        netrig_visit(rulesrig.cell[0], RULESRIG_VIP, 80, rulesrig.server[RULESRIG_ON_B]),
        rulesrig.address[0]);
    ck_assert_uint_eq(netrig_visit(rulesrig.cell[0], RULESRIG_VIP + 1, 80, rulesrig.server[1]),
                      rulesrig.address[0]);
    do_not_wait();
    for (unsigned i = 0; i < 60; i++) {
        hits[who_serves(rulesrig.cell[0], RULESRIG_VIP + 2)]++;
    }
    ck_assert_uint_eq(hits[1] + hits[RULESRIG_ON_B], 60);
    ck_assert(hits[1] >= 10 && hits[RULESRIG_ON_B] >= 10);
    netrig_must(
        netrig_shell("%s ping -c 1 -W 5 10.240.0.2 >/dev/null 2>&1 || ! which ping >/dev/null",
                     rulesrig_in(rulesrig.cell[0])));
    netrig_refuse(rulesrig.node[RULESRIG_A].ns, RULESRIG_VIP + 1, 80); /* not for the host itself */
    netrig_refuse(rulesrig.out, RULESRIG_VIP + 1, 80);
}
END_TEST

START_TEST(a_client_stays_with_its_backend)
{
    const uint32_t both[] = {rulesrig.address[1], rulesrig.address[RULESRIG_ON_B]};
    unsigned first;

    rulesrig_add_classes();
    rulesrig_add_vip(RULESRIG_VIP, NETELEM_CHAIN_VIC, both, 2);
    rulesrig_apply(RULESRIG_A);
    rulesrig_add_classes();
    rulesrig_apply(RULESRIG_B);
    do_not_wait();
    first = who_serves(rulesrig.cell[0], RULESRIG_VIP);
    for (unsigned i = 0; i < 20; i++) {
        ck_assert_uint_eq(who_serves(rulesrig.cell[0], RULESRIG_VIP), first);
    }
    netrig_must(netrig_shell("nft delete table inet wherry_a")); /* also by the next table */
    rulesrig_settle(500);
    for (unsigned i = 0; i < 20; i++) {
        ck_assert_uint_eq(who_serves(rulesrig.cell[0], RULESRIG_VIP), first);
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

    rulesrig_add_classes();
    rulesrig_add_vip(RULESRIG_VIP, NETELEM_CHAIN_VIP, &rulesrig.address[1], 1);
    rulesrig_apply(RULESRIG_A);
    before = rulesrig_dropped(RULESRIG_A, "reach");
    for (unsigned i = 0; i < 50; i++) {
        refused_at_once(rulesrig.cell[2], RULESRIG_VIP);
        refused_at_once(rulesrig.cell[2], RULESRIG_VIP + 1);
        refused_at_once(rulesrig.cell[0], RULESRIG_VIP + 1);
    }
    ck_assert_uint_eq(rulesrig_dropped(RULESRIG_A, "reach"), before + 150);
}
END_TEST

START_TEST(a_container_reaches_itself_by_its_virtual_address)
{
    rulesrig_add_classes();
    rulesrig_add_vip(RULESRIG_VIP, NETELEM_CHAIN_VIP, &rulesrig.address[0], 1);
    rulesrig_apply(RULESRIG_A);
    ck_assert_uint_eq(netrig_visit(rulesrig.cell[0], RULESRIG_VIP, 80, rulesrig.server[0]),
                      NET_GATEWAY);
    ck_assert_uint_eq(netrig_visit(rulesrig.cell[1], RULESRIG_VIP, 80, rulesrig.server[0]),
                      rulesrig.address[1]);
}
END_TEST

/* ---- published ports ---- */

START_TEST(a_port_leads_to_another_node)
{
    uint64_t before;

    rulesrig_add_classes();
    rulesrig_add_any(false, 8080, rulesrig.address[RULESRIG_ON_B], 80);
    rulesrig_apply(RULESRIG_A);
    rulesrig_add_classes();
    rulesrig_apply(RULESRIG_B);
    before = rulesrig_dropped(RULESRIG_B, "into");
    netrig_refuse(rulesrig.out, RULESRIG_A_OUTSIDE, 8080); /* b does not know of it yet */
    rulesrig_dropped_more(RULESRIG_B, "into", before);
    rulesrig_add_classes();
    rulesrig_add((struct netelem){
        .set = NETELEM_INGRESS, .address = rulesrig.address[RULESRIG_ON_B], .port = 80});
    rulesrig_apply(RULESRIG_B);
    ck_assert_uint_eq(
        netrig_visit(rulesrig.out, RULESRIG_A_OUTSIDE, 8080, rulesrig.server[RULESRIG_ON_B]),
        RULESRIG_A_BLOCK);
    ck_assert_uint_eq(
        netrig_visit(rulesrig.cell[2], RULESRIG_A_ADDRESS, 8080, rulesrig.server[RULESRIG_ON_B]),
        rulesrig.address[2]);
    ck_assert_uint_eq(
        netrig_visit(rulesrig.cell[2], RULESRIG_B_ADDRESS, 8080, rulesrig.server[RULESRIG_ON_B]),
        rulesrig.address[2]);
    ck_assert_uint_eq(netrig_visit(rulesrig.node[RULESRIG_A].ns, RULESRIG_A_OUTSIDE, 8080,
                                   rulesrig.server[RULESRIG_ON_B]),
                      RULESRIG_A_BLOCK);
    ck_assert_uint_eq(netrig_visit(rulesrig.node[RULESRIG_A].ns, INADDR_LOOPBACK, 8080,
                                   rulesrig.server[RULESRIG_ON_B]),
                      RULESRIG_A_BLOCK);
    netrig_refuse(rulesrig.out, rulesrig.address[RULESRIG_ON_B], 80); /* by that port only */
    rulesrig_add_classes();
    rulesrig_apply(RULESRIG_B);
    netrig_refuse(rulesrig.out, RULESRIG_A_OUTSIDE, 8080);
}
END_TEST

START_TEST(a_local_backend_sees_its_client)
{
    rulesrig_add_classes();
    rulesrig_add_any(false, 8080, rulesrig.address[0], 80);
    rulesrig_apply(RULESRIG_A);
    ck_assert_uint_eq(netrig_visit(rulesrig.out, RULESRIG_A_OUTSIDE, 8080, rulesrig.server[0]),
                      RULESRIG_OUT_ADDRESS);
    ck_assert_uint_eq(
        netrig_visit(rulesrig.node[RULESRIG_A].ns, INADDR_LOOPBACK, 8080, rulesrig.server[0]),
        NET_GATEWAY);
    ck_assert_uint_eq(netrig_visit(rulesrig.cell[2], RULESRIG_A_ADDRESS, 8080, rulesrig.server[0]),
                      NET_GATEWAY);
    ck_assert_uint_eq(netrig_visit(rulesrig.cell[0], RULESRIG_A_ADDRESS, 8080, rulesrig.server[0]),
                      NET_GATEWAY);
}
END_TEST

/* ---- outwards ---- */

/* Sends one datagram by a source address of its own choice. */
static void send_from(int ns, uint32_t source, uint32_t to, uint16_t port, const void *bytes,
                      size_t len)
{
    struct sockaddr_in from = netrig_name_of(source, 0);
    struct sockaddr_in name = netrig_name_of(to, port);
    auto_close int fd = netrig_socket(ns, AF_INET, SOCK_DGRAM, NETRIG_BLOCKED_MS);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    ck_assert_int_eq(sendto(fd, bytes, len, 0, (struct sockaddr *)&name, sizeof(name)),
                     (ssize_t)len);
}

START_TEST(who_may_not_leave_the_cluster_is_told_so)
{
    auto_close int web = netrig_serve(rulesrig.out, SOCK_STREAM, 443);
    uint64_t before = rulesrig_dropped(RULESRIG_A, "egress");

    ck_assert_uint_eq(netrig_visit(rulesrig.cell[0], RULESRIG_OUT_ADDRESS, 443, web),
                      RULESRIG_A_OUTSIDE);
    rulesrig_add_classes();
    rulesrig_add((struct netelem){.set = NETELEM_NOOUT, .address = rulesrig.address[0]});
    rulesrig_add((struct netelem){.set = NETELEM_NOOUT, .address = rulesrig.address[1]});
    rulesrig_add((struct netelem){
        .set = NETELEM_OUT, .address = rulesrig.address[1], .other = 0xcb007100u, .prefix = 24});
    rulesrig_add((struct netelem){
        .set = NETELEM_OUT, .address = rulesrig.address[1], .other = 0x08080808u, .prefix = 32});
    rulesrig_apply(RULESRIG_A);
    ck_assert_int_eq(refusal(rulesrig.cell[0], RULESRIG_OUT_ADDRESS, 443), EHOSTUNREACH);
    rulesrig_dropped_more(RULESRIG_A, "egress", before);
    ck_assert_uint_eq(netrig_visit(rulesrig.cell[1], RULESRIG_OUT_ADDRESS, 443, web),
                      RULESRIG_A_OUTSIDE);
    ck_assert_uint_eq(netrig_visit(rulesrig.cell[2], RULESRIG_OUT_ADDRESS, 443, web),
                      RULESRIG_A_OUTSIDE);
    ck_assert_uint_eq(netrig_visit(rulesrig.cell[0], rulesrig.address[1], 80, rulesrig.server[1]),
                      rulesrig.address[0]);
    rulesrig_add_classes();
    rulesrig_add((struct netelem){.set = NETELEM_NOOUT, .address = rulesrig.address[1]});
    rulesrig_add(
        (struct netelem){.set = NETELEM_OUT, .address = rulesrig.address[1]}); /* 0.0.0.0/0 */
    rulesrig_apply(RULESRIG_A);
    ck_assert_uint_eq(netrig_visit(rulesrig.cell[0], RULESRIG_OUT_ADDRESS, 443, web),
                      RULESRIG_A_OUTSIDE);
    ck_assert_uint_eq(netrig_visit(rulesrig.cell[1], RULESRIG_OUT_ADDRESS, 443, web),
                      RULESRIG_A_OUTSIDE);
}
END_TEST

/* An address that the file asked for, outside of the cluster's range. */
START_TEST(a_second_address_is_as_good_as_the_first)
{
    const uint32_t second = 0xac140005u; /* 172.20.0.5 */
    struct timeval tv = {.tv_sec = NETRIG_WAIT_MS / 1000};
    auto_close int log = netrig_serve(rulesrig.out, SOCK_DGRAM, 514);
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    char byte;

    netrig_must(
        netrig_shell("%s ip addr add 172.20.0.5/32 dev eth0", rulesrig_in(rulesrig.cell[1])));
    netrig_must(netrig_shell("set -- $(ip neigh show 10.128.4.2) &&"
                             "ip route add 172.20.0.5 dev $3 &&"
                             "ip neigh add 172.20.0.5 lladdr $5 dev $3 nud permanent"));
    rulesrig_add_classes();
    rulesrig_add(
        (struct netelem){.set = NETELEM_CLASS, .address = second, .mark = RULESRIG_CLASS_1});
    rulesrig_add(
        (struct netelem){.set = NETELEM_REACH, .address = second, .mark = RULESRIG_CLASS_1});
    rulesrig_apply(RULESRIG_A);
    ck_assert_uint_eq(netrig_visit(rulesrig.cell[0], second, 80, rulesrig.server[1]),
                      rulesrig.address[0]);
    netrig_refuse(rulesrig.cell[2], second, 80);
    netrig_must(setsockopt(log, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    send_from(rulesrig.cell[1], second, RULESRIG_OUT_ADDRESS, 514, "?", 1);
    ck_assert_int_eq(recvfrom(log, &byte, 1, 0, (struct sockaddr *)&from, &len), 1);
    ck_assert_uint_eq(ntohl(from.sin_addr.s_addr), RULESRIG_A_OUTSIDE);
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
    int fd = netrig_socket(rulesrig.node[RULESRIG_A].ns, AF_INET, type, NETRIG_WAIT_MS);

    netrig_must(bind(fd, (struct sockaddr *)&name, sizeof(name)));
    netrig_must(type == SOCK_STREAM ? listen(fd, 8) : 0);
    return fd;
}

/* Even if somebody publishes that port. */
START_TEST(names_are_asked_for_at_the_gateway)
{
    auto_close int datagrams = serve_at_gateway(SOCK_DGRAM);
    auto_close int streams = serve_at_gateway(SOCK_STREAM);
    auto_close int other = netrig_serve(rulesrig.node[RULESRIG_A].ns, SOCK_STREAM, 54);
    uint64_t before = rulesrig_dropped(RULESRIG_A, "host");
    int flows;

    rulesrig_add_any(true, 53, rulesrig.address[1], 53);
    rulesrig_add_any(false, 53, rulesrig.address[1], 53);
    rulesrig_apply(RULESRIG_A);
    rulesrig_settle(50);
    flows = tracked();
    for (unsigned i = 0; i < 20; i++) {
        ck_assert_uint_eq(netrig_ask(rulesrig.cell[0], NET_GATEWAY, 53, datagrams),
                          rulesrig.address[0]);
    }
    ck_assert_int_le(tracked(), flows);
    ck_assert_uint_eq(netrig_visit(rulesrig.cell[0], NET_GATEWAY, 53, streams),
                      rulesrig.address[0]);
    ck_assert_uint_eq(rulesrig_dropped(RULESRIG_A, "host"), before);
    netrig_refuse(rulesrig.cell[0], NET_GATEWAY, 54);
    rulesrig_dropped_more(RULESRIG_A, "host", before);
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
    rulesrig_apply_classes();
    ck_assert_int_eq(net_spoofed(rulesrig.node[RULESRIG_A].net, (struct net_id){1, 1}, &n, &e), 0);
    ck_assert_uint_eq(n, 0);
    netrig_must(
        netrig_shell("%s ip addr add 10.128.4.1/32 dev eth0", rulesrig_in(rulesrig.cell[1])));
    for (unsigned i = 0; i < 3; i++) {
        send_from(rulesrig.cell[1], rulesrig.address[0], rulesrig.address[RULESRIG_ON_B], 9, "?",
                  1);
    }
    ck_assert_int_eq(net_spoofed(rulesrig.node[RULESRIG_A].net, (struct net_id){1, 1}, &n, &e), 0);
    ck_assert_uint_eq(n, 3);
    ck_assert_int_eq(net_spoofed(rulesrig.node[RULESRIG_A].net, (struct net_id){0, 1}, &n, &e), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_uint_eq(rulesrig_dropped(RULESRIG_A, "spoof"), 3);
    netrig_must(netrig_shell("nft delete table inet wherry_a"));
    rulesrig_settle(500);
    ck_assert_uint_eq(net_restored(rulesrig.node[RULESRIG_A].net), 1);
    ck_assert_uint_ge(rulesrig_dropped(RULESRIG_A, "spoof"), 0);
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
    rulesrig_apply_classes();
    netrig_must(netrig_shell("%s sh -c 'ip addr add 10.128.8.1/32 dev lo;"
                             "ip addr add 10.128.24.1/32 dev lo'",
                             rulesrig_in(rulesrig.out)));
    before = rulesrig_dropped(RULESRIG_A, "astray");
    send_from(rulesrig.out, rulesrig.address[RULESRIG_ON_B], rulesrig.address[0], 9, "?", 1);
    send_from(rulesrig.out, rulesrig.address[RULESRIG_ON_B] + 0x1000, rulesrig.address[0], 9, "?",
              1); /* nobody's */
    ck_assert_uint_eq(rulesrig_dropped(RULESRIG_A, "astray"), before + 2);
    memcpy(vxlan + 4, &vni, 4);
    before = rulesrig_dropped(RULESRIG_A, "tunnel");
    send_from(rulesrig.out, RULESRIG_OUT_ADDRESS, RULESRIG_A_OUTSIDE, 4789, vxlan, sizeof(vxlan));
    ck_assert_uint_eq(rulesrig_dropped(RULESRIG_A, "tunnel"), before + 1);
    entries = tracked();
    send_from(rulesrig.node[RULESRIG_B].ns, RULESRIG_B_ADDRESS, RULESRIG_A_ADDRESS, 4789, vxlan,
              sizeof(vxlan));
    send_from(rulesrig.node[RULESRIG_A].ns, RULESRIG_A_ADDRESS, RULESRIG_B_ADDRESS, 4789, vxlan,
              sizeof(vxlan));
    ck_assert_int_le(tracked(), entries);
    vxlan[4] ^= 1; /* somebody else's tunnel */
    send_from(rulesrig.out, RULESRIG_OUT_ADDRESS, RULESRIG_A_OUTSIDE, 4789, vxlan, sizeof(vxlan));
    ck_assert_int_eq(tracked(), entries + 1);
    ck_assert_uint_eq(rulesrig_dropped(RULESRIG_A, "tunnel"), before + 1);
    before = rulesrig_dropped(RULESRIG_A, "loopback");
    netrig_must(
        netrig_shell("%s sh -c 'ip route del table local local 127.0.0.0/8 dev lo;"
                     "ip addr flush dev lo; echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet;"
                     "ip route del table local local 127.0.0.1 dev lo 2>/dev/null;"
                     "ip route add 127.0.0.0/8 via 203.0.113.1'",
                     rulesrig_in(rulesrig.out)));
    send_from(rulesrig.out, RULESRIG_OUT_ADDRESS, INADDR_LOOPBACK, 9, "?", 1);
    ck_assert_uint_eq(rulesrig_dropped(RULESRIG_A, "loopback"), before + 1);
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
    auto_close int first = netrig_serve(rulesrig.cell[1], SOCK_DGRAM, 53);
    auto_close int second = netrig_serve(rulesrig.cell[RULESRIG_ON_B], SOCK_DGRAM, 53);
    auto_close int client = netrig_socket(rulesrig.cell[0], AF_INET, SOCK_DGRAM, NETRIG_WAIT_MS);
    struct sockaddr_in to = netrig_name_of(RULESRIG_VIP, 53);

    rulesrig_add_classes();
    rulesrig_add_vip(RULESRIG_VIP, NETELEM_CHAIN_VIP, &rulesrig.address[1], 1);
    rulesrig_apply(RULESRIG_A);
    rulesrig_add_classes();
    rulesrig_apply(RULESRIG_B);
    rulesrig_settle(50);
    netrig_must(connect(client, (struct sockaddr *)&to, sizeof(to)));
    ck_assert(arrives(client, first));
    rulesrig_add_classes();
    rulesrig_add_vip(RULESRIG_VIP, NETELEM_CHAIN_VIP, &rulesrig.address[RULESRIG_ON_B], 1);
    rulesrig_apply(RULESRIG_A);
    rulesrig_settle(50);
    ck_assert(arrives(client, second));
}
END_TEST

/* A connection lasts while its backend does, and is told when that is gone. */
START_TEST(connections_outlast_a_backend_that_drains_but_not_its_end)
{
    auto_close int client = -1;
    auto_close int served = -1;
    char byte;

    rulesrig_add_classes();
    rulesrig_add_vip(RULESRIG_VIP, NETELEM_CHAIN_VIP, &rulesrig.address[1], 1);
    rulesrig_apply(RULESRIG_A);
    client = netrig_dial(rulesrig.cell[0], RULESRIG_VIP, 80, NETRIG_WAIT_MS);
    ck_assert_int_ge(client, 0);
    served = accept4(rulesrig.server[1], NULL, NULL, SOCK_CLOEXEC);
    rulesrig_add_classes();
    rulesrig_add_vip(RULESRIG_VIP, NETELEM_CHAIN_VIP, &rulesrig.address[RULESRIG_ON_B], 1);
    rulesrig_apply(RULESRIG_A);
    rulesrig_add_classes();
    rulesrig_apply(RULESRIG_B);
    rulesrig_settle(50);
    ck_assert_int_eq(send(client, "?", 1, 0), 1);
    ck_assert_int_eq(recv(served, &byte, 1, 0), 1);
    net_flush(rulesrig.node[RULESRIG_A].net, &rulesrig.address[1], 1);
    rulesrig_settle(50);
    ck_assert_int_eq(send(client, "?", 1, 0), 1); /* the other knows nothing of it */
    ck_assert_int_eq(recv(client, &byte, 1, 0), -1);
    ck_assert_int_eq(errno, ECONNRESET);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("netrules");
    TCase *c = tcase_create("netrules");
    SRunner *r = srunner_create(s);
    int failed;

    if (skip_unless_root("network namespaces")) {
        return SKIP;
    }
    tcase_add_checked_fixture(c, rulesrig_setup, rulesrig_teardown);
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
    tcase_add_test(c, datagrams_follow_a_virtual_address);
    tcase_add_test(c, connections_outlast_a_backend_that_drains_but_not_its_end);
    suite_add_tcase(s, c);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
