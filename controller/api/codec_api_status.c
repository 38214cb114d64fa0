// SPDX-License-Identifier: Apache-2.0
/* Everything at a glance: how many of what was asked for are there, and why the rest is not. */
#include <stdio.h>
#include <string.h>

#include "controller/api/codec_api_priv.h"
#include "spec.pb-c.h"

#define PROBLEMS_MAX 100u
#define NOTES_MAX    1u
#define RESTARTS_BAD 3u /* so many, and it waits again: it will not come up by itself */

static const Wherry__Spec__Service *spec_of(const struct api_world *w, const char *stack,
                                            const char *service)
{
    const struct docs_stack *s = docs_stack(w->docs, stack);

    return s != NULL ? codec_want_service(s->want, service) : NULL;
}

void codec_api_ports(const struct api_world *w, const char *stack, const char *service,
                     size_t *ret_n, Wherry__Spec__Port ***ret_list)
{
    const Wherry__Spec__Service *spec = spec_of(w, stack, service);

    *ret_n = spec != NULL ? spec->container->n_ports : 0;
    *ret_list = spec != NULL ? spec->container->ports : NULL;
}

/* ---- one service ---- */

static bool is_failing(const struct fleet *f, const struct fleet_slot_view *slot)
{
    struct fleet_placement_view p;

    if (slot->state == FLEET_SLOT_FAILED || slot->state == FLEET_SLOT_ENDED) {
        return true;
    }
    return (slot->state == FLEET_SLOT_WAITING || slot->state == FLEET_SLOT_UNHEALTHY) &&
           fleet_placement_find(f, slot->incarnation, &p) && p.observed->restarts >= RESTARTS_BAD;
}

static bool is_as_wanted(enum fleet_slot_state state)
{
    return state == FLEET_SLOT_RUNNING || state == FLEET_SLOT_COMPLETED;
}

static void count_stopping(void *arg, const struct fleet_placement_view *p)
{
    unsigned *n = arg;

    *n += p->stop && !p->unknown && !p->completed && !p->failed;
}

/* Whether nothing more is to come by itself. Containers on nodes that are silent cannot be waited
 * for; those that are stopped elsewhere are. */
static bool is_converged(const struct fleet *f, unsigned stack, unsigned service,
                         const struct fleet_service_view *v, const struct fleet_counts *counts)
{
    bool fixed =
        v->want != NULL && (v->want->mode == FLEET_REPLICATED || v->want->mode == FLEET_JOB);
    struct fleet_slot_view slot;
    unsigned stopping = 0;

    if (v->want == NULL || counts->outdated > 0 || (fixed && counts->wanted != v->want->replicas)) {
        return false;
    }
    for (unsigned i = 0; fleet_slot_at(f, stack, service, i, &slot); i++) {
        if (slot.wanted && !is_as_wanted(slot.state)) {
            return false;
        }
    }
    fleet_service_each(f, stack, service, count_stopping, &stopping);
    return stopping == 0;
}

static void counts_to(const struct fleet_counts *c, Wherry__Api__ServiceStatus *m)
{
    m->wanted = c->wanted;
    m->running = c->running;
    m->ready = c->ready;
    m->healthy = c->healthy;
    m->pending = c->pending;
    m->unknown = c->unknown;
    m->outdated = c->outdated;
    m->completed = c->completed;
    m->failed = c->failed;
    m->stopping = c->stopping;
    m->orphans = c->orphans;
    m->restarts = c->restarts;
}

static Wherry__Api__ServiceStatus *
service_of(struct codec_api_pool *pool, const struct api_world *w, unsigned stack, unsigned service)
{
    Wherry__Api__ServiceStatus *m = codec_api_alloc(pool, 1, sizeof(*m));
    const Wherry__Spec__Service *spec;
    struct fleet_service_view v;
    struct fleet_counts counts;
    struct fleet_slot_view slot;
    char why[FLEET_TEXT];

    wherry__api__service_status__init(m);
    (void)fleet_service_at(w->fleet, stack, service, &v);
    fleet_service_counts(w->fleet, stack, service, &counts);
    fleet_why_service(w->fleet, stack, service, why, sizeof(why));
    counts_to(&counts, m);
    m->name = codec_api_borrow(v.service);
    m->image_digest = codec_api_borrow(v.image_digest);
    m->why = codec_api_text(pool, "%s", why);
    m->converged = is_converged(w->fleet, stack, service, &v, &counts);
    for (unsigned i = 0; fleet_slot_at(w->fleet, stack, service, i, &slot); i++) {
        m->failing |= slot.wanted && is_failing(w->fleet, &slot);
    }
    if (v.want == NULL) {
        return m;
    }
    m->mode = codec_api_borrow(fleet_mode_name(v.want->mode));
    m->has_probe = v.want->has_probe;
    spec = spec_of(w, v.stack, v.service);
    m->image = codec_api_borrow(spec != NULL ? spec->container->image : v.want->image);
    codec_api_ports(w, v.stack, v.service, &m->n_ports, &m->ports);
    return m;
}

Wherry__Api__StackStatus *codec_api_stack(struct codec_api_pool *pool, const struct api_world *w,
                                          unsigned stack, int service)
{
    Wherry__Api__StackStatus *m = codec_api_alloc(pool, 1, sizeof(*m));
    struct fleet_stack_view v;

    wherry__api__stack_status__init(m);
    (void)fleet_stack_at(w->fleet, stack, &v);
    m->name = codec_api_borrow(v.name);
    m->revision = v.revision;
    m->applied_unix_ms = v.applied_unix_ms;
    m->stored = v.stored;
    m->services = codec_api_alloc(pool, v.n_services, sizeof(Wherry__Api__ServiceStatus *));
    for (unsigned i = 0; i < v.n_services; i++) {
        if (service < 0 || (unsigned)service == i) {
            m->services[m->n_services++] = service_of(pool, w, stack, i);
        }
    }
    return m;
}

/* ---- what is wrong ---- */

static void problem(Wherry__Api__Status *m, char *text)
{
    if (text[0] != '\0' && m->n_problems < PROBLEMS_MAX) {
        m->problems[m->n_problems++] = text;
    }
}

static void count_node(const struct fleet_node_view *v, Wherry__Api__Status *m)
{
    m->nodes++;
    m->nodes_ready += v->state == FLEET_NODE_STATE_READY;
    m->nodes_unknown += v->state == FLEET_NODE_STATE_UNKNOWN;
    m->nodes_expected += v->state == FLEET_NODE_STATE_EXPECTED;
    m->nodes_lost += v->state == FLEET_NODE_STATE_LOST;
}

static void nodes_to(struct codec_api_pool *pool, const struct api_world *w, Wherry__Api__Status *m)
{
    struct fleet_node_view v;

    for (unsigned i = 0; fleet_node_at(w->fleet, i, &v); i++) {
        count_node(&v, m);
        if (v.state == FLEET_NODE_STATE_UNKNOWN) {
            problem(m, codec_api_text(pool, "node %s is silent; %u container%s there %s unknown",
                                      v.name, v.placements, v.placements == 1 ? "" : "s",
                                      v.placements == 1 ? "is" : "are"));
        }
    }
}

/* What hosts lack is no problem of today: it is said once, and `wherry nodes` says it of each. */
static void notes_to(struct codec_api_pool *pool, const struct api_world *w, Wherry__Api__Status *m)
{
    struct fleet_node_view v;
    unsigned less = 0;

    for (unsigned i = 0; fleet_node_at(w->fleet, i, &v); i++) {
        less += v.has_facts && v.facts.degraded[0] != '\0' && v.state == FLEET_NODE_STATE_READY;
    }
    if (less > 0) {
        m->notes[m->n_notes++] = codec_api_text(
            pool, "%u of %u nodes %s less than %s could: see wherry nodes", less,
            fleet_nodes(w->fleet), less == 1 ? "isolates" : "isolate", less == 1 ? "it" : "they");
    }
}

static bool begins_with_service(const char *why, const char *stack, const char *service)
{
    char head[2 * FLEET_NAME + 2];

    (void)snprintf(head, sizeof(head), "%s/%s", stack, service);
    return strncmp(why, head, strlen(head)) == 0;
}

/* Those that fail first. */
static void services_to(struct codec_api_pool *pool, Wherry__Api__Status *m, bool failing)
{
    for (size_t i = 0; i < m->n_stacks; i++) {
        for (size_t k = 0; k < m->stacks[i]->n_services; k++) {
            const Wherry__Api__ServiceStatus *s = m->stacks[i]->services[k];

            if (s->why[0] == '\0' || s->failing != failing) {
                continue;
            }
            problem(m,
                    begins_with_service(s->why, m->stacks[i]->name, s->name)
                        ? s->why
                        : codec_api_text(pool, "%s/%s: %s", m->stacks[i]->name, s->name, s->why));
        }
    }
}

void codec_api_status(const struct api_world *w, int stack, struct buf *out)
{
    auto_pool struct codec_api_pool pool = {0};
    Wherry__Api__Status m = WHERRY__API__STATUS__INIT;
    char hex[ID128_HEX + 1];
    char brake[FLEET_TEXT];

    id128_to_hex(w->cluster_id, hex);
    fleet_why_brake(w->fleet, brake, sizeof(brake));
    m.cluster_id = hex;
    m.now_unix_ms = w->now_unix_ms;
    m.brake = brake;
    m.notes = codec_api_alloc(&pool, NOTES_MAX, sizeof(char *));
    m.problems = codec_api_alloc(&pool, PROBLEMS_MAX, sizeof(char *));
    m.stacks = codec_api_alloc(&pool, fleet_stacks(w->fleet), sizeof(Wherry__Api__StackStatus *));
    for (unsigned i = 0; i < fleet_stacks(w->fleet); i++) {
        if (stack < 0 || (unsigned)stack == i) {
            m.stacks[m.n_stacks++] = codec_api_stack(&pool, w, i, -1);
        }
    }
    problem(&m, brake);
    nodes_to(&pool, w, &m);
    notes_to(&pool, w, &m);
    services_to(&pool, &m, true);
    services_to(&pool, &m, false);
    codec_api_emit(&m.base, out);
}
