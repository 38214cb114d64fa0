// SPDX-License-Identifier: Apache-2.0
#include "controller/api/netcheck.h"

#include <assert.h>

#include "common/cleanup.h"
#include "controller/api/netcheck_priv.h"

static const struct row {
    const char *id;
    const char *what;
    void (*judge)(const struct netcheck_facts *f, struct netcheck_step *s);
} rows[] = {
    {"source", "it runs", netcheck_name_source},
    {"name", "name", netcheck_name_name},
    {"backend", "containers behind it", netcheck_name_backend},
    {"vip", "virtual address", netcheck_name_vip},
    {"target", "they run", netcheck_name_target},
    {"network", "a network in common", netcheck_name_network},
    {"egress", "leaving the cluster", netcheck_name_egress},
    {"route", "route there", netcheck_way_route},
    {"peer", "other node", netcheck_way_peer},
    {"tunnel", "tunnel", netcheck_way_tunnel},
    {"forwarding", "forwarding", netcheck_way_forwarding},
    {"rules", "own rules", netcheck_way_rules},
    {"firewall", "rules of others", netcheck_way_firewall},
    {"mtu", "packet size", netcheck_way_mtu},
    {"route_back", "route back", netcheck_way_route_back},
    {"listens", "somebody listens", netcheck_way_listens},
    {"connect", "a connection", netcheck_way_connection},
};
static_assert(ARRAY_LEN(rows) <= NETCHECK_STEPS_MAX, "the caller has room");

unsigned netcheck_judge(const struct api_gather *what, const struct api_parts *parts,
                        struct netcheck_step ret[NETCHECK_STEPS_MAX])
{
    struct netcheck_facts f = {
        .what = what, .parts = parts, .from = parts->n > 0 ? &parts->list[0] : NULL};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ret[i] = (struct netcheck_step){.id = rows[i].id, .what = rows[i].what, .node = ""};
        rows[i].judge(&f, &ret[i]);
    }
    return ARRAY_LEN(rows);
}

const struct netcheck_step *netcheck_broken(const struct netcheck_step *steps, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (steps[i].state == NETCHECK_BROKEN) {
            return &steps[i];
        }
    }
    return NULL;
}

bool netcheck_reaches(const struct netcheck_step *steps, unsigned n)
{
    return n > 0 && steps[n - 1].state == NETCHECK_OK; /* the last row is the connection */
}

const char *netcheck_state_name(enum netcheck_state state)
{
    static const char *const names[] = {"skipped", "ok", "broken"};

    return names[state];
}
