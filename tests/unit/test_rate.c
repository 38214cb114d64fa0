// SPDX-License-Identifier: Apache-2.0
#include "common/rate.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"

START_TEST(rates_are_read_and_written)
{
    static const struct {
        const char *text;
        uint64_t bits;
        const char *again;
    } rows[] = {
        {"10mbit", 10000000, "10mbit"},        {"1.5gbit", 1500000000, "1.5gbit"},
        {"64kbit", 64000, "64kbit"},           {"999bit", 999, "999bit"},
        {"1024kbit", 1024000, "1.024mbit"},    {"0.25Gbit", 250000000, "250mbit"},
        {"1.05mbit", 1050000, "1.05mbit"},     {"1000.000001kbit", 1000000, "1mbit"},
        {"100gbit", 100000000000u, "100gbit"}, {"0", 0, "0bit"},
        {"1000000", 1000000, "1mbit"},
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        char text[RATE_TEXT];
        struct err e = {0};
        uint64_t bits = 1;

        ck_assert_msg(rate_parse(rows[i].text, &bits, &e) == 0, "%s", e.text);
        ck_assert_uint_eq(bits, rows[i].bits);
        rate_text(bits, text);
        ck_assert_str_eq(text, rows[i].again);
    }
}
END_TEST

START_TEST(what_is_no_rate_is_refused)
{
    static const char *const rows[] = {"",       "mbit",   "10 mbit", "10mb",
                                       "1.mbit", "-1mbit", "10mbits", ".5gbit"};
    uint64_t bits = 7;
    struct err e = {0};

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_int_eq(rate_parse(rows[i], &bits, &e), -EINVAL);
        ck_assert_ptr_nonnull(strstr(e.text, "like 10mbit"));
    }
    ck_assert_int_eq(rate_parse("999999999999gbit", &bits, &e), -ERANGE);
    ck_assert_int_eq(rate_parse("1234567890123456789bit", &bits, &e), -ERANGE);
    ck_assert_uint_eq(bits, 7);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rate");
    TCase *tc = tcase_create("rate");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(tc, rates_are_read_and_written);
    tcase_add_test(tc, what_is_no_rate_is_refused);
    suite_add_tcase(s, tc);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
