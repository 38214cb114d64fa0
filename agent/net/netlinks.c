// SPDX-License-Identifier: Apache-2.0
#include "agent/net/netlinks.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/net/attached.h"
#include "agent/net/netconfig.h"
#include "agent/net/rtnl.h"
#include "agent/net/tc.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

#define MTU_DEFAULT 1500u

/* An address that somebody asked for. */
struct extra {
    struct net_id id;
    uint32_t address;
};

/* A run whose link is being removed. */
struct leaving {
    struct net_id id;
    uint32_t address;
};

struct netlinks {
    char suffix[NET_SUFFIX_MAX + 1];
    unsigned mtu;
    struct ip6 six;
    uint32_t range;
    unsigned range_prefix;
    uint32_t block;
    uint64_t *taken; /* one bit per address of the block */
    uint32_t n_addresses;
    uint32_t next; /* where the search for a free one begins: not what was given back last */
    struct attached *attached;
    struct extra *extras;
    unsigned n_extras;
    unsigned cap_extras;
    struct leaving *leaving;
    unsigned n_leaving;
    unsigned cap_leaving;
};

/* ---- addresses of the block ---- */

static bool is_taken(const struct netlinks *l, uint32_t i)
{
    return (l->taken[i / 64] >> (i % 64) & 1) != 0;
}

static void set_taken(struct netlinks *l, uint32_t i, bool taken)
{
    uint64_t bit = (uint64_t)1 << (i % 64);

    l->taken[i / 64] = taken ? l->taken[i / 64] | bit : l->taken[i / 64] & ~bit;
}

/* The first and the last are nobody's. */
static bool in_block(const struct netlinks *l, uint32_t address)
{
    return address > l->block && address - l->block < l->n_addresses - 1;
}

/* -ENOSPC: there is none. */
static int take_address(struct netlinks *l, uint32_t *ret_address, struct err *e)
{
    for (uint32_t tried = 0; tried < l->n_addresses; tried++) {
        uint32_t i = (l->next + tried) % l->n_addresses;

        if (!is_taken(l, i)) {
            set_taken(l, i, true);
            l->next = i + 1;
            *ret_address = l->block + i;
            return 0;
        }
    }
    return err_say(e, ENOSPC, "all %u addresses of this node's block are in use",
                   (unsigned)l->n_addresses - 2);
}

/* ---- addresses that are asked for ---- */

static void add_extra(struct netlinks *l, struct net_id id, uint32_t address)
{
    if (l->n_extras == l->cap_extras) {
        l->cap_extras = l->cap_extras > 0 ? l->cap_extras * 2 : 16;
        l->extras = xrealloc(l->extras, l->cap_extras, sizeof(*l->extras));
    }
    l->extras[l->n_extras++] = (struct extra){.id = id, .address = address};
}

static void drop_extra(struct netlinks *l, struct net_id id)
{
    for (unsigned i = 0; i < l->n_extras; i++) {
        if (l->extras[i].id.incarnation == id.incarnation && l->extras[i].id.run == id.run) {
            l->extras[i] = l->extras[--l->n_extras];
            return;
        }
    }
}

/* ---- links ---- */

static unsigned mtu_of(const struct netlinks *l, const struct net_link *link)
{
    return link->mtu != 0 ? link->mtu : l->mtu;
}

static struct rtnl_peer peer_of(const struct netlinks *l, const struct net_link *link)
{
    struct rtnl_peer peer = {
        .address = link->address, .extra = link->extra, .ipv6 = link->ipv6, .six = l->six};

    memcpy(peer.mac, link->mac, sizeof(peer.mac));
    return peer;
}

static struct tc_limit limit_of(const struct netlinks *l, const struct net_link *link)
{
    return (struct tc_limit){
        .mtu = mtu_of(l, link), .bits_in = link->bits_in, .bits_out = link->bits_out};
}

static int limit(const struct netlinks *l, int rtnl, const char *name, const struct net_link *link,
                 struct err *e)
{
    struct tc_limit limit = limit_of(l, link);
    char mirror[NETCONFIG_LINK_NAME];

    netconfig_mirror_of_link(name, mirror);
    limit.link = name;
    limit.mirror = mirror;
    return tc_limit(rtnl, &limit, e);
}

/* From now on it is there, and is kept so. */
static void know(struct netlinks *l, struct net_id id, const char *name,
                 const struct rtnl_peer *peer, const struct net_link *link)
{
    struct tc_limit limit = limit_of(l, link);

    attached_add(l->attached, id, name, peer);
    attached_limit(l->attached, name, &limit);
    if (link->extra != 0) {
        add_extra(l, id, link->extra);
    }
}

/* ---- leaving ---- */

/* The mirror last: until then what comes by the link is limited, or goes nowhere. */
static int remove_link(int rtnl, const char *name, struct err *e)
{
    char mirror[NETCONFIG_LINK_NAME];
    int rc = rtnl_link_del(rtnl, name, e);

    netconfig_mirror_of_link(name, mirror);
    return rc < 0 ? rc : tc_release(rtnl, mirror, e);
}

/* l->n_leaving: it is not. */
static unsigned find_leaving(const struct netlinks *l, struct net_id id)
{
    unsigned i = 0;

    while (i < l->n_leaving &&
           (l->leaving[i].id.incarnation != id.incarnation || l->leaving[i].id.run != id.run)) {
        i++;
    }
    return i;
}

void netlinks_leave(struct netlinks *l, struct net_id id, uint32_t address,
                    char ret_link[NETCONFIG_LINK_NAME])
{
    netconfig_link_name(l->suffix, id, ret_link);
    attached_remove(l->attached, ret_link);
    if (find_leaving(l, id) < l->n_leaving) {
        return;
    }
    if (l->n_leaving == l->cap_leaving) {
        l->cap_leaving = l->cap_leaving > 0 ? l->cap_leaving * 2 : 16;
        l->leaving = xrealloc(l->leaving, l->cap_leaving, sizeof(*l->leaving));
    }
    l->leaving[l->n_leaving++] = (struct leaving){.id = id, .address = address};
}

void netlinks_left(struct netlinks *l, struct net_id id)
{
    unsigned i = find_leaving(l, id);

    if (i == l->n_leaving) {
        return; /* somebody could not wait */
    }
    drop_extra(l, id);
    if (in_block(l, l->leaving[i].address)) {
        set_taken(l, l->leaving[i].address - l->block, false);
    }
    l->leaving[i] = l->leaving[--l->n_leaving];
}

/* Not beside the loop, because an address is needed now. */
static int hurry(struct netlinks *l, int rtnl, struct net_id id, struct err *e)
{
    char name[NETCONFIG_LINK_NAME];
    int rc;

    netconfig_link_name(l->suffix, id, name);
    rc = remove_link(rtnl, name, e);
    if (rc == 0) {
        netlinks_left(l, id);
    }
    return rc;
}

int netlinks_reserve(struct netlinks *l, int rtnl, uint32_t *ret_address, struct err *e)
{
    int rc = take_address(l, ret_address, e);

    if (rc == -ENOSPC && l->n_leaving > 0) {
        rc = hurry(l, rtnl, l->leaving[0].id, e);
        rc = rc == 0 ? take_address(l, ret_address, e) : rc;
    }
    return rc;
}

/* ---- laying ---- */

#define DEFAULT_PREFIX_MAX 1u /* 0.0.0.0/1 and 128.0.0.0/1 together are a default route, too */

static int refuse(struct err *e, uint32_t a, const char *why)
{
    return err_say(e, EADDRINUSE, "ipv4_address %u.%u.%u.%u %s", a >> 24, a >> 16 & 0xff,
                   a >> 8 & 0xff, a & 0xff, why);
}

static bool in_range(const struct netlinks *l, uint32_t address)
{
    uint32_t mask = l->range_prefix == 0 ? 0 : ~(uint32_t)0 << (32 - l->range_prefix);

    return (address & mask) == l->range;
}

/* A /32 of ours would take it away from whoever has it. Routes of agents are not asked: they say
 * where the container was before, or are refused by the kernel if they are of another one. */
static int check_unused(int rtnl, uint32_t address, struct err *e)
{
    struct rtnl_way way = {0};
    int rc = rtnl_way_to(rtnl, address, &way, e);

    if (rc < 0) {
        return rc;
    }
    if (way.local) {
        return refuse(e, address, "is the host's own");
    }
    if (!way.none && way.prefix > DEFAULT_PREFIX_MAX && way.protocol != RTNL_PROTOCOL) {
        return refuse(e, address, "lies in a network to which this host has a route");
    }
    return 0;
}

static int check_extra(struct netlinks *l, int rtnl, uint32_t address, struct err *e)
{
    int rc = 0;

    if (in_range(l, address)) {
        return refuse(e, address, "lies in the cluster's range, of which nodes give addresses");
    }
    for (unsigned i = 0; i < l->n_extras; i++) {
        if (l->extras[i].address != address) {
            continue;
        }
        if (find_leaving(l, l->extras[i].id) == l->n_leaving) {
            return refuse(e, address, "belongs to another container of this node");
        }
        rc = hurry(l, rtnl, l->extras[i].id, e);
        break;
    }
    return rc < 0 ? rc : check_unused(rtnl, address, e);
}

/* All of it or nothing. */
static int lay(const struct netlinks *l, int rtnl, const struct rtnl_veth *veth,
               const struct net_link *link, struct err *e)
{
    int rc = rtnl_veth_add(rtnl, veth, e);

    if (rc < 0) {
        return rc;
    }
    rc = limit(l, rtnl, veth->name, link, e);
    if (rc < 0) {
        (void)remove_link(rtnl, veth->name, NULL);
    }
    return rc;
}

int netlinks_attach(struct netlinks *l, int rtnl, struct net_id id, int netns_fd,
                    const struct net_link *link, struct err *e)
{
    char name[NETCONFIG_LINK_NAME];
    char alias[80];
    struct rtnl_veth veth = {.name = name,
                             .alias = alias,
                             .peer = peer_of(l, link),
                             .gateway = NET_GATEWAY,
                             .range = l->range,
                             .range_prefix = l->range_prefix,
                             .mtu = mtu_of(l, link),
                             .netns_fd = netns_fd};
    int rc;

    assert(in_block(l, link->address));
    assert(is_taken(l, link->address - l->block));
    rc = link->extra != 0 ? check_extra(l, rtnl, link->extra, e) : 0;
    if (rc < 0) {
        return err_wrap(e, "network");
    }
    netconfig_link_name(l->suffix, id, name);
    (void)snprintf(alias, sizeof(alias), "wherry %s %llx run %u", l->suffix,
                   (unsigned long long)id.incarnation, id.run);
    FAILPOINT("agent.net.before_attach");
    rc = lay(l, rtnl, &veth, link, e);
    FAILPOINT("agent.net.after_attach");
    if (rc < 0) {
        return err_wrap(e, "network");
    }
    know(l, id, name, &veth.peer, link);
    return 0;
}

int netlinks_detach(struct netlinks *l, int rtnl, struct net_id id, uint32_t address, struct err *e)
{
    char name[NETCONFIG_LINK_NAME];

    netlinks_leave(l, id, address, name);
    return hurry(l, rtnl, id, e);
}

/* Names that a dump has given, to be looked at when it is over. */
struct names {
    char (*list)[16];
    unsigned n;
    unsigned cap;
};

static void on_name(void *arg, const struct rtnl_link *link)
{
    struct names *names = arg;

    if (names->n == names->cap) {
        names->cap = names->cap > 0 ? names->cap * 2 : 64;
        names->list = xrealloc(names->list, names->cap, sizeof(*names->list));
    }
    (void)snprintf(names->list[names->n++], sizeof(*names->list), "%s", link->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool is_kept(const char *name, const char (*keep)[16], unsigned n)
{
    char link[NETCONFIG_LINK_NAME];

    netconfig_link_of_mirror(name, link); /* a link is that of itself */
    return n > 0 && bsearch(link, keep, n, sizeof(*keep), by_name) != NULL;
}

static int list_links(const struct netlinks *l, int rtnl, struct names *names, struct err *e)
{
    char prefix[NETCONFIG_LINK_NAME];
    char mirrors[NETCONFIG_LINK_NAME];
    int rc;

    netconfig_link_prefix(l->suffix, prefix);
    netconfig_mirror_of_link(prefix, mirrors);
    rc = rtnl_links(rtnl, "veth", prefix, on_name, names, e);
    return rc < 0 ? rc : rtnl_links(rtnl, "ifb", mirrors, on_name, names, e);
}

/* Removes our links and mirrors but those of the named (sorted). */
static int remove_but(const struct netlinks *l, int rtnl, const char (*keep)[16], unsigned n,
                      struct err *e)
{
    struct names names = {0};
    int rc = list_links(l, rtnl, &names, e);
    const char **list = xcalloc(names.n + 1, sizeof(*list));
    unsigned strays = 0;

    for (unsigned i = 0; i < names.n; i++) {
        if (!is_kept(names.list[i], keep, n)) {
            list[strays++] = names.list[i];
        }
    }
    if (rc == 0 && strays > 0) {
        rc = rtnl_links_del(rtnl, list, strays, e);
    }
    free(list);
    free(names.list);
    return rc;
}

int netlinks_remove(struct netlinks *l, int rtnl, struct err *e)
{
    l->n_extras = 0;
    l->n_leaving = 0;
    return remove_but(l, rtnl, NULL, 0, e);
}

static int adopt_address(struct netlinks *l, const struct net_found *f, struct err *e)
{
    uint32_t a = f->link.address;

    if (!in_block(l, a)) {
        return err_say(e, ERANGE, "address %u.%u.%u.%u lies outside of this node's block", a >> 24,
                       a >> 16 & 0xff, a >> 8 & 0xff, a & 0xff);
    }
    if (is_taken(l, a - l->block)) {
        return err_say(e, EADDRINUSE, "address %u.%u.%u.%u belongs to two containers", a >> 24,
                       a >> 16 & 0xff, a >> 8 & 0xff, a & 0xff);
    }
    set_taken(l, a - l->block, true);
    return 0;
}

/* Its limits are set again: a mirror may have been removed while no agent was there. */
static int take_up(struct netlinks *l, int rtnl, const struct net_found *f, const char *name,
                   struct err *e)
{
    struct rtnl_peer peer = peer_of(l, &f->link);

    know(l, f->id, name, &peer, &f->link);
    return limit(l, rtnl, name, &f->link, e);
}

int netlinks_adopt(struct netlinks *l, int rtnl, const struct net_found *found, unsigned n,
                   struct err *e)
{
    char(*keep)[16] = xcalloc(n + 1, sizeof(*keep));
    int rc = 0;

    for (unsigned i = 0; i < n; i++) {
        struct err why;
        int one = adopt_address(l, &found[i], &why);

        netconfig_link_name(l->suffix, found[i].id, keep[i]);
        if (one == 0) {
            one = take_up(l, rtnl, &found[i], keep[i], &why);
        }
        rc = one < 0 && rc == 0 ? err_say(e, one, "%s", why.text) : rc;
    }
    qsort(keep, n, sizeof(*keep), by_name);
    if (rc == 0) {
        rc = remove_but(l, rtnl, (const char(*)[16])keep, n, e);
    } else {
        (void)remove_but(l, rtnl, (const char(*)[16])keep, n, NULL);
    }
    free(keep);
    return rc;
}

/* ---- life ---- */

struct attached *netlinks_attached(const struct netlinks *l)
{
    return l->attached;
}

struct netlinks *netlinks_create(const struct net_config *c)
{
    struct netlinks *l = xcalloc(1, sizeof(*l));
    char prefix[NETCONFIG_LINK_NAME];

    netconfig_link_prefix(c->suffix, prefix);
    l->attached = attached_create(prefix);
    (void)snprintf(l->suffix, sizeof(l->suffix), "%s", c->suffix);
    l->mtu = c->mtu != 0 ? c->mtu : MTU_DEFAULT;
    l->six = ip6_cluster(c->cluster != NULL ? c->cluster : "");
    l->range = c->range;
    l->range_prefix = c->range_prefix;
    l->block = c->block;
    l->n_addresses = (uint32_t)1 << (32 - c->block_prefix);
    l->taken = xcalloc(l->n_addresses / 64 + 1, sizeof(*l->taken));
    set_taken(l, 0, true);
    set_taken(l, l->n_addresses - 1, true);
    return l;
}

void netlinks_destroy(struct netlinks *l)
{
    if (l != NULL) {
        attached_destroy(l->attached);
        free(l->extras);
        free(l->leaving);
        free(l->taken);
        free(l);
    }
}
