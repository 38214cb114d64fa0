// SPDX-License-Identifier: Apache-2.0
/* What the executor remembers of each container: units and their attempts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/codec_image.h"
#include "agent/uv_agent_priv.h"
#include "common/log.h"

struct unit *uv_agent_unit(struct uv_agent *a, uint64_t incarnation)
{
    struct unit *u = a->units;

    while (u != NULL && u->incarnation != incarnation) {
        u = u->next;
    }
    return u;
}

static struct unit *add(struct uv_agent *a, uint64_t incarnation)
{
    struct unit *u = xcalloc(1, sizeof(*u));

    u->agent = a;
    u->incarnation = incarnation;
    (void)snprintf(u->name, sizeof(u->name), "%llx", (unsigned long long)incarnation);
    u->next = a->units;
    a->units = u;
    return u;
}

struct unit *uv_agent_unit_stray(struct uv_agent *a, uint64_t incarnation)
{
    struct unit *u = uv_agent_unit(a, incarnation);

    return u != NULL ? u : add(a, incarnation);
}

static void read_order(struct unit *u, const struct ledger_placement *p)
{
    const struct ledger_revision *rev = ledger_revision(&u->agent->ledger, p->revision);
    struct err e = {0};

    if (u->order != NULL || u->damage != NULL) {
        return;
    }
    if (order_decode(rev->container, rev->container_len, &u->order, &e) < 0) {
        u->damage = xasprintf("its document cannot be read: %s", e.text);
        log_error("%s/%s.%u: %s", p->stack, p->service, (unsigned)p->slot, u->damage);
    }
}

struct unit *uv_agent_unit_of(struct uv_agent *a, const struct ledger_placement *p)
{
    struct unit *u = uv_agent_unit_stray(a, p->incarnation);

    read_order(u, p);
    (void)snprintf(u->stack, sizeof(u->stack), "%s", p->stack);
    (void)snprintf(u->service, sizeof(u->service), "%s", p->service);
    u->slot = p->slot;
    if (p->slot > 0) {
        (void)snprintf(u->name, sizeof(u->name), "%s/%s.%u", p->stack, p->service,
                       (unsigned)p->slot);
    } else {
        (void)snprintf(u->name, sizeof(u->name), "%s/%s", p->stack, p->service);
    }
    memcpy(u->revision, p->revision, sizeof(u->revision));
    (void)snprintf(u->image_digest, sizeof(u->image_digest), "%s", p->image_digest);
    return u;
}

void uv_agent_unit_want(const struct unit *u, bool stop, struct node_want *ret)
{
    if (u->order != NULL) {
        order_want(u->order, u->incarnation, stop, ret);
    } else {
        *ret = (struct node_want){
            .incarnation = u->incarnation, .stop = stop, .stop_grace_ms = ORDER_GRACE_DEFAULT_MS};
    }
}

struct attempt *uv_agent_attempt(struct uv_agent *a, struct node_of of)
{
    struct unit *u = uv_agent_unit(a, of.incarnation);
    struct attempt *at = u != NULL ? u->attempts : NULL;

    while (at != NULL && at->of.run != of.run) {
        at = at->next;
    }
    return at;
}

struct attempt *uv_agent_attempt_add(struct unit *u, struct node_of of)
{
    struct attempt *at = xcalloc(1, sizeof(*at));

    at->unit = u;
    at->of = of;
    at->next = u->attempts;
    u->attempts = at;
    return at;
}

void uv_agent_attempt_free(struct attempt *at)
{
    struct attempt **p = &at->unit->attempts;

    while (*p != at) {
        p = &(*p)->next;
    }
    *p = at->next;
    for (unsigned i = 0; i < UV_AGENT_MOUNTS_MAX; i++) {
        free(at->sources[i]);
    }
    if (at->image != NULL) {
        image_finish(at->image);
        free(at->image);
    }
    free(at);
}

/* Frees the unit with what is left of its attempts (only when the agent lets go of everything). */
void uv_agent_unit_drop(struct uv_agent *a, uint64_t incarnation)
{
    struct unit **p = &a->units;
    struct unit *u;

    while (*p != NULL && (*p)->incarnation != incarnation) {
        p = &(*p)->next;
    }
    u = *p;
    if (u == NULL) {
        return;
    }
    *p = u->next;
    while (u->attempts != NULL) {
        if (u->attempts->run != NULL) {
            uv_engine_forget(u->attempts->run);
        }
        uv_agent_attempt_free(u->attempts);
    }
    order_unref(u->order);
    free(u->damage);
    free(u);
}
