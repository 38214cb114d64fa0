// SPDX-License-Identifier: Apache-2.0
/* `wherry nodes` and `wherry node lost`. */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/rate.h"
#include "controller/cli/cmd.h"
#include "controller/cli/humane.h"
#include "controller/cli/reply.h"
#include "controller/cli/table.h"

static const struct table_column columns[] = {
    {.title = "NODE"},
    {.title = "STATE"},
    {.title = "SINCE", .right = true},
    {.title = "ADDRESS"},
    {.title = "BLOCK", .optional = true},
    {.title = "CONTAINERS", .right = true},
    {.title = "MEMORY", .right = true},
    {.title = "CPU", .right = true},
    {.title = "BANDWIDTH", .right = true, .optional = true},
    {.title = "KERNEL", .shrinks = true, .optional = true},
    {.title = "LABELS", .shrinks = true, .optional = true},
    {.title = "LESS ISOLATED", .shrinks = true, .optional = true},
};

static enum term_style style_of(const char *state)
{
    return strcmp(state, "ready") == 0  ? TERM_GOOD
           : strcmp(state, "lost") == 0 ? TERM_DIM
                                        : TERM_WARN;
}

/* "1.5 GiB/8 GiB": reserved of what there is; "-" before the node has said. */
static void put_share(struct table *t, uint64_t used, uint64_t all,
                      void (*say)(uint64_t, char[HUMANE_MAX]))
{
    char part[HUMANE_MAX], whole[HUMANE_MAX];

    say(used, part);
    say(all, whole);
    table_putf(t, TERM_PLAIN, all > 0 ? "%s/%s" : "-", part, whole);
}

static void say_rate(uint64_t bits, char ret[HUMANE_MAX])
{
    static_assert(HUMANE_MAX >= RATE_TEXT, "room for a rate");
    rate_text(bits, ret);
}

/* Of the direction of which more is reserved; nothing where a node has not declared any. */
static void put_bandwidth(struct table *t, const json_t *node)
{
    uint64_t in = reply_number(node, "bandwidth_in_reserved_bits");
    uint64_t out = reply_number(node, "bandwidth_out_reserved_bits");
    uint64_t all = reply_number(node, "bandwidth_bits");

    if (all == 0) {
        table_put(t, TERM_PLAIN, "");
    } else {
        put_share(t, in > out ? in : out, all, say_rate);
    }
}

/* An object of strings: {"disk": "ssd"}. */
static void say_labels(const json_t *labels, struct buf *out)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
    {
        const char *text = json_string_value(value);

        buf_printf(out, "%s%s=%s", out->len > 0 ? "," : "", key, text != NULL ? text : "");
    }
}

static void put_node(struct table *t, const json_t *node, uint64_t now)
{
    auto_buf struct buf labels = {0};
    char since[HUMANE_MAX];

    humane_since(now, reply_number(node, "since_unix_ms"), since);
    say_labels(reply_object(node, "labels"), &labels);
    table_put(t, TERM_PLAIN, reply_text(node, "name"));
    table_put(t, style_of(reply_text(node, "state")), reply_text(node, "state"));
    table_put(t, TERM_PLAIN, since);
    table_put(t, TERM_PLAIN, reply_text(node, "address"));
    table_put(t, TERM_PLAIN, reply_text(node, "block"));
    table_putf(t, TERM_PLAIN, "%" PRIu64, reply_number(node, "containers"));
    put_share(t, reply_number(node, "memory_reserved_bytes"), reply_number(node, "memory_bytes"),
              humane_bytes);
    put_share(t, reply_number(node, "cpu_reserved_millis"), reply_number(node, "cpu_millis"),
              humane_cores);
    put_bandwidth(t, node);
    table_put(t, TERM_PLAIN, reply_text(node, "kernel"));
    table_put(t, TERM_PLAIN, buf_text(&labels));
    table_put(t, TERM_WARN, reply_text(node, "degraded"));
}

static void print_nodes(const struct cli *cli, const json_t *reply)
{
    const json_t *list = reply_list(reply, "nodes");
    auto_table struct table t = {0};

    if (json_array_size(list) == 0) {
        cli_say(cli, "no nodes; start wherry-agent on a host");
        return;
    }
    table_init(&t, columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < json_array_size(list); i++) {
        put_node(&t, json_array_get(list, i), reply_number(reply, "now_unix_ms"));
    }
    table_print(&t, &cli->out);
}

int cmd_nodes_run(struct cli *cli, struct err *e)
{
    auto_reply struct client_reply reply = {0};
    const json_t *list;
    int rc = client_get(cli->client, "/v1/nodes", &reply, e);

    if (rc < 0 || cli_print_json(cli, &reply)) {
        return rc;
    }
    if (!cli->options.quiet) {
        print_nodes(cli, reply.json);
        return 0;
    }
    list = reply_list(reply.json, "nodes");
    for (size_t i = 0; i < json_array_size(list); i++) {
        cli_print(cli, TERM_PLAIN, "%s", reply_text(json_array_get(list, i), "name"));
    }
    return 0;
}

static int lose(struct cli *cli, const char *name, struct err *e)
{
    auto_reply struct client_reply reply = {0};
    auto_buf struct buf path = {0};
    int rc;

    buf_puts(&path, "/v1/nodes");
    client_path_add(&path, name);
    buf_puts(&path, "/lost");
    rc = client_call(cli->client, "POST", buf_text(&path), NULL, 0, &reply, e);
    if (rc == 0 && !cli_print_json(cli, &reply)) {
        cli_print(cli, TERM_PLAIN, "%s", reply_text(reply.json, "text"));
    }
    return rc;
}

int cmd_nodes_lost(struct cli *cli, struct err *e)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < cli->n_args; i++) {
        rc = lose(cli, cli->args[i], e);
    }
    return rc;
}
