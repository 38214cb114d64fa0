// SPDX-License-Identifier: Apache-2.0
/* `wherry volume ls` and `wherry volume forget`. */
#include <inttypes.h>

#include "common/cleanup.h"
#include "controller/cli/cmd.h"
#include "controller/cli/humane.h"
#include "controller/cli/reply.h"
#include "controller/cli/table.h"

static const struct table_column columns[] = {
    {.title = "VOLUME"},
    {.title = "STACK"},
    {.title = "NODE"},
    {.title = "USED BY", .right = true},
    {.title = "AGE", .right = true},
};

static void print_volumes(const struct cli *cli, const json_t *reply)
{
    const json_t *list = reply_list(reply, "volumes");
    auto_table struct table t = {0};

    if (json_array_size(list) == 0) {
        cli_say(cli, "no volumes; they are made when a service that names one first runs");
        return;
    }
    table_init(&t, columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *volume = json_array_get(list, i);
        char age[HUMANE_MAX];

        humane_since(reply_number(reply, "now_unix_ms"), reply_number(volume, "made_unix_ms"), age);
        table_put(&t, TERM_PLAIN, reply_text(volume, "name"));
        table_put(&t, TERM_PLAIN, reply_text(volume, "stack"));
        table_put(&t, TERM_PLAIN, reply_text(volume, "node"));
        table_putf(&t, TERM_PLAIN, "%" PRIu64, reply_number(volume, "users"));
        table_put(&t, TERM_PLAIN, age);
    }
    table_print(&t, &cli->out);
}

int cmd_volume_ls(struct cli *cli, struct err *e)
{
    auto_reply struct client_reply reply = {0};
    const json_t *list;
    int rc = client_get(cli->client, "/v1/volumes", &reply, e);

    if (rc < 0 || cli_print_json(cli, &reply)) {
        return rc;
    }
    if (!cli->options.quiet) {
        print_volumes(cli, reply.json);
        return 0;
    }
    list = reply_list(reply.json, "volumes");
    for (size_t i = 0; i < json_array_size(list); i++) {
        cli_print(cli, TERM_PLAIN, "%s", reply_text(json_array_get(list, i), "name"));
    }
    return 0;
}

int cmd_volume_forget(struct cli *cli, struct err *e)
{
    auto_reply struct client_reply reply = {0};
    auto_buf struct buf path = {0};
    int rc;

    buf_puts(&path, "/v1/volumes");
    client_path_add(&path, cli->args[0]);
    rc = client_call(cli->client, "DELETE", buf_text(&path), NULL, 0, &reply, e);
    if (rc == 0 && !cli_print_json(cli, &reply)) {
        cli_print(cli, TERM_PLAIN, "%s", reply_text(reply.json, "text"));
    }
    return rc;
}
