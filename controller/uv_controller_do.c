// SPDX-License-Identifier: Apache-2.0
/* What the fleet wants besides storing, once it is durable: in order. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/failpoint.h"
#include "common/log.h"
#include "controller/uv_controller_priv.h"

static void do_del_volume(struct uv_controller *c, struct fleet_action *a)
{
    struct err e = {0};

    if (uv_sessions_forget_volume(c->sessions, a->node_id, ++c->forget_request, a->name, &e) < 0) {
        log_warn("volume %s is forgotten, its data stays on its node: %s", a->name, e.text);
    }
}

static void do_welcome(struct uv_controller *c, struct fleet_action *a)
{
    uv_sessions_welcome(c->sessions, a->node_id, a->report_all);
}

static void do_refuse(struct uv_controller *c, struct fleet_action *a)
{
    static const enum link_refusal codes[] = {[FLEET_REFUSE_NAME] = LINK_REFUSE_NAME,
                                              [FLEET_REFUSE_STALE] = LINK_REFUSE_STALE,
                                              [FLEET_REFUSE_FULL] = LINK_REFUSE_BUSY,
                                              [FLEET_REFUSE_LOST] = LINK_REFUSE_BUSY};

    assert((size_t)a->refusal < ARRAY_LEN(codes));
    log_warn("a node is refused: %s", a->text);
    uv_sessions_refuse(c->sessions, a->node_id, codes[a->refusal], a->text);
}

static void do_send(struct uv_controller *c, struct fleet_action *a)
{
    uv_sessions_send(c->sessions, a->node_id, a->revision, a->whole);
}

/* Once for all that comes in this turn of the loop. */
static void do_service(struct uv_controller *c, struct fleet_action *a)
{
    struct uv_controller_name *name;

    if (c->n_stale == c->cap_stale) {
        c->cap_stale = c->cap_stale == 0 ? 64 : 2 * c->cap_stale;
        c->stale = xrealloc(c->stale, c->cap_stale, sizeof(*c->stale));
    }
    name = &c->stale[c->n_stale++];
    memcpy(name->stack, a->stack, sizeof(name->stack));
    memcpy(name->service, a->service, sizeof(name->service));
}

static void do_reply(struct uv_controller *c, struct fleet_action *a)
{
    FAILPOINT("controller.reply.before_send");
    uv_api_reply(c->api, a);
    FAILPOINT("controller.reply.after_send");
}

static void do_event(struct uv_controller *c, struct fleet_action *a)
{
    log_info("%s%s%s%s%s%s%s: %s", fleet_happening_name(a->happened), a->stack[0] ? " " : "",
             a->stack, a->service[0] ? "/" : "", a->service, a->name[0] ? " on " : "", a->name,
             a->text != NULL ? a->text : "");
    uv_api_event(c->api, ring_add(c->ring, a));
}

/* The rest of what is held belongs to the fleet that is dropped here. */
static void do_raise_epoch(struct uv_controller *c, struct fleet_action *a)
{
    uint64_t seen = a->number64;

    if (!uv_controller_load_may_raise(c, seen)) {
        log_error("an agent says it has seen epoch %llu, this controller is at %llu: not believed",
                  (unsigned long long)seen, (unsigned long long)c->cluster.epoch);
        return;
    }
    log_warn("an agent has seen epoch %llu: this controller raises its own (%llu) above it",
             (unsigned long long)seen, (unsigned long long)c->cluster.epoch);
    uv_controller_drop(c, "the controller raises its epoch");
    uv_controller_load_raise(c, seen);
}

typedef void (*doer)(struct uv_controller *c, struct fleet_action *a);

static const doer doers[] = {
    [FLEET_DEL_VOLUME] = do_del_volume, [FLEET_WELCOME] = do_welcome,
    [FLEET_REFUSE] = do_refuse,         [FLEET_SEND] = do_send,
    [FLEET_REPLY] = do_reply,           [FLEET_EVENT] = do_event,
    [FLEET_SERVICE] = do_service,       [FLEET_RAISE_EPOCH] = do_raise_epoch,
};

/* An action leaves the list before it is done: what it does may drop the list. */
void uv_controller_do(struct uv_controller *c)
{
    while (c->held_at < c->held.n && c->held.list[c->held_at].revision <= c->durable) {
        struct fleet_action *from = &c->held.list[c->held_at++];
        struct fleet_action a = *from;

        from->text = NULL;
        from->lines = NULL;
        assert((size_t)a.type < ARRAY_LEN(doers) && doers[a.type] != NULL);
        doers[a.type](c, &a);
        free(a.text);
        free(a.lines);
    }
    if (c->held_at == c->held.n) {
        c->held.n = c->held_at = 0;
    }
}

/* ---- the service table ---- */

static int name_order(const void *a, const void *b)
{
    const struct uv_controller_name *x = a, *y = b;
    int by_stack = strcmp(x->stack, y->stack);

    return by_stack != 0 ? by_stack : strcmp(x->service, y->service);
}

static bool renew(struct uv_controller *c, const struct uv_controller_name *name)
{
    auto_free struct svc_entry *entry = fleet_svc_entry(c->fleet, name->stack, name->service);

    return entry != NULL ? svctable_put(c->services, entry)
                         : svctable_remove(c->services, name->stack, name->service);
}

void uv_controller_do_services(struct uv_controller *c)
{
    bool complete = c->services_complete || (c->fleet != NULL && fleet_heard_all(c->fleet));
    bool changed = complete != c->services_complete;

    if (c->fleet == NULL) {
        return;
    }
    if (c->n_stale > 1) {
        qsort(c->stale, c->n_stale, sizeof(*c->stale), name_order);
    }
    for (unsigned i = 0; i < c->n_stale; i++) {
        if (i == 0 || name_order(&c->stale[i - 1], &c->stale[i]) != 0) {
            changed |= renew(c, &c->stale[i]);
        }
    }
    c->n_stale = 0;
    c->services_complete = complete;
    if (changed) {
        uv_sessions_services(c->sessions);
    }
}

/* ---- routes ---- */

static struct id128 routes_hash(const struct fleet *f)
{
    auto_buf struct buf text = {0};
    struct fleet_node_view v;

    for (unsigned i = 0; fleet_node_at(f, i, &v); i++) {
        if (v.has_facts && v.state != FLEET_NODE_STATE_LOST) {
            buf_append(&text, &v.id, sizeof(v.id));
            buf_append(&text, v.facts.wireguard_key, sizeof(v.facts.wireguard_key));
            buf_printf(&text, "%u %s %s\n", v.block, v.name, v.facts.underlay);
        }
    }
    return id128_hash(buf_text(&text), text.len);
}

void uv_controller_do_routes(struct uv_controller *c)
{
    struct id128 now;

    if (!c->routes_dirty || c->routes_revision > c->durable) {
        return;
    }
    c->routes_dirty = false;
    now = routes_hash(c->fleet);
    if (!id128_equal(now, c->routes)) {
        c->routes = now;
        uv_sessions_routes(c->sessions);
    }
}
