// SPDX-License-Identifier: Apache-2.0
#include "agent/net/overlay6.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/net/forwarding.h"
#include "agent/net/netroutes.h"
#include "agent/net/vxlan.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

#define MTU_MIN 1280u /* below that there is no IPv6; the IPv4 packets around it are cut then */

struct overlay6 {
    struct overlay6_config config;
    char device[IFNAMSIZ];
    bool needed;
    unsigned index; /* of the device, as last asserted; 0: there is none */
};

struct overlay6 *overlay6_create(const struct overlay6_config *config)
{
    struct overlay6 *o = xcalloc(1, sizeof(*o));

    o->config = *config;
    (void)snprintf(o->device, sizeof(o->device), "%s", config->device);
    o->config.device = o->device;
    return o;
}

void overlay6_destroy(struct overlay6 *o)
{
    free(o);
}

int overlay6_need(struct overlay6 *o, struct err *e)
{
    int rc = o->needed ? 0 : forwarding_on6(e);

    o->needed |= rc == 0;
    return rc;
}

bool overlay6_is_needed(const struct overlay6 *o)
{
    return o->needed;
}

/* The first error is the one that is told. */
static int first(int rc, int one, const struct err *why, struct err *e)
{
    return one < 0 && rc == 0 ? err_say(e, one, "IPv6: %s", why->text) : rc;
}

/* Agents of the same host find each other's containers without it. */
static bool is_away(const struct net_way *way)
{
    return way->kind != NET_WAY_HERE;
}

static unsigned mtu_by(const struct net_way *way)
{
    return way->mtu > MTU_MIN + VXLAN_BYTES ? way->mtu - VXLAN_BYTES : MTU_MIN;
}

static int make_device(struct overlay6 *o, int fd, const struct net_way *ways, unsigned n,
                       struct err *e)
{
    struct vxlan v = {.name = o->device,
                      .vni = o->config.vni,
                      .local = o->config.block,
                      .address = o->config.block};

    o->index = 0;
    for (unsigned i = 0; i < n; i++) {
        if (is_away(&ways[i]) && v.mtu < mtu_by(&ways[i])) {
            v.mtu = mtu_by(&ways[i]);
        }
    }
    return v.mtu != 0 ? vxlan_make(fd, &v, &o->index, e) : rtnl_link_del(fd, o->device, e);
}

static int make_peers(struct overlay6 *o, int fd, const struct net_way *ways, unsigned n_ways,
                      struct err *e)
{
    auto_free struct vxlan_peer *peers = xcalloc(n_ways + 1, sizeof(*peers));
    unsigned n = 0;

    for (unsigned i = 0; i < n_ways; i++) {
        if (is_away(&ways[i])) {
            peers[n++] =
                (struct vxlan_peer){.address = ways[i].node.block, .underlay = ways[i].node.block};
        }
    }
    return vxlan_peers(fd, o->index, &o->config.six, peers, n, e);
}

static struct rtnl_route to_node(const struct overlay6 *o, const struct net_way *way)
{
    return (struct rtnl_route){.six = &o->config.six,
                               .dst = way->node.block,
                               .prefix = way->node.block_prefix,
                               .via = way->node.block,
                               .index = o->index,
                               .onlink = true,
                               .src = o->config.block,
                               .mtu = mtu_by(way),
                               .metric = o->config.metric};
}

/* As of IPv4: what nobody of ours has is unreachable, what no node has is lost. */
static int make_routes(struct overlay6 *o, int fd, const struct net_way *ways, unsigned n_ways,
                       struct err *e)
{
    auto_free struct rtnl_route *want = xcalloc(n_ways + 2, sizeof(*want));
    unsigned n = 0;

    for (unsigned i = 0; i < n_ways; i++) {
        if (is_away(&ways[i]) && o->index != 0) {
            want[n++] = to_node(o, &ways[i]);
        }
    }
    want[n++] = (struct rtnl_route){.six = &o->config.six,
                                    .dst = o->config.block,
                                    .prefix = o->config.block_prefix,
                                    .metric = o->config.metric};
    want[n++] = (struct rtnl_route){.six = &o->config.six,
                                    .dst = o->config.range,
                                    .prefix = o->config.range_prefix,
                                    .silent = true,
                                    .metric = o->config.metric};
    return netroutes_make(fd, &o->config.six, o->config.metric, want, n, e);
}

int overlay6_assert(struct overlay6 *o, int fd, const struct net_way *ways, unsigned n,
                    struct err *e)
{
    struct err why;
    int rc;
    int one;

    if (!o->needed) {
        return 0;
    }
    one = rtnl_host_address6_set(fd, &o->config.six, o->config.block, &why);
    rc = first(0, one, &why, e);
    if (n == 0) {
        return rc;
    }
    FAILPOINT("agent.net.before_overlay6_device");
    one = make_device(o, fd, ways, n, &why);
    rc = first(rc, one, &why, e);
    one = o->index != 0 ? make_peers(o, fd, ways, n, &why) : 0;
    rc = first(rc, one, &why, e);
    FAILPOINT("agent.net.before_overlay6_routes");
    one = make_routes(o, fd, ways, n, &why);
    FAILPOINT("agent.net.after_overlay6_routes");
    return first(rc, one, &why, e);
}

/* Events tell of IPv6 addresses what they follow from. */
bool overlay6_matters(const struct overlay6 *o, const struct rtnlevent *event)
{
    switch (event->kind) {
    case RTNLEVENT_LINK:
        return o->needed && strcmp(event->name, o->device) == 0;
    case RTNLEVENT_ADDRESS:
        return o->needed && event->address == o->config.block;
    case RTNLEVENT_NEIGHBOUR:
        return o->index != 0 && event->index == o->index;
    case RTNLEVENT_ROUTE:
        return o->needed && event->metric == o->config.metric;
    case RTNLEVENT_QUEUE:
        return false;
    }
    return false;
}

void overlay6_remove(struct overlay6 *o, int fd)
{
    (void)netroutes_make(fd, &o->config.six, o->config.metric, NULL, 0, NULL);
    (void)rtnl_link_del(fd, o->device, NULL);
    (void)rtnl_host_address6_del(fd, &o->config.six, o->config.block, NULL);
    o->needed = false;
    o->index = 0;
}
