// SPDX-License-Identifier: Apache-2.0
/* `wherry apply`: the file becomes what the cluster shall run. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/cmd.h"
#include "controller/cli/codec_stack.h"
#include "controller/cli/humane.h"
#include "controller/cli/jsondiff.h"
#include "controller/cli/project.h"
#include "controller/cli/reply.h"
#include "controller/cli/table.h"
#include "controller/cli/waiting.h"

#define DIFFERENCES_MAX 8u /* told of one service */

/* ---- sending ---- */

/* What is stored so far, to say what will have changed. None: it is new. */
static void look_before(struct cli *cli, const struct doc *stack, struct client_reply *ret_reply)
{
    auto_buf struct buf path = {0};

    buf_puts(&path, "/v1/stacks");
    client_path_add(&path, codec_stack_name(stack));
    if (!cli->options.quiet && !cli_wants_json(cli)) {
        (void)client_get(cli->client, buf_text(&path), ret_reply, NULL);
    }
}

static int send(struct cli *cli, const struct doc *stack, struct client_reply *ret_reply,
                struct err *e)
{
    auto_buf struct buf body = {0};
    auto_buf struct buf path = {0};

    buf_puts(&path, "/v1/stacks");
    client_path_add(&path, codec_stack_name(stack));
    if (cli->options.prune) {
        client_query_add(&path, "prune", "1");
    }
    doc_encode(stack->message, &body);
    return client_call(cli->client, "POST", buf_text(&path), buf_text(&body), body.len, ret_reply,
                       e);
}

/* ---- what it changed ---- */

static const struct change_row {
    const char *change;
    enum term_style style;
    const char *note;
} change_rows[] = {
    {"created", TERM_GOOD, ""},
    {"changed", TERM_WARN, ""},
    {"unchanged", TERM_DIM, ""},
    {"removed", TERM_BAD, "its containers are stopped"},
    {"kept", TERM_WARN, "not in the file any more; remove with --prune"},
};

static const struct change_row *change_row(const char *change)
{
    for (size_t i = 0; i < ARRAY_LEN(change_rows); i++) {
        if (strcmp(change_rows[i].change, change) == 0) {
            return &change_rows[i];
        }
    }
    return &change_rows[0];
}

static void print_changes(const struct cli *cli, const json_t *changes)
{
    static const struct table_column columns[] = {
        {.title = "  SERVICE"}, {.title = "CHANGE"}, {.title = "", .optional = true}};
    auto_table struct table t = {0};

    table_init(&t, columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < json_array_size(changes); i++) {
        const json_t *one = json_array_get(changes, i);
        const struct change_row *row = change_row(reply_text(one, "change"));
        bool replaces = reply_flag(one, "replaces");

        table_putf(&t, TERM_PLAIN, "  %s", reply_text(one, "service"));
        table_put(&t, row->style, reply_text(one, "change"));
        table_put(&t, TERM_PLAIN,
                  replaces ? "its containers are replaced, one after the other" : row->note);
    }
    if (table_rows(&t) > 0) {
        table_print(&t, &cli->out);
    }
}

/* Setting by setting, of the services that have changed. */
static void print_differences(const struct cli *cli, const json_t *changes, const json_t *before,
                              const struct doc *stack)
{
    auto_buf struct buf text = {0};
    auto_buf struct buf out = {0};
    json_t *after;

    doc_to_json(stack->message, &text);
    after = json_loadb(text.data, text.len, 0, NULL);
    for (size_t i = 0; i < json_array_size(changes); i++) {
        const json_t *one = json_array_get(changes, i);
        const char *service = reply_text(one, "service");
        const json_t *old = reply_find(reply_list(before, "services"), "name", service);
        auto_free char *head = xasprintf("  %s: ", service);

        if (old != NULL && strcmp(reply_text(one, "change"), "changed") == 0) {
            jsondiff_put(old, reply_find(reply_list(after, "services"), "name", service), head,
                         DIFFERENCES_MAX, &out);
        }
    }
    json_decref(after);
    (void)fputs(buf_text(&out), cli->out.file);
}

/* Same file, but something of an older one is still there. */
static bool has_kept(const json_t *changes)
{
    return reply_find(changes, "change", "kept") != NULL;
}

static void print_applied(const struct cli *cli, const json_t *applied, const json_t *before,
                          const struct doc *stack)
{
    const json_t *changes = reply_list(applied, "changes");
    const json_t *warnings = reply_list(applied, "warnings");
    bool unchanged = strcmp(reply_text(applied, "result"), "unchanged") == 0;

    for (size_t i = 0; !unchanged && i < json_array_size(warnings); i++) {
        const char *text = json_string_value(json_array_get(warnings, i));

        cli_say(cli, "warning: %s", text != NULL ? text : "");
    }
    if (cli->options.quiet) {
        return;
    }
    if (unchanged) {
        cli_print(cli, TERM_PLAIN, "%s: unchanged (revision %" PRIu64 ")",
                  reply_text(applied, "stack"), reply_number(applied, "revision"));
    } else {
        cli_print(cli, TERM_PLAIN, "%s: applied, revision %" PRIu64, reply_text(applied, "stack"),
                  reply_number(applied, "revision"));
    }
    if (!unchanged || has_kept(changes)) {
        print_changes(cli, changes);
        print_differences(cli, changes, before, stack);
    }
    (void)fflush(cli->out.file); /* before the progress */
}

/* ---- waiting ---- */

static size_t make_goals(const json_t *changes, struct waiting_goal **ret_goals)
{
    size_t n = 0;

    *ret_goals = xcalloc(json_array_size(changes) + 1, sizeof(**ret_goals));
    for (size_t i = 0; i < json_array_size(changes); i++) {
        const json_t *one = json_array_get(changes, i);
        const char *change = reply_text(one, "change");

        if (strcmp(change, "kept") != 0) {
            (*ret_goals)[n++] = (struct waiting_goal){
                .name = reply_text(one, "service"),
                .what = strcmp(change, "removed") == 0 ? WAITING_FOR_GONE : WAITING_FOR_WANTED};
        }
    }
    return n;
}

static int wait_wanted(struct cli *cli, const char *stack, const json_t *changes, struct err *e)
{
    auto_free struct waiting_goal *goals = NULL;
    struct waiting waiting = {.stack = stack, .n_goals = make_goals(changes, &goals)};
    uint64_t began_ms = humane_tick_ms();
    char took[HUMANE_MAX];
    int rc;

    waiting.goals = goals;
    if (waiting.n_goals == 0) {
        return 0;
    }
    rc = waiting_run(cli, &waiting, e);
    if (rc == 0) {
        humane_took(humane_tick_ms() - began_ms, took);
        cli_say(cli, "%s is as wanted: %zu service%s, after %s", stack, waiting.n_goals,
                waiting.n_goals == 1 ? "" : "s", took);
    }
    return rc;
}

int cmd_apply_run(struct cli *cli, struct err *e)
{
    const struct clioptions *o = &cli->options;
    auto_compose struct compose_result file = {0};
    auto_reply struct client_reply before = {0};
    auto_reply struct client_reply reply = {0};
    int rc = project_read(cli, &file, e);

    if (rc == 0) {
        look_before(cli, &file.stack, &before);
        rc = send(cli, &file.stack, &reply, e);
    }
    if (rc != 0) {
        return rc;
    }
    if (!cli_print_json(cli, &reply)) {
        print_applied(cli, reply.json, before.json, &file.stack);
    }
    if (!o->wait && o->timeout_ms == CLIOPTIONS_NOT_SET) {
        return 0;
    }
    return wait_wanted(cli, codec_stack_name(&file.stack), reply_list(reply.json, "changes"), e);
}
