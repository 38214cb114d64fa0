// SPDX-License-Identifier: Apache-2.0
/* What the command line takes: commands, options, targets; and when waiting ends. */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/cli.h"
#include "controller/cli/clicommand.h"
#include "controller/cli/clicomplete.h"
#include "controller/cli/clihelp.h"
#include "controller/cli/target.h"
#include "controller/cli/waiting.h"

#define ARGV_MAX 12

/* "a b c" as argv. The strings live in `copy`. */
static int split(const char *line, char *copy, size_t size, char *argv[ARGV_MAX + 1])
{
    char *rest = copy;
    int argc = 0;

    (void)snprintf(copy, size, "%s", line);
    while (argc < ARGV_MAX && (argv[argc] = strsep(&rest, " ")) != NULL) {
        argc++;
    }
    argv[argc] = NULL;
    return argc;
}

static int parse(const char *line, uint32_t mask, struct clioptions *o, int *ret_first,
                 struct err *e)
{
    static char copy[200];
    static char *argv[ARGV_MAX + 1];
    int argc = split(line, copy, sizeof(copy), argv);

    clioptions_init(o);
    return clioptions_parse(o, mask, false, argc, argv, ret_first, e);
}

static const uint32_t all = (UINT32_C(1) << CLIOPTIONS_N) - 1;

START_TEST(rows_have_no_holes)
{
    size_t n;
    const struct clicommand *rows = clicommand_rows(&n);

    for (int i = 0; i < CLIOPTIONS_N; i++) {
        ck_assert_ptr_nonnull(clioptions_rows[i].name);
        ck_assert_ptr_nonnull(clioptions_rows[i].help);
        ck_assert((clioptions_rows[i].argument == NULL) ==
                  (clioptions_rows[i].kind == CLIOPTIONS_SWITCH));
    }
    for (size_t i = 0; i < n; i++) {
        ck_assert_ptr_nonnull(rows[i].run);
        ck_assert_ptr_nonnull(rows[i].text);
        ck_assert_int_le(rows[i].args_min, rows[i].args_max);
        ck_assert_uint_eq(rows[i].options & CLIOPTIONS_GLOBAL, 0);
        for (int a = 0; a < CLIOPTIONS_N; a++) {
            for (int b = a + 1; b < CLIOPTIONS_N; b++) {
                uint32_t mask = rows[i].options | CLIOPTIONS_GLOBAL;

                /* One letter means one thing to one command. */
                ck_assert((mask >> a & 1) == 0 || (mask >> b & 1) == 0 ||
                          clioptions_rows[a].letter == 0 ||
                          clioptions_rows[a].letter != clioptions_rows[b].letter);
            }
        }
    }
}
END_TEST

START_TEST(options_anywhere)
{
    struct clioptions o;
    struct err e;
    int first;

    ck_assert_int_eq(parse("x shop -o json --tail=5 web --timeout 1m30s -q", all, &o, &first, &e),
                     0);
    ck_assert_str_eq(o.output, "json");
    ck_assert_uint_eq(o.tail, 5);
    ck_assert_uint_eq(o.timeout_ms, 90000);
    ck_assert(o.quiet && !o.follow);
    ck_assert_int_eq(first, 7);
}
END_TEST

START_TEST(wrong_options_are_explained)
{
    static const struct {
        const char *line, *say;
    } rows[] = {
        {"x --folow", "unknown option --folow (did you mean \"--follow\"?)"},
        {"x --zzzzzz=1", "unknown option --zzzzzz (allowed: --controller, "},
        {"x -Z", "unknown option -Z"},
        {"x -o yaml", "--output: 'yaml' is not one of table|json"},
        {"x -o tab", "--output: 'tab' is not one of table|json"},
        {"x --tail -1", "--tail: '-1' is neither a number"},
        {"x --tail 12x", "--tail: '12x' is neither a number"},
        {"x --timeout soon", "--timeout: 'soon' is not a duration"},
        {"x --quiet=1", "option --quiet takes no argument"},
        {"x --tail", "option --tail needs an argument: N"},
        {"x -o", "option --output needs an argument: table|json"},
    };
    struct clioptions o;
    int first;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {0};

        ck_assert_int_eq(parse(rows[i].line, all, &o, &first, &e), -E2BIG);
        ck_assert_msg(strncmp(e.text, rows[i].say, strlen(rows[i].say)) == 0, "%s", e.text);
    }
}
END_TEST

START_TEST(options_of_other_commands_are_unknown)
{
    struct clioptions o;
    struct err e;
    int first;

    ck_assert_int_eq(parse("x --tail 5", CLIOPTIONS_GLOBAL, &o, &first, &e), -E2BIG);
    ck_assert_int_eq(parse("x -f", CLIOPTIONS_GLOBAL | CLIOPTIONS_BIT(FOLLOW), &o, &first, &e), 0);
    ck_assert(o.follow);
    ck_assert_int_eq(parse("x -f a", CLIOPTIONS_GLOBAL | CLIOPTIONS_BIT(FILE), &o, &first, &e), 0);
    ck_assert_str_eq(o.file, "a");
}
END_TEST

START_TEST(commands_are_found)
{
    static const struct {
        const char *line, *name;
        int words;
    } good[] = {{"ps", "ps", 1}, {"volume ls", "volume ls", 2}, {"node lost a", "node lost", 2}};
    static const struct {
        const char *line, *say;
    } bad[] = {
        {"statsu", "unknown command 'statsu' (did you mean \"status\"?)"},
        {"volume", "volume: say what to do (allowed: ls, forget)"},
        {"volume frget x", "unknown command 'volume frget' (did you mean \"forget\"?)"},
        {"frobnicate", "unknown command 'frobnicate'"},
    };
    const struct clicommand *row;
    char *argv[ARGV_MAX + 1];
    char copy[100];
    int words;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        int argc = split(good[i].line, copy, sizeof(copy), argv);

        ck_assert_int_eq(clicommand_find(argc, argv, &row, &words, NULL), 0);
        ck_assert_str_eq(row->name, good[i].name);
        ck_assert_int_eq(words, good[i].words);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int argc = split(bad[i].line, copy, sizeof(copy), argv);
        struct err e = {0};

        ck_assert_int_eq(clicommand_find(argc, argv, &row, &words, &e), -E2BIG);
        ck_assert_msg(strncmp(e.text, bad[i].say, strlen(bad[i].say)) == 0, "%s", e.text);
    }
}
END_TEST

START_TEST(help_and_completion_know_every_command)
{
    auto_buf struct buf help = {0};
    size_t n;
    const struct clicommand *rows = clicommand_rows(&n);
    static const char *const shells[] = {"bash", "zsh", "fish"};

    clihelp_all(&help);
    for (size_t i = 0; i < n; i++) {
        auto_free char *line = xasprintf("\n  %s ", rows[i].name);

        ck_assert((strstr(buf_text(&help), line) != NULL) == (rows[i].help != NULL));
    }
    for (size_t k = 0; k < ARRAY_LEN(shells); k++) {
        auto_buf struct buf script = {0};

        ck_assert_int_eq(clicomplete_script(shells[k], &script, NULL), 0);
        for (size_t i = 0; i < n; i++) {
            const char *last = strrchr(rows[i].name, ' ');
            const char *word = last != NULL ? last + 1 : rows[i].name;

            ck_assert(rows[i].help == NULL || strstr(buf_text(&script), word) != NULL);
        }
    }
}
END_TEST

START_TEST(targets_are_read)
{
    struct target t;
    struct err e;

    ck_assert_int_eq(target_parse("shop", true, &t, &e), 0);
    ck_assert_str_eq(t.stack, "shop");
    ck_assert_str_eq(t.service, "");
    ck_assert_int_eq(target_parse("shop/web.3", true, &t, &e), 0);
    ck_assert_str_eq(t.service, "web");
    ck_assert_uint_eq(t.slot, 3);
    ck_assert_int_eq(target_parse("shop/web.v2", true, &t, &e), 0);
    ck_assert_str_eq(t.service, "web.v2");
    ck_assert_int_eq(target_parse("shop/web.3", false, &t, &e), 0);
    ck_assert_str_eq(t.service, "web.3");
    ck_assert_int_eq(target_parse("../etc", true, &t, &e), -E2BIG);
    ck_assert_int_eq(target_parse("shop/", true, &t, &e), -E2BIG);
    ck_assert_int_eq(target_parse("shop/a/b", true, &t, &e), -E2BIG);
    ck_assert_int_eq(target_parse("", true, &t, &e), -E2BIG);
}
END_TEST

START_TEST(paths_are_escaped)
{
    auto_buf struct buf path = {0};

    buf_puts(&path, "/v1/nodes");
    client_path_add(&path, "a/../b c");
    client_query_add(&path, "stack", "x&y=z");
    client_query_add(&path, "follow", "1");
    ck_assert_str_eq(buf_text(&path), "/v1/nodes/a%2F..%2Fb%20c?stack=x%26y%3Dz&follow=1");
}
END_TEST

START_TEST(errors_have_exit_codes)
{
    ck_assert_int_eq(cli_exit_code(0), CLI_OK);
    ck_assert_int_eq(cli_exit_code(CLI_SAID), CLI_FAILED);
    ck_assert_int_eq(cli_exit_code(-E2BIG), CLI_USAGE);
    ck_assert_int_eq(cli_exit_code(-ENOENT), CLI_NOT_FOUND);
    ck_assert_int_eq(cli_exit_code(-EEXIST), CLI_CONFLICT);
    ck_assert_int_eq(cli_exit_code(-ETIMEDOUT), CLI_TIMEOUT);
    ck_assert_int_eq(cli_exit_code(-ECANCELED), CLI_INTERRUPTED);
    ck_assert_int_eq(cli_exit_code(-ENOTCONN), CLI_FAILED);
}
END_TEST

static enum waiting_verdict judge(const char *services, struct waiting_goal *goals, size_t n)
{
    struct waiting w = {.stack = "shop", .goals = goals, .n_goals = n};
    auto_free char *text =
        xasprintf("{\"stacks\": [{\"name\": \"shop\", \"services\": [%s]}]}", services);
    json_t *status = json_loads(text, 0, NULL);
    enum waiting_verdict verdict;

    ck_assert_ptr_nonnull(status);
    verdict = waiting_judge(&w, status);
    json_decref(status);
    return verdict;
}

START_TEST(waiting_ends_when_all_is_so)
{
    struct waiting_goal two[] = {{"web", WAITING_FOR_WANTED}, {"old", WAITING_FOR_GONE}};
    struct waiting_goal stack[] = {{NULL, WAITING_FOR_GONE}};
    struct waiting gone = {.stack = "shop", .goals = stack, .n_goals = 1};
    const char *web = "{\"name\": \"web\", \"converged\": true}";
    const char *both = "{\"name\": \"web\", \"converged\": true}, {\"name\": \"old\"}";

    ck_assert_int_eq(judge(web, two, 2), WAITING_IS_DONE);
    ck_assert_int_eq(judge(both, two, 2), WAITING_GOES_ON);
    ck_assert_int_eq(judge("{\"name\": \"web\"}", two, 2), WAITING_GOES_ON);
    ck_assert_int_eq(judge("{\"name\": \"web\", \"failing\": true}", two, 2), WAITING_FAILS);
    ck_assert_int_eq(judge("{\"name\": \"kept\"}", two, 2),
                     WAITING_FAILS); /* somebody removed it */
    ck_assert_int_eq(judge(web, stack, 1), WAITING_GOES_ON);
    ck_assert_int_eq(waiting_judge(&gone, NULL), WAITING_IS_DONE);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli_args");
    TCase *t = tcase_create("all");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_add_test(t, rows_have_no_holes);
    tcase_add_test(t, options_anywhere);
    tcase_add_test(t, wrong_options_are_explained);
    tcase_add_test(t, options_of_other_commands_are_unknown);
    tcase_add_test(t, commands_are_found);
    tcase_add_test(t, help_and_completion_know_every_command);
    tcase_add_test(t, targets_are_read);
    tcase_add_test(t, paths_are_escaped);
    tcase_add_test(t, errors_have_exit_codes);
    tcase_add_test(t, waiting_ends_when_all_is_so);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
