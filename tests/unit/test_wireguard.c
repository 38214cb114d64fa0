// SPDX-License-Identifier: Apache-2.0
/* Encryption between hosts, watched by the router through which everything goes: either nothing can
 * be read there, or nothing gets there. Where the kernel has no WireGuard, only the second. */
#include "agent/net/wireguard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent/net/netns.h"
#include "agent/net/overlay.h"
#include "agent/net/overlayplan.h"
#include "common/cleanup.h"
#include "hosts_case.h"
#include "tests/lib/skip.h"

#define SAID 2000 /* bytes, whose packets all have some of the text */

static struct {
    struct overlay *overlay[HOSTS];
    int genl[HOSTS];
    uint8_t key[HOSTS][NET_KEY];
    int capture;
} t;

static void make_overlay(enum hosts_case h)
{
    struct overlay_config config = {.device = "wxtest",
                                    .secret = "wwtest",
                                    .vni = overlayplan_vni("cluster"),
                                    .metric = 2000,
                                    .gateway = NET_GATEWAY,
                                    .range = 0x0a800000u,
                                    .range_prefix = 9,
                                    .block = hosts[h].block,
                                    .block_prefix = 22};

    t.overlay[h] = overlay_create(&config);
    overlay_use(t.overlay[h], t.genl[h]);
}

static void tell_nodes(enum hosts_case h)
{
    struct net_route nodes[HOSTS];
    unsigned n = hosts_case_nodes(h, nodes);
    struct err e = {0};

    for (unsigned i = 0; i < n; i++) {
        for (unsigned from = 0; from < HOSTS; from++) {
            if (hosts[from].block == nodes[i].block) {
                memcpy(nodes[i].key, t.key[from], NET_KEY);
            }
        }
    }
    overlay_nodes(t.overlay[h], hosts[h].underlay, nodes, n);
    ck_assert_msg(overlay_assert(t.overlay[h], hosts[h].rtnl, &e) == 0, "%s", e.text);
}

static void tell_all(void)
{
    for (unsigned h = 0; h < HOSTS; h++) {
        tell_nodes((enum hosts_case)h);
    }
}

static void setup(void)
{
    int size = 1 << 24;

    hosts_case_make();
    memset(t.key, 0, sizeof(t.key));
    for (unsigned h = 0; h < HOSTS; h++) {
        t.genl[h] = netns_socket(hosts[h].ns, AF_NETLINK, SOCK_RAW, NETLINK_GENERIC, NULL);
        ck_assert_int_ge(t.genl[h], 0);
        make_overlay((enum hosts_case)h);
    }
    t.capture = netns_socket(hosts_router, AF_PACKET, SOCK_RAW, htons(ETH_P_ALL), NULL);
    ck_assert_int_ge(t.capture, 0);
    (void)setsockopt(t.capture, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    tell_all();
}

static void teardown(void)
{
    for (unsigned h = 0; h < HOSTS; h++) {
        overlay_remove(t.overlay[h], hosts[h].rtnl);
        overlay_destroy(t.overlay[h]);
        none(hosts[h].ns, "ip route | grep 10.128 | grep -v whtestabc");
        none(hosts[h].ns, "ip -o link | grep -e wxtest -e wwtest");
        (void)close(t.genl[h]);
    }
    (void)close(t.capture);
}

/* ---- who listens ---- */

struct overheard {
    unsigned packets;
    unsigned readable; /* with some of the text in them */
    unsigned secret;   /* of WireGuard */
};

static bool is_secret(const unsigned char *packet, size_t len)
{
    const unsigned char *ip = packet + ETH_HLEN;
    size_t header = len > ETH_HLEN + 20 ? (ip[0] & 15) * 4u : 0;

    return len > ETH_HLEN + header + 8 && ip[9] == IPPROTO_UDP &&
           (ip[header + 2] << 8 | ip[header + 3]) == WIREGUARD_PORT;
}

/* What the router has seen since the last time. */
static struct overheard overhear(void)
{
    struct overheard ret = {0};
    static unsigned char packet[65536];
    ssize_t n;

    while ((n = recv(t.capture, packet, sizeof(packet), MSG_DONTWAIT)) >= 0) {
        ret.packets++;
        ret.readable += memmem(packet, (size_t)n, "said, and who", 13) != NULL;
        ret.secret += is_secret(packet, (size_t)n);
    }
    return ret;
}

/* ---- asking for it ---- */

static int encrypt(enum hosts_case h)
{
    struct err e = {0};
    int rc = overlay_encrypt(t.overlay[h], hosts[h].rtnl, true, t.key[h], &e);

    ck_assert_msg(rc == 0 || (rc == -EOPNOTSUPP && strstr(e.text, "has no WireGuard") != NULL),
                  "%s", e.text);
    return rc;
}

/* False: this kernel has none. */
static bool encrypt_all(void)
{
    for (unsigned h = 0; h < HOSTS; h++) {
        if (encrypt((enum hosts_case)h) < 0) {
            return false;
        }
    }
    tell_all();
    return true;
}

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- tests ---- */

START_TEST(the_router_hears_what_is_not_encrypted)
{
    struct overheard is;

    hosts_case_all_reach(SAID);
    is = overhear();
    ck_assert_uint_gt(is.readable, 2 * HOSTS);
    ck_assert_uint_eq(is.secret, 0);
}
END_TEST

/* A node that cannot, or whose key is not known, is reached by nobody. */
START_TEST(nothing_goes_in_the_clear_when_encryption_is_asked_for)
{
    bool can = encrypt(A) == 0;
    struct overheard is;

    (void)overhear();
    must(hosts[A].ns, "ip route | grep -q '^unreachable 10.128.8.0/22' &&"
                      "ip route | grep -q '^unreachable 10.128.12.0/22' &&"
                      "ip route | grep -q '^blackhole 10.128.0.0/9'");
    none(hosts[A].ns, "ip -o link | grep -q wxtest");
    for (unsigned to = B; to <= C; to++) {
        ck_assert_uint_eq(
            hosts_case_carry(hosts[A].cell, hosts[to].cell, hosts[to].container, SAID), 0);
        ck_assert_uint_eq(hosts_case_carry(hosts[A].ns, hosts[to].cell, hosts[to].container, SAID),
                          0);
    }
    ck_assert_uint_eq(hosts_case_carry(hosts[A].cell, hosts[B].cell, 0x0a8f0001u, SAID), 0);
    is = overhear();
    ck_assert_uint_eq(is.readable, 0);
    (void)fprintf(stderr, "WireGuard: %s\n", can ? "yes" : "no");
}
END_TEST

START_TEST(the_router_hears_nothing_of_what_is_encrypted)
{
    struct overheard is;

    if (!encrypt_all()) {
        return;
    }
    (void)overhear();
    hosts_case_all_reach(SAID);
    hosts_case_all_reach(1 << 20);
    is = overhear();
    (void)fprintf(stderr, "%u packets, %u of WireGuard\n", is.packets, is.secret);
    ck_assert_uint_eq(is.readable, 0);
    ck_assert_uint_gt(is.secret, 6 * 700);
    must(hosts[A].ns, "ip route | grep -q '10.128.8.0/22 dev wwtest .*src 10.128.4.0 .*mtu 1340'");
}
END_TEST

/* The next agent goes on with the key that is there, until it is heard; then it has its own. */
START_TEST(a_new_agent_has_a_new_key)
{
    uint8_t old[NET_KEY];
    struct err e = {0};
    uint64_t begun;

    if (!encrypt_all()) {
        return;
    }
    hosts_case_all_reach(1);
    memcpy(old, t.key[A], NET_KEY);
    overlay_destroy(t.overlay[A]);
    make_overlay(A);
    ck_assert_msg(overlay_recall(t.overlay[A], hosts[A].rtnl, &e) == 0, "%s", e.text);
    ck_assert_msg(overlay_assert(t.overlay[A], hosts[A].rtnl, &e) == 0, "%s", e.text);
    (void)overhear();
    hosts_case_all_reach(SAID);
    must(hosts[A].ns, "ip link del wwtest"); /* somebody's hand: the key is the same */
    ck_assert_msg(overlay_assert(t.overlay[A], hosts[A].rtnl, &e) == 0, "%s", e.text);
    hosts_case_all_reach(SAID);
    ck_assert_int_eq(encrypt(A), 0);
    ck_assert_mem_ne(old, t.key[A], NET_KEY);
    begun = now_ms();
    tell_nodes(B);
    tell_nodes(C);
    hosts_case_all_reach(SAID);
    (void)fprintf(stderr, "reached by the new key after %u ms\n", (unsigned)(now_ms() - begun));
    ck_assert_uint_eq(overhear().readable, 0);
    memcpy(old, t.key[A], NET_KEY);
    ck_assert_int_eq(encrypt(A), 0); /* the controller was heard again: nothing changes */
    ck_assert_mem_eq(old, t.key[A], NET_KEY);
}
END_TEST

START_TEST(a_node_that_lost_its_key_is_no_longer_reached)
{
    if (!encrypt_all()) {
        return;
    }
    hosts_case_all_reach(1);
    memset(t.key[B], 0, NET_KEY);
    tell_nodes(A);
    (void)overhear();
    ck_assert_uint_eq(hosts_case_carry(hosts[A].cell, hosts[B].cell, hosts[B].container, SAID), 0);
    hosts_case_reaches(A, C, SAID);
    ck_assert_uint_eq(overhear().readable, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wireguard");
    TCase *c = tcase_create("watched");
    SRunner *r = srunner_create(s);
    int failed;

    if (skip_unless_root("network namespaces")) {
        return SKIP;
    }
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, the_router_hears_what_is_not_encrypted);
    tcase_add_test(c, nothing_goes_in_the_clear_when_encryption_is_asked_for);
    tcase_add_test(c, the_router_hears_nothing_of_what_is_encrypted);
    tcase_add_test(c, a_new_agent_has_a_new_key);
    tcase_add_test(c, a_node_that_lost_its_key_is_no_longer_reached);
    suite_add_tcase(s, c);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
