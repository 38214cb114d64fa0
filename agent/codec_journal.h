// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CODEC_JOURNAL_H
#define WHERRY_AGENT_CODEC_JOURNAL_H

/* Records of the agent's journal (store.proto, JournalRecord) as plain structures. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/name.h"

#define CODEC_JOURNAL_DIGEST 32

enum journal_kind {
    JOURNAL_IDENTITY,  /* node id, cluster id */
    JOURNAL_POSITION,  /* highest position seen */
    JOURNAL_REVISION,  /* a container document */
    JOURNAL_PLACEMENT, /* a placement is assigned, or has changed */
    JOURNAL_REMOVED,   /* a placement is taken away */
    JOURNAL_SET_BEGIN, /* all placements are forgotten: a whole set follows in this batch */
    JOURNAL_BUDGET,    /* how far a container has come with its restarts */
    JOURNAL_NETWORK    /* the cluster's range and this node's block */
};

struct journal_placement {
    uint64_t incarnation;
    const char *stack;
    const char *service;
    uint32_t slot;
    const uint8_t *revision; /* CODEC_JOURNAL_DIGEST bytes */
    bool stop;
    const char *image_digest;
};

struct journal_budget {
    uint64_t incarnation;
    uint32_t run;
    uint32_t attempts;
    uint64_t next_ms; /* CLOCK_BOOTTIME; 0: the run has begun and not ended */
    bool done;
    int32_t exit_code; /* of the last run that ended; negative: not known */
    const char *reason;
};

/* Strings and bytes are borrowed, also those of a decoded record: from its `memory`. */
struct journal_record {
    enum journal_kind kind;
    union {
        struct {
            const char *node_id;
            const char *cluster_id; /* "": never joined */
        } identity;
        struct {
            uint64_t epoch;
            uint64_t revision;
        } position;
        struct {
            const uint8_t *digest; /* CODEC_JOURNAL_DIGEST bytes */
            const void *container;
            size_t container_len;
        } revision;
        struct journal_placement placement;
        uint64_t removed;
        struct journal_budget budget;
        struct {
            const char *cluster_range;
            const char *node_block;
        } network;
    } u;
    void *memory;
};

/* Appends the record to a payload (journal_put). */
void codec_journal_put(struct buf *payload, const struct journal_record *record);

/* -EBADMSG: no record, or one that this version does not know. Free with codec_journal_free. */
int codec_journal_decode(const void *bytes, size_t len, struct journal_record *ret_record,
                         struct err *e);
void codec_journal_free(struct journal_record *record);

#endif
