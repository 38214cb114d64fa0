// SPDX-License-Identifier: Apache-2.0
/* `wherry ps`: every container that is wanted or still there. */
#include <inttypes.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/cmd.h"
#include "controller/cli/humane.h"
#include "controller/cli/reply.h"
#include "controller/cli/table.h"
#include "controller/cli/target.h"

static const struct table_column columns[] = {
    {.title = "CONTAINER"},
    {.title = "NODE"},
    {.title = "STATE"},
    {.title = "HEALTH"},
    {.title = "RESTARTS", .right = true},
    {.title = "AGE", .right = true},
    {.title = "ADDRESS"},
    {.title = "PORTS", .shrinks = true, .optional = true},
    {.title = "WHY", .shrinks = true, .optional = true},
};

static enum term_style style_of(const char *word)
{
    static const struct {
        const char *word;
        enum term_style style;
    } rows[] = {
        {"running", TERM_GOOD},  {"completed", TERM_GOOD}, {"healthy", TERM_GOOD},
        {"unhealthy", TERM_BAD}, {"failed", TERM_BAD},     {"unknown", TERM_BAD},
        {"ended", TERM_BAD},     {"orphaned", TERM_WARN},  {"pending", TERM_WARN},
        {"held", TERM_WARN},     {"starting", TERM_WARN},  {"waiting", TERM_WARN},
        {"assigned", TERM_WARN}, {"stopping", TERM_DIM},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i].word, word) == 0) {
            return rows[i].style;
        }
    }
    return TERM_PLAIN;
}

static void put_or_dash(struct table *t, enum term_style style, const char *text)
{
    table_put(t, text[0] != '\0' ? style : TERM_DIM, text[0] != '\0' ? text : "-");
}

/* Of what runs, since its start; of what is over, since its end; else since it was placed. */
static uint64_t since(const json_t *c)
{
    static const char *const keys[] = {"ended_unix_ms", "started_unix_ms", "created_unix_ms"};
    bool running = strcmp(reply_text(c, "state"), "running") == 0;

    for (size_t i = running ? 1 : 0; i < ARRAY_LEN(keys); i++) {
        if (reply_number(c, keys[i]) > 0) {
            return reply_number(c, keys[i]);
        }
    }
    return 0;
}

static void put_container(struct table *t, const json_t *c, uint64_t now)
{
    const char *state = reply_text(c, "state");
    const char *health = reply_text(c, "health");
    auto_buf struct buf ports = {0};
    char age[HUMANE_MAX];

    humane_since(now, since(c), age);
    reply_ports(reply_list(c, "ports"), &ports);
    table_put(t, TERM_PLAIN, reply_text(c, "name"));
    put_or_dash(t, TERM_PLAIN, reply_text(c, "node"));
    table_put(t, style_of(state), state);
    put_or_dash(t, style_of(health), strcmp(health, "none") == 0 ? "" : health);
    table_putf(t, TERM_PLAIN, "%" PRIu64, reply_number(c, "restarts"));
    table_put(t, TERM_PLAIN, age);
    put_or_dash(t, TERM_PLAIN, reply_text(c, "address"));
    table_put(t, TERM_PLAIN, buf_text(&ports));
    table_put(t, TERM_PLAIN, reply_text(c, "why"));
}

static void print_containers(const struct cli *cli, const json_t *reply)
{
    const json_t *list = reply_list(reply, "containers");
    auto_table struct table t = {0};

    if (json_array_size(list) == 0) {
        cli_say(cli, cli->n_args > 0 ? "no containers; `wherry status` says why"
                                     : "no containers; wherry apply -f compose.yaml");
        return;
    }
    table_init(&t, columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < json_array_size(list); i++) {
        put_container(&t, json_array_get(list, i), reply_number(reply, "now_unix_ms"));
    }
    table_print(&t, &cli->out);
}

static void print_names(const struct cli *cli, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        cli_print(cli, TERM_PLAIN, "%s", reply_text(json_array_get(list, i), "name"));
    }
}

int cmd_ps_run(struct cli *cli, struct err *e)
{
    auto_reply struct client_reply reply = {0};
    auto_buf struct buf path = {0};
    struct target target = {0};
    int rc = cli->n_args > 0 ? target_parse(cli->args[0], false, &target, e) : 0;

    buf_puts(&path, "/v1/containers");
    target_add_query(&target, &path);
    if (rc == 0) {
        rc = client_get(cli->client, buf_text(&path), &reply, e);
    }
    if (rc == 0 && !cli_print_json(cli, &reply)) {
        if (cli->options.quiet) {
            print_names(cli, reply_list(reply.json, "containers"));
        } else {
            print_containers(cli, reply.json);
        }
    }
    return rc;
}
