// SPDX-License-Identifier: Apache-2.0
/* While an assertion is under way the kernel may hold the table before or after it, so what changes
 * meanwhile is done at once, and once more when it is over: the second time tells. */
#include "agent/net/nettable.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/net/netstale.h"
#include "agent/net/uv_flows.h"
#include "agent/net/uv_nft.h"
#include "common/cleanup.h"
#include "common/log.h"

/* A change to be done once more. */
struct again {
    struct again *next;
    struct netelems removed;
    struct netelems added;
};

struct nettable {
    struct nettable_config config;
    struct nftset *set;
    struct uv_nft *nft;
    struct uv_flows *flows;
    struct netstale stale;
    unsigned limit;                              /* of backends that the table allows */
    bool asserting;                              /* the text was made and is not in force yet */
    struct again *again;                         /* in order */
    struct nftset_count before[RULES_COUNTER_N]; /* counted by tables that were replaced */
    struct nftset_count seen[RULES_COUNTER_N];   /* with the one that is being replaced */
    char refusal[ERR_TEXT_MAX];                  /* as logged last; "": the table is in force */
    unsigned live;                               /* parts that are not closed yet */
    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- changes to be done once more ---- */

static void copy_elements(const struct netelems *from, struct netelems *to)
{
    for (unsigned i = 0; i < from->n; i++) {
        netelems_add(to, &from->list[i]);
    }
}

static void push_again(struct nettable *t, const struct netelems *removed,
                       const struct netelems *added)
{
    struct again **at = &t->again;
    struct again *a = xcalloc(1, sizeof(*a));

    copy_elements(removed, &a->removed);
    copy_elements(added, &a->added);
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = a;
}

static struct again *pop_again(struct nettable *t)
{
    struct again *a = t->again;

    t->again = a != NULL ? a->next : NULL;
    return a;
}

static void free_again(struct again *a)
{
    netelems_finish(&a->removed);
    netelems_finish(&a->added);
    free(a);
}

static void drop_all_again(struct nettable *t)
{
    while (t->again != NULL) {
        free_again(pop_again(t));
    }
}

/* ---- the kernel ---- */

static int put(struct nettable *t, const struct netelems *removed, const struct netelems *added,
               struct err *e)
{
    int rc = nftset_change(t->set, removed->list, removed->n, added->list, added->n, e);

    uv_nft_listen(t->nft); /* many changes in one turn would fill its socket */
    return rc;
}

/* What a text of `nft` would have done, too. */
static bool is_another_table(int rc)
{
    return rc == -ENOENT || rc == -EEXIST || rc == -EBUSY;
}

static int change_now(struct nettable *t, const struct netelems *removed,
                      const struct netelems *added, struct err *e)
{
    int rc = put(t, removed, added, e);

    if (is_another_table(rc)) {
        log_info("table inet %s is not what it should be: asserting it", t->config.rules.table);
        uv_nft_assert(t->nft);
        return 0;
    }
    return rc;
}

static void do_all_again(struct nettable *t)
{
    struct err e;

    while (t->again != NULL) {
        struct again *a = pop_again(t);

        if (change_now(t, &a->removed, &a->added, &e) < 0) {
            log_warn("%s", e.text);
            uv_nft_assert(t->nft);
        }
        free_again(a);
    }
}

/* ---- the whole ---- */

/* An element of every container's address comes with one that tells it from others. */
static struct netelem self_of(const struct netelem *e)
{
    return (struct netelem){.set = NETELEM_SELF, .address = e->address, .other = e->address};
}

static void with_selves(const struct netelems *from, struct netelems *to)
{
    copy_elements(from, to);
    for (unsigned i = 0; i < from->n; i++) {
        struct netelem self = self_of(&from->list[i]);

        if (from->list[i].set == NETELEM_CLASS) {
            netelems_add(to, &self);
        }
    }
}

static void on_count(void *arg, const char *name, const struct nftset_count *count)
{
    struct nftset_count *counts = arg;
    unsigned i = rules_counter_find(name);

    if (i < RULES_COUNTER_N) {
        counts[i].packets += count->packets;
        counts[i].bytes += count->bytes;
    }
}

static void write_whole(void *arg, struct buf *ret)
{
    struct nettable *t = arg;
    struct netelems given = {0};
    struct netelems all = {0};

    t->limit = rules_limit(t->config.all(t->config.arg, &given));
    with_selves(&given, &all);
    netelems_sort(&all);
    netelems_drop_inner(&all); /* else one of them would cost the whole table */
    rules_table(&t->config.rules, t->limit, ret);
    rules_elems(&t->config.rules, all.list, all.n, ret);
    netstale_whole(&t->stale, all.list, all.n);
    netelems_finish(&given);
    netelems_finish(&all);
    memcpy(t->seen, t->before, sizeof(t->seen));
    if (t->nft != NULL) { /* the table that is replaced is ours */
        (void)nftset_counters(t->set, on_count, t->seen, NULL);
    }
    drop_all_again(t);
    t->asserting = true;
}

/* Refused, it is tried again, and the same words are not said each time. */
static void complain(struct nettable *t, const struct err *e)
{
    if (strcmp(t->refusal, e->text) != 0) {
        log_error("%s", e->text);
    }
    (void)snprintf(t->refusal, sizeof(t->refusal), "%s", e->text);
}

static void on_done(void *arg, int status, const struct err *e)
{
    struct nettable *t = arg;

    t->asserting = false;
    if (status < 0) {
        complain(t, e);
        return;
    }
    t->refusal[0] = '\0';
    memcpy(t->before, t->seen, sizeof(t->before));
    do_all_again(t);
    uv_flows_sweep(t->flows);
}

static bool on_flow(void *arg, const struct uv_flow *flow)
{
    struct nettable *t = arg;

    return netstale_is(&t->stale, flow);
}

static void on_swept(void *arg)
{
    struct nettable *t = arg;

    if (!t->asserting) { /* else all is looked at again when that is over */
        netstale_clear(&t->stale);
    }
}

/* ---- for the owner ---- */

static void release(struct nettable *t)
{
    nftset_close(t->set);
    drop_all_again(t);
    netstale_clear(&t->stale);
    free(t);
}

static int bring_up(struct nettable *t, struct err *e)
{
    struct uv_nft_config config = {.loop = t->config.loop,
                                   .program = t->config.program,
                                   .table = t->config.rules.table,
                                   .own_port = nftset_port(t->set),
                                   .whole = write_whole,
                                   .done = on_done,
                                   .arg = t};
    struct uv_flows_events events = {.stale = on_flow, .swept = on_swept, .arg = t};
    int rc = uv_nft_create(&config, &t->nft, e);

    if (rc < 0) {
        return rc;
    }
    t->asserting = false;
    rc = uv_flows_create(t->config.loop, &events, &t->flows, e);
    if (rc < 0) {
        uv_nft_close(t->nft, NULL, NULL, NULL);
    } else {
        uv_flows_sweep(t->flows); /* nobody looked while there was no agent */
    }
    return rc;
}

int nettable_create(const struct nettable_config *config, struct nettable **ret, struct err *e)
{
    struct nettable *t = xcalloc(1, sizeof(*t));
    int rc;

    t->config = *config;
    t->stale.rules = &t->config.rules;
    rc = nftset_open(config->rules.table, &t->set, e);
    if (rc == 0) {
        rc = bring_up(t, e);
    }
    if (rc < 0) {
        release(t);
        return rc;
    }
    *ret = t;
    return 0;
}

int nettable_change(struct nettable *t, const struct netelems *removed,
                    const struct netelems *added, unsigned backends_max, struct err *e)
{
    struct netelems all_removed = {0};
    struct netelems all_added = {0};
    int rc = 0;

    with_selves(removed, &all_removed);
    with_selves(added, &all_added);
    if (netstale_change(&t->stale, removed->list, removed->n, added->list, added->n)) {
        uv_flows_sweep(t->flows);
    }
    if (backends_max > t->limit) {
        uv_nft_assert(t->nft);
    } else if (t->asserting) {
        push_again(t, &all_removed, &all_added);
        (void)put(t, &all_removed, &all_added, NULL);
    } else {
        rc = change_now(t, &all_removed, &all_added, e);
    }
    netelems_finish(&all_removed);
    netelems_finish(&all_added);
    return rc;
}

void nettable_flush(struct nettable *t, const uint32_t *addresses, unsigned n)
{
    if (n > 0) {
        netstale_gone(&t->stale, addresses, n);
        uv_flows_sweep(t->flows);
    }
}

int nettable_counts(struct nettable *t, struct nftset_count ret[RULES_COUNTER_N], struct err *e)
{
    struct nftset_count counts[RULES_COUNTER_N];
    int rc;

    memcpy(counts, t->before, sizeof(counts));
    rc = nftset_counters(t->set, on_count, counts, e);
    if (rc == 0) {
        memcpy(ret, counts, sizeof(counts));
    }
    return rc;
}

int nettable_spoofs(struct nettable *t, const char *link, struct nftset_count *ret, struct err *e)
{
    int rc = nftset_link_count(t->set, RULES_SPOOF_SET, link, ret, e);

    if (rc == -ENOENT) {
        *ret = (struct nftset_count){0};
        rc = 0;
    }
    return rc;
}

static void on_part_closed(void *arg)
{
    struct nettable *t = arg;
    void (*closed)(void *arg) = t->closed;
    void *closed_arg = t->closed_arg;

    if (--t->live > 0) {
        return;
    }
    release(t);
    if (closed != NULL) {
        closed(closed_arg);
    }
}

void nettable_close(struct nettable *t, bool remove, void (*closed)(void *arg), void *arg)
{
    auto_buf struct buf last = {0};

    if (remove) {
        rules_remove(&t->config.rules, &last);
    }
    t->closed = closed;
    t->closed_arg = arg;
    t->live = 2;
    uv_flows_close(t->flows, on_part_closed, t);
    uv_nft_close(t->nft, remove ? buf_text(&last) : NULL, on_part_closed, t);
}

unsigned nettable_restored(const struct nettable *t)
{
    return uv_nft_restored(t->nft);
}
