// SPDX-License-Identifier: Apache-2.0
/* `wherry net ls` and `wherry net inspect`. */
#include <inttypes.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/cmd.h"
#include "controller/cli/reply.h"
#include "controller/cli/table.h"

static void join_words(const json_t *list, struct buf *out)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));

        buf_printf(out, "%s%s", i > 0 ? ", " : "", word != NULL ? word : "");
    }
}

/* "internal, IPv6": what is not as usual. */
static void say_kind(const json_t *network, struct buf *out)
{
    static const struct {
        const char *key;
        const char *word;
    } rows[] = {{"internal", "internal"}, {"ipv6", "IPv6"}, {"attachable", "attachable"}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (reply_flag(network, rows[i].key)) {
            buf_printf(out, "%s%s", out->len > 0 ? ", " : "", rows[i].word);
        }
    }
}

/* ---- ls ---- */

static const struct table_column columns[] = {
    {.title = "NETWORK"},
    {.title = "STACK"},
    {.title = "SERVICES", .right = true},
    {.title = "CONTAINERS", .right = true},
    {.title = "VIRTUAL ADDRESSES", .right = true},
    {.title = "KIND", .optional = true},
    {.title = "JOINED BY", .shrinks = true, .optional = true},
};

static void put_network(struct table *t, const json_t *network)
{
    auto_buf struct buf kind = {0};
    auto_buf struct buf joined = {0};

    say_kind(network, &kind);
    join_words(reply_list(network, "joined"), &joined);
    table_put(t, TERM_PLAIN, reply_text(network, "name"));
    table_put(t, TERM_PLAIN, reply_text(network, "stack"));
    table_putf(t, TERM_PLAIN, "%" PRIu64, reply_number(network, "services"));
    table_putf(t, TERM_PLAIN, "%" PRIu64, reply_number(network, "containers"));
    table_putf(t, TERM_PLAIN, "%" PRIu64, reply_number(network, "vips"));
    table_put(t, TERM_PLAIN, buf_text(&kind));
    table_put(t, TERM_PLAIN, buf_text(&joined));
}

static void print_networks(const struct cli *cli, const json_t *list)
{
    auto_table struct table t = {0};

    if (json_array_size(list) == 0) {
        cli_say(cli, "no networks; each stack has one of its own as soon as it is applied");
        return;
    }
    table_init(&t, columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < json_array_size(list); i++) {
        put_network(&t, json_array_get(list, i));
    }
    table_print(&t, &cli->out);
}

int cmd_networks_ls(struct cli *cli, struct err *e)
{
    auto_reply struct client_reply reply = {0};
    const json_t *list;
    int rc = client_get(cli->client, "/v1/networks", &reply, e);

    if (rc < 0 || cli_print_json(cli, &reply)) {
        return rc;
    }
    list = reply_list(reply.json, "networks");
    if (!cli->options.quiet) {
        print_networks(cli, list);
        return 0;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        cli_print(cli, TERM_PLAIN, "%s", reply_text(json_array_get(list, i), "name"));
    }
    return 0;
}

/* ---- inspect ---- */

static const struct table_column endpoint_columns[] = {
    {.title = "  CONTAINER"},
    {.title = "NODE"},
    {.title = "ADDRESS"},
    {.title = "IPV6", .optional = true},
    {.title = "ALSO", .optional = true},
    {.title = "STATE"},
};

static void put_endpoint(struct table *t, const json_t *p)
{
    bool ready = reply_flag(p, "ready"), draining = reply_flag(p, "draining");

    table_putf(t, TERM_PLAIN, "  %s", reply_text(p, "name"));
    table_put(t, TERM_PLAIN, reply_text(p, "node"));
    table_put(t, TERM_PLAIN, reply_text(p, "address"));
    table_put(t, TERM_PLAIN, reply_text(p, "ipv6_address"));
    table_put(t, TERM_PLAIN, reply_text(p, "extra"));
    table_put(t, ready && !draining ? TERM_GOOD : TERM_WARN,
              draining ? "takes no new connections"
              : ready  ? "ready"
                       : "not ready");
}

/* "shop/web at 10.240.0.1 (random), also called www; ports 8080->80" */
static void print_service(const struct cli *cli, const json_t *s)
{
    const json_t *endpoints = reply_list(s, "endpoints");
    auto_buf struct buf line = {0};
    auto_buf struct buf ports = {0};
    auto_table struct table t = {0};

    buf_printf(&line, "%s/%s", reply_text(s, "stack"), reply_text(s, "service"));
    if (reply_text(s, "vip")[0] != '\0') {
        buf_printf(&line, " at %s (%s)", reply_text(s, "vip"), reply_text(s, "balance"));
    } else {
        buf_puts(&line, ", no virtual address");
    }
    if (json_array_size(reply_list(s, "aliases")) > 0) {
        buf_puts(&line, ", also called ");
        join_words(reply_list(s, "aliases"), &line);
    }
    reply_ports(reply_list(s, "ports"), &ports);
    if (ports.len > 0) {
        buf_printf(&line, "; on every node: %s", buf_text(&ports));
    }
    cli_print(cli, TERM_BOLD, "%s", buf_text(&line));
    if (json_array_size(endpoints) == 0) {
        cli_print(cli, TERM_WARN, "  no container has an address");
        return;
    }
    table_init(&t, endpoint_columns, ARRAY_LEN(endpoint_columns));
    for (size_t i = 0; i < json_array_size(endpoints); i++) {
        put_endpoint(&t, json_array_get(endpoints, i));
    }
    table_print(&t, &cli->out);
}

static void print_network(const struct cli *cli, const json_t *reply)
{
    const json_t *network = reply_object(reply, "network");
    const json_t *services = reply_list(reply, "services");
    auto_buf struct buf kind = {0};
    auto_buf struct buf joined = {0};

    say_kind(network, &kind);
    join_words(reply_list(network, "joined"), &joined);
    cli_print(cli, TERM_PLAIN, "network %s of stack %s%s%s%s%s", reply_text(network, "name"),
              reply_text(network, "stack"), kind.len > 0 ? ": " : "", buf_text(&kind),
              joined.len > 0 ? "; joined by " : "", buf_text(&joined));
    for (size_t i = 0; i < json_array_size(services); i++) {
        (void)fputc('\n', cli->out.file);
        print_service(cli, json_array_get(services, i));
    }
}

int cmd_networks_inspect(struct cli *cli, struct err *e)
{
    auto_reply struct client_reply reply = {0};
    auto_buf struct buf path = {0};
    int rc;

    buf_puts(&path, "/v1/networks");
    client_path_add(&path, cli->args[0]);
    rc = client_get(cli->client, buf_text(&path), &reply, e);
    if (rc == 0 && !cli_print_json(cli, &reply)) {
        print_network(cli, reply.json);
    }
    return rc;
}
