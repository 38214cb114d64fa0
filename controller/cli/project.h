// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_PROJECT_H
#define WHERRY_CONTROLLER_CLI_PROJECT_H

/* The operator's Compose file: which one it is, read with the options of the command line, and
 * what there is to say about it. */

#include "common/compose.h"
#include "controller/cli/cli.h"

/* The Compose file of a folder or of the nearest folder above that has one, by the names Compose
 * looks for. Returns a path of the caller's, or NULL. */
char *project_find(const char *directory);

/* Reads --file, or the file that is found. Warnings and errors are printed here. Returns 0 with a
 * document; CLI_SAID if it is wrong; -EINVAL if there is none. Freed by compose_free in any case.
 */
int project_read(const struct cli *cli, struct compose_result *ret_result, struct err *e);

#endif
