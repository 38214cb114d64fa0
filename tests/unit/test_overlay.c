// SPDX-License-Identifier: Apache-2.0
/* Packets between hosts (hosts_case.h), and what is in the kernel for them. */
#include "agent/net/overlay.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/net/overlayplan.h"
#include "agent/net/rtnl.h"
#include "common/cleanup.h"
#include "hosts_case.h"
#include "tests/lib/skip.h"

static struct overlay *overlays[HOSTS];

static struct overlay *make_overlay(enum hosts_case h)
{
    struct overlay_config config = {.device = "whtestx",
                                    .vni = overlayplan_vni("cluster"),
                                    .metric = 2000,
                                    .gateway = NET_GATEWAY,
                                    .range = 0x0a800000u,
                                    .range_prefix = 9,
                                    .block = hosts[h].block,
                                    .block_prefix = 22};

    return overlay_create(&config);
}

/* All nodes but the host itself. */
static void tell_nodes(enum hosts_case h)
{
    struct net_route nodes[HOSTS];
    unsigned n = hosts_case_nodes(h, nodes);

    overlay_nodes(overlays[h], hosts[h].underlay, nodes, n);
}

static void assert_overlay(enum hosts_case h)
{
    struct err e = {0};

    ck_assert_msg(overlay_assert(overlays[h], hosts[h].rtnl, &e) == 0, "%s", e.text);
}

static void setup(void)
{
    hosts_case_make();
    for (unsigned h = 0; h < HOSTS; h++) {
        overlays[h] = make_overlay((enum hosts_case)h);
        tell_nodes((enum hosts_case)h);
        assert_overlay((enum hosts_case)h);
    }
}

static void teardown(void)
{
    for (unsigned h = 0; h < HOSTS; h++) {
        overlay_remove(overlays[h], hosts[h].rtnl);
        overlay_destroy(overlays[h]);
        none(hosts[h].ns, "ip route | grep 10.128 | grep -v whtestabc");
        none(hosts[h].ns, "ip -o link | grep whtestx");
        none(hosts[h].ns, "ip -o addr show lo | grep 10.128");
        must(hosts[h].ns, "ip link del whtestabc");
    }
}

/* ---- decisions ---- */

START_TEST(the_way_decides)
{
    static const struct {
        struct rtnl_way way;
        unsigned link_mtu; /* 0: no link */
        bool tunnel;
        enum net_way_kind kind;
        unsigned mtu;
        bool encrypt;
    } rows[] = {
        {{.index = 2}, 1500, false, NET_WAY_LINK, 1500},
        {{.index = 2, .mtu = 1450}, 1500, false, NET_WAY_LINK, 1450},
        {{.index = 2, .gateway = true}, 1500, false, NET_WAY_VXLAN, 1450},
        {{.index = 2, .gateway = true, .mtu = 1400}, 1500, false, NET_WAY_VXLAN, 1350},
        {{.index = 2, .gateway = true, .mtu = 9000}, 1500, false, NET_WAY_VXLAN, 1450},
        {{.index = 2}, 1420, true, NET_WAY_VXLAN, 1370},
        {{.none = true}, 0, false, NET_WAY_VXLAN, 1450},
        {{.index = 2}, 0, false, NET_WAY_VXLAN, 1450},
        {{.index = 1, .local = true}, 65536, false, NET_WAY_HERE, 65536},
        {{.index = 1, .local = true}, 65536, false, NET_WAY_HERE, 65536, true},
        {{.index = 2}, 1500, false, NET_WAY_WIREGUARD, 1440, true},
        {{.index = 2, .gateway = true}, 1400, false, NET_WAY_WIREGUARD, 1340, true},
        {{.none = true}, 0, false, NET_WAY_WIREGUARD, 1440, true},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct net_route node = {.block = hosts[B].block, .block_prefix = 22, .via = 7};
        struct rtnl_link link = {
            .index = 2, .name = "u0", .mtu = rows[i].link_mtu, .shared = !rows[i].tunnel};
        struct net_way way =
            overlayplan_choose(&node, &rows[i].way, link.mtu != 0 ? &link : NULL, rows[i].encrypt);

        ck_assert_msg(way.kind == rows[i].kind, "row %zu: %d", i, way.kind);
        ck_assert_msg(way.mtu == rows[i].mtu, "row %zu: %u", i, way.mtu);
    }
}
END_TEST

START_TEST(a_cluster_has_its_number)
{
    uint32_t one = overlayplan_vni("00000000000000c100000000000057e2");

    ck_assert_uint_ne(one, overlayplan_vni("00000000000000c100000000000057e3"));
    ck_assert_uint_eq(one, overlayplan_vni("00000000000000c100000000000057e2"));
    for (unsigned i = 0; i < 100000; i++) {
        char id[16];

        (void)snprintf(id, sizeof(id), "%u", i);
        ck_assert_uint_ne(overlayplan_vni(id), 0);
        ck_assert_uint_eq(overlayplan_vni(id) >> 24, 0);
    }
}
END_TEST

/* ---- between hosts ---- */

START_TEST(hosts_on_a_link_use_it_and_others_use_vxlan)
{
    unsigned n;
    const struct net_way *ways = overlay_ways(overlays[A], &n);

    ck_assert_uint_eq(n, 2);
    ck_assert_int_eq(ways[0].kind, NET_WAY_VXLAN);
    ck_assert_uint_eq(ways[0].mtu, HOSTS_CASE_MTU - 50);
    ck_assert_str_eq(ways[0].link, "u0");
    ck_assert_int_eq(ways[1].kind, NET_WAY_LINK);
    ck_assert_uint_eq(ways[1].mtu, HOSTS_CASE_MTU);
    must(hosts[A].ns, "ip route | grep -q '10.128.12.0/22 via 192.0.2.2 dev u0 proto 87'");
    must(hosts[A].ns, "ip route | grep -q '10.128.8.0/22 via 10.128.8.0 dev whtestx .*mtu 1350'");
    must(hosts[A].ns, "ip -d link show whtestx | grep -q 'local 192.0.2.1 .*nolearning' &&"
                      "ip -d link show whtestx | grep -q 'mtu 1350 '");
    hosts_case_all_reach(1);
    /* A container that comes from the host itself is answered, too. */
    ck_assert_uint_eq(hosts_case_carry(hosts[A].ns, hosts[B].cell, hosts[B].container, 1),
                      hosts[A].block);
}
END_TEST

START_TEST(much_passes_although_containers_do_not_know_the_mtu)
{
    hosts_case_all_reach(4 << 20);
}
END_TEST

/* Datagrams that must not be cut to pieces. */
static ssize_t send_whole(int ns, uint32_t to, size_t bytes)
{
    struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(to)};
    auto_close int fd = hosts_case_socket(ns, SOCK_DGRAM);
    int set = IP_PMTUDISC_DO;
    char data[1500] = {0};

    (void)setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &set, sizeof(set));
    return sendto(fd, data, bytes, 0, (struct sockaddr *)&name, sizeof(name)) < 0 ? -errno : 0;
}

START_TEST(a_datagram_that_is_too_long_is_told_so)
{
    static const struct {
        enum hosts_case to;
        size_t mtu;
    } rows[] = {{B, HOSTS_CASE_MTU - 50}, {C, HOSTS_CASE_MTU}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t to = hosts[rows[i].to].container;
        auto_close int server = hosts_case_serve(hosts[rows[i].to].cell, SOCK_DGRAM, 53);
        size_t most = rows[i].mtu - 28; /* less the headers of IPv4 and UDP */
        char data[1500];

        ck_assert_int_eq(send_whole(hosts[A].cell, to, most + 1), 0); /* is refused on the way */
        ck_assert_int_eq(send_whole(hosts[A].cell, to, most + 1), -EMSGSIZE);
        ck_assert_int_eq(send_whole(hosts[A].cell, to, most), 0);
        ck_assert_int_eq(recv(server, data, sizeof(data), 0), (ssize_t)most);
    }
}
END_TEST

START_TEST(a_narrow_link_is_named)
{
    struct err e = {0};

    must(hosts[A].ns, "ip link set u0 mtu 1279");
    ck_assert_int_eq(overlay_assert(overlays[A], hosts[A].rtnl, &e), -EMSGSIZE);
    ck_assert_msg(strstr(e.text, "by u0 takes packets of 1279 bytes; 1280") != NULL, "%s", e.text);
    must(hosts[A].ns,
         "ip route | grep -q '10.128.8.0/22 .*mtu 1229'"); /* it is used all the same */
    must(hosts[A].ns, "ip link set u0 mtu 1400");
    assert_overlay(A);
    must(hosts[A].ns, "ip route | grep -q '10.128.8.0/22 .*mtu 1350'");
}
END_TEST

/* ---- made complete ---- */

/* What there is, as text, but for the device's index. */
static void snapshot(enum hosts_case h, char *ret, size_t size)
{
    char path[] = "/tmp/test_overlay.XXXXXX";
    int fd = mkstemp(path);
    ssize_t n;

    ck_assert_int_ge(fd, 0);
    must(hosts[h].ns,
         "(ip -d link show whtestx | sed 's/^[0-9]*://'; ip route; ip -4 addr show lo;"
         "ip neigh show dev whtestx nud permanent; bridge fdb show dev whtestx | sort) >%s",
         path);
    n = pread(fd, ret, size - 1, 0);
    ck_assert_int_gt(n, 0);
    ret[n] = '\0';
    (void)unlink(path);
    (void)close(fd);
}

START_TEST(what_others_did_is_undone)
{
    static const char *const deeds[] = {
        "ip link del whtestx",
        "ip link set whtestx down",
        "ip link set whtestx mtu 1200",
        "ip route flush proto 87",
        "ip route flush table main; ip route add 192.0.2.0/24 dev u0 proto kernel scope link src "
        "192.0.2.1; ip route add default via 192.0.2.254",
        "ip neigh flush dev whtestx nud permanent",
        "ip neigh replace 10.128.8.0 lladdr 02:00:00:00:00:01 dev whtestx nud permanent",
        "ip neigh add 10.128.99.0 lladdr 02:00:00:00:00:01 dev whtestx nud permanent",
        "bridge fdb del 02:76:0a:80:08:00 dev whtestx",
        "bridge fdb replace 02:76:0a:80:08:00 dev whtestx dst 203.0.113.9",
        "bridge fdb append 02:76:0a:80:08:00 dev whtestx dst 203.0.113.9",
        "bridge fdb append 00:00:00:00:00:00 dev whtestx dst 203.0.113.9",
        "ip -4 addr flush dev lo; ip addr add 127.0.0.1/8 dev lo",
        "ip route add 10.128.64.0/22 via 192.0.2.77 proto 87 metric 2000",
        "ip route replace 10.128.8.0/22 via 192.0.2.77 proto 87 metric 2000",
        "ip link del whtestx; ip link add whtestx type veth peer name other",
        "ip link del whtestx; ip link add whtestx up type vxlan id 9 dstport 4789",
        "ip link set whtestx down; ip link set whtestx address 02:00:00:00:00:01",
    };
    static char before[32768];
    static char after[32768];

    for (size_t i = 0; i < ARRAY_LEN(deeds); i++) {
        assert_overlay(A);
        snapshot(A, before, sizeof(before));
        must(hosts[A].ns, "%s", deeds[i]);
        (void)hosts_case_shell(
            hosts[A].ns, "ip route add 10.128.4.5 dev whtestabc proto 87 scope link 2>/dev/null");
        assert_overlay(A);
        snapshot(A, after, sizeof(after));
        ck_assert_msg(strcmp(before, after) == 0, "%s\n%s\n%s", deeds[i], before, after);
        hosts_case_reaches(A, B, 1);
        hosts_case_reaches(C, A, 1);
    }
}
END_TEST

START_TEST(a_new_agent_takes_what_is_there)
{
    static char before[32768];
    static char after[32768];
    const struct net_route *nodes;
    struct err e = {0};
    unsigned n;

    snapshot(A, before, sizeof(before));
    overlay_destroy(overlays[A]);
    overlays[A] = make_overlay(A);
    assert_overlay(A); /* nobody knows the nodes yet */
    snapshot(A, after, sizeof(after));
    ck_assert_str_eq(before, after);
    ck_assert_msg(overlay_recall(overlays[A], hosts[A].rtnl, &e) == 0, "%s", e.text);
    nodes = overlay_known(overlays[A], &n);
    ck_assert_uint_eq(n, 2);
    for (unsigned i = 0; i < n; i++) {
        enum hosts_case h = nodes[i].block == hosts[B].block ? B : C;

        ck_assert_uint_eq(nodes[i].block, hosts[h].block);
        ck_assert_uint_eq(nodes[i].block_prefix, 22);
        ck_assert_uint_eq(nodes[i].via, hosts[h].underlay);
    }
    assert_overlay(A);
    snapshot(A, after, sizeof(after));
    ck_assert_str_eq(before, after);
    must(hosts[A].ns, "ip link del whtestx");
    assert_overlay(A);
    snapshot(A, after, sizeof(after));
    ck_assert_str_eq(before, after);
    tell_nodes(A);
    assert_overlay(A);
    snapshot(A, after, sizeof(after));
    ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(nodes_come_move_and_go)
{
    struct net_route nodes[] = {
        {.block = hosts[B].block, .block_prefix = 22, .via = hosts[B].underlay},
        {.block = hosts[C].block, .block_prefix = 22, .via = 0xcb007101u},
    };

    overlay_nodes(overlays[A], hosts[A].underlay, nodes, 2); /* C has moved away */
    assert_overlay(A);
    must(hosts[A].ns, "bridge fdb show dev whtestx | grep -q '02:76:0a:80:0c:00 dst 203.0.113.1 '");
    must(hosts[A].ns, "ip route | grep -q '10.128.12.0/22 via 10.128.12.0 dev whtestx'");
    overlay_nodes(overlays[A], hosts[A].underlay, nodes, 1);
    assert_overlay(A);
    none(hosts[A].ns, "bridge fdb show dev whtestx | grep 02:76:0a:80:0c:00");
    none(hosts[A].ns, "ip neigh show dev whtestx nud all | grep 10.128.12.0");
    none(hosts[A].ns, "ip route | grep 10.128.12.0");
    hosts_case_reaches(A, B, 1);
    nodes[0].via = hosts[A].underlay; /* another agent of this host */
    overlay_nodes(overlays[A], hosts[A].underlay, nodes, 1);
    assert_overlay(A);
    none(hosts[A].ns, "ip -o link | grep whtestx");
    none(hosts[A].ns, "ip route | grep 10.128.8.0");
    tell_nodes(A);
    assert_overlay(A);
    hosts_case_all_reach(1);
}
END_TEST

/* A tenth of the packets is lost, and each takes its time. Needs netem: in the virtual machine. */
START_TEST(a_bad_wire_is_survived)
{
    bool here =
        hosts_case_shell(hosts_router, "for l in to_a to_b to_c; do "
                                       "tc qdisc add dev $l root netem delay 50ms loss 10%% "
                                       "2>/dev/null || exit 1; done") == 0;

    (void)fprintf(stderr, "netem: %s\n", here ? "yes" : "no: this kernel has it not");
    if (here) {
        hosts_case_all_reach(20000);
    }
}
END_TEST

START_TEST(thousands_of_nodes)
{
    enum { N = 4000 };
    struct net_route *nodes = xcalloc(N, sizeof(*nodes));

    for (unsigned i = 0; i < N; i++) {
        nodes[i] = (struct net_route){
            .block = 0x0a900000u + i * 256, .block_prefix = 24, .via = 0xcb000000u + i};
    }
    overlay_nodes(overlays[A], hosts[A].underlay, nodes, N);
    assert_overlay(A);
    assert_overlay(A);
    must(hosts[A].ns, "[ $(bridge fdb show dev whtestx | wc -l) -eq 4000 ] &&"
                      "[ $(ip route | grep -c whtestx) -eq 4000 ]");
    tell_nodes(A);
    assert_overlay(A);
    must(hosts[A].ns, "[ $(bridge fdb show dev whtestx | wc -l) -eq 1 ]");
    hosts_case_all_reach(1);
    free(nodes);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("overlay");
    TCase *pure = tcase_create("pure");
    TCase *between = tcase_create("between");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(pure, the_way_decides);
    tcase_add_test(pure, a_cluster_has_its_number);
    suite_add_tcase(s, pure);
    if (skip_unless_root("network namespaces")) {
        return SKIP;
    }
    tcase_add_checked_fixture(between, setup, teardown);
    tcase_set_timeout(between, 60);
    tcase_add_test(between, hosts_on_a_link_use_it_and_others_use_vxlan);
    tcase_add_test(between, much_passes_although_containers_do_not_know_the_mtu);
    tcase_add_test(between, a_datagram_that_is_too_long_is_told_so);
    tcase_add_test(between, a_narrow_link_is_named);
    tcase_add_test(between, what_others_did_is_undone);
    tcase_add_test(between, a_new_agent_takes_what_is_there);
    tcase_add_test(between, nodes_come_move_and_go);
    tcase_add_test(between, a_bad_wire_is_survived);
    tcase_add_test(between, thousands_of_nodes);
    suite_add_tcase(s, between);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
