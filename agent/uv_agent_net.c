// SPDX-License-Identifier: Apache-2.0
/* The network comes up when the node's block is known and everything that runs has been found,
 * whichever is later, and not at all in between: so the ports of containers that outlived the last
 * agent stay published without a gap, and their addresses are not given to others. Until then
 * containers that want a network wait; if it cannot come up, they are told why. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/net/net.h"
#include "agent/net/netconfig.h"
#include "agent/uv_agent_ports.h"
#include "common/cleanup.h"
#include "common/log.h"

#define RETRY_MS 1000u /* between attempts to bring it up */

struct uv_agent_net {
    struct uv_agent *agent;
    uv_timer_t timer;
    struct net *net; /* NULL: not up */
    char suffix[NET_SUFFIX_MAX + 1];
    char range[LEDGER_TEXT_MAX]; /* of `net` */
    char block[LEDGER_TEXT_MAX];
    bool found_all;
    uint64_t tried_ms; /* when it last failed to come up; 0: never */
    struct err why;
    unsigned attached;        /* attempts that have a link */
    struct net_route *routes; /* NULL: the controller has not told them */
    unsigned n_routes;
    uint32_t underlay; /* this node's address among them; 0: not known */
    unsigned live;     /* handles and networks */
    bool closing;
};

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

/* As the document says of all its networks together: there is one eth0. */
static struct net_link link_of(const struct attempt *at)
{
    const struct order *order = at->unit->order;
    struct net_link link = {.address = at->address};
    struct order_network_use use;

    if (order == NULL) {
        return link; /* a stray: it is not known any more */
    }
    for (unsigned i = 0; order_network_use(order, i, &use); i++) {
        link.extra = link.extra == 0 ? use.ipv4 : link.extra;
        if (has_mac(use.mac) && !has_mac(link.mac)) {
            memcpy(link.mac, use.mac, sizeof(link.mac));
        }
    }
    order_bandwidth(order, &link.bits_in, &link.bits_out);
    return link;
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

static void on_published(void *arg, int status, const struct err *e)
{
    (void)arg;
    if (status < 0 && status != -ECANCELED) {
        log_error("published ports: %s", e->text);
    }
}

/* ---- up and down ---- */

static void let_go(struct uv_agent_net *n)
{
    struct uv_agent *a = n->agent;

    if (--n->live > 0) {
        return;
    }
    free(n->routes);
    free(n);
    a->net = NULL;
    uv_agent_release(a);
}

static void on_net_closed(void *arg)
{
    let_go(arg);
}

static void on_timer_closed(uv_handle_t *handle)
{
    let_go(container_of((uv_timer_t *)handle, struct uv_agent_net, timer));
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
            found[count++] = (struct net_found){.id = id_of(at), .link = link_of(at)};
        }
    }
    if (net_adopt(n->net, found, count, &e) < 0) {
        log_warn("network: %s", e.text);
    }
    free(found);
}

static void apply_routes(struct uv_agent_net *n)
{
    struct err e;

    if (n->routes == NULL) {
        return; /* those of the last agent are right until then */
    }
    if (net_routes(n->net, n->underlay, n->routes, n->n_routes, &e) < 0) {
        log_warn("routes to other nodes: %s", e.text);
    }
}

static int create(struct uv_agent_net *n, struct err *e)
{
    const struct ledger *ledger = &n->agent->ledger;
    struct net_config config = {.suffix = n->suffix, .cluster = ledger->cluster_id};
    struct uv_agent_ports ports;
    int rc;

    if (read_net(ledger->cluster_range, &config.range, &config.range_prefix) < 0 ||
        read_net(ledger->node_block, &config.block, &config.block_prefix) < 0) {
        return err_say(e, EINVAL, "network: block %s of range %s: no networks", ledger->node_block,
                       ledger->cluster_range);
    }
    uv_agent_ports_gather(n->agent, &ports);
    config.ports = ports.list;
    config.n_ports = ports.n;
    rc = net_create(n->agent->loop, &config, &n->net, e);
    uv_agent_ports_finish(&ports);
    return rc;
}

/* Everybody who waits tries again; the core wakes them as for images. */
static void wake(struct uv_agent *a)
{
    struct node_event event = {.type = NODE_IMAGES};

    uv_agent_queue(a, &event);
}

static void bring_up(struct uv_agent_net *n)
{
    const struct ledger *ledger = &n->agent->ledger;
    uint64_t now = uv_agent_now_ms();

    if (n->tried_ms > 0 && now < n->tried_ms + RETRY_MS) {
        return;
    }
    if (create(n, &n->why) < 0) {
        n->tried_ms = now;
        log_error("the network does not come up: %s", n->why.text);
        return;
    }
    n->live++;
    n->tried_ms = 0;
    (void)snprintf(n->range, sizeof(n->range), "%s", ledger->cluster_range);
    (void)snprintf(n->block, sizeof(n->block), "%s", ledger->node_block);
    log_info("network: this node's block is %s of %s", n->block, n->range);
    adopt(n);
    apply_routes(n);
    wake(n->agent);
}

/* The block has become another: containers keep their addresses until they end. */
static void bring_down(struct uv_agent_net *n)
{
    net_close(n->net, false, on_net_closed, n);
    n->net = NULL;
    n->tried_ms = 0;
}

static void settle(struct uv_agent_net *n)
{
    const struct ledger *ledger = &n->agent->ledger;

    if (!n->found_all || n->closing || ledger->node_block[0] == '\0') {
        return;
    }
    if (n->net != NULL && (strcmp(n->range, ledger->cluster_range) != 0 ||
                           strcmp(n->block, ledger->node_block) != 0)) {
        bring_down(n);
    }
    if (n->net == NULL) {
        bring_up(n);
    }
}

/* The first turn of the loop: by then everything has been found. */
static void on_timer(uv_timer_t *timer)
{
    struct uv_agent_net *n = container_of(timer, struct uv_agent_net, timer);

    n->found_all = true;
    settle(n);
}

/* ---- for the rest of the agent ---- */

int uv_agent_net_create(struct uv_agent *a, struct err *e)
{
    struct uv_agent_net *n = xcalloc(1, sizeof(*n));

    (void)e;
    n->agent = a;
    n->live = 1;
    netconfig_suffix(a->dirs.state_path, n->suffix);
    (void)uv_timer_init(a->loop, &n->timer);
    (void)uv_timer_start(&n->timer, on_timer, 0, 0);
    a->net = n;
    return 0;
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
    if (n->net == NULL && n->tried_ms > 0) {
        return err_say(e, n->why.code, "%s", n->why.text);
    }
    if (n->net == NULL) {
        return err_say(e, EAGAIN, "no block of addresses has been given to this node yet");
    }
    return net_reserve(n->net, &at->address, e);
}

int uv_agent_net_attach(struct attempt *at, int netns_fd, struct err *e)
{
    struct uv_agent_net *n = at->unit->agent->net;
    struct net_link link;
    int rc;

    if (at->address == 0) {
        return 0;
    }
    assert(n->net != NULL);
    link = link_of(at);
    rc = check_one_link(at, &link, e);
    if (rc == 0) {
        rc = net_attach(n->net, id_of(at), netns_fd, &link, e);
    }
    if (rc == 0) {
        at->attached = true;
        n->attached++;
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
    struct err e;

    if (at->address == 0 || n == NULL) {
        return;
    }
    settle(n); /* what was found by an agent that is not up yet is removed all the same */
    if (n->net != NULL && net_detach(n->net, id_of(at), at->address, &e) < 0) {
        log_warn("%s: %s", at->unit->name, e.text);
    }
    n->attached -= at->attached;
    at->attached = false;
    at->address = 0;
}

void uv_agent_net_publish(struct uv_agent *a)
{
    struct uv_agent_ports ports;
    struct err e;

    if (a->net == NULL || a->net->net == NULL) {
        return; /* when it comes up, it has them from the first moment */
    }
    uv_agent_ports_gather(a, &ports);
    if (net_publish(a->net->net, ports.list, ports.n, on_published, NULL, &e) < 0) {
        log_error("published ports: %s", e.text);
    }
    uv_agent_ports_finish(&ports);
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
        net->n_routes++;
    }
    if (net->net != NULL) {
        apply_routes(net);
    }
}

/* Without containers nothing stays; with them all of it. */
void uv_agent_net_close(struct uv_agent *a)
{
    struct uv_agent_net *n = a->net;

    n->closing = true;
    if (n->net != NULL) {
        net_close(n->net, n->attached == 0, on_net_closed, n);
        n->net = NULL;
    }
    uv_close((uv_handle_t *)&n->timer, on_timer_closed);
}
