// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_CLICOMPLETE_H
#define WHERRY_CONTROLLER_CLI_CLICOMPLETE_H

/* Completion scripts, made from the tables of commands and options. Names of stacks, nodes and so
 * on are asked of the controller at the key press, through `wherry __words KIND`. */

#include "common/buf.h"
#include "controller/cli/clicommand.h"

/* Appends the script for "bash", "zsh" or "fish". Returns 0, or -E2BIG for another shell. */
int clicomplete_script(const char *shell, struct buf *out, struct err *e);

/* The KIND of a command's arguments; NULL: nothing to complete. */
const char *clicomplete_kind(enum clicommand_words words);

#endif
