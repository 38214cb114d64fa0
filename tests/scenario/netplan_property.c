// SPDX-License-Identifier: Apache-2.0
/* The plan of a node's elements in seeded random worlds: services, containers of this node and
 * nodes that fall silent come, change and go in any order. After every few calls the differences,
 * done to a pretended kernel as a kernel does them, must have made what the plan says it wants; and
 * that must be what a plan says that was told nothing but how things are now, and what a simple
 * model says that looks at everything with everything.
 *   netplan_property [SEEDS [FIRST]]     a failing world prints its seed
 * Then what one change costs among many other services is measured and held to a limit. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/net/netplan.h"
#include "common/err.h"

#define SERVICES   8u
#define ENDPOINTS  5u
#define LOCALS     10u
#define NETWORKS   5u
#define BLOCKS     4u
#define PORTS      3u
#define STEPS      120u
#define THIS_BLOCK 0x0a800400u

static const char *const networks[NETWORKS] = {"a_default", "b_default", "b_inner", "c", "public"};
static const struct netplan_config config = {
    .range = 0x0a800000u, .range_prefix = 9, .block = THIS_BLOCK, .block_prefix = 22};

/* A service as the table has it. */
struct service {
    bool there;
    struct svc_entry entry;
    struct svc_network networks[NETWORKS];
    struct svc_endpoint endpoints[ENDPOINTS];
    struct svc_port ports[PORTS];
};

struct local {
    bool there;
    unsigned service;
    struct netplan_local is;
    const char *networks[NETWORKS];
    struct netplan_cidr out[PORTS];
    struct netplan_port ports[PORTS];
};

struct world {
    uint64_t seed, random;
    struct netplan *plan;
    struct netelems kernel; /* sorted */
    struct service services[SERVICES];
    struct local locals[LOCALS];
    bool silent[BLOCKS]; /* of the blocks after this node's */
    struct netplan_diff diff;
};

#define CHECK(w, holds)                                                                            \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            fail(w, #holds);                                                                       \
        }                                                                                          \
    } while (0)

static _Noreturn void fail(const struct world *w, const char *holds)
{
    (void)printf("seed %" PRIu64 ": not so: %s\n", w->seed, holds);
    exit(1);
}

static unsigned any(struct world *w, unsigned below)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (unsigned)(w->random >> 20) % below;
}

/* ---- things at random ---- */

static void name_service(unsigned i, const char **ret_stack, const char **ret_service)
{
    static const char *const stacks[] = {"shop", "mail"};
    static const char *const services[] = {"web", "db", "cache", "q"};

    *ret_stack = stacks[i % 2];
    *ret_service = services[i / 2];
}

static struct service *make_service(struct world *w, unsigned i)
{
    static const char *const aliases[] = {"api"};
    struct service *s = &w->services[i];
    const char *stack, *service;

    name_service(i, &stack, &service);
    memset(s, 0, sizeof(*s));
    s->there = true;
    for (unsigned n = 0; n < NETWORKS; n++) {
        struct svc_network *to = &s->networks[s->entry.n_networks];

        if (any(w, 2) == 0) {
            (void)snprintf(to->name, sizeof(to->name), "%s", networks[n]);
            to->vip = any(w, 4) > 0 ? 0x0af00000u + i * NETWORKS + n : 0;
            to->aliases = aliases;
            to->n_aliases = any(w, 2);
            s->entry.n_networks++;
        }
    }
    (void)snprintf(s->entry.stack, sizeof(s->entry.stack), "%s", stack);
    (void)snprintf(s->entry.service, sizeof(s->entry.service), "%s", service);
    s->entry.balance = (enum svc_balance)any(w, 3);
    s->entry.networks = s->networks;
    s->entry.endpoints = s->endpoints;
    s->entry.ports = s->ports;
    return s;
}

/* Of this node's containers some are in it, and some that are none any more. */
static void add_endpoints(struct world *w, struct service *s, unsigned i)
{
    for (unsigned k = 0; k < ENDPOINTS; k++) {
        struct svc_endpoint *e = &s->endpoints[s->entry.n_endpoints];
        unsigned block = any(w, BLOCKS + 1);
        unsigned slot = i + SERVICES * any(w, 2);

        if (any(w, 3) == 0) {
            continue;
        }
        *e = (struct svc_endpoint){.incarnation = 1000 + i * ENDPOINTS + k,
                                   .slot = k + 1,
                                   .address = THIS_BLOCK + (block << 10) + 1 + i * ENDPOINTS + k,
                                   .extra = any(w, 4) == 0 ? 0x0ac00000u + i * ENDPOINTS + k : 0,
                                   .networks = any(w, 1u << s->entry.n_networks),
                                   .ready = any(w, 3) > 0,
                                   .draining = any(w, 5) == 0};
        if (block == 0 && slot < LOCALS && w->locals[slot].there && any(w, 3) > 0) {
            e->incarnation = w->locals[slot].is.incarnation;
            e->address = w->locals[slot].is.address;
        }
        s->entry.n_endpoints++;
    }
}

static void add_ports(struct world *w, struct service *s)
{
    for (unsigned k = 0; k < PORTS; k++) {
        if (any(w, 3) == 0) {
            s->ports[s->entry.n_ports++] = (struct svc_port){
                .udp = any(w, 2), .published = (uint16_t)(80 + k), .target = (uint16_t)(8080 + k)};
        } else if (any(w, 6) == 0) {
            s->ports[s->entry.n_ports++] = (struct svc_port){
                .published = (uint16_t)(90 + k), .target = 9, .host_ip = 0xc0000201u + k};
        }
    }
}

static void change_service(struct world *w)
{
    unsigned i = any(w, SERVICES);
    struct service *s = &w->services[i];
    const char *stack, *service;

    name_service(i, &stack, &service);
    if (any(w, 4) == 0) {
        s->there = false;
        netplan_service(w->plan, stack, service, NULL, &w->diff);
        return;
    }
    make_service(w, i);
    add_endpoints(w, s, i);
    add_ports(w, s);
    netplan_service(w->plan, stack, service, &s->entry, &w->diff);
}

static void add_local_lists(struct world *w, struct local *l)
{
    for (unsigned n = 0; n < NETWORKS; n++) {
        if (any(w, 3) == 0) {
            l->networks[l->is.n_networks++] = networks[n];
        }
    }
    for (unsigned k = 0; k < PORTS; k++) {
        if (any(w, 3) == 0) {
            l->out[l->is.n_out].net = any(w, 3) << 28;
            l->out[l->is.n_out++].prefix = any(w, 9);
        }
        if (any(w, 3) == 0) {
            l->ports[l->is.n_ports++] =
                (struct netplan_port){.udp = any(w, 4) == 0,
                                      .host = any(w, 2) == 0,
                                      .published = (uint16_t)(80 + k + 100 * any(w, 2)),
                                      .target = (uint16_t)(8000 + any(w, 2)),
                                      .host_ip = any(w, 5) == 0 ? 0xc0000201u : 0};
        }
    }
    l->is.networks = l->networks;
    l->is.out = l->out;
    l->is.ports = l->ports;
}

/* Another run of it may have another address; nobody else has had it. */
static void change_local(struct world *w)
{
    unsigned i = any(w, LOCALS);
    struct local *l = &w->locals[i];
    bool stays = l->there && any(w, 2) == 0;
    uint32_t address = THIS_BLOCK + 0x100 + i + 16 * any(w, 4);

    if (l->there && any(w, 4) == 0) {
        l->there = false;
        netplan_local_gone(w->plan, l->is.incarnation, &w->diff);
        return;
    }
    if (stays) { /* only this */
        l->is.ready = any(w, 2);
        l->is.draining = any(w, 4) == 0;
        netplan_local(w->plan, &l->is, &w->diff);
        return;
    }
    memset(l, 0, sizeof(*l));
    l->there = true;
    l->service = i % SERVICES;
    l->is.incarnation = 100 + i;
    l->is.address = address;
    l->is.extra = any(w, 4) == 0 ? 0x0ac10000u + i : 0;
    name_service(l->service, &l->is.stack, &l->is.service);
    l->is.slot = 1 + i / SERVICES;
    l->is.ready = any(w, 3) > 0;
    l->is.draining = any(w, 5) == 0;
    l->is.no_out = any(w, 3) == 0;
    add_local_lists(w, l);
    netplan_local(w->plan, &l->is, &w->diff);
}

static void change_reach(struct world *w)
{
    unsigned i = any(w, BLOCKS);

    w->silent[i] = any(w, 2);
    netplan_reach(w->plan, THIS_BLOCK + ((i + 1) << 10), 22, !w->silent[i], &w->diff);
}

/* ---- the pretended kernel ---- */

static int by_key(const void *a, const void *b)
{
    return netelem_compare_key(a, b);
}

static unsigned find(const struct netelems *l, const struct netelem *e)
{
    const struct netelem *at = l->n > 0 ? bsearch(e, l->list, l->n, sizeof(*e), by_key) : NULL;

    return at != NULL ? (unsigned)(at - l->list) : l->n;
}

static void do_to_kernel(struct world *w)
{
    struct netelems *k = &w->kernel;

    netplan_diff_settle(&w->diff);
    for (unsigned i = 0; i < w->diff.removed.n; i++) {
        unsigned at = find(k, &w->diff.removed.list[i]);

        CHECK(w, at < k->n);
        CHECK(w, netelem_equal(&k->list[at], &w->diff.removed.list[i]));
        k->n--;
        memmove(&k->list[at], &k->list[at + 1], (k->n - at) * sizeof(*k->list));
    }
    for (unsigned i = 0; i < w->diff.added.n; i++) {
        CHECK(w, find(k, &w->diff.added.list[i]) == k->n);
        netelems_add(k, &w->diff.added.list[i]);
        netelems_sort(k);
    }
    CHECK(w, w->diff.backends_max == 0 || w->diff.backends_max == netplan_backends_max(w->plan));
    netplan_diff_finish(&w->diff);
}

/* ---- marks mean networks ---- */

/* The first of this node's containers that is on the same networks says which class it is. */
static uint32_t canon_of(const struct world *w, const struct local *l)
{
    for (unsigned i = 0;; i++) {
        const struct local *o = &w->locals[i];

        if (o->there && o->is.n_networks == l->is.n_networks &&
            memcmp(o->networks, l->networks, sizeof(l->networks)) == 0) {
            return 1000 + i;
        }
    }
}

static void canonical(const struct world *w, const struct netelems *from, struct netelems *to)
{
    uint32_t canon[LOCALS + 2] = {0}; /* a container may change from one to another */

    for (unsigned i = 0; i < from->n; i++) {
        for (unsigned k = 0; k < LOCALS && from->list[i].set == NETELEM_CLASS; k++) {
            const struct local *l = &w->locals[k];

            if (l->there && l->is.address == from->list[i].address) {
                CHECK(w, from->list[i].mark >= 1 && from->list[i].mark <= LOCALS + 1);
                canon[from->list[i].mark] = canon_of(w, l);
            }
        }
    }
    for (unsigned i = 0; i < from->n; i++) {
        struct netelem e = from->list[i];

        if (e.set == NETELEM_CLASS || e.set == NETELEM_REACH) {
            CHECK(w, e.mark <= LOCALS + 1 && canon[e.mark] != 0);
            e.mark = canon[e.mark];
        }
        netelems_add(to, &e);
    }
    netelems_sort(to);
}

/* ---- the simple model ---- */

/* An endpoint of a service: another node's that the table tells, or a container of this node. */
struct point {
    uint32_t address, extra;
    const char *networks[NETWORKS];
    unsigned n_networks;
    bool ready, answers;
    const struct local *here;
};

static unsigned points_of(const struct world *w, unsigned service, struct point *ret)
{
    const struct service *s = &w->services[service];
    unsigned n = 0;

    for (unsigned i = 0; s->there && i < s->entry.n_endpoints; i++) {
        const struct svc_endpoint *e = &s->endpoints[i];
        unsigned block = (e->address - THIS_BLOCK) >> 10;
        struct point *p = &ret[n];

        if (block == 0) {
            continue;
        }
        *p = (struct point){.address = e->address,
                            .extra = e->extra,
                            .ready = e->ready && !e->draining,
                            .answers = !w->silent[block - 1]};
        for (unsigned k = 0; k < s->entry.n_networks; k++) {
            if ((e->networks >> k & 1) != 0) {
                p->networks[p->n_networks++] = s->networks[k].name;
            }
        }
        n++;
    }
    for (unsigned i = 0; i < LOCALS; i++) {
        const struct local *l = &w->locals[i];

        if (l->there && l->service == service) {
            ret[n] = (struct point){.address = l->is.address,
                                    .extra = l->is.extra,
                                    .n_networks = l->is.n_networks,
                                    .ready = l->is.ready && !l->is.draining,
                                    .answers = true,
                                    .here = l};
            memcpy(ret[n++].networks, l->networks, sizeof(l->networks));
        }
    }
    return n;
}

static bool is_on(const char *const *list, unsigned n, const char *network)
{
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(list[i], network) == 0) {
            return true;
        }
    }
    return false;
}

static bool shares(const struct local *l, const struct point *p)
{
    for (unsigned i = 0; i < p->n_networks; i++) {
        if (is_on(l->networks, l->is.n_networks, p->networks[i])) {
            return true;
        }
    }
    return false;
}

static void put(struct netelems *to, struct netelem e)
{
    netelems_add(to, &e);
}

static bool is_inside(const struct netplan_cidr *inner, const struct netplan_cidr *outer)
{
    uint32_t mask = outer->prefix == 0 ? 0 : UINT32_MAX << (32 - outer->prefix);

    return outer->prefix <= inner->prefix && ((inner->net ^ outer->net) & mask) == 0;
}

static void model_out(const struct local *l, uint32_t address, struct netelems *ret)
{
    put(ret, (struct netelem){.set = NETELEM_NOOUT, .address = address});
    for (unsigned i = 0; i < l->is.n_out; i++) {
        const struct netplan_cidr *o = &l->out[i];
        uint32_t mask = o->prefix == 0 ? 0 : UINT32_MAX << (32 - o->prefix);
        bool inside = false;

        for (unsigned k = 0; k < l->is.n_out; k++) {
            inside = inside || (is_inside(o, &l->out[k]) && !is_inside(&l->out[k], o));
        }
        if (!inside) {
            put(ret, (struct netelem){.set = NETELEM_OUT,
                                      .address = address,
                                      .other = o->net & mask,
                                      .prefix = (uint8_t)o->prefix});
        }
    }
}

static void model_local(const struct world *w, const struct local *l, struct netelems *ret)
{
    const uint32_t addresses[] = {l->is.address, l->is.extra};

    for (unsigned a = 0; a < 2 && addresses[a] != 0; a++) {
        if (l->is.n_networks > 0) {
            put(ret, (struct netelem){
                         .set = NETELEM_CLASS, .address = addresses[a], .mark = canon_of(w, l)});
        }
        if (l->is.no_out) {
            model_out(l, addresses[a], ret);
        }
    }
    for (unsigned s = 0; s < SERVICES; s++) {
        struct point points[ENDPOINTS + LOCALS];
        unsigned n = points_of(w, s, points);

        for (unsigned i = 0; i < n; i++) {
            for (unsigned a = 0; a < 2 && shares(l, &points[i]); a++) {
                uint32_t address = a == 0 ? points[i].address : points[i].extra;

                if (address != 0) {
                    put(ret, (struct netelem){
                                 .set = NETELEM_REACH, .mark = canon_of(w, l), .address = address});
                }
            }
        }
    }
}

/* Of those that are ready the ones that answer, or else all. Appends the head and its backends. */
static void model_group(struct netelem head, uint8_t to_set, const struct point *const *ready,
                        const uint16_t *targets, unsigned n, struct netelems *ret)
{
    bool answers = false;
    unsigned at = ret->n;

    for (unsigned i = 0; i < n; i++) {
        answers = answers || ready[i]->answers;
    }
    put(ret, head);
    for (unsigned i = 0; i < n; i++) {
        struct netelem to = head;

        if (answers && !ready[i]->answers) {
            continue;
        }
        to.set = to_set;
        to.chain = NETELEM_CHAIN_NONE;
        to.index = ret->list[at].n++;
        to.to = ready[i]->address;
        to.to_port = targets != NULL ? targets[i] : 0;
        put(ret, to);
    }
    if (ret->list[at].n == 0) {
        ret->n = at;
    }
}

static void model_vips(const struct world *w, const struct service *s, const struct point *points,
                       unsigned n, struct netelems *ret)
{
    for (unsigned k = 0; k < s->entry.n_networks; k++) {
        const struct point *ready[ENDPOINTS + LOCALS];
        struct netelem head = {.set = NETELEM_VIP, .address = s->networks[k].vip};
        unsigned n_ready = 0;
        bool used = false;

        for (unsigned i = 0; i < LOCALS; i++) {
            const struct local *l = &w->locals[i];

            used = used || (l->there && is_on(l->networks, l->is.n_networks, s->networks[k].name));
        }
        for (unsigned i = 0; i < n; i++) {
            if (points[i].ready &&
                is_on(points[i].networks, points[i].n_networks, s->networks[k].name)) {
                ready[n_ready++] = &points[i];
            }
        }
        head.chain = s->entry.balance == SVC_BALANCE_CLIENT ? NETELEM_CHAIN_VIC : NETELEM_CHAIN_VIP;
        if (used && head.address != 0 && s->entry.balance != SVC_BALANCE_NONE) {
            model_group(head, NETELEM_VIP_TO, ready, NULL, n_ready, ret);
        }
    }
}

static void model_extras(const struct world *w, const struct point *points, unsigned n,
                         struct netelems *ret)
{
    for (unsigned i = 0; i < n; i++) {
        bool met = false;

        for (unsigned k = 0; k < LOCALS; k++) {
            for (unsigned m = 0; w->locals[k].there && m < points[i].n_networks; m++) {
                met = met || is_on(w->locals[k].networks, w->locals[k].is.n_networks,
                                   points[i].networks[m]);
            }
        }
        if (met && points[i].here == NULL && points[i].extra != 0) {
            put(ret, (struct netelem){.set = NETELEM_EXTRA, .address = points[i].extra});
            put(ret, (struct netelem){.set = NETELEM_VIP,
                                      .address = points[i].extra,
                                      .chain = NETELEM_CHAIN_VIP,
                                      .n = 1});
            put(ret, (struct netelem){.set = NETELEM_VIP_TO,
                                      .address = points[i].extra,
                                      .to = points[i].address});
        }
    }
}

static bool same_port(const struct netplan_port *a, const struct netplan_port *b)
{
    return a->udp == b->udp && a->published == b->published && a->host_ip == b->host_ip;
}

/* Who serves the port, and with which of its own; `told`: the entry has it, with `key->target`. */
static unsigned model_ready(const struct point *points, unsigned n, bool here, bool told,
                            const struct netplan_port *key, bool only_ready,
                            const struct point **ret, uint16_t *targets)
{
    unsigned found = 0;

    for (unsigned i = 0; i < n; i++) {
        uint16_t target = told ? key->target : 0;

        if ((points[i].here != NULL) != here || (only_ready && !points[i].ready)) {
            continue;
        }
        for (unsigned k = here ? points[i].here->is.n_ports : 0; k-- > 0;) {
            const struct netplan_port *own = &points[i].here->ports[k];

            target = same_port(own, key) ? own->target : target;
        }
        if (target != 0) {
            ret[found] = &points[i];
            targets[found++] = target;
        }
    }
    return found;
}

static void model_port(const struct point *points, unsigned n, bool told,
                       const struct netplan_port *key, struct netelems *ret)
{
    const struct point *list[ENDPOINTS + LOCALS];
    uint16_t targets[ENDPOINTS + LOCALS];
    struct netelem head = {.set = key->host_ip != 0 ? NETELEM_ONE : NETELEM_ANY,
                           .udp = key->udp,
                           .chain = key->host_ip != 0 ? NETELEM_CHAIN_ONE : NETELEM_CHAIN_ANY,
                           .port = key->published,
                           .address = key->host_ip};
    unsigned found = model_ready(points, n, true, told, key, false, list, targets);

    for (unsigned i = 0; i < found && (told || !key->host); i++) {
        put(ret, (struct netelem){.set = NETELEM_INGRESS,
                                  .address = list[i]->address,
                                  .udp = key->udp,
                                  .port = targets[i]});
    }
    found = model_ready(points, n, true, told, key, true, list, targets);
    if (found == 0) {
        found = model_ready(points, n, false, told, key, true, list, targets);
    }
    model_group(head, key->host_ip != 0 ? NETELEM_ONE_TO : NETELEM_ANY_TO, list, targets, found,
                ret);
}

static bool entry_has(const struct service *s, const struct netplan_port *key)
{
    for (unsigned i = 0; s->there && i < s->entry.n_ports; i++) {
        const struct svc_port *p = &s->ports[i];

        if (p->udp == key->udp && p->published == key->published && p->host_ip == key->host_ip) {
            return true;
        }
    }
    return false;
}

static bool entry_knows(const struct service *s, const struct local *l)
{
    for (unsigned i = 0; s->there && i < s->entry.n_endpoints; i++) {
        if (s->endpoints[i].incarnation == l->is.incarnation) {
            return true;
        }
    }
    return false;
}

static void model_ports(const struct world *w, unsigned service, const struct point *points,
                        unsigned n, struct netelems *ret)
{
    const struct service *s = &w->services[service];
    struct netplan_port done[LOCALS * PORTS];
    unsigned n_done = 0;

    for (unsigned i = 0; s->there && i < s->entry.n_ports; i++) {
        struct netplan_port key = {.udp = s->ports[i].udp,
                                   .published = s->ports[i].published,
                                   .target = s->ports[i].target,
                                   .host_ip = s->ports[i].host_ip};

        model_port(points, n, true, &key, ret);
    }
    for (unsigned i = 0; i < LOCALS; i++) {
        const struct local *l = &w->locals[i];

        for (unsigned k = 0; l->there && l->service == service && k < l->is.n_ports; k++) {
            const struct netplan_port *p = &l->ports[k];
            bool again = entry_has(s, p) || (!p->host && entry_knows(s, l));

            for (unsigned d = 0; d < n_done; d++) {
                again = again || same_port(&done[d], p);
            }
            if (!again) {
                done[n_done++] = *p;
                model_port(points, n, false, p, ret);
            }
        }
    }
}

/* Of a port that several have, the first by name has it: netelems_sort() leaves the first. But it
 * must leave no backends of others. */
static void model_service(const struct world *w, unsigned service, struct netelems *ret)
{
    struct point points[ENDPOINTS + LOCALS];
    struct netelems own = {0};
    unsigned n = points_of(w, service, points);
    const unsigned before = ret->n;
    bool taken = false;

    if (w->services[service].there) {
        model_vips(w, &w->services[service], points, n, &own);
        model_extras(w, points, n, &own);
    }
    model_ports(w, service, points, n, &own);
    for (unsigned i = 0; i < own.n; i++) {
        const struct netelem *e = &own.list[i];

        if (e->set == NETELEM_ANY || e->set == NETELEM_ONE) {
            taken = false;
            for (unsigned k = 0; k < before; k++) {
                taken = taken || netelem_compare_key(&ret->list[k], e) == 0;
            }
        }
        if (!taken || (e->set != NETELEM_ANY && e->set != NETELEM_ANY_TO && e->set != NETELEM_ONE &&
                       e->set != NETELEM_ONE_TO)) {
            netelems_add(ret, e);
        }
    }
    netelems_finish(&own);
}

static int by_name(const void *a, const void *b)
{
    const unsigned *x = a, *y = b;
    const char *stack[2], *service[2];

    name_service(*x, &stack[0], &service[0]);
    name_service(*y, &stack[1], &service[1]);
    if (strcmp(stack[0], stack[1]) != 0) {
        return strcmp(stack[0], stack[1]);
    }
    return strcmp(service[0], service[1]);
}

static void model(const struct world *w, struct netelems *ret)
{
    unsigned order[SERVICES];

    for (unsigned i = 0; i < SERVICES; i++) {
        order[i] = i;
    }
    qsort(order, SERVICES, sizeof(order[0]), by_name);
    for (unsigned i = 0; i < SERVICES; i++) {
        model_service(w, order[i], ret);
    }
    for (unsigned i = 0; i < LOCALS; i++) {
        if (w->locals[i].there) {
            model_local(w, &w->locals[i], ret);
        }
    }
    netelems_sort(ret);
}

/* ---- what must hold ---- */

static void check_equal(const struct world *w, const struct netelems *a, const struct netelems *b,
                        const char *what)
{
    for (unsigned i = 0; i < a->n || i < b->n; i++) {
        if (i == a->n || i == b->n || !netelem_equal(&a->list[i], &b->list[i])) {
            const struct netelem *e = i < a->n ? &a->list[i] : &b->list[i];

            (void)printf("element %u: set %u, address %x, port %u, mark %u\n", i, e->set,
                         e->address, e->port, e->mark);
            fail(w, what);
        }
    }
}

/* Told in another order: first the nodes, then this node's containers, then the services. */
static struct netplan *fresh(const struct world *w)
{
    struct netplan *p = netplan_create(&config);
    struct netplan_diff d = {0};

    for (unsigned i = BLOCKS; i-- > 0;) {
        netplan_reach(p, THIS_BLOCK + ((i + 1) << 10), 22, !w->silent[i], &d);
    }
    for (unsigned i = LOCALS; i-- > 0;) {
        if (w->locals[i].there) {
            netplan_local(p, &w->locals[i].is, &d);
        }
    }
    for (unsigned i = 0; i < SERVICES; i++) {
        const char *stack, *service;

        name_service(i, &stack, &service);
        if (w->services[i].there) {
            netplan_service(p, stack, service, &w->services[i].entry, &d);
        }
    }
    netplan_diff_finish(&d);
    return p;
}

static void check(struct world *w)
{
    struct netelems all = {0}, canon = {0}, other = {0}, other_canon = {0}, modelled = {0};
    struct netplan *again = fresh(w);

    netplan_all(w->plan, &all);
    check_equal(w, &w->kernel, &all, "differences make what is wanted");
    canonical(w, &all, &canon);
    netplan_all(again, &other);
    canonical(w, &other, &other_canon);
    check_equal(w, &canon, &other_canon, "a fresh plan wants the same");
    CHECK(w, netplan_backends_max(w->plan) == netplan_backends_max(again));
    model(w, &modelled);
    check_equal(w, &canon, &modelled, "the model wants the same");
    netplan_destroy(again);
    netelems_finish(&all);
    netelems_finish(&canon);
    netelems_finish(&other);
    netelems_finish(&other_canon);
    netelems_finish(&modelled);
}

/* When all have gone, nothing is left. */
static void check_empty(struct world *w)
{
    for (unsigned i = 0; i < LOCALS; i++) {
        netplan_local_gone(w->plan, 100 + i, &w->diff);
        w->locals[i].there = false;
    }
    for (unsigned i = 0; i < SERVICES; i++) {
        const char *stack, *service;

        name_service(i, &stack, &service);
        netplan_service(w->plan, stack, service, NULL, &w->diff);
        w->services[i].there = false;
    }
    do_to_kernel(w);
    CHECK(w, w->kernel.n == 0);
    check(w);
}

static void one_world(uint64_t seed)
{
    struct world *w = xcalloc(1, sizeof(*w));

    w->seed = seed;
    w->random = seed * 0x9e3779b97f4a7c15ull | 1;
    w->plan = netplan_create(&config);
    for (unsigned i = 0; i < STEPS; i++) {
        switch (any(w, 5)) {
        case 0:
            change_reach(w);
            break;
        case 1:
        case 2:
            change_service(w);
            break;
        default:
            change_local(w);
            break;
        }
        if (any(w, 3) == 0) { /* else the next goes with it */
            do_to_kernel(w);
            check(w);
        }
    }
    check_empty(w);
    netplan_destroy(w->plan);
    netelems_finish(&w->kernel);
    free(w);
}

/* ---- what one change costs ---- */

#define CROWD    10u
#define CHANGES  1000u
#define LIMIT_US 200.0 /* a change takes a few, on a machine that has nothing else to do */

struct crowd {
    struct netplan *plan;
    unsigned n;
    struct svc_entry *entries;
    struct svc_network *networks;
    struct svc_endpoint *endpoints;
};

static void crowd_add(struct crowd *c, unsigned i, struct netplan_diff *d)
{
    struct svc_network *n = &c->networks[i];
    struct svc_endpoint *list = &c->endpoints[i * CROWD];
    struct svc_entry *e = &c->entries[i];

    (void)snprintf(n->name, sizeof(n->name), "n%u", i % 500);
    n->vip = 0x0af00000u + i;
    for (unsigned k = 0; k < CROWD; k++) {
        list[k] = (struct svc_endpoint){.incarnation = 1 + i * CROWD + k,
                                        .slot = k + 1,
                                        .address = 0x0a810000u + i * CROWD + k,
                                        .networks = 1,
                                        .ready = true};
    }
    *e =
        (struct svc_entry){.networks = n, .n_networks = 1, .endpoints = list, .n_endpoints = CROWD};
    (void)snprintf(e->stack, sizeof(e->stack), "s%u", i % 500);
    (void)snprintf(e->service, sizeof(e->service), "x%u", i);
    netplan_service(c->plan, e->stack, e->service, e, d);
}

/* A container of this node on every network. */
static void crowd_locals(struct crowd *c, struct netplan_diff *d)
{
    for (unsigned i = 0; i < 500 && i < c->n; i++) {
        const char *network = c->networks[i].name;
        struct netplan_local l = {.incarnation = 1000000 + i,
                                  .address = THIS_BLOCK + 1 + i,
                                  .stack = c->entries[i].stack,
                                  .service = "client",
                                  .networks = &network,
                                  .n_networks = 1,
                                  .ready = true};

        netplan_local(c->plan, &l, d);
    }
}

/* Microseconds of one change. */
static double crowd_change(struct crowd *c)
{
    struct timespec from, to;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    for (unsigned i = 0; i < CHANGES; i++) {
        unsigned which = i * 7919u % c->n;
        struct svc_entry *e = &c->entries[which];
        struct svc_endpoint *last = &c->endpoints[which * CROWD + CROWD - 1];
        struct netplan_diff d = {0};

        last->ready = !last->ready;
        netplan_service(c->plan, e->stack, e->service, e, &d);
        netplan_diff_settle(&d);
        if (d.removed.n + d.added.n != 3 || d.n_flush != 0) { /* the head, twice, and a backend */
            (void)printf("one change is %u removed, %u added\n", d.removed.n, d.added.n);
            exit(1);
        }
        netplan_diff_finish(&d);
    }
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    return ((double)(to.tv_sec - from.tv_sec) * 1e6 + (double)(to.tv_nsec - from.tv_nsec) / 1e3) /
           CHANGES;
}

static double crowd(unsigned n)
{
    struct crowd c = {.plan = netplan_create(&config),
                      .n = n,
                      .entries = xcalloc(n, sizeof(*c.entries)),
                      .networks = xcalloc(n, sizeof(*c.networks)),
                      .endpoints = xcalloc((size_t)n * CROWD, sizeof(*c.endpoints))};
    struct netplan_diff d = {0};
    double us;

    for (unsigned i = 0; i < n; i++) {
        crowd_add(&c, i, &d);
    }
    crowd_locals(&c, &d);
    netplan_diff_settle(&d);
    netplan_diff_finish(&d);
    us = crowd_change(&c);
    (void)printf("%u services of %u endpoints: one endpoint's change takes %.1f us\n", n, CROWD,
                 us);
    netplan_destroy(c.plan);
    free(c.entries);
    free(c.networks);
    free(c.endpoints);
    return us;
}

int main(int argc, char **argv)
{
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 100;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

    for (uint64_t i = 0; i < seeds; i++) {
        one_world(first + i);
    }
    (void)printf("%" PRIu64 " worlds from seed %" PRIu64 "\n", seeds, first);
    (void)crowd(50);
    if (crowd(5000) > LIMIT_US) {
        (void)printf("that is more than %.0f us\n", LIMIT_US);
        return 1;
    }
    return 0;
}
