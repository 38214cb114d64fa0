// SPDX-License-Identifier: Apache-2.0
#include "agent/net/overlayplan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/net/vxlan.h"
#include "agent/net/wireguard.h"

uint32_t overlayplan_vni(const char *cluster)
{
    uint32_t h = 0x811c9dc5u;

    for (; *cluster != '\0'; cluster++) { /* FNV-1a, folded into 24 bits */
        h = (h ^ (unsigned char)*cluster) * 0x01000193u;
    }
    h = (h >> 24 ^ h) & 0xffffffu;
    return h != 0 ? h : 1;
}

uint32_t overlayplan_vni6(uint32_t vni)
{
    uint32_t other = vni ^ 0x800000u;

    return other != 0 ? other : 1;
}

static enum net_way_kind kind_of(const struct rtnl_way *way, const struct rtnl_link *link,
                                 bool encrypt)
{
    bool here = !way->none && !way->gateway && link != NULL && link->shared;

    if (way->local) {
        return NET_WAY_HERE;
    }
    if (encrypt) {
        return NET_WAY_WIREGUARD;
    }
    return here ? NET_WAY_LINK : NET_WAY_VXLAN;
}

/* What each kind puts around a packet. */
static unsigned bytes_of(enum net_way_kind kind)
{
    switch (kind) {
    case NET_WAY_VXLAN:
        return VXLAN_BYTES;
    case NET_WAY_WIREGUARD:
        return WIREGUARD_BYTES;
    case NET_WAY_LINK:
    case NET_WAY_HERE:
        return 0;
    }
    return 0;
}

struct net_way overlayplan_choose(const struct net_route *node, const struct rtnl_way *way,
                                  const struct rtnl_link *link, bool encrypt)
{
    struct net_way ret = {.node = *node,
                          .kind = kind_of(way, link, encrypt),
                          .link_index = link != NULL ? link->index : 0,
                          .link_mtu = link != NULL ? link->mtu : 0};

    if (way->mtu != 0 && (ret.link_mtu == 0 || way->mtu < ret.link_mtu)) {
        ret.link_mtu = way->mtu;
    }
    ret.mtu = ret.link_mtu != 0 ? ret.link_mtu : OVERLAYPLAN_MTU_USUAL;
    ret.mtu -= ret.mtu > bytes_of(ret.kind) ? bytes_of(ret.kind) : 0;
    (void)snprintf(ret.link, sizeof(ret.link), "%s", link != NULL ? link->name : "");
    return ret;
}

unsigned overlayplan_mtu(const struct net_way *ways, unsigned n, enum net_way_kind kind)
{
    unsigned mtu = 0;

    for (unsigned i = 0; i < n; i++) {
        if (ways[i].kind == kind && ways[i].mtu > mtu) {
            mtu = ways[i].mtu;
        }
    }
    return mtu;
}

bool overlayplan_has_key(const struct net_route *node)
{
    static const uint8_t none[NET_KEY];

    return memcmp(node->key, none, sizeof(none)) != 0;
}

bool overlayplan_route(const struct net_way *way, unsigned device, uint32_t own_address,
                       struct rtnl_route *ret)
{
    struct rtnl_route route = {.dst = way->node.block, .prefix = way->node.block_prefix};

    *ret = route;
    route.index = device;
    route.src = own_address;
    route.mtu = way->mtu;
    switch (way->kind) {
    case NET_WAY_HERE:
        return false;
    case NET_WAY_LINK:
        ret->via = way->node.via;
        ret->index = way->link_index;
        return true;
    case NET_WAY_VXLAN:
        route.via = way->node.block;
        route.onlink = true;
        *ret = device != 0 ? route : *ret;
        return true;
    case NET_WAY_WIREGUARD:
        *ret = device != 0 && overlayplan_has_key(&way->node) ? route : *ret;
        return true;
    }
    return false;
}

int overlayplan_check(const struct net_way *way, struct err *e)
{
    uint32_t a = way->node.via;

    if (way->kind == NET_WAY_HERE || way->link_mtu == 0 || way->link_mtu >= OVERLAYPLAN_MTU_MIN) {
        return 0;
    }
    return err_say(e, EMSGSIZE,
                   "the way to node %u.%u.%u.%u by %s takes packets of %u bytes; %u are needed "
                   "(its MTU)",
                   a >> 24, a >> 16 & 0xff, a >> 8 & 0xff, a & 0xff, way->link, way->link_mtu,
                   OVERLAYPLAN_MTU_MIN);
}
