// SPDX-License-Identifier: Apache-2.0
/* `wherry events`: what has happened, one line each. */
#include <inttypes.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/cmd.h"
#include "controller/cli/humane.h"
#include "controller/cli/reply.h"
#include "controller/cli/target.h"

#define WHAT_COLUMNS  18
#define ABOUT_COLUMNS 20

/* "shop/web.3", "shop", a node's name, or nothing. */
static void say_about(const json_t *event, struct buf *out)
{
    buf_puts(out, reply_text(event, "stack"));
    if (reply_text(event, "service")[0] != '\0') {
        buf_printf(out, "/%s", reply_text(event, "service"));
    }
    if (reply_number(event, "slot") > 0) {
        buf_printf(out, ".%" PRIu64, reply_number(event, "slot"));
    }
    if (out->len == 0) {
        buf_puts(out, reply_text(event, "node"));
    }
}

/* Whether the sentence names the node already, as a word of its own. */
static bool names(const char *sentence, const char *node)
{
    static const char inner[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_/";
    size_t len = strlen(node);
    const char *at = sentence;

    if (len == 0) {
        return true;
    }
    for (; (at = strstr(at, node)) != NULL; at++) {
        bool begins = at == sentence || strchr(inner, at[-1]) == NULL;

        if (begins && (at[len] == '\0' || strchr(inner, at[len]) == NULL)) {
            return true;
        }
    }
    return false;
}

static int on_event(void *arg, const json_t *event, const char *text, struct err *e)
{
    const struct cli *cli = arg;
    const char *node = reply_text(event, "node");
    const char *sentence = reply_text(event, "text");
    bool new_node = !names(sentence, node); /* most do */
    auto_buf struct buf about = {0};
    char time[HUMANE_MAX];

    if (cli_wants_json(cli)) {
        (void)fprintf(cli->out.file, "%s\n", text);
    } else {
        humane_clock(reply_number(event, "time_unix_ms"), time);
        say_about(event, &about);
        cli_print(cli, TERM_PLAIN, "%s  %-*s %-*s %s%s%s%s", time, WHAT_COLUMNS,
                  reply_text(event, "what"), ABOUT_COLUMNS, buf_text(&about), sentence,
                  new_node ? " (on " : "", new_node ? node : "", new_node ? ")" : "");
    }
    return cli_flush(cli, e);
}

int cmd_events_run(struct cli *cli, struct err *e)
{
    auto_buf struct buf path = {0};
    struct target target = {0};
    const char *paths[1];
    int rc = cli->n_args > 0 ? target_parse(cli->args[0], false, &target, e) : 0;

    buf_puts(&path, "/v1/events");
    target_add_query(&target, &path);
    if (rc == 0) {
        rc = cli_add_query(cli, &path, e);
    }
    if (rc < 0) {
        return rc;
    }
    paths[0] = buf_text(&path);
    return client_stream(cli->client, paths, 1, on_event, cli, e);
}
