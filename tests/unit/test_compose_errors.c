// SPDX-License-Identifier: Apache-2.0
/* What is said about a file that is wrong, word by word: the place, what was found, what is
 * allowed, the source line and a caret. And what is said about a file that is right, but not all
 * honoured. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "compose_case.h"

struct row {
    const char *text, *said;
};

/* What cannot be written in a text file; the others are in tests/fixtures. */
static const struct row odd[] = {
    {"",

     "c.yaml:1:1: file is empty (allowed: a Compose file with services)\n"
     "    \n"
     "    ^\n"},
    {"services:\n"
     "\ta: 1\n",

     "c.yaml:2:1: is no YAML: a tab cannot indent (allowed: spaces)\n"
     "        a: 1\n"
     "    ^\n"},
    {"services: {a: {image: \"b\xff\"}}\n",

     "c.yaml:1:25: is not printable UTF-8 text: invalid leading UTF-8 octet\n"
     "    services: {a: {image: \"b\\xff\"}}\n"
     "                            ^\n"},
    {"a: \x01\n",

     "c.yaml:1:4: is not printable UTF-8 text: control characters are not allowed\n"
     "    a: \\x01\n"
     "       ^\n"},
    {"services:\n"
     "  a:\n"
     "    image: b\n"
     "    user: \"\xe2\x80\xae"
     "abc def\"\n",

     "c.yaml:4:11: services.a.user: \"\\u202eabc def\" is no user (allowed: name, uid, uid:gid, "
     "name:group; ids 0 to 65535)\n"
     "        user: \"\\u202eabc def\"\n"
     "              ^\n"},
};

/* Cuts a transcript at its marks: each `%% file` is read, and must be said of what follows. */
static void check_transcript(const char *name, char *(*say)(const char *))
{
    auto_free char *path = xasprintf(WHERRY_FIXTURES "/%s", name);
    auto_fclose FILE *file = fopen(path, "re");
    auto_buf struct buf text = {0};
    char *at, *says, *next;
    unsigned n = 0;

    ck_assert_ptr_nonnull(file);
    buf_reserve(&text, 1 << 20);
    text.len = fread(text.data, 1, 1 << 20, file);
    text.data[text.len] = '\0';
    for (at = strstr(text.data, "%% file\n"); at != NULL; at = next, n++) {
        auto_free char *said = NULL;

        at += strlen("%% file\n");
        says = strstr(at, "%% says\n");
        ck_assert_ptr_nonnull(says);
        next = strstr(says, "%% file\n");
        *says = '\0';
        says += strlen("%% says\n");
        if (next != NULL) {
            *next = '\0';
        }
        said = say(at);
        ck_assert_msg(strcmp(said, says) == 0, "\n%s\nsays\n%s\ninstead of\n%s", at, said, says);
        if (next != NULL) {
            *next = '%';
        }
    }
    ck_assert_uint_gt(n, 5);
}

START_TEST(every_error)
{
    check_transcript("compose_errors.txt", compose_case_errors);
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        auto_free char *said = compose_case_errors(odd[i].text);

        ck_assert_msg(strcmp(said, odd[i].said) == 0, "\n%s\nsays\n%s\ninstead of\n%s", odd[i].text,
                      said, odd[i].said);
    }
}
END_TEST

START_TEST(every_warning)
{
    check_transcript("compose_warnings.txt", compose_case_warnings);
}
END_TEST

/* With --strict "not supported yet" is an error; what was only remarked stays a warning. */
START_TEST(strict)
{
    auto_compose struct compose_result result = {0}, again = {0};
    static const char text[] =
        "services: {a: {image: b, tty: true, environment: [NOT], shm_size: 1m}}\n";

    compose_case_read("c.yaml", text, false, &result);
    ck_assert_uint_eq(result.errors.n, 0);
    ck_assert_uint_eq(result.warnings.n, 3);
    ck_assert_ptr_nonnull(result.stack.message);
    compose_case_read("c.yaml", text, true, &again);
    ck_assert_uint_eq(again.errors.n, 2);
    ck_assert_uint_eq(again.warnings.n, 1);
    ck_assert_ptr_null(again.stack.message);
}
END_TEST

START_TEST(structured)
{
    auto_compose struct compose_result result = {0};
    const struct compose_note *note;

    compose_case_read("dir/c.yaml", "services:\n  a:\n    image: b\n    user: -1\n", false,
                      &result);
    ck_assert_uint_eq(result.errors.n, 1);
    note = &result.errors.items[0];
    ck_assert_str_eq(note->file, "dir/c.yaml");
    ck_assert_uint_eq(note->line, 4);
    ck_assert_uint_eq(note->column, 11);
    ck_assert_str_eq(note->path, "services.a.user");
    ck_assert_str_eq(note->message, "\"-1\" is no user (allowed: name, uid, uid:gid, name:group; "
                                    "ids 0 to 65535)");
}
END_TEST

/* JSON has no positions but a pointer, except for what is no JSON. */
START_TEST(json)
{
    static const struct row rows[] = {
        {"{\"services\": {\"a/~\": {\"image\": \"b\"}}}",
         "c.json: /services/a~1~0: \"a/~\" is no name (allowed: [a-z0-9][a-z0-9_.-]{0,62})\n"},
        {"{\"services\": {\"a\": {\"image\": \"b\", \"ports\": [80, \"x\"]}}}",
         "c.json: /services/a/ports/1: \"x\" is no port (allowed: [[HOST_IP:]HOST_PORT:]PORT"
         "[/tcp|/udp], where ports may be ranges like 8000-8003)\n"},
        {"{\"services\":\n {\"a\": }}",
         "c.json:2:8: is no JSON: unexpected token near '}'\n     {\"a\": }}\n           ^\n"},
        {"{\"a\": 1, \"a\": 2}", "c.json:1:12: is no JSON: duplicate object key near '\"a\"'\n"
                                 "    {\"a\": 1, \"a\": 2}\n               ^\n"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        auto_compose struct compose_result result = {0};

        compose_case_read("c.json", rows[i].text, false, &result);
        ck_assert_uint_eq(result.errors.n, 1);
        ck_assert_str_eq(result.errors.items[0].text, rows[i].said);
    }
}
END_TEST

static void expect_first(const char *text, const char *part)
{
    auto_free char *said = compose_case_errors(text);

    ck_assert_msg(strstr(said, part) != NULL, "says\n%.1000s\ninstead of\n%s", said, part);
}

static void expect_first_json(const char *text, const char *said)
{
    auto_compose struct compose_result result = {0};

    compose_case_read("c.json", text, false, &result);
    ck_assert_uint_ge(result.errors.n, 1);
    ck_assert_str_eq(result.errors.items[0].text, said);
}

START_TEST(limits_of_json)
{
    auto_buf struct buf deep = {0}, wide = {0};

    buf_puts(&deep, "{\"x-a\": ");
    for (unsigned i = 0; i < 100; i++) {
        buf_putc(&deep, '[');
    }
    for (unsigned i = 0; i < 100; i++) {
        buf_putc(&deep, ']');
    }
    buf_putc(&deep, '}');
    expect_first_json(buf_text(&deep), "c.json: file is nested deeper than 64\n");
    buf_puts(&wide, "{\"x-a\": [0");
    for (unsigned i = 0; i < 100000; i++) {
        buf_puts(&wide, ",0");
    }
    buf_puts(&wide, "]}");
    expect_first_json(buf_text(&wide), "c.json: file has more than 100000 nodes\n");
}
END_TEST

/* What is too long is said once, and not of each element. */
START_TEST(too_many)
{
    auto_buf struct buf text = {0};
    auto_free char *said = NULL;

    buf_puts(&text, "services:\n  a:\n    image: b\n    command: [x");
    for (unsigned i = 0; i < 1100; i++) {
        buf_puts(&text, ",x");
    }
    buf_puts(&text, "]\n    labels:\n");
    for (unsigned i = 0; i < 1100; i++) {
        buf_printf(&text, "      l%u: x\n", i);
    }
    said = compose_case_errors(buf_text(&text));
    ck_assert_ptr_nonnull(
        strstr(said, "services.a.command: has 1101 elements (allowed: at most 1024)\n"));
    ck_assert_ptr_nonnull(
        strstr(said, "services.a.labels: has 1100 elements (allowed: at most 1024)\n"));
    ck_assert_ptr_null(strstr(said, "more"));
}
END_TEST

/* Each limit holds, and quickly: a hostile file costs no more than its length. */
START_TEST(limits)
{
    auto_buf struct buf bomb = {0}, deep = {0}, chain = {0}, wide = {0}, large = {0}, spec = {0};

    buf_puts(&bomb, "x0: &x0 [a, a, a, a, a, a, a, a, a, a]\n");
    for (unsigned i = 1; i < 30; i++) {
        buf_printf(&bomb, "x%u: &x%u [*x%u, *x%u, *x%u]\n", i, i, i - 1, i - 1, i - 1);
    }
    expect_first(buf_text(&bomb), "file has more than 100000 nodes, aliases expanded");
    for (unsigned i = 0; i < 200000; i++) {
        buf_putc(&deep, '[');
    }
    expect_first(buf_text(&deep), "file is nested deeper than 64");
    buf_puts(&chain, "x0: &x0 [a]\n");
    for (unsigned i = 1; i < 100; i++) {
        buf_printf(&chain, "x%u: &x%u [*x%u]\n", i, i, i - 1);
    }
    expect_first(buf_text(&chain), "file is nested deeper than 64, aliases expanded");
    buf_puts(&wide, "x: [");
    for (unsigned i = 0; i < 150000; i++) {
        buf_puts(&wide, "a,");
    }
    expect_first(buf_text(&wide), "file has more than 100000 nodes");
    while (large.len <= COMPOSE_FILE_MAX) {
        buf_puts(&large, "# a comment that goes on\n");
    }
    expect_first(buf_text(&large), "c.yaml: has more than 1048576 bytes");
    buf_puts(&spec, "x-e: &e\n");
    for (unsigned i = 0; i < 1000; i++) {
        buf_printf(&spec, "  K%u: value-value-value-value-value-value\n", i);
    }
    buf_puts(&spec, "services:\n");
    for (unsigned i = 0; i < 10; i++) {
        buf_printf(&spec, "  s%u: {image: b, environment: *e}\n", i);
    }
    expect_first(buf_text(&spec), "bytes (allowed: 262144)");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compose_errors");
    TCase *said = tcase_create("said");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(said, every_error);
    tcase_add_test(said, every_warning);
    tcase_add_test(said, strict);
    tcase_add_test(said, structured);
    tcase_add_test(said, json);
    tcase_add_test(said, too_many);
    tcase_add_test(said, limits);
    tcase_add_test(said, limits_of_json);
    suite_add_tcase(suite, said);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
