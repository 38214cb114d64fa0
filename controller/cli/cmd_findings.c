// SPDX-License-Identifier: Apache-2.0
/* `wherry doctor`: what hosts lack and what is in the way there. */
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/cmd.h"
#include "controller/cli/reply.h"

struct tally {
    unsigned ok, warnings, problems;
};

static enum term_style style_of(const char *state)
{
    return strcmp(state, "problem") == 0   ? TERM_BAD
           : strcmp(state, "warning") == 0 ? TERM_WARN
           : strcmp(state, "ok") == 0      ? TERM_GOOD
                                           : TERM_DIM;
}

static void print_finding(const struct cli *cli, const json_t *f)
{
    const char *state = reply_text(f, "state");
    auto_buf struct buf line = {0};
    auto_buf struct buf text = {0};

    term_paint(&cli->out, style_of(state), state, &line);
    buf_printf(&text, "%s: %s", reply_text(f, "what"), reply_text(f, "text"));
    (void)fprintf(cli->out.file, "  %s%*s", buf_text(&line), (int)(9 - strlen(state)), "");
    cli_print(cli, TERM_PLAIN, "%s", buf_text(&text));
    if (reply_text(f, "mend")[0] != '\0') {
        cli_print(cli, TERM_BOLD, "           %s", reply_text(f, "mend"));
    }
}

static void count(struct tally *t, const char *state)
{
    t->problems += strcmp(state, "problem") == 0;
    t->warnings += strcmp(state, "warning") == 0;
    t->ok += strcmp(state, "ok") == 0;
}

/* The findings of one node, which begin at `i`; returns where those of the next begin. */
static size_t print_node(const struct cli *cli, const json_t *list, size_t i, bool all,
                         struct tally *total)
{
    const char *node = reply_text(json_array_get(list, i), "node");
    struct tally t = {0};
    size_t end = i;

    while (end < json_array_size(list) &&
           strcmp(reply_text(json_array_get(list, end), "node"), node) == 0) {
        count(&t, reply_text(json_array_get(list, end++), "state"));
    }
    cli_print(cli, TERM_BOLD, "node %s: %u problem%s, %u warning%s, %u ok", node, t.problems,
              t.problems == 1 ? "" : "s", t.warnings, t.warnings == 1 ? "" : "s", t.ok);
    for (; i < end; i++) {
        const json_t *f = json_array_get(list, i);
        const char *state = reply_text(f, "state");

        if (all || strcmp(state, "problem") == 0 || strcmp(state, "warning") == 0) {
            print_finding(cli, f);
        }
    }
    total->problems += t.problems;
    return end;
}

/* Returns whether something is wrong. */
static bool print_all(const struct cli *cli, const json_t *reply, bool all)
{
    const json_t *list = reply_list(reply, "findings");
    const json_t *unasked = reply_list(reply, "unasked");
    struct tally total = {0};

    for (size_t i = 0; i < json_array_size(list);) {
        i = print_node(cli, list, i, all, &total);
    }
    for (size_t i = 0; i < json_array_size(unasked); i++) {
        const json_t *one = json_array_get(unasked, i);

        cli_print(cli, TERM_BAD, "node %s: not looked at: %s", reply_text(one, "node"),
                  reply_text(one, "error"));
    }
    return total.problems > 0 || json_array_size(unasked) > 0;
}

static bool has_problem(const json_t *reply)
{
    return reply_find(reply_list(reply, "findings"), "state", "problem") != NULL ||
           json_array_size(reply_list(reply, "unasked")) > 0;
}

/* All nodes, or one. */
static int examine(struct cli *cli, const char *node, struct err *e)
{
    auto_reply struct client_reply reply = {0};
    auto_buf struct buf path = {0};
    int rc;

    buf_puts(&path, "/v1/doctor");
    if (node != NULL) {
        client_query_add(&path, "node", node);
    }
    rc = client_get(cli->client, buf_text(&path), &reply, e);
    if (rc < 0) {
        return rc;
    }
    if (cli_print_json(cli, &reply)) {
        return has_problem(reply.json) ? CLI_SAID : 0;
    }
    return print_all(cli, reply.json, node != NULL) ? CLI_SAID : 0;
}

int cmd_findings_run(struct cli *cli, struct err *e)
{
    int rc = 0;

    if (cli->n_args == 0) {
        return examine(cli, NULL, e);
    }
    for (int i = 0; rc >= 0 && i < cli->n_args; i++) {
        int one = examine(cli, cli->args[i], e);

        rc = one < 0 || one == CLI_SAID ? one : rc;
    }
    return rc;
}
