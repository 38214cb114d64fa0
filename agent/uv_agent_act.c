// SPDX-License-Identifier: Apache-2.0
/* What the core wants, done. Nothing here calls the core: answers are queued. */
#include "agent/uv_agent_priv.h"
#include "common/log.h"

static int32_t exit_code(const struct node_exit *how)
{
    if (!how->known) {
        return -1;
    }
    return how->signal > 0 ? 128 + how->signal : how->code;
}

static void save_budget(struct uv_agent *a, uint64_t incarnation)
{
    const struct node_container *c = node_find(a->node, incarnation);
    struct journal_record record = {.kind = JOURNAL_BUDGET};
    struct err e = {0};

    if (c == NULL || ledger_find(&a->ledger, incarnation) == NULL) {
        return;
    }
    record.u.budget = (struct journal_budget){.incarnation = incarnation,
                                              .run = c->run,
                                              .attempts = c->budget.attempts,
                                              .next_ms = c->run_open ? 0 : c->budget.next_ms,
                                              .done = c->budget.done,
                                              .exit_code = exit_code(&c->exit),
                                              .reason = c->reason};
    if (!c->run_open && c->budget.next_ms == 0) {
        record.u.budget.next_ms = 1; /* 0 says that the run is open */
    }
    if (uv_agent_record(a, &record, &e) < 0) {
        log_error("%s", e.text);
        return;
    }
    uv_journal_commit(a->journal, NULL, NULL);
}

static void report(struct uv_agent *a, uint64_t incarnation)
{
    const struct node_container *c = node_find(a->node, incarnation);

    if (c == NULL) {
        return;
    }
    uv_agent_net_state(a, incarnation);
    uv_agent_keep_health(a, c);
    if (a->link != NULL) {
        uv_agent_link_report(a, incarnation, false);
    }
    if (a->options.on_report != NULL) {
        a->options.on_report(a->options.arg, incarnation, c);
    }
}

static void gone(struct uv_agent *a, uint64_t incarnation)
{
    uv_agent_keep_drop(a, incarnation);
    uv_agent_unit_drop(a, incarnation);
    if (a->link != NULL) {
        uv_agent_link_report(a, incarnation, true);
    }
    if (a->options.on_report != NULL) {
        a->options.on_report(a->options.arg, incarnation, NULL);
    }
}

static void send_signal(struct uv_agent *a, struct node_of of, uint32_t number)
{
    const struct attempt *at = uv_agent_attempt(a, of);
    struct err e = {0};

    if (at == NULL || at->run == NULL) {
        log_warn("%llx: run %u cannot be signalled: it is not held",
                 (unsigned long long)of.incarnation, (unsigned)of.run);
        return;
    }
    if (uv_engine_signal(at->run, (int)number, &e) < 0) {
        log_warn("%s: %s", at->unit->name, e.text); /* the grace period ends with a kill */
    }
}

static void kill_run(struct uv_agent *a, struct node_of of)
{
    const struct attempt *at = uv_agent_attempt(a, of);

    if (at != NULL && at->run != NULL) {
        uv_engine_kill(at->run);
    } else {
        uv_agent_clean_kill(a, of);
    }
}

void uv_agent_act(struct uv_agent *a, const struct node_action *action)
{
    struct node_of of = action->of;

    switch (action->type) {
    case NODE_DO_PREPARE:
        uv_agent_start_prepare(a, of);
        return;
    case NODE_DO_START:
        uv_agent_start_run(a, of);
        return;
    case NODE_DO_SIGNAL:
        send_signal(a, of, action->signal);
        return;
    case NODE_DO_KILL:
        kill_run(a, of);
        return;
    case NODE_DO_PROBE:
        uv_agent_probe_ask(a, of);
        return;
    case NODE_DO_CLEAN:
        uv_agent_clean_run(a, of);
        return;
    case NODE_DO_SAVE:
        save_budget(a, of.incarnation);
        return;
    case NODE_DO_REPORT:
        report(a, of.incarnation);
        return;
    case NODE_DO_GONE:
        gone(a, of.incarnation);
        return;
    case NODE_DO_ODD:
        log_error("%llx: event %s in state %s should not have come",
                  (unsigned long long)of.incarnation, lifecycle_event_name(action->event),
                  lifecycle_state_name(action->state));
        return;
    }
}
