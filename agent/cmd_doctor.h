// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CMD_DOCTOR_H
#define WHERRY_AGENT_CMD_DOCTOR_H

/* `wherry-agent doctor`: what this host lacks and what is in the way, without a controller; also
 * what the daemon runs when the controller asks. argv[0] is "doctor". Returns 0, 1 if there is a
 * problem, 2 for wrong usage. */
int cmd_doctor_main(int argc, char **argv);

#endif
