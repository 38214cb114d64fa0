// SPDX-License-Identifier: Apache-2.0
/* wherry: the operator's command. Wiring only: the tables are in clicommand.c and clioptions.h. */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/cli.h"
#include "controller/cli/clicommand.h"
#include "controller/cli/clihelp.h"

/* The program's last word about an error. */
static void print_error(const struct cli *cli, int rc, const struct err *e,
                        const struct clicommand *row)
{
    auto_buf struct buf escaped = {0};
    auto_buf struct buf line = {0};

    term_paint(&cli->err, TERM_BAD, "wherry:", &line);
    for (const char *at = e->text; at[0] != '\0'; at += at[0] == '\n') {
        auto_free char *one = xstrndup(at, strcspn(at, "\n"));

        if (escaped.len > 0) {
            buf_putc(&escaped, '\n'); /* the details of a refusal */
        }
        term_escape(one, &escaped);
        at += strlen(one);
    }
    (void)fprintf(stderr, "%s %s\n", buf_text(&line), buf_text(&escaped));
    if (cli_exit_code(rc) == CLI_USAGE) {
        (void)fprintf(stderr, "see `wherry help%s%s`\n", row != NULL ? " " : "",
                      row != NULL ? row->name : "");
    }
}

static int print_help(const struct clicommand *row, FILE *file)
{
    auto_buf struct buf out = {0};

    if (row != NULL) {
        clihelp_command(row, &out);
    } else {
        clihelp_all(&out);
    }
    (void)fputs(buf_text(&out), file);
    return 0;
}

static bool asks_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* "wherry node --help" */
static int print_group(const char *group)
{
    auto_buf struct buf out = {0};

    clihelp_group(group, &out);
    (void)fputs(buf_text(&out), stdout);
    return 0;
}

/* With options, colours follow them. */
static void init_terms(struct cli *cli)
{
    term_init(&cli->out, stdout, !cli->options.no_color);
    term_init(&cli->err, stderr, !cli->options.no_color);
}

/* argv[0] is the last word of the command's name. */
static int run_command(struct cli *cli, const struct clicommand *row, int argc, char **argv,
                       struct err *e)
{
    int first = 0;
    int rc = clioptions_parse(&cli->options, CLIOPTIONS_GLOBAL | row->options, false, argc, argv,
                              &first, e);

    init_terms(cli);
    if (rc < 0 || cli->options.help) {
        return rc < 0 ? rc : print_help(row, stdout);
    }
    cli->args = argv + first;
    cli->n_args = argc - first;
    rc = clicommand_check_args(row, cli->n_args, e);
    if (rc < 0) {
        return rc;
    }
    cli->client = client_create(cli->options.socket);
    rc = row->run(cli, e);
    client_destroy(cli->client);
    return rc;
}

static int run(struct cli *cli, int argc, char **argv, const struct clicommand **ret_row,
               struct err *e)
{
    static char version[] = "version";
    int first = 0;
    int words = 0;
    int rc;

    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        argv[1] = version;
    }
    rc = clioptions_parse(&cli->options, CLIOPTIONS_GLOBAL, true, argc, argv, &first, e);
    init_terms(cli);
    if (rc < 0 || cli->options.help) {
        return rc < 0 ? rc : print_help(NULL, stdout);
    }
    if (first == argc) {
        (void)print_help(NULL, stderr);
        return err_say(e, E2BIG, "say what to do");
    }
    if (argc - first == 2 && clicommand_is_group(argv[first]) && asks_help(argv[first + 1])) {
        return print_group(argv[first]);
    }
    rc = clicommand_find(argc - first, argv + first, ret_row, &words, e);
    if (rc < 0) {
        return rc;
    }
    first += words - 1;
    return run_command(cli, *ret_row, argc - first, argv + first, e);
}

int main(int argc, char **argv)
{
    struct cli cli = {0};
    const struct clicommand *row = NULL;
    struct err e = {0};
    int rc;

    /* Widths of characters; whoever reads us and goes away ends us, quietly. */
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    (void)signal(SIGPIPE, SIG_DFL);
    clioptions_init(&cli.options);
    rc = run(&cli, argc, argv, &row, &e);
    if (rc < 0) {
        print_error(&cli, rc, &e, row);
    }
    if (rc >= 0 && (fflush(stdout) != 0 || ferror(stdout) != 0)) {
        (void)fprintf(stderr, "wherry: write the output: %s\n", strerror(errno != 0 ? errno : EIO));
        rc = CLI_SAID;
    }
    return cli_exit_code(rc);
}
