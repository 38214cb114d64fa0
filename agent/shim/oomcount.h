// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_SHIM_OOMCOUNT_H
#define WHERRY_AGENT_SHIM_OOMCOUNT_H

/* How often the kernel killed in a memory cgroup: the line `oom_kill N` of memory.events (v2) or
 * memory.oom_control (v1). */

#include <stddef.h>
#include <stdint.h>

/* 0 if the file says nothing, is gone, or `fd` is -1. */
uint64_t oomcount_read(int fd);
uint64_t oomcount_parse(const char *text);

#endif
