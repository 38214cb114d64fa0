// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_LEDGER_H
#define WHERRY_AGENT_LEDGER_H

/* What the journal says, in memory: identity, position, network, and the set of placements with
 * their documents and restart budgets. Records go in the same way at replay and in life, so the
 * two cannot drift; a snapshot is the same records again. No I/O. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/codec_journal.h"
#include "common/name.h"

#define LEDGER_PLACEMENTS_MAX 4096
#define LEDGER_TEXT_MAX       64
#define LEDGER_DIGEST_TEXT    80
#define LEDGER_REASON_MAX     256

struct ledger_revision {
    uint8_t digest[CODEC_JOURNAL_DIGEST];
    uint8_t *container; /* encoded wherry.spec.Container, as digested */
    size_t container_len;
    unsigned used; /* placements that name it */
};

struct ledger_placement {
    uint64_t incarnation;
    char stack[NAME_MAX_LEN + 1];
    char service[NAME_MAX_LEN + 1];
    uint32_t slot;
    bool stop;
    uint8_t revision[CODEC_JOURNAL_DIGEST];
    char image_digest[LEDGER_DIGEST_TEXT];
    /* its restart budget, as last written */
    uint32_t run; /* 0: never started */
    uint32_t attempts;
    uint64_t next_ms;
    bool done;
    int32_t exit_code;
    char reason[LEDGER_REASON_MAX];
};

struct ledger {
    char node_id[ID128_HEX + 1];
    char cluster_id[ID128_HEX + 1]; /* "": never joined */
    uint64_t epoch;
    uint64_t revision;
    char cluster_range[LEDGER_TEXT_MAX];
    char node_block[LEDGER_TEXT_MAX];
    struct ledger_placement *placements; /* by incarnation */
    unsigned n_placements;
    unsigned cap_placements;
    struct ledger_revision **revisions; /* by digest */
    unsigned n_revisions;
    unsigned cap_revisions;
};

void ledger_finish(struct ledger *ledger);

/* Makes one record count. -EBADMSG: it contradicts what is known (a placement without document),
 * -E2BIG: more placements than an agent takes. */
int ledger_apply(struct ledger *ledger, const struct journal_record *record, struct err *e);

/* Borrow until the next record. NULL: none. */
const struct ledger_placement *ledger_find(const struct ledger *ledger, uint64_t incarnation);
const struct ledger_revision *ledger_revision(const struct ledger *ledger,
                                              const uint8_t digest[CODEC_JOURNAL_DIGEST]);

/* Its restart budget as a record, which borrows from it. */
void ledger_budget(const struct ledger_placement *p, struct journal_record *ret);

/* Forgets documents that no placement names. */
void ledger_prune(struct ledger *ledger);

/* Appends records that say everything (for journal_replace). */
void ledger_snapshot(const struct ledger *ledger, struct buf *payload);

#endif
