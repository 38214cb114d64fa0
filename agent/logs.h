// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_LOGS_H
#define WHERRY_AGENT_LOGS_H

/* Reads what a shim has written: a CRI log file and its rotated predecessors (`log`, `log.1`, …,
 * the highest number is the oldest), while the shim goes on writing and rotating. Lines are
 * "<RFC 3339 time> stdout|stderr F|P <text>". A reader holds one descriptor and one block of
 * 64 KiB; each call reads at most that much. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define LOGS_FILES_MAX 10
#define LOGS_BLOCK     65536

struct logs_line {
    uint64_t unix_ns;
    bool is_stderr;
    bool partial;     /* goes on in the next line */
    const char *text; /* not terminated; borrowed until the next call */
    size_t len;
};

struct logs_options {
    bool tail_all;
    uint32_t tail; /* lines from the end, if not all */
    uint64_t since_unix_ms;
};

struct logs_reader;

/* `path` is the current file; it need not exist yet. Gives the reader. */
int logs_open(const char *path, const struct logs_options *options, struct logs_reader **ret,
              struct err *e);
void logs_close(struct logs_reader *reader);

/* Calls `each` for lines that are there, until about `max_bytes` of text have been given or `each`
 * returns false. Returns 1 if more may be there now, 0 at the present end, or a negative errno. */
int logs_read(struct logs_reader *reader, size_t max_bytes,
              bool (*each)(void *arg, const struct logs_line *line), void *arg, struct err *e);

/* Takes one line apart. False: it is none of ours. */
bool logs_parse(const char *bytes, size_t len, struct logs_line *ret);

#endif
