// SPDX-License-Identifier: Apache-2.0
/* What the agents say. Of two observations the greater (run, seq) wins; what has ended within a
 * run stays ended. What the store does not know is an orphan: kept, listed, never stopped by
 * itself. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/linkhash.h"
#include "controller/core/fleet_priv.h"

static char *kept(const char *text)
{
    return text != NULL && text[0] != '\0' ? xstrdup(text) : NULL;
}

static bool is_news(const struct fleet_observation *was, const struct fleet_observation *is)
{
    if (was->phase == FLEET_PHASE_NONE || is->run > was->run) {
        return true;
    }
    if (is->run < was->run || is->seq <= was->seq) {
        return false;
    }
    return was->phase < FLEET_PHASE_STOPPING || was->phase == FLEET_PHASE_UNKNOWN ||
           is->phase >= was->phase;
}

static void keep(struct placement *p, const struct fleet_observation *o)
{
    char *reason = kept(o->reason);
    char *image = kept(o->image_digest);
    char *controls =
        kept(o->controls != NULL || o->run != p->seen.run ? o->controls : p->seen.controls);

    placements_forget_seen(p);
    p->seen = *o;
    p->seen.reason = reason;
    p->seen.image_digest = image;
    p->seen.controls = controls;
    p->seen.stack = p->seen.service = NULL;
    p->node->observed_sum =
        id128_add(p->node->observed_sum, linkhash_observation(p->incarnation, o->run, o->seq));
}

/* ---- what it means ---- */

static void say_end(struct fleet *f, const struct placement *p)
{
    const struct fleet_observation *o = &p->seen;

    if (o->reason != NULL) {
        emit_of(f, FLEET_HAPPENED_EXITED, p, "%s", o->reason);
    } else if (!o->exit_known) {
        emit_of(f, FLEET_HAPPENED_EXITED, p, "ended, nobody knows how");
    } else if (o->exit_signal != 0) {
        emit_of(f, FLEET_HAPPENED_EXITED, p, "killed by signal %d", o->exit_signal);
    } else {
        emit_of(f, FLEET_HAPPENED_EXITED, p, "exited with code %d", o->exit_code);
    }
}

static void say_change(struct fleet *f, const struct placement *p,
                       const struct fleet_observation *was)
{
    const struct fleet_observation *is = &p->seen;
    bool new_run = was->phase == FLEET_PHASE_NONE || is->run != was->run;
    bool was_up = was->phase != FLEET_PHASE_NONE && was->phase < FLEET_PHASE_EXITED;

    if (was_up && (placements_ended(p) || (new_run && is->run > 1))) {
        say_end(f, p);
    }
    if (is->phase == FLEET_PHASE_RUNNING && (new_run || was->phase != is->phase)) {
        emit_of(f, FLEET_HAPPENED_RUNNING, p, "running on %s", p->node->name);
    }
    if (is->health == FLEET_HEALTH_HEALTHY && (new_run || was->health != is->health)) {
        emit_of(f, FLEET_HAPPENED_HEALTHY, p, "healthy");
    }
    if (is->health == FLEET_HEALTH_UNHEALTHY && (new_run || was->health != is->health)) {
        emit_of(f, FLEET_HAPPENED_UNHEALTHY, p, "%s",
                is->reason != NULL ? is->reason : "its probe fails");
    }
}

/* A job's container that is over is told to stay so: should its node forget it, it is not to run
 * again. */
static void finish_job(struct fleet *f, struct placement *p)
{
    const struct fleet_observation *o = &p->seen;
    bool good = o->exit_known && o->exit_code == 0 && o->exit_signal == 0;

    if (p->service->want == NULL || !want_is_job(p->service->want) || p->stop ||
        o->phase != FLEET_PHASE_DONE) {
        return;
    }
    p->completed = good;
    p->failed = !good;
    capacity_give(f, p);
    tables_wake(f);
    placements_stop(f, p, NULL);
    if (good) {
        emit_of(f, FLEET_HAPPENED_COMPLETED, p, "completed");
    } else {
        emit_of(f, FLEET_HAPPENED_FAILED, p, "%s", o->reason != NULL ? o->reason : "failed");
    }
}

static void observed(struct fleet *f, struct placement *p, const struct fleet_observation *o)
{
    struct fleet_observation was = p->seen;

    if (!is_news(&was, o)) {
        return;
    }
    keep(p, o);
    was.reason = was.image_digest = was.controls = NULL; /* gone with the old one */
    say_change(f, p, &was);
    finish_job(f, p);
    p->was_ready = placements_ready(p);
    tables_dirty(f, p->service);
}

/* ---- what the store does not know ---- */

static bool is_orphan(const struct node *node, const struct fleet_observation *o)
{
    return o->phase != FLEET_PHASE_EXITED && o->phase != FLEET_PHASE_DONE && o->stack != NULL &&
           o->service != NULL && name_is_valid(o->stack) && name_is_valid(o->service) &&
           o->incarnation != 0 && node->n_orphans < FLEET_ORPHANS_MAX;
}

/* No incarnation is given twice, whoever gave it. */
static void skip_incarnation(struct fleet *f, uint64_t incarnation)
{
    uint32_t counter = (uint32_t)incarnation;

    if (incarnation >> 32 == f->epoch && counter > f->counter) {
        f->counter = counter;
    }
}

static void orphaned(struct fleet *f, struct node *node, const struct fleet_observation *o)
{
    struct service *s = tables_service_make(tables_stack_make(f, o->stack), o->service);
    bool same = s->want != NULL && memcmp(s->want->revision, o->revision, FLEET_DIGEST) == 0;
    struct ask *ask = same ? want_ask_ref(s->ask) : want_ask(NULL);
    struct placement *p = placements_add(f, s, o->slot, node, o->incarnation, ask);

    skip_incarnation(f, o->incarnation);
    p->orphan = true;
    p->reported = true;
    node->n_orphans++;
    memcpy(p->revision, o->revision, FLEET_DIGEST);
    if (o->image_digest != NULL) {
        (void)snprintf(p->image_digest, sizeof(p->image_digest), "%s", o->image_digest);
    }
    placements_join(p);
    placements_touch(f, p);
    keep(p, o);
    emit_of(f, FLEET_HAPPENED_ORPHANED, p,
            "runs on %s, but the store does not know it: it is kept until `wherry rm %s` or an "
            "apply that wants just this",
            node->name, o->stack);
    tables_dirty(f, s);
}

/* ---- reports ---- */

static void begin_all(struct node *node)
{
    node->reporting = true;
    for (struct placement *p = node->oldest; p != NULL; p = p->newer) {
        p->reported = false;
    }
}

static void end_all(struct fleet *f, struct node *node)
{
    struct placement *newer;

    node->reporting = false;
    for (struct placement *p = node->oldest; p != NULL; p = newer) {
        newer = p->newer;
        if (p->reported) {
            continue;
        }
        if (p->orphan) {
            placements_remove(f, p);
        } else if (p->seen.phase != FLEET_PHASE_NONE) {
            placements_forget_seen(p);
            tables_dirty(f, p->service);
        }
    }
    roster_settle(f, node);
}

static void gone(struct fleet *f, struct node *node, uint64_t incarnation)
{
    struct placement *p = incmap_find(f, incarnation);

    if (p == NULL || p->node != node) {
        return;
    }
    if (p->orphan || (p->stop && !p->completed && !p->failed)) {
        emit_of(f, FLEET_HAPPENED_REMOVED, p, "nothing is left of it on %s", node->name);
        placements_remove(f, p);
    } else if (p->seen.phase != FLEET_PHASE_NONE) {
        placements_forget_seen(p);
        tables_dirty(f, p->service);
    }
}

void observe_event(struct fleet *f, const struct fleet_event *e)
{
    struct node *node = roster_find(f, e->u.observed.node_id);

    if (node == NULL || !node->connected) {
        return;
    }
    silence_heard(f, node);
    if (e->u.observed.all_begin) {
        begin_all(node);
    }
    for (unsigned i = 0; i < e->u.observed.n; i++) {
        const struct fleet_observation *o = &e->u.observed.list[i];
        struct placement *p = incmap_find(f, o->incarnation);

        if (p == NULL && is_orphan(node, o)) {
            orphaned(f, node, o);
        } else if (p != NULL && p->node == node) {
            p->reported = true;
            observed(f, p, o);
        }
    }
    for (unsigned i = 0; i < e->u.observed.n_gone; i++) {
        gone(f, node, e->u.observed.gone[i]);
    }
    if (e->u.observed.all_end && node->reporting) {
        end_all(f, node);
    }
}
