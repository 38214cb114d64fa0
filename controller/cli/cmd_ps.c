// SPDX-License-Identifier: Apache-2.0
/* `wherry ps`: every container that is wanted or still there. */
#include "common/cleanup.h"
#include "controller/cli/cmd.h"
#include "controller/cli/pslist.h"
#include "controller/cli/reply.h"
#include "controller/cli/target.h"

static void print_containers(const struct cli *cli, const json_t *reply)
{
    const json_t *list = reply_list(reply, "containers");

    if (json_array_size(list) == 0) {
        cli_say(cli, cli->n_args > 0 ? "no containers; `wherry status` says why"
                                     : "no containers; wherry apply -f compose.yaml");
        return;
    }
    pslist_print(cli, list, reply_number(reply, "now_unix_ms"));
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
