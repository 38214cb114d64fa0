// SPDX-License-Identifier: Apache-2.0
/* Placements by incarnation: open addressing with linear probing, half full at most, and removal
 * by moving back, so that there are no tombstones. */
#include <assert.h>
#include <stdlib.h>

#include "common/err.h"
#include "controller/core/fleet_priv.h"

static unsigned home(const struct fleet *f, uint64_t incarnation)
{
    uint64_t x = incarnation * 0x9e3779b97f4a7c15ull;

    return (unsigned)(x >> 32) & (f->cap_map - 1);
}

static void put(struct fleet *f, struct placement *p)
{
    unsigned i = home(f, p->incarnation);

    while (f->map[i] != NULL) {
        assert(f->map[i]->incarnation != p->incarnation);
        i = (i + 1) & (f->cap_map - 1);
    }
    f->map[i] = p;
}

static void widen(struct fleet *f)
{
    struct placement **old = f->map;
    unsigned cap = f->cap_map;

    f->cap_map = cap == 0 ? 64 : cap * 2;
    f->map = xcalloc(f->cap_map, sizeof(struct placement *));
    for (unsigned i = 0; i < cap; i++) {
        if (old[i] != NULL) {
            put(f, old[i]);
        }
    }
    free(old);
}

struct placement *incmap_find(const struct fleet *f, uint64_t incarnation)
{
    if (f->cap_map == 0) {
        return NULL;
    }
    for (unsigned i = home(f, incarnation); f->map[i] != NULL; i = (i + 1) & (f->cap_map - 1)) {
        if (f->map[i]->incarnation == incarnation) {
            return f->map[i];
        }
    }
    return NULL;
}

void incmap_add(struct fleet *f, struct placement *p)
{
    if (2 * (f->n_map + 1) > f->cap_map) {
        widen(f);
    }
    put(f, p);
    f->n_map++;
}

void incmap_remove(struct fleet *f, uint64_t incarnation)
{
    unsigned mask = f->cap_map - 1;
    unsigned hole = home(f, incarnation);

    assert(f->n_map > 0);
    while (f->map[hole]->incarnation != incarnation) {
        hole = (hole + 1) & mask;
    }
    for (unsigned i = (hole + 1) & mask; f->map[i] != NULL; i = (i + 1) & mask) {
        unsigned want = home(f, f->map[i]->incarnation);

        if (((i - want) & mask) >= ((i - hole) & mask)) {
            f->map[hole] = f->map[i];
            hole = i;
        }
    }
    f->map[hole] = NULL;
    f->n_map--;
}
