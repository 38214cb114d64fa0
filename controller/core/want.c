// SPDX-License-Identifier: Apache-2.0
/* Owned copies of what a service wants. A placement keeps the ask it was placed with, so that what
 * it takes on its node does not change under it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "controller/core/fleet_priv.h"

static void *copy_of(const void *from, unsigned n, size_t size)
{
    void *to;

    if (n == 0) {
        return NULL;
    }
    to = xcalloc(n, size);
    memcpy(to, from, n * size);
    return to;
}

static void constraints_copy(struct fleet_want *to, const struct fleet_want *from)
{
    struct fleet_constraint *list = copy_of(from->constraints, from->n_constraints, sizeof(*list));

    for (unsigned i = 0; i < from->n_constraints; i++) {
        list[i].key = xstrdup(from->constraints[i].key);
        list[i].value = xstrdup(from->constraints[i].value);
    }
    to->constraints = list;
}

static void networks_copy(struct fleet_ask *to, const struct fleet_ask *from)
{
    struct fleet_network_use *list = copy_of(from->networks, from->n_networks, sizeof(*list));

    assert(from->n_networks <= SVC_NETWORKS_MAX);
    for (unsigned i = 0; i < from->n_networks; i++) {
        unsigned n = list[i].n_aliases;
        const char **aliases = copy_of(list[i].aliases, n, sizeof(*aliases));

        for (unsigned k = 0; k < n; k++) {
            aliases[k] = xstrdup(aliases[k]);
        }
        list[i].aliases = aliases;
    }
    to->networks = list;
}

static void networks_free(struct fleet_ask *ask)
{
    for (unsigned i = 0; i < ask->n_networks; i++) {
        for (unsigned k = 0; k < ask->networks[i].n_aliases; k++) {
            free((void *)(uintptr_t)ask->networks[i].aliases[k]);
        }
        free((void *)(uintptr_t)ask->networks[i].aliases);
    }
    free((void *)(uintptr_t)ask->networks);
}

static void ask_free(struct fleet_ask *ask)
{
    free((void *)(uintptr_t)ask->ports);
    free((void *)(uintptr_t)ask->volumes);
    networks_free(ask);
}

static void ask_copy(struct fleet_ask *to, const struct fleet_ask *from)
{
    *to = *from;
    to->ports = copy_of(from->ports, from->n_ports, sizeof(*from->ports));
    to->volumes = copy_of(from->volumes, from->n_volumes, sizeof(*from->volumes));
    networks_copy(to, from);
    if (to->reserve.memory_bytes == 0) {
        to->reserve.memory_bytes = FLEET_MEMORY_DEFAULT;
    }
    if (to->reserve.pids == 0) {
        to->reserve.pids = FLEET_PIDS_DEFAULT;
    }
}

struct fleet_want *want_copy(const struct fleet_want *from)
{
    struct fleet_want *to = xcalloc(1, sizeof(*to));

    assert(from->replicas <= FLEET_REPLICAS_MAX);
    *to = *from;
    to->image = xstrdup(from->image != NULL ? from->image : "");
    ask_copy(&to->ask, &from->ask);
    constraints_copy(to, from);
    to->depends = copy_of(from->depends, from->n_depends, sizeof(*from->depends));
    return to;
}

void want_free(struct fleet_want *want)
{
    if (want == NULL) {
        return;
    }
    for (unsigned i = 0; i < want->n_constraints; i++) {
        free((void *)(uintptr_t)want->constraints[i].key);
        free((void *)(uintptr_t)want->constraints[i].value);
    }
    free((void *)(uintptr_t)want->constraints);
    free((void *)(uintptr_t)want->depends);
    ask_free(&want->ask);
    free((void *)(uintptr_t)want->image);
    free(want);
}

struct ask *want_ask(const struct fleet_ask *from)
{
    static const struct fleet_ask none;
    struct ask *ask = xcalloc(1, sizeof(*ask));

    ask->refs = 1;
    ask_copy(&ask->a, from != NULL ? from : &none);
    return ask;
}

struct ask *want_ask_ref(struct ask *ask)
{
    assert(ask->refs > 0);
    ask->refs++;
    return ask;
}

void want_ask_drop(struct ask *ask)
{
    if (ask == NULL || --ask->refs > 0) {
        return;
    }
    ask_free(&ask->a);
    free(ask);
}

static bool ports_equal(const struct fleet_ask *a, const struct fleet_ask *b)
{
    for (unsigned i = 0; i < a->n_ports; i++) {
        if (a->ports[i].udp != b->ports[i].udp || a->ports[i].port != b->ports[i].port ||
            a->ports[i].ingress != b->ports[i].ingress ||
            a->ports[i].target != b->ports[i].target ||
            a->ports[i].host_ip != b->ports[i].host_ip) {
            return false;
        }
    }
    return true;
}

static bool use_equal(const struct fleet_network_use *a, const struct fleet_network_use *b)
{
    bool same = strcmp(a->name, b->name) == 0 && a->n_aliases == b->n_aliases &&
                a->address == b->address && a->internal == b->internal && a->ipv6 == b->ipv6;

    for (unsigned i = 0; same && i < a->n_aliases; i++) {
        same = strcmp(a->aliases[i], b->aliases[i]) == 0;
    }
    return same;
}

static bool networks_equal(const struct fleet_ask *a, const struct fleet_ask *b)
{
    bool same = a->n_networks == b->n_networks;

    for (unsigned i = 0; same && i < a->n_networks; i++) {
        same = use_equal(&a->networks[i], &b->networks[i]);
    }
    return same;
}

bool want_ask_equal(const struct fleet_ask *a, const struct fleet_ask *b)
{
    if (a->n_ports != b->n_ports || a->n_volumes != b->n_volumes || a->linked != b->linked ||
        a->reserve.memory_bytes != b->reserve.memory_bytes ||
        a->reserve.cpu_millis != b->reserve.cpu_millis || a->reserve.pids != b->reserve.pids ||
        a->reserve.bits_in != b->reserve.bits_in || a->reserve.bits_out != b->reserve.bits_out) {
        return false;
    }
    for (unsigned i = 0; i < a->n_volumes; i++) {
        if (strcmp(a->volumes[i].name, b->volumes[i].name) != 0) {
            return false;
        }
    }
    return ports_equal(a, b) && networks_equal(a, b);
}

bool want_is_job(const struct fleet_want *want)
{
    return want->mode == FLEET_JOB || want->mode == FLEET_GLOBAL_JOB;
}

bool want_is_global(const struct fleet_want *want)
{
    return want->mode == FLEET_GLOBAL || want->mode == FLEET_GLOBAL_JOB;
}
