// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_WORKER_LAYERTREE_H
#define WHERRY_AGENT_WORKER_LAYERTREE_H

/* The directory tree a layer is unpacked into: finding and making the directory of an entry
 * without ever leaving the root, replacing what is in the way, and overlayfs's marks. Blocking
 * system calls, all relative to descriptors. */

#include <stdbool.h>
#include <sys/types.h>

#include "agent/worker/tarpath.h"
#include "common/err.h"

struct layertree {
    int root_fd; /* borrowed */
    int dir_fd;  /* of `dir`, the directory used last; -1: none */
    char dir[TARPATH_MAX];
};

void layertree_init(struct layertree *tree, int root_fd);
void layertree_finish(struct layertree *tree);

/* Opens the directory `dir` (clean), following links inside the root only; makes what is missing
 * (root's, 0755) if `make`. Returns a descriptor that the tree keeps, or a negative errno. */
int layertree_dir(struct layertree *tree, const char *dir, bool make, struct err *e);

/* Makes room for an entry `base` in `dir_fd`: removes a file or an empty directory, unless both
 * are directories. Returns 1 if a directory is there and stays, else 0; `ret_hidden` says that a
 * whiteout was in the way. */
int layertree_clear(struct layertree *tree, int dir_fd, const char *base, bool want_dir,
                    bool *ret_hidden, struct err *e);

/* Hides `base` of the layers below: a whiteout, or an opaque mark if this layer has a directory
 * there already, or nothing if it has a file. */
int layertree_hide(int dir_fd, const char *base, struct err *e);

/* Marks the directory as hiding everything below. */
int layertree_mark_opaque(int dir_fd, struct err *e);

#endif
