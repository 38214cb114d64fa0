// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_PSLIST_H
#define WHERRY_CONTROLLER_CLI_PSLIST_H

/* The table of containers, as `wherry ps` and `wherry inspect` show it. */

#include <jansson.h>
#include <stdint.h>

#include "controller/cli/cli.h"

/* `list`: of api.Container, or of api.InspectContainer. */
void pslist_print(const struct cli *cli, const json_t *list, uint64_t now_unix_ms);

#endif
