// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_COMPOSE_SOURCE_H
#define WHERRY_COMMON_COMPOSE_SOURCE_H

/* What is read from disk for one Compose file: its bytes, its folder, the .env beside it. */

#include "common/buf.h"
#include "common/err.h"

/* Reads a file, or standard input for "-", of at most `max` bytes. -EFBIG if it is longer. */
int compose_source_read(const char *path, size_t max, struct buf *out, struct err *e);

/* The absolute folder of a file; of "-": the current one. Free it. */
char *compose_source_folder(const char *path, const char *directory);

/* A folder's name as a stack's name: lower case, what is not allowed left out. May be "". Free it.
 */
char *compose_source_project(const char *folder);

#endif
