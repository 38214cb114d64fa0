// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_DOCS_H
#define WHERRY_CONTROLLER_DOCS_H

/* The documents behind the fleet: of each stack the stored one, and of each revision that a stack
 * or a placement names what an agent gets. The fleet knows digests only. A revision is counted by
 * who names it; one that nobody names any more is dropped, here and in the store. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/codec_want.h"

struct docs;

struct docs_stack {
    char name[FLEET_NAME];
    uint32_t revision;
    uint64_t applied_unix_ms;
    struct codec_want *want; /* owned */
};

struct docs *docs_create(void);
void docs_destroy(struct docs *d); /* accepts NULL */

/* Borrowed until the stack changes. NULL: none. */
const struct docs_stack *docs_stack(const struct docs *d, const char *name);

/* Takes `want`. Names its services' revisions instead of those of the document before. */
void docs_put_stack(struct docs *d, const char *name, uint32_t revision, uint64_t applied_unix_ms,
                    struct codec_want *want);
void docs_del_stack(struct docs *d, const char *name);

/* The revisions that the placements under this key of the store name, instead of those before. */
void docs_put_block(struct docs *d, const char *key, const uint8_t (*digests)[FLEET_DIGEST],
                    unsigned n);

/* A revision as the store has it. */
void docs_stored_revision(struct docs *d, const uint8_t digest[FLEET_DIGEST], const void *bytes,
                          size_t len);

/* An encoded wherry.spec.Container; borrowed until docs_settle. NULL: not known. */
const void *docs_revision(const struct docs *d, const uint8_t digest[FLEET_DIGEST],
                          size_t *ret_len);

struct docs_changes {
    void (*put)(void *arg, const uint8_t digest[FLEET_DIGEST], const void *bytes, size_t len);
    void (*del)(void *arg, const uint8_t digest[FLEET_DIGEST]);
    void *arg;
};

/* Tells what the store lacks and what it need not hold any more, since the last time; forgets the
 * latter. Belongs into the transaction that makes it so. */
void docs_settle(struct docs *d, const struct docs_changes *changes);

#endif
