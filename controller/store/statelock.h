// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_STATELOCK_H
#define WHERRY_CONTROLLER_STATELOCK_H

/* The controller's state directory belongs to one process for as long as that lives: a lock on a
 * file in it, which names its holder. */

#include "common/err.h"

/* Makes the directory (0700) if it is missing and takes the lock. Gives the descriptor that holds
 * it. -EBUSY: the text names the holder's pid and since when; -EPERM: the directory is not ours or
 * others may write to it. */
int statelock_take(const char *dir, int *ret_fd, struct err *e);

#endif
