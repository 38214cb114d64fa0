// SPDX-License-Identifier: Apache-2.0
#include "agent/net/overlayplan.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/net/vxlan.h"

uint32_t overlayplan_vni(const char *cluster)
{
    uint32_t h = 0x811c9dc5u;

    for (; *cluster != '\0'; cluster++) { /* FNV-1a, folded into 24 bits */
        h = (h ^ (unsigned char)*cluster) * 0x01000193u;
    }
    h = (h >> 24 ^ h) & 0xffffffu;
    return h != 0 ? h : 1;
}

static enum net_way_kind kind_of(const struct rtnl_way *way, const struct rtnl_link *link)
{
    if (way->local) {
        return NET_WAY_HERE;
    }
    return !way->none && !way->gateway && link != NULL && link->shared ? NET_WAY_LINK
                                                                       : NET_WAY_VXLAN;
}

struct net_way overlayplan_choose(const struct net_route *node, const struct rtnl_way *way,
                                  const struct rtnl_link *link)
{
    struct net_way ret = {.node = *node,
                          .kind = kind_of(way, link),
                          .link_index = link != NULL ? link->index : 0,
                          .link_mtu = link != NULL ? link->mtu : 0};

    if (way->mtu != 0 && (ret.link_mtu == 0 || way->mtu < ret.link_mtu)) {
        ret.link_mtu = way->mtu;
    }
    ret.mtu = ret.link_mtu != 0 ? ret.link_mtu : OVERLAYPLAN_MTU_USUAL;
    if (ret.kind == NET_WAY_VXLAN) {
        ret.mtu -= ret.mtu > VXLAN_BYTES ? VXLAN_BYTES : 0;
    }
    (void)snprintf(ret.link, sizeof(ret.link), "%s", link != NULL ? link->name : "");
    return ret;
}

unsigned overlayplan_mtu(const struct net_way *ways, unsigned n)
{
    unsigned mtu = 0;

    for (unsigned i = 0; i < n; i++) {
        if (ways[i].kind == NET_WAY_VXLAN && ways[i].mtu > mtu) {
            mtu = ways[i].mtu;
        }
    }
    return mtu;
}

bool overlayplan_route(const struct net_way *way, unsigned vxlan_index, uint32_t own_address,
                       struct rtnl_route *ret)
{
    *ret = (struct rtnl_route){.dst = way->node.block, .prefix = way->node.block_prefix};
    switch (way->kind) {
    case NET_WAY_HERE:
        return false;
    case NET_WAY_LINK:
        ret->via = way->node.via;
        ret->index = way->link_index;
        return true;
    case NET_WAY_VXLAN:
        ret->via = way->node.block;
        ret->index = vxlan_index;
        ret->onlink = true;
        ret->src = own_address;
        ret->mtu = way->mtu;
        return true;
    }
    assert(!"a kind of way");
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
