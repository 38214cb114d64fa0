// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CORE_RESTART_H
#define WHERRY_AGENT_CORE_RESTART_H

/* When a container that has ended is started again. Wherry's own rule: after a good run (10 s) at
 * once, else 100 ms, doubled for every further run that ended too soon, up to 30 s. Compose's
 * restart_policy overrides: condition, delay, max_attempts, window. Pure. */

#include <stdbool.h>
#include <stdint.h>

#define RESTART_GOOD_MS        10000
#define RESTART_BACKOFF_MIN_MS 100
#define RESTART_BACKOFF_MAX_MS 30000

/* As in proto/spec.proto. */
enum restart_condition { RESTART_ANY = 0, RESTART_ON_FAILURE = 1, RESTART_NEVER = 2 };

struct restart_policy {
    enum restart_condition condition;
    bool delay_set;
    uint64_t delay_ms;
    uint32_t max_attempts; /* 0: without end */
    uint64_t window_ms;    /* a run at least this long is good; 0: RESTART_GOOD_MS */
};

struct restart_budget {
    uint32_t attempts; /* consecutive runs that ended too soon */
    uint64_t next_ms;  /* when the next run may begin */
    bool done;         /* never start again */
};

enum restart_verdict { RESTART_AGAIN, RESTART_FINISHED, RESTART_GIVE_UP };

/* A run of `ran_ms` has ended; `failed`: not with code 0, or never came up, or was unhealthy.
 * `sick`: however long it ran, it was no good run. Changes the budget and says what follows. */
enum restart_verdict restart_decide(const struct restart_policy *policy,
                                    struct restart_budget *budget, uint64_t now_ms, uint64_t ran_ms,
                                    bool failed, bool sick);

#endif
