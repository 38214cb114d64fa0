// SPDX-License-Identifier: Apache-2.0
#include "agent/net/overlay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/net/netroutes.h"
#include "agent/net/overlayplan.h"
#include "agent/net/rtnl.h"
#include "agent/net/vxlan.h"
#include "agent/net/wireguard.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

#define LINKS_KEPT 16 /* a host has few links to others */

struct overlay {
    struct overlay_config config;
    char device[IFNAMSIZ];
    char secret[IFNAMSIZ];
    int genl;
    bool encrypt;
    bool fresh; /* this process has made the key */
    uint8_t private[NET_KEY];
    bool moved; /* nodes have been told since the last assertion */
    bool known; /* who the other nodes are */
    uint32_t underlay;
    uint32_t local; /* the same, or 0: it is none of this host's */
    struct net_route *nodes;
    unsigned n_nodes;
    struct net_way *ways; /* to each of them */
    unsigned n_ways;
    unsigned device_index; /* as last asserted; 0: there is none */
};

/* The first error is the one that is told. */
static int first(int rc, int one, const struct err *why, struct err *e)
{
    return one < 0 && rc == 0 ? err_say(e, one, "%s", why->text) : rc;
}

/* ---- ways ---- */

/* Links that have been asked for in this round. */
struct links {
    struct rtnl_link list[LINKS_KEPT];
    unsigned n;
};

/* NULL: there is none, or no longer. */
static const struct rtnl_link *link_of(struct links *l, int fd, unsigned index)
{
    struct rtnl_link *to;

    if (index == 0) {
        return NULL;
    }
    for (unsigned i = 0; i < l->n; i++) {
        if (l->list[i].index == index) {
            return &l->list[i];
        }
    }
    to = &l->list[l->n < LINKS_KEPT ? l->n : LINKS_KEPT - 1];
    if (rtnl_link_get(fd, index, to, NULL) < 0) {
        return NULL;
    }
    l->n += l->n < LINKS_KEPT;
    return to;
}

/* What a process of the host sends to 127.0.0.1:PORT may be led to another node, and its answers
 * come back by this link. Nothing else does: the rules drop what others address there. */
static int open_link(int fd, const struct net_way *way, const struct rtnl_link *link, struct err *e)
{
    return way->kind == NET_WAY_LINK && link != NULL && !link->localnet
               ? rtnl_link_localnet(fd, link->index, true, e)
               : 0;
}

static int find_ways(struct overlay *o, int fd, struct err *e)
{
    struct links links = {0};
    int rc = 0;

    for (unsigned i = 0; i < o->n_nodes; i++) {
        struct rtnl_way way = {.none = true};
        struct err why;
        int one = rtnl_way_to(fd, o->nodes[i].via, &way, &why);

        o->ways[i] =
            overlayplan_choose(&o->nodes[i], &way, link_of(&links, fd, way.index), o->encrypt);
        rc = first(rc, one, &why, e);
        one = open_link(fd, &o->ways[i], link_of(&links, fd, way.index), &why);
        rc = first(rc, one, &why, e);
        one = overlayplan_check(&o->ways[i], &why);
        rc = first(rc, one, &why, e);
    }
    o->n_ways = o->n_nodes;
    return rc;
}

/* ---- VXLAN ---- */

/* An address that this host has not itself (it is translated on the way) is nothing to send by. One
 * that it had comes back, or another is told. */
static uint32_t local_address(struct overlay *o, int fd)
{
    struct rtnl_way way;

    if (o->local != o->underlay && rtnl_way_to(fd, o->underlay, &way, NULL) == 0) {
        o->local = way.local ? o->underlay : 0;
    }
    return o->local;
}

static int make_peers(struct overlay *o, int fd, unsigned index, struct err *e)
{
    auto_free struct vxlan_peer *peers = xcalloc(o->n_ways + 1, sizeof(*peers));
    unsigned n = 0;

    for (unsigned i = 0; i < o->n_ways; i++) {
        if (o->ways[i].kind == NET_WAY_VXLAN) {
            peers[n++] = (struct vxlan_peer){.address = o->ways[i].node.block,
                                             .underlay = o->ways[i].node.via};
        }
    }
    return vxlan_peers(fd, index, /* six= */ NULL, peers, n, e);
}

/* Gives 0 for the index where none is needed. */
static int make_device(struct overlay *o, int fd, unsigned *ret_index, struct err *e)
{
    struct vxlan v = {.name = o->device,
                      .vni = o->config.vni,
                      .local = local_address(o, fd),
                      .address = o->config.block,
                      .mtu = overlayplan_mtu(o->ways, o->n_ways, NET_WAY_VXLAN)};

    *ret_index = 0;
    return v.mtu != 0 ? vxlan_make(fd, &v, ret_index, e) : 0;
}

/* ---- WireGuard ---- */

static int make_secret_peers(struct overlay *o, struct err *e)
{
    struct wireguard_peer *peers = xcalloc(o->n_ways + 1, sizeof(*peers));
    unsigned n = 0;
    int rc;

    for (unsigned i = 0; i < o->n_ways; i++) {
        const struct net_route *node = &o->ways[i].node;

        if (o->ways[i].kind == NET_WAY_WIREGUARD && overlayplan_has_key(node)) {
            peers[n] = (struct wireguard_peer){
                .underlay = node->via, .block = node->block, .block_prefix = node->block_prefix};
            memcpy(peers[n++].key, node->key, NET_KEY);
        }
    }
    rc = wireguard_peers(o->genl, o->secret, peers, n, o->moved, e);
    o->moved = o->moved && rc < 0;
    free(peers);
    return rc;
}

static int make_secret(struct overlay *o, int fd, unsigned *ret_index, uint8_t ret_key[NET_KEY],
                       struct err *e)
{
    struct wireguard w = {.name = o->secret,
                          .mtu = overlayplan_mtu(o->ways, o->n_ways, NET_WAY_WIREGUARD),
                          .private = o->private};

    if (o->secret[0] == '\0' || o->genl < 0) {
        return err_say(e, EOPNOTSUPP, "encryption between nodes is not possible");
    }
    return wireguard_make(fd, o->genl, &w, ret_index, ret_key, e);
}

static int assert_secret(struct overlay *o, int fd, unsigned *ret_index, struct err *e)
{
    uint8_t key[NET_KEY];
    int rc = 0;

    *ret_index = 0;
    if (o->encrypt) {
        rc = make_secret(o, fd, ret_index, key, e);
    }
    return rc == 0 && o->encrypt ? make_secret_peers(o, e) : rc;
}

/* ---- routes ---- */

/* What nobody of ours has must not leave by the default route, and come back. */
static struct rtnl_route own_block(const struct overlay *o)
{
    return (struct rtnl_route){
        .dst = o->config.block, .prefix = o->config.block_prefix, .metric = o->config.metric};
}

static int make_routes(struct overlay *o, int fd, unsigned vxlan, unsigned secret, struct err *e)
{
    auto_free struct rtnl_route *want = xcalloc(o->n_ways + 2, sizeof(*want));
    unsigned n = 0;

    for (unsigned i = 0; i < o->n_ways; i++) {
        unsigned device = o->ways[i].kind == NET_WAY_WIREGUARD ? secret : vxlan;

        if (overlayplan_route(&o->ways[i], device, o->config.block, &want[n])) {
            want[n++].metric = o->config.metric;
        }
    }
    want[n++] = own_block(o);
    /* What is no node's, or a node's to which no way leads just now, does not leave by the default
     * route; and whoever sends it is not told, but tries again, when there may be a way. */
    want[n++] = (struct rtnl_route){.dst = o->config.range,
                                    .prefix = o->config.range_prefix,
                                    .silent = true,
                                    .metric = o->config.metric};
    return netroutes_make(fd, /* six= */ NULL, o->config.metric, want, n, e);
}

/* ---- for the owner ---- */

struct overlay *overlay_create(const struct overlay_config *config)
{
    struct overlay *o = xcalloc(1, sizeof(*o));

    o->config = *config;
    (void)snprintf(o->device, sizeof(o->device), "%s", config->device);
    (void)snprintf(o->secret, sizeof(o->secret), "%s",
                   config->secret != NULL ? config->secret : "");
    o->config.device = o->device;
    o->config.secret = o->secret;
    o->genl = -1;
    return o;
}

void overlay_destroy(struct overlay *o)
{
    if (o != NULL) {
        free(o->nodes);
        free(o->ways);
        explicit_bzero(o->private, sizeof(o->private));
        free(o);
    }
}

void overlay_use(struct overlay *o, int genl)
{
    o->genl = genl;
}

void overlay_nodes(struct overlay *o, uint32_t underlay, const struct net_route *nodes, unsigned n)
{
    o->known = true;
    o->moved = true;
    o->underlay = underlay;
    o->nodes = xrealloc(o->nodes, n + 1, sizeof(*nodes));
    o->ways = xrealloc(o->ways, n + 1, sizeof(*o->ways));
    o->n_nodes = n;
    o->n_ways = 0;
    if (n > 0) {
        memcpy(o->nodes, nodes, n * sizeof(*nodes));
    }
}

/* Routes as they were found, and the peers by which those through VXLAN are told. */
struct recall {
    const struct vxlan_peer *peers;
    unsigned n_peers;
    struct net_route *list;
    unsigned n;
    unsigned cap;
};

static uint32_t underlay_of(const struct recall *r, uint32_t block)
{
    for (unsigned i = 0; i < r->n_peers; i++) {
        if (r->peers[i].address == block) {
            return r->peers[i].underlay;
        }
    }
    return 0;
}

static void on_recalled(void *arg, const struct rtnl_route *route)
{
    struct recall *r = arg;
    uint32_t via = route->onlink ? underlay_of(r, route->dst) : route->via;

    if (via == 0 || r->n == NET_ROUTES_MAX) {
        return;
    }
    if (r->n == r->cap) {
        r->cap = r->cap > 0 ? r->cap * 2 : 64;
        r->list = xrealloc(r->list, r->cap, sizeof(*r->list));
    }
    r->list[r->n++] =
        (struct net_route){.block = route->dst, .block_prefix = route->prefix, .via = via};
}

/* A WireGuard device is there only if the cluster was encrypted, and then says all. */
static bool recall_secret(struct overlay *o)
{
    auto_free struct wireguard_peer *peers = NULL;
    auto_free struct net_route *nodes = NULL;
    unsigned n = 0;

    if (o->genl < 0 || wireguard_recall(o->genl, o->secret, o->private, &peers, &n, NULL) < 0) {
        return false;
    }
    nodes = xcalloc(n + 1, sizeof(*nodes));
    for (unsigned i = 0; i < n; i++) {
        nodes[i] = (struct net_route){.block = peers[i].block,
                                      .block_prefix = peers[i].block_prefix,
                                      .via = peers[i].underlay};
        memcpy(nodes[i].key, peers[i].key, NET_KEY);
    }
    o->encrypt = true;
    overlay_nodes(o, 0, nodes, n);
    return true;
}

int overlay_recall(struct overlay *o, int fd, struct err *e)
{
    auto_free struct vxlan_peer *peers = NULL;
    struct recall r = {0};
    uint32_t local = 0;
    int rc;

    if (recall_secret(o)) {
        return 0;
    }
    rc = vxlan_recall(fd, o->device, &peers, &r.n_peers, &local, e);
    r.peers = peers;
    if (rc == 0) {
        rc = rtnl_routes(fd, o->config.metric, on_recalled, &r, e);
    }
    if (rc == 0 && r.n > 0) {
        overlay_nodes(o, local, r.list, r.n);
    }
    free(r.list);
    return rc;
}

const struct net_route *overlay_known(const struct overlay *o, unsigned *ret_n)
{
    *ret_n = o->n_nodes;
    return o->nodes;
}

static int assert_addresses(struct overlay *o, int fd, struct err *e)
{
    int rc = rtnl_host_address_set(fd, o->config.gateway, e);

    return rc == 0 ? rtnl_host_address_set(fd, o->config.block, e) : rc;
}

/* What is no longer needed goes last: until then it has been led to. */
static int remove_devices(struct overlay *o, int fd, struct err *e)
{
    struct err why;
    int rc = o->device_index == 0 ? rtnl_link_del(fd, o->device, e) : 0;
    int one = o->encrypt ? 0 : rtnl_link_del(fd, o->secret, &why);

    return first(rc, one, &why, e);
}

int overlay_assert(struct overlay *o, int fd, struct err *e)
{
    struct rtnl_route own = own_block(o);
    unsigned index = 0;
    unsigned secret = 0;
    struct err why;
    int rc = assert_addresses(o, fd, e);
    int one;

    FAILPOINT("agent.net.after_overlay_addresses");
    if (!o->known) {
        one = rtnl_route_set(fd, &own, &why);
        return first(rc, one, &why, e);
    }
    one = find_ways(o, fd, &why);
    rc = first(rc, one, &why, e);
    one = make_device(o, fd, &index, &why);
    rc = first(rc, one, &why, e);
    o->device_index = index;
    FAILPOINT("agent.net.after_overlay_device");
    one = index != 0 ? make_peers(o, fd, index, &why) : 0;
    rc = first(rc, one, &why, e);
    one = assert_secret(o, fd, &secret, &why);
    rc = first(rc, one, &why, e);
    FAILPOINT("agent.net.before_overlay_routes");
    one = make_routes(o, fd, index, secret, &why);
    rc = first(rc, one, &why, e);
    one = remove_devices(o, fd, &why);
    return first(rc, one, &why, e);
}

int overlay_encrypt(struct overlay *o, int fd, bool on, uint8_t ret_key[NET_KEY], struct err *e)
{
    uint8_t key[NET_KEY] = {0};
    unsigned index;
    int rc = 0;

    o->encrypt = on;
    if (on && !o->fresh) {
        rc = wireguard_make_key(o->private, e);
        o->fresh = rc == 0;
    }
    if (on && rc == 0) {
        rc = make_secret(o, fd, &index, key, e);
    }
    (void)overlay_assert(o, fd, NULL); /* whose errors are told when nodes are */
    if (rc == 0) {
        memcpy(ret_key, key, NET_KEY);
    }
    return rc;
}

/* ---- changes ---- */

static bool contains(uint32_t net, unsigned prefix, uint32_t address)
{
    return prefix == 0 || (net ^ address) >> (32 - prefix) == 0;
}

static bool is_way(const struct overlay *o, unsigned index)
{
    for (unsigned i = 0; i < o->n_ways; i++) {
        if (o->ways[i].link_index == index) {
            return true;
        }
    }
    return false;
}

/* A route of our own kind, or one that leads to a node, or to this one. */
static bool route_matters(const struct overlay *o, const struct rtnlevent *event)
{
    if (event->metric == o->config.metric || contains(event->address, event->prefix, o->underlay)) {
        return true;
    }
    for (unsigned i = 0; i < o->n_nodes; i++) {
        if (contains(event->address, event->prefix, o->nodes[i].via)) {
            return true;
        }
    }
    return false;
}

bool overlay_matters(const struct overlay *o, const struct rtnlevent *event)
{
    switch (event->kind) {
    case RTNLEVENT_LINK:
        return strcmp(event->name, o->device) == 0 || strcmp(event->name, o->secret) == 0 ||
               is_way(o, event->index);
    case RTNLEVENT_ADDRESS:
        return event->address == o->config.gateway || event->address == o->config.block ||
               event->address == o->underlay;
    case RTNLEVENT_NEIGHBOUR:
        return o->device_index != 0 && event->index == o->device_index;
    case RTNLEVENT_ROUTE:
        return route_matters(o, event);
    case RTNLEVENT_QUEUE:
        return false;
    }
    return false;
}

static void on_any_route(void *arg, const struct rtnl_route *route)
{
    (void)route;
    ++*(unsigned *)arg;
}

/* The gateway belongs to all agents of this namespace, whose routes tell that they are there. */
void overlay_remove(struct overlay *o, int fd)
{
    unsigned others = 0;

    for (unsigned i = 0; i < o->n_ways; i++) {
        if (o->ways[i].kind == NET_WAY_LINK) {
            (void)rtnl_link_localnet(fd, o->ways[i].link_index, false, NULL);
        }
    }
    (void)netroutes_make(fd, NULL, o->config.metric, NULL, 0, NULL);
    (void)rtnl_link_del(fd, o->device, NULL);
    (void)rtnl_link_del(fd, o->secret, NULL);
    (void)rtnl_host_address_del(fd, o->config.block, NULL);
    if (rtnl_routes(fd, 0, on_any_route, &others, NULL) == 0 && others == 0) {
        (void)rtnl_host_address_del(fd, o->config.gateway, NULL);
    }
}

const struct net_way *overlay_ways(const struct overlay *o, unsigned *ret_n)
{
    *ret_n = o->n_ways;
    return o->ways;
}
