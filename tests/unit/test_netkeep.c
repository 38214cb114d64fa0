// SPDX-License-Identifier: Apache-2.0
/* What others take away comes back by itself: host A is watched, and somebody works there by hand.
 * The other hosts are as they were made. */
#include "agent/net/netkeep.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "agent/net/nlbatch.h"
#include "agent/net/overlayplan.h"
#include "agent/net/rtnlmsg.h"
#include "common/cleanup.h"
#include "hosts_case.h"
#include "tests/lib/skip.h"

#define RESTORED_MS 1000

static struct {
    uv_loop_t loop;
    struct overlay *overlay[HOSTS];
    struct attached *attached;
    struct netkeep *keep;
    bool closed;
    unsigned lost;
    uint64_t lost_incarnation;
} t;

/* ---- the watched host ---- */

static void make_overlay(enum hosts_case h)
{
    struct overlay_config config = {.device = "whtestx",
                                    .vni = overlayplan_vni("cluster"),
                                    .metric = 2000,
                                    .gateway = NET_GATEWAY,
                                    .range = 0x0a800000u,
                                    .range_prefix = 9,
                                    .block = hosts[h].block,
                                    .block_prefix = 22};
    struct net_route nodes[HOSTS];
    unsigned n = hosts_case_nodes(h, nodes);
    struct err e = {0};

    t.overlay[h] = overlay_create(&config);
    overlay_nodes(t.overlay[h], hosts[h].underlay, nodes, n);
    ck_assert_msg(overlay_assert(t.overlay[h], hosts[h].rtnl, &e) == 0, "%s", e.text);
}

static void on_lost(void *arg, struct net_id id)
{
    (void)arg;
    t.lost++;
    t.lost_incarnation = id.incarnation;
}

static void watch(void)
{
    struct netkeep_config config = {
        .loop = &t.loop, .rtnl = hosts[A].rtnl, .overlay = t.overlay[A], .attached = t.attached};
    auto_close int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    struct err e = {0};

    ck_assert_int_eq(setns(hosts[A].ns, CLONE_NEWNET), 0);
    ck_assert_msg(netkeep_create(&config, &t.keep, &e) == 0, "%s", e.text);
    ck_assert_int_eq(setns(home, CLONE_NEWNET), 0);
    netkeep_on_lost(t.keep, on_lost, NULL);
}

static void setup(void)
{
    hosts_case_make();
    for (unsigned h = 0; h < HOSTS; h++) {
        make_overlay((enum hosts_case)h);
    }
    t.attached = attached_create("whtest");
    attached_add(t.attached, (struct net_id){.incarnation = 7, .run = 2}, HOSTS_CASE_LINK,
                 &(struct rtnl_peer){.address = hosts[A].container});
    ck_assert_int_eq(uv_loop_init(&t.loop), 0);
    watch();
}

static void on_closed(void *arg)
{
    (void)arg;
    t.closed = true;
}

static void teardown(void)
{
    netkeep_close(t.keep, on_closed, NULL);
    (void)uv_run(&t.loop, UV_RUN_DEFAULT);
    ck_assert(t.closed);
    ck_assert_int_eq(uv_loop_close(&t.loop), 0);
    attached_destroy(t.attached);
    for (unsigned h = 0; h < HOSTS; h++) {
        overlay_destroy(t.overlay[h]);
    }
}

/* ---- time ---- */

static void on_timer(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void run_for(unsigned ms)
{
    uv_timer_t timer;

    (void)uv_timer_init(&t.loop, &timer);
    (void)uv_timer_start(&timer, on_timer, ms, 0);
    (void)uv_run(&t.loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&t.loop, UV_RUN_NOWAIT);
}

/* All that belongs to the host, as text. */
static void snapshot(char *ret, size_t size)
{
    char path[] = "/tmp/test_netkeep.XXXXXX";
    int fd = mkstemp(path);
    ssize_t n;

    ck_assert_int_ge(fd, 0);
    must(hosts[A].ns,
         "(ip -d link show whtestx | sed 's/^[0-9]*://'; ip route; ip -o -4 addr show lo | sort;"
         "ip neigh show dev whtestx nud permanent; ip neigh show dev whtestabc nud permanent;"
         "ip -br link show whtestabc; bridge fdb show dev whtestx | sort) >%s",
         path);
    n = pread(fd, ret, size - 1, 0);
    ck_assert_int_gt(n, 0);
    ret[n] = '\0';
    (void)unlink(path);
    (void)close(fd);
}

static char before[32768];
static char after[32768];

/* What to wait for; returns how long that took, which looking again takes, too. */
static uint64_t remember(void)
{
    uint64_t begun = uv_hrtime();

    snapshot(before, sizeof(before));
    return (uv_hrtime() - begun) / 1000000;
}

/* Waits until everything is as it was; returns how long it took. */
static uint64_t restored(const char *deed)
{
    uint64_t begun = uv_hrtime();

    do {
        run_for(10);
        snapshot(after, sizeof(after));
    } while (strcmp(before, after) != 0 && uv_hrtime() - begun < 5000000000u);
    ck_assert_msg(strcmp(before, after) == 0, "%s\n%s\n%s", deed, before, after);
    return (uv_hrtime() - begun) / 1000000;
}

/* ---- tests ---- */

START_TEST(what_others_take_away_comes_back)
{
    static const char *const deeds[] = {
        "ip link del whtestx",
        "ip link set whtestx down",
        "ip link set whtestx mtu 1300",
        "ip route flush proto 87",
        "ip route flush table main; ip route add 192.0.2.0/24 dev u0 proto kernel scope link src "
        "192.0.2.1 2>/dev/null; ip route add default via 192.0.2.254",
        "ip route del 10.128.8.0/22",
        "ip route replace 10.128.8.0/22 via 192.0.2.77 metric 2000",
        "ip route del 10.128.4.5",
        "ip route replace 10.128.4.5 via 192.0.2.77",
        "ip neigh del 10.128.4.5 dev whtestabc",
        "ip neigh replace 10.128.4.5 lladdr 02:00:00:00:00:01 dev whtestabc",
        "ip neigh replace 10.128.4.5 lladdr 02:00:00:00:00:01 dev whtestabc nud permanent",
        "ip link set whtestabc down",
        "ip link set whtestabc down; ip link set whtestabc up",
        "ip neigh del 10.128.8.0 dev whtestx",
        "bridge fdb del 02:76:0a:80:08:00 dev whtestx",
        "bridge fdb append 00:00:00:00:00:00 dev whtestx dst 203.0.113.9",
        "ip addr del 169.254.1.1/32 dev lo",
        "ip -4 addr flush dev lo; ip addr add 127.0.0.1/8 dev lo",
        "ip link set u0 down; ip link set u0 up; ip route add default via 192.0.2.254",
        "ip link set u0 mtu 1300; ip link set u0 mtu 1400",
        "ip -4 addr flush dev u0; ip addr add 192.0.2.1/24 dev u0;"
        "ip route add default via 192.0.2.254",
    };
    uint64_t longest = 0;

    for (size_t i = 0; i < ARRAY_LEN(deeds); i++) {
        uint64_t look_ms = remember();
        uint64_t ms;

        must(hosts[A].ns, "%s", deeds[i]);
        ms = restored(deeds[i]);
        longest = ms > longest ? ms : longest;
        ck_assert_msg(ms < RESTORED_MS + 2 * look_ms, "%s: %u ms", deeds[i], (unsigned)ms);
        hosts_case_all_reach(1);
    }
    (void)fprintf(stderr, "longest restoration: %u ms\n", (unsigned)longest);
    ck_assert_uint_eq(t.lost, 0);
}
END_TEST

START_TEST(a_link_flap_leaves_nothing_behind)
{
    uint64_t look_ms = remember();

    must(hosts_router, "ip link set to_a down");
    run_for(300);
    must(hosts_router, "ip link set to_a up");
    (void)restored("carrier");
    hosts_case_all_reach(1);
    must(hosts[A].ns, "ip link set u0 down");
    run_for(500);
    must(hosts[A].ns, "ip route | grep -q '10.128.12.0/22 via 10.128.12.0 dev whtestx'");
    must(hosts[A].ns, "ip link set u0 up; ip route add default via 192.0.2.254");
    ck_assert_uint_lt(restored("link"), RESTORED_MS + 2 * look_ms);
    hosts_case_all_reach(1);
}
END_TEST

static int is_missing(void)
{
    return hosts_case_shell(hosts[A].ns, "ip link show whtestabc >/dev/null 2>&1");
}

START_TEST(a_container_without_its_link_is_told_once)
{
    must(hosts[A].ns, "ip link del whtestabc");
    run_for(300);
    ck_assert_uint_eq(t.lost, 0);
    run_for(1200);
    ck_assert_uint_eq(t.lost, 1);
    ck_assert_uint_eq(t.lost_incarnation, 7);
    ck_assert_int_eq(is_missing(), 1);
    must(hosts[A].ns, "ip route flush proto 87");
    run_for(1500);
    ck_assert_uint_eq(t.lost, 1);
}
END_TEST

START_TEST(a_container_that_ends_is_not_told)
{
    must(hosts[A].ns, "ip link del whtestabc");
    run_for(100);
    attached_remove(t.attached, HOSTS_CASE_LINK);
    run_for(1200);
    ck_assert_uint_eq(t.lost, 0);
}
END_TEST

START_TEST(a_flood_of_changes_is_looked_at_five_times_a_second)
{
    uint64_t begun = uv_hrtime();
    unsigned before_it = netkeep_rounds(t.keep);
    unsigned most;

    while (uv_hrtime() - begun < 2000000000u) {
        must(hosts[A].ns, "for i in 1 2 3 4 5 6 7 8; do ip route add 10.128.8.0/24 dev u0 metric "
                          "2000; ip route del 10.128.8.0/24 dev u0 metric 2000; done");
        run_for(25);
    }
    most = (unsigned)((uv_hrtime() - begun) / 200000000u) + 1;
    ck_assert_uint_ge(netkeep_rounds(t.keep) - before_it, 1);
    ck_assert_uint_le(netkeep_rounds(t.keep) - before_it, most);
    run_for(500);
    before_it = netkeep_rounds(t.keep);
    run_for(700);
    ck_assert_uint_eq(netkeep_rounds(t.keep), before_it); /* nothing of our own wakes us */
    hosts_case_all_reach(1);
}
END_TEST

/* ---- reading events ---- */

static void every_length(struct nlbatch *m)
{
    struct nlmsghdr *h = (struct nlmsghdr *)(void *)m->bytes;
    uint32_t len = h->nlmsg_len;
    struct rtnlevent event;

    ck_assert(rtnlevent_read(h, &event));
    for (uint32_t cut = sizeof(*h); cut < len; cut++) {
        auto_free char *copy = xmalloc(cut);
        struct nlmsghdr *part = (struct nlmsghdr *)(void *)copy;

        memcpy(copy, h, cut);
        part->nlmsg_len = cut;
        (void)rtnlevent_read(part, &event);
    }
}

START_TEST(messages_that_are_cut_off_are_no_events)
{
    struct rtnlmsg_way way = {.dst = 1, .prefix = 32, .index = 3, .mtu = 1400, .metric = 7};
    const struct ip6 six = {{0xfd, 1, 2, 3, 4, 5}};
    struct rtnlevent event;
    struct nlbatch m;

    nlbatch_init(&m);
    rtnlmsg_way(&m, RTM_NEWROUTE, 0, &way);
    every_length(&m);
    ck_assert(rtnlevent_read((struct nlmsghdr *)(void *)m.bytes, &event));
    ck_assert_uint_eq(event.address, 1);
    ck_assert_uint_eq(event.metric, 7);
    nlbatch_init(&m);
    rtnlmsg_neighbour(&m, RTM_NEWNEIGH, 3, 5, (const uint8_t *)"abcdef");
    every_length(&m);
    nlbatch_init(&m);
    rtnlmsg_address(&m, RTM_NEWADDR, 3, 5, RT_SCOPE_HOST);
    every_length(&m);
    nlbatch_init(&m);
    way.six = &six;
    rtnlmsg_way(&m, RTM_NEWROUTE, 0, &way);
    every_length(&m);
    ck_assert(rtnlevent_read((struct nlmsghdr *)(void *)m.bytes, &event));
    ck_assert_uint_eq(event.address, 1);
    ck_assert_uint_eq(event.prefix, 32);
    nlbatch_init(&m);
    rtnlmsg_neighbour6(&m, RTM_NEWNEIGH, 3, &six, 5, (const uint8_t *)"abcdef");
    every_length(&m);
    nlbatch_init(&m);
    rtnlmsg_address6(&m, RTM_NEWADDR, 3, &six, 5);
    every_length(&m);
    nlbatch_init(&m);
    mnl_attr_put_strz(rtnlmsg_link(&m, RTM_NEWLINK, 0, "x"), IFLA_IFNAME, "whtest");
    every_length(&m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("netkeep");
    TCase *pure = tcase_create("pure");
    TCase *kept = tcase_create("kept");
    SRunner *r = srunner_create(s);
    int failed;

    if (skip_unless_root("network namespaces")) {
        return SKIP;
    }
    tcase_add_test(pure, messages_that_are_cut_off_are_no_events);
    suite_add_tcase(s, pure);
    tcase_add_checked_fixture(kept, setup, teardown);
    tcase_set_timeout(kept, 60);
    tcase_add_test(kept, what_others_take_away_comes_back);
    tcase_add_test(kept, a_link_flap_leaves_nothing_behind);
    tcase_add_test(kept, a_container_without_its_link_is_told_once);
    tcase_add_test(kept, a_container_that_ends_is_not_told);
    tcase_add_test(kept, a_flood_of_changes_is_looked_at_five_times_a_second);
    suite_add_tcase(s, kept);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
