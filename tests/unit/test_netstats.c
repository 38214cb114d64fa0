// SPDX-License-Identifier: Apache-2.0
/* What links have carried, as it is read from the kernel: two containers of one host. */
#include "agent/net/netstats.h"

#include <check.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/net/netlinks.h"
#include "agent/net/rtnl.h"
#include "common/cleanup.h"
#include "netrig.h"
#include "tests/lib/skip.h"

#define BLOCK  0x0a800400u /* 10.128.4.0 */
#define RANGE  0x0a800000u
#define CELLS  2
#define FLOODS 400 /* datagrams of 1000 bytes, far more than a slow link's queue takes */

static struct {
    int host;
    int cell[CELLS];
    int rtnl;
    struct net_link link[CELLS];
    struct netlinks *links;
} t;

static void attach(unsigned i)
{
    struct net_id id = {.incarnation = 0x100 + i, .run = 2 + i};
    struct err e = {0};
    int rc;

    t.cell[i] = netrig_new_netns();
    ck_assert_int_eq(netlinks_reserve(t.links, t.rtnl, &t.link[i].address, &e), 0);
    rc = netlinks_attach(t.links, t.rtnl, id, t.cell[i], &t.link[i], &e);
    ck_assert_msg(rc == 0, "%s", e.text);
}

/* The second container has a slow link and another address. Connections are known to the kernel
 * because a rule asks for them. */
static void setup(void)
{
    struct net_config c = {
        .suffix = "stats", .range = RANGE, .range_prefix = 9, .block = BLOCK, .block_prefix = 22};
    struct err e = {0};

    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    t.host = netrig_own_netns();
    netrig_must(
        netrig_shell("ip link set lo up; ip addr add 198.51.100.1/32 dev lo;"
                     "sysctl -qw net.ipv4.ip_forward=1;"
                     "nft 'table inet watch { chain c { type filter hook forward priority 0;"
                     " ct state invalid drop; }; chain i { type filter hook input priority"
                     " 0; ct state invalid drop; }; }'"));
    t.rtnl = rtnl_open(&e);
    ck_assert_msg(t.rtnl >= 0, "%s", e.text);
    t.links = netlinks_create(&c);
    t.link[1] = (struct net_link){.extra = 0x0a050009u, .bits_in = 100000, .bits_out = 100000};
    attach(0);
    attach(1);
}

static void teardown(void)
{
    ck_assert_int_eq(netlinks_remove(t.links, t.rtnl, NULL), 0);
    netlinks_destroy(t.links);
    (void)close(t.rtnl);
    ck_assert_int_eq(netrig_shell("ip -o link | grep -q ': w'"), 1);
}

static struct netstats take(void)
{
    struct netstats s = {0};
    struct err e = {0};
    int rc = netstats_read("stats", RANGE, 9, &s, &e);

    ck_assert_msg(rc == 0, "%s", e.text);
    ck_assert(s.connections_known);
    return s;
}

static void flood(int from, uint32_t to)
{
    static const char bytes[1000];
    struct sockaddr_in name = netrig_name_of(to, 9);
    auto_close int fd = netrig_socket(from, AF_INET, SOCK_DGRAM, NETRIG_WAIT_MS);

    for (unsigned i = 0; i < FLOODS; i++) {
        ck_assert_int_gt(
            sendto(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&name, sizeof(name)), 0);
    }
}

START_TEST(links_are_told_apart)
{
    struct netstats s = take();

    ck_assert_uint_eq(s.n, 2);
    for (unsigned i = 0; i < s.n; i++) {
        ck_assert_uint_eq(s.list[i].id.incarnation, 0x100 + i);
        ck_assert_uint_eq(s.list[i].id.run, 2 + i);
        ck_assert_uint_eq(s.list[i].address, t.link[i].address);
        ck_assert_uint_eq(s.list[i].connections, 0);
    }
    netstats_finish(&s);
    ck_assert_int_eq(netstats_read("other", RANGE, 9, &s, NULL), 0);
    ck_assert_uint_eq(s.n, 0);
    netstats_finish(&s);
}
END_TEST

START_TEST(bytes_and_packets_are_those_of_the_container)
{
    struct netstats before = take();
    struct netstats after;

    flood(t.host, t.link[0].address); /* answered by as many "no such port" as the kernel likes */
    after = take();
    ck_assert_uint_eq(after.list[0].in.packets - before.list[0].in.packets, FLOODS);
    ck_assert_uint_eq(after.list[0].in.bytes - before.list[0].in.bytes, FLOODS * (1000 + 28 + 14));
    ck_assert_uint_lt(after.list[0].out.packets - before.list[0].out.packets, FLOODS);
    ck_assert_uint_eq(after.list[0].in.drops, 0);
    ck_assert_uint_eq(after.list[1].in.packets, before.list[1].in.packets);
    netstats_finish(&before);
    netstats_finish(&after);
}
END_TEST

START_TEST(what_a_limit_drops_is_counted)
{
    struct netstats s;

    flood(t.host, t.link[1].address);
    s = take();
    ck_assert_uint_gt(s.list[1].in.drops, FLOODS / 2);
    ck_assert_uint_eq(s.list[1].out.drops, 0);
    netstats_finish(&s);
    flood(t.cell[1], t.link[0].address);
    s = take();
    ck_assert_uint_gt(s.list[1].out.drops, FLOODS / 2);
    ck_assert_uint_ge(s.list[1].out.packets, FLOODS);
    ck_assert_uint_eq(s.list[0].out.drops, 0);
    netstats_finish(&s);
}
END_TEST

START_TEST(connections_count_for_both_ends)
{
    auto_close int server = netrig_serve(t.cell[0], SOCK_STREAM, 80);
    auto_close int one = netrig_dial(t.cell[1], t.link[0].address, 80, NETRIG_WAIT_MS);
    auto_close int two = netrig_dial(t.host, t.link[0].address, 80, NETRIG_WAIT_MS);
    struct netstats s = take();

    ck_assert_int_ge(one, 0);
    ck_assert_int_ge(two, 0);
    ck_assert_int_ge(server, 0);
    ck_assert_uint_eq(s.list[0].connections, 2);
    ck_assert_uint_eq(s.list[1].connections, 1);
    netstats_finish(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("netstats");
    TCase *tc = tcase_create("netstats");
    SRunner *r = srunner_create(s);
    int failed;

    if (skip_unless_root("network namespaces")) {
        return SKIP;
    }
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, links_are_told_apart);
    tcase_add_test(tc, bytes_and_packets_are_those_of_the_container);
    tcase_add_test(tc, what_a_limit_drops_is_counted);
    tcase_add_test(tc, connections_count_for_both_ends);
    suite_add_tcase(s, tc);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
