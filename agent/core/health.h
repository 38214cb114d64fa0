// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CORE_HEALTH_H
#define WHERRY_AGENT_CORE_HEALTH_H

/* From single probes to a verdict, as Compose says: in the start period failures do not count and
 * probes come every start interval until the first success; afterwards `retries` failures in a row
 * make a container unhealthy. So that a quick service is known to be healthy at once and not after
 * its first interval, it is asked earlier too (50 ms after its start, then doubling); of these
 * early questions only a success counts. Pure. */

#include <stdbool.h>
#include <stdint.h>

#define HEALTH_EARLY_MS 50

/* As in proto/link.proto. */
enum health_state {
    HEALTH_NONE = 0,
    HEALTH_STARTING = 1,
    HEALTH_HEALTHY = 2,
    HEALTH_UNHEALTHY = 3
};

struct health_rules {
    bool enabled;
    uint64_t interval_ms;
    uint64_t timeout_ms;
    uint64_t start_period_ms;
    uint64_t start_interval_ms;
    uint32_t retries;
};

struct health {
    enum health_state state;
    uint64_t started_ms;
    uint64_t due_ms;   /* the next question; 0: one is under way, or none wanted */
    uint64_t early_ms; /* pause before the next early question; 0: no more of them */
    uint32_t failures; /* in a row, that count */
    bool asking;
};

/* Fills in the defaults of Compose: 30 s, 30 s, 3 retries, start interval 5 s. */
void health_rules_complete(struct health_rules *rules);

/* The container runs since `started_ms`. */
void health_begin(struct health *h, const struct health_rules *rules, uint64_t started_ms,
                  uint64_t now_ms);

/* It runs already and was `state` when last seen: its health goes on, and is asked for soon. */
void health_resume(struct health *h, const struct health_rules *rules, uint64_t started_ms,
                   uint64_t now_ms, enum health_state state);
void health_end(struct health *h);

/* The question is being asked now. */
void health_asked(struct health *h);

/* An answer. Returns true if the state has changed. */
bool health_answer(struct health *h, const struct health_rules *rules, bool ok, uint64_t now_ms);

#endif
