// SPDX-License-Identifier: Apache-2.0
#include "agent/core/health.h"

#include <assert.h>

void health_rules_complete(struct health_rules *rules)
{
    if (rules->interval_ms == 0) {
        rules->interval_ms = 30000;
    }
    if (rules->timeout_ms == 0) {
        rules->timeout_ms = 30000;
    }
    if (rules->start_interval_ms == 0) {
        rules->start_interval_ms = 5000;
    }
    if (rules->retries == 0) {
        rules->retries = 3;
    }
}

static bool in_start_period(const struct health *h, const struct health_rules *rules,
                            uint64_t now_ms)
{
    return h->state == HEALTH_STARTING && now_ms < h->started_ms + rules->start_period_ms;
}

/* The regular pause between two questions now. */
static uint64_t pause_ms(const struct health *h, const struct health_rules *rules, uint64_t now_ms)
{
    return in_start_period(h, rules, now_ms) ? rules->start_interval_ms : rules->interval_ms;
}

/* When the first question that counts is due. */
static uint64_t first_ms(const struct health *h, const struct health_rules *rules)
{
    return h->started_ms +
           (rules->start_period_ms > 0 ? rules->start_interval_ms : rules->interval_ms);
}

static void plan_next(struct health *h, const struct health_rules *rules, uint64_t now_ms)
{
    uint64_t first = first_ms(h, rules);

    if (h->early_ms > 0 && now_ms + h->early_ms < first) {
        h->due_ms = now_ms + h->early_ms;
        h->early_ms *= 2;
        return;
    }
    h->due_ms = h->early_ms > 0 && first > now_ms ? first : now_ms + pause_ms(h, rules, now_ms);
    h->early_ms = 0;
}

void health_begin(struct health *h, const struct health_rules *rules, uint64_t started_ms,
                  uint64_t now_ms)
{
    *h = (struct health){.started_ms = started_ms};
    if (!rules->enabled) {
        return;
    }
    assert(rules->interval_ms > 0 && rules->retries > 0);
    h->state = HEALTH_STARTING;
    h->early_ms = HEALTH_EARLY_MS;
    plan_next(h, rules, now_ms);
}

void health_resume(struct health *h, const struct health_rules *rules, uint64_t started_ms,
                   uint64_t now_ms, enum health_state state)
{
    health_begin(h, rules, started_ms, now_ms);
    if (!rules->enabled) {
        return;
    }
    if (state == HEALTH_HEALTHY || now_ms >= first_ms(h, rules)) {
        h->state = state == HEALTH_HEALTHY ? HEALTH_HEALTHY : HEALTH_STARTING;
        h->early_ms = 0;
        h->due_ms = now_ms + HEALTH_EARLY_MS;
    }
}

void health_end(struct health *h)
{
    h->due_ms = 0;
    h->asking = false;
}

void health_asked(struct health *h)
{
    h->due_ms = 0;
    h->asking = true;
}

bool health_answer(struct health *h, const struct health_rules *rules, bool ok, uint64_t now_ms)
{
    enum health_state before = h->state;
    bool early = h->early_ms > 0;

    if (!h->asking) {
        return false; /* it came after the end of the run */
    }
    h->asking = false;
    if (ok) {
        h->state = HEALTH_HEALTHY;
        h->failures = 0;
        h->early_ms = 0;
    } else if (!early && !in_start_period(h, rules, now_ms)) {
        h->failures++;
        if (h->failures >= rules->retries) {
            h->state = HEALTH_UNHEALTHY;
        }
    }
    plan_next(h, rules, now_ms);
    return h->state != before;
}
