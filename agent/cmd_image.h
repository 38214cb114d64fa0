// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CMD_IMAGE_H
#define WHERRY_AGENT_CMD_IMAGE_H

/* `wherry-agent image load|ls|rm`: the image store from the command line, with or without a
 * running agent on the same state directory (which notices the new index by itself). */

/* argv[0] is "image". Returns the exit code: 0, 1 (failed, said on standard error), 2 (usage). */
int cmd_image_main(int argc, char **argv);

#endif
