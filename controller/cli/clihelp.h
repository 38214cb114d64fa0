// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_CLIHELP_H
#define WHERRY_CONTROLLER_CLI_CLIHELP_H

/* Help, made from the tables of commands and options. */

#include "common/buf.h"
#include "controller/cli/clicommand.h"

void clihelp_all(struct buf *out);
/* The commands whose names begin with this word. */
void clihelp_group(const char *group, struct buf *out);
void clihelp_command(const struct clicommand *row, struct buf *out);

#endif
