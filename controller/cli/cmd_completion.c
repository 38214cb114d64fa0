// SPDX-License-Identifier: Apache-2.0
/* `wherry completion`, and the words its scripts ask for. */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/clicommand.h"
#include "controller/cli/clicomplete.h"
#include "controller/cli/cmd.h"
#include "controller/cli/reply.h"

int cmd_completion_run(struct cli *cli, struct err *e)
{
    auto_buf struct buf out = {0};
    int rc = clicomplete_script(cli->args[0], &out, e);

    if (rc == 0) {
        (void)fputs(buf_text(&out), cli->out.file);
    }
    return rc;
}

/* ---- words ---- */

static void print_names(struct cli *cli, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        cli_print(cli, TERM_PLAIN, "%s", reply_text(json_array_get(list, i), "name"));
    }
}

static int list(struct cli *cli, const char *path, const char *key, struct err *e)
{
    auto_reply struct client_reply reply = {0};
    int rc = client_get(cli->client, path, &reply, e);

    if (rc == 0) {
        print_names(cli, reply_list(reply.json, key));
    }
    return rc;
}

static int stacks(struct cli *cli, struct err *e)
{
    return list(cli, "/v1/status", "stacks", e);
}

static int services(struct cli *cli, struct err *e)
{
    auto_reply struct client_reply reply = {0};
    int rc = client_get(cli->client, "/v1/status", &reply, e);
    const json_t *all = reply_list(reply.json, "stacks");

    print_names(cli, all);
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *stack = json_array_get(all, i);
        const json_t *of = reply_list(stack, "services");

        for (size_t k = 0; k < json_array_size(of); k++) {
            cli_print(cli, TERM_PLAIN, "%s/%s", reply_text(stack, "name"),
                      reply_text(json_array_get(of, k), "name"));
        }
    }
    return rc;
}

static int containers(struct cli *cli, struct err *e)
{
    int rc = services(cli, e);

    return rc == 0 ? list(cli, "/v1/containers", "containers", e) : rc;
}

static int nodes(struct cli *cli, struct err *e)
{
    return list(cli, "/v1/nodes", "nodes", e);
}

static int volumes(struct cli *cli, struct err *e)
{
    return list(cli, "/v1/volumes", "volumes", e);
}

static int networks(struct cli *cli, struct err *e)
{
    return list(cli, "/v1/networks", "networks", e);
}

static int commands(struct cli *cli, struct err *e)
{
    size_t n;
    const struct clicommand *rows = clicommand_rows(&n);

    (void)e;
    for (size_t i = 0; i < n; i++) {
        if (rows[i].help != NULL) {
            cli_print(cli, TERM_PLAIN, "%s", rows[i].name);
        }
    }
    return 0;
}

static int shells(struct cli *cli, struct err *e)
{
    (void)e;
    (void)fputs("bash\nzsh\nfish\n", cli->out.file);
    return 0;
}

static const struct words {
    enum clicommand_words words;
    int (*print)(struct cli *cli, struct err *e);
} rows[] = {
    {CLICOMMAND_WORDS_STACKS, stacks},         {CLICOMMAND_WORDS_SERVICES, services},
    {CLICOMMAND_WORDS_CONTAINERS, containers}, {CLICOMMAND_WORDS_NODES, nodes},
    {CLICOMMAND_WORDS_VOLUMES, volumes},       {CLICOMMAND_WORDS_NETWORKS, networks},
    {CLICOMMAND_WORDS_COMMANDS, commands},     {CLICOMMAND_WORDS_SHELLS, shells},
};

int cmd_completion_words(struct cli *cli, struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strcmp(clicomplete_kind(rows[i].words), cli->args[0]) == 0) {
            return rows[i].print(cli, e);
        }
    }
    return err_say(e, E2BIG, "there is no kind of words '%s'", cli->args[0]);
}
