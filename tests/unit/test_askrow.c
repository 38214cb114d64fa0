// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/askrow.h"
#include "common/cleanup.h"
#include "common/err.h"

START_TEST(fields_come_back)
{
    auto_buf struct buf row = {0};
    const char *key, *value;
    size_t at = 0;

    askrow_put(&row, "id", "rp_filter");
    askrow_putf(&row, "bytes", "%d", 42);
    askrow_put(&row, "mend", NULL);
    ck_assert(askrow_is_valid(row.data, row.len));
    ck_assert_str_eq(askrow_text(row.data, row.len, "id"), "rp_filter");
    ck_assert_uint_eq(askrow_number(row.data, row.len, "bytes"), 42);
    ck_assert_uint_eq(askrow_number(row.data, row.len, "id"), 0);
    ck_assert_str_eq(askrow_get(row.data, row.len, "mend"), "");
    ck_assert_ptr_null(askrow_get(row.data, row.len, "rp_filter"));
    ck_assert_str_eq(askrow_text(row.data, row.len, "other"), "");
    ck_assert(askrow_next(row.data, row.len, &at, &key, &value));
    ck_assert_str_eq(key, "id");
    ck_assert(askrow_next(row.data, row.len, &at, &key, &value));
    ck_assert(askrow_next(row.data, row.len, &at, &key, &value));
    ck_assert(!askrow_next(row.data, row.len, &at, &key, &value));
}
END_TEST

START_TEST(what_is_no_row)
{
    static const struct {
        const char *bytes;
        size_t len;
        bool valid;
    } rows[] = {
        {"", 0, true},     {"a\0b\0", 4, true},     {"a\0b", 3, false},   {"a\0", 2, false},
        {"\0\0", 2, true}, {"a\0b\0c\0", 6, false}, {"\0\0\0", 3, false}, {"abc", 3, false},
    };

    ck_assert_int_eq(askrow_is_valid(rows[_i].bytes, rows[_i].len), rows[_i].valid);
}
END_TEST

START_TEST(a_row_is_capped)
{
    auto_free char *long_one = xcalloc(1, ASKROW_MAX + 2);

    ck_assert(askrow_is_valid(long_one, ASKROW_MAX));
    ck_assert(!askrow_is_valid(long_one, ASKROW_MAX + 2));
}
END_TEST

START_TEST(rows_follow_each_other)
{
    auto_buf struct buf rows = {0};
    const void *row;
    size_t at = 0, len;

    askrow_put(&rows, "id", "");
    askrow_put(&rows, "text", "one");
    askrow_end(&rows);
    askrow_put(&rows, "id", "two");
    askrow_end(&rows);
    askrow_put(&rows, "id", "cut off");
    ck_assert(askrow_take(rows.data, rows.len, &at, &row, &len));
    ck_assert(askrow_is_valid(row, len));
    ck_assert_str_eq(askrow_text(row, len, "text"), "one");
    ck_assert(askrow_take(rows.data, rows.len, &at, &row, &len));
    ck_assert_str_eq(askrow_text(row, len, "id"), "two");
    ck_assert(!askrow_take(rows.data, rows.len, &at, &row, &len));
    for (size_t n = 0; n < rows.len; n++) { /* cut anywhere, nothing beyond is read */
        auto_free char *part = xcalloc(1, n + 1);

        memcpy(part, rows.data, n);

        for (at = 0; askrow_take(part, n, &at, &row, &len);) {
            ck_assert(askrow_is_valid(row, len));
        }
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("askrow");
    TCase *t = tcase_create("all");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(t, fields_come_back);
    tcase_add_loop_test(t, what_is_no_row, 0, 8);
    tcase_add_test(t, a_row_is_capped);
    tcase_add_test(t, rows_follow_each_other);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
