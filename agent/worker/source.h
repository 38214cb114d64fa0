// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_WORKER_SOURCE_H
#define WHERRY_AGENT_WORKER_SOURCE_H

/* Where an image is read from: a directory (an OCI layout, or an unpacked `docker save`), or one
 * archive file, whose members are found by name and then read in place. A compressed archive, or
 * one that cannot be read out of order (a pipe), is first spooled into a nameless file in the
 * working directory. Nothing of the archive is written under its own name. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define SOURCE_MEMBERS_MAX 65536
#define SOURCE_SPOOL_MAX   (256ull * 1024 * 1024 * 1024)

struct source;

/* A run of bytes; close `fd` if `owned`. */
struct source_blob {
    int fd;
    bool owned;
    uint64_t offset, size;
};

/* Borrows `fd` until destroyed; reads the archive's directory. */
int source_open(int fd, bool directory, struct source **ret_source, struct err *e);
void source_destroy(struct source *source); /* accepts NULL */

bool source_has(struct source *source, const char *name);

/* Finds a file by its clean relative name; follows links between members of an archive, none in a
 * directory. -ENOENT names it. */
int source_find(struct source *source, const char *name, struct source_blob *ret_blob,
                struct err *e);
void source_blob_close(struct source_blob *blob);

/* Appends a whole file of at most `max` bytes. -E2BIG beyond. */
int source_read(struct source *source, const char *name, size_t max, struct buf *out,
                struct err *e);

#endif
