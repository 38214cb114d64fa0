// SPDX-License-Identifier: Apache-2.0
#include "agent/codec_journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/journal.h"
#include "common/doc.h"
#include "store.pb-c.h"

typedef Wherry__Store__JournalRecord Record;

/* protobuf-c's setters want char *; nothing writes through it. */
static char *text(const char *s)
{
    return (char *)(uintptr_t)(s != NULL ? s : "");
}

static ProtobufCBinaryData bytes_of(const void *data, size_t len)
{
    return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)data};
}

static void put(struct buf *payload, Record *msg)
{
    auto_buf struct buf out = {0};

    doc_encode(&msg->base, &out);
    journal_put(payload, buf_text(&out), out.len);
}

static void put_placement(struct buf *payload, const struct journal_placement *p, Record *msg)
{
    Wherry__Store__AssignedPlacement m = WHERRY__STORE__ASSIGNED_PLACEMENT__INIT;

    m.incarnation = p->incarnation;
    m.stack = text(p->stack);
    m.service = text(p->service);
    m.slot = p->slot;
    m.revision = bytes_of(p->revision, CODEC_JOURNAL_DIGEST);
    m.stop = p->stop;
    m.image_digest = text(p->image_digest);
    msg->what_case = WHERRY__STORE__JOURNAL_RECORD__WHAT_PLACEMENT;
    msg->placement = &m;
    put(payload, msg);
}

static void put_budget(struct buf *payload, const struct journal_budget *b, Record *msg)
{
    Wherry__Store__RestartBudget m = WHERRY__STORE__RESTART_BUDGET__INIT;

    m.incarnation = b->incarnation;
    m.run = b->run;
    m.attempts = b->attempts;
    m.next_boottime_ms = b->next_ms;
    m.done = b->done;
    m.exit_code = b->exit_code;
    m.reason = text(b->reason);
    msg->what_case = WHERRY__STORE__JOURNAL_RECORD__WHAT_BUDGET;
    msg->budget = &m;
    put(payload, msg);
}

static void put_identity(struct buf *payload, const struct journal_record *r, Record *msg)
{
    Wherry__Store__Identity m = WHERRY__STORE__IDENTITY__INIT;

    m.node_id = text(r->u.identity.node_id);
    m.cluster_id = text(r->u.identity.cluster_id);
    msg->what_case = WHERRY__STORE__JOURNAL_RECORD__WHAT_IDENTITY;
    msg->identity = &m;
    put(payload, msg);
}

static void put_position(struct buf *payload, const struct journal_record *r, Record *msg)
{
    Wherry__Store__PositionSeen m = WHERRY__STORE__POSITION_SEEN__INIT;

    m.epoch = r->u.position.epoch;
    m.revision = r->u.position.revision;
    msg->what_case = WHERRY__STORE__JOURNAL_RECORD__WHAT_POSITION;
    msg->position = &m;
    put(payload, msg);
}

static void put_revision(struct buf *payload, const struct journal_record *r, Record *msg)
{
    Wherry__Store__AssignedRevision m = WHERRY__STORE__ASSIGNED_REVISION__INIT;

    m.digest = bytes_of(r->u.revision.digest, CODEC_JOURNAL_DIGEST);
    m.container = bytes_of(r->u.revision.container, r->u.revision.container_len);
    msg->what_case = WHERRY__STORE__JOURNAL_RECORD__WHAT_REVISION;
    msg->revision = &m;
    put(payload, msg);
}

static void put_network(struct buf *payload, const struct journal_record *r, Record *msg)
{
    Wherry__Store__NodeNetwork m = WHERRY__STORE__NODE_NETWORK__INIT;

    m.cluster_range = text(r->u.network.cluster_range);
    m.node_block = text(r->u.network.node_block);
    msg->what_case = WHERRY__STORE__JOURNAL_RECORD__WHAT_NETWORK;
    msg->network = &m;
    put(payload, msg);
}

void codec_journal_put(struct buf *payload, const struct journal_record *r)
{
    Record msg = WHERRY__STORE__JOURNAL_RECORD__INIT;

    switch (r->kind) {
    case JOURNAL_IDENTITY:
        put_identity(payload, r, &msg);
        return;
    case JOURNAL_POSITION:
        put_position(payload, r, &msg);
        return;
    case JOURNAL_REVISION:
        put_revision(payload, r, &msg);
        return;
    case JOURNAL_PLACEMENT:
        put_placement(payload, &r->u.placement, &msg);
        return;
    case JOURNAL_REMOVED:
        msg.what_case = WHERRY__STORE__JOURNAL_RECORD__WHAT_REMOVED;
        msg.removed = r->u.removed;
        put(payload, &msg);
        return;
    case JOURNAL_SET_BEGIN:
        msg.what_case = WHERRY__STORE__JOURNAL_RECORD__WHAT_SET_BEGIN;
        msg.set_begin = true;
        put(payload, &msg);
        return;
    case JOURNAL_BUDGET:
        put_budget(payload, &r->u.budget, &msg);
        return;
    case JOURNAL_NETWORK:
        put_network(payload, r, &msg);
        return;
    }
}

static int need(bool ok, struct err *e, const char *what)
{
    return ok ? 0 : err_say(e, EBADMSG, "%s", what);
}

static int from_revision(const Wherry__Store__AssignedRevision *m, struct journal_record *r,
                         struct err *e)
{
    r->kind = JOURNAL_REVISION;
    r->u.revision.digest = m->digest.data;
    r->u.revision.container = m->container.data;
    r->u.revision.container_len = m->container.len;
    return need(m->digest.len == CODEC_JOURNAL_DIGEST && m->container.len <= DOC_SPEC_MAX, e,
                "a revision's digest or length is wrong");
}

static int from_placement(const Wherry__Store__AssignedPlacement *m, struct journal_record *r,
                          struct err *e)
{
    r->kind = JOURNAL_PLACEMENT;
    r->u.placement = (struct journal_placement){
        .incarnation = m->incarnation,
        .stack = m->stack,
        .service = m->service,
        .slot = m->slot,
        .revision = m->revision.data,
        .stop = m->stop,
        .image_digest = m->image_digest,
    };
    return need(m->incarnation > 0 && m->revision.len == CODEC_JOURNAL_DIGEST &&
                    name_is_valid(m->stack) && name_is_valid(m->service),
                e, "a placement is not complete");
}

static void from_budget(const Wherry__Store__RestartBudget *m, struct journal_record *r)
{
    r->kind = JOURNAL_BUDGET;
    r->u.budget = (struct journal_budget){
        .incarnation = m->incarnation,
        .run = m->run,
        .attempts = m->attempts,
        .next_ms = m->next_boottime_ms,
        .done = m->done,
        .exit_code = m->exit_code,
        .reason = m->reason,
    };
}

static int from_msg(const Record *m, struct journal_record *r, struct err *e)
{
    switch (m->what_case) {
    case WHERRY__STORE__JOURNAL_RECORD__WHAT_IDENTITY:
        r->kind = JOURNAL_IDENTITY;
        r->u.identity.node_id = m->identity->node_id;
        r->u.identity.cluster_id = m->identity->cluster_id;
        return 0;
    case WHERRY__STORE__JOURNAL_RECORD__WHAT_POSITION:
        r->kind = JOURNAL_POSITION;
        r->u.position.epoch = m->position->epoch;
        r->u.position.revision = m->position->revision;
        return 0;
    case WHERRY__STORE__JOURNAL_RECORD__WHAT_REVISION:
        return from_revision(m->revision, r, e);
    case WHERRY__STORE__JOURNAL_RECORD__WHAT_PLACEMENT:
        return from_placement(m->placement, r, e);
    case WHERRY__STORE__JOURNAL_RECORD__WHAT_REMOVED:
        r->kind = JOURNAL_REMOVED;
        r->u.removed = m->removed;
        return 0;
    case WHERRY__STORE__JOURNAL_RECORD__WHAT_SET_BEGIN:
        r->kind = JOURNAL_SET_BEGIN;
        return 0;
    case WHERRY__STORE__JOURNAL_RECORD__WHAT_BUDGET:
        from_budget(m->budget, r);
        return 0;
    case WHERRY__STORE__JOURNAL_RECORD__WHAT_NETWORK:
        r->kind = JOURNAL_NETWORK;
        r->u.network.cluster_range = m->network->cluster_range;
        r->u.network.node_block = m->network->node_block;
        return 0;
    case WHERRY__STORE__JOURNAL_RECORD__WHAT_RANGE:
    case WHERRY__STORE__JOURNAL_RECORD__WHAT__NOT_SET:
    case _WHERRY__STORE__JOURNAL_RECORD__WHAT__CASE_IS_INT_SIZE:
        break;
    }
    return err_say(e, EBADMSG, "a record of a kind that this version does not know");
}

int codec_journal_decode(const void *bytes, size_t len, struct journal_record *ret_record,
                         struct err *e)
{
    struct journal_record r = {0};
    struct doc *doc = xcalloc(1, sizeof(*doc));
    int rc = doc_decode(&wherry__store__journal_record__descriptor, bytes, len, &doc_limits_default,
                        doc, e);

    r.memory = doc;
    if (rc == 0) {
        rc = from_msg((const Record *)doc->message, &r, e);
    }
    if (rc < 0) {
        codec_journal_free(&r);
        return rc;
    }
    *ret_record = r;
    return 0;
}

void codec_journal_free(struct journal_record *r)
{
    struct doc *doc = r->memory;

    if (doc != NULL) {
        doc_free(doc);
        free(doc);
    }
    r->memory = NULL;
}
