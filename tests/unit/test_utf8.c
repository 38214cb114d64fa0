// SPDX-License-Identifier: Apache-2.0
/* What is UTF-8, and that every error text is. */
#include "common/utf8.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"

static const struct {
    const char *text;
    size_t length;
} sequences[] = {
    {"a", 1},
    {"\x7f", 1},
    {"\xc2\x80", 2},
    {"\xdf\xbf", 2},
    {"\xe0\xa0\x80", 3},
    {"\xed\x9f\xbf", 3},
    {"\xee\x80\x80", 3},
    {"\xf0\x90\x80\x80", 4},
    {"\xf4\x8f\xbf\xbf", 4},
    {"", 0},
    {"\x80", 0},             /* goes on what never began */
    {"\xc3", 0},             /* cut */
    {"\xe2\x82", 0},         /* cut */
    {"\xc3(", 0},            /* not gone on */
    {"\xc0\x80", 0},         /* longer than it need be */
    {"\xe0\x80\x80", 0},     /* the same */
    {"\xf0\x80\x80\x80", 0}, /* the same */
    {"\xed\xa0\x80", 0},     /* a surrogate */
    {"\xf4\x90\x80\x80", 0}, /* beyond U+10FFFF */
    {"\xff", 0},
};

START_TEST(lengths)
{
    const char *text = sequences[_i].text;

    ck_assert_uint_eq(utf8_length(text, strlen(text)), sequences[_i].length);
}
END_TEST

START_TEST(repairs)
{
    static const char *const rows[][2] = {
        {"", ""},
        {"as it is: \xc3\xbc \xe2\x82\xac", "as it is: \xc3\xbc \xe2\x82\xac"},
        {"cut \xe2\x82", "cut ??"},
        {"\xff\xc3\xbc\xc3", "?\xc3\xbc?"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        auto_free char *text = xstrdup(rows[i][0]);

        utf8_repair(text);
        ck_assert_str_eq(text, rows[i][1]);
    }
}
END_TEST

/* The end of an error's text may fall into a character, and a path may have any bytes. */
START_TEST(errors)
{
    char path[ERR_TEXT_MAX + 2] = "";
    struct err e = {0};

    for (size_t i = 0; i + 2 < sizeof(path); i += 2) {
        memcpy(path + i, "\xc3\xbc", 2);
    }
    (void)err_say(&e, 1, "%s", path);
    ck_assert_uint_eq(strlen(e.text), ERR_TEXT_MAX - 1);
    ck_assert_str_eq(e.text + ERR_TEXT_MAX - 4, "\xc3\xbc?");
    (void)err_set(&e, 2, "open %s", "\xfe");
    ck_assert_str_eq(e.text, "open ?: No such file or directory");
    (void)err_wrap(&e, "image \xe2");
    ck_assert_str_eq(e.text, "image ?: open ?: No such file or directory");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("utf8");
    TCase *t = tcase_create("utf8");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_loop_test(t, lengths, 0, (int)ARRAY_LEN(sequences));
    tcase_add_test(t, repairs);
    tcase_add_test(t, errors);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
