// SPDX-License-Identifier: Apache-2.0
/* What there is while the network is up. The plan is fed with all that is known before the table is
 * asserted for the first time, so that whatever was in force before stays so without a gap. */
#include <stdlib.h>

#include "common/ip6.h"
#include "agent/uv_agent_net_priv.h"
#include "common/cleanup.h"
#include "common/log.h"

/* ---- elements ---- */

static unsigned on_all(void *arg, struct netelems *ret)
{
    const struct net_up *up = arg;

    netplan_all(up->plan, ret);
    return netplan_backends_max(up->plan);
}

void uv_agent_net_up_apply(struct net_up *up, struct netplan_diff *diff)
{
    struct err e;

    netplan_diff_settle(diff);
    if (diff->removed.n + diff->added.n > 0 &&
        net_elements(up->net, diff->removed.list, diff->removed.n, diff->added.list, diff->added.n,
                     diff->backends_max, &e) < 0) {
        log_error("network: %s", e.text);
    }
    if (diff->n_flush > 0) {
        net_flush(up->net, diff->flush, diff->n_flush);
    }
    netplan_diff_finish(diff);
}

void uv_agent_net_up_service(struct net_up *up, const char *stack, const char *service,
                             const struct svc_entry *entry, struct netplan_diff *diff)
{
    netplan_service(up->plan, stack, service, entry, diff);
    dns_names_service(up->names, stack, service, entry);
}

static void on_reach(void *arg, uint32_t block, unsigned prefix, bool answers)
{
    struct net_up *up = arg;
    struct netplan_diff diff = {0};

    log_info("network: the node of block %u.%u.%u.%u/%u %s", block >> 24, block >> 16 & 0xff,
             block >> 8 & 0xff, block & 0xff, prefix, answers ? "answers again" : "is silent");
    netplan_reach(up->plan, block, prefix, answers, &diff);
    uv_agent_net_up_apply(up, &diff);
}

/* Somebody has removed a container's link: it has no network until it is started again. */
static void on_lost(void *arg, struct net_id id)
{
    struct net_up *up = arg;
    struct node_of of = {.incarnation = id.incarnation, .run = id.run};
    const struct attempt *at = uv_agent_attempt(up->agent, of);

    if (at != NULL) {
        log_warn("%s: its network link was removed by somebody", at->unit->name);
        uv_agent_queue_failed(up->agent, NODE_CUT, of, false, false,
                              "its network link was removed by somebody");
    }
}

/* ---- at the start ---- */

static void feed_locals(struct net_up *up, struct netplan_diff *diff)
{
    for (const struct unit *u = up->agent->units; u != NULL; u = u->next) {
        for (const struct attempt *at = u->attempts; at != NULL; at = at->next) {
            if (at->attached) {
                uv_agent_net_local(up, at, diff);
            }
        }
    }
}

static void feed(struct net_up *up)
{
    struct netplan_diff diff = {0}; /* from nothing: the table is asserted as a whole */
    const struct svctable *table = up->owner->table;

    feed_locals(up, &diff);
    for (unsigned i = 0; i < svctable_count(table); i++) {
        const struct svc_entry *entry = svctable_at(table, i);

        uv_agent_net_up_service(up, entry->stack, entry->service, entry, &diff);
    }
    netplan_diff_finish(&diff);
}

/* ---- life ---- */

static void destroy(struct net_up *up)
{
    uv_agent_net_local_finish(up);
    dns_names_destroy(up->names);
    netplan_destroy(up->plan);
    free(up);
}

int uv_agent_net_up_create(struct uv_agent_net *n, const struct net_config *config,
                           struct net_up **ret, struct err *e)
{
    const struct netplan_config plan = {.range = config->range,
                                        .range_prefix = config->range_prefix,
                                        .block = config->block,
                                        .block_prefix = config->block_prefix};
    struct net_config own = *config;
    struct ip6 six;
    struct net_up *up = xcalloc(1, sizeof(*up));
    int rc;

    up->owner = n;
    up->agent = n->agent;
    up->plan = netplan_create(&plan);
    up->names = dns_names_create(config->range, config->range_prefix);
    six = ip6_cluster(config->cluster);
    dns_names_ip6(up->names, &six);
    feed(up);
    own.all = on_all;
    own.arg = up;
    rc = net_create(n->agent->loop, &own, &up->net, e);
    if (rc < 0) {
        destroy(up);
        return rc;
    }
    net_on_lost(up->net, on_lost, up);
    if (uv_reach_create(n->agent->loop, on_reach, up, &up->reach, e) < 0) {
        log_warn("network: nodes that fall silent are not noticed: %s", e->text);
    }
    uv_agent_net_dns_start(up);
    *ret = up;
    return 0;
}

void uv_agent_net_up_routes(struct net_up *up, uint32_t underlay, const struct net_route *routes,
                            unsigned n)
{
    struct err e;

    if (net_routes(up->net, underlay, routes, n, &e) < 0) {
        log_warn("routes to other nodes: %s", e.text);
    }
    if (up->reach != NULL) {
        uv_reach_nodes(up->reach, routes, n);
    }
}

static void on_part_closed(void *arg)
{
    struct net_up *up = arg;
    void (*closed)(void *arg) = up->closed;
    void *closed_arg = up->closed_arg;

    if (--up->live == 0) {
        destroy(up);
        closed(closed_arg);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_part_closed(container_of((uv_timer_t *)handle, struct net_up, dns_timer));
}

void uv_agent_net_up_close(struct net_up *up, bool remove, void (*closed)(void *arg), void *arg)
{
    up->owner = NULL;
    up->closed = closed;
    up->closed_arg = arg;
    up->live = 3; /* this call, the routes' part, the network */
    up->live += uv_agent_net_dns_close(up, on_timer_closed, on_part_closed, up);
    uv_reach_close(up->reach, on_part_closed, up);
    net_close(up->net, remove, on_part_closed, up);
    on_part_closed(up);
}
