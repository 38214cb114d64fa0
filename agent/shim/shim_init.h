// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_SHIM_SHIM_INIT_H
#define WHERRY_AGENT_SHIM_SHIM_INIT_H

/* PID 1 of a container with `init: true`: starts the command, passes signals on to it, collects
 * every orphan, and ends as the command ended. Runs inside, after everything was given up. */

#define SHIM_INIT_NAME "wherry-init"

/* argv: SHIM_INIT_NAME, path, the command's own argv. Returns the exit status. */
int shim_init_main(char **argv);

#endif
