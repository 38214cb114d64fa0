// SPDX-License-Identifier: Apache-2.0
/* Slots with their containers, and those that are being drained, are unreachable or orphaned. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/api/codec_api_priv.h"
#include "spec.pb-c.h"

struct entry {
    Wherry__Api__Container *m;
    const char *controls; /* as applied, a line each; NULL: not said */
};

struct list {
    struct codec_api_pool *pool;
    const struct api_world *w;
    struct entry *items;
    size_t n, cap;
    unsigned stack, service;
    const struct fleet_service_view *v;
};

static Wherry__Api__Container *add(struct list *l, uint32_t slot)
{
    Wherry__Api__Container *m = codec_api_alloc(l->pool, 1, sizeof(*m));

    if (l->n == l->cap) {
        l->cap = l->cap == 0 ? 64 : 2 * l->cap;
        l->items = xrealloc(l->items, l->cap, sizeof(*l->items));
    }
    l->items[l->n++] = (struct entry){.m = m};
    wherry__api__container__init(m);
    m->stack = codec_api_borrow(l->v->stack);
    m->service = codec_api_borrow(l->v->service);
    m->slot = slot;
    m->name = codec_api_text(l->pool, "%s/%s.%u", l->v->stack, l->v->service, slot);
    return m;
}

/* The index of a slot; -1: there is none, or another container is its own. */
static int slot_of(const struct list *l, const struct fleet_placement_view *p)
{
    struct fleet_slot_view slot;
    unsigned low = 0, high = l->v->n_slots;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        (void)fleet_slot_at(l->w->fleet, l->stack, l->service, mid, &slot);
        if (slot.number < p->slot) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return fleet_slot_at(l->w->fleet, l->stack, l->service, low, &slot) &&
                   slot.incarnation == p->incarnation
               ? (int)low
               : -1;
}

static void observed_to(struct list *l, const struct fleet_observation *o,
                        Wherry__Api__Container *m)
{
    m->health = codec_api_borrow(fleet_health_name(o->health));
    m->restarts = o->restarts;
    m->started_unix_ms = o->started_unix_ms;
    m->ended_unix_ms = o->ended_unix_ms;
    m->run = o->run;
    m->pid = o->pid;
    m->exit_known = o->exit_known;
    m->exit_code = o->exit_code;
    m->exit_signal = o->exit_signal;
    m->oom_killed = o->oom_killed;
    m->address = codec_api_alloc(l->pool, 1, IPRANGE_TEXT);
    iprange_address(o->address, m->address);
    l->items[l->n - 1].controls = o->controls;
}

static const char *state_of_other(const struct fleet_placement_view *p)
{
    return p->orphan ? "orphaned" : p->unknown ? "unknown" : "stopping";
}

static void state_to(struct list *l, const struct fleet_placement_view *p,
                     Wherry__Api__Container *m)
{
    int i = slot_of(l, p);
    struct fleet_slot_view slot;
    char why[FLEET_TEXT];

    if (i < 0) {
        m->state = codec_api_borrow(state_of_other(p));
        m->why = codec_api_borrow(p->observed->reason);
        return;
    }
    (void)fleet_slot_at(l->w->fleet, l->stack, l->service, (unsigned)i, &slot);
    fleet_why_slot(l->w->fleet, l->stack, l->service, (unsigned)i, why, sizeof(why));
    m->state = codec_api_borrow(fleet_slot_state_name(slot.state));
    m->why = codec_api_text(l->pool, "%s", why);
}

static void image_to(struct list *l, const struct fleet_placement_view *p,
                     Wherry__Api__Container *m)
{
    const struct docs_stack *stack = docs_stack(l->w->docs, p->stack);
    const Wherry__Spec__Service *spec =
        stack != NULL ? codec_want_service(stack->want, p->service) : NULL;

    m->image_digest =
        codec_api_borrow(p->observed->image_digest != NULL && p->observed->image_digest[0] != '\0'
                             ? p->observed->image_digest
                             : p->image_digest);
    if (spec != NULL && !p->outdated) {
        m->image = codec_api_borrow(spec->container->image);
        codec_api_ports(l->w, p->stack, p->service, &m->n_ports, &m->ports);
    }
}

/* By what it was made from: one of an earlier revision may be on other networks. */
static void ipv6_to(struct list *l, const struct fleet_placement_view *p, Wherry__Api__Container *m)
{
    const struct docs_stack *stack = docs_stack(l->w->docs, p->stack);
    const Wherry__Spec__Service *spec =
        stack != NULL && !p->outdated ? codec_want_service(stack->want, p->service) : NULL;

    for (size_t i = 0; spec != NULL && i < spec->container->n_networks; i++) {
        if (spec->container->networks[i]->ipv6 && p->observed->address != 0) {
            m->ipv6_address = codec_api_ipv6(l->pool, l->w, p->observed->address);
        }
    }
}

static void add_placement(void *arg, const struct fleet_placement_view *p)
{
    struct list *l = arg;
    Wherry__Api__Container *m = add(l, p->slot);
    char hex[2 * FLEET_DIGEST + 1];

    doc_digest_hex(p->revision, hex);
    m->node = codec_api_borrow(p->node_name);
    m->created_unix_ms = p->created_unix_ms;
    m->incarnation = p->incarnation;
    m->current = p->current;
    m->outdated = p->outdated;
    m->revision = codec_api_text(l->pool, "%s", hex);
    observed_to(l, p->observed, m);
    ipv6_to(l, p, m);
    state_to(l, p, m);
    image_to(l, p, m);
}

/* Slots that have no container. */
static void add_empty(struct list *l)
{
    struct fleet_slot_view slot;
    char why[FLEET_TEXT];

    for (unsigned i = 0; fleet_slot_at(l->w->fleet, l->stack, l->service, i, &slot); i++) {
        Wherry__Api__Container *m;

        if (slot.incarnation != 0 || !slot.wanted) {
            continue;
        }
        m = add(l, slot.number);
        fleet_why_slot(l->w->fleet, l->stack, l->service, i, why, sizeof(why));
        m->state = codec_api_borrow(fleet_slot_state_name(slot.state));
        m->health = codec_api_borrow(fleet_health_name(FLEET_HEALTH_NONE));
        m->why = codec_api_text(l->pool, "%s", why);
    }
}

static int slot_order(const void *a, const void *b)
{
    const Wherry__Api__Container *x = ((const struct entry *)a)->m;
    const Wherry__Api__Container *y = ((const struct entry *)b)->m;

    if (x->slot != y->slot) {
        return x->slot < y->slot ? -1 : 1;
    }
    return (x->incarnation > y->incarnation) - (x->incarnation < y->incarnation);
}

static void add_service(struct list *l, unsigned stack, unsigned service)
{
    struct fleet_service_view v;
    size_t from = l->n;

    if (!fleet_service_at(l->w->fleet, stack, service, &v)) {
        return;
    }
    l->stack = stack;
    l->service = service;
    l->v = &v;
    add_empty(l);
    fleet_service_each(l->w->fleet, stack, service, add_placement, l);
    l->v = NULL;
    if (l->n - from > 1) {
        qsort(l->items + from, l->n - from, sizeof(*l->items), slot_order);
    }
}

/* Stacks and services are in order of their names already. */
static void add_all(struct list *l, int stack, int service)
{
    struct fleet_stack_view v;

    for (unsigned i = 0; fleet_stack_at(l->w->fleet, i, &v); i++) {
        for (unsigned k = 0; (stack < 0 || (unsigned)stack == i) && k < v.n_services; k++) {
            if (service < 0 || (unsigned)service == k) {
                add_service(l, i, k);
            }
        }
    }
}

void codec_api_containers(const struct api_world *w, int stack, int service, struct buf *out)
{
    auto_pool struct codec_api_pool pool = {0};
    struct list l = {.pool = &pool, .w = w};
    Wherry__Api__Containers m = WHERRY__API__CONTAINERS__INIT;

    add_all(&l, stack, service);
    m.now_unix_ms = w->now_unix_ms;
    m.containers = codec_api_alloc(&pool, l.n, sizeof(Wherry__Api__Container *));
    for (size_t i = 0; i < l.n; i++) {
        m.containers[m.n_containers++] = l.items[i].m;
    }
    codec_api_emit(&m.base, out);
    free(l.items);
}

/* ---- inspect ---- */

static void controls_to(struct codec_api_pool *pool, const char *lines,
                        Wherry__Api__InspectContainer *m)
{
    size_t n = 1;

    if (lines == NULL || lines[0] == '\0') {
        return;
    }
    for (const char *c = lines; *c != '\0'; c++) {
        n += *c == '\n';
    }
    m->controls = codec_api_alloc(pool, n, sizeof(char *));
    while (*lines != '\0') {
        size_t len = strcspn(lines, "\n");

        if (len > 0) {
            m->controls[m->n_controls++] = codec_api_text(pool, "%.*s", (int)len, lines);
        }
        lines += len + (lines[len] == '\n');
    }
}

static void document_to(struct codec_api_pool *pool, const struct api_world *w, const char *stack,
                        const char *service, Wherry__Api__Inspect *m)
{
    const struct docs_stack *s = docs_stack(w->docs, stack);
    const Wherry__Spec__Stack *document = s != NULL ? codec_want_document(s->want) : NULL;

    if (document == NULL) {
        return;
    }
    m->volumes = document->volumes;
    m->n_volumes = document->n_volumes;
    m->networks = document->networks;
    m->n_networks = document->n_networks;
    m->services = codec_api_alloc(pool, document->n_services, sizeof(Wherry__Spec__Service *));
    for (size_t i = 0; i < document->n_services; i++) {
        if (service == NULL || strcmp(document->services[i]->name, service) == 0) {
            m->services[m->n_services++] = document->services[i];
        }
    }
}

static void inspect_containers(struct list *l, Wherry__Api__Inspect *m)
{
    m->containers = codec_api_alloc(l->pool, l->n, sizeof(Wherry__Api__InspectContainer *));
    for (size_t i = 0; i < l->n; i++) {
        Wherry__Api__InspectContainer *one = codec_api_alloc(l->pool, 1, sizeof(*one));

        wherry__api__inspect_container__init(one);
        one->container = l->items[i].m;
        controls_to(l->pool, l->items[i].controls, one);
        m->containers[m->n_containers++] = one;
    }
}

void codec_api_inspect(const struct api_world *w, unsigned stack, int service, struct buf *out)
{
    auto_pool struct codec_api_pool pool = {0};
    struct list l = {.pool = &pool, .w = w};
    Wherry__Api__Inspect m = WHERRY__API__INSPECT__INIT;
    struct fleet_stack_view v;
    struct fleet_service_view one = {0};

    (void)fleet_stack_at(w->fleet, stack, &v);
    if (service >= 0) {
        (void)fleet_service_at(w->fleet, stack, (unsigned)service, &one);
    }
    m.stack = codec_api_borrow(v.name);
    m.revision = v.revision;
    m.applied_unix_ms = v.applied_unix_ms;
    m.status = codec_api_stack(&pool, w, stack, service);
    document_to(&pool, w, v.name, one.service, &m);
    add_all(&l, (int)stack, service);
    m.now_unix_ms = w->now_unix_ms;
    inspect_containers(&l, &m);
    codec_api_emit(&m.base, out);
    free(l.items);
}
