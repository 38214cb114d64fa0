// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_HTTPSOCK_H
#define WHERRY_CONTROLLER_HTTPSOCK_H

/* The unix socket on which the controller answers: who may connect is decided by its mode and by
 * the kernel's word on the peer, never by what the peer says. */

#include <stdbool.h>
#include <sys/types.h>

#include "common/err.h"

/* Listens on `path`, mode 0660, non-blocking; makes its folder if only that is missing. A socket
 * left behind by a process that is gone is replaced. -EADDRINUSE: somebody answers there. */
int httpsock_listen(const char *path, int *ret_fd, gid_t *ret_group, struct err *e);

/* Whether the peer may speak: root, our own user, or a member of the group. */
bool httpsock_is_allowed(int fd, gid_t group);

#endif
