// SPDX-License-Identifier: Apache-2.0
/* Assignments: into the ledger and the journal at once, to the core and back to the controller
 * when they are durable. What is in the journal's hands waits in a list, first in, first out: each
 * entry has asked for one commit, and a commit makes durable everything before it. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/uv_agent_link_priv.h"
#include "common/cleanup.h"
#include "common/failpoint.h"
#include "common/linkhash.h"
#include "common/log.h"

#define STAGE_BYTES_MAX (32u * 1024 * 1024) /* half of what a batch of the journal takes */

/* ---- sums ---- */

struct id128 uv_agent_link_assigned(const struct uv_agent *a)
{
    struct id128 sum = {0};

    for (unsigned i = 0; i < a->ledger.n_placements; i++) {
        const struct ledger_placement *p = &a->ledger.placements[i];

        sum = id128_add(sum, linkhash_placement(p->incarnation, p->stack, p->service, p->slot,
                                                p->revision, p->stop));
    }
    return sum;
}

struct id128 uv_agent_link_observed(const struct uv_agent *a)
{
    struct id128 sum = {0};

    for (unsigned i = 0; i < node_count(a->node); i++) {
        const struct node_container *c = node_at(a->node, i);

        if (c->phase != 0) {
            sum = id128_add(sum, linkhash_observation(c->want.incarnation, c->run, c->seq));
        }
    }
    return sum;
}

/* ---- when it is durable ---- */

static void pending_free(struct link_pending *p)
{
    free(p->wants);
    free(p->removed);
    free(p);
}

void uv_agent_link_pending_drop(struct uv_agent_link *l)
{
    while (l->pending != NULL) {
        struct link_pending *p = l->pending;

        l->pending = p->next;
        pending_free(p);
    }
    l->pending_end = &l->pending;
}

static void acknowledge(struct uv_agent_link *l, const struct link_pending *p)
{
    if (p->session == l->session && l->state == LINK_STATE_READY) {
        l->ack_due = true;
        l->ack_position = p->position;
        l->ack_sum = p->sum;
        uv_agent_link_next(l);
    }
}

static void on_durable(void *arg)
{
    struct uv_agent *a = arg;
    struct uv_agent_link *l = a->link;
    struct link_pending *p = l != NULL ? l->pending : NULL;

    if (p == NULL) {
        return;
    }
    FAILPOINT("agent.assign.after_commit");
    l->pending = p->next;
    if (l->pending == NULL) {
        l->pending_end = &l->pending;
    }
    if (p->configure) {
        uv_agent_net_configure(a);
    }
    if (p->assign) {
        uv_agent_queue_assign(a, take_ptr(p->wants), p->n_wants, take_ptr(p->removed), p->n_removed,
                              p->whole);
        FAILPOINT("agent.assign.before_ack");
        acknowledge(l, p);
    }
    pending_free(p);
}

static struct link_pending *pending_add(struct uv_agent_link *l)
{
    struct link_pending *p = xcalloc(1, sizeof(*p));

    p->session = l->session;
    *l->pending_end = p;
    l->pending_end = &p->next;
    return p;
}

static void commit(struct uv_agent_link *l)
{
    FAILPOINT("agent.assign.before_commit");
    uv_journal_commit(l->agent->journal, on_durable, l->agent);
}

/* ---- positions ---- */

static struct link_position seen(const struct uv_agent *a)
{
    return (struct link_position){.epoch = a->ledger.epoch, .revision = a->ledger.revision};
}

/* Whether it may be obeyed; if not, the session ends. */
static bool position_holds(struct uv_agent_link *l, struct link_position p)
{
    struct link_position had = seen(l->agent);

    if (codec_link_position_compare(p, had) >= 0) {
        return true;
    }
    uv_agent_link_end(
        l, LINK_REFUSE_STALE,
        "the controller is at epoch %llu, revision %llu, but this node has seen epoch "
        "%llu, revision %llu: it is not obeyed, and what runs goes on",
        (unsigned long long)p.epoch, (unsigned long long)p.revision, (unsigned long long)had.epoch,
        (unsigned long long)had.revision);
    return false;
}

static void record(struct uv_agent *a, const struct journal_record *r)
{
    struct err e;

    if (uv_agent_record(a, r, &e) < 0) {
        die("a record that was checked does not fit: %s", e.text);
    }
}

/* Returns whether it was news. */
static bool record_position(struct uv_agent *a, struct link_position p)
{
    struct journal_record r = {.kind = JOURNAL_POSITION};

    if (codec_link_position_compare(p, seen(a)) <= 0) {
        return false;
    }
    r.u.position.epoch = p.epoch;
    r.u.position.revision = p.revision;
    record(a, &r);
    return true;
}

/* ---- welcome ---- */

static bool cluster_holds(struct uv_agent_link *l, const char *hex)
{
    const char *ours = l->agent->ledger.cluster_id;

    if (ours[0] == '\0' || strcmp(ours, hex) == 0) {
        return true;
    }
    uv_agent_link_end(l, LINK_REFUSE_CLUSTER,
                      "this node belongs to cluster %s and the controller to %s", ours, hex);
    return false;
}

static bool record_cluster(struct uv_agent *a, const char *hex)
{
    struct journal_record r = {.kind = JOURNAL_IDENTITY};
    char node_id[ID128_HEX + 1];

    if (a->ledger.cluster_id[0] != '\0') {
        return false;
    }
    memcpy(node_id, a->ledger.node_id, sizeof(node_id));
    r.u.identity.node_id = node_id;
    r.u.identity.cluster_id = hex;
    record(a, &r);
    return true;
}

static bool record_network(struct uv_agent *a, const struct link_welcome *w)
{
    struct journal_record r = {.kind = JOURNAL_NETWORK};

    if (strcmp(a->ledger.cluster_range, w->cluster_range) == 0 &&
        strcmp(a->ledger.node_block, w->node_block) == 0) {
        return false;
    }
    r.u.network.cluster_range = w->cluster_range;
    r.u.network.node_block = w->node_block;
    record(a, &r);
    return true;
}

void uv_agent_link_welcome(struct uv_agent_link *l, const struct link_welcome *w)
{
    struct uv_agent *a = l->agent;
    char hex[ID128_HEX + 1];
    bool news, network;

    if (w->version != LINK_VERSION) {
        uv_agent_link_end(l, LINK_REFUSE_VERSION,
                          "the controller speaks version %u of the protocol, this agent version %u",
                          w->version, LINK_VERSION);
        return;
    }
    if (strlen(w->cluster_range) >= LEDGER_TEXT_MAX || strlen(w->node_block) >= LEDGER_TEXT_MAX) {
        uv_agent_link_end(l, LINK_REFUSE_PROTOCOL,
                          "the cluster's range or the block is no address");
        return;
    }
    id128_to_hex(w->cluster_id, hex);
    if (!cluster_holds(l, hex) || !position_holds(l, w->position)) {
        return;
    }
    l->state = LINK_STATE_READY;
    uv_agent_net_encrypt(a, w->encrypt);
    news = record_cluster(a, hex);
    network = record_network(a, w);
    news = record_position(a, w->position) || news || network;
    if (news) {
        pending_add(l)->configure = network;
        commit(l);
    }
}

/* ---- placements ---- */

/* False: a placement names a document that was never sent. */
static bool has_revisions(const struct uv_agent *a, const struct link_set_chunk *chunk)
{
    for (unsigned i = 0; i < chunk->n_placements; i++) {
        if (ledger_revision(&a->ledger, chunk->placements[i].revision) == NULL) {
            return false;
        }
    }
    return true;
}

/* Into the ledger alone: they come to the journal with the first placement that names them. */
static void take_revisions(struct uv_agent *a, const struct link_set_chunk *chunk)
{
    for (unsigned i = 0; i < chunk->n_revisions; i++) {
        struct journal_record r = {.kind = JOURNAL_REVISION};

        r.u.revision.digest = chunk->revisions[i].digest;
        r.u.revision.container = chunk->revisions[i].container;
        r.u.revision.container_len = chunk->revisions[i].len;
        (void)ledger_apply(&a->ledger, &r, NULL);
    }
}

/* A document that nothing names may be missing in the journal: a snapshot leaves it out. */
static void record_revision(struct uv_agent *a, const uint8_t *digest)
{
    const struct ledger_revision *rev = ledger_revision(&a->ledger, digest);
    struct journal_record r = {.kind = JOURNAL_REVISION};

    assert(rev != NULL);
    if (rev->used > 0) {
        return;
    }
    r.u.revision.digest = rev->digest;
    r.u.revision.container = rev->container;
    r.u.revision.container_len = rev->container_len;
    record(a, &r);
}

static void record_placement(struct uv_agent *a, const struct link_placement *p)
{
    struct journal_record r = {.kind = JOURNAL_PLACEMENT};

    record_revision(a, p->revision);
    r.u.placement = (struct journal_placement){.incarnation = p->incarnation,
                                               .stack = p->stack,
                                               .service = p->service,
                                               .slot = p->slot,
                                               .revision = p->revision,
                                               .stop = p->stop,
                                               .image_digest = p->image_digest};
    record(a, &r);
}

/* How the core shall have it now. */
static void want_of(struct uv_agent *a, uint64_t incarnation, struct node_want *ret)
{
    const struct ledger_placement *p = ledger_find(&a->ledger, incarnation);

    assert(p != NULL);
    uv_agent_unit_want(uv_agent_unit_of(a, p), p->stop, ret);
}

/* ---- whole sets ---- */

void uv_agent_link_stage_drop(struct uv_agent_link *l)
{
    for (unsigned i = 0; i < l->stage.n_chunks; i++) {
        codec_link_free(&l->stage.chunks[i]);
    }
    free(l->stage.chunks);
    l->stage = (struct link_stage){0};
}

void uv_agent_link_set_begin(struct uv_agent_link *l, const struct link_set_begin *s)
{
    uv_agent_link_stage_drop(l);
    if (!position_holds(l, s->position)) {
        return;
    }
    if (s->placements > LEDGER_PLACEMENTS_MAX) {
        uv_agent_link_end(l, LINK_REFUSE_PROTOCOL, "a set of %u placements; this node takes %d",
                          s->placements, LEDGER_PLACEMENTS_MAX);
        return;
    }
    l->stage.open = true;
    l->stage.position = s->position;
    l->stage.placements = s->placements;
}

void uv_agent_link_set_chunk(struct uv_agent_link *l, struct link_message *m, size_t len)
{
    struct link_stage *s = &l->stage;

    s->told += m->u.set_chunk.n_placements;
    s->bytes += len;
    if (!s->open || s->told > s->placements || s->bytes > STAGE_BYTES_MAX) {
        uv_agent_link_end(l, LINK_REFUSE_PROTOCOL, "set_chunk: more than the set's begin has said");
        return;
    }
    if (s->n_chunks == s->cap_chunks) {
        s->cap_chunks = s->cap_chunks > 0 ? 2 * s->cap_chunks : 4;
        s->chunks = xrealloc(s->chunks, s->cap_chunks, sizeof(*s->chunks));
    }
    s->chunks[s->n_chunks++] = *m;
    m->memory = NULL;
}

static bool stage_agrees(struct uv_agent_link *l, struct id128 wanted)
{
    struct id128 sum = {0};

    for (unsigned i = 0; i < l->stage.n_chunks; i++) {
        const struct link_set_chunk *chunk = &l->stage.chunks[i].u.set_chunk;

        take_revisions(l->agent, chunk);
        for (unsigned k = 0; k < chunk->n_placements; k++) {
            const struct link_placement *p = &chunk->placements[k];

            sum = id128_add(sum, linkhash_placement(p->incarnation, p->stack, p->service, p->slot,
                                                    p->revision, p->stop));
        }
    }
    for (unsigned i = 0; i < l->stage.n_chunks; i++) {
        if (!has_revisions(l->agent, &l->stage.chunks[i].u.set_chunk)) {
            return false;
        }
    }
    return l->stage.told == l->stage.placements && id128_equal(sum, wanted);
}

/* The restart budget goes with the set, because a set forgets all placements. */
static void record_budget(struct uv_agent *a, const struct ledger_placement *old)
{
    struct journal_record r;

    if (old->run == 0 || ledger_find(&a->ledger, old->incarnation) == NULL) {
        return;
    }
    ledger_budget(old, &r);
    record(a, &r);
}

static void record_set(struct uv_agent_link *l)
{
    struct uv_agent *a = l->agent;
    unsigned n_old = a->ledger.n_placements;
    auto_free struct ledger_placement *old = xcalloc(n_old + 1, sizeof(*old));
    struct journal_record begin = {.kind = JOURNAL_SET_BEGIN};

    if (n_old > 0) {
        memcpy(old, a->ledger.placements, n_old * sizeof(*old));
    }
    record(a, &begin);
    for (unsigned i = 0; i < l->stage.n_chunks; i++) {
        const struct link_set_chunk *chunk = &l->stage.chunks[i].u.set_chunk;

        for (unsigned k = 0; k < chunk->n_placements; k++) {
            record_placement(a, &chunk->placements[k]);
        }
    }
    for (unsigned i = 0; i < n_old; i++) {
        record_budget(a, &old[i]);
    }
}

void uv_agent_link_set_end(struct uv_agent_link *l, const struct link_set_end *s)
{
    struct uv_agent *a = l->agent;
    struct link_pending *p;

    if (!l->stage.open || !stage_agrees(l, s->assigned)) {
        uv_agent_link_end(l, LINK_REFUSE_PROTOCOL,
                          "the set's end does not agree with what was told");
        return;
    }
    record_set(l);
    (void)record_position(a, l->stage.position);
    p = pending_add(l);
    p->assign = p->whole = true;
    p->position = l->stage.position;
    p->sum = s->assigned;
    p->wants = xcalloc(a->ledger.n_placements + 1, sizeof(*p->wants));
    for (unsigned i = 0; i < a->ledger.n_placements; i++) {
        want_of(a, a->ledger.placements[i].incarnation, &p->wants[p->n_wants++]);
    }
    uv_agent_link_stage_drop(l);
    log_info("the controller's set has %u placements", p->n_wants);
    commit(l);
}

/* ---- increments ---- */

static unsigned count_new(const struct uv_agent *a, const struct link_set_chunk *chunk)
{
    unsigned n = 0;

    for (unsigned i = 0; i < chunk->n_placements; i++) {
        n += ledger_find(&a->ledger, chunk->placements[i].incarnation) == NULL;
    }
    return n;
}

static void take_changed(struct uv_agent *a, const struct link_set_chunk *chunk,
                         struct link_pending *p)
{
    p->wants = xcalloc(chunk->n_placements + 1, sizeof(*p->wants));
    for (unsigned i = 0; i < chunk->n_placements; i++) {
        record_placement(a, &chunk->placements[i]);
        want_of(a, chunk->placements[i].incarnation, &p->wants[p->n_wants++]);
    }
}

static void take_removed(struct uv_agent *a, const struct link_assign *assign,
                         struct link_pending *p)
{
    p->removed = xcalloc(assign->n_removed + 1, sizeof(*p->removed));
    for (unsigned i = 0; i < assign->n_removed; i++) {
        struct journal_record r = {.kind = JOURNAL_REMOVED, .u.removed = assign->removed[i]};

        if (ledger_find(&a->ledger, assign->removed[i]) != NULL) {
            record(a, &r);
            p->removed[p->n_removed++] = assign->removed[i];
        }
    }
}

void uv_agent_link_assign(struct uv_agent_link *l, const struct link_assign *assign)
{
    struct uv_agent *a = l->agent;
    struct link_pending *p;

    uv_agent_link_stage_drop(l); /* a set that was begun anew, or never ended */
    if (!position_holds(l, assign->position)) {
        return;
    }
    take_revisions(a, &assign->changed);
    if (!has_revisions(a, &assign->changed) ||
        a->ledger.n_placements + count_new(a, &assign->changed) > LEDGER_PLACEMENTS_MAX) {
        uv_agent_link_end(l, LINK_REFUSE_PROTOCOL,
                          "a placement without its document, or more than %d of them",
                          LEDGER_PLACEMENTS_MAX);
        return;
    }
    p = pending_add(l);
    p->assign = true;
    p->position = assign->position;
    take_removed(a, assign, p);
    take_changed(a, &assign->changed, p);
    (void)record_position(a, assign->position);
    p->sum = uv_agent_link_assigned(a);
    commit(l);
    if (assign->has_sum && !id128_equal(p->sum, assign->assigned)) {
        uv_agent_link_end(l, LINK_REFUSE_PROTOCOL,
                          "after this increment the sets differ: a whole set is needed");
    }
}
