// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CMD_NETPROBE_H
#define WHERRY_AGENT_CMD_NETPROBE_H

/* `wherry-agent net-probe`: what the daemon runs for a part of `wherry net check` (netprobe.h).
 * Prints rows. argv[0] is "net-probe". */
int cmd_netprobe_main(int argc, char **argv);

#endif
