// SPDX-License-Identifier: Apache-2.0
/* What a node's rules let nobody do, and that they stay. */
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

/* ---- what must not pass ---- */

START_TEST(containers_reach_neither_each_other_nor_the_host)
{
    auto_close int other = netrig_serve(noderig.cell[1], SOCK_STREAM, 80);
    auto_close int of_host = netrig_serve(noderig.host, SOCK_STREAM, 22);
    auto_close int of_far = netrig_serve(noderig.far, SOCK_STREAM, 25);

    netrig_must(
        netrig_shell("ip addr add 127.0.0.9/8 dev lo; ip addr add 169.254.169.254/32 dev up0"));
    netrig_must(netrig_shell("nsenter --net=/proc/%d/fd/%d ip addr add 169.254.169.253/32 dev up1",
                             (int)getpid(), noderig.far));
    netrig_must(netrig_shell("ip route add 169.254.169.253 dev up0"));
    netrig_refuse(noderig.cell[0], noderig.address[1], 80);
    netrig_refuse(noderig.cell[0], NODERIG_HOST_ADDRESS, 22);
    netrig_refuse(noderig.cell[0], NET_GATEWAY, 22);
    netrig_refuse(noderig.cell[0], 0xa9fea9feu, 22);
    netrig_refuse(noderig.cell[0], 0xa9fea9fdu, 25);
    netrig_refuse(noderig.far, noderig.address[1], 80); /* no way there, but even so: */
    netrig_must(
        netrig_shell("nsenter --net=/proc/%d/fd/%d ip route add 10.128.0.0/9 via 198.51.100.1",
                     (int)getpid(), noderig.far));
    netrig_refuse(noderig.far, noderig.address[1], 80);
    ck_assert_uint_eq(netrig_visit(noderig.cell[0], NODERIG_FAR_ADDRESS, 25, of_far),
                      NODERIG_HOST_ADDRESS); /* outwards */
    ck_assert_uint_eq(netrig_visit(noderig.host, noderig.address[1], 80, other),
                      NODERIG_HOST_ADDRESS);
}
END_TEST

/* Neither do they get out to another node, nor in from one. */
START_TEST(containers_do_not_reach_the_hosts_of_other_nodes)
{
    struct net_route routes[] = {
        {.block = 0x0a800c00u, .block_prefix = 22, .via = 0xc6336403u},
        {.block = 0x0a800800u, .block_prefix = 22, .via = NODERIG_FAR_ADDRESS}};
    auto_close int of_far = netrig_serve(noderig.far, SOCK_STREAM, 25);
    auto_close int of_host = netrig_serve(noderig.host, SOCK_STREAM, 22);
    struct err e = {0};
    char far[64];

    (void)snprintf(far, sizeof(far), "nsenter --net=/proc/%d/fd/%d ip", (int)getpid(), noderig.far);
    netrig_must(netrig_shell(
        "%s addr add 10.128.8.5/32 dev lo; %s route add 10.128.4.0/22 via 198.51.100.1", far, far));
    ck_assert_int_eq(net_routes(noderig.net, NODERIG_HOST_ADDRESS, routes, 2, &e), 0);
    netrig_must(netrig_shell("nft list set inet wherry_test w_nodes | grep -q 198.51.100.2"));
    netrig_refuse(noderig.cell[0], NODERIG_FAR_ADDRESS, 25);
    netrig_must(netrig_shell("%s route add 198.51.100.1/32 dev up1 src 10.128.8.5", far));
    netrig_refuse(noderig.far, NODERIG_HOST_ADDRESS, 22);
    ck_assert_int_ge(of_host, 0);
}
END_TEST

/* Sends one datagram from a container by an address of its own choice. */
static ssize_t send_from(unsigned cell, uint32_t source, uint32_t to, uint16_t port)
{
    struct sockaddr_in from = netrig_name_of(source, 0);
    struct sockaddr_in name = netrig_name_of(to, port);
    auto_close int fd = netrig_socket(noderig.cell[cell], AF_INET, SOCK_DGRAM, NETRIG_BLOCKED_MS);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    return sendto(fd, "!", 1, 0, (struct sockaddr *)&name, sizeof(name));
}

START_TEST(a_borrowed_source_address_is_dropped)
{
    struct timeval tv = {.tv_usec = NETRIG_BLOCKED_MS * 1000};
    auto_close int server = netrig_serve(noderig.far, SOCK_DGRAM, 514);
    char byte;

    netrig_must(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    netrig_must(
        netrig_shell("nsenter --net=/proc/%d/fd/%d sh -c 'ip addr add 10.128.4.2/32 dev eth0;"
                     "ip addr add 203.0.113.5/32 dev eth0'",
                     (int)getpid(), noderig.cell[0]));
    netrig_must(
        netrig_shell("sysctl -q -w net.ipv4.conf.all.rp_filter=0;"
                     "for f in /proc/sys/net/ipv4/conf/wh*/rp_filter; do echo 0 >$f; done"));
    ck_assert_int_eq(send_from(0, noderig.address[1], NODERIG_FAR_ADDRESS, 514), 1);
    ck_assert_int_eq(send_from(0, 0xcb007105u, NODERIG_FAR_ADDRESS, 514), 1);
    ck_assert_int_eq(recv(server, &byte, 1, 0), -1);
    ck_assert_int_eq(send_from(0, noderig.address[0], NODERIG_FAR_ADDRESS, 514), 1);
    ck_assert_int_eq(recv(server, &byte, 1, 0), 1);
}
END_TEST

START_TEST(the_hosts_loopback_is_out_of_reach)
{
    struct timeval tv = {.tv_usec = NETRIG_BLOCKED_MS * 1000};
    auto_close int server = netrig_serve(noderig.host, SOCK_DGRAM, 631);
    char byte;

    netrig_must(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    netrig_must(
        netrig_shell("nsenter --net=/proc/%d/fd/%d sh -c '"
                     "ip route del table local local 127.0.0.0/8 dev lo; ip addr flush dev lo;"
                     "ip route del table local local 127.0.0.1 dev lo 2>/dev/null;"
                     "echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet;"
                     "ip route add 127.0.0.0/8 via 169.254.1.1 src 10.128.4.1'",
                     (int)getpid(), noderig.cell[0]));
    (void)send_from(0, noderig.address[0], INADDR_LOOPBACK, 631);
    ck_assert_int_eq(recv(server, &byte, 1, 0), -1);
}
END_TEST

/* ---- somebody else's hands, and a child that dies ---- */

static bool restored_once(void)
{
    return net_restored(noderig.net) == 1;
}

static bool restored_twice(void)
{
    return net_restored(noderig.net) == 2;
}

START_TEST(a_table_that_was_flushed_comes_back)
{
    auto_close int server = netrig_serve(noderig.cell[0], SOCK_STREAM, 80);

    noderig_publish_web(1);
    netrig_must(netrig_shell("nft flush ruleset"));
    ck_assert(netrig_run_until(&noderig.loop, restored_once, 10000));
    ck_assert_uint_eq(netrig_visit(noderig.far, NODERIG_HOST_ADDRESS, 8080, server),
                      NODERIG_FAR_ADDRESS);
    netrig_refuse(noderig.cell[0], noderig.address[1], 80);
    netrig_must(netrig_shell("nft flush chain inet wherry_test w_forward"));
    ck_assert(netrig_run_until(&noderig.loop, restored_twice, 10000));
    netrig_must(netrig_shell("nft list chain inet wherry_test w_forward | grep -q 'goto w_from'"));
    netrig_must(netrig_shell("nft add table inet other; nft delete table inet other"));
    ck_assert(!netrig_run_until(&noderig.loop, netrig_never, 300));
    ck_assert_uint_eq(net_restored(noderig.net), 2); /* nor by what is not ours, nor by ourselves */
}
END_TEST

START_TEST(a_dead_or_silent_nft_is_replaced)
{
    auto_close int server = netrig_serve(noderig.cell[0], SOCK_STREAM, 80);

    noderig.child_before = noderig_child_of_ours();
    ck_assert_int_gt(noderig.child_before, 0);
    netrig_must(kill(noderig.child_before, SIGKILL));
    noderig_publish_web(1);
    ck_assert_uint_eq(netrig_visit(noderig.far, NODERIG_HOST_ADDRESS, 8080, server),
                      NODERIG_FAR_ADDRESS);
    ck_assert(netrig_run_until(&noderig.loop, noderig_another_child, NETRIG_WAIT_MS));
    ck_assert(!netrig_run_until(&noderig.loop, netrig_never, 100)); /* which asserts the table */
    ck_assert_uint_eq(netrig_visit(noderig.far, NODERIG_HOST_ADDRESS, 8080, server),
                      NODERIG_FAR_ADDRESS);
    ck_assert_uint_eq(net_restored(noderig.net), 0);
    noderig.child_before = noderig_child_of_ours();
    netrig_must(kill(noderig.child_before, SIGSTOP));
    netrig_must(netrig_shell("nft delete table inet wherry_test"));
    ck_assert(netrig_run_until(&noderig.loop, restored_once, NETRIG_WAIT_MS));
    ck_assert(noderig_another_child());
    ck_assert_uint_eq(netrig_visit(noderig.far, NODERIG_HOST_ADDRESS, 8080, server),
                      NODERIG_FAR_ADDRESS);
}
END_TEST

/* ---- an nft that refuses ---- */

static char refusing[] = "/tmp/wherry-test-net-XXXXXX"; /* with: refuse (a flag), nft, refusals */

/* nft itself, or while the flag is there something that refuses everything. */
static void write_program(const char *path)
{
    FILE *f = fopen(path, "we");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_gt(fprintf(f,
                             "#!/bin/sh\n[ -e %1$s/refuse ] || exec nft \"$@\"\n"
                             "while read -r line; do\n  case $line in\n"
                             "  'list tables') echo '{}' ;;\n"
                             "  ?*) echo x >>%1$s/refusals; echo 'x: Error: not today' ;;\n"
                             "  esac\ndone\n",
                             refusing),
                     0);
    netrig_must(fclose(f));
    netrig_must(chmod(path, 0700));
}

static bool refused_twice(void)
{
    return netrig_shell("test $(cat %s/refusals 2>/dev/null | wc -l) -ge 2", refusing) == 0;
}

static bool table_is_there(void)
{
    return netrig_shell("nft list table inet wherry_test >/dev/null 2>&1") == 0;
}

/* It is tried again, said once, and in the end the table is there. */
START_TEST(a_table_that_is_refused_is_tried_again)
{
    auto_close int server = netrig_serve(noderig.cell[0], SOCK_STREAM, 80);
    auto_close int said = -1;
    struct net_config c = noderig_config();
    struct err e = {0};
    char program[64], log[64];

    ck_assert_ptr_nonnull(mkdtemp(refusing));
    (void)snprintf(program, sizeof(program), "%s/nft", refusing);
    (void)snprintf(log, sizeof(log), "%s/log", refusing);
    write_program(program);
    noderig_publish_web(1);
    noderig_close_net(false);
    c.nft_program = program;
    ck_assert_msg(net_create(&noderig.loop, &c, &noderig.net, &e) == 0, "%s", e.text);
    said = open(log, O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND, 0600);
    ck_assert_int_ge(said, 0);
    ck_assert_int_ge(dup2(said, STDERR_FILENO), 0);
    netrig_must(netrig_shell("touch %s/refuse", refusing));
    netrig_must(kill(noderig_child_of_ours(), SIGKILL));
    netrig_must(netrig_shell("nft delete table inet wherry_test"));
    ck_assert(netrig_run_until(&noderig.loop, refused_twice, NETRIG_WAIT_MS));
    ck_assert(!table_is_there());
    netrig_must(
        netrig_shell("test $(grep -c 'refuses table inet wherry_test: not today' %s) = 1", log));
    netrig_must(netrig_shell("rm %s/refuse", refusing));
    netrig_must(kill(noderig_child_of_ours(), SIGKILL));
    ck_assert(netrig_run_until(&noderig.loop, table_is_there, NETRIG_WAIT_MS));
    ck_assert_uint_eq(netrig_visit(noderig.far, NODERIG_HOST_ADDRESS, 8080, server),
                      NODERIG_FAR_ADDRESS);
    netrig_must(netrig_shell("rm -r %s", refusing));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net_guard");
    TCase *attached = tcase_create("attached");
    SRunner *r = srunner_create(s);
    int failed;

    if (skip_unless_root("network namespaces")) {
        return SKIP;
    }
    tcase_add_checked_fixture(attached, noderig_setup_attached, noderig_teardown);
    tcase_set_timeout(attached, 30);
    tcase_add_test(attached, containers_reach_neither_each_other_nor_the_host);
    tcase_add_test(attached, containers_do_not_reach_the_hosts_of_other_nodes);
    tcase_add_test(attached, a_borrowed_source_address_is_dropped);
    tcase_add_test(attached, the_hosts_loopback_is_out_of_reach);
    tcase_add_test(attached, a_table_that_was_flushed_comes_back);
    tcase_add_test(attached, a_dead_or_silent_nft_is_replaced);
    tcase_add_test(attached, a_table_that_is_refused_is_tried_again);
    suite_add_tcase(s, attached);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
