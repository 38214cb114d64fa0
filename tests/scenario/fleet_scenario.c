// SPDX-License-Identifier: Apache-2.0
/* Runs the controller's core through a transcript, like agent_scenario: lines that begin with '@'
 * are events, lines that begin with '>' what the core does. What it wants stored is durable at
 * once, but after `manual`.
 *
 *   fleet_scenario FILE…           compare; prints the first differing line
 *   fleet_scenario --write FILE…   write what happens into the file
 *
 * Events (words of services and nodes as in tests/lib/fleet_text.h):
 *   @MS cluster [epoch=N] [rev=N] [blocks=N] [vips=BITS]: 1 << BITS addresses for them;  @MS
 * loaded;  @MS loadnode NODE [lost]
 *   @MS loadstack STACK | SERVICE | …;  @MS loadplace STACK SERVICE SLOT INC NODE [other] [stop]
 *   @MS hello NODE… [epoch=N] [rev=N];  @MS all NODE [INC STACK SERVICE SLOT]…: reports all it runs
 *   @MS loadvip STACK SERVICE NETWORK ADDRESS
 *   @MS apply STACK [prune] [net=NETWORK]… | SERVICE | …;  @MS delete STACK [SERVICE];  @MS facts
 * NODE…
 *   @MS run NODE: it runs, and stops, all that it shall;  @MS gone NODE: its session has ended
 *   @MS see INC PHASE [healthy|unhealthy|starting] [code=N] [restarts=N] [oom]: one observation
 *   @MS beat NODE;  @MS lost NODE;  @MS forget VOLUME;  @MS stall GAP;  @MS tick;  @MS persisted
 *   @MS state: prints every slot and node;  @MS services: prints what nodes know of each  @MS
 * manual */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "tests/lib/fleet_text.h"
#include "tests/lib/transcript.h"

#define UNIX_BASE 1700000000000ull
#define SERVICES  16
#define LIST      256
#define NETWORKS  8
#define RANGE     0x0a800000u /* 10.128.0.0 */

struct play {
    struct fleet *fleet;
    struct buf out;
    uint64_t now_ms;
    uint64_t seq;
    uint64_t request;
    bool manual;
    bool loaded;
};

static void feed(struct play *p, struct fleet_event *e)
{
    struct fleet_actions actions = {0};

    e->now_ms = p->now_ms;
    e->unix_ms = UNIX_BASE + p->now_ms;
    fleet_step(p->fleet, e, &actions);
    fleet_text_actions(p->fleet, &actions, p->manual, &p->out);
    fleet_actions_finish(&actions);
    if (p->loaded && !p->manual && fleet_revision(p->fleet) > fleet_durable(p->fleet)) {
        struct fleet_event done = {.type = FLEET_PERSISTED, .u.revision = fleet_revision(p->fleet)};

        feed(p, &done);
    }
}

static uint64_t number(const char *rest, const char *key, uint64_t otherwise)
{
    char pattern[32];
    const char *at;

    (void)snprintf(pattern, sizeof(pattern), " %s=", key);
    at = strstr(rest, pattern);
    return at != NULL ? strtoull(at + strlen(pattern), NULL, 10) : otherwise;
}

/* Cuts "KEY=…" out of the text and returns its number. */
static uint64_t cut(char *rest, const char *key, uint64_t otherwise)
{
    uint64_t n = number(rest, key, otherwise);
    char pattern[32];
    char *at, *end;

    (void)snprintf(pattern, sizeof(pattern), " %s=", key);
    at = strstr(rest, pattern);
    if (at != NULL) {
        end = at + 1 + strcspn(at + 1, " ");
        memmove(at, end, strlen(end) + 1);
    }
    return n;
}

/* "STACK [prune] [net=NETWORK] | SERVICE | SERVICE" */
static int stack_of(char *rest, struct fleet_text_service *services, struct fleet_want *wants,
                    struct fleet_network *networks, struct fleet_stack_want *ret, bool *ret_prune)
{
    struct id128 sum = {0};
    char *save = NULL, *head = strtok_r(rest, "|", &save), *word;
    char *inner = NULL;

    *ret = (struct fleet_stack_want){
        .name = strtok_r(head, " ", &inner), .wants = wants, .networks = networks};
    *ret_prune = false;
    while ((word = strtok_r(NULL, " ", &inner)) != NULL) {
        *ret_prune |= strcmp(word, "prune") == 0;
        if (strncmp(word, "net=", 4) == 0 && ret->n_networks < NETWORKS) {
            struct id128 hash = id128_hash(word, strlen(word));

            (void)fleet_text_network(word + 4, &networks[ret->n_networks++]);
            sum = id128_add(sum, hash);
        }
    }
    for (char *text; (text = strtok_r(NULL, "|", &save)) != NULL && ret->n_wants < SERVICES;) {
        struct fleet_text_service *s = &services[ret->n_wants];

        if (fleet_text_service(text, s) < 0) {
            return -EINVAL;
        }
        wants[ret->n_wants++] = s->want;
        sum = id128_add(sum, id128_from_bytes(s->want.digest));
    }
    id128_to_bytes(sum, ret->digest);
    return 0;
}

static int do_stack(struct play *p, char *rest, enum fleet_event_type type)
{
    struct fleet_text_service *services = xcalloc(SERVICES, sizeof(*services));
    struct fleet_want wants[SERVICES];
    struct fleet_network networks[NETWORKS];
    struct fleet_event e = {.type = type};
    struct fleet_stack_want stack;
    bool prune;
    int rc = stack_of(rest, services, wants, networks, &stack, &prune);

    if (type == FLEET_APPLY) {
        e.u.apply.request = ++p->request;
        e.u.apply.stack = stack;
        e.u.apply.prune = prune;
    } else {
        e.u.load_stack.stack = stack;
        e.u.load_stack.revision = 1;
    }
    if (rc == 0) {
        feed(p, &e);
    }
    free(services);
    return rc;
}

static int do_apply(struct play *p, char *rest)
{
    return do_stack(p, rest, FLEET_APPLY);
}

static int do_loadstack(struct play *p, char *rest)
{
    return do_stack(p, rest, FLEET_LOAD_STACK);
}

static int do_cluster(struct play *p, char *rest)
{
    struct fleet_event e = {.type = FLEET_LOAD_CLUSTER};

    fleet_destroy(p->fleet);
    p->fleet = fleet_create();
    p->loaded = false;
    e.u.cluster.epoch = number(rest, "epoch", 1);
    e.u.cluster.revision = number(rest, "rev", 0);
    e.u.cluster.blocks_max = (uint32_t)number(rest, "blocks", 100);
    e.u.cluster.range = RANGE;
    e.u.cluster.range_prefix = 29u - (unsigned)number(rest, "vips", 20);
    e.u.cluster.node_prefix = 28;
    feed(p, &e);
    return 0;
}

static int do_plain(struct play *p, enum fleet_event_type type)
{
    struct fleet_event e = {.type = type};

    if (type == FLEET_PERSISTED) {
        e.u.revision = fleet_revision(p->fleet);
    }
    feed(p, &e);
    return 0;
}

static int do_loaded(struct play *p, char *rest)
{
    (void)rest;
    p->loaded = true;
    return do_plain(p, FLEET_LOAD_DONE);
}

static int do_tick(struct play *p, char *rest)
{
    (void)rest;
    return do_plain(p, FLEET_TICK);
}

static int do_persisted(struct play *p, char *rest)
{
    (void)rest;
    return do_plain(p, FLEET_PERSISTED);
}

static int do_loadnode(struct play *p, char *rest)
{
    struct fleet_event e = {.type = FLEET_LOAD_NODE};
    char name[FLEET_NAME];

    if (sscanf(rest, " %63s", name) != 1) {
        return -EINVAL;
    }
    e.u.node.id = fleet_text_id(name);
    e.u.node.name = name;
    e.u.node.block = fleet_nodes(p->fleet);
    e.u.node.lost = strstr(rest, " lost") != NULL;
    feed(p, &e);
    return 0;
}

static int do_loadplace(struct play *p, char *rest)
{
    struct fleet_event e = {.type = FLEET_LOAD_PLACEMENT};
    char stack[FLEET_NAME], service[FLEET_NAME], inc[64], node[FLEET_NAME];
    struct fleet_text_service *s = xcalloc(1, sizeof(*s));

    if (sscanf(rest, " %63s %63s %u %63s %63s", stack, service, &e.u.placement.slot, inc, node) !=
        5) {
        free(s);
        return -EINVAL;
    }
    (void)fleet_text_service(service, s);
    e.u.placement.stack = stack;
    e.u.placement.service = service;
    e.u.placement.incarnation = fleet_text_incarnation(inc);
    e.u.placement.node_id = fleet_text_id(node);
    memcpy(e.u.placement.revision, s->want.revision, FLEET_DIGEST);
    e.u.placement.current = strstr(rest, " other") == NULL;
    e.u.placement.stop = strstr(rest, " stop") != NULL;
    feed(p, &e);
    free(s);
    return 0;
}

static int do_loadvip(struct play *p, char *rest)
{
    struct fleet_event e = {.type = FLEET_LOAD_VIP};
    char stack[FLEET_NAME], service[FLEET_NAME], network[SVC_NETWORK_MAX];
    unsigned a, b, c, d;

    if (sscanf(rest, " %63s %63s %127s %u.%u.%u.%u", stack, service, network, &a, &b, &c, &d) !=
        7) {
        return -EINVAL;
    }
    e.u.vip.stack = stack;
    e.u.vip.service = service;
    e.u.vip.network = network;
    e.u.vip.address = a << 24 | b << 16 | c << 8 | d;
    feed(p, &e);
    return 0;
}

static int do_hello(struct play *p, char *rest)
{
    struct fleet_text_node *n = xcalloc(1, sizeof(*n));
    struct fleet_event e = {.type = FLEET_NODE_HELLO};
    int rc;

    e.u.hello.position.epoch = cut(rest, "epoch", 0);
    e.u.hello.position.revision = cut(rest, "rev", 0);
    rc = fleet_text_node(rest, n);
    if (rc == 0) {
        e.u.hello.node_id = fleet_text_id(n->name);
        e.u.hello.name = n->name;
        e.u.hello.facts = n->facts;
        e.u.hello.observed_sum.lo = 1; /* not what the controller knows: it shall ask for all */
        feed(p, &e);
    }
    free(n);
    return rc;
}

static int do_facts(struct play *p, char *rest)
{
    struct fleet_text_node *n = xcalloc(1, sizeof(*n));
    struct fleet_event e = {.type = FLEET_FACTS};
    int rc = fleet_text_node(rest, n);

    if (rc == 0) {
        e.u.facts.node_id = fleet_text_id(n->name);
        e.u.facts.facts = n->facts;
        feed(p, &e);
    }
    free(n);
    return rc;
}

struct seen {
    struct play *play;
    struct fleet_observation list[LIST];
    unsigned n;
    uint64_t gone[LIST];
    unsigned n_gone;
};

static void observed(struct play *p, const char *node, const struct seen *seen, bool all)
{
    struct fleet_event e = {.type = FLEET_OBSERVED};

    e.u.observed.node_id = fleet_text_id(node);
    e.u.observed.list = seen->list;
    e.u.observed.n = seen->n;
    e.u.observed.gone = seen->gone;
    e.u.observed.n_gone = seen->n_gone;
    e.u.observed.all_begin = e.u.observed.all_end = all;
    feed(p, &e);
}

/* On a network it has one, out of its node's block, as many from its begin as its incarnation
 * counts. */
static uint32_t address_of(const struct fleet_placement_view *v)
{
    return v->ask->n_networks > 0
               ? RANGE + (uint32_t)(v->node_name[0] - 'a') * 256 + (uint32_t)v->incarnation
               : 0;
}

static void as_wanted(void *arg, const struct fleet_placement_view *v)
{
    struct seen *s = arg;
    struct fleet_observation *o = &s->list[s->n];

    if (s->n == LIST || s->n_gone == LIST) {
        return;
    }
    if (v->stop) {
        s->gone[s->n_gone++] = v->incarnation;
        return;
    }
    if (v->observed->phase >= FLEET_PHASE_RUNNING) {
        return;
    }
    *o = (struct fleet_observation){.incarnation = v->incarnation,
                                    .run = 1,
                                    .seq = ++s->play->seq,
                                    .phase = FLEET_PHASE_RUNNING,
                                    .health = FLEET_HEALTH_HEALTHY,
                                    .address = address_of(v),
                                    .stack = v->stack,
                                    .service = v->service,
                                    .slot = v->slot};
    s->n++;
}

static int do_run(struct play *p, char *rest)
{
    struct seen *s = xcalloc(1, sizeof(*s));
    char node[FLEET_NAME];

    s->play = p;
    if (sscanf(rest, " %63s", node) == 1) {
        fleet_node_each(p->fleet, fleet_text_id(node), 0, as_wanted, s);
        observed(p, node, s, false);
    }
    free(s);
    return 0;
}

static int do_all(struct play *p, char *rest)
{
    struct seen *s = xcalloc(1, sizeof(*s));
    struct fleet_placement_view v;
    char *save = NULL, *node = strtok_r(rest, " ", &save), *inc;

    while ((inc = strtok_r(NULL, " ", &save)) != NULL) {
        struct fleet_observation *o = &s->list[s->n++];
        struct fleet_text_service *text = xcalloc(1, sizeof(*text));

        o->incarnation = fleet_text_incarnation(inc);
        if (fleet_placement_find(p->fleet, o->incarnation, &v)) {
            o->address = address_of(&v);
        }
        o->run = 1;
        o->seq = ++p->seq;
        o->phase = FLEET_PHASE_RUNNING;
        o->health = FLEET_HEALTH_HEALTHY;
        o->stack = strtok_r(NULL, " ", &save);
        o->service = strtok_r(NULL, " ", &save);
        o->slot = (uint32_t)strtoul(strtok_r(NULL, " ", &save), NULL, 10);
        (void)fleet_text_service(o->service, text);
        memcpy(o->revision, text->want.revision, FLEET_DIGEST);
        free(text);
    }
    observed(p, node, s, true);
    free(s);
    return 0;
}

static enum fleet_phase phase_of(const char *word)
{
    for (unsigned i = 0; i <= FLEET_PHASE_UNKNOWN; i++) {
        if (strcmp(word, fleet_phase_name((enum fleet_phase)i)) == 0) {
            return (enum fleet_phase)i;
        }
    }
    return FLEET_PHASE_NONE;
}

static int do_see(struct play *p, char *rest)
{
    struct seen *s = xcalloc(1, sizeof(*s));
    struct fleet_observation *o = &s->list[0];
    struct fleet_placement_view v;
    char inc[64], phase[32], node[FLEET_NAME];

    if (sscanf(rest, " %63s %31s", inc, phase) != 2 ||
        !fleet_placement_find(p->fleet, fleet_text_incarnation(inc), &v)) {
        free(s);
        return -EINVAL;
    }
    s->n = 1;
    *o = (struct fleet_observation){.incarnation = v.incarnation, .seq = ++p->seq};
    o->run = (uint32_t)number(rest, "run", 1);
    o->phase = phase_of(phase);
    o->health = strstr(rest, " unhealthy") != NULL  ? FLEET_HEALTH_UNHEALTHY
                : strstr(rest, " healthy") != NULL  ? FLEET_HEALTH_HEALTHY
                : strstr(rest, " starting") != NULL ? FLEET_HEALTH_STARTING
                                                    : FLEET_HEALTH_NONE;
    o->exit_known = strstr(rest, " code=") != NULL;
    o->exit_code = (int32_t)number(rest, "code", 0);
    o->restarts = (uint32_t)number(rest, "restarts", 0);
    o->oom_killed = strstr(rest, " oom") != NULL;
    o->address = o->phase == FLEET_PHASE_DONE ? 0 : address_of(&v);
    o->reason = o->oom_killed ? "killed: out of memory" : NULL;
    (void)snprintf(node, sizeof(node), "%s", v.node_name);
    observed(p, node, s, false);
    free(s);
    return 0;
}

static int do_delete(struct play *p, char *rest)
{
    struct fleet_event e = {.type = FLEET_DELETE};
    char *save = NULL;

    e.u.del.request = ++p->request;
    e.u.del.stack = strtok_r(rest, " ", &save);
    e.u.del.service = strtok_r(NULL, " ", &save);
    feed(p, &e);
    return 0;
}

static int do_named(struct play *p, char *rest, enum fleet_event_type type)
{
    struct fleet_event e = {.type = type};
    char name[FLEET_VOLUME];

    if (sscanf(rest, " %127s", name) != 1) {
        return -EINVAL;
    }
    if (type == FLEET_NODE_LOST) {
        e.u.lost.request = ++p->request;
        e.u.lost.name = name;
    } else if (type == FLEET_VOLUME_FORGET) {
        e.u.forget.request = ++p->request;
        e.u.forget.name = name;
    } else {
        e.u.node_id = fleet_text_id(name);
    }
    feed(p, &e);
    return 0;
}

static int do_lost(struct play *p, char *rest)
{
    return do_named(p, rest, FLEET_NODE_LOST);
}

static int do_forget(struct play *p, char *rest)
{
    return do_named(p, rest, FLEET_VOLUME_FORGET);
}

static int do_gone(struct play *p, char *rest)
{
    return do_named(p, rest, FLEET_NODE_GONE);
}

static int do_beat(struct play *p, char *rest)
{
    return do_named(p, rest, FLEET_HEARTBEAT);
}

static int do_stall(struct play *p, char *rest)
{
    struct fleet_event e = {.type = FLEET_STALL};

    e.u.stall.gap_ms = strtoull(rest, NULL, 10);
    feed(p, &e);
    return 0;
}

static int do_state(struct play *p, char *rest)
{
    (void)rest;
    fleet_text_state(p->fleet, &p->out);
    return 0;
}

static int do_services(struct play *p, char *rest)
{
    (void)rest;
    fleet_text_services(p->fleet, &p->out);
    return 0;
}

static int do_manual(struct play *p, char *rest)
{
    (void)rest;
    p->manual = true;
    return 0;
}

static const struct {
    const char *verb;
    int (*run)(struct play *p, char *rest);
} verbs[] = {
    {"cluster", do_cluster},     {"loaded", do_loaded},
    {"loadnode", do_loadnode},   {"loadstack", do_loadstack},
    {"loadplace", do_loadplace}, {"loadvip", do_loadvip},
    {"hello", do_hello},         {"all", do_all},
    {"apply", do_apply},         {"delete", do_delete},
    {"facts", do_facts},         {"run", do_run},
    {"gone", do_gone},           {"see", do_see},
    {"beat", do_beat},           {"lost", do_lost},
    {"forget", do_forget},       {"stall", do_stall},
    {"tick", do_tick},           {"persisted", do_persisted},
    {"state", do_state},         {"services", do_services},
    {"manual", do_manual},
};

static int one_line(struct play *p, const char *text)
{
    auto_free char *copy = xstrdup(text);
    unsigned long long now;
    char verb[32];
    int n = 0;

    if (sscanf(text, "@%llu %31s%n", &now, verb, &n) != 2) {
        return -EINVAL;
    }
    p->now_ms = now;
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (strcmp(verbs[i].verb, verb) == 0) {
            return verbs[i].run(p, copy + n);
        }
    }
    return -EINVAL;
}

static int play_all(char *script, struct buf *out)
{
    struct play p = {.fleet = fleet_create()};
    char *save = NULL;
    int rc = 0;

    for (char *text = strtok_r(script, "\n", &save); text != NULL && rc == 0;
         text = strtok_r(NULL, "\n", &save)) {
        if (text[0] == '>') {
            continue;
        }
        buf_printf(&p.out, "%s\n", text);
        if (text[0] == '@' && (rc = one_line(&p, text)) < 0) {
            (void)fprintf(stderr, "what is this: %s\n", text);
        }
    }
    fleet_destroy(p.fleet);
    *out = p.out;
    return rc;
}

int main(int argc, char **argv)
{
    return transcript_main(argc, argv, play_all);
}
