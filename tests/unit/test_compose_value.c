// SPDX-License-Identifier: Apache-2.0
/* How values are written: numbers, durations, sizes, signals, words, paths, variables, .env files,
 * and the nearest known word. */
#include "common/compose_value.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/compose_env.h"
#include "common/compose_interp.h"
#include "common/compose_rule.h"
#include "common/didyoumean.h"

#define BAD UINT64_MAX

typedef int parser(const char *, uint64_t *, struct err *);

struct row {
    const char *text;
    uint64_t value;
};

static void check_rows(parser *parse, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t value = 77;
        struct err e = {0};
        int rc = parse(rows[i].text, &value, &e);

        if (rows[i].value == BAD) {
            ck_assert_msg(rc < 0, "'%s' was taken as %llu", rows[i].text,
                          (unsigned long long)value);
            ck_assert_msg(e.text[0] != '\0', "'%s': no reason", rows[i].text);
            ck_assert_uint_eq(value, 77);
        } else {
            ck_assert_msg(rc == 0, "'%s': %s", rows[i].text, e.text);
            ck_assert_msg(value == rows[i].value, "'%s' is %llu", rows[i].text,
                          (unsigned long long)value);
        }
    }
}

START_TEST(numbers)
{
    static const struct row rows[] = {
        {"0", 0},      {"7", 7},     {"18446744073709551614", UINT64_MAX - 1},
        {"", BAD},     {"-1", BAD},  {"+5", BAD},
        {" 5", BAD},   {"5 ", BAD},  {"012", BAD},
        {"0x10", BAD}, {"1e3", BAD}, {"18446744073709551616", BAD},
        {"1.0", BAD},  {"1_0", BAD},
    };

    check_rows(compose_value_number, rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(durations)
{
    static const struct row rows[] = {
        {"0", 0},
        {"0s", 0},
        {"1s", 1000},
        {"1m30s", 90000},
        {"1.5s", 1500},
        {"100ms", 100},
        {"2h", 7200000},
        {"1h1m1s1ms", 3661001},
        {"1000us", 1},
        {"1000µs", 1},
        {"1000000ns", 1},
        {"0.001s", 1},
        {"", BAD},
        {"10", BAD},
        {"s", BAD},
        {"1d", BAD},
        {"-1s", BAD},
        {"1s ", BAD},
        {"1 s", BAD},
        {"1.s", BAD},
        {".5s", 500},
        {"1us", BAD},
        {"1.0005s", BAD},
        {"5124095576h", BAD},
        {"99999999999999999999s", BAD},
    };

    check_rows(compose_value_millis, rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(sizes)
{
    static const struct row rows[] = {
        {"0", 0},           {"1000", 1000},      {"64m", 64u << 20},
        {"64M", 64u << 20}, {"64mb", 64u << 20}, {"512KiB", 512 << 10},
        {"1gb", 1u << 30},  {"1.5g", 3u << 29},  {"10b", 10},
        {"1 m", 1u << 20},  {"2t", 2ull << 40},  {"1p", 1ull << 50},
        {"", BAD},          {"m", BAD},          {"64x", BAD},
        {"64mib2", BAD},    {"64mi", BAD},       {"-1m", BAD},
        {"1e3", BAD},       {"20000p", BAD},     {"0.1g", 107374182},
        {"64bb", BAD},
    };

    check_rows(compose_value_bytes, rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(cores)
{
    static const struct row rows[] = {
        {"1", 1000},
        {"0.5", 500},
        {"0.001", 1},
        {"1.250", 1250},
        {"0.0010", 1},
        {"16", 16000},
        {"", BAD},
        {"x", BAD},
        {"0.0001", BAD},
        {"-1", BAD},
        {"1e3", BAD},
        {"1.", BAD},
        {"99999999999999999999", BAD},
    };

    check_rows(compose_value_cpus, rows, ARRAY_LEN(rows));
}
END_TEST

static int parse_flag(const char *text, uint64_t *ret, struct err *e)
{
    bool value = false;
    int rc = compose_value_flag(text, &value, e);

    if (rc == 0) {
        *ret = value;
    }
    return rc;
}

static int parse_mode(const char *text, uint64_t *ret, struct err *e)
{
    uint32_t value = 0;
    int rc = compose_value_mode(text, &value, e);

    if (rc == 0) {
        *ret = value;
    }
    return rc;
}

static int parse_signal(const char *text, uint64_t *ret, struct err *e)
{
    uint32_t value = 0;
    int rc = compose_value_signal(text, &value, e);

    if (rc == 0) {
        *ret = value;
    }
    return rc;
}

START_TEST(flags_modes_signals)
{
    static const struct row flags[] = {{"true", 1}, {"no", 0},  {"On", 1},  {"OFF", 0},
                                       {"yes", 1},  {"1", BAD}, {"y", BAD}, {"", BAD}};
    static const struct row modes[] = {{"1777", 01777}, {"0755", 0755}, {"0o700", 0700},
                                       {"0", 0},        {"8", BAD},     {"10000", BAD},
                                       {"", BAD},       {"-1", BAD}};
    static const struct row signals[] = {
        {"SIGTERM", 15},   {"term", 15},       {"15", 15},       {"SIGRTMIN", 34},
        {"RTMIN+3", 37},   {"SIGRTMAX-1", 63}, {"RTMAX", 64},    {"SIGKILL", 9},
        {"0", BAD},        {"65", BAD},        {"SIGX", BAD},    {"", BAD},
        {"RTMIN+31", BAD}, {"RTMIN+", BAD},    {"RTMIN-1", BAD}, {"SIGSIGTERM", BAD},
    };

    check_rows(parse_flag, flags, ARRAY_LEN(flags));
    check_rows(parse_mode, modes, ARRAY_LEN(modes));
    check_rows(parse_signal, signals, ARRAY_LEN(signals));
}
END_TEST

/* Words joined by '|'; NULL: refused. */
START_TEST(word_splitting)
{
    static const char *const rows[][2] = {
        {"", ""},
        {"  ", ""},
        {"a b", "a|b"},
        {" a  b ", "a|b"},
        {"sh -c 'echo \"x y\"'", "sh|-c|echo \"x y\""},
        {"a\"b c\"d", "ab cd"},
        {"''", ""},
        {"a '' b", "a||b"},
        {"a\\ b", "a b"},
        {"\"a\\\"b\\n\"", "a\"b\\n"},
        {"'a\\'", "a\\"},
        {"$HOME *", "$HOME|*"},
        {"'a", NULL},
        {"\"a", NULL},
        {"a\\", NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct compose_words words = {0};
        auto_buf struct buf joined = {0};
        struct err e;
        int rc = compose_value_split(rows[i][0], &words, &e);

        ck_assert_msg((rc == 0) == (rows[i][1] != NULL), "'%s'", rows[i][0]);
        for (size_t k = 0; rc == 0 && k < words.n; k++) {
            buf_printf(&joined, "%s%s", k > 0 ? "|" : "", words.word[k]);
        }
        if (rc == 0) {
            ck_assert_str_eq(buf_text(&joined), rows[i][1]);
        }
        compose_value_words_free(&words);
    }
}
END_TEST

START_TEST(paths)
{
    static const char *const rows[][2] = {
        {"/a/b", "/a/b"},
        {"b", "/base/b"},
        {"./b/", "/base/b"},
        {"../b", "/b"},
        {"..", "/"},
        {"../../..", "/"},
        {"/a//b/./c", "/a/b/c"},
        {"/a/../..", "/"},
        {".", "/base"},
        {"/a/..b/...", "/a/..b/..."},
        {"/", "/"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        auto_free char *path = compose_value_path("/base", rows[i][0]);

        ck_assert_str_eq(path, rows[i][1]);
    }
}
END_TEST

/* ---- variables ---- */

static const char *lookup(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "SET") == 0 ? "v" : strcmp(name, "EMPTY") == 0 ? "" : NULL;
}

static void note_unset(void *arg, const char *name)
{
    buf_printf(arg, "%s ", name);
}

static const struct {
    const char *text, *value, *unset; /* value NULL: refused, for the reason in `unset` */
} variables[] = {
    {"plain", "plain", ""},
    {"$SET", "v", ""},
    {"a${SET}b", "avb", ""},
    {"$SET-x", "v-x", ""},
    {"$$SET", "$SET", ""},
    {"$$$SET", "$v", ""},
    {"${NOT}", "", "NOT "},
    {"$NOT.", ".", "NOT "},
    {"${NOT:-x}", "x", ""},
    {"${NOT-x}", "x", ""},
    {"${EMPTY:-x}", "x", ""},
    {"${EMPTY-x}", "", ""},
    {"${SET:-x}", "v", ""},
    {"${SET:+x}", "x", ""},
    {"${EMPTY:+x}", "", ""},
    {"${EMPTY+x}", "x", ""},
    {"${NOT+x}", "", ""},
    {"${SET?no}", "v", ""},
    {"${NOT:-${SET}}", "v", ""},
    {"${NOT:-${NOT2:-a${SET}}}b", "avb", ""},
    {"${NOT:-$$}", "$", ""},
    {"${NOT:-}", "", ""},
    {"${SET:-${NOT}}", "v", ""}, /* what is not used is not looked at */
    {"${NOT?}", NULL, "variable NOT is required and not set"},
    {"${NOT?say why}", NULL, "variable NOT is required and not set: say why"},
    {"${EMPTY:?$SET}", NULL, "variable EMPTY is required and empty: v"},
    {"${", NULL, "no variable name follows a dollar (allowed: $VAR, ${VAR}, and $$ for a dollar)"},
    {"$", NULL, "no variable name follows a dollar (allowed: $VAR, ${VAR}, and $$ for a dollar)"},
    {"$1", NULL, "no variable name follows a dollar (allowed: $VAR, ${VAR}, and $$ for a dollar)"},
    {"${SET", NULL, "no brace closes ${SET"},
    {"${NOT:-${SET}", NULL, "no brace closes ${NOT"},
    {"${SET/x/y}", NULL,
     "unknown operator after ${SET (allowed: } :- - :? ? :+ +, and $$ for a dollar)"},
    {"${SET:x}", NULL,
     "unknown operator after ${SET (allowed: } :- - :? ? :+ +, and $$ for a dollar)"},
};

START_TEST(interpolation)
{
    for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
        auto_buf struct buf out = {0}, unset = {0};
        const struct compose_interp in = {
            .lookup = lookup, .unset = note_unset, .unset_arg = &unset};
        struct err e = {0};
        int rc = compose_interp_text(&in, variables[i].text, &out, &e);

        if (variables[i].value == NULL) {
            ck_assert_msg(rc < 0, "'%s' was taken", variables[i].text);
            ck_assert_str_eq(e.text, variables[i].unset);
        } else {
            ck_assert_msg(rc == 0, "'%s': %s", variables[i].text, e.text);
            ck_assert_str_eq(buf_text(&out), variables[i].value);
            ck_assert_str_eq(buf_text(&unset), variables[i].unset);
        }
    }
}
END_TEST

START_TEST(interpolation_is_bounded)
{
    auto_buf struct buf deep = {0}, wide = {0}, out = {0};
    const struct compose_interp in = {.lookup = lookup};
    struct err e;

    for (unsigned i = 0; i < 1000; i++) {
        buf_puts(&deep, "${N:-");
    }
    for (unsigned i = 0; i < 1000; i++) {
        buf_putc(&deep, '}');
    }
    ck_assert_int_eq(compose_interp_text(&in, buf_text(&deep), &out, &e), -EINVAL);
    for (unsigned i = 0; i <= DOC_LONG_MAX; i++) {
        buf_putc(&wide, 'x');
    }
    ck_assert_int_eq(compose_interp_text(&in, buf_text(&wide), &out, &e), -E2BIG);
}
END_TEST

static const char *nothing(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "OUTER") == 0 ? "wins" : NULL;
}

START_TEST(env_file)
{
    static const char text[] = "# comment\n"
                               "A=1\r\n"
                               "  B = two words  # not this\n"
                               "export C='$A # x'\n"
                               "D=\"a\\nb\\\"$A\"\n"
                               "E=${A}2\n"
                               "OUTER=loses\n"
                               "F=\n"
                               "G\n"
                               "H=a#b\n"
                               "A=3";
    static const char *const rows[][2] = {{"A", "3"},        {"B", "two words"},
                                          {"C", "$A # x"},   {"D", "a\nb\"1"},
                                          {"E", "12"},       {"F", ""},
                                          {"OUTER", "wins"}, {"G", NULL},
                                          {"H", "a#b"},      {"COMPOSE_PROJECT_NAME", "shop"}};
    struct compose_env env = {.lookup = nothing, .project = "shop"};
    struct err e;

    ck_assert_msg(compose_env_parse(&env, text, &e) == 0, "%s", e.text);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *value = compose_env_get(&env, rows[i][0]);

        if (rows[i][1] == NULL) {
            ck_assert_ptr_null(value);
        } else {
            ck_assert_msg(value != NULL && strcmp(value, rows[i][1]) == 0, "%s is '%s'", rows[i][0],
                          value != NULL ? value : "(not set)");
        }
    }
    compose_env_finish(&env);
}
END_TEST

START_TEST(env_file_refused)
{
    static const char *const rows[][2] = {
        {"A=1\n-x=2\n", "line 2: no variable (allowed: NAME=value)"},
        {"A='x\n", "line 1: a quote is not closed"},
        {"\nA=\"x\" y\n", "line 2: text follows the closing quote"},
        {"A=${\n", "line 1: no variable name follows a dollar (allowed: $VAR, ${VAR}, and $$ for a "
                   "dollar)"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct compose_env env = {.lookup = nothing};
        struct err e;

        ck_assert_int_lt(compose_env_parse(&env, rows[i][0], &e), 0);
        ck_assert_str_eq(e.text, rows[i][1]);
        compose_env_finish(&env);
    }
}
END_TEST

START_TEST(nearest_word)
{
    static const char *const known[] = {"image", "command", "cap_add", "cap_drop", "init", "uts"};
    static const char *const rows[][2] = {
        {"imge", "image"},      {"iamge", "image"},       {"Image", "image"}, {"comand", "command"},
        {"cap-add", "cap_add"}, {"cap_dorp", "cap_drop"}, {"utz", "uts"},     {"xyz", NULL},
        {"in", NULL},           {"commands_x", NULL},     {"", NULL},         {"ut", "uts"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct didyoumean d;

        didyoumean_start(&d, rows[i][0]);
        for (size_t k = 0; k < ARRAY_LEN(known); k++) {
            didyoumean_offer(&d, known[k]);
        }
        ck_assert_msg((d.best == NULL) == (rows[i][1] == NULL), "'%s' is near '%s'", rows[i][0],
                      d.best != NULL ? d.best : "nothing");
        if (d.best != NULL) {
            ck_assert_str_eq(d.best, rows[i][1]);
        }
    }
    ck_assert_uint_eq(didyoumean_distance("abcd", "badc", 5), 2);
    ck_assert_uint_eq(didyoumean_distance("", "abc", 5), 3);
    ck_assert_uint_eq(didyoumean_distance("abc", "xyz", 1), 2);
}
END_TEST

START_TEST(rules)
{
    static const struct {
        int (*rule)(const char *, struct err *);
        const char *good[8], *bad[14];
    } rows[] = {
        {compose_rule_user,
         {"", "root", "1000", "0:0", "www-data:33", "_x", "65535", NULL},
         {"-1", "65536", "4294967296", "0x0", "1:", "+5", " 5", "a b", ":1", "00", "1:2:3", NULL}},
        {compose_rule_hostname,
         {"", "a", "web-1.example", "A9", NULL},
         {"-a", "a-", "a..b", "a_b", ".a", "a.", "\303\244", NULL}},
        {compose_rule_target,
         {"/a", "/dev/shm", "/procs", "/a b", NULL},
         {"/", "/proc", "/proc/x", "/sys/fs", "/dev", "a", "", "/a/", "/a//b", "/a/../b", "/./a",
          NULL}},
        {compose_rule_host_ip,
         {"", "127.0.0.1", "0.0.0.0", NULL},
         {"::1", "127.1", "x", "1.2.3.4.5", "256.0.0.1", NULL}},
        {compose_rule_capability,
         {"ALL", "NET_RAW", "CHECKPOINT_RESTORE", NULL},
         {"", "CAP_NET_RAW", "net_raw", "NET", NULL}},
        {compose_rule_volume_name, {"shop_data", "a", NULL}, {"", "-a", "A", "a/b", "..", NULL}},
        {compose_rule_constraint_key,
         {"node.id", "node.labels.x", NULL},
         {"node.labels.", "node.role", "", NULL}},
        {compose_rule_http_path,
         {"/", "/a?b=c", NULL},
         {"", "a", "/a b", "/a\r\nX: y", "/#", NULL}},
        {compose_rule_http_host, {"", "a.b", NULL}, {"a b", "a\r\n", "a:80", NULL}},
        {compose_rule_variable, {"A", "a.b-c", NULL}, {"", "A=B", NULL}},
    };
    struct err e;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t k = 0; rows[i].good[k] != NULL; k++) {
            ck_assert_msg(rows[i].rule(rows[i].good[k], &e) == 0, "%s", e.text);
        }
        for (size_t k = 0; rows[i].bad[k] != NULL; k++) {
            ck_assert_msg(rows[i].rule(rows[i].bad[k], &e) < 0, "rule %zu took '%s'", i,
                          rows[i].bad[k]);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compose_value");
    TCase *values = tcase_create("values");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(values, numbers);
    tcase_add_test(values, durations);
    tcase_add_test(values, sizes);
    tcase_add_test(values, cores);
    tcase_add_test(values, flags_modes_signals);
    tcase_add_test(values, word_splitting);
    tcase_add_test(values, paths);
    tcase_add_test(values, interpolation);
    tcase_add_test(values, interpolation_is_bounded);
    tcase_add_test(values, env_file);
    tcase_add_test(values, env_file_refused);
    tcase_add_test(values, nearest_word);
    tcase_add_test(values, rules);
    suite_add_tcase(suite, values);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
