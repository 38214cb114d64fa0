// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CELL_H
#define WHERRY_AGENT_CELL_H

/* A cell is what a container is put into: a user namespace whose ids 0..65535 are one range of
 * host ids, and a network namespace that it owns, with `lo` up. (sysfs, port 80 and `lo` would be
 * refused in one owned by the host's.) Descriptors alone keep it alive. */

#include <stdint.h>

#include "common/err.h"

struct cell {
    int user_fd; /* -1: none */
    int net_fd;
};

#define CELL_NONE                                                                                  \
    (struct cell)                                                                                  \
    {                                                                                              \
        .user_fd = -1, .net_fd = -1                                                                \
    }

/* Maps 0..65535 inside to `ids`.. outside, which must be host root's to give. Takes about a
 * millisecond, and at most two seconds. */
int cell_create(uint32_t ids, struct cell *ret, struct err *e);

void cell_finish(struct cell *cell); /* accepts CELL_NONE */

#endif
