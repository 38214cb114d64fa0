// SPDX-License-Identifier: Apache-2.0
/* 2,000 containers' links on one host: how long one takes, empty and full, beside what it takes to
 * make a namespace and a veth by hand. Times are told and not asserted, but for orders of
 * magnitude: other tests run beside. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/net/netlinks.h"
#include "agent/net/netns.h"
#include "agent/net/netstats.h"
#include "agent/net/rtnl.h"
#include "agent/net/rtnlmsg.h"
#include "common/cleanup.h"
#include "netrig.h"
#include "tests/lib/skip.h"

#define BLOCK  0x0a800800u /* 10.128.8.0/21 */
#define PREFIX 21
#define LINKS  2000u
#define ROUNDS 100u        /* of what is compared */
#define BY     0xc0000000u /* 192.0.0.0: what is made by hand */

static struct {
    int rtnl;
    int cells[LINKS + ROUNDS];
    struct netlinks *links;
} t;

static double now_ms(void)
{
    return (double)uv_hrtime() / 1e6;
}

static int compare(const void *a, const void *b)
{
    double l = *(const double *)a, r = *(const double *)b;

    return (l > r) - (l < r);
}

static double median(double *list, unsigned n)
{
    qsort(list, n, sizeof(*list), compare);
    return list[n / 2];
}

/* ---- ours ---- */

static int attach(unsigned i, struct net_link *link, struct err *e)
{
    struct net_id id = {.incarnation = i, .run = 1};
    int rc = netlinks_reserve(t.links, t.rtnl, &link->address, e);

    return rc < 0 ? rc : netlinks_attach(t.links, t.rtnl, id, t.cells[i], link, e);
}

/* With its namespace, until it can connect. */
static double one(unsigned i)
{
    struct net_link link = {0};
    struct err e = {0};
    double began = now_ms();
    int rc;

    t.cells[i] = netrig_new_netns();
    rc = attach(i, &link, &e);
    ck_assert_msg(rc == 0, "%s", e.text);
    return now_ms() - began;
}

/* ---- by hand ---- */

static void run(struct nlbatch *m, int fd)
{
    struct err e = {0};
    int rc = nlbatch_run(m, fd, NULL, NULL, &e);

    ck_assert_msg(rc == 0, "%s", e.text);
}

static void veth(int fd, const char *name, int cell)
{
    struct nlattr *info, *data, *peer;
    struct nlmsghdr *h;
    struct nlbatch m;

    nlbatch_init(&m);
    h = rtnlmsg_link(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "make the link");
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
    data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
    peer = mnl_attr_nest_start(h, VETH_INFO_PEER);
    (void)mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(h, IFLA_IFNAME, "eth0");
    mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)cell);
    mnl_attr_nest_end(h, peer);
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, info);
    run(&m, fd);
}

static void up(int fd, const char *name)
{
    struct nlbatch m;

    nlbatch_init(&m);
    (void)rtnlmsg_up(&m, name, "up");
    run(&m, fd);
}

static void on_index(void *arg, const struct nlmsghdr *answer)
{
    if (answer->nlmsg_type == RTM_NEWLINK) {
        *(unsigned *)arg = (unsigned)((struct ifinfomsg *)mnl_nlmsg_get_payload(answer))->ifi_index;
    }
}

static unsigned index_of(int fd, const char *name)
{
    unsigned index = 0;
    struct nlbatch m;

    nlbatch_init(&m);
    rtnlmsg_get(&m, name);
    ck_assert_int_eq(nlbatch_run(&m, fd, on_index, &index, NULL), 0);
    return index;
}

static void address(int fd, unsigned index, uint32_t a)
{
    struct nlbatch m;

    nlbatch_init(&m);
    rtnlmsg_address(&m, RTM_NEWADDR, index, a, RT_SCOPE_UNIVERSE);
    run(&m, fd);
}

static void route(int fd, unsigned index, uint32_t dst, unsigned prefix)
{
    struct rtnlmsg_way way = {.dst = dst,
                              .prefix = prefix,
                              .index = index,
                              .type = RTN_UNICAST,
                              .scope = RT_SCOPE_LINK,
                              .protocol = RTPROT_STATIC};
    struct nlbatch m;

    nlbatch_init(&m);
    rtnlmsg_way(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &way);
    run(&m, fd);
}

/* What one would type, each step by itself: the link, both ends up, an address, a route either way.
 * Neighbours are left to ARP. */
static double one_by_hand(unsigned i)
{
    double began = now_ms();
    int cell = netrig_new_netns();
    auto_close int inside = netns_socket(cell, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE, NULL);
    char name[16];
    unsigned index;

    ck_assert_int_ge(inside, 0);
    (void)snprintf(name, sizeof(name), "hand%u", i);
    veth(t.rtnl, name, cell);
    up(t.rtnl, name);
    route(t.rtnl, index_of(t.rtnl, name), BY + i, 32);
    up(inside, "lo");
    up(inside, "eth0");
    index = index_of(inside, "eth0");
    address(inside, index, BY + i);
    route(inside, index, 0, 0);
    began = now_ms() - began;
    (void)close(cell);
    return began;
}

/* ---- the test ---- */

static void setup(void)
{
    struct net_config c = {.suffix = "load",
                           .range = 0x0a800000u,
                           .range_prefix = 9,
                           .block = BLOCK,
                           .block_prefix = PREFIX};
    struct rlimit files;
    struct err e = {0};

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    netrig_must(netrig_shell("ip link set lo up; ip addr add 198.51.100.1/32 dev lo;"
                             "sysctl -qw net.ipv4.ip_forward=1"));
    t.rtnl = rtnl_open(&e);
    ck_assert_msg(t.rtnl >= 0, "%s", e.text);
    t.links = netlinks_create(&c);
}

static void compare_now(const char *when, unsigned from)
{
    double ours[ROUNDS], theirs[ROUNDS];
    double a, b;

    for (unsigned i = 0; i < ROUNDS; i++) {
        theirs[i] = one_by_hand(from + i);
        ours[i] = one(from + i);
    }
    a = median(ours, ROUNDS);
    b = median(theirs, ROUNDS);
    (void)fprintf(stderr, "%s: %.3f ms with its namespace, by hand %.3f ms: %.2f x\n", when, a, b,
                  a / b);
    ck_assert_msg(a < 5 * b + 1, "%s: %.3f ms, by hand %.3f ms", when, a, b);
}

static void detach_together(unsigned from, unsigned to)
{
    char names[ROUNDS][16];
    const char *list[ROUNDS];
    struct err e = {0};
    double began = now_ms();
    unsigned n = to - from;

    for (unsigned i = 0; i < n; i++) {
        struct net_id id = {.incarnation = from + i, .run = 1};

        netlinks_leave(t.links, id, BLOCK + 1 + from + i, names[i]);
        list[i] = names[i];
    }
    ck_assert_int_eq(rtnl_links_del(t.rtnl, list, n, &e), 0);
    for (unsigned i = 0; i < n; i++) {
        netlinks_left(t.links, (struct net_id){.incarnation = from + i, .run = 1});
    }
    (void)fprintf(stderr, "detached together: %.3f ms each\n", (now_ms() - began) / n);
    ck_assert_int_eq(netrig_shell("ip -o link | grep -c ': wh' | grep -qx %u", LINKS - n), 0);
}

START_TEST(two_thousand_links)
{
    double began, full;
    struct netstats stats;
    struct net_link link = {0};
    struct err e = {0};
    uint32_t address_;

    compare_now("empty", 0);
    began = now_ms();
    for (unsigned i = ROUNDS; i < LINKS - ROUNDS; i++) {
        (void)one(i);
    }
    full = (now_ms() - began) / (LINKS - 2 * ROUNDS);
    (void)fprintf(stderr, "on the way: %.3f ms each\n", full);
    compare_now("full", LINKS - ROUNDS);

    began = now_ms();
    ck_assert_int_eq(netstats_read("load", 0x0a800000u, 9, &stats, &e), 0);
    (void)fprintf(stderr, "statistics of %u links: %.1f ms\n", stats.n, now_ms() - began);
    ck_assert_uint_eq(stats.n, LINKS);
    netstats_finish(&stats);

    for (unsigned i = 0; i < 2046 - LINKS; i++) {
        ck_assert_int_eq(netlinks_reserve(t.links, t.rtnl, &address_, &e), 0);
    }
    ck_assert_int_eq(netlinks_reserve(t.links, t.rtnl, &address_, &e), -ENOSPC);
    ck_assert_str_eq(e.text, "all 2046 addresses of this node's block are in use");

    detach_together(ROUNDS, 2 * ROUNDS);
    began = now_ms();
    for (unsigned i = 0; i < 10; i++) {
        struct net_id id = {.incarnation = i, .run = 1};

        ck_assert_int_eq(netlinks_detach(t.links, t.rtnl, id, BLOCK + 1 + i, &e), 0);
    }
    (void)fprintf(stderr, "detached: %.3f ms each\n", (now_ms() - began) / 10);
    ck_assert_int_eq(attach(0, &link, &e), 0);
}
END_TEST

/* The namespaces end with the process, and the links with them. */
static void teardown(void)
{
    netlinks_destroy(t.links);
    (void)close(t.rtnl);
}

int main(void)
{
    Suite *s = suite_create("netload");
    TCase *tc = tcase_create("netload");
    SRunner *r = srunner_create(s);
    int failed;

    if (skip_unless_root("network namespaces")) {
        return SKIP;
    }
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 100);
    tcase_add_test(tc, two_thousand_links);
    suite_add_tcase(s, tc);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
