// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_IMAGE_FILE_H
#define WHERRY_AGENT_IMAGE_FILE_H

/* The index of the image store as a file: a head with magic, length and checksum, then the encoded
 * index. Replaced by rename, so it is never half of anything; a file that is damaged all the same
 * is refused with its name. */

#include <sys/stat.h>

#include "agent/codec_image.h"
#include "common/err.h"

/* Reads `index` in the directory; a missing file is an empty index and a zeroed stat. */
int image_file_read(int dir_fd, const char *dir_path, struct image_index *ret_index,
                    struct stat *ret_stat, struct err *e);

/* Writes, syncs, renames, syncs the directory. */
int image_file_write(int dir_fd, const char *dir_path, const struct image_index *index,
                     struct err *e);

#endif
