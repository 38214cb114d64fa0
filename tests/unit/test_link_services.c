// SPDX-License-Identifier: Apache-2.0
/* The service table over the link: whole, by changes, by patches; to peers and to the agent. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "linkrig.h"

/* Endpoints make it large. */
static void put_service(struct svctable *t, unsigned number, unsigned n_endpoints)
{
    struct svc_network network = {.name = "shop_default", .vip = 0x0af00000 + number};
    auto_free struct svc_endpoint *list = xcalloc(n_endpoints + 1, sizeof(*list));
    struct svc_entry entry = {.stack = "shop",
                              .networks = &network,
                              .n_networks = 1,
                              .endpoints = list,
                              .n_endpoints = n_endpoints};

    (void)snprintf(entry.service, sizeof(entry.service), "s%u", number);
    for (unsigned i = 0; i < n_endpoints; i++) {
        list[i] = (struct svc_endpoint){
            .incarnation = i + 1, .slot = i + 1, .address = 0x0a800001 + i, .networks = 1};
    }
    (void)svctable_put(t, &entry);
}

static uint64_t services_features = LINK_FEATURE_SERVICES | LINK_FEATURE_PATCHES;

static void services_hello(struct linkrig_peer *p, struct id128 holds)
{
    struct link_message m = linkrig_hello_of(1, "host-b");

    m.u.hello.features = services_features;
    m.u.hello.services = holds;
    linkrig_peer_open(p);
    linkrig_peer_say(p, &m);
    UNTIL(p->got[LINK_WELCOME] == 1);
}

static bool has_all(const struct linkrig_peer *p)
{
    return svctable_count(p->services) == svctable_count(linkrig_ctl.services) &&
           id128_equal(svctable_sum(p->services), svctable_sum(linkrig_ctl.services)) &&
           p->sums > 0;
}

START_TEST(services_whole_then_changes)
{
    struct linkrig_peer *p = &linkrig_peers[0];
    unsigned before;

    for (unsigned i = 0; i < 3000; i++) {
        put_service(linkrig_ctl.services, i, i % 5);
    }
    put_service(linkrig_ctl.services, 3000, SVC_ENDPOINTS_MAX); /* one that fills a frame alone */
    services_hello(p, (struct id128){0, 0});
    for (unsigned i = 0; i < 200; i++) { /* it changes while it is being told */
        put_service(linkrig_ctl.services, i * 7 % 3000, 6 + i);
        (void)svctable_remove(linkrig_ctl.services, "shop", i % 2 == 0 ? "s5" : "s2999");
        uv_sessions_services(linkrig_ctl.sessions);
        (void)uv_run(&linkrig_loop, UV_RUN_NOWAIT);
    }
    UNTIL(has_all(p));
    ck_assert_uint_eq(p->wholes, 1);
    ck_assert_uint_gt(p->got[LINK_SERVICES], 2);
    before = p->got[LINK_SERVICES];
    put_service(linkrig_ctl.services, 1, 9);
    uv_sessions_services(linkrig_ctl.sessions);
    UNTIL(has_all(p));
    ck_assert_uint_eq(p->got[LINK_SERVICES], before + 1);
    linkrig_turns_ms(50);
    ck_assert_uint_eq(p->got[LINK_SERVICES], before + 1);
}
END_TEST

START_TEST(equal_services_move_nothing)
{
    struct linkrig_peer *p = &linkrig_peers[0];

    put_service(linkrig_ctl.services, 1, 1);
    services_hello(p, svctable_sum(linkrig_ctl.services));
    put_service(p->services, 1, 1);
    linkrig_turns_ms(100);
    ck_assert_uint_eq(p->got[LINK_SERVICES], 0);
    put_service(linkrig_ctl.services, 2, 1);
    (void)svctable_remove(linkrig_ctl.services, "shop", "s1");
    uv_sessions_services(linkrig_ctl.sessions);
    UNTIL(p->got[LINK_SERVICES] == 1);
    ck_assert(has_all(p));
    ck_assert_uint_eq(p->wholes, 0);
}
END_TEST

/* Of many endpoints one becomes ready: what of it goes over the wire, to who takes patches (and to
 * who does not). */
START_TEST(one_endpoint_is_told_alone)
{
    struct linkrig_peer *p = &linkrig_peers[0];
    const struct svc_entry *web;
    auto_free struct svc_endpoint *list = xcalloc(8000, sizeof(*list));
    struct svc_entry now;
    size_t before;

    services_features = LINK_FEATURE_SERVICES | (_i == 0 ? LINK_FEATURE_PATCHES : 0);
    put_service(linkrig_ctl.services, 1, 8000);
    services_hello(p, (struct id128){0, 0});
    UNTIL(has_all(p));
    before = p->bytes;
    web = svctable_find(linkrig_ctl.services, "shop", "s1");
    now = *web;
    memcpy(list, web->endpoints, 8000 * sizeof(*list));
    list[4000].ready = true;
    now.endpoints = list;
    ck_assert(svctable_put(linkrig_ctl.services, &now));
    uv_sessions_services(linkrig_ctl.sessions);
    UNTIL(has_all(p));
    ck_assert_uint_eq(p->patches, _i == 0);
    ck_assert_uint_eq(p->wholes, 1);
    if (_i == 0) {
        ck_assert_uint_lt(p->bytes - before, 100);
    }
}
END_TEST

/* A controller that has not heard of everybody takes nothing from who holds something. */
START_TEST(services_are_kept_until_all_are_heard)
{
    struct linkrig_peer *p = &linkrig_peers[0], *q = &linkrig_peers[1];

    linkrig_ctl.services_complete = false;
    put_service(linkrig_ctl.services, 1, 1);
    services_hello(p, (struct id128){1, 2});
    linkrig_turns_ms(100);
    ck_assert_uint_eq(p->got[LINK_SERVICES], 0);
    ck_assert_uint_eq(p->got[LINK_ROUTES], 0); /* nor routes: they are told whole */
    services_hello(q, (struct id128){0, 0});   /* it has nothing to lose */
    UNTIL(has_all(q));
    linkrig_peer_close(q);
    UNTIL(p->closed); /* replaced by q */
    services_hello(p, (struct id128){1, 2});
    linkrig_ctl.services_complete = true;
    uv_sessions_services(linkrig_ctl.sessions);
    UNTIL(has_all(p));
    ck_assert_uint_eq(p->wholes, 1);
}
END_TEST

/* More removals than the log holds, while the wire was busy: the whole, anew. */
START_TEST(services_too_far_behind)
{
    struct linkrig_peer *p = &linkrig_peers[0];

    services_hello(p, (struct id128){0, 0});
    put_service(linkrig_ctl.services, 9999, 1);
    uv_sessions_services(linkrig_ctl.sessions);
    UNTIL(has_all(p));
    for (unsigned i = 0; i < 5000; i++) {
        put_service(linkrig_ctl.services, i, 1);
    }
    uv_sessions_services(linkrig_ctl.sessions);
    for (unsigned i = 0; i < 4900; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "s%u", i);
        (void)svctable_remove(linkrig_ctl.services, "shop", name);
    }
    uv_sessions_services(linkrig_ctl.sessions);
    UNTIL(has_all(p));
    ck_assert_uint_eq(p->wholes, 1);
    ck_assert_uint_eq(svctable_count(p->services), 101);
}
END_TEST

START_TEST(services_are_for_who_takes_them)
{
    struct linkrig_peer *p = &linkrig_peers[0];

    put_service(linkrig_ctl.services, 1, 1);
    linkrig_peer_open(p);
    linkrig_peer_hello(p, 1, "host-b");
    UNTIL(p->got[LINK_WELCOME] == 1);
    uv_sessions_services(linkrig_ctl.sessions);
    linkrig_turns_ms(100);
    ck_assert_uint_eq(p->got[LINK_SERVICES], 0);
}
END_TEST

/* As long as both hold the same nothing is told; a difference ends the session, and the next
 * begins with all of it. */
START_TEST(agent_holds_the_service_table)
{
    for (unsigned i = 0; i < 50; i++) {
        put_service(linkrig_ctl.services, i, 3);
    }
    linkrig_agent_start();
    UNTIL(svctable_count(linkrig_held) == 50);
    ck_assert_uint_eq(linkrig_wholes_told, 1);
    put_service(linkrig_held, 3, 1); /* as if something had gone wrong here */
    put_service(linkrig_ctl.services, 7, 1);
    uv_sessions_services(linkrig_ctl.sessions);
    UNTIL(linkrig_wholes_told == 2);
    UNTIL(id128_equal(svctable_sum(linkrig_held), svctable_sum(linkrig_ctl.services)));
    uv_sessions_reset(linkrig_ctl.sessions, "the test says so");
    UNTIL(uv_sessions_count(linkrig_ctl.sessions) == 0);
    UNTIL(uv_sessions_count(linkrig_ctl.sessions) == 1);
    linkrig_turns_ms(100);
    ck_assert_uint_eq(linkrig_wholes_told, 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("link_services");
    TCase *tc = tcase_create("link_services");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(tc, linkrig_setup, linkrig_teardown);
    tcase_set_timeout(tc, 40);
    tcase_add_test(tc, services_whole_then_changes);
    tcase_add_test(tc, equal_services_move_nothing);
    tcase_add_loop_test(tc, one_endpoint_is_told_alone, 0, 2);
    tcase_add_test(tc, services_are_kept_until_all_are_heard);
    tcase_add_test(tc, services_too_far_behind);
    tcase_add_test(tc, services_are_for_who_takes_them);
    tcase_add_test(tc, agent_holds_the_service_table);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
