// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_SHIM_MNT_H
#define WHERRY_AGENT_SHIM_MNT_H

/* Mounts by descriptor: made detached, mapped while detached, put onto a place that was resolved
 * beneath a root. No path is resolved twice, so no link can be swapped in between. All return a
 * descriptor (close it) or 0, or a negative errno. */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

#define MNT_PLAIN 0

struct mnt_option {
    const char *key;
    const char *value; /* NULL: a flag */
};

/* A new file system of `type`, detached, with `attributes` (MOUNT_ATTR_*). `options` ends with a
 * NULL key; NULL: none. */
int mnt_new(const char *type, const struct mnt_option *options, uint64_t attributes, struct err *e);

/* A detached clone of what `path` shows (dir_fd as for openat; "" the descriptor itself). */
int mnt_clone(int dir_fd, const char *path, uint64_t attributes, struct err *e);

/* The same with the ids of `userns_fd`. */
int mnt_clone_mapped(int dir_fd, const char *path, int userns_fd, uint64_t attributes,
                     struct err *e);

int mnt_set(int fd, uint64_t attributes, struct err *e);

/* Puts a detached mount onto an O_PATH descriptor. */
int mnt_attach(int mount_fd, int target_fd, struct err *e);

/* Resolves a path as the container would, never above `root_fd`, never through a magic link. */
int mnt_resolve(int root_fd, const char *path, uint64_t flags);

/* Opens the directory of a name directly in `dir_fd`, making it if it is missing. A link is
 * refused. */
int mnt_own_dir(int dir_fd, const char *name, unsigned mode, struct err *e);

/* Opens a mount point below `root_fd`, making directories (or an empty file) if it is missing.
 * Refuses a place in the kernel's own file systems, whatever links led there. */
int mnt_target(int root_fd, const char *path, bool is_dir, struct err *e);

/* mkdir -p below `root_fd`, links in the path followed inside. Gives an O_PATH descriptor. */
int mnt_make_dirs(int root_fd, const char *path, unsigned mode, struct err *e);

#endif
