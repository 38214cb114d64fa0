// SPDX-License-Identifier: Apache-2.0
/* `wherry config`: the resolved file, without a controller. */
#include "common/cleanup.h"
#include "controller/cli/cmd.h"
#include "controller/cli/codec_stack.h"
#include "controller/cli/project.h"

int cmd_config_run(struct cli *cli, struct err *e)
{
    auto_compose struct compose_result file = {0};
    auto_buf struct buf out = {0};
    int rc = project_read(cli, &file, e);

    if (rc != 0 || cli->options.quiet) {
        return rc; /* -q: only whether it is right */
    }
    if (cli_wants_json(cli)) {
        doc_to_json(file.stack.message, &out);
        buf_putc(&out, '\n');
    } else {
        codec_stack_to_compose(&file.stack, &out);
    }
    (void)fputs(buf_text(&out), cli->out.file);
    return 0;
}
