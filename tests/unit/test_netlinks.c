// SPDX-License-Identifier: Apache-2.0
/* What one container's link has, in namespaces of the test's own: `host` has an address on a link
 * and a default route, the others are containers. Nothing here needs the table or a loop. */
#include "agent/net/netlinks.h"

#include <check.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/net/rtnl.h"
#include "netrig.h"
#include "tests/lib/skip.h"

#define BLOCK 0x0a800400u /* 10.128.4.0 */
#define EXTRA 0x0a050009u /* 10.5.0.9 */
#define CELLS 3

static struct {
    int cell[CELLS];
    int rtnl;
    struct netlinks *links;
} t;

/* ---- the machine ---- */

/* Runs a line of shell in a container; returns its exit status. */
static int inside(unsigned cell, const char *line)
{
    return netrig_shell("nsenter --net=/proc/%d/fd/%d sh -ec '%s'", (int)getpid(), t.cell[cell],
                        line);
}

static void open_links(void)
{
    struct net_config c = {.suffix = "links",
                           .range = 0x0a800000u,
                           .range_prefix = 9,
                           .block = BLOCK,
                           .block_prefix = 22};

    t.links = netlinks_create(&c);
}

static void setup(void)
{
    struct err e = {0};

    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    netrig_must(netrig_shell(
        "ip link set lo up; ip link add up0 type veth peer name up1 &&"
        "ip addr add 198.51.100.1/24 dev up0 && ip link set up0 up && ip link set up1 up &&"
        "ip route add default via 198.51.100.2 && sysctl -qw net.ipv4.ip_forward=1"));
    for (unsigned i = 0; i < CELLS; i++) {
        t.cell[i] = netrig_new_netns();
    }
    t.rtnl = rtnl_open(&e);
    ck_assert_msg(t.rtnl >= 0, "%s", e.text);
    open_links();
}

/* Nothing of ours may be left, whatever was in between. */
static void teardown(void)
{
    ck_assert_int_eq(netlinks_remove(t.links, t.rtnl, NULL), 0);
    netlinks_destroy(t.links);
    (void)close(t.rtnl);
    ck_assert_int_eq(netrig_shell("ip -o link | grep -q ': w'"), 1);
    ck_assert_int_eq(netrig_shell("ip route show proto 87 | grep -q ."), 1);
}

static struct net_id id_of(unsigned cell)
{
    return (struct net_id){.incarnation = 100 + cell, .run = 1};
}

/* Reserves the link's address, too. Returns what attaching says. */
static int attach(unsigned cell, struct net_link *link, struct err *e)
{
    ck_assert_msg(netlinks_reserve(t.links, t.rtnl, &link->address, e) == 0, "%s", e->text);
    return netlinks_attach(t.links, t.rtnl, id_of(cell), t.cell[cell], link, e);
}

static void must_attach(unsigned cell, struct net_link *link)
{
    struct err e = {0};
    int rc = attach(cell, link, &e);

    ck_assert_msg(rc == 0, "%s", e.text);
}

static void must_detach(unsigned cell, uint32_t address)
{
    struct err e = {0};
    int rc = netlinks_detach(t.links, t.rtnl, id_of(cell), address, &e);

    ck_assert_msg(rc == 0, "%s", e.text);
}

/* ---- what is asked for ---- */

START_TEST(a_mac_address_is_as_asked_for)
{
    struct net_link link = {.mac = {0x02, 0x42, 0xac, 0x11, 0x00, 0x07}};
    struct net_link bad = {.mac = {0x01, 0x42, 0xac, 0x11, 0x00, 0x07}};
    struct err e = {0};

    must_attach(0, &link);
    netrig_must(inside(0, "ip link show eth0 | grep -q 02:42:ac:11:00:07"));
    netrig_must(netrig_shell("ip neigh show 10.128.4.1 | grep -q '02:42:ac:11:00:07 PERMANENT'"));
    netrig_must(netrig_shell("busybox ping -qc1 -W5 10.128.4.1 >/dev/null"));
    ck_assert_int_lt(attach(1, &bad, &e), 0); /* a group's address is nobody's */
    ck_assert_ptr_nonnull(strstr(e.text, "make the link"));
}
END_TEST

START_TEST(a_second_address_is_the_containers_too)
{
    struct net_link link = {.extra = EXTRA, .mtu = 1400};

    must_attach(0, &link);
    netrig_must(inside(0, "ip -o -4 addr show dev eth0 | grep -q \"inet 10.5.0.9/32\""));
    netrig_must(inside(0, "ip link show eth0 | grep -q \"mtu 1400\""));
    netrig_must(inside(0, "ip route get 198.51.100.1 | grep -q \"src 10.128.4.1\""));
    netrig_must(netrig_shell("ip route show 10.5.0.9 | grep -q ' dev wh' &&"
                             "ip neigh show 10.5.0.9 | grep -q PERMANENT"));
    netrig_must(netrig_shell("busybox ping -qc1 -W5 10.5.0.9 >/dev/null && busybox ping -qc1 -W5 "
                             "10.128.4.1 >/dev/null"));
    must_detach(0, link.address);
    ck_assert_int_eq(netrig_shell("ip route show 10.5.0.9 | grep -q ."), 1);
}
END_TEST

static void refused(uint32_t extra, const char *part)
{
    struct net_link link = {.extra = extra};
    struct err e = {0};

    ck_assert_int_eq(attach(2, &link, &e), -EADDRINUSE);
    ck_assert_msg(strstr(e.text, part) != NULL, "%s", e.text);
    must_detach(2, link.address);
}

START_TEST(an_address_that_is_not_free_is_refused)
{
    struct net_link link = {.extra = EXTRA};

    must_attach(0, &link);
    refused(EXTRA, "10.5.0.9 belongs to another container of this node");
    refused(0xc6336401u, "198.51.100.1 is the host's own");
    refused(0xc6336409u, "198.51.100.9 lies in a network to which this host has a route");
    refused(BLOCK + 9, "10.128.4.9 lies in the cluster's range");
    ck_assert_int_eq(inside(2, "ip link show eth0 2>/dev/null >&2"), 1);
    must_detach(0, link.address);
    must_attach(1, &link); /* whoever had it has given it back */
}
END_TEST

START_TEST(a_second_address_is_adopted)
{
    struct net_link link = {.extra = EXTRA};
    struct net_found found = {.id = id_of(0)};
    struct err e = {0};

    must_attach(0, &link);
    found.link = link;
    netlinks_destroy(t.links);
    open_links();
    ck_assert_int_eq(netlinks_adopt(t.links, t.rtnl, &found, 1, &e), 0);
    netrig_must(netrig_shell("busybox ping -qc1 -W5 10.5.0.9 >/dev/null"));
    refused(EXTRA, "another container");
    must_detach(0, link.address);
    must_attach(1, &link);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("netlinks");
    TCase *tc = tcase_create("links");
    SRunner *r = srunner_create(s);
    int failed;

    if (skip_unless_root("network namespaces")) {
        return SKIP;
    }
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_mac_address_is_as_asked_for);
    tcase_add_test(tc, a_second_address_is_the_containers_too);
    tcase_add_test(tc, an_address_that_is_not_free_is_refused);
    tcase_add_test(tc, a_second_address_is_adopted);
    suite_add_tcase(s, tc);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
