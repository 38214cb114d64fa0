// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CMD_NETSTATS_H
#define WHERRY_AGENT_CMD_NETSTATS_H

/* `wherry-agent net-stats`: what the daemon runs for its part of `wherry net stats` (netstats.h).
 * Prints a row for each container's link, by incarnation. argv[0] is "net-stats". */
int cmd_netstats_main(int argc, char **argv);

#endif
