// SPDX-License-Identifier: Apache-2.0
/* `wherry-agent image …` alone, without the rest of the agent: for tests of the image store. */
#include "agent/cmd_image.h"

int main(int argc, char **argv)
{
    return argc < 2 ? 2 : cmd_image_main(argc - 1, argv + 1);
}
