// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CMD_SWEEP_H
#define WHERRY_AGENT_CMD_SWEEP_H

/* `wherry-agent sweep-trash --state DIR`: deletes the volumes that were discarded. A program of its
 * own, because a volume can hold millions of files and its content is the container's: the agent's
 * loop and pool never touch it. */

/* argv[0] is "sweep-trash". Returns the exit code. */
int cmd_sweep_main(int argc, char **argv);

#endif
