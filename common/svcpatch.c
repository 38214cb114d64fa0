// SPDX-License-Identifier: Apache-2.0
#include "common/svcpatch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"

/* Removals that are remembered of an entry, beside one for each endpoint it has. */
#define GONE_MORE 16u

static bool is_same(const struct svc_endpoint *a, const struct svc_endpoint *b)
{
    return a->address == b->address && a->extra == b->extra && a->networks == b->networks &&
           a->ready == b->ready && a->draining == b->draining;
}

/* ---- applying ---- */

struct merge {
    struct svc_endpoint *list;
    unsigned n;
    const struct svc_key *gone, *gone_end;
};

/* What the entry has; in order, so that the list of what is gone is walked once. */
static void keep(struct merge *m, const struct svc_endpoint *p)
{
    while (m->gone < m->gone_end && svc_key_compare(*m->gone, svc_key_of(p)) < 0) {
        m->gone++;
    }
    if (m->gone == m->gone_end || svc_key_compare(*m->gone, svc_key_of(p)) != 0) {
        m->list[m->n++] = *p;
    }
}

static void merge(struct merge *m, const struct svc_entry *entry, const struct svc_patch *patch)
{
    unsigned i = 0, k = 0;

    while (i < entry->n_endpoints || k < patch->n_set) {
        int order = i == entry->n_endpoints ? 1
                    : k == patch->n_set     ? -1
                                            : svc_key_compare(svc_key_of(&entry->endpoints[i]),
                                                              svc_key_of(&patch->set[k]));

        if (order < 0) {
            keep(m, &entry->endpoints[i++]);
        } else {
            m->list[m->n++] = patch->set[k++];
            i += order == 0;
        }
    }
}

struct svc_entry *svcpatch_apply(const struct svc_entry *entry, const struct svc_patch *patch)
{
    size_t room = (size_t)entry->n_endpoints + patch->n_set + 1;
    auto_free struct svc_endpoint *list = xcalloc(room, sizeof(*list));
    struct merge m = {list, 0, patch->gone, patch->gone + patch->n_gone};
    struct svc_entry now = *entry;

    assert(svc_compare(entry, patch->stack, patch->service) == 0);
    assert(entry->n_networks <= SVC_NETWORKS_MAX);
    for (unsigned i = 0; i < patch->n_set; i++) {
        if (patch->set[i].networks >> entry->n_networks != 0) {
            return NULL;
        }
    }
    merge(&m, entry, patch);
    if (m.n > SVC_ENDPOINTS_MAX) {
        return NULL;
    }
    now.endpoints = m.list;
    now.n_endpoints = m.n;
    return svc_copy(&now);
}

/* ---- history ---- */

void svcpatch_begin(struct svcpatch_history *h, const struct svc_entry *entry, uint64_t version)
{
    svcpatch_finish(h);
    h->since = version;
    h->n = entry->n_endpoints;
    h->versions = xcalloc(h->n + 1, sizeof(*h->versions));
    for (unsigned i = 0; i < h->n; i++) {
        h->versions[i] = version;
    }
}

void svcpatch_finish(struct svcpatch_history *h)
{
    free(h->versions);
    free(h->gone);
    *h = (struct svcpatch_history){0};
}

/* The oldest is forgotten, and with it how to tell who was told before it. */
static void forget(struct svcpatch_history *h)
{
    unsigned most = h->n + GONE_MORE;
    unsigned over = h->n_gone > most ? h->n_gone - most : 0;

    if (over > 0) {
        h->since = h->gone[over - 1].version;
        h->n_gone -= over;
        memmove(h->gone, h->gone + over, h->n_gone * sizeof(*h->gone));
    }
}

void svcpatch_change(struct svcpatch_history *h, const struct svc_entry *old,
                     const struct svc_entry *entry, uint64_t version)
{
    uint64_t *versions = xcalloc(entry->n_endpoints + 1, sizeof(*versions));
    unsigned i = 0, k = 0;

    assert(h->n == old->n_endpoints);
    h->gone = xrealloc(h->gone, (size_t)h->n_gone + old->n_endpoints + 1, sizeof(*h->gone));
    while (i < old->n_endpoints || k < entry->n_endpoints) {
        const struct svc_endpoint *was = &old->endpoints[i], *is = &entry->endpoints[k];
        int order = i == old->n_endpoints     ? 1
                    : k == entry->n_endpoints ? -1
                                              : svc_key_compare(svc_key_of(was), svc_key_of(is));

        if (order < 0) {
            h->gone[h->n_gone++] = (struct svcpatch_gone){version, svc_key_of(was)};
        } else {
            versions[k++] = order == 0 && is_same(was, is) ? h->versions[i] : version;
        }
        i += order <= 0;
    }
    free(h->versions);
    h->versions = versions;
    h->n = entry->n_endpoints;
    forget(h);
}

/* ---- making ---- */

static int by_key(const void *a, const void *b)
{
    const struct svc_key *x = a, *y = b;

    return svc_key_compare(*x, *y);
}

/* One that went, came back and went again is in the log twice. */
static unsigned once(struct svc_key *keys, unsigned n)
{
    unsigned kept = 0;

    if (n > 0) {
        qsort(keys, n, sizeof(*keys), by_key);
    }
    for (unsigned i = 0; i < n; i++) {
        if (kept == 0 || svc_key_compare(keys[kept - 1], keys[i]) != 0) {
            keys[kept++] = keys[i];
        }
    }
    return kept;
}

struct svc_patch *svcpatch_make(const struct svcpatch_history *h, const struct svc_entry *entry,
                                uint64_t since)
{
    struct svc_patch *patch;
    struct svc_endpoint *set;
    struct svc_key *gone;
    unsigned n_set = 0, n_gone = 0;

    if (since < h->since) {
        return NULL;
    }
    for (unsigned i = 0; i < h->n; i++) {
        n_set += h->versions[i] > since;
    }
    while (n_gone < h->n_gone && h->gone[h->n_gone - n_gone - 1].version > since) {
        n_gone++;
    }
    static_assert(sizeof(struct svc_patch) % _Alignof(struct svc_endpoint) == 0, "behind it");
    static_assert(sizeof(struct svc_endpoint) % _Alignof(struct svc_key) == 0, "behind them");
    patch = xmalloc(sizeof(*patch) + n_set * sizeof(*set) + n_gone * sizeof(*gone));
    set = (struct svc_endpoint *)(patch + 1);
    gone = (struct svc_key *)(set + n_set);
    *patch = (struct svc_patch){.set = set, .gone = gone};
    memcpy(patch->stack, entry->stack, sizeof(patch->stack));
    memcpy(patch->service, entry->service, sizeof(patch->service));
    for (unsigned i = 0; i < h->n; i++) {
        if (h->versions[i] > since) {
            set[patch->n_set++] = entry->endpoints[i];
        }
    }
    for (unsigned i = 0; i < n_gone; i++) {
        gone[i] = h->gone[h->n_gone - n_gone + i].key;
    }
    patch->n_gone = once(gone, n_gone);
    return patch;
}
