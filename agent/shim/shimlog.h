// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_SHIM_SHIMLOG_H
#define WHERRY_AGENT_SHIM_SHIMLOG_H

/* Turns what a container writes into log lines of the CRI format, "<RFC 3339 time> stdout F text",
 * which agent/logs.h reads, and rotates: `log` becomes `log.1`, `log.1` becomes `log.2`, … A line
 * longer than a buffer is cut into parts (P, the last one F). Nothing is allocated, nothing is
 * synced, and a full disk loses lines, never the container. */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

#define SHIMLOG_STREAMS 2
#define SHIMLOG_LINE    8192

struct shimlog_stream {
    int fd; /* read end of its pipe; -1: at its end */
    size_t len;
    bool cut; /* the line's beginning was written as a part */
    char line[SHIMLOG_LINE];
};

struct shimlog {
    int dir_fd;
    int fd; /* the current file; -1: could not be opened, tried again */
    char name[256];
    uint64_t bytes, bytes_max;
    unsigned files_max;
    uint64_t lost;                                  /* lines that could not be written */
    struct shimlog_stream streams[SHIMLOG_STREAMS]; /* stdout, stderr */
};

/* Takes `dir_fd`. An existing file is continued. */
int shimlog_open(struct shimlog *log, int dir_fd, const char *name, uint64_t bytes_max,
                 unsigned files_max, struct err *e);

/* Reads once from a stream that is readable and writes the whole lines. */
void shimlog_pump(struct shimlog *log, unsigned stream);

/* Writes what has no line end yet and closes everything. */
void shimlog_finish(struct shimlog *log);

#endif
