// SPDX-License-Identifier: Apache-2.0
/* `wherry help [COMMAND]`. */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/clicommand.h"
#include "controller/cli/clihelp.h"
#include "controller/cli/cmd.h"

int cmd_help_run(struct cli *cli, struct err *e)
{
    const struct clicommand *row = NULL;
    auto_buf struct buf out = {0};
    int words = 0;
    int rc = 0;

    if (cli->n_args == 0) {
        clihelp_all(&out);
    } else if (cli->n_args == 1 && clicommand_is_group(cli->args[0])) {
        clihelp_group(cli->args[0], &out);
    } else {
        rc = clicommand_find(cli->n_args, cli->args, &row, &words, e);
    }
    if (rc == 0 && row != NULL && words < cli->n_args) {
        rc = err_say(e, E2BIG, "help: unknown command '%s %s'", cli->args[0], cli->args[1]);
    } else if (rc == 0 && row != NULL) {
        clihelp_command(row, &out);
    }
    if (rc == 0) {
        (void)fputs(buf_text(&out), cli->out.file);
    }
    return rc;
}
