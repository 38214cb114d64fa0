// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_WORKER_LAYERMETA_H
#define WHERRY_AGENT_WORKER_LAYERMETA_H

/* Owner, mode, time and extended attributes of a layer's entry, as far as a container may have
 * them. */

#include <archive_entry.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "common/err.h"

#define LAYERMETA_ID_MAX 65535 /* owners beyond have no place in a container's range */

int layermeta_owner(struct archive_entry *entry, uid_t *ret_uid, gid_t *ret_gid, struct err *e);

/* Zero when it has none that makes sense. */
struct timespec layermeta_mtime(struct archive_entry *entry);

/* Owner first, then mode (chown takes setuid away), then attributes (it takes capabilities too).
 * Attributes that are left out are counted: all but security.capability and user.*, and of those
 * overlayfs's own. */
int layermeta_set(struct archive_entry *entry, int fd, uint32_t *skipped, struct err *e);

#endif
