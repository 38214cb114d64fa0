// SPDX-License-Identifier: Apache-2.0
#include "agent/ledger.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

/* What is cut may not end within a character: a snapshot with it could not be read again. */
static void copy(char *ret, size_t size, const char *text)
{
    (void)snprintf(ret, size, "%s", text != NULL ? text : "");
    utf8_repair(ret);
}

static unsigned placement_at(const struct ledger *l, uint64_t incarnation)
{
    unsigned lo = 0, hi = l->n_placements;

    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;

        if (l->placements[mid].incarnation < incarnation) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static struct ledger_placement *find(const struct ledger *l, uint64_t incarnation)
{
    unsigned i = placement_at(l, incarnation);

    return i < l->n_placements && l->placements[i].incarnation == incarnation ? &l->placements[i]
                                                                              : NULL;
}

static unsigned revision_at(const struct ledger *l, const uint8_t *digest)
{
    unsigned lo = 0, hi = l->n_revisions;

    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;

        if (memcmp(l->revisions[mid]->digest, digest, CODEC_JOURNAL_DIGEST) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static struct ledger_revision *find_revision(const struct ledger *l, const uint8_t *digest)
{
    unsigned i = revision_at(l, digest);

    if (i == l->n_revisions || memcmp(l->revisions[i]->digest, digest, CODEC_JOURNAL_DIGEST) != 0) {
        return NULL;
    }
    return l->revisions[i];
}

static void put_revision(struct ledger *l, const struct journal_record *r)
{
    unsigned i = revision_at(l, r->u.revision.digest);
    struct ledger_revision *rev;

    if (find_revision(l, r->u.revision.digest) != NULL) {
        return;
    }
    if (l->n_revisions == l->cap_revisions) {
        l->cap_revisions = l->cap_revisions > 0 ? 2 * l->cap_revisions : 16;
        l->revisions = xrealloc(l->revisions, l->cap_revisions, sizeof(struct ledger_revision *));
    }
    rev = xcalloc(1, sizeof(*rev));
    memcpy(rev->digest, r->u.revision.digest, sizeof(rev->digest));
    rev->container = xmalloc(r->u.revision.container_len);
    if (r->u.revision.container_len > 0) {
        memcpy(rev->container, r->u.revision.container, r->u.revision.container_len);
    }
    rev->container_len = r->u.revision.container_len;
    memmove(&l->revisions[i + 1], &l->revisions[i],
            (l->n_revisions - i) * sizeof(struct ledger_revision *));
    l->revisions[i] = rev;
    l->n_revisions++;
}

static struct ledger_placement *insert(struct ledger *l, uint64_t incarnation)
{
    unsigned i = placement_at(l, incarnation);

    if (l->n_placements == l->cap_placements) {
        l->cap_placements = l->cap_placements > 0 ? 2 * l->cap_placements : 16;
        l->placements = xrealloc(l->placements, l->cap_placements, sizeof(*l->placements));
    }
    memmove(&l->placements[i + 1], &l->placements[i],
            (l->n_placements - i) * sizeof(*l->placements));
    l->n_placements++;
    l->placements[i] = (struct ledger_placement){.incarnation = incarnation};
    return &l->placements[i];
}

static int put_placement(struct ledger *l, const struct journal_placement *from, struct err *e)
{
    struct ledger_revision *rev = find_revision(l, from->revision);
    struct ledger_placement *p = find(l, from->incarnation);

    if (rev == NULL) {
        return err_say(e, EBADMSG, "placement %s/%s.%u names a revision that was never sent",
                       from->stack, from->service, (unsigned)from->slot);
    }
    if (p == NULL && l->n_placements == LEDGER_PLACEMENTS_MAX) {
        return err_say(e, E2BIG, "more than %d placements on one node", LEDGER_PLACEMENTS_MAX);
    }
    if (p == NULL) {
        p = insert(l, from->incarnation);
    } else {
        find_revision(l, p->revision)->used--;
    }
    rev->used++;
    copy(p->stack, sizeof(p->stack), from->stack);
    copy(p->service, sizeof(p->service), from->service);
    p->slot = from->slot;
    p->stop = from->stop;
    memcpy(p->revision, from->revision, sizeof(p->revision));
    copy(p->image_digest, sizeof(p->image_digest), from->image_digest);
    return 0;
}

static void remove_placement(struct ledger *l, uint64_t incarnation)
{
    unsigned i = placement_at(l, incarnation);

    if (find(l, incarnation) == NULL) {
        return;
    }
    find_revision(l, l->placements[i].revision)->used--;
    l->n_placements--;
    memmove(&l->placements[i], &l->placements[i + 1],
            (l->n_placements - i) * sizeof(*l->placements));
}

/* A whole set follows. Placements that are in it again get their budgets back only if the set is
 * written with them: whoever writes SET_BEGIN writes the budgets too. */
static void clear_placements(struct ledger *l)
{
    for (unsigned i = 0; i < l->n_revisions; i++) {
        l->revisions[i]->used = 0;
    }
    l->n_placements = 0;
}

static void put_budget(struct ledger *l, const struct journal_budget *b)
{
    struct ledger_placement *p = find(l, b->incarnation);

    if (p == NULL) {
        return; /* taken away meanwhile */
    }
    p->run = b->run;
    p->attempts = b->attempts;
    p->next_ms = b->next_ms;
    p->done = b->done;
    p->exit_code = b->exit_code;
    copy(p->reason, sizeof(p->reason), b->reason);
}

int ledger_apply(struct ledger *l, const struct journal_record *r, struct err *e)
{
    switch (r->kind) {
    case JOURNAL_IDENTITY:
        copy(l->node_id, sizeof(l->node_id), r->u.identity.node_id);
        copy(l->cluster_id, sizeof(l->cluster_id), r->u.identity.cluster_id);
        return 0;
    case JOURNAL_POSITION:
        l->epoch = r->u.position.epoch;
        l->revision = r->u.position.revision;
        return 0;
    case JOURNAL_REVISION:
        put_revision(l, r);
        return 0;
    case JOURNAL_PLACEMENT:
        return put_placement(l, &r->u.placement, e);
    case JOURNAL_REMOVED:
        remove_placement(l, r->u.removed);
        return 0;
    case JOURNAL_SET_BEGIN:
        clear_placements(l);
        return 0;
    case JOURNAL_BUDGET:
        put_budget(l, &r->u.budget);
        return 0;
    case JOURNAL_NETWORK:
        copy(l->cluster_range, sizeof(l->cluster_range), r->u.network.cluster_range);
        copy(l->node_block, sizeof(l->node_block), r->u.network.node_block);
        return 0;
    }
    return err_say(e, EBADMSG, "a record of an unknown kind");
}

const struct ledger_placement *ledger_find(const struct ledger *l, uint64_t incarnation)
{
    return find(l, incarnation);
}

const struct ledger_revision *ledger_revision(const struct ledger *l,
                                              const uint8_t digest[CODEC_JOURNAL_DIGEST])
{
    return find_revision(l, digest);
}

static void free_revision(struct ledger_revision *rev)
{
    free(rev->container);
    free(rev);
}

void ledger_prune(struct ledger *l)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < l->n_revisions; i++) {
        if (l->revisions[i]->used > 0) {
            l->revisions[kept++] = l->revisions[i];
        } else {
            free_revision(l->revisions[i]);
        }
    }
    l->n_revisions = kept;
}

void ledger_budget(const struct ledger_placement *p, struct journal_record *ret)
{
    *ret = (struct journal_record){.kind = JOURNAL_BUDGET};
    ret->u.budget = (struct journal_budget){.incarnation = p->incarnation,
                                            .run = p->run,
                                            .attempts = p->attempts,
                                            .next_ms = p->next_ms,
                                            .done = p->done,
                                            .exit_code = p->exit_code,
                                            .reason = p->reason};
}

static void snapshot_placement(const struct ledger_placement *p, struct buf *payload)
{
    struct journal_record r = {.kind = JOURNAL_PLACEMENT};

    r.u.placement = (struct journal_placement){.incarnation = p->incarnation,
                                               .stack = p->stack,
                                               .service = p->service,
                                               .slot = p->slot,
                                               .revision = p->revision,
                                               .stop = p->stop,
                                               .image_digest = p->image_digest};
    codec_journal_put(payload, &r);
    if (p->run == 0) {
        return;
    }
    ledger_budget(p, &r);
    codec_journal_put(payload, &r);
}

static void snapshot_head(const struct ledger *l, struct buf *payload)
{
    struct journal_record r = {.kind = JOURNAL_IDENTITY};

    r.u.identity.node_id = l->node_id;
    r.u.identity.cluster_id = l->cluster_id;
    codec_journal_put(payload, &r);
    r = (struct journal_record){.kind = JOURNAL_POSITION};
    r.u.position.epoch = l->epoch;
    r.u.position.revision = l->revision;
    codec_journal_put(payload, &r);
    r = (struct journal_record){.kind = JOURNAL_NETWORK};
    r.u.network.cluster_range = l->cluster_range;
    r.u.network.node_block = l->node_block;
    codec_journal_put(payload, &r);
}

void ledger_snapshot(const struct ledger *l, struct buf *payload)
{
    struct journal_record r = {.kind = JOURNAL_SET_BEGIN};

    snapshot_head(l, payload);
    codec_journal_put(payload, &r);
    for (unsigned i = 0; i < l->n_revisions; i++) {
        if (l->revisions[i]->used == 0) {
            continue;
        }
        r = (struct journal_record){.kind = JOURNAL_REVISION};
        r.u.revision.digest = l->revisions[i]->digest;
        r.u.revision.container = l->revisions[i]->container;
        r.u.revision.container_len = l->revisions[i]->container_len;
        codec_journal_put(payload, &r);
    }
    for (unsigned i = 0; i < l->n_placements; i++) {
        snapshot_placement(&l->placements[i], payload);
    }
}

void ledger_finish(struct ledger *l)
{
    for (unsigned i = 0; i < l->n_revisions; i++) {
        free_revision(l->revisions[i]);
    }
    free(l->revisions);
    free(l->placements);
    *l = (struct ledger){0};
}
