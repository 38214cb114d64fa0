// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <stdlib.h>

#include "agent/net/netplan_priv.h"
#include "common/err.h"

struct netplan_step {
    struct netelem elem;
    unsigned seq;
    bool add;
};

void netplan_diff_step(struct netplan_diff *d, const struct netelem *e, bool add)
{
    if (d->n_steps == d->cap_steps) {
        d->cap_steps = d->cap_steps > 0 ? 2 * d->cap_steps : 32;
        d->steps = xrealloc(d->steps, d->cap_steps, sizeof(*d->steps));
    }
    d->steps[d->n_steps] = (struct netplan_step){.elem = *e, .seq = d->n_steps, .add = add};
    d->n_steps++;
}

void netplan_diff_flush(struct netplan_diff *d, uint32_t address)
{
    if (d->n_flush == d->cap_flush) {
        d->cap_flush = d->cap_flush > 0 ? 2 * d->cap_flush : 8;
        d->flush = xrealloc(d->flush, d->cap_flush, sizeof(*d->flush));
    }
    d->flush[d->n_flush++] = address;
}

static int by_key(const void *a, const void *b)
{
    const struct netplan_step *x = a, *y = b;
    int rc = netelem_compare_key(&x->elem, &y->elem);

    return rc != 0 ? rc : (x->seq > y->seq) - (x->seq < y->seq);
}

/* The steps of one key alternate: the first tells what was there, the last what is. */
static void settle_key(struct netplan_diff *d, const struct netplan_step *first,
                       const struct netplan_step *last)
{
    if (!first->add && last->add && netelem_equal(&first->elem, &last->elem)) {
        return;
    }
    if (!first->add) {
        netelems_add(&d->removed, &first->elem);
    }
    if (last->add) {
        netelems_add(&d->added, &last->elem);
    }
}

static int by_address(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void settle_flush(struct netplan_diff *d)
{
    unsigned kept = 0;

    if (d->n_flush == 0) {
        return;
    }
    qsort(d->flush, d->n_flush, sizeof(*d->flush), by_address);
    for (unsigned i = 1; i < d->n_flush; i++) {
        if (d->flush[i] != d->flush[kept]) {
            d->flush[++kept] = d->flush[i];
        }
    }
    d->n_flush = kept + 1;
}

void netplan_diff_settle(struct netplan_diff *d)
{
    assert(d->removed.n == 0 && d->added.n == 0);
    if (d->n_steps > 0) {
        qsort(d->steps, d->n_steps, sizeof(*d->steps), by_key);
    }
    for (unsigned i = 0, end = 0; i < d->n_steps; i = end) {
        while (end < d->n_steps &&
               netelem_compare_key(&d->steps[end].elem, &d->steps[i].elem) == 0) {
            end++;
        }
        settle_key(d, &d->steps[i], &d->steps[end - 1]);
    }
    settle_flush(d);
}

void netplan_diff_finish(struct netplan_diff *d)
{
    free(d->steps);
    free(d->flush);
    netelems_finish(&d->removed);
    netelems_finish(&d->added);
    *d = (struct netplan_diff){0};
}
