// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_WORKER_LAYER_H
#define WHERRY_AGENT_WORKER_LAYER_H

/* Unpacks one layer of an image into an empty directory, as overlayfs wants it: whiteouts as
 * character device 0:0, opaque marks as user.overlay.opaque. The archive is hostile: libarchive
 * only reads it, every file is made here, relative to descriptors, with links resolved inside the
 * directory and never followed in the last part of a name. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/worker/blobstream.h"
#include "common/err.h"

#define LAYER_ENTRIES_MAX (1000u * 1000)
#define LAYER_BYTES_MAX   (64ull * 1024 * 1024 * 1024)

struct layer_stats {
    uint64_t bytes;   /* of file contents */
    uint32_t entries; /* made */
    uint32_t skipped; /* devices, sockets and attributes that were left out */
    bool opaque;      /* its root hides every layer below */
};

/* Called now and then with the stream's position; may be NULL. */
typedef void (*layer_progress_cb)(void *arg, uint64_t position);

/* Reads `in` to its end (so that its digests are there) and fills the directory. Errors name the
 * entry. What was made is left behind. */
int layer_unpack(struct blobstream *in, int root_fd, layer_progress_cb progress, void *arg,
                 struct layer_stats *ret_stats, struct err *e);

#endif
