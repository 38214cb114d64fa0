// SPDX-License-Identifier: Apache-2.0
/* Packets between hosts, in namespaces of the test's own: hosts A and C share a link, host B is
 * behind a router, all links take 1400 bytes, and each host has one container, whose link takes
 * 1500. */
#include "agent/net/overlay.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/net/netns.h"
#include "agent/net/overlayplan.h"
#include "agent/net/rtnl.h"
#include "common/cleanup.h"

#define LINK_MTU 1400
#define WAIT_MS  10000

extern char **environ;

enum host { A, B, C, HOSTS };

static const struct {
    uint32_t underlay;
    uint32_t block;
} hosts[HOSTS] = {
    [A] = {0xc0000201u, 0x0a800400u}, /* 192.0.2.1, 10.128.4.0 */
    [B] = {0xc6336401u, 0x0a800800u}, /* 198.51.100.1, 10.128.8.0 */
    [C] = {0xc0000202u, 0x0a800c00u}, /* 192.0.2.2, 10.128.12.0 */
};

static struct {
    int router;
    int host[HOSTS];
    int cell[HOSTS];
    int rtnl[HOSTS];
    struct overlay *overlay[HOSTS];
} t;

/* ---- the machine ---- */

/* Runs a line of shell in a namespace; returns its exit status. */
static int shell(int ns, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int shell(int ns, const char *fmt, ...)
{
    char line[768];
    char enter[64];
    char *args[] = {(char *)"nsenter", enter, (char *)"/bin/sh", (char *)"-c", line, NULL};
    va_list ap;
    pid_t pid;
    int status = 0;

    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    (void)snprintf(enter, sizeof(enter), "--net=/proc/%d/fd/%d", (int)getpid(), ns);
    ck_assert_int_eq(posix_spawnp(&pid, "nsenter", NULL, NULL, args, environ), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

#define must(...) ck_assert_int_eq(shell(__VA_ARGS__), 0)
#define none(...) ck_assert_int_eq(shell(__VA_ARGS__), 1)

static int own_netns(void)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    return fd;
}

static int new_netns(void)
{
    int home = own_netns();
    int made;

    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    made = own_netns();
    ck_assert_int_eq(setns(home, CLONE_NEWNET), 0);
    (void)close(home);
    return made;
}

/* A link between the router and a host: `u0` there, with this address and way out. */
static void join(enum host h, const char *port, const char *address, const char *gateway)
{
    must(t.router,
         "ip link add %s mtu %d type veth peer name u0 mtu %d netns /proc/%d/fd/%d &&"
         "ip link set %s up",
         port, LINK_MTU, LINK_MTU, (int)getpid(), t.host[h], port);
    must(t.host[h],
         "ip link set lo up; ip addr add %s/24 dev u0; ip link set u0 up;"
         "ip route add default via %s; sysctl -qw net.ipv4.ip_forward=1",
         address, gateway);
}

static void make_hosts(void)
{
    t.router = new_netns();
    for (unsigned h = 0; h < HOSTS; h++) {
        t.host[h] = new_netns();
        t.cell[h] = new_netns();
    }
    must(t.router, "ip link set lo up; sysctl -qw net.ipv4.ip_forward=1;"
                   "ip link add br0 type bridge && ip addr add 192.0.2.254/24 dev br0");
    join(A, "to_a", "192.0.2.1", "192.0.2.254");
    join(B, "to_b", "198.51.100.1", "198.51.100.254");
    join(C, "to_c", "192.0.2.2", "192.0.2.254");
    must(t.router, "ip link set to_a master br0; ip link set to_c master br0;"
                   "ip addr add 198.51.100.254/24 dev to_b; ip link set br0 up");
}

static uint32_t container_of_host(enum host h)
{
    return hosts[h].block + 5;
}

static void make_container(enum host h)
{
    struct rtnl_veth veth = {.name = "whtestabc",
                             .alias = "test",
                             .address = container_of_host(h),
                             .gateway = NET_GATEWAY,
                             .mtu = 1500,
                             .netns_fd = t.cell[h]};
    struct err e = {0};

    ck_assert_msg(rtnl_veth_add(t.rtnl[h], &veth, &e) == 0, "%s", e.text);
}

static struct overlay *make_overlay(enum host h)
{
    struct overlay_config config = {.device = "whtestx",
                                    .vni = overlayplan_vni("cluster"),
                                    .metric = 2000,
                                    .gateway = NET_GATEWAY,
                                    .block = hosts[h].block,
                                    .block_prefix = 22};

    return overlay_create(&config);
}

/* All nodes but the host itself. */
static void tell_nodes(enum host h)
{
    struct net_route nodes[HOSTS];
    unsigned n = 0;

    for (unsigned i = 0; i < HOSTS; i++) {
        if (i != h) {
            nodes[n++] = (struct net_route){
                .block = hosts[i].block, .block_prefix = 22, .via = hosts[i].underlay};
        }
    }
    overlay_nodes(t.overlay[h], hosts[h].underlay, nodes, n);
}

static void assert_overlay(enum host h)
{
    struct err e = {0};

    ck_assert_msg(overlay_assert(t.overlay[h], t.rtnl[h], &e) == 0, "%s", e.text);
}

static void setup(void)
{
    make_hosts();
    for (unsigned h = 0; h < HOSTS; h++) {
        t.rtnl[h] = netns_socket(t.host[h], AF_NETLINK, SOCK_RAW, 0, NULL);
        ck_assert_int_ge(t.rtnl[h], 0);
        t.overlay[h] = make_overlay((enum host)h);
        make_container((enum host)h);
        tell_nodes((enum host)h);
        assert_overlay((enum host)h);
    }
}

static void teardown(void)
{
    for (unsigned h = 0; h < HOSTS; h++) {
        overlay_remove(t.overlay[h], t.rtnl[h]);
        overlay_destroy(t.overlay[h]);
        none(t.host[h], "ip route | grep 10.128 | grep -v whtestabc");
        none(t.host[h], "ip -o link | grep whtestx");
        none(t.host[h], "ip -o addr show lo | grep 10.128");
        must(t.host[h], "ip link del whtestabc");
    }
}

/* ---- traffic ---- */

static struct sockaddr_in name_of(uint32_t address, uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
}

static int make_socket(int ns, int type)
{
    struct timeval tv = {.tv_sec = WAIT_MS / 1000};
    int one = 1;
    int fd = netns_socket(ns, AF_INET, type, 0, NULL);

    ck_assert_int_ge(fd, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    return fd;
}

static int serve(int ns, int type, uint16_t port)
{
    struct sockaddr_in name = name_of(INADDR_ANY, port);
    int fd = make_socket(ns, type);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    if (type == SOCK_STREAM) {
        ck_assert_int_eq(listen(fd, 16), 0);
    }
    return fd;
}

/* Sends `bytes` from one namespace to another's address; returns whom the receiver saw. */
static uint32_t carry(int from, int to, uint32_t address, size_t bytes)
{
    struct sockaddr_in name = name_of(address, 80);
    struct sockaddr_in who = {0};
    socklen_t len = sizeof(who);
    auto_close int server = serve(to, SOCK_STREAM, 80);
    auto_close int client = make_socket(from, SOCK_STREAM);
    auto_close int accepted = -1;
    auto_free char *piece = xcalloc(1, 65536);

    if (connect(client, (struct sockaddr *)&name, sizeof(name)) < 0) {
        return 0;
    }
    accepted = accept4(server, (struct sockaddr *)&who, &len, SOCK_CLOEXEC);
    ck_assert_int_ge(accepted, 0);
    (void)fcntl(client, F_SETFL, O_NONBLOCK);
    for (size_t sent = 0, got = 0; got < bytes;) {
        size_t rest = bytes - sent < 65536 ? bytes - sent : 65536;
        ssize_t n = rest > 0 ? send(client, piece, rest, 0) : 0;

        sent += n > 0 ? (size_t)n : 0;
        n = recv(accepted, piece, 65536, sent < bytes ? MSG_DONTWAIT : 0);
        ck_assert_msg(n > 0 || (n < 0 && errno == EAGAIN && sent < bytes), "cut off at %zu", got);
        got += n > 0 ? (size_t)n : 0;
    }
    return ntohl(who.sin_addr.s_addr);
}

static void reaches(enum host from, enum host to, size_t bytes)
{
    uint32_t who = carry(t.cell[from], t.cell[to], container_of_host(to), bytes);

    ck_assert_msg(who == container_of_host(from), "%u to %u: %x", from, to, who);
}

static void all_reach(size_t bytes)
{
    for (unsigned i = 0; i < HOSTS * HOSTS; i++) {
        if (i / HOSTS != i % HOSTS) {
            reaches((enum host)(i / HOSTS), (enum host)(i % HOSTS), bytes);
        }
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
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct net_route node = {.block = hosts[B].block, .block_prefix = 22, .via = 7};
        struct rtnl_link link = {
            .index = 2, .name = "u0", .mtu = rows[i].link_mtu, .shared = !rows[i].tunnel};
        struct net_way way = overlayplan_choose(&node, &rows[i].way, link.mtu != 0 ? &link : NULL);

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
    const struct net_way *ways = overlay_ways(t.overlay[A], &n);

    ck_assert_uint_eq(n, 2);
    ck_assert_int_eq(ways[0].kind, NET_WAY_VXLAN);
    ck_assert_uint_eq(ways[0].mtu, LINK_MTU - 50);
    ck_assert_str_eq(ways[0].link, "u0");
    ck_assert_int_eq(ways[1].kind, NET_WAY_LINK);
    ck_assert_uint_eq(ways[1].mtu, LINK_MTU);
    must(t.host[A], "ip route | grep -q '10.128.12.0/22 via 192.0.2.2 dev u0 proto 87'");
    must(t.host[A], "ip route | grep -q '10.128.8.0/22 via 10.128.8.0 dev whtestx .*mtu 1350'");
    must(t.host[A], "ip -d link show whtestx | grep -q 'local 192.0.2.1 .*nolearning' &&"
                    "ip -d link show whtestx | grep -q 'mtu 1350 '");
    all_reach(1);
    /* A container that comes from the host itself is answered, too. */
    ck_assert_uint_eq(carry(t.host[A], t.cell[B], container_of_host(B), 1), hosts[A].block);
}
END_TEST

START_TEST(much_passes_although_containers_do_not_know_the_mtu)
{
    all_reach(4 << 20);
}
END_TEST

/* Datagrams that must not be cut to pieces. */
static ssize_t send_whole(int ns, uint32_t to, size_t bytes)
{
    struct sockaddr_in name = name_of(to, 53);
    auto_close int fd = make_socket(ns, SOCK_DGRAM);
    int set = IP_PMTUDISC_DO;
    char data[1500] = {0};

    (void)setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &set, sizeof(set));
    return sendto(fd, data, bytes, 0, (struct sockaddr *)&name, sizeof(name)) < 0 ? -errno : 0;
}

START_TEST(a_datagram_that_is_too_long_is_told_so)
{
    static const struct {
        enum host to;
        size_t mtu;
    } rows[] = {{B, LINK_MTU - 50}, {C, LINK_MTU}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t to = container_of_host(rows[i].to);
        auto_close int server = serve(t.cell[rows[i].to], SOCK_DGRAM, 53);
        size_t most = rows[i].mtu - 28; /* less the headers of IPv4 and UDP */
        char data[1500];

        ck_assert_int_eq(send_whole(t.cell[A], to, most + 1), 0); /* is refused on the way */
        ck_assert_int_eq(send_whole(t.cell[A], to, most + 1), -EMSGSIZE);
        ck_assert_int_eq(send_whole(t.cell[A], to, most), 0);
        ck_assert_int_eq(recv(server, data, sizeof(data), 0), (ssize_t)most);
    }
}
END_TEST

START_TEST(a_narrow_link_is_named)
{
    struct err e = {0};

    must(t.host[A], "ip link set u0 mtu 1279");
    ck_assert_int_eq(overlay_assert(t.overlay[A], t.rtnl[A], &e), -EMSGSIZE);
    ck_assert_msg(strstr(e.text, "by u0 takes packets of 1279 bytes; 1280") != NULL, "%s", e.text);
    must(t.host[A], "ip route | grep -q '10.128.8.0/22 .*mtu 1229'"); /* it is used all the same */
    must(t.host[A], "ip link set u0 mtu 1400");
    assert_overlay(A);
    must(t.host[A], "ip route | grep -q '10.128.8.0/22 .*mtu 1350'");
}
END_TEST

/* ---- made complete ---- */

/* What there is, as text, but for the device's index. */
static void snapshot(enum host h, char *ret, size_t size)
{
    char path[] = "/tmp/test_overlay.XXXXXX";
    int fd = mkstemp(path);
    ssize_t n;

    ck_assert_int_ge(fd, 0);
    must(t.host[h],
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
        must(t.host[A], "%s", deeds[i]);
        (void)shell(t.host[A],
                    "ip route add 10.128.4.5 dev whtestabc proto 87 scope link 2>/dev/null");
        assert_overlay(A);
        snapshot(A, after, sizeof(after));
        ck_assert_msg(strcmp(before, after) == 0, "%s\n%s\n%s", deeds[i], before, after);
        reaches(A, B, 1);
        reaches(C, A, 1);
    }
}
END_TEST

START_TEST(a_new_agent_takes_what_is_there)
{
    static char before[32768];
    static char after[32768];

    snapshot(A, before, sizeof(before));
    overlay_destroy(t.overlay[A]);
    t.overlay[A] = make_overlay(A);
    assert_overlay(A); /* nobody has told the nodes yet */
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

    overlay_nodes(t.overlay[A], hosts[A].underlay, nodes, 2); /* C has moved away */
    assert_overlay(A);
    must(t.host[A], "bridge fdb show dev whtestx | grep -q '02:76:0a:80:0c:00 dst 203.0.113.1 '");
    must(t.host[A], "ip route | grep -q '10.128.12.0/22 via 10.128.12.0 dev whtestx'");
    overlay_nodes(t.overlay[A], hosts[A].underlay, nodes, 1);
    assert_overlay(A);
    none(t.host[A], "bridge fdb show dev whtestx | grep 02:76:0a:80:0c:00");
    none(t.host[A], "ip neigh show dev whtestx nud all | grep 10.128.12.0");
    none(t.host[A], "ip route | grep 10.128.12.0");
    reaches(A, B, 1);
    nodes[0].via = hosts[A].underlay; /* another agent of this host */
    overlay_nodes(t.overlay[A], hosts[A].underlay, nodes, 1);
    assert_overlay(A);
    none(t.host[A], "ip -o link | grep whtestx");
    none(t.host[A], "ip route | grep 10.128.8.0");
    tell_nodes(A);
    assert_overlay(A);
    all_reach(1);
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
    overlay_nodes(t.overlay[A], hosts[A].underlay, nodes, N);
    assert_overlay(A);
    assert_overlay(A);
    must(t.host[A], "[ $(bridge fdb show dev whtestx | wc -l) -eq 4000 ] &&"
                    "[ $(ip route | grep -c whtestx) -eq 4000 ]");
    tell_nodes(A);
    assert_overlay(A);
    must(t.host[A], "[ $(bridge fdb show dev whtestx | wc -l) -eq 1 ]");
    all_reach(1);
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
    if (geteuid() != 0) {
        (void)fprintf(stderr, "needs root: network namespaces\n");
        return 77;
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
    tcase_add_test(between, thousands_of_nodes);
    suite_add_tcase(s, between);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
