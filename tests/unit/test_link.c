// SPDX-License-Identifier: Apache-2.0
/* The controller's sessions against a peer made by hand, which says what no agent would. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "linkrig.h"

START_TEST(wildcards_are_refused)
{
    static const char *const addresses[] = {"0.0.0.0:1", "[::]:1", "localhost:1", "127.0.0.1",
                                            "127.0.0.1:70000"};

    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        struct uv_sessions_config config = {.address = addresses[i],
                                            .cluster_id = linkrig_cluster,
                                            .cluster_range = "10.128.0.0/9",
                                            .node_prefix = 22,
                                            .events = &linkrig_events};
        struct uv_sessions *s = NULL;
        struct err e = {0};

        ck_assert_int_eq(uv_sessions_create(&linkrig_loop, &config, &s, &e), -EINVAL);
        ck_assert_ptr_nonnull(strstr(e.text, addresses[i]));
    }
}
END_TEST

START_TEST(set_then_increments)
{
    struct linkrig_peer *p = &linkrig_peers[0];
    struct link_message report = {.kind = LINK_REPORT,
                                  .u.report = {.all_begin = true, .all_end = true}};

    linkrig_peer_open(p);
    linkrig_peer_hello(p, 1, "host-b");
    UNTIL(p->got[LINK_WELCOME] == 1 && p->got[LINK_ROUTES] == 1);
    ck_assert_uint_eq(p->position.epoch, 3);
    linkrig_peer_say(p, &report);
    linkrig_apply(3);
    UNTIL(p->placements == 3);
    ck_assert_uint_eq(p->got[LINK_ASSIGN], 1);
    ck_assert(p->told_sum);
    ck_assert(id128_equal(p->told, linkrig_sum_of(1)));
    linkrig_apply(300);
    UNTIL(p->placements == 300);
    ck_assert(id128_equal(p->told, linkrig_sum_of(1)));
    linkrig_apply(299);
    UNTIL(p->placements >= 301); /* its stop */
    ck_assert(id128_equal(p->told, linkrig_sum_of(1)));
}
END_TEST

START_TEST(other_sum_gets_a_whole_set)
{
    struct link_message m = linkrig_hello_of(1, "host-b");
    struct linkrig_peer *p = &linkrig_peers[0], *q = &linkrig_peers[1];

    linkrig_peer_open(p);
    linkrig_peer_hello(p, 1, "host-b");
    UNTIL(p->got[LINK_WELCOME] == 1);
    linkrig_apply(1000);
    UNTIL(p->placements == 1000);
    linkrig_peer_open(q);
    m.u.hello.assigned.lo = 5;
    linkrig_peer_say(q, &m);
    UNTIL(q->got[LINK_SET_END] == 1);
    ck_assert_uint_eq(q->got[LINK_SET_BEGIN], 1);
    ck_assert_uint_gt(q->got[LINK_SET_CHUNK], 1);
    ck_assert_uint_eq(q->placements, 1000);
    ck_assert(id128_equal(q->told, linkrig_sum_of(1)));
    UNTIL(p->ended);
    ck_assert_int_eq(p->refusal, LINK_REFUSE_REPLACED);
    ck_assert_uint_eq(linkrig_ctl.gones, 0);
}
END_TEST

START_TEST(equal_sums_move_nothing)
{
    struct link_message m = linkrig_hello_of(1, "host-b");
    struct linkrig_peer *p = &linkrig_peers[0], *q = &linkrig_peers[1];

    linkrig_peer_open(p);
    linkrig_peer_hello(p, 1, "host-b");
    UNTIL(p->got[LINK_WELCOME] == 1);
    linkrig_apply(20);
    UNTIL(p->placements == 20);
    linkrig_peer_close(p);
    UNTIL(linkrig_ctl.gones == 1);
    linkrig_peer_open(q);
    m.u.hello.assigned = linkrig_sum_of(1);
    linkrig_peer_say(q, &m);
    UNTIL(q->got[LINK_WELCOME] == 1 && q->got[LINK_ROUTES] == 1);
    linkrig_turns_ms(150);
    ck_assert_uint_eq(q->got[LINK_ASSIGN] + q->got[LINK_SET_BEGIN], 0);
    linkrig_apply(21);
    UNTIL(q->placements == 1); /* the increment alone */
    ck_assert(id128_equal(q->told, linkrig_sum_of(1)));
}
END_TEST

START_TEST(nothing_is_told_before_it_is_durable)
{
    struct linkrig_peer *p = &linkrig_peers[0];

    linkrig_peer_open(p);
    linkrig_peer_hello(p, 1, "host-b");
    UNTIL(p->got[LINK_WELCOME] == 1);
    linkrig_ctl.slow_store = true;
    linkrig_apply(4);
    linkrig_turns_ms(100);
    ck_assert_uint_eq(p->placements, 0);
    linkrig_ctl.slow_store = false;
    linkrig_persist();
    UNTIL(p->placements == 4);
    ck_assert(p->told_sum);
}
END_TEST

START_TEST(stale_controller_raises_its_epoch)
{
    struct link_message m = linkrig_hello_of(1, "host-b");
    struct linkrig_peer *p = &linkrig_peers[0];

    m.u.hello.position.epoch = 9;
    linkrig_peer_open(p);
    linkrig_peer_say(p, &m);
    UNTIL(p->ended);
    ck_assert_int_eq(p->refusal, LINK_REFUSE_STALE);
    ck_assert_uint_eq(linkrig_ctl.raised, 1);
    ck_assert_uint_eq(p->got[LINK_WELCOME], 0);
}
END_TEST

START_TEST(other_cluster_and_version_are_refused)
{
    struct link_message m = linkrig_hello_of(1, "host-b");

    m.u.hello.cluster_id.hi = 1;
    linkrig_peer_open(&linkrig_peers[0]);
    linkrig_peer_say(&linkrig_peers[0], &m);
    UNTIL(linkrig_peers[0].ended);
    ck_assert_int_eq(linkrig_peers[0].refusal, LINK_REFUSE_CLUSTER);
    m = linkrig_hello_of(1, "host-b");
    m.u.hello.version = 9;
    linkrig_peer_open(&linkrig_peers[1]);
    linkrig_peer_say(&linkrig_peers[1], &m);
    UNTIL(linkrig_peers[1].ended);
    ck_assert_int_eq(linkrig_peers[1].refusal, LINK_REFUSE_VERSION);
    ck_assert_uint_eq(linkrig_ctl.hellos, 0);
}
END_TEST

/* What breaks the rules, as bytes on the wire. */
static const struct {
    const char *bytes;
    size_t len;
    const char *reason;
} garbage[] = {
    {"\x00\x00\x00\x00", 4, NULL},                                 /* empty: no Refuse needed */
    {"\x7f\xff\xff\xff", 4, NULL},                                 /* too long */
    {"\x00\x00\x00\x03\xff\xff\xff", 7, "no envelope"},            /* not protobuf */
    {"\x00\x00\x00\x03\xa2\x06\x00", 7, "kind"},                   /* kind 100 */
    {"\x00\x00\x00\x02\x12\x00", 6, "not for an agent"},           /* welcome */
    {"\x00\x00\x00\x02\x5a\x00", 6, "before the greeting"},        /* heartbeat */
    {"\x00\x00\x00\x02\x0a\x00", 6, "hello"},                      /* hello of nobody */
    {"\x00\x00\x00\x07\x0a\x05\x4a\x7f\x00\x00\x00", 11, "hello"}, /* cut off inside */
};

START_TEST(garbage_drops_that_peer_alone)
{
    struct linkrig_peer *good = &linkrig_peers[0], *bad = &linkrig_peers[1];
    uv_buf_t b = uv_buf_init((char *)(uintptr_t)garbage[_i].bytes, (unsigned)garbage[_i].len);

    linkrig_peer_open(good);
    linkrig_peer_hello(good, 1, "host-b");
    UNTIL(good->got[LINK_WELCOME] == 1);
    linkrig_peer_open(bad);
    ck_assert_int_eq(uv_try_write((uv_stream_t *)&bad->wire.tcp, &b, 1), (int)garbage[_i].len);
    UNTIL(bad->ended);
    if (garbage[_i].reason != NULL) {
        ck_assert_int_eq(bad->refusal, LINK_REFUSE_PROTOCOL);
        ck_assert_msg(strstr(bad->reason, garbage[_i].reason) != NULL, "%s", bad->reason);
    }
    linkrig_apply(2);
    UNTIL(good->placements == 2);
    ck_assert(!good->ended);
    ck_assert_uint_eq(linkrig_ctl.gones, 0);
}
END_TEST

START_TEST(credit_is_enforced)
{
    struct link_logs logs = {.incarnation = 1, .tail_all = true};
    struct link_line line = {.text = "x", .len = 1};
    struct link_message data = {.kind = LINK_STREAM_DATA};
    struct linkrig_peer *p = &linkrig_peers[0];
    uint64_t stream = 0;

    linkrig_peer_open(p);
    linkrig_peer_hello(p, 1, "host-b");
    UNTIL(p->got[LINK_WELCOME] == 1);
    ck_assert_int_eq(linkrig_open_logs((struct id128){.lo = 2}, &logs, 10, &stream), -ENOTCONN);
    ck_assert_int_eq(linkrig_open_logs((struct id128){.lo = 1}, &logs, 10, &stream), 0);
    UNTIL(p->got[LINK_STREAM_OPEN] == 1);
    data.u.stream_data = (struct link_stream_data){.stream = stream, .lines = &line, .n = 1};
    linkrig_peer_say(p, &data);
    UNTIL(linkrig_ctl.lines == 1);
    linkrig_peer_say(p, &data);
    UNTIL(p->ended);
    ck_assert_int_eq(p->refusal, LINK_REFUSE_PROTOCOL);
    UNTIL(linkrig_ctl.gones == 1);
    ck_assert_uint_eq(linkrig_ctl.log_ends, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("link");
    TCase *tc = tcase_create("link");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(tc, linkrig_setup, linkrig_teardown);
    tcase_set_timeout(tc, 40);
    tcase_add_test(tc, wildcards_are_refused);
    tcase_add_test(tc, set_then_increments);
    tcase_add_test(tc, other_sum_gets_a_whole_set);
    tcase_add_test(tc, equal_sums_move_nothing);
    tcase_add_test(tc, nothing_is_told_before_it_is_durable);
    tcase_add_test(tc, stale_controller_raises_its_epoch);
    tcase_add_test(tc, other_cluster_and_version_are_refused);
    tcase_add_loop_test(tc, garbage_drops_that_peer_alone, 0, ARRAY_LEN(garbage));
    tcase_add_test(tc, credit_is_enforced);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
