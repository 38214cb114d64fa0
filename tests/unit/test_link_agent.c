// SPDX-License-Identifier: Apache-2.0
/* The controller's sessions against the agent's real end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "linkrig.h"

START_TEST(agent_runs_what_it_is_told)
{
    struct fleet_placement_view seen;

    linkrig_join_and_run(3);
    ck_assert(fleet_placement_find(linkrig_ctl.fleet,
                                   linkrig_agent->ledger.placements[2].incarnation, &seen));
    ck_assert_str_eq(seen.observed->controls, "seccomp: applied\npids: 1024");
    ck_assert_uint_eq(seen.observed->pid, 4242);
    UNTIL(linkrig_ctl.acks > 0);
    ck_assert_uint_eq(linkrig_configured, 1);
    ck_assert_uint_gt(linkrig_routes_told, 0);
    ck_assert_uint_eq(linkrig_agent->ledger.n_placements, 3);
    ck_assert_uint_eq(linkrig_agent->ledger.epoch, 3);
    ck_assert(id128_equal(uv_agent_link_assigned(linkrig_agent), linkrig_sum_of(0xa)));
    linkrig_apply(1);
    UNTIL(linkrig_agent->ledger.n_placements == 1 && node_count(linkrig_agent->node) == 1);
    ck_assert(id128_equal(uv_agent_link_assigned(linkrig_agent), linkrig_sum_of(0xa)));
    UNTIL(linkrig_ctl.beats >= 2);
}
END_TEST

/* A report that is due while the wire is still writing: the loop goes on, and so does the report.
 */
START_TEST(busy_wire_is_waited_for)
{
    struct uv_agent_link *l;

    linkrig_join_and_run(1);
    linkrig_turns_ms(100);
    l = linkrig_agent->link;
    ck_assert(uv_wire_is_writable(&l->wire));
    l->wire.writing = true;
    l->report_ms = 0;
    uv_agent_link_report(linkrig_agent, linkrig_agent->ledger.placements[0].incarnation, false);
    ck_assert_uint_eq(l->n_dirty, 1);
    linkrig_turns_ms(50); /* it comes back: no timer keeps the loop from polling */
    ck_assert_uint_eq(l->n_dirty, 1);
    l->wire.writing = false;
    uv_wire_poke(&l->wire);
    UNTIL(l->n_dirty == 0);
}
END_TEST

START_TEST(reconnect_moves_nothing)
{
    unsigned before;

    linkrig_join_and_run(5);
    linkrig_turns_ms(100);
    before = linkrig_assigns;
    uv_sessions_reset(linkrig_ctl.sessions, "the test says so");
    linkrig_feed((struct fleet_event){.type = FLEET_NODE_GONE, .u.node_id.lo = 0xa});
    UNTIL(uv_sessions_count(linkrig_ctl.sessions) == 0);
    UNTIL(uv_sessions_count(linkrig_ctl.sessions) == 1);
    linkrig_turns_ms(100);
    ck_assert_uint_eq(linkrig_assigns, before);
    ck_assert_uint_eq(linkrig_running(), 5);
}
END_TEST

START_TEST(restarted_agent_knows_its_assignments)
{
    linkrig_join_and_run(5);
    UNTIL(linkrig_ctl.acks > 0);
    linkrig_turns_ms(50);
    linkrig_agent_stop();
    UNTIL(linkrig_ctl.gones == 1);
    linkrig_agent_start();
    ck_assert_uint_eq(linkrig_agent->ledger.n_placements, 5);
    UNTIL(uv_sessions_count(linkrig_ctl.sessions) == 1);
    ck_assert(id128_equal(uv_agent_link_assigned(linkrig_agent), linkrig_sum_of(0xa)));
}
END_TEST

/* An empty store with a lower epoch: refused by both sides, and nothing is stopped. With a higher
 * epoch it is obeyed, and keeps what it did not know. */
START_TEST(empty_store_stops_nothing)
{
    linkrig_join_and_run(4);
    linkrig_turns_ms(50);
    linkrig_fleet_new(1);
    linkrig_ctl.raised = 0;
    uv_sessions_reset(linkrig_ctl.sessions, "new leader");
    linkrig_agent->link->failures = 0;
    UNTIL(linkrig_ctl.raised > 0);
    ck_assert_uint_eq(linkrig_agent->ledger.n_placements, 4);
    ck_assert_uint_eq(node_count(linkrig_agent->node), 4);
    linkrig_fleet_new(4);
    UNTIL(linkrig_agent->link->state == LINK_STATE_AWAY);
    linkrig_agent->link->dial_ms = 0;
    uv_agent_link_arm(linkrig_agent->link);
    UNTIL(uv_sessions_count(linkrig_ctl.sessions) == 1);
    UNTIL(linkrig_running() == 4);
    linkrig_turns_ms(200);
    ck_assert_uint_eq(linkrig_agent->ledger.n_placements, 4);
    ck_assert_uint_eq(linkrig_running(), 4);
    ck_assert_uint_eq(linkrig_agent->ledger.epoch, 4);
}
END_TEST

static void log_write_lines(unsigned from, unsigned to)
{
    auto_free char *path = xasprintf("%s/log", linkrig_state);
    FILE *f = fopen(path, "ae");

    for (unsigned i = from; i < to; i++) {
        (void)fprintf(f, "2026-01-01T00:00:00.000000000Z stdout F line %u\n", i);
    }
    (void)fclose(f);
}

START_TEST(logs_flow_with_credit)
{
    struct link_logs logs = {.incarnation = 1, .tail_all = true};
    struct id128 id = {.lo = 0xa};
    uint64_t stream = 0;

    linkrig_join_and_run(1);
    log_write_lines(0, 1000);
    ck_assert_int_eq(linkrig_open_logs(id, &logs, 240, &stream), 0);
    UNTIL(linkrig_ctl.lines == 11); /* 22 bytes each; a line may begin while there is credit */
    linkrig_turns_ms(50);
    ck_assert_uint_eq(linkrig_ctl.lines, 11);
    linkrig_ctl.credit_back = stream;
    uv_sessions_stream_credit(linkrig_ctl.sessions, stream, 4096);
    UNTIL(linkrig_ctl.log_ends == 1);
    ck_assert_uint_eq(linkrig_ctl.lines, 1000);
    ck_assert_str_eq(linkrig_ctl.line, "line 999");
    ck_assert_str_eq(linkrig_ctl.log_error, "");
}
END_TEST

/* The agent runs "itself" for it: here a script. Rows end with an empty key. */
static char *pretend_self(const char *script)
{
    char *path = xasprintf("%s/self", linkrig_state);
    FILE *f = fopen(path, "we");

    (void)fprintf(f, "#!/bin/sh\n%s\n", script);
    (void)fchmod(fileno(f), 0700);
    (void)fclose(f);
    linkrig_agent->sweeper_program = path;
    return path;
}

START_TEST(questions_are_answered)
{
    struct id128 id = {.lo = 0xa};
    auto_free char *self = NULL;
    uint64_t stream = 0;

    linkrig_join_and_run(1);
    ck_assert_int_eq(linkrig_open_ask(id, "weather", 4096, &stream), 0);
    UNTIL(linkrig_ctl.log_ends == 1);
    ck_assert_str_eq(linkrig_ctl.log_error, "this agent does not know the question \"weather\"");
    self = pretend_self("printf 'id\\0one\\0\\0'; sleep 0.1; printf 'id\\0%s\\0\\0' \"$1$2\"");
    ck_assert_int_eq(linkrig_open_ask(id, "doctor", 20, &stream), 0);
    UNTIL(linkrig_ctl.lines == 1);
    linkrig_turns_ms(50);
    ck_assert_uint_eq(linkrig_ctl.lines, 1); /* a row costs its seven bytes and 16 */
    uv_sessions_stream_credit(linkrig_ctl.sessions, stream, 4096);
    UNTIL(linkrig_ctl.log_ends == 2);
    ck_assert_uint_eq(linkrig_ctl.lines, 2);
    ck_assert_str_eq(linkrig_ctl.log_error, "");
    UNTIL(linkrig_agent->n_asks == 0);
}
END_TEST

START_TEST(links_are_told_by_their_containers_names)
{
    struct id128 id = {.lo = 0xa};
    auto_free char *self = NULL, *script = NULL;
    uint64_t stream = 0;

    linkrig_join_and_run(1);
    script = xasprintf("test $1 = net-stats && for i in %llu 123456; do"
                       " printf 'incarnation\\0%%s\\0in_bytes\\0%%s\\0\\0' $i 5; done",
                       (unsigned long long)linkrig_agent->ledger.placements[0].incarnation);
    self = pretend_self(script);
    ck_assert_int_eq(linkrig_open_ask(id, "net.stats", 4096, &stream), 0);
    UNTIL(linkrig_ctl.log_ends == 1);
    ck_assert_str_eq(linkrig_ctl.log_error, "");
    ck_assert_uint_eq(linkrig_ctl.lines, 1); /* whose name is not known is not told */
    ck_assert_str_eq(linkrig_ctl.line,
                     "container"); /* the first key; what follows its NUL is not kept */
    UNTIL(linkrig_agent->n_asks == 0);
}
END_TEST

START_TEST(questions_that_fail_say_so)
{
    struct id128 id = {.lo = 0xa};
    auto_free char *self = NULL, *other = NULL;
    uint64_t stream = 0;

    linkrig_join_and_run(1);
    self = pretend_self("printf 'id\\0one\\0\\0'; exit 3");
    ck_assert_int_eq(linkrig_open_ask(id, "doctor", 4096, &stream), 0);
    UNTIL(linkrig_ctl.log_ends == 1);
    ck_assert_uint_eq(linkrig_ctl.lines, 1);
    ck_assert_str_eq(linkrig_ctl.log_error, "doctor ended with code 3");
    other = pretend_self("exec sleep 30");
    for (unsigned i = 0; i < UV_AGENT_ASK_MAX; i++) {
        ck_assert_int_eq(linkrig_open_ask(id, "doctor", 4096, &stream), 0);
    }
    UNTIL(linkrig_agent->n_asks == UV_AGENT_ASK_MAX);
    ck_assert_int_eq(linkrig_open_ask(id, "doctor", 4096, &stream), 0);
    UNTIL(linkrig_ctl.log_ends == 2);
    ck_assert_ptr_nonnull(strstr(linkrig_ctl.log_error, "too many questions"));
} /* those that sleep are killed with the agent's end */
END_TEST

START_TEST(logs_follow)
{
    struct id128 id = {.lo = 0xa};
    struct link_logs logs = {.follow = true, .tail = 2};
    uint64_t stream = 0;

    linkrig_join_and_run(1);
    logs.incarnation = linkrig_agent->ledger.placements[0].incarnation;
    log_write_lines(0, 10);
    ck_assert_int_eq(linkrig_open_logs(id, &logs, 65536, &stream), 0);
    UNTIL(linkrig_ctl.lines == 2);
    log_write_lines(10, 13);
    UNTIL(linkrig_ctl.lines == 5);
    ck_assert_str_eq(linkrig_ctl.line, "line 12");
    ck_assert_uint_eq(linkrig_ctl.log_ends, 0);
    uv_sessions_stream_close(linkrig_ctl.sessions, stream);
    UNTIL(linkrig_agent->link->n_streams == 0);
    ck_assert_uint_eq(linkrig_ctl.log_ends, 0);
}
END_TEST

START_TEST(volumes_are_forgotten)
{
    struct id128 id = {.lo = 0xa};
    auto_free char *path = NULL;
    auto_free char *again = NULL;
    bool made = false;

    linkrig_join_and_run(1);
    ck_assert_int_eq(volumes_ensure(&linkrig_agent->volumes, "shop_data", &path, &made, NULL), 0);
    ck_assert_int_eq(uv_sessions_forget_volume(linkrig_ctl.sessions, id, 77, "shop_data", NULL), 0);
    UNTIL(linkrig_ctl.forgotten == 1);
    ck_assert_str_eq(linkrig_ctl.forget_error, "");
    ck_assert_int_ne(access(path, F_OK), 0);
    UNTIL(!linkrig_agent->sweeping);
    ck_assert_int_eq(uv_sessions_forget_volume(linkrig_ctl.sessions, id, 77, "../etc", NULL), 0);
    UNTIL(linkrig_ctl.forgotten == 2);
    ck_assert_str_ne(linkrig_ctl.forget_error, "");
    UNTIL(!linkrig_agent->sweeping);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("link_agent");
    TCase *tc = tcase_create("link_agent");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(tc, linkrig_setup, linkrig_teardown);
    tcase_set_timeout(tc, 40);
    tcase_add_test(tc, agent_runs_what_it_is_told);
    tcase_add_test(tc, busy_wire_is_waited_for);
    tcase_add_test(tc, reconnect_moves_nothing);
    tcase_add_test(tc, restarted_agent_knows_its_assignments);
    tcase_add_test(tc, empty_store_stops_nothing);
    tcase_add_test(tc, logs_flow_with_credit);
    tcase_add_test(tc, logs_follow);
    tcase_add_test(tc, questions_are_answered);
    tcase_add_test(tc, links_are_told_by_their_containers_names);
    tcase_add_test(tc, questions_that_fail_say_so);
    tcase_add_test(tc, volumes_are_forgotten);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
