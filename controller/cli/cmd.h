// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_CMD_H
#define WHERRY_CONTROLLER_CLI_CMD_H

/* The commands, each in its cmd_*.c. What they return is told in cli.h; what they do, in the table
 * of clicommand.c. */

#include "controller/cli/cli.h"

int cmd_apply_run(struct cli *cli, struct err *e);
int cmd_config_run(struct cli *cli, struct err *e);
int cmd_status_run(struct cli *cli, struct err *e);
int cmd_ps_run(struct cli *cli, struct err *e);
int cmd_logs_run(struct cli *cli, struct err *e);
int cmd_events_run(struct cli *cli, struct err *e);
int cmd_inspect_run(struct cli *cli, struct err *e);
int cmd_rm_run(struct cli *cli, struct err *e);
int cmd_nodes_run(struct cli *cli, struct err *e);
int cmd_nodes_lost(struct cli *cli, struct err *e);
int cmd_findings_run(struct cli *cli, struct err *e);
int cmd_networks_ls(struct cli *cli, struct err *e);
int cmd_networks_inspect(struct cli *cli, struct err *e);
int cmd_net_stats(struct cli *cli, struct err *e);
int cmd_net_check(struct cli *cli, struct err *e);
int cmd_volume_ls(struct cli *cli, struct err *e);
int cmd_volume_forget(struct cli *cli, struct err *e);
int cmd_version_run(struct cli *cli, struct err *e);
int cmd_help_run(struct cli *cli, struct err *e);
int cmd_completion_run(struct cli *cli, struct err *e);
int cmd_completion_words(struct cli *cli, struct err *e);

#endif
