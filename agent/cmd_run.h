// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CMD_RUN_H
#define WHERRY_AGENT_CMD_RUN_H

/* `wherry-agent run`: one container on this node without a controller, for developers and for
 * finding out what is wrong. */

/* argv[0] is "run". Returns the container's exit code, 128 and the signal that ended it, 125 if it
 * could not be run, 2 for wrong usage. */
int cmd_run_main(int argc, char **argv);

#endif
