// SPDX-License-Identifier: Apache-2.0
#include "agent/core/restart.h"

#include <assert.h>

static uint64_t delay_ms(const struct restart_policy *policy, const struct restart_budget *budget)
{
    uint64_t ms = RESTART_BACKOFF_MIN_MS;

    if (policy->delay_set) {
        return policy->delay_ms;
    }
    if (budget->attempts == 0) {
        return 0;
    }
    for (uint32_t i = 1; i < budget->attempts && ms < RESTART_BACKOFF_MAX_MS; i++) {
        ms *= 2;
    }
    return ms < RESTART_BACKOFF_MAX_MS ? ms : RESTART_BACKOFF_MAX_MS;
}

static bool is_wanted(enum restart_condition condition, bool failed)
{
    switch (condition) {
    case RESTART_ANY:
        return true;
    case RESTART_ON_FAILURE:
        return failed;
    case RESTART_NEVER:
        return false;
    }
    return true;
}

enum restart_verdict restart_decide(const struct restart_policy *policy,
                                    struct restart_budget *budget, uint64_t now_ms, uint64_t ran_ms,
                                    bool failed, bool sick)
{
    uint64_t window_ms = policy->window_ms > 0 ? policy->window_ms : RESTART_GOOD_MS;

    assert(now_ms > 0);
    assert(!sick || failed);
    if (!sick && ran_ms >= window_ms) {
        budget->attempts = 0;
    } else if (budget->attempts < UINT32_MAX) {
        budget->attempts++;
    }
    if (!is_wanted(policy->condition, failed)) {
        budget->done = true;
        return RESTART_FINISHED;
    }
    if (policy->max_attempts > 0 && budget->attempts > policy->max_attempts) {
        budget->done = true;
        return RESTART_GIVE_UP;
    }
    budget->next_ms = now_ms + delay_ms(policy, budget);
    return RESTART_AGAIN;
}
