// SPDX-License-Identifier: Apache-2.0
/* The network comes up when the node's block is known and the core has been told of everything that
 * runs, whichever is later, and not at all in between: so containers that outlived the last agent
 * are reached without a gap, and their addresses are not given to others. Until then containers
 * that want a network wait; if it cannot come up, they are told why. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/net/netconfig.h"
#include "agent/uv_agent_net_priv.h"
#include "common/cleanup.h"
#include "common/log.h"

#define RETRY_MS 1000u /* between attempts to bring it up */

/* ---- texts ---- */

/* "10.128.4.0/22" */
static int read_net(const char *text, uint32_t *ret_net, unsigned *ret_prefix)
{
    char address[LEDGER_TEXT_MAX];
    const char *slash = strchr(text, '/');
    struct in_addr in;
    char *end;
    unsigned long prefix;

    if (slash == NULL || (size_t)(slash - text) >= sizeof(address)) {
        return -EINVAL;
    }
    (void)snprintf(address, sizeof(address), "%.*s", (int)(slash - text), text);
    prefix = strtoul(slash + 1, &end, 10);
    if (inet_pton(AF_INET, address, &in) != 1 || end == slash + 1 || *end != '\0' || prefix > 32) {
        return -EINVAL;
    }
    *ret_net = ntohl(in.s_addr);
    *ret_prefix = (unsigned)prefix;
    return 0;
}

static bool read_address(const char *text, uint32_t *ret)
{
    struct in_addr in;

    if (inet_pton(AF_INET, text, &in) != 1) {
        return false;
    }
    *ret = ntohl(in.s_addr);
    return true;
}

static bool wants_network(const struct attempt *at)
{
    const struct order *order = at->unit->order;

    return order != NULL && order_network(order) == ORDER_NETWORK_BRIDGE;
}

static struct net_id id_of(const struct attempt *at)
{
    return (struct net_id){.incarnation = at->of.incarnation, .run = at->of.run};
}

static bool has_mac(const uint8_t mac[6])
{
    static const uint8_t none[6];

    return memcmp(mac, none, sizeof(none)) != 0;
}

/* One link cannot have two of what it has one of. */
static int check_one_link(const struct attempt *at, const struct net_link *link, struct err *e)
{
    struct order_network_use use;

    for (unsigned i = 0; order_network_use(at->unit->order, i, &use); i++) {
        if (use.ipv4 != 0 && use.ipv4 != link->extra) {
            return err_say(e, EINVAL, "ipv4_address is asked for on two networks; one is possible");
        }
        if (has_mac(use.mac) && memcmp(use.mac, link->mac, sizeof(use.mac)) != 0) {
            return err_say(e, EINVAL, "different mac_address on two networks; one is possible");
        }
    }
    return 0;
}

/* ---- up and down ---- */

void uv_agent_net_let_go(struct uv_agent_net *n)
{
    struct uv_agent *a = n->agent;

    if (--n->live > 0) {
        return;
    }
    uv_agent_net_table_finish(n);
    free(n->routes);
    free(n);
    a->net = NULL;
    uv_agent_release(a);
}

static void on_up_closed(void *arg)
{
    uv_agent_net_let_go(arg);
}

/* Links that no attempt knows are removed; a bad address among the found ones hurts only that. */
static void adopt(struct uv_agent_net *n)
{
    struct net_found *found = NULL;
    unsigned cap = 0;
    unsigned count = 0;
    struct err e;

    for (const struct unit *u = n->agent->units; u != NULL; u = u->next) {
        for (const struct attempt *at = u->attempts; at != NULL; at = at->next) {
            if (!at->attached) {
                continue;
            }
            if (count == cap) {
                cap = cap > 0 ? cap * 2 : 64;
                found = xrealloc(found, cap, sizeof(*found));
            }
            found[count].id = id_of(at);
            uv_agent_net_link(at, &found[count++].link);
        }
    }
    if (net_adopt(n->up->net, found, count, &e) < 0) {
        log_warn("network: %s", e.text);
    }
    free(found);
}

/* Those of the last agent are right until then. */
static void apply_routes(struct uv_agent_net *n)
{
    if (n->routes != NULL) {
        uv_agent_net_up_routes(n->up, n->underlay, n->routes, n->n_routes);
    }
}

static int create(struct uv_agent_net *n, struct err *e)
{
    const struct ledger *ledger = &n->agent->ledger;
    struct net_config config = {.suffix = n->suffix, .cluster = ledger->cluster_id};

    if (read_net(ledger->cluster_range, &config.range, &config.range_prefix) < 0 ||
        read_net(ledger->node_block, &config.block, &config.block_prefix) < 0) {
        return err_say(e, EINVAL, "network: block %s of range %s: no networks", ledger->node_block,
                       ledger->cluster_range);
    }
    return uv_agent_net_up_create(n, &config, &n->up, e);
}

static void tell_facts(struct uv_agent_net *n)
{
    if (n->agent->link != NULL) {
        uv_agent_link_facts(n->agent);
    }
}

/* Everybody who waits tries again; the core wakes them as for images. */
static void wake(struct uv_agent *a)
{
    struct node_event event = {.type = NODE_IMAGES};

    uv_agent_queue(a, &event);
}

/* The same reason is said once. */
static void say_down(struct uv_agent_net *n, const struct err *why)
{
    bool news = n->tried_ms == 0 || strcmp(n->why.text, why->text) != 0;

    n->why = *why;
    n->tried_ms = uv_agent_now_ms();
    if (news) {
        log_error("the network does not come up: %s", why->text);
        tell_facts(n);
    }
}

static void bring_up(struct uv_agent_net *n)
{
    const struct ledger *ledger = &n->agent->ledger;
    struct err e;

    if (n->tried_ms > 0 && uv_agent_now_ms() < n->tried_ms + RETRY_MS) {
        return;
    }
    if (create(n, &e) < 0) {
        say_down(n, &e);
        return;
    }
    n->live++;
    if (n->tried_ms > 0) {
        n->tried_ms = 0;
        tell_facts(n);
    }
    (void)snprintf(n->range, sizeof(n->range), "%s", ledger->cluster_range);
    (void)snprintf(n->block, sizeof(n->block), "%s", ledger->node_block);
    log_info("network: this node's block is %s of %s", n->block, n->range);
    adopt(n);
    if (n->encrypt_told) {
        uv_agent_net_encrypt_apply(n);
    }
    apply_routes(n);
    wake(n->agent);
}

/* The block has become another: containers keep their addresses until they end. */
static void bring_down(struct uv_agent_net *n)
{
    uv_agent_net_up_close(take_ptr(n->up), false, on_up_closed, n);
    n->tried_ms = 0;
    n->dns_why[0] = '\0';
}

static void settle(struct uv_agent_net *n)
{
    const struct ledger *ledger = &n->agent->ledger;

    if (!n->looked || n->closing || ledger->node_block[0] == '\0') {
        return;
    }
    if (n->up != NULL && (strcmp(n->range, ledger->cluster_range) != 0 ||
                          strcmp(n->block, ledger->node_block) != 0)) {
        bring_down(n);
    }
    if (n->up == NULL) {
        bring_up(n);
    }
}

/* ---- for the rest of the agent ---- */

int uv_agent_net_create(struct uv_agent *a, struct err *e)
{
    struct uv_agent_net *n = xcalloc(1, sizeof(*n));

    (void)e;
    n->agent = a;
    n->live = 1; /* the table's file */
    netconfig_suffix(a->dirs.state_path, n->suffix);
    uv_agent_net_table_open(n);
    uv_agent_net_keep_create(n);
    a->net = n;
    return 0;
}

void uv_agent_net_looked(struct uv_agent *a)
{
    a->net->looked = true;
    settle(a->net);
}

void uv_agent_net_configure(struct uv_agent *a)
{
    if (a->net != NULL) {
        a->net->tried_ms = 0;
        settle(a->net);
    }
}

int uv_agent_net_reserve(struct attempt *at, struct err *e)
{
    struct uv_agent_net *n = at->unit->agent->net;

    if (!wants_network(at)) {
        return 0;
    }
    settle(n);
    if (n->up == NULL && n->tried_ms > 0) {
        return err_say(e, n->why.code, "%s", n->why.text);
    }
    if (n->up == NULL) {
        return err_say(e, EAGAIN, "no block of addresses has been given to this node yet");
    }
    return net_reserve(n->up->net, &at->address, e);
}

int uv_agent_net_attach(struct attempt *at, int netns_fd, struct err *e)
{
    struct uv_agent_net *n = at->unit->agent->net;
    struct netplan_diff diff = {0};
    struct net_link link;
    int rc;

    if (at->address == 0) {
        return 0;
    }
    assert(n->up != NULL);
    uv_agent_net_link(at, &link);
    rc = check_one_link(at, &link, e);
    if (rc == 0) {
        rc = net_attach(n->up->net, id_of(at), netns_fd, &link, e);
    }
    if (rc == 0) {
        at->attached = true;
        n->attached++;
        uv_agent_net_local(n->up, at, &diff);
        uv_agent_net_up_apply(n->up, &diff);
    }
    return rc;
}

void uv_agent_net_found(struct attempt *at)
{
    if (at->address != 0) {
        at->attached = true;
        at->unit->agent->net->attached++;
    }
}

void uv_agent_net_detach(struct attempt *at)
{
    struct uv_agent_net *n = at->unit->agent->net;
    struct netplan_diff diff = {0};

    if (at->address == 0 || n == NULL) {
        return;
    }
    settle(n); /* what was found by an agent that is not up yet is removed all the same */
    if (n->up != NULL) {
        uv_agent_net_local_gone(n->up, at->of, &diff);
        uv_agent_net_up_apply(n->up, &diff);
        net_detach(n->up->net, id_of(at), at->address);
    }
    n->attached -= at->attached;
    at->attached = false;
    at->address = 0;
}

void uv_agent_net_state(struct uv_agent *a, uint64_t incarnation)
{
    const struct unit *u = uv_agent_unit(a, incarnation);
    struct netplan_diff diff = {0};

    if (a->net == NULL || a->net->up == NULL || u == NULL) {
        return; /* when it comes up, it has it from the first moment */
    }
    for (const struct attempt *at = u->attempts; at != NULL; at = at->next) {
        if (at->attached) {
            uv_agent_net_local(a->net->up, at, &diff);
        }
    }
    uv_agent_net_up_apply(a->net->up, &diff);
}

const char *uv_agent_net_degraded(const struct uv_agent *a)
{
    const struct uv_agent_net *n = a->net;

    if (n == NULL) {
        return "";
    }
    if (n->up == NULL && n->tried_ms > 0) {
        return n->why.text;
    }
    return n->encrypt_why[0] != '\0' ? n->encrypt_why : n->dns_why;
}

void uv_agent_net_routes(struct uv_agent *a, const struct uv_agent_route *routes, unsigned n)
{
    struct uv_agent_net *net = a->net;

    if (net == NULL) {
        return;
    }
    net->routes = xrealloc(net->routes, n + 1, sizeof(*net->routes));
    net->n_routes = 0;
    for (unsigned i = 0; i < n; i++) {
        struct net_route *r = &net->routes[net->n_routes];

        if (strcmp(routes[i].node_id, a->ledger.node_id) == 0) {
            net->underlay = read_address(routes[i].underlay, &r->via) ? r->via : 0;
            continue;
        }
        if (routes[i].block[0] == '\0') {
            continue;
        }
        if (read_net(routes[i].block, &r->block, &r->block_prefix) < 0 ||
            !read_address(routes[i].underlay, &r->via)) {
            log_info("no route to node %s: its address is not known", routes[i].name);
            continue;
        }
        memcpy(r->key, routes[i].key, sizeof(r->key));
        net->n_routes++;
    }
    if (net->up != NULL) {
        apply_routes(net);
    }
}

/* Without containers nothing stays; with them all of it. */
void uv_agent_net_close(struct uv_agent *a)
{
    struct uv_agent_net *n = a->net;

    n->closing = true;
    if (n->up != NULL) {
        uv_agent_net_up_close(take_ptr(n->up), n->attached == 0, on_up_closed, n);
    }
    uv_agent_net_keep_close(n);
}
