// SPDX-License-Identifier: Apache-2.0
/* Questions about the network: the two sides of a way from a container to another. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/netfacts.h"
#include "agent/uv_agent_ask_priv.h"
#include "agent/uv_agent_net_priv.h"
#include "common/cleanup.h"

#define ADDRESS_TEXT 16

static void address_to(uint32_t a, char ret[ADDRESS_TEXT])
{
    (void)snprintf(ret, ADDRESS_TEXT, "%u.%u.%u.%u", a >> 24, a >> 16 & 0xff, a >> 8 & 0xff,
                   a & 0xff);
}

/* ---- the container that is meant ---- */

struct meant {
    const struct unit *unit; /* NULL: nothing is known of it */
    const struct node_container *container;
    uint32_t address; /* of its present run; 0: none */
};

static struct meant find(const struct ask_question *q)
{
    uint64_t incarnation = askrow_number(q->what->args, q->what->len, "incarnation");
    struct meant m = {.unit = uv_agent_unit(q->agent, incarnation),
                      .container = node_find(q->agent->node, incarnation)};

    for (const struct attempt *at = m.unit != NULL && m.container != NULL ? m.unit->attempts : NULL;
         at != NULL; at = at->next) {
        m.address = at->of.run == m.container->run ? at->address : m.address;
    }
    return m;
}

static const char *state_of(const struct meant *m)
{
    static const char *const words[] = {
        [NODE_PHASE_WAITING] = "waiting", [NODE_PHASE_STARTING] = "starting",
        [NODE_PHASE_RUNNING] = "running", [NODE_PHASE_STOPPING] = "stopping",
        [NODE_PHASE_EXITED] = "over",     [NODE_PHASE_DONE] = "over",
        [NODE_PHASE_UNKNOWN] = "unknown"};
    unsigned phase = m->container != NULL ? (unsigned)m->container->phase : 0;

    return phase > 0 && phase < ARRAY_LEN(words) ? words[phase] : "gone";
}

static void put_self(struct ask_question *q, const struct meant *m)
{
    char address[ADDRESS_TEXT] = "";

    if (m->address != 0) {
        address_to(m->address, address);
    }
    askrow_put(q->rows, "fact", "self");
    askrow_put(q->rows, "container", m->unit != NULL ? m->unit->name : "");
    askrow_put(q->rows, "state", state_of(m));
    askrow_put(q->rows, "address", address);
    askrow_end(q->rows);
}

/* ---- A's side ---- */

/* Whether an exception of `x-wherry.egress` holds the address. */
static bool is_excepted(const struct order *order, uint32_t address)
{
    unsigned prefix;
    uint32_t net;

    for (unsigned i = 0; order_egress_to(order, i, &net, &prefix); i++) {
        if (prefix == 0 || (address ^ net) >> (32 - prefix) == 0) {
            return true;
        }
    }
    return false;
}

/* May it leave the cluster? Where that depends on an address that only the resolvers know, it is
 * not said. */
static void put_egress(struct ask_question *q, const struct order *order, bool internal,
                       const struct netfacts_targets *targets)
{
    bool restricted = order != NULL && order_egress_restricted(order);
    unsigned prefix;
    uint32_t net;
    bool some = restricted && order_egress_to(order, 0, &net, &prefix);
    bool refused = internal || (restricted && !some) ||
                   (some && targets->n > 0 && !is_excepted(order, targets->list[0]));

    askrow_put(q->rows, "fact", "egress");
    askrow_put(q->rows, "allowed", refused ? "0" : some && targets->n == 0 ? "" : "1");
    askrow_put(q->rows, "why",
               internal ? "all its networks are internal"
               : some   ? "its x-wherry.egress allows only some networks"
                        : "its x-wherry.egress denies it");
    askrow_end(q->rows);
}

static int answers(void *arg, uint32_t address)
{
    const struct net_up *up = arg;

    return up != NULL && up->reach != NULL ? uv_reach_state(up->reach, address) : -1;
}

/* "10.128.0.0/9"; it has been checked when it was told. */
static void read_range(const char *text, uint32_t *ret_net, unsigned *ret_prefix)
{
    auto_free char *net = xstrndup(text, strcspn(text, "/"));
    const char *slash = strchr(text, '/');
    struct in_addr in = {0};

    (void)inet_pton(AF_INET, net, &in);
    *ret_net = ntohl(in.s_addr);
    *ret_prefix = slash != NULL ? (unsigned)strtoul(slash + 1, NULL, 10) : 32;
}

static void world_of(const struct uv_agent *a, struct netfacts_world *ret)
{
    struct net_up *up = a->net != NULL ? a->net->up : NULL;

    *ret = (struct netfacts_world){.answers = answers, .arg = up};
    if (up != NULL) {
        ret->table = a->net->table;
        ret->names = up->names;
        read_range(a->ledger.cluster_range, &ret->range, &ret->range_prefix);
    }
}

/* Names are looked up for whoever is on these networks. Returns whether all are internal. */
static bool asker_of(const struct meant *m, const char *networks[SVC_NETWORKS_MAX],
                     struct dns_asker *ret)
{
    struct order_network_use use;
    bool internal = true;

    *ret = (struct dns_asker){.networks = networks, .stack = m->unit->stack};
    while (m->unit->order != NULL && ret->n_networks < SVC_NETWORKS_MAX &&
           order_network_use(m->unit->order, ret->n_networks, &use)) {
        networks[ret->n_networks++] = use.name;
        internal &= use.internal;
    }
    ret->no_out = internal && ret->n_networks > 0;
    return ret->no_out;
}

/* The controller's own idea of where the name leads: for a node that has no names yet. */
static void guess(const struct ask_question *q, struct netfacts_targets *targets)
{
    auto_free char *list = xstrdup(askrow_text(q->what->args, q->what->len, "backends"));
    char *rest = list;
    const char *word;
    struct in_addr in;

    while ((word = strsep(&rest, " ")) != NULL && targets->n < NETFACTS_TARGETS_MAX) {
        if (inet_pton(AF_INET, word, &in) == 1) {
            targets->list[targets->n++] = ntohl(in.s_addr);
        }
    }
}

/* ---- the process, for both ---- */

static void start(struct ask_question *q, const struct meant *m, const char *side)
{
    const struct uv_agent *a = q->agent;
    char self[ADDRESS_TEXT], pid[16];

    address_to(m->address, self);
    (void)snprintf(pid, sizeof(pid), "%u", m->container->pid);
    uv_agent_ask_word(q, "net-probe");
    uv_agent_ask_option(q, "--side", side);
    uv_agent_ask_option(q, "--state", a->dirs.state_path);
    uv_agent_ask_option(q, "--range", a->ledger.cluster_range);
    uv_agent_ask_option(q, "--address", a->options.address);
    uv_agent_ask_option(q, "--container", m->unit->name);
    uv_agent_ask_option(q, "--self", self);
    uv_agent_ask_option(q, "--pid", pid);
    uv_agent_ask_option(q, "--port", askrow_text(q->what->args, q->what->len, "port"));
}

static void add_target(struct ask_question *q, uint32_t target)
{
    char address[ADDRESS_TEXT];

    address_to(target, address);
    uv_agent_ask_option(q, "--target", address);
}

static bool is_running(const struct meant *m)
{
    return m->unit != NULL && m->container != NULL && m->container->phase == NODE_PHASE_RUNNING &&
           m->container->pid > 0;
}

void uv_agent_ask_net_from(struct ask_question *q)
{
    const char *to = askrow_text(q->what->args, q->what->len, "to");
    const char *networks[SVC_NETWORKS_MAX];
    struct netfacts_world w;
    struct netfacts_targets targets;
    struct meant m = find(q);
    struct dns_asker asker;
    char vip[ADDRESS_TEXT];
    bool internal;

    put_self(q, &m);
    if (!is_running(&m)) {
        return;
    }
    world_of(q->agent, &w);
    internal = asker_of(&m, networks, &asker);
    netfacts_gather(&w, &asker, to, &targets, q->rows);
    if (w.names == NULL) {
        guess(q, &targets);
    }
    if (targets.world) {
        put_egress(q, m.unit->order, internal, &targets);
    }
    start(q, &m, "from");
    uv_agent_ask_option(q, "--question", targets.ask ? to : NULL);
    for (unsigned i = 0; i < targets.n; i++) {
        add_target(q, targets.list[i]);
    }
    address_to(targets.vip, vip);
    uv_agent_ask_option(q, "--vip", targets.vip != 0 ? vip : NULL);
}

/* ---- B's side ---- */

void uv_agent_ask_net_to(struct ask_question *q)
{
    struct meant m = find(q);

    put_self(q, &m);
    if (!is_running(&m)) {
        return;
    }
    start(q, &m, "to");
    uv_agent_ask_option(q, "--target", askrow_text(q->what->args, q->what->len, "from"));
}

/* ---- what links have carried ---- */

void uv_agent_ask_net_stats(struct ask_question *q)
{
    const struct uv_agent *a = q->agent;

    if (a->ledger.cluster_range[0] == '\0') {
        return; /* no container has a network yet */
    }
    uv_agent_ask_word(q, "net-stats");
    uv_agent_ask_option(q, "--state", a->dirs.state_path);
    uv_agent_ask_option(q, "--range", a->ledger.cluster_range);
}

void uv_agent_ask_net_named(struct uv_agent *a, const void *out, size_t len, struct buf *rows)
{
    const void *row;
    size_t at = 0, row_len;

    while (askrow_take(out, len, &at, &row, &row_len)) {
        const struct unit *unit = uv_agent_unit(a, askrow_number(row, row_len, "incarnation"));
        const char *key, *value;
        size_t field = 0;

        if (unit == NULL) {
            continue; /* it has ended meanwhile */
        }
        askrow_put(rows, "container", unit->name);
        while (askrow_next(row, row_len, &field, &key, &value)) {
            askrow_put(rows, key, value);
        }
        askrow_end(rows);
    }
}
