// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_RING_H
#define WHERRY_CONTROLLER_RING_H

/* What happened lately, for those who ask or follow: the last RING_MAX events, numbered from 1.
 * Older ones are overwritten; a reader that was too slow can tell by the numbers. */

#include <stdbool.h>
#include <stdint.h>

#include "controller/core/fleet.h"

#define RING_MAX 4096u

struct ring_event {
    uint64_t unix_ms;
    uint64_t incarnation; /* 0: of no single placement */
    enum fleet_happening what;
    uint32_t slot;
    char stack[FLEET_NAME];
    char service[FLEET_NAME];
    char node[FLEET_NAME];
    char *text; /* owned by the ring */
};

struct ring;

struct ring *ring_create(void);
void ring_destroy(struct ring *r); /* accepts NULL */

/* Adds a FLEET_EVENT; takes its text. Returns the event, borrowed until the ring has gone round. */
const struct ring_event *ring_add(struct ring *r, struct fleet_action *action);

uint64_t ring_first(const struct ring *r); /* number of the oldest; ring_next if there is none */
uint64_t ring_next(const struct ring *r);  /* number that the next one will have */
const struct ring_event *ring_at(const struct ring *r, uint64_t number); /* NULL: not there */

#endif
