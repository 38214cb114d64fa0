// SPDX-License-Identifier: Apache-2.0
/* A node's network: its configuration, addresses, links and routes. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "common/cleanup.h"
#include "noderig.h"
#include "tests/lib/skip.h"

/* ---- configuration ---- */

static void refuses(const struct net_config *c, const char *part)
{
    struct net *net = NULL;
    struct err e = {0};

    ck_assert_int_eq(net_create(&noderig.loop, c, &net, &e), -EINVAL);
    ck_assert_msg(strstr(e.text, part) != NULL, "%s", e.text);
    ck_assert_ptr_null(net);
}

START_TEST(a_bad_configuration_is_refused)
{
    struct net_config c = noderig_config();

    c.suffix = "Bad";
    refuses(&c, "suffix");
    c = noderig_config();
    c.block = 0x0a000000u;
    refuses(&c, "not inside");
    c = noderig_config();
    c.block += 1;
    refuses(&c, "node block");
    c = noderig_config();
    c.block_prefix = 31;
    refuses(&c, "possible");
    c = noderig_config();
    c.mtu = 10;
    refuses(&c, "mtu");
}
END_TEST

START_TEST(nft_that_is_not_there_is_an_error)
{
    struct net_config c = noderig_config();
    struct net *net = NULL;
    struct err e = {0};

    c.suffix = "other";
    c.nft_program = "/nonexistent/nft";
    ck_assert_int_eq(net_create(&noderig.loop, &c, &net, &e), -ENOENT);
    c.nft_program = "/bin/true";
    ck_assert_int_lt(net_create(&noderig.loop, &c, &net, &e), 0);
    ck_assert(!netrig_run_until(&noderig.loop, netrig_never, 50));
}
END_TEST

/* ---- addresses and links ---- */

START_TEST(addresses_are_given_once_until_the_block_is_used_up)
{
    struct net_config c = noderig_config();
    struct net *small = NULL;
    struct err e = {0};
    uint32_t seen = 0;
    uint32_t a;

    c.suffix = "small";
    c.block_prefix = 29;
    ck_assert_int_eq(net_create(&noderig.loop, &c, &small, &e), 0);
    for (unsigned i = 0; i < 6; i++) {
        ck_assert_int_eq(net_reserve(small, &a, &e), 0);
        ck_assert(a > NODERIG_BLOCK && a < NODERIG_BLOCK + 7);
        ck_assert((seen >> (a - NODERIG_BLOCK) & 1) == 0);
        seen |= 1u << (a - NODERIG_BLOCK);
    }
    ck_assert_int_eq(net_reserve(small, &a, &e), -ENOSPC);
    net_detach(small, (struct net_id){1, 1}, NODERIG_BLOCK + 3);
    ck_assert_int_eq(net_reserve(small, &a, &e), 0);
    ck_assert_uint_eq(a, NODERIG_BLOCK + 3);
    noderig.closed = false;
    net_close(small, true, noderig_on_closed, NULL);
    while (!noderig.closed) {
        (void)uv_run(&noderig.loop, UV_RUN_ONCE);
    }
}
END_TEST

START_TEST(a_container_has_an_address_a_way_out_and_nothing_else)
{
    auto_close int server = netrig_serve(noderig.cell[1], SOCK_STREAM, 80);
    int pid = (int)getpid();

    netrig_must(netrig_shell("nsenter --net=/proc/%d/fd/%d sh -ec '"
                             "ip -o -4 addr show dev eth0 | grep -q \"inet 10.128.4.1/32\";"
                             "ip route | grep -q \"default via 169.254.1.1 dev eth0\";"
                             "ip neigh show 169.254.1.1 | grep -q PERMANENT;"
                             "ip -o link show lo | grep -q \"<.*UP.*>\";"
                             "test -z \"$(ip -6 -o addr show dev eth0)\"'",
                             pid, noderig.cell[0]));
    netrig_must(netrig_shell("ip route show 10.128.4.1 | grep -q ' dev wh'"));
    netrig_must(netrig_shell("ip neigh show 10.128.4.1 | grep -q PERMANENT"));
    netrig_must(netrig_shell("ip -o link | grep -q 'alias wherry test 64 run 1'"));
    ck_assert_uint_eq(netrig_visit(noderig.host, noderig.address[1], 80, server),
                      NODERIG_HOST_ADDRESS);
}
END_TEST

static bool is_detached(void)
{
    return netrig_shell("ip route show 10.128.4.1 | grep -q wh") == 1;
}

START_TEST(detaching_is_idempotent_and_frees_the_address)
{
    struct net_id id = {.incarnation = 100, .run = 1};
    struct net_link link = {0};
    struct err e = {0};

    for (unsigned i = 0; i < 3; i++) {
        net_detach(noderig.net, id, noderig.address[0]);
    }
    ck_assert(netrig_run_until(&noderig.loop, is_detached, NETRIG_WAIT_MS));
    ck_assert_int_eq(netrig_shell("nsenter --net=/proc/%d/fd/%d ip link show eth0 2>/dev/null >&2",
                                  (int)getpid(), noderig.cell[0]),
                     1);
    id.run = 2; /* as the agent does: no run has its name again */
    ck_assert(net_reserve(noderig.net, &link.address, &e) == 0);
    ck_assert_msg(net_attach(noderig.net, id, noderig.cell[0], &link, &e) == 0, "%s", e.text);
    ck_assert_uint_eq(link.address, NODERIG_BLOCK + 4); /* not the one that was just given back */
}
END_TEST

START_TEST(a_failed_attach_leaves_nothing)
{
    struct net_id id = {.incarnation = 7, .run = 1};
    struct err e = {0};
    auto_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct net_link link = {0};

    ck_assert_int_eq(net_reserve(noderig.net, &link.address, &e), 0);
    ck_assert_int_lt(net_attach(noderig.net, id, null, &link, &e), 0);
    ck_assert_ptr_nonnull(strstr(e.text, "network"));
    /* there is an eth0 beyond already: the link cannot be made */
    netrig_must(netrig_shell("nsenter --net=/proc/%d/fd/%d ip link add eth0 type veth peer name x",
                             (int)getpid(), noderig.cell[0]));
    ck_assert_int_eq(net_attach(noderig.net, id, noderig.cell[0], &link, &e), -EEXIST);
    /* the address has a route already: the last step fails */
    netrig_must(netrig_shell("ip route add 10.128.4.1/32 dev lo"));
    ck_assert_int_eq(net_attach(noderig.net, id, noderig.cell[1], &link, &e), -EEXIST);
    ck_assert_msg(strstr(e.text, "route") != NULL, "%s", e.text);
    ck_assert_int_eq(netrig_shell("ip -o link | grep -q ' wh'"), 1);
    ck_assert_int_eq(netrig_shell("nsenter --net=/proc/%d/fd/%d ip link show eth0 2>/dev/null >&2",
                                  (int)getpid(), noderig.cell[1]),
                     1);
    netrig_must(netrig_shell("ip route del 10.128.4.1/32 dev lo"));
    ck_assert_int_eq(net_attach(noderig.net, id, noderig.cell[1], &link, &e), 0);
    ck_assert_int_eq(net_attach(noderig.net, id, noderig.cell[2], &link, &e),
                     -EEXIST); /* one run, one link */
}
END_TEST

START_TEST(what_is_attached_is_adopted_and_strays_are_removed)
{
    struct net_found found[] = {
        {.id = {.incarnation = 100, .run = 1}, .link.address = noderig.address[0]},
        {.id = {.incarnation = 101, .run = 1}, .link.address = noderig.address[1]},
        {.id = {.incarnation = 900, .run = 1}, .link.address = noderig.address[1]},
        {.id = {.incarnation = 901, .run = 1}, .link.address = 0x0a990001u},
    };
    auto_close int server = netrig_serve(noderig.cell[0], SOCK_STREAM, 80);
    struct err e = {0};
    uint32_t a;

    noderig_close_net(false);
    ck_assert_uint_ne(netrig_visit(noderig.host, noderig.address[0], 80, server), 0);
    noderig_open_net();
    ck_assert_int_eq(net_adopt(noderig.net, found, 2, &e), 0);
    ck_assert_int_eq(netrig_shell("ip -o link | grep -c ' wh' | grep -qx 2"), 0);
    ck_assert_uint_ne(netrig_visit(noderig.host, noderig.address[0], 80, server), 0);
    for (unsigned i = 0; i < 1020; i++) {
        ck_assert_int_eq(net_reserve(noderig.net, &a, &e), 0);
        ck_assert(a != noderig.address[0] && a != noderig.address[1]);
    }
    ck_assert_int_eq(net_reserve(noderig.net, &a, &e), -ENOSPC);

    noderig_close_net(false);
    noderig_open_net();
    ck_assert_int_eq(net_adopt(noderig.net, found, 3, &e), -EADDRINUSE);
    noderig_close_net(false);
    noderig_open_net();
    ck_assert_int_eq(net_adopt(noderig.net, found + 2, 2, &e), -ERANGE);
    ck_assert_int_eq(netrig_shell("ip -o link | grep -q ' wh'"), 1);
}
END_TEST

START_TEST(attaching_is_quick)
{
    enum { ROUNDS = 200 };
    struct net_id id = {.incarnation = 5000, .run = 0};
    uint64_t spent = 0;
    uint64_t longest = 0;
    struct err e = {0};
    struct net_link link = {0};

    for (unsigned i = 0; i < ROUNDS; i++) {
        auto_close int cell = netrig_new_netns();
        uint64_t began = uv_hrtime();
        uint64_t took;

        id.run = i;
        ck_assert_int_eq(net_reserve(noderig.net, &link.address, &e), 0);
        ck_assert_msg(net_attach(noderig.net, id, cell, &link, &e) == 0, "%s", e.text);
        took = uv_hrtime() - began;
        spent += took;
        longest = took > longest ? took : longest;
    }
    (void)fprintf(stderr, "attach: %.3f ms on average, %.3f ms at most\n",
                  (double)spent / ROUNDS / 1e6, (double)longest / 1e6);
}
END_TEST

/* ---- routes ---- */

START_TEST(routes_to_other_nodes_are_made_complete)
{
    struct net_route routes[] = {
        {.block = 0x0a800800u, .block_prefix = 22, .via = NODERIG_FAR_ADDRESS},
        {.block = 0x0a800c00u, .block_prefix = 22, .via = 0xc6336403u},
        {.block = 0x0a801000u, .block_prefix = 22, .via = 0xc0000201u}, /* not on our link */
    };
    struct err e = {0};

    ck_assert_int_eq(net_routes(noderig.net, NODERIG_HOST_ADDRESS, routes, 3, &e), 0);
    netrig_must(
        netrig_shell("ip route | grep -q '10.128.16.0/22 via 10.128.16.0 dev wx.* proto 87 src "
                     "10.128.4.0 .*onlink'"));
    netrig_must(netrig_shell("ip -o addr show lo | grep -q 'inet 169.254.1.1/32 scope host' &&"
                             "ip -o addr show lo | grep -q 'inet 10.128.4.0/32 scope host'"));
    netrig_must(
        netrig_shell("ip route | grep -q '10.128.8.0/22 via 198.51.100.2 dev up0 proto 87'"));
    netrig_must(netrig_shell("ip route | grep -q '10.128.12.0/22 via 198.51.100.3'"));
    netrig_must(netrig_shell("ip route | grep -q 'unreachable 10.128.4.0/22'"));
    routes[0].via = 0xc6336404u;
    ck_assert_int_eq(net_routes(noderig.net, NODERIG_HOST_ADDRESS, routes, 1, &e), 0);
    netrig_must(netrig_shell("ip route | grep -q '10.128.8.0/22 via 198.51.100.4'"));
    ck_assert_int_eq(netrig_shell("ip route | grep -q '10.128.12.0/22'"), 1);
    ck_assert_int_eq(netrig_shell("ip -o link | grep -q vxlan"), 1);
    ck_assert_int_eq(netrig_shell("ip route | grep -q 'via 198.51.100.2 dev up0 proto 87'"), 1);
    routes[0].block |= 1;
    ck_assert_int_eq(net_routes(noderig.net, NODERIG_HOST_ADDRESS, routes, 1, &e), -EINVAL);
    netrig_must(netrig_shell("ip route | grep -q '10.128.8.0/22 via 198.51.100.4'"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net");
    TCase *bare = tcase_create("bare");
    TCase *attached = tcase_create("attached");
    SRunner *r = srunner_create(s);
    int failed;

    if (skip_unless_root("network namespaces")) {
        return SKIP;
    }
    tcase_add_checked_fixture(bare, noderig_setup, noderig_teardown);
    tcase_set_timeout(bare, 30);
    tcase_add_test(bare, a_bad_configuration_is_refused);
    tcase_add_test(bare, nft_that_is_not_there_is_an_error);
    tcase_add_test(bare, addresses_are_given_once_until_the_block_is_used_up);
    tcase_add_test(bare, a_failed_attach_leaves_nothing);
    tcase_add_test(bare, attaching_is_quick);
    tcase_add_test(bare, routes_to_other_nodes_are_made_complete);
    suite_add_tcase(s, bare);
    tcase_add_checked_fixture(attached, noderig_setup_attached, noderig_teardown);
    tcase_set_timeout(attached, 30);
    tcase_add_test(attached, a_container_has_an_address_a_way_out_and_nothing_else);
    tcase_add_test(attached, detaching_is_idempotent_and_frees_the_address);
    tcase_add_test(attached, what_is_attached_is_adopted_and_strays_are_removed);
    suite_add_tcase(s, attached);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
