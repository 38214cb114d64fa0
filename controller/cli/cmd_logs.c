// SPDX-License-Identifier: Apache-2.0
/* `wherry logs`: lines of one or many containers. The controller's stream is one service's; more
 * are read at the same time. */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/cmd.h"
#include "controller/cli/humane.h"
#include "controller/cli/reply.h"
#include "controller/cli/target.h"

struct logs {
    struct cli *cli;
    char *paths[CLIENT_STREAMS];
    unsigned n;
    unsigned width; /* of the longest container's name so far */
    unsigned failed;
    bool within; /* the last line goes on */
    char last[2 * NAME_MAX_LEN + 16];
};

/* ---- printing ---- */

static enum term_style style_of(const char *container)
{
    static const enum term_style styles[] = {TERM_GOOD, TERM_WARN, TERM_BOLD, TERM_DIM};
    unsigned sum = 0;

    for (const char *c = container; *c != '\0'; c++) {
        sum += (unsigned char)*c;
    }
    return styles[sum % ARRAY_LEN(styles)];
}

/* The container's name in front of its line, aligned as far as names are known. */
static void put_prefix(struct logs *logs, const char *container, struct buf *out)
{
    auto_buf struct buf name = {0};
    unsigned width;

    term_escape(container, &name);
    width = term_width(buf_text(&name));
    logs->width = width > logs->width ? width : logs->width;
    term_paint(&logs->cli->out, style_of(container), buf_text(&name), out);
    buf_printf(out, "%*s | ", (int)(logs->width - width), "");
}

static void put_text(const struct logs *logs, const char *text, struct buf *out)
{
    if (!logs->cli->out.tty) {
        buf_puts(out, text);
        return;
    }
    term_escape_log(text, out);
    if (strchr(text, '\x1b') != NULL) {
        buf_puts(out, "\x1b[0m"); /* a colour ends with its line */
    }
}

static void print_line(struct logs *logs, const json_t *line)
{
    const char *container = reply_text(line, "container");
    bool goes_on = logs->within && strcmp(logs->last, container) == 0;
    auto_buf struct buf out = {0};

    if (logs->within && !goes_on) {
        buf_putc(&out, '\n');
    }
    if (!goes_on) {
        put_prefix(logs, container, &out);
    }
    put_text(logs, reply_text(line, "text"), &out);
    logs->within = reply_flag(line, "partial");
    if (!logs->within) {
        buf_putc(&out, '\n');
    }
    (void)snprintf(logs->last, sizeof(logs->last), "%s", container);
    (void)fputs(buf_text(&out), logs->cli->out.file);
}

static int on_line(void *arg, const json_t *line, const char *text, struct err *e)
{
    struct logs *logs = arg;
    const char *error = reply_text(line, "error");

    if (cli_wants_json(logs->cli)) {
        (void)fprintf(logs->cli->out.file, "%s\n", text);
    } else if (error[0] == '\0') {
        print_line(logs, line);
    } else {
        cli_say(logs->cli, "%s: %s", reply_text(line, "container"), error);
    }
    logs->failed += error[0] != '\0';
    return cli_flush(logs->cli, e);
}

/* ---- which streams ---- */

static int add_stream(struct logs *logs, const struct target *target, struct err *e)
{
    struct buf path = {0};
    unsigned width = (unsigned)(strlen(target->stack) + strlen(target->service) + strlen("/.1"));
    int rc;

    logs->width = width > logs->width ? width : logs->width;
    if (logs->n == CLIENT_STREAMS) {
        return err_say(e, E2BIG, "more than %d services at once: name fewer", CLIENT_STREAMS);
    }
    buf_puts(&path, "/v1/logs");
    target_add_query(target, &path);
    rc = cli_add_query(logs->cli, &path, e);
    logs->paths[logs->n++] = buf_take(&path);
    return rc;
}

/* A whole stack is all of its services. */
static int add_stack(struct logs *logs, const struct target *target, struct err *e)
{
    auto_reply struct client_reply reply = {0};
    auto_buf struct buf path = {0};
    const json_t *services;
    int rc;

    buf_puts(&path, "/v1/stacks");
    client_path_add(&path, target->stack);
    rc = client_get(logs->cli->client, buf_text(&path), &reply, e);
    services = reply_list(reply_object(reply.json, "status"), "services");
    for (size_t i = 0; rc == 0 && i < json_array_size(services); i++) {
        struct target one = *target;

        (void)snprintf(one.service, sizeof(one.service), "%s",
                       reply_text(json_array_get(services, i), "name"));
        rc = add_stream(logs, &one, e);
    }
    return rc;
}

static int add(struct logs *logs, const char *what, struct err *e)
{
    struct target target = {0};
    int rc = target_parse(what, true, &target, e);

    if (rc < 0) {
        return rc;
    }
    return target.service[0] != '\0' ? add_stream(logs, &target, e) : add_stack(logs, &target, e);
}

static int run(struct logs *logs, struct err *e)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < logs->cli->n_args; i++) {
        rc = add(logs, logs->cli->args[i], e);
    }
    if (rc == 0 && logs->n > 0) {
        rc = client_stream(logs->cli->client, (const char *const *)logs->paths, logs->n, on_line,
                           logs, e);
    }
    if (logs->within) {
        (void)fputc('\n', logs->cli->out.file);
    }
    return rc == 0 && logs->failed > 0 ? CLI_SAID : rc;
}

int cmd_logs_run(struct cli *cli, struct err *e)
{
    struct logs logs = {.cli = cli};
    int rc = run(&logs, e);

    for (unsigned i = 0; i < logs.n; i++) {
        free(logs.paths[i]);
    }
    return rc;
}
