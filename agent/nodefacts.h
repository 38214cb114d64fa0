// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NODEFACTS_H
#define WHERRY_AGENT_NODEFACTS_H

/* What this host is and can give to containers: processors, memory less a reserve for the host,
 * process ids. Read once at the start, from /proc and the cgroup of the agent. */

#include <stdint.h>

#include "common/err.h"

#define NODEFACTS_TEXT_MAX 72

struct nodefacts {
    char arch[16];   /* "amd64", "arm64" */
    char kernel[72]; /* "6.1.0-56-cloud-amd64" */
    char hostname[NODEFACTS_TEXT_MAX];
    uint64_t cpu_millis;
    uint64_t memory_bytes; /* less the reserve */
    uint64_t pids;
};

/* The reserve is a tenth of the memory, at least 256 MiB and at most a half. */
int nodefacts_read(struct nodefacts *ret, struct err *e);

/* Bytes of memory in use on the host now (MemTotal less MemAvailable); 0: not known. */
uint64_t nodefacts_memory_used(void);

#endif
