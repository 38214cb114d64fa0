// SPDX-License-Identifier: Apache-2.0
#include "controller/cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/humane.h"

static const struct exit_row {
    int rc;
    enum cli_exit code;
} exit_rows[] = {
    {0, CLI_OK},
    {-E2BIG, CLI_USAGE},
    {-ENOENT, CLI_NOT_FOUND},
    {-EEXIST, CLI_CONFLICT},
    {-ETIMEDOUT, CLI_TIMEOUT},
    {-ECANCELED, CLI_INTERRUPTED},
};

enum cli_exit cli_exit_code(int rc)
{
    for (size_t i = 0; i < ARRAY_LEN(exit_rows); i++) {
        if (exit_rows[i].rc == rc) {
            return exit_rows[i].code;
        }
    }
    return CLI_FAILED;
}

bool cli_wants_json(const struct cli *cli)
{
    return cli->options.output != NULL && strcmp(cli->options.output, "json") == 0;
}

bool cli_print_json(const struct cli *cli, const struct client_reply *reply)
{
    if (!cli_wants_json(cli)) {
        return false;
    }
    (void)fwrite(buf_text(&reply->text), 1, reply->text.len, cli->out.file);
    if (reply->text.len > 0 && reply->text.data[reply->text.len - 1] != '\n') {
        (void)fputc('\n', cli->out.file);
    }
    return true;
}

__attribute__((format(printf, 3, 0))) static void
print(const struct term *term, enum term_style style, const char *fmt, va_list ap)
{
    auto_free char *text = NULL;
    auto_buf struct buf escaped = {0};
    auto_buf struct buf line = {0};

    if (vasprintf(&text, fmt, ap) < 0) {
        die("out of memory");
    }
    term_escape(text, &escaped);
    term_paint(term, style, buf_text(&escaped), &line);
    (void)fprintf(term->file, "%s\n", buf_text(&line));
}

void cli_say(const struct cli *cli, const char *fmt, ...)
{
    va_list ap;

    if (cli->options.quiet) {
        return;
    }
    va_start(ap, fmt);
    print(&cli->err, TERM_PLAIN, fmt, ap);
    va_end(ap);
}

void cli_print(const struct cli *cli, enum term_style style, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    print(&cli->out, style, fmt, ap);
    va_end(ap);
}

int cli_flush(const struct cli *cli, struct err *e)
{
    errno = 0;
    if (fflush(cli->out.file) != 0 || ferror(cli->out.file) != 0) {
        return err_set(e, errno != 0 ? errno : EIO, "write the output");
    }
    return 0;
}

static void add_number(struct buf *path, const char *key, uint64_t n)
{
    char number[24];

    (void)snprintf(number, sizeof(number), "%" PRIu64, n);
    client_query_add(path, key, number);
}

int cli_add_query(const struct cli *cli, struct buf *path, struct err *e)
{
    const struct clioptions *o = &cli->options;
    uint64_t since;

    if (o->follow) {
        client_query_add(path, "follow", "1");
    }
    if (o->tail != CLIOPTIONS_NOT_SET) {
        add_number(path, "tail", o->tail);
    }
    if (o->since == NULL) {
        return 0;
    }
    if (humane_moment(o->since, humane_now_unix_ms(), &since, e) < 0) {
        (void)err_wrap(e, "--since");
        return -E2BIG;
    }
    add_number(path, "since", since);
    return 0;
}
