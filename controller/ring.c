// SPDX-License-Identifier: Apache-2.0
#include "controller/ring.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/err.h"

#define STEP 64u /* memory comes with use */

struct ring {
    struct ring_event *list;
    unsigned n, cap;
    uint64_t next;
};

struct ring *ring_create(void)
{
    struct ring *r = xcalloc(1, sizeof(*r));

    r->next = 1;
    return r;
}

void ring_destroy(struct ring *r)
{
    if (r == NULL) {
        return;
    }
    for (unsigned i = 0; i < r->n; i++) {
        free(r->list[i].text);
    }
    free(r->list);
    free(r);
}

/* Where the event of this number lies. While the ring grows, numbers are places. */
static struct ring_event *place(const struct ring *r, uint64_t number)
{
    return &r->list[(number - 1) % RING_MAX];
}

const struct ring_event *ring_add(struct ring *r, struct fleet_action *action)
{
    struct ring_event *event;

    assert(action->type == FLEET_EVENT);
    if (r->n < RING_MAX && r->n == r->cap) {
        r->cap += STEP;
        r->list = xrealloc(r->list, r->cap, sizeof(*r->list));
    }
    event = place(r, r->next);
    if (r->n < RING_MAX) {
        r->n++;
    } else {
        free(event->text);
    }
    *event = (struct ring_event){.unix_ms = action->unix_ms,
                                 .incarnation = action->number64,
                                 .what = action->happened,
                                 .slot = action->number,
                                 .text = take_ptr(action->text)};
    (void)snprintf(event->stack, sizeof(event->stack), "%s", action->stack);
    (void)snprintf(event->service, sizeof(event->service), "%s", action->service);
    (void)snprintf(event->node, sizeof(event->node), "%s", action->name);
    r->next++;
    return event;
}

uint64_t ring_first(const struct ring *r)
{
    return r->next - r->n;
}

uint64_t ring_next(const struct ring *r)
{
    return r->next;
}

const struct ring_event *ring_at(const struct ring *r, uint64_t number)
{
    return number >= ring_first(r) && number < r->next ? place(r, number) : NULL;
}
