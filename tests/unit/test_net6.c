// SPDX-License-Identifier: Apache-2.0
/* IPv6 of containers: two nodes with a router between them or on one link, each with its network in
 * a namespace. Cells 0 to 2 are on `a`, 3 and 4 on `b`; 2 is another stack's, 4 has no IPv6. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/ip6.h"
#include "agent/net/net.h"
#include "agent/net/netelem.h"
#include "agent/net/netns.h"
#include "common/cleanup.h"
#include "netrig.h"
#include "tests/lib/skip.h"

#define CLUSTER "0123456789abcdef0123456789abcdef"
#define A_BLOCK 0x0a800400u /* 10.128.4.0 */
#define B_BLOCK 0x0a800800u
#define CELLS   5
#define OTHER   2
#define ON_B    3
#define PLAIN   4 /* without IPv6 */
#define LONG    1200

enum node_name { A, B, NODES };

static struct {
    uv_loop_t loop;
    struct node {
        int ns;
        uint32_t underlay;
        struct net *net;
        struct netelems want;
    } node[NODES];
    int router;
    int cell[CELLS];
    uint32_t address[CELLS];
    int server[CELLS];
} t;

static const char *in(int ns)
{
    static char text[64];

    (void)snprintf(text, sizeof(text), "nsenter --net=/proc/%d/fd/%d", (int)getpid(), ns);
    return text;
}

static enum node_name home(unsigned cell)
{
    return cell < ON_B ? A : B;
}

static unsigned on_all(void *arg, struct netelems *ret)
{
    const struct node *n = arg;

    for (unsigned i = 0; i < n->want.n; i++) {
        netelems_add(ret, &n->want.list[i]);
    }
    return 0;
}

static void open_node(enum node_name name)
{
    struct net_config c = {.suffix = name == A ? "a" : "b",
                           .cluster = CLUSTER,
                           .range = 0x0a800000u,
                           .range_prefix = 9,
                           .block = name == A ? A_BLOCK : B_BLOCK,
                           .block_prefix = 22,
                           .all = on_all,
                           .arg = &t.node[name]};
    struct net_route other = {.block = name == A ? B_BLOCK : A_BLOCK,
                              .block_prefix = 22,
                              .via = t.node[name == A ? B : A].underlay};
    struct err e = {0};

    netrig_must(setns(t.node[name].ns, CLONE_NEWNET));
    ck_assert_msg(net_create(&t.loop, &c, &t.node[name].net, &e) == 0, "%s", e.text);
    netrig_must(setns(t.node[A].ns, CLONE_NEWNET));
    ck_assert_msg(net_routes(t.node[name].net, t.node[name].underlay, &other, 1, &e) == 0, "%s",
                  e.text);
}

/* ---- traffic ---- */

static struct sockaddr_in6 name_of(const struct ip6 *ip, uint16_t port)
{
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    memcpy(&name.sin6_addr, ip->bytes, sizeof(ip->bytes));
    return name;
}

static struct ip6 six_of(uint32_t address)
{
    struct ip6 cluster = ip6_cluster(CLUSTER);

    return ip6_of(&cluster, address);
}

static int serve(int ns)
{
    static const struct ip6 any;
    struct sockaddr_in6 name = name_of(&any, 80);
    int fd = netrig_socket(ns, AF_INET6, SOCK_STREAM, NETRIG_WAIT_MS);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    ck_assert_int_eq(listen(fd, 64), 0);
    return fd;
}

/* Gives a connected socket, or the error, negative. */
static int dial(int ns, const struct ip6 *to, unsigned timeout_ms)
{
    struct sockaddr_in6 name = name_of(to, 80);
    auto_close int fd = netrig_socket(ns, AF_INET6, SOCK_STREAM, timeout_ms);

    return connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0 ? -errno : take_fd(&fd);
}

/* Connects and sends more than a packet holds; the server sees the client's own address. */
static void visit(unsigned from, unsigned to)
{
    struct ip6 target = six_of(t.address[to]);
    struct ip6 own = six_of(t.address[from]);
    auto_close int client = dial(t.cell[from], &target, NETRIG_WAIT_MS);
    auto_close int accepted = -1;
    struct sockaddr_in6 seen;
    socklen_t len = sizeof(seen);
    char sent[8 * LONG] = {1};
    char got[sizeof(sent)];

    ck_assert_msg(client >= 0, "%u to %u: %s", from, to, strerror(-client));
    accepted = accept4(t.server[to], (struct sockaddr *)&seen, &len, SOCK_CLOEXEC);
    ck_assert_int_ge(accepted, 0);
    ck_assert_mem_eq(&seen.sin6_addr, own.bytes, sizeof(own.bytes));
    ck_assert_int_eq(send(client, sent, sizeof(sent), 0), sizeof(sent));
    ck_assert_int_eq(recv(accepted, got, sizeof(got), MSG_WAITALL), sizeof(got));
    ck_assert_mem_eq(sent, got, sizeof(got));
}

static void refuse(int ns, uint32_t to)
{
    struct ip6 target = six_of(to);
    int fd = dial(ns, &target, NETRIG_BLOCKED_MS);

    ck_assert_msg(fd < 0, "%x answers", (unsigned)to);
}

static uint64_t dropped(enum node_name name, const char *why)
{
    struct net_drop drops[NET_DROPS_MAX];
    struct err e = {0};
    unsigned n = 0;

    ck_assert_msg(net_counters(t.node[name].net, drops, &n, &e) == 0, "%s", e.text);
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(drops[i].name, why) == 0) {
            return drops[i].packets;
        }
    }
    ck_abort_msg("no counter %s", why);
}

/* ---- the world ---- */

static void join(enum node_name name, const char *address, const char *gateway)
{
    netrig_must(
        netrig_shell("%s /bin/sh -c 'ip link add r%u type veth peer name u0 netns /proc/%d/fd/%d;"
                     "ip addr add %s/24 dev r%u; ip link set r%u up'",
                     in(t.router), (unsigned)name, (int)getpid(), t.node[name].ns, gateway,
                     (unsigned)name, (unsigned)name));
    netrig_must(netrig_shell("%s /bin/sh -c 'ip link set lo up; ip addr add %s/24 dev u0;"
                             "ip link set u0 up; ip route add default via %s'",
                             in(t.node[name].ns), address, gateway));
}

static void make_router(void)
{
    t.router = netrig_new_netns();
    netrig_must(netrig_shell("%s sysctl -qw net.ipv4.ip_forward=1", in(t.router)));
    join(A, "198.51.100.1", "198.51.100.254");
    join(B, "203.0.113.1", "203.0.113.254");
    t.node[A].underlay = 0xc6336401u;
    t.node[B].underlay = 0xcb007101u;
}

static void make_link(void)
{
    netrig_must(
        netrig_shell("ip link set lo up; ip link add u0 type veth peer name u0 netns "
                     "/proc/%d/fd/%d; ip addr add 198.51.100.1/24 dev u0; ip link set u0 up",
                     (int)getpid(), t.node[B].ns));
    netrig_must(netrig_shell("%s /bin/sh -c 'ip link set lo up; ip addr add 198.51.100.2/24 dev u0;"
                             "ip link set u0 up'",
                             in(t.node[B].ns)));
    t.node[A].underlay = 0xc6336401u;
    t.node[B].underlay = 0xc6336402u;
}

static void attach(unsigned i)
{
    struct net *net = t.node[home(i)].net;
    struct net_id id = {.incarnation = i, .run = 1};
    struct net_link link = {.ipv6 = i != PLAIN};
    struct err e = {0};

    t.cell[i] = netrig_new_netns();
    ck_assert_int_eq(net_reserve(net, &link.address, &e), 0);
    t.address[i] = link.address;
    netrig_must(setns(t.node[home(i)].ns, CLONE_NEWNET));
    ck_assert_msg(net_attach(net, id, t.cell[i], &link, &e) == 0, "%s", e.text);
    netrig_must(setns(t.node[A].ns, CLONE_NEWNET));
    t.server[i] = serve(t.cell[i]);
}

/* All share a network but one. */
static void classify(struct node *n)
{
    struct err e = {0};

    for (unsigned i = 0; i < CELLS; i++) {
        uint32_t mark = i == OTHER ? 2 : 1;

        netelems_add(&n->want, &(struct netelem){
                                   .set = NETELEM_CLASS, .address = t.address[i], .mark = mark});
        netelems_add(&n->want, &(struct netelem){
                                   .set = NETELEM_REACH, .address = t.address[i], .mark = mark});
    }
    netelems_sort(&n->want);
    ck_assert_msg(net_elements(n->net, NULL, 0, n->want.list, n->want.n, 0, &e) == 0, "%s", e.text);
}

static void make_world(void (*lay)(void))
{
    ck_assert_int_eq(uv_loop_init(&t.loop), 0);
    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    t.node[A].ns = netrig_own_netns();
    t.node[B].ns = netrig_new_netns();
    lay();
    for (unsigned i = 0; i < NODES; i++) {
        open_node((enum node_name)i);
    }
    for (unsigned i = 0; i < CELLS; i++) {
        attach(i);
    }
    for (unsigned i = 0; i < NODES; i++) {
        classify(&t.node[i]);
    }
}

static void setup_router(void)
{
    make_world(make_router);
}

static void setup_link(void)
{
    make_world(make_link);
}

static void close_nodes(bool remove)
{
    struct net *nets[NODES];

    for (unsigned i = 0; i < NODES; i++) {
        nets[i] = t.node[i].net;
    }
    netrig_close(&t.loop, nets, NODES, remove);
}

static void teardown(void)
{
    close_nodes(true);
    (void)uv_run(&t.loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&t.loop), 0);
    for (unsigned i = 0; i < NODES; i++) {
        netelems_finish(&t.node[i].want);
    }
    ck_assert_int_eq(netrig_shell("ip -o link | grep -q ' w[hxy]'"), 1);
    ck_assert_int_eq(
        netrig_shell("ip -6 route show table all | grep -v fd99 | grep -q '^[a-z ]*fd'"), 1);
}

/* ---- tests ---- */

static void everybody_visits(void)
{
    visit(0, 1);
    visit(0, ON_B);
    visit(ON_B, 1);
}

START_TEST(containers_talk_across_hosts_by_their_own_addresses)
{
    everybody_visits();
    for (unsigned i = 0; i < NODES; i++) {
        ck_assert_uint_eq(dropped((enum node_name)i, "spoof"), 0);
        ck_assert_uint_eq(dropped((enum node_name)i, "astray"), 0);
        ck_assert_uint_eq(dropped((enum node_name)i, "into"), 0);
        ck_assert_uint_eq(dropped((enum node_name)i, "blocks"), 0);
    }
}
END_TEST

START_TEST(others_are_not_reached)
{
    uint64_t before = dropped(A, "reach");
    struct ip6 world = {{0x20, 0x01, 0x0d, 0xb8, [15] = 1}};

    refuse(t.cell[0], t.address[OTHER]);
    refuse(t.cell[OTHER], t.address[0]);
    refuse(t.cell[OTHER], t.address[ON_B]);
    ck_assert_uint_gt(dropped(A, "reach"), before);
    refuse(t.cell[ON_B], t.address[OTHER]);
    refuse(t.cell[0], A_BLOCK); /* the host itself, and another one */
    ck_assert_uint_gt(dropped(A, "host"), 0);
    refuse(t.cell[0], B_BLOCK);
    refuse(t.cell[0], t.address[PLAIN]);
    refuse(t.cell[0], 0x0af00001u); /* a virtual address */
    /* of the world it is told at once that there is none */
    ck_assert_int_eq(dial(t.cell[0], &world, NETRIG_WAIT_MS), -ENETUNREACH);
    refuse(t.node[B].ns, t.address[0]); /* another host */
    everybody_visits();
}
END_TEST

START_TEST(a_false_address_leads_nowhere)
{
    struct ip6 target = six_of(t.address[ON_B]);
    struct ip6 other = six_of(t.address[1]);
    char text[IP6_TEXT];

    ip6_text(&other, text);
    netrig_must(netrig_shell("%s /bin/sh -c 'ip addr add %s/128 dev eth0 nodad preferred_lft 0'",
                             in(t.cell[0]), text));
    netrig_must(netrig_shell("%s /bin/sh -c 'ip -6 route change $(ip -6 route | grep /105) src %s'",
                             in(t.cell[0]), text));
    ck_assert_int_lt(dial(t.cell[0], &target, NETRIG_BLOCKED_MS), 0);
    ck_assert_uint_gt(dropped(A, "spoof"), 0);
    /* who has none gets none by taking one */
    other = six_of(t.address[PLAIN]);
    ip6_text(&other, text);
    netrig_must(
        netrig_shell("%s /bin/sh -c 'ip addr add %s/128 dev eth0 nodad; ip -6 neigh add fe80::1 "
                     "dev eth0 lladdr 02:77:68:72:72:79; ip -6 route add default via "
                     "fe80::1 dev eth0'",
                     in(t.cell[PLAIN]), text));
    target = six_of(t.address[0]);
    ck_assert_int_lt(dial(t.cell[PLAIN], &target, NETRIG_BLOCKED_MS), 0);
    ck_assert_uint_gt(dropped(B, "spoof"), 0);
}
END_TEST

START_TEST(nothing_comes_by_another_way)
{
    struct ip6 own = six_of(t.address[ON_B]);
    struct ip6 target = six_of(t.address[0]);
    char from[IP6_TEXT], to[IP6_TEXT];

    /* b's host sends in the name of its container without the tunnel */
    ip6_text(&own, from);
    ip6_text(&target, to);
    netrig_must(netrig_shell(
        "ip addr add fd99::1/64 dev u0 nodad; ip link set u0 address 02:00:00:00:00:aa"));
    netrig_must(
        netrig_shell("%s /bin/sh -c 'ip addr add %s/128 dev lo nodad; ip addr add fd99::2/64 dev "
                     "u0 nodad; ip neigh replace fd99::1 lladdr 02:00:00:00:00:aa dev u0;"
                     "ip -6 route add %s/128 via fd99::1 dev u0 src %s'",
                     in(t.node[B].ns), from, to, from));
    ck_assert_int_lt(dial(t.node[B].ns, &target, 1500), 0);
    ck_assert_uint_gt(dropped(A, "astray"), 0);
}
END_TEST

static bool visits(void)
{
    struct ip6 target = six_of(t.address[ON_B]);
    auto_close int fd = dial(t.cell[0], &target, NETRIG_BLOCKED_MS);

    return fd >= 0;
}

START_TEST(what_others_take_away_comes_back)
{
    static const char *const wrongs[] = {
        "for l in $(ip -o link | grep -o '^[0-9]*: wy[a-z0-9]*' | cut -d' ' -f2); do ip link del "
        "$l; done",
        "ip -6 route flush proto 87",
        "for l in $(ip -o link | grep -o '^[0-9]*: wh[a-z0-9]*' | cut -d' ' -f2); do ip link set "
        "$l down; done",
        "ip -6 neigh flush nud permanent",
        "for l in $(ip -o link | grep -o '^[0-9]*: wy[a-z0-9]*' | cut -d' ' -f2); do ip -6 neigh "
        "flush dev $l nud all; "
        "done",
        "ip addr del $(ip -6 -o addr show dev lo | grep -o 'fd[^ ]*') dev lo",
    };

    for (unsigned i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
        netrig_must(netrig_shell("%s", wrongs[i]));
        (void)netrig_run_until(&t.loop, netrig_never, 300);
        ck_assert_msg(netrig_run_until(&t.loop, visits, NETRIG_WAIT_MS), "%s", wrongs[i]);
    }
    netrig_must(netrig_shell("ip -6 -o addr show dev lo | grep -q 'fd[0-9a-f:]*::a80:400/128'"));
}
END_TEST

/* Whether a byte gets through. */
static bool passes(int from, int to)
{
    char byte = 0;

    ck_assert_int_eq(send(from, "?", 1, 0), 1);
    return recv(to, &byte, 1, 0) == 1;
}

START_TEST(flows_of_who_is_gone_are_forgotten)
{
    struct timeval tv = {.tv_usec = NETRIG_BLOCKED_MS * 1000};
    struct ip6 target = six_of(t.address[ON_B]);
    auto_close int client = dial(t.cell[0], &target, NETRIG_WAIT_MS);
    auto_close int accepted = accept4(t.server[ON_B], NULL, NULL, SOCK_CLOEXEC);
    struct netelems none = {0};
    struct err e = {0};

    ck_assert_int_ge(client, 0);
    ck_assert_int_ge(accepted, 0);
    (void)setsockopt(accepted, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    ck_assert_int_eq(
        net_elements(t.node[A].net, t.node[A].want.list, t.node[A].want.n, NULL, 0, 0, &e), 0);
    netelems_finish(&t.node[A].want);
    t.node[A].want = none;
    ck_assert(passes(client, accepted)); /* what has begun goes on */
    net_flush(t.node[A].net, &t.address[ON_B], 1);
    (void)netrig_run_until(&t.loop, netrig_never, 300);
    ck_assert(!passes(client, accepted));
    ck_assert_uint_gt(dropped(A, "reach"), 0);
}
END_TEST

START_TEST(a_new_agent_takes_what_is_there)
{
    struct net_found found[CELLS];
    struct err e = {0};
    unsigned n = 0;

    close_nodes(false);
    visit(0, ON_B);
    for (unsigned i = 0; i < NODES; i++) {
        open_node((enum node_name)i);
        n = 0;
        for (unsigned c = 0; c < CELLS; c++) {
            if (home(c) == i) {
                found[n++] =
                    (struct net_found){.id = {.incarnation = c, .run = 1},
                                       .link = {.address = t.address[c], .ipv6 = c != PLAIN}};
            }
        }
        netrig_must(setns(t.node[i].ns, CLONE_NEWNET));
        ck_assert_msg(net_adopt(t.node[i].net, found, n, &e) == 0, "%s", e.text);
        netrig_must(setns(t.node[A].ns, CLONE_NEWNET));
    }
    everybody_visits();
    netrig_must(netrig_shell("ip -6 route flush proto 87"));
    ck_assert(netrig_run_until(&t.loop, visits, NETRIG_WAIT_MS));
}
END_TEST

/* Refused with the reason, and nothing of it is left: without IPv6 the same container is attached.
 */
START_TEST(without_ipv6_it_is_refused)
{
    struct net *net = t.node[A].net;
    struct net_id id = {.incarnation = 99, .run = 1};
    struct net_link link = {.ipv6 = true};
    int ns = netrig_new_netns();
    struct err e = {0};
    int links;

    netrig_must(netrig_shell("%s /bin/sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6;"
                             "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6'",
                             in(ns)));
    links = netrig_shell("exit $(ip -o link | grep -c ' wh')");
    ck_assert_int_eq(net_reserve(net, &link.address, &e), 0);
    ck_assert_int_lt(net_attach(net, id, ns, &link, &e), 0);
    ck_assert_msg(strstr(e.text, "IPv6") != NULL, "%s", e.text);
    ck_assert_int_eq(netrig_shell("exit $(ip -o link | grep -c ' wh')"), links);
    ck_assert_int_eq(netrig_shell("%s /bin/sh -c 'ip -o link | grep -q eth0'", in(ns)), 1);
    link.ipv6 = false;
    ck_assert_msg(net_attach(net, id, ns, &link, &e) == 0, "%s", e.text);
    (void)close(ns);
}
END_TEST

START_TEST(the_host_goes_on_hearing_routers)
{
    netrig_must(netrig_shell("test $(cat /proc/sys/net/ipv6/conf/all/forwarding) = 1 && "
                             "test $(cat /proc/sys/net/ipv6/conf/u0/accept_ra) = 2"));
}
END_TEST

static void add_tests(Suite *s, const char *name, void (*setup)(void))
{
    TCase *tc = tcase_create(name);

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, containers_talk_across_hosts_by_their_own_addresses);
    tcase_add_test(tc, others_are_not_reached);
    tcase_add_test(tc, a_false_address_leads_nowhere);
    tcase_add_test(tc, what_others_take_away_comes_back);
    tcase_add_test(tc, flows_of_who_is_gone_are_forgotten);
    tcase_add_test(tc, a_new_agent_takes_what_is_there);
    if (setup == setup_link) {
        tcase_add_test(tc, nothing_comes_by_another_way);
        tcase_add_test(tc, without_ipv6_it_is_refused);
        tcase_add_test(tc, the_host_goes_on_hearing_routers);
    }
    suite_add_tcase(s, tc);
}

int main(void)
{
    Suite *s = suite_create("net6");
    SRunner *r = srunner_create(s);
    int failed;

    if (skip_unless_root("network namespaces")) {
        return SKIP;
    }
    add_tests(s, "by a link", setup_link);
    add_tests(s, "by a router", setup_router);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
