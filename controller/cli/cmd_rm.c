// SPDX-License-Identifier: Apache-2.0
/* `wherry rm STACK[/SERVICE]`. */
#include "common/cleanup.h"
#include "controller/cli/cmd.h"
#include "controller/cli/humane.h"
#include "controller/cli/reply.h"
#include "controller/cli/target.h"
#include "controller/cli/waiting.h"

static int wait_gone(struct cli *cli, const struct target *target, struct err *e)
{
    struct waiting_goal goal = {.name = target->service[0] != '\0' ? target->service : NULL,
                                .what = WAITING_FOR_GONE};
    struct waiting waiting = {.stack = target->stack, .goals = &goal, .n_goals = 1};
    uint64_t began_ms = humane_tick_ms();
    char took[HUMANE_MAX];
    int rc = waiting_run(cli, &waiting, e);

    if (rc == 0) {
        humane_took(humane_tick_ms() - began_ms, took);
        cli_say(cli, "%s is gone after %s", cli->args[0], took);
    }
    return rc;
}

int cmd_rm_run(struct cli *cli, struct err *e)
{
    const struct clioptions *o = &cli->options;
    auto_reply struct client_reply reply = {0};
    auto_buf struct buf path = {0};
    struct target target = {0};
    int rc = target_parse(cli->args[0], false, &target, e);

    if (rc < 0) {
        return rc;
    }
    target_add_path(&target, &path);
    rc = client_call(cli->client, "DELETE", buf_text(&path), NULL, 0, &reply, e);
    if (rc < 0) {
        return rc;
    }
    if (!cli_print_json(cli, &reply)) {
        cli_print(cli, TERM_PLAIN, "%s", reply_text(reply.json, "text"));
        (void)fflush(cli->out.file); /* before the progress */
    }
    return o->wait || o->timeout_ms != CLIOPTIONS_NOT_SET ? wait_gone(cli, &target, e) : 0;
}
