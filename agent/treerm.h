// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_TREERM_H
#define WHERRY_AGENT_TREERM_H

/* Deletes directory trees that an image or a container has shaped. Never follows a link, never
 * leaves the trash directory, and needs two descriptors however deep the tree is: a subdirectory
 * that is not empty is renamed up into the trash directory and emptied there in its turn. */

#include "common/err.h"

/* Empties the directory `trash_fd`, which holds nothing that must stay. Returns how many entries
 * were removed, or a negative errno. `path` is for messages. */
long treerm_empty(int trash_fd, const char *path, struct err *e);

#endif
