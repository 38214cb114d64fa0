// SPDX-License-Identifier: Apache-2.0
/* Links and routes are found again by what they are called in the kernel (netlinks.h, overlay.h);
 * what may go where is what the table says (nettable.h). */
#include "agent/net/net.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/net/forwarding.h"
#include "agent/net/netconfig.h"
#include "agent/net/netkeep.h"
#include "agent/net/netlinks.h"
#include "agent/net/nettable.h"
#include "agent/net/overlay.h"
#include "agent/net/overlay6.h"
#include "agent/net/overlayplan.h"
#include "agent/net/rtnl.h"
#include "agent/net/rules.h"
#include "agent/net/uv_unlink.h"
#include "agent/net/wireguard.h"
#include "common/cleanup.h"
#include "common/failpoint.h"
#include "common/log.h"

struct net {
    struct rules_config rules;
    char suffix[NET_SUFFIX_MAX + 1];
    char *nft_program;
    int rtnl;
    int genl;
    struct netlinks *links;
    struct uv_unlink *unlink;
    struct overlay *overlay;
    struct overlay6 *overlay6;
    struct netkeep *keep;
    struct nettable *table;
    unsigned (*all)(void *arg, struct netelems *ret);
    void *arg;
    struct netelems nodes; /* of the others, sorted */
    unsigned live;         /* parts that are not closed yet */
    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- addresses and links ---- */

int net_reserve(struct net *net, uint32_t *ret_address, struct err *e)
{
    return netlinks_reserve(net->links, net->rtnl, ret_address, e);
}

/* By the ways of IPv4 as they are. */
static int assert_ipv6(struct net *net, struct err *e)
{
    unsigned n;
    const struct net_way *ways = overlay_ways(net->overlay, &n);

    return overlay6_assert(net->overlay6, net->rtnl, ways, n, e);
}

/* With the first container that has IPv6 the node gets it. */
static int need_ipv6(struct net *net, struct err *e)
{
    int rc = overlay6_need(net->overlay6, e);

    return rc < 0 ? rc : assert_ipv6(net, e);
}

int net_attach(struct net *net, struct net_id id, int netns_fd, const struct net_link *link,
               struct err *e)
{
    if (link->ipv6 && !overlay6_is_needed(net->overlay6)) {
        int rc = need_ipv6(net, e);

        if (rc < 0) {
            return err_wrap(e, "network");
        }
    }
    return netlinks_attach(net->links, net->rtnl, id, netns_fd, link, e);
}

static void on_gone(void *arg, const struct uv_unlink_job *job, int status, const struct err *e)
{
    struct net *net = arg;

    if (status < 0) {
        log_warn("network: %s", e->text);
    } else {
        netlinks_left(net->links, job->id);
    }
}

void net_detach(struct net *net, struct net_id id, uint32_t address)
{
    struct uv_unlink_job job = {.id = id};

    netlinks_leave(net->links, id, address, job.link);
    netconfig_mirror_of_link(job.link, job.mirror);
    uv_unlink_add(net->unlink, &job);
}

int net_adopt(struct net *net, const struct net_found *found, unsigned n, struct err *e)
{
    int rc = netlinks_adopt(net->links, net->rtnl, found, n, e);
    bool ipv6 = false;
    struct err why;
    int one;

    for (unsigned i = 0; i < n; i++) {
        ipv6 |= found[i].link.ipv6;
    }
    one = ipv6 ? need_ipv6(net, &why) : 0;
    return one < 0 && rc == 0 ? err_say(e, one, "%s", why.text) : rc;
}

/* ---- elements ---- */

/* `want` becomes the list, and what that changes is changed in the table. */
static int replace(struct net *net, struct netelems *list, struct netelems *want,
                   unsigned backends_max, struct err *e)
{
    struct netelems removed = {0};
    struct netelems added = {0};
    int rc;

    netelems_sort(want);
    netelems_diff(list, want, &removed, &added);
    netelems_finish(list);
    *list = *want;
    rc = nettable_change(net->table, &removed, &added, backends_max, e);
    netelems_finish(&removed);
    netelems_finish(&added);
    return rc;
}

int net_elements(struct net *net, const struct netelem *removed, unsigned n_removed,
                 const struct netelem *added, unsigned n_added, unsigned backends_max,
                 struct err *e)
{
    const struct netelems from = {.list = (struct netelem *)(uintptr_t)removed, .n = n_removed};
    const struct netelems to = {.list = (struct netelem *)(uintptr_t)added, .n = n_added};

    return nettable_change(net->table, &from, &to, backends_max, e);
}

void net_flush(struct net *net, const uint32_t *addresses, unsigned n)
{
    nettable_flush(net->table, addresses, n);
}

static void add_all(const struct netelems *from, struct netelems *to)
{
    for (unsigned i = 0; i < from->n; i++) {
        netelems_add(to, &from->list[i]);
    }
}

static unsigned on_all(void *arg, struct netelems *ret)
{
    struct net *net = arg;
    unsigned most = net->all != NULL ? net->all(net->arg, ret) : 0;

    add_all(&net->nodes, ret);
    return most;
}

int net_counters(struct net *net, struct net_drop ret[NET_DROPS_MAX], unsigned *ret_n,
                 struct err *e)
{
    struct nftset_count counts[RULES_COUNTER_N];
    int rc = nettable_counts(net->table, counts, e);

    static_assert(RULES_COUNTER_N <= NET_DROPS_MAX, "room for all");
    if (rc < 0) {
        return rc;
    }
    for (unsigned i = 0; i < RULES_COUNTER_N; i++) {
        ret[i] = (struct net_drop){.name = rules_counter_name(i),
                                   .words = rules_counter_words(i),
                                   .packets = counts[i].packets,
                                   .bytes = counts[i].bytes};
    }
    *ret_n = RULES_COUNTER_N;
    return 0;
}

int net_spoofed(struct net *net, struct net_id id, uint64_t *ret_packets, struct err *e)
{
    char name[NETCONFIG_LINK_NAME];
    struct nftset_count count;
    int rc;

    netconfig_link_name(net->suffix, id, name);
    rc = nettable_spoofs(net->table, name, &count, e);
    if (rc == 0) {
        *ret_packets = count.packets;
    }
    return rc;
}

/* ---- who is told ---- */

void net_on_lost(struct net *net, void (*lost)(void *arg, struct net_id id), void *arg)
{
    netkeep_on_lost(net->keep, lost, arg);
}

/* ---- routes ---- */

/* The table knows the other nodes by what they have: their own addresses, their blocks, and the
 * first address of each, which is the node's. */
static void add_node(struct netelems *l, const struct net_route *r)
{
    const struct netelem elements[] = {
        {.set = NETELEM_NODES, .address = r->via},
        {.set = NETELEM_GATES, .address = r->block},
        {.set = NETELEM_BLOCKS, .address = r->block, .prefix = (uint8_t)r->block_prefix},
    };

    for (unsigned i = 0; i < sizeof(elements) / sizeof(elements[0]); i++) {
        netelems_add(l, &elements[i]);
    }
}

static void list_nodes(const struct net_route *routes, unsigned n, struct netelems *ret)
{
    for (unsigned i = 0; i < n; i++) {
        add_node(ret, &routes[i]);
    }
}

static int keep_nodes(struct net *net, const struct net_route *routes, unsigned n, struct err *e)
{
    struct netelems want = {0};

    list_nodes(routes, n, &want);
    return replace(net, &net->nodes, &want, 0, e);
}

/* Those that an earlier agent knew, so that the table has them from the first moment. */
static int recall_nodes(struct net *net, struct err *e)
{
    int rc = overlay_recall(net->overlay, net->rtnl, e);
    const struct net_route *nodes;
    unsigned n;

    nodes = overlay_known(net->overlay, &n);
    list_nodes(nodes, n, &net->nodes);
    netelems_sort(&net->nodes);
    return rc;
}

int net_routes(struct net *net, uint32_t underlay, const struct net_route *routes, unsigned n,
               struct err *e)
{
    int rc;

    if (n > NET_ROUTES_MAX) {
        return err_say(e, E2BIG, "%u routes; %d are possible", n, NET_ROUTES_MAX);
    }
    for (unsigned i = 0; i < n; i++) {
        rc = netconfig_check_net("block of a node", routes[i].block, routes[i].block_prefix, e);

        if (rc < 0) {
            return rc;
        }
    }
    rc = keep_nodes(net, routes, n, e);
    overlay_nodes(net->overlay, underlay, routes, n);
    if (rc < 0) {
        (void)netkeep_between(net->keep, NULL);
        return rc;
    }
    return netkeep_between(net->keep, e);
}

int net_encrypt(struct net *net, bool on, uint8_t ret_key[NET_KEY], struct err *e)
{
    int rc = overlay_encrypt(net->overlay, net->rtnl, on, ret_key, e);

    (void)assert_ipv6(net, NULL); /* its MTU may be another */
    return rc;
}

const struct net_way *net_ways(const struct net *net, unsigned *ret_n)
{
    return overlay_ways(net->overlay, ret_n);
}

/* ---- life ---- */

static void net_free(struct net *net)
{
    cleanup_close(&net->rtnl);
    cleanup_close(&net->genl);
    netelems_finish(&net->nodes);
    overlay6_destroy(net->overlay6);
    overlay_destroy(net->overlay);
    netlinks_destroy(net->links);
    free(net->nft_program);
    free(net);
}

static struct overlay *make_overlay(const struct net_config *c)
{
    char device[NETCONFIG_LINK_NAME];
    char secret[NETCONFIG_LINK_NAME];
    struct overlay_config config = {.device = device,
                                    .secret = secret,
                                    .vni = overlayplan_vni(c->cluster != NULL ? c->cluster : ""),
                                    .metric = netconfig_metric(c->suffix),
                                    .gateway = NET_GATEWAY,
                                    .range = c->range,
                                    .range_prefix = c->range_prefix,
                                    .block = c->block,
                                    .block_prefix = c->block_prefix};

    netconfig_vxlan_name(c->suffix, device);
    netconfig_wireguard_name(c->suffix, secret);
    return overlay_create(&config);
}

static struct overlay6 *make_overlay6(const struct net_config *c)
{
    char device[NETCONFIG_LINK_NAME];
    const char *cluster = c->cluster != NULL ? c->cluster : "";
    struct overlay6_config config = {.device = device,
                                     .vni = overlayplan_vni6(overlayplan_vni(cluster)),
                                     .metric = netconfig_metric(c->suffix),
                                     .six = ip6_cluster(cluster),
                                     .range = c->range,
                                     .range_prefix = c->range_prefix,
                                     .block = c->block,
                                     .block_prefix = c->block_prefix};

    netconfig_vxlan6_name(c->suffix, device);
    return overlay6_create(&config);
}

static struct net *make(const struct net_config *c)
{
    struct net *net = xcalloc(1, sizeof(*net));

    (void)snprintf(net->suffix, sizeof(net->suffix), "%s", c->suffix);
    net->overlay = make_overlay(c);
    net->overlay6 = make_overlay6(c);
    netconfig_table_name(c->suffix, net->rules.table, sizeof(net->rules.table));
    netconfig_link_prefix(c->suffix, net->rules.links);
    net->links = netlinks_create(c);
    net->rules.range = c->range;
    net->rules.range_prefix = c->range_prefix;
    net->rules.block = c->block;
    net->rules.block_prefix = c->block_prefix;
    net->rules.vni = overlayplan_vni(c->cluster != NULL ? c->cluster : "");
    net->rules.six = ip6_cluster(c->cluster != NULL ? c->cluster : "");
    net->all = c->all;
    net->arg = c->arg;
    net->nft_program = xstrdup(c->nft_program != NULL ? c->nft_program : "nft");
    net->rtnl = net->genl = -1;
    return net;
}

static int keep(struct net *net, struct uv_loop_s *loop, struct err *e)
{
    struct netkeep_config config = {.loop = loop,
                                    .rtnl = net->rtnl,
                                    .overlay = net->overlay,
                                    .overlay6 = net->overlay6,
                                    .attached = netlinks_attached(net->links)};

    return netkeep_create(&config, &net->keep, e);
}

static int bring_up(struct net *net, struct uv_loop_s *loop, struct err *e)
{
    struct nettable_config config = {
        .loop = loop, .program = net->nft_program, .rules = net->rules, .all = on_all, .arg = net};
    struct uv_unlink_config unlink = {loop, on_gone, net};
    int rc;

    net->rtnl = rtnl_open(e);
    rc = net->rtnl < 0 ? net->rtnl : forwarding_on(e);
    net->genl = wireguard_open(NULL); /* a kernel without may yet do without */
    overlay_use(net->overlay, net->genl);
    if (rc == 0) {
        rc = recall_nodes(net, e);
    }
    if (rc == 0) {
        rc = nettable_create(&config, &net->table, e);
    }
    if (rc < 0) {
        return rc;
    }
    rc = overlay_assert(net->overlay, net->rtnl, e);
    if (rc == 0) {
        rc = uv_unlink_create(&unlink, &net->unlink, e);
    }
    if (rc == 0) {
        rc = keep(net, loop, e);
    }
    if (rc < 0) {
        nettable_close(net->table, false, NULL, NULL);
        uv_unlink_close(net->unlink, NULL, NULL);
    }
    return rc;
}

int net_create(struct uv_loop_s *loop, const struct net_config *config, struct net **ret,
               struct err *e)
{
    struct net *net;
    int rc = netconfig_check(config, e);

    if (rc < 0) {
        return rc;
    }
    net = make(config);
    rc = bring_up(net, loop, e);
    if (rc < 0) {
        net_free(net);
        return rc;
    }
    *ret = net;
    return 0;
}

static void on_part_closed(void *arg)
{
    struct net *net = arg;
    void (*closed)(void *arg) = net->closed;
    void *closed_arg = net->closed_arg;

    if (--net->live > 0) {
        return;
    }
    net_free(net);
    closed(closed_arg);
}

void net_close(struct net *net, bool remove, void (*closed)(void *arg), void *arg)
{
    net->closed = closed;
    net->closed_arg = arg;
    if (remove) {
        (void)netlinks_remove(net->links, net->rtnl, NULL);
        overlay6_remove(net->overlay6, net->rtnl);
        overlay_remove(net->overlay, net->rtnl);
    }
    net->live = 3;
    uv_unlink_close(net->unlink, on_part_closed, net);
    netkeep_close(net->keep, on_part_closed, net);
    nettable_close(net->table, remove, on_part_closed, net);
}

unsigned net_restored(const struct net *net)
{
    return nettable_restored(net->table);
}
