// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_SHIM_RECORD_H
#define WHERRY_AGENT_SHIM_RECORD_H

/* What a run leaves in its run directory `<run_path>/runs/<incarnation, 16 hex>.<run>/` (tmpfs):
 *
 *   record         who runs: written by the shim before it makes anything (pid 0), and again once
 *                  the command was executed
 *   exit           how it ended, written by the shim as its last act
 *   hosts, hostname, resolv.conf     what the container sees under /etc
 *
 * Both are lines `key value`, the first `wherry-run 1` or `wherry-exit 1`, the last `sum <crc32c of
 * all before>`; they appear by rename, without fsync: they survive the agent, not the host. A file
 * that is torn, foreign or of another version is refused. No allocation: the shim uses it too. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define RECORD_FILE        "record"
#define RECORD_EXIT_FILE   "exit"
#define RECORD_NAME_MAX    32 /* "0123456789abcdef.4294967295" */
#define RECORD_CGROUPS_MAX 12
#define RECORD_PATH_MAX    512
#define RECORD_BYTES_MAX   16384
#define RECORD_BOOT_ID     36

struct record {
    /* constant: known before the start */
    uint64_t incarnation;
    uint32_t run;
    char boot_id[RECORD_BOOT_ID + 1];
    uint32_t ids;     /* first host id of its range */
    uint32_t address; /* IPv4 in host order; 0: none */
    unsigned n_cgroups;
    char cgroups[RECORD_CGROUPS_MAX][RECORD_PATH_MAX];
    char upper[RECORD_PATH_MAX]; /* directory of upper and work */

    /* filled by the shim */
    uint32_t shim_pid;
    uint64_t shim_start; /* field 22 of /proc/PID/stat: clock ticks since boot */
    uint32_t pid;        /* the container's first process; 0: still starting */
    uint64_t pid_start;
    uint64_t started_ms; /* CLOCK_BOOTTIME */
    uint64_t started_unix_ms;
};

struct record_exit {
    bool known; /* false: nobody saw how it ended */
    bool oom;
    int32_t code;
    int32_t signal;    /* 0: none */
    uint64_t ended_ms; /* CLOCK_BOOTTIME */
    uint64_t ended_unix_ms;
};

/* "<incarnation>.<run>". */
void record_name(uint64_t incarnation, uint32_t run, char ret[RECORD_NAME_MAX]);

/* The other way round; false: no such name (upper case, leading zeros of the run, other length). */
bool record_name_parse(const char *name, uint64_t *ret_incarnation, uint32_t *ret_run);

/* Reads a file of the run directory `dir_fd`. -ENOENT: not there; -EBADMSG: torn or foreign. */
int record_read(int dir_fd, struct record *ret, struct err *e);
int record_exit_read(int dir_fd, struct record_exit *ret, struct err *e);

/* The same from bytes, for tests and fuzzing. */
int record_parse(const char *bytes, size_t len, struct record *ret, struct err *e);
int record_exit_parse(const char *bytes, size_t len, struct record_exit *ret, struct err *e);

/* The bytes of a record, terminated. -E2BIG when they do not fit into `size`. */
int record_format(const struct record *record, char *ret, size_t size, struct err *e);

/* Writes by a temporary file and rename. */
int record_write(int dir_fd, const struct record *record, struct err *e);
int record_exit_write(int dir_fd, const struct record_exit *exit, struct err *e);

/* Start time of a process out of /proc, for telling it from a later one with its number.
 * -ESRCH: there is none. */
int record_start_time(uint32_t pid, uint64_t *ret, struct err *e);

/* Whether the process `pid` that began at `start` lives: a pidfd (takes no signal to another), or
 * a negative errno; -ESRCH: it has ended. */
int record_pidfd(uint32_t pid, uint64_t start, struct err *e);

#endif
