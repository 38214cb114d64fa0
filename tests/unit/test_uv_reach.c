// SPDX-License-Identifier: Apache-2.0
/* Who is away: the decision as a transcript, and host A asking its neighbours over real links that
 * go down and come back. */
#include "agent/net/uv_reach.h"

#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "agent/net/reach.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "hosts_case.h"
#include "tests/lib/skip.h"

static struct buf heard;

static void on_change(void *arg, uint32_t block, unsigned prefix, bool answers)
{
    (void)arg;
    buf_printf(&heard, "%s%x/%u", answers ? "+" : "-", block, prefix);
}

static void expect(const char *text)
{
    ck_assert_str_eq(buf_text(&heard), text);
    buf_finish(&heard);
}

/* ---- decisions ---- */

/* "a" node 0 answers its question, "." it does not; "+" and "-" are what is told then. */
START_TEST(three_missing_answers_in_a_row_are_away)
{
    static const struct {
        const char *answers;
        const char *told;
    } rows[] = {
        {"aaaa", ""},
        {"..........", ""},
        {".....a", ""},
        {"a..a..a..a", ""},
        {"a...", "-1/22"},
        {"a.........", "-1/22"},
        {"a...a", "-1/22+1/22"},
        {"a...aaa...a", "-1/22+1/22-1/22+1/22"},
        {"......a...", "-1/22"},
    };
    struct net_route node = {.block = 1, .block_prefix = 22, .via = 9};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct reach r = {0};

        reach_nodes(&r, &node, 1, on_change, NULL);
        for (const char *at = rows[i].answers; *at != '\0'; at++) {
            ck_assert_uint_eq(reach_ask(&r, on_change, NULL), 0);
            if (*at == 'a') {
                reach_answer(&r, 0, 8, on_change, NULL); /* somebody else's */
                reach_answer(&r, 0, 9, on_change, NULL);
            }
        }
        (void)reach_ask(&r, on_change, NULL);
        expect(rows[i].told);
        reach_finish(&r);
    }
}
END_TEST

START_TEST(what_is_known_of_a_node_is_told)
{
    struct net_route node = {.block = 0x0a800400, .block_prefix = 22, .via = 9};
    struct reach r = {0};

    reach_nodes(&r, &node, 1, on_change, NULL);
    ck_assert_int_eq(reach_state(&r, 0x0a800401), -1); /* it has never answered */
    (void)reach_ask(&r, on_change, NULL);
    reach_answer(&r, 0, 9, on_change, NULL);
    ck_assert_int_eq(reach_state(&r, 0x0a800401), 1);
    ck_assert_int_eq(reach_state(&r, 0x0a8007ff), 1);
    ck_assert_int_eq(reach_state(&r, 0x0a800801), -1); /* of another node */
    for (unsigned i = 0; i <= REACH_MISSED; i++) {
        (void)reach_ask(&r, on_change, NULL);
    }
    ck_assert_int_eq(reach_state(&r, 0x0a800401), 0);
    reach_finish(&r);
    buf_clear(&heard);
}
END_TEST

START_TEST(nodes_that_change_keep_what_is_known_of_the_others)
{
    struct net_route nodes[] = {{.block = 2, .block_prefix = 24, .via = 12},
                                {.block = 1, .block_prefix = 24, .via = 11},
                                {.block = 3, .block_prefix = 24, .via = 13}};
    struct reach r = {0};

    reach_nodes(&r, nodes, 3, on_change, NULL);
    for (unsigned i = 0; i < 3; i++) {
        reach_answer(&r, i, 11 + i, on_change, NULL);
    }
    for (unsigned i = 0; i < 12; i++) {
        (void)reach_ask(&r, on_change, NULL);
    }
    expect("-1/24-2/24-3/24");
    nodes[1].via = 21;
    reach_nodes(&r, nodes, 2, on_change, NULL);
    expect("+1/24+3/24"); /* of another address, and gone */
    for (unsigned i = 0; i < 20; i++) {
        (void)reach_ask(&r, on_change, NULL);
    }
    expect("");
    reach_answer(&r, 1, 12, on_change, NULL);
    expect("+2/24");
    reach_nodes(&r, NULL, 0, on_change, NULL);
    expect("");
    reach_finish(&r);
}
END_TEST

START_TEST(questions_are_spread_and_limited)
{
    static const struct {
        unsigned n;
        unsigned pause_us;
    } rows[] = {{1, 300000}, {3, 100000}, {300, 1000}, {301, 1000}, {8192, 1000}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct reach r = {.n = rows[i].n};

        ck_assert_uint_eq(reach_pause_us(&r), rows[i].pause_us);
    }
}
END_TEST

/* ---- on links ---- */

static struct {
    uv_loop_t loop;
    struct uv_reach *reach;
    bool closed;
} t;

static void setup(void)
{
    auto_close int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    struct net_route nodes[HOSTS];
    unsigned n = hosts_case_nodes(A, nodes);
    struct err e = {0};

    hosts_case_make();
    ck_assert_int_eq(uv_loop_init(&t.loop), 0);
    ck_assert_int_eq(setns(hosts[A].ns, CLONE_NEWNET), 0);
    ck_assert_msg(uv_reach_create(&t.loop, on_change, NULL, &t.reach, &e) == 0, "%s", e.text);
    ck_assert_int_eq(setns(home, CLONE_NEWNET), 0);
    uv_reach_nodes(t.reach, nodes, n);
}

static void on_closed(void *arg)
{
    (void)arg;
    t.closed = true;
}

static void teardown(void)
{
    uv_reach_close(t.reach, on_closed, NULL);
    (void)uv_run(&t.loop, UV_RUN_DEFAULT);
    ck_assert(t.closed);
    ck_assert_int_eq(uv_loop_close(&t.loop), 0);
    buf_finish(&heard);
}

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

/* Waits for a word; returns how long that took. */
static unsigned wait_for(const char *word)
{
    uint64_t begun = uv_hrtime();

    while (strstr(buf_text(&heard), word) == NULL && uv_hrtime() - begun < 10000000000u) {
        run_for(5);
    }
    expect(word);
    return (unsigned)((uv_hrtime() - begun) / 1000000);
}

START_TEST(a_host_that_loses_its_link_is_away_until_it_is_back)
{
    unsigned gone;
    unsigned back;

    run_for(1000);
    expect("");
    must(hosts_router, "ip link set to_b down");
    gone = wait_for("-a800800/22");
    must(hosts_router, "ip link set to_b up");
    back = wait_for("+a800800/22");
    (void)fprintf(stderr, "away after %u ms, back after %u ms\n", gone, back);
    ck_assert_uint_gt(gone, 500);
    ck_assert_uint_lt(gone, 2000);
    ck_assert_uint_lt(back, 1000);
    must(hosts[C].ns, "ip link set u0 down");
    (void)wait_for("-a800c00/22");
    must(hosts[C].ns, "ip link set u0 up");
    (void)wait_for("+a800c00/22");
}
END_TEST

START_TEST(a_host_that_never_answers_is_believed)
{
    must(hosts[B].ns, "sysctl -qw net.ipv4.icmp_echo_ignore_all=1");
    must(hosts_router, "ip link set to_a down"); /* as good as one's own carrier */
    run_for(1500);
    expect("");
    must(hosts_router, "ip link set to_a up");
    run_for(600);
    must(hosts_router, "ip link set to_b down");
    run_for(1500);
    expect("");
}
END_TEST

/* Others' questions and answers are not taken for ours, nor an answer that was made up. */
START_TEST(answers_of_others_say_nothing)
{
    run_for(600);
    must(hosts[B].ns, "ip link set lo up; ip addr add 203.0.113.7/32 dev lo");
    must(hosts_router, "ip route add 203.0.113.7 via 198.51.100.1");
    must(hosts[B].ns, "sysctl -qw net.ipv4.icmp_echo_ignore_all=1");
    (void)wait_for("-a800800/22");
    (void)hosts_case_shell(hosts[A].ns,
                           "command -v ping >/dev/null && ping -qc 2 -i 0.2 192.0.2.2 >/dev/null");
    run_for(500);
    expect("");
}
END_TEST

START_TEST(a_thousand_nodes_are_asked_a_thousand_times_a_second)
{
    enum { N = 3000 };
    struct net_route *nodes = xcalloc(N, sizeof(*nodes));

    for (unsigned i = 0; i < N; i++) {
        nodes[i] = (struct net_route){
            .block = 0x0a900000u + i * 256, .block_prefix = 24, .via = hosts[C].underlay};
    }
    uv_reach_nodes(t.reach, nodes, N);
    run_for(2000);
    must(hosts[C].ns, "n=$(awk '/^Icmp: [0-9]/ {print $10}' /proc/net/snmp);"
                      "[ $n -gt 1000 ] && [ $n -lt 2300 ] || { echo asked $n times; false; }");
    run_for(5000);
    expect("");
    free(nodes);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("uv_reach");
    TCase *pure = tcase_create("pure");
    TCase *links = tcase_create("links");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(pure, three_missing_answers_in_a_row_are_away);
    tcase_add_test(pure, what_is_known_of_a_node_is_told);
    tcase_add_test(pure, nodes_that_change_keep_what_is_known_of_the_others);
    tcase_add_test(pure, questions_are_spread_and_limited);
    suite_add_tcase(s, pure);
    if (skip_unless_root("network namespaces")) {
        return SKIP;
    }
    tcase_add_checked_fixture(links, setup, teardown);
    tcase_set_timeout(links, 60);
    tcase_add_test(links, a_host_that_loses_its_link_is_away_until_it_is_back);
    tcase_add_test(links, a_host_that_never_answers_is_believed);
    tcase_add_test(links, answers_of_others_say_nothing);
    tcase_add_test(links, a_thousand_nodes_are_asked_a_thousand_times_a_second);
    suite_add_tcase(s, links);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
