// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_UV_JOURNAL_H
#define WHERRY_AGENT_UV_JOURNAL_H

/* Writes the agent's journal off the loop: while one batch is being synced, records gather for the
 * next (group commit). When the disk refuses, everything is written anew from the ledger into a
 * new file, again and again until that succeeds; who waits, waits: nothing is acknowledged that is
 * not durable, and running containers are not touched. */

#include <uv.h>

#include "agent/codec_journal.h"
#include "agent/journal.h"
#include "agent/ledger.h"

struct uv_journal;

/* Takes the journal. Borrows the ledger (whose records have been applied before they are put). */
struct uv_journal *uv_journal_create(uv_loop_t *loop, struct journal *journal,
                                     const struct ledger *ledger);

/* Adds a record to the next batch. */
void uv_journal_put(struct uv_journal *j, const struct journal_record *record);

/* Calls back, never from inside, when everything put so far is durable. `cb` may be NULL: write it
 * soon, nobody waits. */
void uv_journal_commit(struct uv_journal *j, void (*cb)(void *arg), void *arg);

/* Why the last write failed; "": it did not. */
const char *uv_journal_trouble(const struct uv_journal *j);

/* Writes what is left (blocking, once), closes the journal, calls `closed` when the memory is
 * gone. Waiting callbacks are dropped. */
void uv_journal_close(struct uv_journal *j, void (*closed)(void *arg), void *arg);

#endif
