// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_SYSFILTER_H
#define WHERRY_AGENT_SYSFILTER_H

/* Which system calls a container may make: an allow-list (agent/seccomp-default.json, derived from
 * moby's profile) compiled to BPF once per set of capabilities. Newer than the table: ENOSYS, so
 * that programs fall back; known and not allowed: EPERM. ptrace, userfaultfd, io_uring, bpf and
 * the keyring are not in the table, a user namespace cannot be made, and clone3, whose flags no
 * filter can see, answers ENOSYS. */

#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define SYSFILTER_BYTES_MAX (4096u * 8) /* BPF_MAXINSNS of struct sock_filter */

/* Compiles for these effective capabilities (bit n: capability n) and the architectures of this
 * machine: an array of struct sock_filter. Takes about 10 ms. */
int sysfilter_compile(uint64_t caps, struct buf *ret, struct err *e);

/* The few sets of capabilities that a node's containers have, each compiled once. */
struct sysfilter_cache {
    struct sysfilter_entry *entries;
    unsigned n;
};

/* Borrows until the cache is finished. NULL: not compiled yet. */
const struct buf *sysfilter_find(const struct sysfilter_cache *cache, uint64_t caps);

/* Compiles unless it is there. */
int sysfilter_get(struct sysfilter_cache *cache, uint64_t caps, const struct buf **ret,
                  struct err *e);
void sysfilter_finish(struct sysfilter_cache *cache);

#endif
