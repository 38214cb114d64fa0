// SPDX-License-Identifier: Apache-2.0
/* `wherry net stats` and `wherry net check`. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/cmd.h"
#include "controller/cli/humane.h"
#include "controller/cli/reply.h"
#include "controller/cli/table.h"

/* ---- stats ---- */

static const struct table_column stats_columns[] = {
    {.title = "CONTAINER"},
    {.title = "NODE"},
    {.title = "ADDRESS"},
    {.title = "IN", .right = true},
    {.title = "PACKETS", .right = true},
    {.title = "DROPS", .right = true},
    {.title = "OUT", .right = true},
    {.title = "PACKETS", .right = true},
    {.title = "DROPS", .right = true},
    {.title = "CONNECTIONS", .right = true},
};

static void put_way(struct table *t, const json_t *c, const char *bytes, const char *packets,
                    const char *drops)
{
    char text[HUMANE_MAX];

    humane_bytes(reply_number(c, bytes), text);
    table_put(t, TERM_PLAIN, text);
    table_putf(t, TERM_PLAIN, "%" PRIu64, reply_number(c, packets));
    table_putf(t, reply_number(c, drops) > 0 ? TERM_WARN : TERM_PLAIN, "%" PRIu64,
               reply_number(c, drops));
}

/* Nodes that have not answered, on standard error. Returns whether there are any. */
static bool say_unasked(const struct cli *cli, const json_t *reply)
{
    const json_t *list = reply_list(reply, "unasked");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);

        cli_say(cli, "node %s: %s", reply_text(one, "node"), reply_text(one, "error"));
    }
    return json_array_size(list) > 0;
}

static void print_stats(const struct cli *cli, const json_t *reply)
{
    const json_t *list = reply_list(reply, "containers");
    auto_table struct table t = {0};

    if (json_array_size(list) == 0) {
        cli_say(cli, "no container has a network");
        return;
    }
    table_init(&t, stats_columns, ARRAY_LEN(stats_columns));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *c = json_array_get(list, i);

        table_put(&t, TERM_PLAIN, reply_text(c, "container"));
        table_put(&t, TERM_PLAIN, reply_text(c, "node"));
        table_put(&t, TERM_PLAIN, reply_text(c, "address"));
        put_way(&t, c, "in_bytes", "in_packets", "in_drops");
        put_way(&t, c, "out_bytes", "out_packets", "out_drops");
        table_putf(&t, TERM_PLAIN, "%" PRIu64, reply_number(c, "connections"));
    }
    table_print(&t, &cli->out);
}

int cmd_net_stats(struct cli *cli, struct err *e)
{
    auto_reply struct client_reply reply = {0};
    auto_buf struct buf path = {0};
    int rc;

    buf_puts(&path, "/v1/net/stats");
    if (cli->n_args > 0) {
        client_query_add(&path, "node", cli->args[0]);
    }
    rc = client_get(cli->client, buf_text(&path), &reply, e);
    if (rc < 0 || cli_print_json(cli, &reply)) {
        return rc;
    }
    print_stats(cli, reply.json);
    return say_unasked(cli, reply.json) ? CLI_SAID : 0;
}

/* ---- check ---- */

static enum term_style style_of(const char *state)
{
    return strcmp(state, "ok") == 0       ? TERM_GOOD
           : strcmp(state, "broken") == 0 ? TERM_BAD
                                          : TERM_DIM;
}

static void print_step(const struct cli *cli, const json_t *step)
{
    const char *state = reply_text(step, "state");
    auto_buf struct buf painted = {0};

    term_paint(&cli->out, style_of(state), state, &painted);
    (void)fprintf(cli->out.file, "%s%*s", buf_text(&painted), (int)(9 - strlen(state)), "");
    cli_print(cli, strcmp(state, "skipped") == 0 ? TERM_DIM : TERM_PLAIN, "%-22s %s",
              reply_text(step, "what"), reply_text(step, "text"));
}

static void print_check(const struct cli *cli, const json_t *reply)
{
    const json_t *steps = reply_list(reply, "steps");
    bool broken = reply_text(reply, "broken")[0] != '\0';

    for (size_t i = 0; !cli->options.quiet && i < json_array_size(steps); i++) {
        print_step(cli, json_array_get(steps, i));
    }
    cli_print(cli, broken ? TERM_BAD : TERM_GOOD, "%s", reply_text(reply, "text"));
    if (reply_text(reply, "mend")[0] != '\0') {
        cli_print(cli, TERM_BOLD, "what to do: %s", reply_text(reply, "mend"));
    }
}

/* "db:5432", "[…]" is not needed: there are no IPv6 literals here. */
static int split_port(const char *text, char **ret_name, const char **ret_port, struct err *e)
{
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    unsigned long port = colon != NULL ? strtoul(colon + 1, &end, 10) : 0;

    *ret_port = NULL;
    *ret_name = xstrndup(text, colon != NULL ? (size_t)(colon - text) : strlen(text));
    if (colon == NULL) {
        return 0;
    }
    *ret_port = colon + 1;
    if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || port == 0 || port > 65535) {
        return err_say(e, E2BIG, "'%.80s': the port after ':' is a number from 1 to 65535", text);
    }
    return 0;
}

int cmd_net_check(struct cli *cli, struct err *e)
{
    auto_reply struct client_reply reply = {0};
    auto_buf struct buf path = {0};
    auto_free char *name = NULL;
    const char *port;
    bool broken;
    int rc = split_port(cli->args[1], &name, &port, e);

    if (rc < 0) {
        return rc;
    }
    buf_puts(&path, "/v1/net/check");
    client_query_add(&path, "from", cli->args[0]);
    client_query_add(&path, "to", name);
    if (port != NULL) {
        client_query_add(&path, "port", port);
    }
    rc = client_get(cli->client, buf_text(&path), &reply, e);
    if (rc < 0) {
        return rc;
    }
    broken = reply_text(reply.json, "broken")[0] != '\0';
    if (!cli_print_json(cli, &reply)) {
        print_check(cli, reply.json);
    }
    return broken ? CLI_SAID : 0;
}
