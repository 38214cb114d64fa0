// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_DNS_DNSCACHE_H
#define WHERRY_AGENT_DNS_DNSCACHE_H

/* Answers of the world, kept as long as their records live, within a bound of memory: the oldest
 * go first. An answer serves questions of any case, to the same resolvers. Pure. */

#include "agent/dns/dnsmsg.h"

#define DNSCACHE_TTL_MAX      3600u /* seconds */
#define DNSCACHE_NEGATIVE_MAX 60u

struct dnscache;

struct dnscache *dnscache_create(size_t bytes_max);
void dnscache_destroy(struct dnscache *c); /* accepts NULL */

/* `server`: the first of the resolvers asked. Keeps a copy of an answer that is worth it: whole, of
 * rcode 0 or 3, with a TTL. */
void dnscache_put(struct dnscache *c, uint32_t server, const struct dnsmsg_question *q,
                  const void *answer, size_t len, uint64_t now_ms);

/* Writes the answer, as to this question and of this age. Returns its length, 0: there is none, or
 * it is longer than `size`. */
size_t dnscache_get(struct dnscache *c, uint32_t server, const struct dnsmsg_question *q,
                    uint64_t now_ms, void *ret, size_t size);

size_t dnscache_bytes(const struct dnscache *c);

#endif
