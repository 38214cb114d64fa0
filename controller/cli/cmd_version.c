// SPDX-License-Identifier: Apache-2.0
/* `wherry version`: of this program, and of the controller if there is one. */
#include <inttypes.h>

#include "controller/cli/cmd.h"
#include "controller/cli/humane.h"
#include "controller/cli/reply.h"

int cmd_version_run(struct cli *cli, struct err *e)
{
    auto_reply struct client_reply reply = {0};
    char age[HUMANE_MAX];
    int rc;

    if (!cli_wants_json(cli)) {
        cli_print(cli, TERM_PLAIN, "wherry      %s", WHERRY_VERSION);
        (void)fflush(cli->out.file); /* before what may be said of the controller */
    }
    rc = client_get(cli->client, "/v1/version", &reply, e);
    if (rc < 0 || cli_print_json(cli, &reply)) {
        return rc;
    }
    humane_since(humane_now_unix_ms(), reply_number(reply.json, "started_unix_ms"), age);
    cli_print(cli, TERM_PLAIN, "controller  %s, up %s", reply_text(reply.json, "version"), age);
    cli_print(cli, TERM_PLAIN, "cluster     %s, epoch %" PRIu64 ", revision %" PRIu64,
              reply_text(reply.json, "cluster_id"), reply_number(reply.json, "epoch"),
              reply_number(reply.json, "revision"));
    cli_print(cli, TERM_PLAIN, "addresses   %s", reply_text(reply.json, "cluster_range"));
    return 0;
}
