// SPDX-License-Identifier: Apache-2.0
#include "agent/net/netstale.h"

#include <check.h>

#define VIP     0x0af00001u
#define CELL    0x0a800401u
#define OTHER   0x0a800402u
#define HOST    0xc6336401u
#define OUTSIDE 0xcb007109u

static const struct rules_config rules = {
    .range = 0x0a800000u, .range_prefix = 9, .block = 0x0a800400u, .block_prefix = 22};

static const struct netelem vip_cell = {.set = NETELEM_VIP_TO, .address = VIP, .to = CELL};
static const struct netelem vip_other = {
    .set = NETELEM_VIP_TO, .address = VIP, .index = 1, .to = OTHER};
static const struct netelem any_53 = {
    .set = NETELEM_ANY, .udp = 1, .port = 53, .chain = NETELEM_CHAIN_ANY, .n = 1};
static const struct netelem any_53_cell = {
    .set = NETELEM_ANY_TO, .udp = 1, .port = 53, .to = CELL, .to_port = 5353};
static const struct netelem one_80_cell = {
    .set = NETELEM_ONE_TO, .address = HOST, .port = 80, .to = CELL, .to_port = 8080};

static const struct uv_flow to_vip = {.src = OTHER, .dst = VIP, .port = 80, .answers = CELL};
static const struct uv_flow to_53 = {
    .src = OUTSIDE, .dst = HOST, .port = 53, .udp = true, .answers = CELL};
static const struct uv_flow to_80 = {.src = OUTSIDE, .dst = HOST, .port = 80, .answers = CELL};
static const struct uv_flow nowhere = {
    .src = OUTSIDE, .dst = HOST, .port = 53, .udp = true, .answers = HOST};
static const struct uv_flow outwards = {
    .src = CELL, .dst = OUTSIDE, .port = 53, .udp = true, .answers = OUTSIDE};

static struct netstale s;

static void setup(void)
{
    s = (struct netstale){.rules = &rules};
}

static void teardown(void)
{
    netstale_clear(&s);
}

static struct uv_flow established(struct uv_flow f)
{
    f.established = true;
    return f;
}

START_TEST(nothing_told_nothing_stale)
{
    ck_assert(!netstale_change(&s, NULL, 0, NULL, 0));
    ck_assert(!netstale_is(&s, &to_vip));
    ck_assert(!netstale_is(&s, &nowhere));
}
END_TEST

START_TEST(a_backend_that_went_loses_what_is_not_established)
{
    const struct uv_flow old = established(to_vip);

    ck_assert(netstale_change(&s, &vip_cell, 1, NULL, 0));
    ck_assert(netstale_is(&s, &to_vip));
    ck_assert(!netstale_is(&s, &old));
    ck_assert(!netstale_is(&s, &to_53));
    ck_assert(netstale_change(&s, &any_53_cell, 1, NULL, 0));
    ck_assert(netstale_is(&s, &to_53));
    ck_assert(!netstale_is(&s, &to_80));
    ck_assert(netstale_change(&s, &one_80_cell, 1, NULL, 0));
    ck_assert(netstale_is(&s, &to_80));
    netstale_clear(&s);
    ck_assert(!netstale_is(&s, &to_80));
}
END_TEST

/* It moved to another place of the list, or came back. */
START_TEST(the_latest_word_counts)
{
    struct netelem moved = vip_other;
    const struct netelem both[] = {vip_cell, vip_other};

    moved.index = 0;
    ck_assert(netstale_change(&s, both, 2, &moved, 1));
    ck_assert(netstale_is(&s, &to_vip));
    ck_assert(!netstale_is(&s, &(struct uv_flow){.src = 1, .dst = VIP, .answers = OTHER}));
    ck_assert(!netstale_change(&s, NULL, 0, &vip_cell, 1));
    ck_assert(!netstale_is(&s, &to_vip));
    ck_assert(netstale_change(&s, &vip_cell, 1, NULL, 0));
    ck_assert(netstale_is(&s, &to_vip));
}
END_TEST

START_TEST(datagrams_that_came_too_early_are_led)
{
    ck_assert(netstale_change(&s, NULL, 0, &any_53, 1));
    ck_assert(netstale_is(&s, &nowhere));
    ck_assert(!netstale_is(&s, &outwards));
    ck_assert(!netstale_is(&s, &to_53));
}
END_TEST

START_TEST(what_is_gone_has_no_flows)
{
    const uint32_t gone[] = {OTHER, CELL};
    const struct uv_flow old = established(to_vip);
    const struct uv_flow other = {.src = OUTSIDE, .dst = HOST, .answers = HOST};

    netstale_gone(&s, gone, 2);
    ck_assert(netstale_is(&s, &old));
    ck_assert(netstale_is(&s, &outwards)); /* who has its address next is not it */
    ck_assert(!netstale_is(&s, &other));
}
END_TEST

START_TEST(the_whole_is_compared)
{
    const struct netelem all[] = {vip_other, any_53, any_53_cell};
    const struct uv_flow foreign = {
        .src = OUTSIDE, .dst = HOST, .port = 90, .answers = 0xac110002u};

    netstale_whole(&s, all, 3);
    ck_assert(netstale_is(&s, &to_vip));
    ck_assert(!netstale_is(&s, &to_53));
    ck_assert(netstale_is(&s, &nowhere));
    ck_assert(!netstale_is(&s, &foreign)); /* somebody else's rules led it */
    ck_assert(!netstale_is(&s, &outwards));
    ck_assert(!netstale_change(&s, NULL, 0, &vip_cell, 1)); /* told later */
    ck_assert(!netstale_is(&s, &to_vip));
    netstale_clear(&s);
    ck_assert(!netstale_is(&s, &nowhere));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("netstale");
    TCase *c = tcase_create("netstale");
    SRunner *r = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, nothing_told_nothing_stale);
    tcase_add_test(c, a_backend_that_went_loses_what_is_not_established);
    tcase_add_test(c, the_latest_word_counts);
    tcase_add_test(c, datagrams_that_came_too_early_are_led);
    tcase_add_test(c, what_is_gone_has_no_flows);
    tcase_add_test(c, the_whole_is_compared);
    suite_add_tcase(suite, c);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
