// SPDX-License-Identifier: Apache-2.0
/* The fleet in seeded random worlds: nodes that come, fall silent and return, containers that run
 * and end, stacks that are applied, changed and deleted. After every step a full recount has to
 * agree with the fleet's own sums, and the service table that its FLEET_SERVICE actions keep has to
 * be the one that is made from scratch; at the end everything heals, and then the fleet must be
 * quiet, what is wanted must run, and what is pending must find no place with a naive placer
 * either.
 *
 *   fleet_property [SEEDS [FIRST]]     a failing world prints its seed */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/linkhash.h"
#include "common/svctable.h"
#include "tests/lib/fleet_text.h"

#define NODES    6
#define SERVICES 5
#define STEPS    150
#define RUNNING  512
#define HEAL_MAX 400

/* What really runs on a node, whatever the controller thinks. */
struct real {
    uint64_t incarnation;
    uint8_t revision[FLEET_DIGEST];
    char service[FLEET_NAME];
    uint32_t slot;
    bool done;
};

struct host {
    char text[128];
    char name[FLEET_NAME];
    bool silent;
    bool joined;
    struct real list[RUNNING];
    unsigned n;
};

struct world {
    uint64_t seed, random;
    struct fleet *fleet;
    struct svctable *table; /* as the nodes know it */
    uint64_t now_ms, seq, request;
    struct host hosts[NODES];
    char services[SERVICES][160]; /* as last applied; "" when not in the file */
    unsigned actions;             /* of the last step */
    bool applied;
};

#define CHECK(w, holds, ...)                                                                       \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            failed(w, #holds, __VA_ARGS__);                                                        \
        }                                                                                          \
    } while (0)

__attribute__((format(printf, 3, 4))) static _Noreturn void
failed(struct world *w, const char *holds, const char *fmt, ...)
{
    auto_buf struct buf out = {0};
    va_list ap;

    (void)printf("seed %" PRIu64 " at %" PRIu64 " ms: not so: %s\n", w->seed, w->now_ms, holds);
    va_start(ap, fmt);
    (void)vprintf(fmt, ap);
    va_end(ap);
    fleet_text_state(w->fleet, &out);
    (void)printf("\n%s", buf_text(&out));
    exit(1);
}

static uint32_t draw(struct world *w, uint32_t below)
{
    w->random ^= w->random << 13; /* xorshift64 */
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (uint32_t)(w->random >> 33) % below;
}

/* ---- recount ---- */

struct count {
    struct world *w;
    struct fleet_reserve sum;
    struct id128 hash;
    unsigned n;
    const struct fleet_service_view *service;
    uint32_t on_node;
    struct fleet_node_view *node;
    bool port_taken;
    const struct fleet_want *want;
};

static void add(void *arg, const struct fleet_placement_view *p)
{
    struct count *c = arg;

    c->n++;
    if (!p->completed && !p->failed) {
        c->sum.memory_bytes += p->ask->reserve.memory_bytes;
        c->sum.cpu_millis += p->ask->reserve.cpu_millis;
        c->sum.pids += p->ask->reserve.pids;
        c->sum.bits_in += p->ask->reserve.bits_in;
        c->sum.bits_out += p->ask->reserve.bits_out;
    }
    if (!p->orphan) {
        c->hash = id128_add(c->hash, linkhash_placement(p->incarnation, p->stack, p->service,
                                                        p->slot, p->revision, p->stop));
    }
}

/* Whether a link that was declared carries all of it, and so many times more what is asked. */
static bool link_holds(const struct fleet_node_view *v, const struct fleet_reserve *ask,
                       unsigned more)
{
    const struct fleet_reserve *total = &v->facts.total;

    return total->bits_in == 0 || (v->reserved.bits_in + more * ask->bits_in <= total->bits_in &&
                                   v->reserved.bits_out + more * ask->bits_out <= total->bits_out);
}

/* I6: nothing is reserved beyond what a node has; the fleet's sums are those of a recount. */
static void check_nodes(struct world *w)
{
    struct fleet_node_view v;

    for (unsigned i = 0; fleet_node_at(w->fleet, i, &v); i++) {
        struct count c = {.w = w};

        fleet_node_each(w->fleet, v.id, 0, add, &c);
        CHECK(w, c.sum.memory_bytes == v.reserved.memory_bytes, "node %s: %" PRIu64 " %" PRIu64,
              v.name, c.sum.memory_bytes, v.reserved.memory_bytes);
        CHECK(w, c.sum.cpu_millis == v.reserved.cpu_millis, "node %s", v.name);
        CHECK(w, c.sum.pids == v.reserved.pids, "node %s", v.name);
        CHECK(w, c.sum.bits_in == v.reserved.bits_in, "node %s", v.name);
        CHECK(w, c.sum.bits_out == v.reserved.bits_out, "node %s", v.name);
        CHECK(w, id128_equal(c.hash, v.assigned_sum), "node %s", v.name);
        CHECK(w, !v.has_facts || v.reserved.memory_bytes <= v.facts.total.memory_bytes, "node %s",
              v.name);
        CHECK(w, !v.has_facts || v.reserved.cpu_millis <= v.facts.total.cpu_millis, "node %s",
              v.name);
        CHECK(w, !v.has_facts || link_holds(&v, &v.reserved, 0), "node %s", v.name);
    }
}

struct slots {
    unsigned current[64];
    bool stopped_current;
    uint64_t last;
};

static void count_current(void *arg, const struct fleet_placement_view *p)
{
    struct slots *s = arg;

    if (p->slot < 64) {
        s->current[p->slot] += p->current;
    }
}

/* Never more current placements than slots, never two in one slot. */
static void check_services(struct world *w)
{
    struct fleet_service_view v;
    struct fleet_counts counts;

    for (unsigned i = 0; fleet_service_at(w->fleet, 0, i, &v); i++) {
        struct slots s = {0};
        unsigned sum = 0;

        fleet_service_each(w->fleet, 0, i, count_current, &s);
        fleet_service_counts(w->fleet, 0, i, &counts);
        for (unsigned k = 0; k < 64; k++) {
            CHECK(w, s.current[k] <= 1, "%s.%u", v.service, k);
            sum += s.current[k];
        }
        if (v.want != NULL && v.want->mode != FLEET_GLOBAL) {
            CHECK(w, counts.wanted == v.want->replicas, "%s: %u", v.service, counts.wanted);
        }
        CHECK(w, sum <= v.n_slots, "%s: %u of %u", v.service, sum, v.n_slots);
    }
}

/* What a step places must be allowed where it is placed, at that moment. */
static void check_placed(struct world *w, const struct fleet_actions *actions)
{
    for (unsigned i = 0; i < actions->n; i++) {
        const struct fleet_action *a = &actions->list[i];
        struct fleet_node_view v;
        int at;

        if (a->type != FLEET_EVENT || a->happened != FLEET_HAPPENED_PLACED) {
            continue;
        }
        at = fleet_node_named(w->fleet, a->name);
        CHECK(w, at >= 0 && fleet_node_at(w->fleet, (unsigned)at, &v), "%s", a->name);
        CHECK(w, v.state == FLEET_NODE_STATE_READY && v.settled, "placed %s.%u on %s", a->service,
              a->number, a->name);
    }
}

/* ---- the service table ---- */

static void put_entry(struct world *w, struct svctable *t, const char *stack, const char *service)
{
    auto_free struct svc_entry *entry = fleet_svc_entry(w->fleet, stack, service);

    if (entry != NULL) {
        (void)svctable_put(t, entry);
    } else {
        (void)svctable_remove(t, stack, service);
    }
}

static void keep_table(struct world *w, const struct fleet_actions *actions)
{
    for (unsigned i = 0; i < actions->n; i++) {
        if (actions->list[i].type == FLEET_SERVICE) {
            put_entry(w, w->table, actions->list[i].stack, actions->list[i].service);
        }
    }
}

struct listed {
    struct world *w;
    const struct svc_entry *entry;
    unsigned ready;
};

/* Every container that is ready is an endpoint, and said to be ready. */
static void is_listed(void *arg, const struct fleet_placement_view *p)
{
    struct listed *l = arg;
    bool ready = p->ready && !p->unknown;

    l->ready += ready;
    for (unsigned i = 0; ready && i < l->entry->n_endpoints; i++) {
        const struct svc_endpoint *e = &l->entry->endpoints[i];

        if (e->incarnation == p->incarnation) {
            CHECK(l->w,
                  e->ready && !e->draining && e->slot == p->slot &&
                      e->address == p->observed->address && e->networks != 0,
                  "%s.%u", p->service, p->slot);
            return;
        }
    }
    CHECK(l->w, !ready, "%s.%u is ready and no endpoint", p->service, p->slot);
}

static void check_entry(struct world *w, unsigned i, const struct fleet_service_view *v)
{
    auto_free struct svc_entry *entry = fleet_svc_entry(w->fleet, v->stack, v->service);
    struct listed l = {.w = w, .entry = entry};
    unsigned ready = 0;

    if (entry == NULL) {
        return;
    }
    fleet_service_each(w->fleet, 0, i, is_listed, &l);
    for (unsigned k = 0; k < entry->n_endpoints; k++) {
        ready += entry->endpoints[k].ready;
    }
    CHECK(w, ready == l.ready, "%s: %u ready, %u listed so", v->service, l.ready, ready);
}

/* Nobody has two addresses, no address has two. */
static void check_vips(struct world *w)
{
    uint32_t seen[SERVICES * 4 * 2];
    unsigned n = 0;
    struct fleet_service_view v;
    struct fleet_vip_view vip;

    for (unsigned i = 0; fleet_service_at(w->fleet, 0, i, &v); i++) {
        for (unsigned k = 0; fleet_svc_vip_at(w->fleet, "s", v.service, k, &vip); k++) {
            for (unsigned m = 0; m < n; m++) {
                CHECK(w, seen[m] != vip.address, "%s on %s", v.service, vip.network);
            }
            CHECK(w, vip.address >> 20 == 0x0af, "%s has %08x", v.service, vip.address);
            CHECK(w, n < ARRAY_LEN(seen), "%u", n);
            seen[n++] = vip.address;
        }
    }
}

/* Only one service has a port that is published on every node, and it alone says so. */
static void check_ingress(struct world *w)
{
    unsigned n = 0;

    for (unsigned i = 0; i < svctable_count(w->table); i++) {
        n += svctable_at(w->table, i)->n_ports;
    }
    CHECK(w, n <= 1, "port 443 of %u services", n);
}

static void check_table(struct world *w)
{
    struct svctable *fresh = svctable_create();
    struct fleet_service_view v;

    for (unsigned i = 0; fleet_service_at(w->fleet, 0, i, &v); i++) {
        put_entry(w, fresh, v.stack, v.service);
        check_entry(w, i, &v);
    }
    for (unsigned i = 0; i < svctable_count(fresh) && i < svctable_count(w->table); i++) {
        const struct svc_entry *a = svctable_at(fresh, i), *b = svctable_at(w->table, i);

        CHECK(w, id128_equal(svc_hash(a), svc_hash(b)), "%s or %s: not told", a->service,
              b->service);
    }
    CHECK(w, svctable_count(fresh) == svctable_count(w->table), "%u told, %u are there",
          svctable_count(w->table), svctable_count(fresh));
    svctable_destroy(fresh);
    check_vips(w);
    check_ingress(w);
}

static void plain(struct world *w, enum fleet_event_type type);

/* Done when it is durable, as the executor does it. */
static void feed(struct world *w, struct fleet_event *e)
{
    struct fleet_actions actions = {0};

    e->now_ms = w->now_ms;
    e->unix_ms = 1700000000000ull + w->now_ms;
    fleet_step(w->fleet, e, &actions);
    check_placed(w, &actions);
    check_nodes(w);
    check_services(w);
    if (fleet_revision(w->fleet) > fleet_durable(w->fleet)) {
        struct fleet_event done = {.type = FLEET_PERSISTED, .u.revision = fleet_revision(w->fleet)};

        done.now_ms = w->now_ms;
        done.unix_ms = e->unix_ms;
        fleet_step(w->fleet, &done, &actions);
    }
    w->actions = actions.n;
    keep_table(w, &actions);
    fleet_actions_finish(&actions);
    check_table(w);
    if (fleet_revision(w->fleet) > fleet_durable(w->fleet)) { /* that went on with what was left */
        unsigned n = w->actions;

        plain(w, FLEET_TICK);
        w->actions += n;
    }
}

static void plain(struct world *w, enum fleet_event_type type)
{
    struct fleet_event e = {.type = type};

    feed(w, &e);
}

/* ---- hosts ---- */

static void make_hosts(struct world *w)
{
    for (unsigned i = 0; i < NODES; i++) {
        struct host *h = &w->hosts[i];

        (void)snprintf(h->name, sizeof(h->name), "%c", 'a' + (char)i);
        (void)snprintf(h->text, sizeof(h->text), "%s mem=%u cpu=%u label=zone=%s%s", h->name,
                       256 + 128 * draw(w, 8), 500 + 500 * draw(w, 8), draw(w, 2) ? "east" : "west",
                       draw(w, 2) ? " link=100" : "");
    }
}

static void report(struct world *w, struct host *h, const struct fleet_observation *list,
                   unsigned n, const uint64_t *gone, unsigned n_gone, bool all)
{
    struct fleet_event e = {.type = FLEET_OBSERVED};

    e.u.observed.node_id = fleet_text_id(h->name);
    e.u.observed.list = list;
    e.u.observed.n = n;
    e.u.observed.gone = gone;
    e.u.observed.n_gone = n_gone;
    e.u.observed.all_begin = e.u.observed.all_end = all;
    feed(w, &e);
}

static struct fleet_observation seen(struct world *w, const struct real *r)
{
    struct fleet_observation o = {.incarnation = r->incarnation,
                                  .run = 1,
                                  .seq = ++w->seq,
                                  .phase = r->done ? FLEET_PHASE_DONE : FLEET_PHASE_RUNNING,
                                  .health = FLEET_HEALTH_HEALTHY,
                                  .address = 0x0a800000 + (uint32_t)r->incarnation,
                                  .exit_known = r->done,
                                  .stack = "s",
                                  .service = r->service,
                                  .slot = r->slot};

    memcpy(o.revision, r->revision, FLEET_DIGEST);
    return o;
}

static void hello(struct world *w, struct host *h)
{
    struct fleet_observation list[RUNNING];
    struct fleet_text_node *n = xcalloc(1, sizeof(*n));
    struct fleet_event e = {.type = FLEET_NODE_HELLO};

    (void)fleet_text_node(h->text, n);
    e.u.hello.node_id = fleet_text_id(h->name);
    e.u.hello.name = h->name;
    e.u.hello.facts = n->facts;
    e.u.hello.observed_sum.lo = 1;
    h->silent = false;
    h->joined = true;
    feed(w, &e);
    free(n);
    for (unsigned i = 0; i < h->n; i++) {
        list[i] = seen(w, &h->list[i]);
    }
    report(w, h, list, h->n, NULL, 0, true);
}

struct todo {
    struct world *w;
    struct host *host;
    struct fleet_observation started[RUNNING];
    unsigned n_started;
    uint64_t gone[RUNNING];
    unsigned n_gone;
    unsigned hurry; /* 1 of so many is left for later; 0: none */
};

static int find_real(const struct host *h, uint64_t incarnation)
{
    for (unsigned i = 0; i < h->n; i++) {
        if (h->list[i].incarnation == incarnation) {
            return (int)i;
        }
    }
    return -1;
}

static void obey(void *arg, const struct fleet_placement_view *p)
{
    struct todo *t = arg;
    int at = find_real(t->host, p->incarnation);

    if (p->orphan || t->n_started == RUNNING || t->n_gone == RUNNING ||
        (t->hurry > 0 && draw(t->w, t->hurry) == 0)) {
        return;
    }
    if (p->stop && at >= 0 && !t->host->list[at].done && draw(t->w, 2) == 0) {
        t->host->list[at].done = true;
        t->started[t->n_started++] = seen(t->w, &t->host->list[at]);
    } else if (p->stop) {
        if (at >= 0) {
            t->host->list[at] = t->host->list[--t->host->n];
        }
        t->gone[t->n_gone++] = p->incarnation;
    } else if (at < 0 && t->host->n < RUNNING && p->observed->phase != FLEET_PHASE_DONE) {
        struct real *r = &t->host->list[t->host->n++];

        *r = (struct real){.incarnation = p->incarnation, .slot = p->slot};
        memcpy(r->revision, p->revision, FLEET_DIGEST);
        (void)snprintf(r->service, sizeof(r->service), "%s", p->service);
        r->done = p->service[0] == 'j';
        t->started[t->n_started++] = seen(t->w, r);
    }
}

/* What was taken from the node's set goes without another word, once it has ended. */
static void forget(struct world *w, struct host *h, struct todo *t)
{
    struct fleet_placement_view v;

    for (unsigned i = 0; i < h->n && t->n_gone < RUNNING; i++) {
        if (!fleet_placement_find(w->fleet, h->list[i].incarnation, &v)) {
            t->gone[t->n_gone++] = h->list[i].incarnation;
            h->list[i--] = h->list[--h->n];
        }
    }
}

/* A node does what it is told, or most of it. */
static void work(struct world *w, struct host *h, unsigned hurry)
{
    struct todo *t = xcalloc(1, sizeof(*t));
    struct fleet_event e = {.type = FLEET_HEARTBEAT};

    e.u.node_id = fleet_text_id(h->name);
    feed(w, &e);
    *t = (struct todo){.w = w, .host = h, .hurry = hurry};
    fleet_node_each(w->fleet, fleet_text_id(h->name), 0, obey, t);
    forget(w, h, t);
    if (t->n_started + t->n_gone > 0) {
        report(w, h, t->started, t->n_started, t->gone, t->n_gone, false);
    }
    free(t);
}

/* ---- wishes ---- */

static void draw_service(struct world *w, unsigned i)
{
    static const char *const extras[] = {"",
                                         "",
                                         "",
                                         " max=1",
                                         " max=2",
                                         " binpack",
                                         " con=node.labels.zone==east",
                                         " con=node.labels.zone!=east",
                                         " in=40 out=5",
                                         " out=30"};
    char *text = w->services[i];

    if (draw(w, 6) == 0) {
        text[0] = '\0';
        return;
    }
    (void)snprintf(text, sizeof(w->services[i]),
                   "%s%u replicas=%u mem=%u cpu=%u rev=%u%s%s%s%s net=n%s%s%s", i == 0 ? "j" : "w",
                   i, draw(w, 7), 16 << draw(w, 5), 50 * draw(w, 8), 1 + draw(w, 3),
                   i == 0   ? " job"
                   : i == 1 ? " global"
                            : "",
                   extras[draw(w, ARRAY_LEN(extras))], draw(w, 4) == 0 ? " port=80" : "",
                   i == 4 ? " vol=s_data" : "", draw(w, 2) ? " net=m:also" : "",
                   draw(w, 4) == 0 ? " dnsrr" : "", draw(w, 3) == 0 ? " ingress=443:443" : "");
}

static void apply(struct world *w, bool backwards)
{
    struct fleet_text_service *services = xcalloc(SERVICES, sizeof(*services));
    static const struct fleet_network networks[] = {{.name = "n"}, {.name = "m"}};
    struct fleet_want wants[SERVICES];
    struct fleet_event e = {.type = FLEET_APPLY};
    struct id128 sum = {0};

    for (unsigned k = 0; k < SERVICES; k++) {
        unsigned i = backwards ? SERVICES - 1 - k : k;

        if (w->services[i][0] != '\0' && fleet_text_service(w->services[i], &services[i]) == 0) {
            sum = id128_add(sum, id128_from_bytes(services[i].want.digest));
            wants[e.u.apply.stack.n_wants++] = services[i].want;
        }
    }
    e.u.apply.request = ++w->request;
    e.u.apply.stack.name = "s";
    e.u.apply.stack.wants = wants;
    e.u.apply.stack.networks = networks;
    e.u.apply.stack.n_networks = ARRAY_LEN(networks);
    id128_to_bytes(sum, e.u.apply.stack.digest);
    e.u.apply.prune = true;
    feed(w, &e);
    w->applied = true;
    free(services);
}

static void any_event(struct world *w)
{
    struct host *h = &w->hosts[draw(w, NODES)];

    w->now_ms += draw(w, 1500);
    switch (draw(w, 10)) {
    case 0:
        draw_service(w, draw(w, SERVICES));
        apply(w, draw(w, 2));
        break;
    case 1:
        h->silent = true;
        break;
    case 2:
        hello(w, h);
        break;
    case 3:
        plain(w, FLEET_TICK);
        break;
    default:
        for (unsigned i = 0; i < NODES; i++) {
            if (w->hosts[i].joined && !w->hosts[i].silent) {
                work(w, &w->hosts[i], 3);
            }
        }
    }
}

/* ---- at the end ---- */

static void heal(struct world *w)
{
    for (unsigned i = 0; i < NODES; i++) {
        hello(w, &w->hosts[i]);
    }
    for (unsigned round = 0; round < HEAL_MAX; round++) {
        unsigned said = 0;

        w->now_ms += 500;
        for (unsigned i = 0; i < NODES; i++) {
            work(w, &w->hosts[i], 0);
            said += w->actions;
        }
        plain(w, FLEET_TICK);
        if (said + w->actions == 0 && round > 4) {
            return;
        }
    }
    failed(w, "it becomes quiet", "after %u rounds", HEAL_MAX);
}

/* A port that is published on every node is in the way everywhere. */
static bool clashes(const struct fleet_port *a, const struct fleet_port *b, bool same_node)
{
    return a->port == b->port && (same_node || a->ingress || b->ingress);
}

struct taken {
    const struct fleet_want *want;
    bool same_node;
    const char *service;
    uint32_t here;
    bool port;
};

static void look_taken(void *arg, const struct fleet_placement_view *p)
{
    struct taken *t = arg;
    bool same = strcmp(p->service, t->service) == 0;

    t->here += t->same_node && same && !p->completed && !p->failed && !p->orphan;
    for (unsigned i = 0; i < p->ask->n_ports; i++) {
        for (unsigned k = 0; k < t->want->ask.n_ports; k++) {
            t->port |= !same && !p->completed &&
                       clashes(&p->ask->ports[i], &t->want->ask.ports[k], t->same_node);
        }
    }
}

static void look_everywhere(struct world *w, struct id128 node, struct taken *t)
{
    struct fleet_node_view v;

    for (unsigned i = 0; fleet_node_at(w->fleet, i, &v); i++) {
        t->same_node = id128_equal(v.id, node);
        fleet_node_each(w->fleet, v.id, 0, look_taken, t);
    }
}

static bool constraints_hold(const struct fleet_want *want, const struct fleet_node_view *v)
{
    for (unsigned i = 0; i < want->n_constraints; i++) {
        bool east = strcmp(v->facts.labels[0].value, want->constraints[i].value) == 0;

        if (east == want->constraints[i].negated) {
            return false;
        }
    }
    return true;
}

/* The naive placer: does any node take one more of it, by a count from scratch? */
static bool fits_somewhere(struct world *w, const struct fleet_want *want, const char *service)
{
    const struct fleet_reserve *ask = &want->ask.reserve;
    struct fleet_node_view v;

    for (unsigned i = 0; fleet_node_at(w->fleet, i, &v); i++) {
        struct taken t = {.want = want, .service = service};
        struct fleet_volume_view volume;
        int bound = want->ask.n_volumes > 0 ? fleet_volume_find(w->fleet, "s_data") : -1;

        if (bound >= 0 && fleet_volume_at(w->fleet, (unsigned)bound, &volume) &&
            !id128_equal(volume.node_id, v.id)) {
            continue;
        }
        look_everywhere(w, v.id, &t);
        if (v.state == FLEET_NODE_STATE_READY && constraints_hold(want, &v) && !t.port &&
            (want->max_per_node == 0 || t.here < want->max_per_node) &&
            v.reserved.memory_bytes + ask->memory_bytes <= v.facts.total.memory_bytes &&
            v.reserved.cpu_millis + ask->cpu_millis <= v.facts.total.cpu_millis &&
            v.reserved.pids + ask->pids <= v.facts.total.pids && link_holds(&v, ask, 1)) {
            return true;
        }
    }
    return false;
}

static void check_end(struct world *w)
{
    struct fleet_service_view v;
    struct fleet_slot_view slot;

    for (unsigned i = 0; fleet_service_at(w->fleet, 0, i, &v); i++) {
        for (unsigned k = 0; fleet_slot_at(w->fleet, 0, i, k, &slot); k++) {
            bool good = slot.state == FLEET_SLOT_RUNNING || slot.state == FLEET_SLOT_COMPLETED;

            CHECK(w, slot.wanted, "%s.%u is left", v.service, slot.number);
            CHECK(w, good || slot.state == FLEET_SLOT_PENDING, "%s.%u %s", v.service, slot.number,
                  fleet_slot_state_name(slot.state));
            CHECK(w, good || v.want->mode == FLEET_GLOBAL || !fits_somewhere(w, v.want, v.service),
                  "%s.%u is pending, and a node would take it", v.service, slot.number);
        }
    }
}

/* Nothing is wanted any more: nothing may be left anywhere. */
static void check_zero(struct world *w)
{
    struct fleet_node_view v;

    memset(w->services, 0, sizeof(w->services));
    apply(w, false);
    heal(w);
    for (unsigned i = 0; fleet_node_at(w->fleet, i, &v); i++) {
        CHECK(w, v.placements == 0, "node %s holds %u", v.name, v.placements);
    }
    for (unsigned i = 0; i < NODES; i++) {
        CHECK(w, w->hosts[i].n == 0, "host %s runs %u", w->hosts[i].name, w->hosts[i].n);
    }
}

static void one_world(uint64_t seed)
{
    struct world *w = xcalloc(1, sizeof(*w));

    w->seed = seed;
    w->random = seed * 0x9e3779b97f4a7c15ull | 1;
    w->fleet = fleet_create();
    w->table = svctable_create();
    w->now_ms = 1000;
    make_hosts(w);
    {
        struct fleet_event e = {.type = FLEET_LOAD_CLUSTER};
        struct fleet_actions none = {0};

        e.now_ms = w->now_ms;
        e.u.cluster.epoch = 1;
        e.u.cluster.blocks_max = 64;
        e.u.cluster.range = 0x0a800000;
        e.u.cluster.range_prefix = 9;
        e.u.cluster.node_prefix = 22;
        fleet_step(w->fleet, &e, &none);
        fleet_actions_finish(&none);
    }
    plain(w, FLEET_LOAD_DONE);
    for (unsigned i = 0; i < STEPS; i++) {
        any_event(w);
    }
    heal(w);
    check_end(w);
    if (w->applied) {
        /* The same again, in another order: nothing may follow from it but its answer. */
        apply(w, true);
        CHECK(w, w->actions == 1, "applying twice gave %u actions", w->actions);
    }
    check_zero(w);
    CHECK(w, svctable_count(w->table) == 0, "%u services are left", svctable_count(w->table));
    svctable_destroy(w->table);
    fleet_destroy(w->fleet);
    free(w);
}

int main(int argc, char **argv)
{
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 300;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

    for (uint64_t i = 0; i < seeds; i++) {
        one_world(first + i);
    }
    (void)printf("%" PRIu64 " worlds from seed %" PRIu64 "\n", seeds, first);
    return 0;
}
