// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_SVCTABLE_H
#define WHERRY_COMMON_SVCTABLE_H

/* A set of service entries with the sum of their hashes. The controller's grows a version with
 * every change and tells what changed since another; the agent's is written by what it is told.
 * Pure. Entries are copied in; what is given out is borrowed until the table's next change. */

#include "common/svcpatch.h"

struct svctable;

struct svctable *svctable_create(void);
void svctable_destroy(struct svctable *t); /* accepts NULL */

/* Returns whether anything changed. */
bool svctable_put(struct svctable *t, const struct svc_entry *entry);
bool svctable_remove(struct svctable *t, const char *stack, const char *service);
void svctable_clear(struct svctable *t);

unsigned svctable_count(const struct svctable *t);
const struct svc_entry *svctable_at(const struct svctable *t, unsigned i); /* by stack, service */
const struct svc_entry *svctable_find(const struct svctable *t, const char *stack,
                                      const char *service);
struct id128 svctable_sum(const struct svctable *t);

/* One more with every change; 0: never changed. */
uint64_t svctable_version(const struct svctable *t);

/* Calls back for everything that changed after `since`, oldest change first, once per service; a
 * NULL entry: it was removed. The callback returns whether it wants more. False, and nothing is
 * called: that is too long ago (the log holds the latest 4,096 removals), or never was: begin with
 * the whole. */
typedef bool (*svctable_cb)(void *arg, uint64_t version, const char *stack, const char *service,
                            const struct svc_entry *entry);
bool svctable_since(const struct svctable *t, uint64_t since, svctable_cb cb, void *arg);

/* The same for who is told the whole, which began with an empty table at version `begun`, and has
 * heard of everything up to `since` (first 0): removals before `begun` are none of its business. */
bool svctable_whole(const struct svctable *t, uint64_t begun, uint64_t since, svctable_cb cb,
                    void *arg);

/* What changed among a service's endpoints after `since`, for who held the whole table as it then
 * was, whatever of it was told since; free() it. NULL: the whole entry is to be told. */
struct svc_patch *svctable_patch(const struct svctable *t, const char *stack, const char *service,
                                 uint64_t since);

#endif
