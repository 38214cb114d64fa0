// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_VOLUMES_H
#define WHERRY_AGENT_VOLUMES_H

/* Named volumes of this node: <state>/volumes/<name>/data. Their parent is closed to everybody but
 * root, because a container may leave a setuid file in its volume (files there have plain ids: the
 * shim maps them). Only directories are made and renamed here; what lies inside a volume is the
 * container's, and is never looked at. */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct volumes {
    char *path; /* <state>/volumes */
    int fd;
    int trash_fd; /* volumes/.trash */
};

int volumes_open(const char *state_path, struct volumes *ret, struct err *e);
void volumes_close(struct volumes *v);

/* Makes the volume if it is missing. Gives the path of its data directory; free it. */
int volumes_ensure(struct volumes *v, const char *name, char **ret_path, bool *ret_made,
                   struct err *e);

/* Moves the volume aside, to be emptied by `wherry-agent sweep-trash`. -ENOENT: there is none. */
int volumes_discard(struct volumes *v, const char *name, struct err *e);

/* Bytes that are free on the file system of the volumes. */
uint64_t volumes_bytes_free(const struct volumes *v);

/* The source of a bind mount: a directory or file of the host that exists, or is made if asked.
 * Refuses what would hand the host's or the agent's own state to a container. */
int volumes_check_bind(const char *source, bool create, const char *state_path,
                       const char *run_path, struct err *e);

#endif
