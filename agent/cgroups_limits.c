// SPDX-License-Identifier: Apache-2.0
/* Limits as files and values: the same wish in the words of both cgroup versions. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/cgroups.h"
#include "common/cleanup.h"

#define PERIOD_US 100000u /* in which the CPU quota is counted */
#define SHARES_1  1024u   /* v1's weight of one core */

/* Each writes nothing where nothing is to be limited. */
typedef void (*value_of)(const struct cgroups_want *want, char *ret, size_t size);

static void memory_value(const struct cgroups_want *want, char *ret, size_t size)
{
    if (want->memory_bytes > 0) {
        (void)snprintf(ret, size, "%llu", (unsigned long long)want->memory_bytes);
    }
}

static void zero_value(const struct cgroups_want *want, char *ret, size_t size)
{
    (void)want;
    (void)snprintf(ret, size, "0");
}

static void one_value(const struct cgroups_want *want, char *ret, size_t size)
{
    (void)want;
    (void)snprintf(ret, size, "1");
}

static uint64_t quota_us(const struct cgroups_want *want)
{
    uint64_t us = want->cpu_millis * PERIOD_US / 1000;

    return us < 1000 ? 1000 : us; /* the kernel's least */
}

static void period_value(const struct cgroups_want *want, char *ret, size_t size)
{
    if (want->cpu_millis > 0) {
        (void)snprintf(ret, size, "%u", PERIOD_US);
    }
}

static void quota_value(const struct cgroups_want *want, char *ret, size_t size)
{
    if (want->cpu_millis > 0) {
        (void)snprintf(ret, size, "%llu", (unsigned long long)quota_us(want));
    }
}

static void max_value(const struct cgroups_want *want, char *ret, size_t size)
{
    if (want->cpu_millis > 0) {
        (void)snprintf(ret, size, "%llu %u", (unsigned long long)quota_us(want), PERIOD_US);
    }
}

static uint64_t shares(const struct cgroups_want *want)
{
    uint64_t n = want->cpu_millis * SHARES_1 / 1000;

    return n < 2 ? 2 : n > 262144 ? 262144 : n; /* the kernel's bounds */
}

static void shares_value(const struct cgroups_want *want, char *ret, size_t size)
{
    if (want->cpu_millis > 0) {
        (void)snprintf(ret, size, "%llu", (unsigned long long)shares(want));
    }
}

/* runc's conversion of 2..262144 to 1..10000. */
static void weight_value(const struct cgroups_want *want, char *ret, size_t size)
{
    if (want->cpu_millis > 0) {
        (void)snprintf(ret, size, "%llu",
                       (unsigned long long)(1 + (shares(want) - 2) * 9999 / 262142));
    }
}

static uint64_t pids(const struct cgroups_want *want)
{
    return want->pids > 0 ? want->pids : CGROUPS_PIDS_DEFAULT;
}

static void pids_value(const struct cgroups_want *want, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%llu", (unsigned long long)pids(want));
}

enum needs { NEEDS_NOTHING, NEEDS_SWAP, NEEDS_OOM_GROUP };

static const struct {
    bool v2;
    unsigned controller;
    const char *file;
    value_of value;
    enum needs needs;
} rows[] = {
    {false, CGROUPS_MEMORY, "memory.limit_in_bytes", memory_value, NEEDS_NOTHING},
    {false, CGROUPS_MEMORY, "memory.memsw.limit_in_bytes", memory_value, NEEDS_SWAP},
    {false, CGROUPS_MEMORY, "memory.swappiness", zero_value, NEEDS_NOTHING},
    {false, CGROUPS_CPU, "cpu.cfs_period_us", period_value, NEEDS_NOTHING},
    {false, CGROUPS_CPU, "cpu.cfs_quota_us", quota_value, NEEDS_NOTHING},
    {false, CGROUPS_CPU, "cpu.shares", shares_value, NEEDS_NOTHING},
    {false, CGROUPS_PIDS, "pids.max", pids_value, NEEDS_NOTHING},
    {true, CGROUPS_MEMORY, "memory.max", memory_value, NEEDS_NOTHING},
    {true, CGROUPS_MEMORY, "memory.swap.max", zero_value, NEEDS_SWAP},
    {true, CGROUPS_MEMORY, "memory.oom.group", one_value, NEEDS_OOM_GROUP},
    {true, CGROUPS_CPU, "cpu.max", max_value, NEEDS_NOTHING},
    {true, CGROUPS_CPU, "cpu.weight", weight_value, NEEDS_NOTHING},
    {true, CGROUPS_PIDS, "pids.max", pids_value, NEEDS_NOTHING},
};

static bool has(const struct cgroups *g, enum needs needs)
{
    switch (needs) {
    case NEEDS_NOTHING:
        return true;
    case NEEDS_SWAP:
        return g->swap;
    case NEEDS_OOM_GROUP:
        return g->oom_group;
    }
    return false;
}

static unsigned tree_of(const struct cgroups *g, unsigned controller)
{
    unsigned i = 0;

    while (i < g->n_trees && (g->trees[i].controllers & controller) == 0) {
        i++;
    }
    assert(i < g->n_trees); /* cgroups_detect has seen it */
    return i;
}

unsigned cgroups_limits(const struct cgroups *g, const struct cgroups_want *want,
                        struct cgroups_write ret[CGROUPS_WRITES_MAX])
{
    unsigned n = 0;

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct cgroups_write *w = &ret[n];

        if (rows[i].v2 != (g->kind == CGROUPS_V2) || !has(g, rows[i].needs)) {
            continue;
        }
        *w = (struct cgroups_write){.file = rows[i].file};
        rows[i].value(want, w->value, sizeof(w->value));
        if (w->value[0] != '\0') {
            w->tree = tree_of(g, rows[i].controller);
            assert(n + 1 < CGROUPS_WRITES_MAX);
            n++;
        }
    }
    return n;
}

void cgroups_controls(const struct cgroups *g, const struct cgroups_want *want, struct buf *ret)
{
    if (want->memory_bytes > 0 && want->memory_bytes % (1024 * 1024) == 0) {
        buf_printf(ret, "memory limit: applied %llu MiB\n",
                   (unsigned long long)(want->memory_bytes / (1024 * 1024)));
    } else if (want->memory_bytes > 0) {
        buf_printf(ret, "memory limit: applied %llu bytes\n",
                   (unsigned long long)want->memory_bytes);
    } else {
        buf_puts(ret, "memory limit: none of its own, the host's less its reserve\n");
    }
    buf_printf(ret, "swap limit: %s\n",
               !g->swap                                          ? "not supported by this host"
               : g->kind == CGROUPS_V2 || want->memory_bytes > 0 ? "applied 0"
                                                                 : "none of its own");
    if (want->cpu_millis > 0) {
        buf_printf(ret, "cpu limit: applied %llu.%03llu cores\n",
                   (unsigned long long)(want->cpu_millis / 1000),
                   (unsigned long long)(want->cpu_millis % 1000));
    } else {
        buf_puts(ret, "cpu limit: not asked for\n");
    }
    buf_printf(ret, "pids limit: applied %llu\n", (unsigned long long)pids(want));
}
