// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "agent/net/netplan_priv.h"
#include "common/err.h"

static bool in_block(const struct netplan *p, uint32_t address)
{
    return ((address ^ p->config.block) & netplan_mask(p->config.block_prefix)) == 0;
}

static unsigned count_locals(const struct netplan_service *s)
{
    unsigned n = 0;

    for (const struct netplan_here *h = s->locals; h != NULL; h = h->sibling) {
        n++;
    }
    return n;
}

/* Of this node's own containers it is told by the node itself: one that it does not know is gone,
 * and its address may be another's by now. */
static void gather_told(const struct netplan *p, const struct netplan_service *s,
                        struct netplan_spots *ret)
{
    for (unsigned i = 0; i < s->entry->n_endpoints; i++) {
        const struct svc_endpoint *e = &s->entry->endpoints[i];
        struct netplan_here *here = netplan_find_local(p, e->incarnation);

        if (here != NULL && here->service == s) {
            here->told = true;
            continue;
        }
        if (in_block(p, e->address)) {
            continue;
        }
        ret->list[ret->n++] = (struct netplan_spot){.incarnation = e->incarnation,
                                                    .address = e->address,
                                                    .extra = e->extra,
                                                    .networks = e->networks,
                                                    .ready = e->ready && !e->draining,
                                                    .answers = netplan_answers(p, e->address)};
    }
}

void netplan_spots_gather(const struct netplan *p, struct netplan_service *s,
                          struct netplan_spots *ret)
{
    unsigned n_told = s->entry != NULL ? s->entry->n_endpoints : 0;

    ret->list = xcalloc(n_told + count_locals(s) + 1, sizeof(*ret->list));
    ret->n = 0;
    for (struct netplan_here *h = s->locals; h != NULL; h = h->sibling) {
        h->told = false;
    }
    if (s->entry != NULL) {
        gather_told(p, s, ret);
    }
    for (const struct netplan_here *h = s->locals; h != NULL; h = h->sibling) {
        ret->list[ret->n++] =
            (struct netplan_spot){.incarnation = h->is.incarnation,
                                  .address = h->is.address,
                                  .extra = h->is.extra,
                                  .networks = netplan_class_mask(h->class, s->entry),
                                  .here = h,
                                  .ready = h->is.ready && !h->is.draining,
                                  .answers = true};
    }
}
