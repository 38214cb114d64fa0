// SPDX-License-Identifier: Apache-2.0
/* Placements that are made on this node, for `wherry-agent run`. As with a controller's, each
 * change is durable before the core hears of it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/uv_agent_priv.h"
#include "common/failpoint.h"

/* One change that waits for the journal. */
struct change {
    struct change *next;
    struct uv_agent *agent;
    uint64_t incarnation;
    bool removed;
};

static void forget(struct change *c)
{
    struct change **at = &c->agent->changes;

    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    free(c);
}

void uv_agent_local_drop(struct uv_agent *a)
{
    while (a->changes != NULL) {
        forget(a->changes);
    }
}

/* In the loop's next turn the core hears how it is wanted now. */
static void on_durable(void *arg)
{
    struct change *c = arg;
    struct uv_agent *a = c->agent;
    const struct ledger_placement *p = ledger_find(&a->ledger, c->incarnation);
    const struct unit *u = uv_agent_unit(a, c->incarnation);
    struct node_want *want;
    uint64_t *gone;

    FAILPOINT("agent.local.after_commit");
    if (c->removed) {
        gone = xcalloc(1, sizeof(*gone));
        *gone = c->incarnation;
        uv_agent_queue_assign(a, NULL, 0, gone, 1, false);
    } else if (p != NULL && u != NULL) {
        want = xcalloc(1, sizeof(*want));
        uv_agent_unit_want(u, p->stop, want);
        uv_agent_queue_assign(a, want, 1, NULL, 0, false);
    }
    forget(c);
}

static void commit(struct uv_agent *a, uint64_t incarnation, bool removed)
{
    struct change *c = xcalloc(1, sizeof(*c));

    *c = (struct change){
        .next = a->changes, .agent = a, .incarnation = incarnation, .removed = removed};
    a->changes = c;
    FAILPOINT("agent.local.before_commit");
    uv_journal_commit(a->journal, on_durable, c);
}

#define NETWORK_RANGE  "10.128.0.0/9" /* as a cluster's, if nothing else was asked for */
#define NETWORK_BLOCKS 1024u          /* the last blocks of it, which clusters use last */

/* No controller gives this node a block of addresses: one by its state directory, so that agents
 * beside each other hardly ever have the same. A controller's word replaces it. */
int uv_agent_local_network(struct uv_agent *a, struct err *e)
{
    struct journal_record record = {.kind = JOURNAL_NETWORK};
    struct id128 hash = id128_hash(a->dirs.state_path, strlen(a->dirs.state_path));
    uint32_t block = 0x0affffffu - (uint32_t)(hash.lo % NETWORK_BLOCKS) * 1024;
    char text[32];

    if (a->options.controller != NULL || a->ledger.node_block[0] != '\0') {
        return 0;
    }
    block &= ~1023u;
    (void)snprintf(text, sizeof(text), "%u.%u.%u.0/22", block >> 24, (block >> 16) & 255,
                   (block >> 8) & 255);
    record.u.network.cluster_range = NETWORK_RANGE;
    record.u.network.node_block = text;
    if (uv_agent_record(a, &record, e) < 0) {
        return e->code;
    }
    uv_journal_commit(a->journal, NULL, NULL);
    return 0;
}

static const struct ledger_placement *find_name(const struct uv_agent *a, const char *name)
{
    for (unsigned i = 0; i < a->ledger.n_placements; i++) {
        const struct ledger_placement *p = &a->ledger.placements[i];

        if (strcmp(p->stack, UV_AGENT_LOCAL) == 0 && strcmp(p->service, name) == 0) {
            return p;
        }
    }
    return NULL;
}

/* Grows with the clock, so that a removed one is not met again. */
static uint64_t fresh_incarnation(const struct uv_agent *a)
{
    uint64_t incarnation = uv_agent_unix_ms();

    for (const struct unit *u = a->units; u != NULL; u = u->next) {
        incarnation = u->incarnation >= incarnation ? u->incarnation + 1 : incarnation;
    }
    return incarnation;
}

static int record_all(struct uv_agent *a, const char *name, const struct order *order,
                      const void *container, size_t len, uint64_t incarnation, struct err *e)
{
    uint8_t digest[ORDER_DIGEST];
    struct journal_record revision = {.kind = JOURNAL_REVISION};
    struct journal_record placement = {.kind = JOURNAL_PLACEMENT};

    order_digest(order, digest);
    revision.u.revision.digest = digest;
    revision.u.revision.container = container;
    revision.u.revision.container_len = len;
    placement.u.placement = (struct journal_placement){.incarnation = incarnation,
                                                       .stack = UV_AGENT_LOCAL,
                                                       .service = name,
                                                       .revision = digest,
                                                       .image_digest = ""};
    if (uv_agent_record(a, &revision, e) < 0) {
        return e->code;
    }
    return uv_agent_record(a, &placement, e);
}

int uv_agent_add(struct uv_agent *a, const char *name, const void *container, size_t len,
                 uint64_t *ret_incarnation, struct err *e)
{
    uint64_t incarnation = fresh_incarnation(a);
    struct order *order = NULL;
    int rc;

    if (!name_is_valid(name)) {
        return err_say(e, EINVAL, "name '%.80s': allowed is %s", name, name_rule);
    }
    if (find_name(a, name) != NULL) {
        return err_say(e, EEXIST, "the name '%s' is in use by a container that is still here",
                       name);
    }
    rc = order_decode(container, len, &order, e);
    if (rc == 0) {
        rc = record_all(a, name, order, container, len, incarnation, e);
        order_unref(order);
    }
    if (rc < 0) {
        return rc;
    }
    (void)uv_agent_unit_of(a, ledger_find(&a->ledger, incarnation));
    commit(a, incarnation, false);
    *ret_incarnation = incarnation;
    return 0;
}

int uv_agent_stop(struct uv_agent *a, uint64_t incarnation, struct err *e)
{
    const struct ledger_placement *found = ledger_find(&a->ledger, incarnation);
    struct journal_record record = {.kind = JOURNAL_PLACEMENT};
    struct ledger_placement p; /* a copy: the record must not borrow from what it changes */

    if (found == NULL) {
        return err_say(e, ENOENT, "nothing of the incarnation %llx is assigned",
                       (unsigned long long)incarnation);
    }
    p = *found;
    record.u.placement = (struct journal_placement){.incarnation = incarnation,
                                                    .stack = p.stack,
                                                    .service = p.service,
                                                    .slot = p.slot,
                                                    .revision = p.revision,
                                                    .stop = true,
                                                    .image_digest = p.image_digest};
    if (uv_agent_record(a, &record, e) < 0) {
        return e->code;
    }
    commit(a, incarnation, false);
    return 0;
}

int uv_agent_remove(struct uv_agent *a, uint64_t incarnation, struct err *e)
{
    struct journal_record record = {.kind = JOURNAL_REMOVED, .u.removed = incarnation};

    if (uv_agent_record(a, &record, e) < 0) {
        return e->code;
    }
    commit(a, incarnation, true);
    return 0;
}

uint64_t uv_agent_assigned(const struct uv_agent *a, unsigned i)
{
    return i < a->ledger.n_placements ? a->ledger.placements[i].incarnation : 0;
}

const char *uv_agent_name(const struct uv_agent *a, uint64_t incarnation)
{
    const struct ledger_placement *p = ledger_find(&a->ledger, incarnation);

    return p != NULL ? p->service : "";
}
