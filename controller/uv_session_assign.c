// SPDX-License-Identifier: Apache-2.0
/* What a node is told of its assignments. A session knows up to which revision its node has been
 * told everything, and the incarnations that changed since; what is said of them is read from the
 * fleet when the frame is made.
 *
 * Only what is durable is said. A whole set waits until all of it is; should the set change while
 * it is being told, it begins anew (the agent drops the half). An increment says what is durable
 * and leaves the rest to the next, which comes with that revision's SEND; only an increment after
 * which nothing is left states the sum. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "controller/uv_session_priv.h"

#define FRAME_ITEMS 1024u

/* ---- lists ---- */

static void list_add(struct session_list *l, uint64_t id)
{
    if (l->n == l->cap) {
        l->cap = l->cap > 0 ? 2 * l->cap : 16;
        l->ids = xrealloc(l->ids, l->cap, sizeof(*l->ids));
    }
    l->ids[l->n++] = id;
}

static bool list_has(const struct session_list *l)
{
    return l->at < l->n;
}

void uv_session_list_finish(struct session_list *l)
{
    free(l->ids);
    *l = (struct session_list){0};
}

/* ---- revisions it has ---- */

static unsigned digest_place(const struct session *se, const uint8_t *digest)
{
    unsigned low = 0, high = se->n_digests;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (memcmp(se->digests[mid], digest, FLEET_DIGEST) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static bool digest_sent(const struct session *se, const uint8_t *digest)
{
    unsigned i = digest_place(se, digest);

    return i < se->n_digests && memcmp(se->digests[i], digest, FLEET_DIGEST) == 0;
}

static void digest_add(struct session *se, const uint8_t *digest)
{
    unsigned i = digest_place(se, digest);

    if (se->n_digests == se->cap_digests) {
        se->cap_digests = se->cap_digests > 0 ? 2 * se->cap_digests : 8;
        se->digests = xrealloc(se->digests, se->cap_digests, sizeof(*se->digests));
    }
    memmove(se->digests[i + 1], se->digests[i], (se->n_digests - i) * sizeof(*se->digests));
    memcpy(se->digests[i], digest, FLEET_DIGEST);
    se->n_digests++;
}

/* ---- what is durable ---- */

struct look {
    struct session *se;
    uint64_t durable;
    unsigned late; /* changes that are not durable yet */
};

static void look_changed(void *arg, const struct fleet_placement_view *p)
{
    struct look *look = arg;

    (void)p; /* the caller asks for what is later than `durable` */
    look->late++;
}

static void look_removed(void *arg, uint64_t incarnation, uint64_t revision)
{
    struct look *look = arg;

    (void)incarnation;
    look->late += revision > look->durable;
}

static bool all_durable(const struct fleet *f, const struct fleet_node_view *node)
{
    uint64_t durable = fleet_durable(f);
    struct look look = {.durable = durable};
    uint64_t since = durable > node->removed_since ? durable : node->removed_since;

    if (durable < fleet_revision(f)) {
        fleet_node_each(f, node->id, durable, look_changed, &look);
        fleet_node_removed(f, node->id, since, look_removed, &look);
    }
    return look.late == 0;
}

/* ---- filling a frame ---- */

struct fill {
    struct session *se;
    const struct fleet *fleet;
    struct link_revision revisions[FRAME_ITEMS];
    struct link_placement placements[FRAME_ITEMS];
    uint64_t removed[FRAME_ITEMS];
    unsigned n_revisions, n_placements, n_removed;
    size_t size;
};

static bool fill_has_room(const struct fill *fill, size_t more)
{
    return fill->n_placements < FRAME_ITEMS && fill->n_revisions < FRAME_ITEMS &&
           (fill->size == 0 || fill->size + more <= LINK_FRAME_AIM);
}

/* The document goes along when this session has not sent it. False: the frame is full. */
static bool fill_placement(struct fill *fill, const struct fleet_placement_view *p)
{
    const struct uv_sessions_config *config = &fill->se->owner->config;
    struct link_placement to = {.incarnation = p->incarnation,
                                .stack = p->stack,
                                .service = p->service,
                                .slot = p->slot,
                                .revision = p->revision,
                                .stop = p->stop,
                                .image_digest = p->image_digest};
    struct link_revision revision = {.digest = p->revision};
    size_t size = codec_link_size_placement(&to);

    if (!digest_sent(fill->se, p->revision)) {
        revision.container = config->revision(config->arg, p->revision, &revision.len);
        size += revision.container != NULL ? codec_link_size_revision(&revision) : 0;
    }
    if (!fill_has_room(fill, size)) {
        return false;
    }
    if (revision.container != NULL) {
        fill->revisions[fill->n_revisions++] = revision;
        digest_add(fill->se, p->revision);
    }
    fill->placements[fill->n_placements++] = to;
    fill->size += size;
    return true;
}

/* Takes from the list of changes what is there, is this node's and is durable. */
static void fill_changed(struct fill *fill)
{
    struct session_list *l = &fill->se->changed;
    struct fleet_placement_view p;

    for (; list_has(l); l->at++) {
        if (!fleet_placement_find(fill->fleet, l->ids[l->at], &p) ||
            !id128_equal(p.node_id, fill->se->node_id) ||
            p.mod_revision > fleet_durable(fill->fleet)) {
            continue;
        }
        if (!fill_placement(fill, &p)) {
            return;
        }
    }
}

static void fill_removed(struct fill *fill)
{
    struct session_list *l = &fill->se->removed;

    while (list_has(l) && fill->n_removed < FRAME_ITEMS && fill->size + 10 <= LINK_FRAME_AIM) {
        fill->removed[fill->n_removed++] = l->ids[l->at++];
        fill->size += 10;
    }
}

static struct link_set_chunk chunk_of(const struct fill *fill)
{
    return (struct link_set_chunk){.revisions = fill->revisions,
                                   .n_revisions = fill->n_revisions,
                                   .placements = fill->placements,
                                   .n_placements = fill->n_placements};
}

static struct fill *fill_create(struct session *se, const struct fleet *f)
{
    struct fill *fill = xcalloc(1, sizeof(*fill));

    fill->se = se;
    fill->fleet = f;
    return fill;
}

static struct link_position position_of(const struct session *se, const struct fleet *f)
{
    return (struct link_position){.epoch = fleet_epoch(f), .revision = se->target};
}

static void lists_clear(struct session *se)
{
    uv_session_list_finish(&se->changed);
    uv_session_list_finish(&se->removed);
}

/* ---- a whole set ---- */

static void collect_changed(void *arg, const struct fleet_placement_view *p)
{
    struct look *look = arg;

    if (p->mod_revision <= look->durable) {
        list_add(&look->se->changed, p->incarnation);
    }
}

static bool set_begin(struct session *se, const struct fleet *f, const struct fleet_node_view *node)
{
    struct look look = {.se = se, .durable = fleet_durable(f)};
    struct link_message m = {.kind = LINK_SET_BEGIN};

    if (!all_durable(f, node)) {
        return false; /* a SEND comes when it is */
    }
    lists_clear(se);
    se->n_digests = 0;
    fleet_node_each(f, se->node_id, 0, collect_changed, &look);
    se->in_set = true;
    se->set_sum = node->assigned_sum;
    se->target = look.durable;
    m.u.set_begin.position = position_of(se, f);
    m.u.set_begin.placements = se->changed.n;
    uv_session_write(se, &m);
    return true;
}

static void set_chunk(struct session *se, const struct fleet *f)
{
    struct link_message m = {.kind = LINK_SET_CHUNK};
    struct fill *fill = fill_create(se, f);

    fill_changed(fill);
    m.u.set_chunk = chunk_of(fill);
    uv_session_write(se, &m);
    free(fill);
}

static void set_end(struct session *se)
{
    struct link_message m = {.kind = LINK_SET_END};

    m.u.set_end.assigned = se->set_sum;
    lists_clear(se);
    se->in_set = se->set_due = false;
    se->told = se->target;
    se->holds = se->set_sum;
    se->holds_known = true;
    uv_session_write(se, &m);
}

static bool set_next(struct session *se, const struct fleet *f, const struct fleet_node_view *node)
{
    if (se->in_set && !id128_equal(se->set_sum, node->assigned_sum)) {
        se->in_set = false; /* it has changed under way */
    }
    if (!se->in_set) {
        return set_begin(se, f, node);
    }
    if (list_has(&se->changed)) {
        set_chunk(se, f);
    } else {
        set_end(se);
    }
    return true;
}

/* ---- increments ---- */

static void collect_removed(void *arg, uint64_t incarnation, uint64_t revision)
{
    struct look *look = arg;

    if (revision <= look->durable) {
        list_add(&look->se->removed, incarnation);
    }
}

/* Returns whether there is something to tell. */
static bool collect(struct session *se, const struct fleet *f, const struct fleet_node_view *node)
{
    struct look look = {.se = se, .durable = fleet_durable(f)};

    lists_clear(se);
    se->target = look.durable;
    if (se->holds_known && id128_equal(se->holds, node->assigned_sum) && all_durable(f, node)) {
        se->told = look.durable;
        return false; /* equal sums: nothing is sent */
    }
    fleet_node_each(f, se->node_id, se->told, collect_changed, &look);
    fleet_node_removed(f, se->node_id, se->told, collect_removed, &look);
    if (!list_has(&se->changed) && !list_has(&se->removed)) {
        se->told = look.durable;
        return false;
    }
    return true;
}

static void increment(struct session *se, const struct fleet *f, const struct fleet_node_view *node)
{
    struct link_message m = {.kind = LINK_ASSIGN};
    struct fill *fill = fill_create(se, f);
    bool last;

    fill_removed(fill);
    fill_changed(fill);
    last = !list_has(&se->changed) && !list_has(&se->removed);
    m.u.assign.position = position_of(se, f);
    m.u.assign.changed = chunk_of(fill);
    m.u.assign.removed = fill->removed;
    m.u.assign.n_removed = fill->n_removed;
    m.u.assign.has_sum = last && all_durable(f, node);
    m.u.assign.assigned = node->assigned_sum;
    se->holds = node->assigned_sum;
    se->holds_known = m.u.assign.has_sum;
    if (last) {
        lists_clear(se);
        se->told = se->target;
    }
    uv_session_write(se, &m);
    free(fill);
}

/* What was removed since `told` is not known any more: unless the node has just what it should, it
 * takes a whole set. */
static void settle_old(struct session *se, const struct fleet *f,
                       const struct fleet_node_view *node)
{
    if (se->holds_known && id128_equal(se->holds, node->assigned_sum)) {
        se->told = fleet_revision(f);
    } else {
        se->set_due = true;
    }
}

bool uv_session_assign(struct session *se, const struct fleet *f)
{
    struct fleet_node_view node;
    int at = f != NULL ? fleet_node_find(f, se->node_id) : -1;

    if (at < 0 || !(se->send_due || se->in_set) || !fleet_node_at(f, (unsigned)at, &node)) {
        return false;
    }
    if (!se->in_set && se->told < node.removed_since) {
        settle_old(se, f, &node);
    }
    if (se->set_due) {
        return set_next(se, f, &node);
    }
    if (!list_has(&se->changed) && !list_has(&se->removed) && !collect(se, f, &node)) {
        se->send_due = false;
        return false;
    }
    increment(se, f, &node);
    return true;
}
