// SPDX-License-Identifier: Apache-2.0
/* What the command line shows: times, sizes, escapes, tables, progress. */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/humane.h"
#include "controller/cli/jsondiff.h"
#include "controller/cli/printer.h"
#include "controller/cli/progress.h"
#include "controller/cli/reply.h"
#include "controller/cli/table.h"
#include "controller/cli/term.h"
#include "controller/cli/yamlout.h"

#define MINUTE UINT64_C(60000)

static const struct term plain = {.utf8 = true};

START_TEST(ages_use_the_largest_unit)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } rows[] = {{0, "0s"},
                {999, "0s"},
                {59999, "59s"},
                {MINUTE, "1m"},
                {119 * MINUTE, "119m"},
                {120 * MINUTE, "2h"},
                {47 * 60 * MINUTE, "47h"},
                {48 * 60 * MINUTE, "2d"},
                {14 * 1440 * MINUTE, "2w"}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[HUMANE_MAX];

        humane_age(rows[i].ms, text);
        ck_assert_str_eq(text, rows[i].text);
    }
}
END_TEST

START_TEST(ages_never_run_backwards)
{
    char text[HUMANE_MAX];

    humane_since(1000, 5000, text);
    ck_assert_str_eq(text, "0s");
    humane_since(1000, 0, text);
    ck_assert_str_eq(text, "-");
}
END_TEST

START_TEST(sizes_have_one_digit)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {{0, "0 B"},
                {1023, "1023 B"},
                {1024, "1 KiB"},
                {1536, "1.5 KiB"},
                {UINT64_C(8) << 30, "8 GiB"},
                {(UINT64_C(8) << 30) + (UINT64_C(512) << 20), "8.5 GiB"},
                {UINT64_MAX, "15.9 EiB"}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[HUMANE_MAX];

        humane_bytes(rows[i].bytes, text);
        ck_assert_str_eq(text, rows[i].text);
    }
}
END_TEST

START_TEST(durations_are_read)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"0", 0},        {"90", 90000},      {"90s", 90000},    {"500ms", 500},
                {"10m", 600000}, {"1h30m", 5400000}, {"2d", 172800000}, {"1m500ms", 60500}};
    static const char *const bad[] = {"",    "x",     "1y", "1.5h",
                                      "-1s", "1h 2m", "m",  "99999999999999s"};
    uint64_t ms;
    struct err e;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        ck_assert_int_eq(humane_duration(good[i].text, &ms, &e), 0);
        ck_assert_uint_eq(ms, good[i].ms);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_int_eq(humane_duration(bad[i], &ms, &e), -EINVAL);
        ck_assert_ptr_nonnull(strstr(e.text, "such as 90s"));
    }
}
END_TEST

START_TEST(moments_are_read)
{
    uint64_t at;
    struct err e;

    ck_assert_int_eq(humane_moment("10m", 10000000, &at, &e), 0);
    ck_assert_uint_eq(at, 10000000 - 10 * MINUTE);
    ck_assert_int_eq(humane_moment("10m", 1, &at, &e), 0);
    ck_assert_uint_eq(at, 0);
    ck_assert_int_eq(humane_moment("2026-11-24T20:00:00Z", 0, &at, &e), 0);
    ck_assert_uint_eq(at, UINT64_C(1795550400000));
    ck_assert_int_eq(humane_moment("yesterday", 0, &at, &e), -EINVAL);
}
END_TEST

START_TEST(nothing_steers_the_terminal)
{
    static const struct {
        const char *in, *out;
    } rows[] = {{"plain é 漢", "plain é 漢"},
                {"\x1b[31mred", "\\x1b[31mred"},
                {"a\nb\tc\r", "a\\x0ab\\x09c\\x0d"},
                {"\x7f", "\\x7f"},
                {"\xc2\x9b"
                 "31m",
                 "\\u009b31m"},
                {"\xff\xfe", "\\xff\\xfe"},
                {"\xe2\x80\xae"
                 "evil",
                 "\\u202eevil"},
                {"\xc0\x9b", "\\xc0\\x9b"},
                {"\xed\xa0\x80", "\\xed\\xa0\\x80"},
                {"\xf0\x9f", "\\xf0\\x9f"}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        auto_buf struct buf out = {0};

        term_escape(rows[i].in, &out);
        ck_assert_str_eq(buf_text(&out), rows[i].out);
    }
}
END_TEST

START_TEST(logs_keep_their_colours)
{
    auto_buf struct buf out = {0};

    term_escape_log("\x1b[1;31mred\x1b[0m\t\x1b[2J\x1b]0;title\x07\x1b[", &out);
    ck_assert_str_eq(buf_text(&out), "\x1b[1;31mred\x1b[0m\t\\x1b[2J\\x1b]0;title\\x07\\x1b[");
}
END_TEST

START_TEST(cuts_count_columns)
{
    auto_buf struct buf out = {0};

    ck_assert_uint_eq(term_width("a漢b"), 4);
    term_cut(&plain, "a漢b", 4, &out);
    ck_assert_str_eq(buf_text(&out), "a漢b");
    buf_clear(&out);
    term_cut(&plain, "a漢bc", 3, &out);
    ck_assert_str_eq(buf_text(&out), "a…");
    buf_clear(&out);
    term_cut(&plain, "abc", 0, &out);
    ck_assert_str_eq(buf_text(&out), "");
}
END_TEST

static const struct table_column columns[] = {{.title = "NAME"},
                                              {.title = "N", .right = true},
                                              {.title = "PORTS", .optional = true},
                                              {.title = "WHY", .shrinks = true}};

static void fill(struct table *t, const char *ports)
{
    table_init(t, columns, ARRAY_LEN(columns));
    table_put(t, TERM_PLAIN, "web");
    table_put(t, TERM_PLAIN, "4");
    table_put(t, TERM_PLAIN, ports);
    table_put(t, TERM_BAD, "no node has 10 GiB of memory");
    table_put(t, TERM_PLAIN, "漢");
    table_put(t, TERM_PLAIN, "12");
    table_put(t, TERM_PLAIN, "");
    table_put(t, TERM_PLAIN, "");
}

START_TEST(tables_align)
{
    auto_table struct table t = {0};
    auto_buf struct buf out = {0};

    fill(&t, "");
    table_render(&t, &plain, 0, &out);
    ck_assert_str_eq(buf_text(&out), "NAME   N  WHY\n"
                                     "web    4  no node has 10 GiB of memory\n"
                                     "漢    12\n");
}
END_TEST

START_TEST(tables_fit_the_terminal)
{
    auto_table struct table t = {0};
    auto_buf struct buf out = {0};

    fill(&t, "80");
    table_render(&t, &plain, 32, &out);
    ck_assert_str_eq(buf_text(&out), "NAME   N  PORTS  WHY\n"
                                     "web    4  80     no node has 10…\n"
                                     "漢    12\n");
}
END_TEST

START_TEST(tables_paint_only_where_colour_is)
{
    struct term color = {.color = true, .utf8 = true};
    auto_table struct table t = {0};
    auto_buf struct buf out = {0};

    fill(&t, "");
    table_render(&t, &color, 0, &out);
    ck_assert_ptr_nonnull(strstr(buf_text(&out), "\x1b[31mno node has 10 GiB of memory\x1b[0m\n"));
}
END_TEST

START_TEST(progress_draws_bars)
{
    const struct progress_row rows[] = {
        {.name = "api", .done = 2, .wanted = 2, .style = TERM_GOOD, .note = ""},
        {.name = "web", .done = 1, .wanted = 4, .style = TERM_WARN, .note = "web.2: \x1b starts"},
        {.name = "old", .note = "gone"},
    };
    const struct term ascii = {.utf8 = false};
    auto_buf struct buf out = {0};

    ck_assert_uint_eq(progress_render(rows, 3, &ascii, 0, 0, &out), 3);
    ck_assert_str_eq(buf_text(&out), "  api  #################### 2/2  \n"
                                     "  web  #####............... 1/4  web.2: \\x1b starts\n"
                                     "  old  gone\n");
    buf_clear(&out);
    /* Too few lines: what is done gives way. */
    ck_assert_uint_eq(progress_render(rows, 3, &ascii, 0, 2, &out), 2);
    ck_assert_str_eq(buf_text(&out), "  web  #####............... 1/4  web.2: \\x1b starts\n"
                                     "  and 2 more\n");
}
END_TEST

START_TEST(progress_says_news_once)
{
    struct progress_row row = {.name = "web", .done = 1, .wanted = 4, .note = "starting"};
    char *text = NULL;
    size_t len = 0;
    struct term term = {.file = open_memstream(&text, &len)};
    struct progress p;

    progress_init(&p, &term);
    progress_show(&p, &row, 1, 1000, false);
    progress_show(&p, &row, 1, 2000, false);
    row.done = 2;
    progress_show(&p, &row, 1, 2050, false); /* too soon */
    row.done = 4;
    row.note = "";
    progress_show(&p, &row, 1, 2060, true);
    progress_finish(&p);
    (void)fclose(term.file);
    ck_assert_str_eq(text, "web 1/4: starting\nweb 4/4\n");
    free(text);
}
END_TEST

START_TEST(replies_default)
{
    json_t *o = json_loads("{\"n\": -5, \"s\": 7, \"l\": {}, \"b\": 1, \"ports\": [{\"target\": 80,"
                           "\"published\": 8080}, {\"target\": 53, \"protocol\": \"udp\","
                           "\"host_ip\": \"::1\", \"published\": 53}, {\"target\": 9}]}",
                           0, NULL);
    auto_buf struct buf out = {0};

    ck_assert_uint_eq(reply_number(o, "n"), 0);
    ck_assert_uint_eq(reply_number(NULL, "n"), 0);
    ck_assert_str_eq(reply_text(o, "s"), "");
    ck_assert_str_eq(reply_text(NULL, "s"), "");
    ck_assert_ptr_null(reply_list(o, "l"));
    ck_assert(!reply_flag(o, "b"));
    reply_ports(reply_list(o, "ports"), &out);
    ck_assert_str_eq(buf_text(&out), "8080->80, [::1]:53->53/udp, 9");
    json_decref(o);
}
END_TEST

START_TEST(objects_are_printed)
{
    json_t *o = json_loads("{\"name\": \"a\\u001b\", \"memory_bytes\": 1536, \"list\": [\"x\","
                           "{\"k\": true, \"j\": 2}], \"in\": {\"stop_grace_ms\": 1500}}",
                           JSON_ALLOW_NUL, NULL);
    auto_buf struct buf out = {0};

    printer_put(o, 0, &out);
    ck_assert_str_eq(buf_text(&out), "name: a\\x1b\n"
                                     "memory: 1.5 KiB\n"
                                     "list:\n"
                                     "  - x\n"
                                     "  - k: yes\n"
                                     "    j: 2\n"
                                     "in:\n"
                                     "  stop_grace: 1.5 s\n");
    json_decref(o);
}
END_TEST

START_TEST(differences_are_told)
{
    json_t *from =
        json_loads("{\"name\": \"web\", \"container\": {\"image\": \"docker.io/shop/web:1\","
                   "\"environment\": {\"A\": \"1\", \"B\": \"\\u001b\"}, \"command\":"
                   "{\"arg\": [\"a\"]}, \"ports\": [{\"target\": 80}], \"limits\": "
                   "{\"memory_bytes\": 1024}}, \"replicas\": 1}",
                   0, NULL);
    json_t *to =
        json_loads("{\"name\": \"web\", \"container\": {\"image\": \"docker.io/shop/web:2\","
                   "\"environment\": {\"A\": \"1\", \"C\": \"\"}, \"command\":"
                   "{\"arg\": [\"a\", \"b\"]}, \"ports\": [{\"target\": 81}, {\"target\": 1}],"
                   "\"init\": true}, \"replicas\": 3}",
                   0, NULL);
    auto_buf struct buf out = {0}, few = {0}, none = {0};

    jsondiff_put(from, to, "w: ", 20, &out);
    ck_assert_str_eq(buf_text(&out), "w: image: shop/web:1 -> shop/web:2\n"
                                     "w: environment.B: \\x1b (gone)\n"
                                     "w: environment.C: \"\" (new)\n"
                                     "w: command.arg: [\"a\"] -> [\"a\",\"b\"]\n"
                                     "w: ports[0].target: 80 -> 81\n"
                                     "w: ports[1].target: 1 (new)\n"
                                     "w: limits.memory: 1 KiB (gone)\n"
                                     "w: init: yes (new)\n"
                                     "w: replicas: 1 -> 3\n");
    jsondiff_put(from, to, "", 1, &few);
    ck_assert_str_eq(buf_text(&few), "image: shop/web:1 -> shop/web:2\nand more\n");
    jsondiff_put(to, to, "", 9, &none);
    ck_assert_uint_eq(none.len, 0);
    json_decref(from);
    json_decref(to);
}
END_TEST

START_TEST(yaml_quotes_what_it_must)
{
    static const char *const words[] = {"plain",
                                        "a:b/c@d",
                                        "yes",
                                        "12",
                                        "",
                                        "-x",
                                        "a b",
                                        "a:",
                                        "$x",
                                        "q\"\\\n\x01\x7f\xc2\x9b"
                                        "é"};
    auto_buf struct buf out = {0};
    struct yamlout y = {.out = &out};

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        yamlout_text(&y, i == 8 ? "$k" : "k", words[i]);
    }
    ck_assert_str_eq(buf_text(&out), "k: plain\n"
                                     "k: a:b/c@d\n"
                                     "k: \"yes\"\n"
                                     "k: \"12\"\n"
                                     "k: \"\"\n"
                                     "k: \"-x\"\n"
                                     "k: \"a b\"\n"
                                     "k: \"a:\"\n"
                                     "\"$k\": \"$$x\"\n"
                                     "k: \"q\\\"\\\\\\n\\x01\\x7f\\x9bé\"\n");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli_text");
    TCase *t = tcase_create("all");
    SRunner *r = srunner_create(s);
    int failed;

    (void)setlocale(LC_CTYPE, "C.UTF-8");
    suite_add_tcase(s, t);
    tcase_add_test(t, ages_use_the_largest_unit);
    tcase_add_test(t, ages_never_run_backwards);
    tcase_add_test(t, sizes_have_one_digit);
    tcase_add_test(t, durations_are_read);
    tcase_add_test(t, moments_are_read);
    tcase_add_test(t, nothing_steers_the_terminal);
    tcase_add_test(t, logs_keep_their_colours);
    tcase_add_test(t, cuts_count_columns);
    tcase_add_test(t, tables_align);
    tcase_add_test(t, tables_fit_the_terminal);
    tcase_add_test(t, tables_paint_only_where_colour_is);
    tcase_add_test(t, progress_draws_bars);
    tcase_add_test(t, progress_says_news_once);
    tcase_add_test(t, replies_default);
    tcase_add_test(t, objects_are_printed);
    tcase_add_test(t, differences_are_told);
    tcase_add_test(t, yaml_quotes_what_it_must);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
