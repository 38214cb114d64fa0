// SPDX-License-Identifier: Apache-2.0
/* After the end of a run: the network lets go of it at once, so that the next run may have the
 * same address; the rest is removed by the shim's program, and only then its ids are free. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/uv_agent_priv.h"
#include "common/failpoint.h"
#include "common/log.h"

static void unpin(struct attempt *at)
{
    struct uv_agent *a = at->unit->agent;
    struct err e = {0};
    char owner[64];

    if (at->pinned[0] == '\0') {
        return;
    }
    (void)snprintf(owner, sizeof(owner), "%llx-%u", (unsigned long long)at->of.incarnation,
                   at->of.run);
    if (images_unpin(a->images, at->pinned, owner, &e) < 0) {
        log_warn("%s: %s", at->unit->name, e.text);
    }
    at->pinned[0] = '\0';
}

void uv_agent_clean_give_back(struct attempt *at)
{
    struct uv_agent *a = at->unit->agent;

    uv_agent_net_detach(at);
    if (at->run != NULL) {
        uv_engine_forget(at->run);
        at->run = NULL;
    }
    unpin(at);
    if (at->ids > 0) {
        idrange_give(&a->ids, at->ids);
        at->ids = 0;
    }
}

struct cleaning {
    struct uv_agent *agent;
    struct node_of of;
};

static void on_cleaned(void *arg, int status, const struct err *e)
{
    struct cleaning *c = arg;
    struct uv_agent *a = c->agent;
    struct attempt *at = uv_agent_attempt(a, c->of);
    struct node_event event = {.type = NODE_CLEANED};

    event.u.of = c->of;
    free(c);
    if (a->closing) {
        return; /* the next agent finds what is left */
    }
    if (at != NULL) {
        at->cleaning = false;
    }
    if (status < 0) {
        log_warn("remains of %llx run %u: %s", (unsigned long long)event.u.of.incarnation,
                 event.u.of.run, e->text);
        uv_agent_queue_failed(a, NODE_CLEAN_FAILED, event.u.of, false, false, e->text);
        return;
    }
    FAILPOINT("agent.clean.after_shim");
    if (at != NULL) {
        uv_agent_clean_give_back(at);
        uv_agent_attempt_free(at);
    }
    uv_agent_queue(a, &event);
}

void uv_agent_clean_run(struct uv_agent *a, struct node_of of)
{
    struct attempt *at = uv_agent_attempt(a, of);
    struct cleaning *c = xcalloc(1, sizeof(*c));

    if (at != NULL) {
        uv_agent_net_detach(at);
        if (at->run != NULL) {
            uv_engine_forget(at->run);
            at->run = NULL;
        }
        at->cleaning = true;
    }
    c->agent = a;
    c->of = of;
    FAILPOINT("agent.clean.before_shim");
    uv_engine_clean(a->engine, of, on_cleaned, c);
}

static void on_killed(void *arg, int status, const struct err *e)
{
    struct cleaning *c = arg;
    struct uv_agent *a = c->agent;
    struct node_event event = {.type = NODE_EXITED};

    event.u.exited.of = c->of; /* how it ended is not known, and not made up */
    event.u.exited.ended_unix_ms = uv_agent_unix_ms();
    free(c);
    if (a->closing) {
        return;
    }
    if (status < 0) {
        log_warn("%llx run %u cannot be killed: %s",
                 (unsigned long long)event.u.exited.of.incarnation, (unsigned)event.u.exited.of.run,
                 e->text);
        return; /* the core asks for it again */
    }
    uv_agent_queue(a, &event);
}

void uv_agent_clean_kill(struct uv_agent *a, struct node_of of)
{
    struct cleaning *c = xcalloc(1, sizeof(*c));

    c->agent = a;
    c->of = of;
    uv_engine_clean(a->engine, of, on_killed, c);
}
