// SPDX-License-Identifier: Apache-2.0
/* How fast a container's link is: a transfer by TCP in either direction stays at its rate, in
 * namespaces of the test's own. Times are told; what is asserted of them is loose, because other
 * tests run beside. */
#include "agent/net/tc.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/net/attached.h"
#include "agent/net/netconfig.h"
#include "agent/net/netlinks.h"
#include "agent/net/rtnl.h"
#include "common/cleanup.h"
#include "netrig.h"
#include "tests/lib/skip.h"

#define BLOCK     0x0a800400u /* 10.128.4.0 */
#define MBIT      1000000ull
#define WARM_MS   300
#define MEASURE_S 2.0
#define PORT      5001

static struct {
    int host;
    int cell;
    int rtnl;
    struct netlinks *links;
    struct net_link link;
} t;

static const struct net_id id = {.incarnation = 7, .run = 1};

static void open_links(void)
{
    struct net_config c = {.suffix = "tc",
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
    t.cell = netrig_own_netns();
    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    t.host = netrig_own_netns();
    ck_assert_int_eq(netrig_shell("ip link set lo up; ip addr add 198.51.100.1/32 dev lo"), 0);
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
    (void)close(t.host);
    (void)close(t.cell);
    ck_assert_int_eq(netrig_shell("ip -o link | grep -q ': w'"), 1);
}

static int try_attach(uint64_t bits_in, uint64_t bits_out, struct err *e)
{
    t.link = (struct net_link){.bits_in = bits_in, .bits_out = bits_out};
    ck_assert_int_eq(netlinks_reserve(t.links, t.rtnl, &t.link.address, e), 0);
    return netlinks_attach(t.links, t.rtnl, id, t.cell, &t.link, e);
}

static void attach(uint64_t bits_in, uint64_t bits_out)
{
    struct err e = {0};
    int rc = try_attach(bits_in, bits_out, &e);

    ck_assert_msg(rc == 0, "%s", e.text);
}

/* ---- what a rate needs ---- */

START_TEST(a_bucket_holds_a_frame_and_a_tick)
{
    struct tc_bucket slow = tc_bucket(100000, 1500);
    struct tc_bucket usual = tc_bucket(10 * MBIT, 1500);
    struct tc_bucket huge = tc_bucket(UINT64_MAX, 9000);

    ck_assert_uint_eq(slow.bytes_per_s, 12500);
    ck_assert_uint_eq(slow.burst, 1514);
    ck_assert_uint_eq(slow.queue, 1514 + 4 * 1514);
    ck_assert_uint_eq(usual.bytes_per_s, 1250000);
    ck_assert_uint_eq(usual.burst, 12500);
    ck_assert_uint_eq(usual.queue, 12500 + 62500);
    ck_assert_uint_eq(huge.burst, UINT32_MAX);
    ck_assert_uint_eq(huge.queue, UINT32_MAX);
    ck_assert_uint_eq(tc_bucket(1, 576).bytes_per_s, 1);
}
END_TEST

/* ---- transfers ---- */

static double now_s(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static pid_t send_for_ever(int fd)
{
    static char bytes[65536];
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        while (send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0) {
        }
        _exit(0);
    }
    return pid;
}

/* Bytes that have arrived and were not read yet. */
static double unread(int fd)
{
    int n = 0;

    ck_assert_int_eq(ioctl(fd, FIONREAD, &n), 0);
    return n;
}

/* Bits a second that arrive, after those that the first burst lets pass. */
static double receive(int fd)
{
    static char bytes[65536];
    double began = now_s();
    double since = 0;
    double last = began;
    double got = 0;

    while (last - began < WARM_MS / 1e3 + MEASURE_S) {
        ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

        ck_assert_int_gt(n, 0);
        last = now_s();
        if (since > 0) {
            got += (double)n;
        } else if (last - began > WARM_MS / 1e3) {
            since = last;
            got -= unread(fd);
        }
    }
    return (got + unread(fd)) * 8 / (last - since);
}

static double transfer(int from, int to, uint32_t address)
{
    struct sockaddr_in name = netrig_name_of(address, PORT);
    auto_close int server = netrig_socket(to, AF_INET, SOCK_STREAM, NETRIG_WAIT_MS);
    auto_close int client = netrig_socket(from, AF_INET, SOCK_STREAM, NETRIG_WAIT_MS);
    auto_close int accepted = -1;
    double rate;
    pid_t pid;

    ck_assert_int_eq(bind(server, (struct sockaddr *)&name, sizeof(name)), 0);
    ck_assert_int_eq(listen(server, 1), 0);
    ck_assert_int_eq(connect(client, (struct sockaddr *)&name, sizeof(name)), 0);
    accepted = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(accepted, 0);
    pid = send_for_ever(client);
    rate = receive(accepted);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    return rate;
}

static double rate_in(void)
{
    return transfer(t.host, t.cell, t.link.address);
}

static double rate_out(void)
{
    return transfer(t.cell, t.host, 0xc6336401u);
}

static void about(const char *what, double rate, uint64_t bits)
{
    double part = rate / (double)bits;

    (void)fprintf(stderr, "%s at %.0f mbit: %.3f of it\n", what, (double)bits / 1e6, part);
    ck_assert_msg(part > 0.6 && part < 1.15, "%s: %.3f of %.0f bit/s", what, part, (double)bits);
}

START_TEST(a_transfer_stays_at_its_rate)
{
    attach(20 * MBIT, 10 * MBIT);
    about("into the container", rate_in(), 20 * MBIT);
    about("out of it", rate_out(), 10 * MBIT);
}
END_TEST

START_TEST(a_fast_link_is_used)
{
    attach(400 * MBIT, 300 * MBIT);
    about("into the container", rate_in(), 400 * MBIT);
    about("out of it", rate_out(), 300 * MBIT);
}
END_TEST

START_TEST(one_direction_alone_is_limited)
{
    attach(0, 10 * MBIT);
    ck_assert(rate_in() > 40e6);
    about("out of it", rate_out(), 10 * MBIT);
    ck_assert_int_eq(netrig_shell("ip -o link show type ifb | grep -c ' wi' | grep -qx 1"), 0);
    ck_assert_int_eq(netlinks_detach(t.links, t.rtnl, id, t.link.address, NULL), 0);
    ck_assert_int_eq(netrig_shell("ip -o link show type ifb | grep -q ' wi'"), 1);
    attach(10 * MBIT, 0);
    ck_assert_int_eq(netrig_shell("ip -o link show type ifb | grep -q ' wi'"), 1);
    ck_assert(rate_out() > 40e6);
}
END_TEST

/* ---- an agent that starts again, and one that does not ---- */

static void adopt(unsigned n)
{
    struct net_found found = {.id = id, .link = t.link};
    struct err e = {0};
    int rc;

    netlinks_destroy(t.links);
    open_links();
    rc = netlinks_adopt(t.links, t.rtnl, &found, n, &e);
    ck_assert_msg(rc == 0, "%s", e.text);
}

START_TEST(a_limit_outlives_the_agent)
{
    attach(20 * MBIT, 10 * MBIT);
    adopt(1);
    about("out of it", rate_out(), 10 * MBIT);
    /* somebody has removed the mirror: nothing passes, and the next agent puts it back */
    ck_assert_int_eq(netrig_shell("for l in $(ip -br link show type ifb | grep -o '^wi[^ ]*'); do"
                                  " ip link del $l; done"),
                     0);
    adopt(1);
    about("out of it", rate_out(), 10 * MBIT);
    about("into the container", rate_in(), 20 * MBIT);
}
END_TEST

START_TEST(a_mirror_that_is_taken_away_comes_back)
{
    static const char *const deeds[] = {"del", "set down"}; /* of the mirror */
    unsigned restored = 0;
    bool missing = true;
    struct err e = {0};

    attach(20 * MBIT, 10 * MBIT);
    for (unsigned i = 0; i < ARRAY_LEN(deeds); i++) {
        netrig_must(netrig_shell("l=$(ip -br link show type ifb | grep -o '^wi[^ ]*') &&"
                                 " ip link %.3s $l %s",
                                 deeds[i], deeds[i] + 3));
        ck_assert_int_eq(
            attached_assert(netlinks_attached(t.links), t.rtnl, &restored, &missing, &e), 0);
        ck_assert_uint_eq(restored, 1);
        ck_assert(!missing);
    }
    about("out of it", rate_out(), 10 * MBIT);
    ck_assert_int_eq(attached_assert(netlinks_attached(t.links), t.rtnl, &restored, &missing, &e),
                     0);
    ck_assert_uint_eq(restored, 0);
}
END_TEST

/* Each of the queues that a limit is made of. */
START_TEST(a_queue_that_is_taken_away_comes_back)
{
    static const char *const deeds[] = {
        "tc qdisc del dev $(ip -br link show type veth | grep -o '^wh[^@]*') root",
        "tc qdisc del dev $(ip -br link show type veth | grep -o '^wh[^@]*') ingress",
        "tc qdisc del dev $(ip -br link show type ifb | grep -o '^wi[^ ]*') root"};
    unsigned restored = 0;
    bool missing = true;
    struct err e = {0};

    attach(20 * MBIT, 10 * MBIT);
    for (unsigned i = 0; i < ARRAY_LEN(deeds); i++) {
        netrig_must(netrig_shell("%s", deeds[i]));
        ck_assert_int_eq(
            attached_assert(netlinks_attached(t.links), t.rtnl, &restored, &missing, &e), 0);
        ck_assert_uint_eq(restored, 1);
        ck_assert_int_eq(
            attached_assert(netlinks_attached(t.links), t.rtnl, &restored, &missing, &e), 0);
        ck_assert_uint_eq(restored, 0);
    }
    about("out of it", rate_out(), 10 * MBIT);
    about("into the container", rate_in(), 20 * MBIT);
}
END_TEST

START_TEST(what_a_dead_agent_left_is_removed)
{
    attach(20 * MBIT, 10 * MBIT);
    adopt(0);
    ck_assert_int_eq(netrig_shell("ip -o link | grep -q ': w'"), 1);
    attach(20 * MBIT, 10 * MBIT);
    /* it died between the two */
    ck_assert_int_eq(netrig_shell("for l in $(ip -br link show type veth | grep -o '^wh[^@]*'); do"
                                  " ip link del $l; done"),
                     0);
    adopt(0);
    ck_assert_int_eq(netrig_shell("ip -o link | grep -q ': w'"), 1);
}
END_TEST

START_TEST(what_cannot_be_limited_is_not_attached)
{
    char name[NETCONFIG_LINK_NAME];
    char mirror[NETCONFIG_LINK_NAME];
    char line[128];
    struct err e = {0};

    netconfig_link_name("tc", id, name);
    netconfig_mirror_of_link(name, mirror);
    (void)snprintf(line, sizeof(line), "ip link add %s type veth peer name other", mirror);
    ck_assert_int_eq(netrig_shell("%s", line), 0);
    ck_assert_int_eq(try_attach(0, MBIT, &e), -EEXIST);
    ck_assert_msg(strstr(e.text, "network: bandwidth: there is a link wi") != NULL, "%s", e.text);
    ck_assert_int_eq(netrig_shell("ip -o link | grep -q ': w'"), 1);
    ck_assert_int_lt(
        tc_limit(t.rtnl,
                 &(struct tc_limit){
                     .link = "nowhere", .mirror = "nowhere", .mtu = 1500, .bits_in = MBIT},
                 &e),
        0);
    ck_assert_ptr_nonnull(strstr(e.text, "bandwidth: "));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tc");
    TCase *tc = tcase_create("tc");
    SRunner *r = srunner_create(s);
    int failed;

    if (skip_unless_root("network namespaces")) {
        return SKIP;
    }
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_bucket_holds_a_frame_and_a_tick);
    tcase_add_test(tc, a_transfer_stays_at_its_rate);
    tcase_add_test(tc, a_fast_link_is_used);
    tcase_add_test(tc, one_direction_alone_is_limited);
    tcase_add_test(tc, a_limit_outlives_the_agent);
    tcase_add_test(tc, a_mirror_that_is_taken_away_comes_back);
    tcase_add_test(tc, a_queue_that_is_taken_away_comes_back);
    tcase_add_test(tc, what_a_dead_agent_left_is_removed);
    tcase_add_test(tc, what_cannot_be_limited_is_not_attached);
    suite_add_tcase(s, tc);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
