// SPDX-License-Identifier: Apache-2.0
/* What operators ask for: a stack as a whole, its removal, a volume forgotten. All or nothing. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "controller/core/fleet_priv.h"

struct result {
    struct fleet_line *lines;
    unsigned n, cap;
    unsigned by[FLEET_CHANGE_N];
};

static void note(struct result *r, const char *service, enum fleet_change change, bool replaces)
{
    struct fleet_line *line;

    r->lines = fleet_grow(r->lines, r->n, &r->cap, sizeof(*r->lines));
    line = &r->lines[r->n++];
    *line = (struct fleet_line){.change = change, .replaces = replaces};
    (void)snprintf(line->service, sizeof(line->service), "%s", service);
    r->by[change]++;
}

static const struct fleet_want *wanted_in(const struct fleet_stack_want *stack, const char *name)
{
    for (unsigned i = 0; i < stack->n_wants; i++) {
        if (strcmp(stack->wants[i].service, name) == 0) {
            return &stack->wants[i];
        }
    }
    return NULL;
}

static void want_set(struct service *s, const struct fleet_want *want)
{
    bool same = s->want != NULL && memcmp(s->want->revision, want->revision, FLEET_DIGEST) == 0;

    if (!same) {
        s->pin[0] = '\0';
    }
    want_free(s->want);
    s->want = want_copy(want);
    if (s->ask == NULL || !want_ask_equal(&s->ask->a, &s->want->ask)) {
        want_ask_drop(s->ask);
        s->ask = want_ask(&s->want->ask);
    }
    words_set(&s->pending, NULL);
}

static void want_clear(struct fleet *f, struct service *s)
{
    want_free(s->want);
    s->want = NULL;
    s->held = s->released = false;
    words_set(&s->pending, NULL);
    words_set(&s->hold, NULL);
    tables_dirty(f, s);
}

static void upsert(struct stack *stack, const struct fleet_want *want, struct result *r)
{
    struct service *s = tables_service_make(stack, want->service);

    if (s->want == NULL) {
        want_set(s, want);
        note(r, s->name, FLEET_CHANGE_CREATED, false);
    } else if (memcmp(s->want->digest, want->digest, FLEET_DIGEST) == 0) {
        note(r, s->name, FLEET_CHANGE_UNCHANGED, false);
    } else {
        bool replaces = memcmp(s->want->revision, want->revision, FLEET_DIGEST) != 0;

        want_set(s, want);
        note(r, s->name, FLEET_CHANGE_CHANGED, replaces && s->first != NULL);
    }
}

static void drop_others(struct fleet *f, struct stack *stack, const struct fleet_stack_want *asked,
                        bool prune, struct result *r)
{
    for (unsigned i = 0; i < stack->n; i++) {
        struct service *s = stack->services[i];

        if (s->want == NULL || wanted_in(asked, s->name) != NULL) {
            continue;
        }
        note(r, s->name, prune ? FLEET_CHANGE_REMOVED : FLEET_CHANGE_KEPT, false);
        if (prune) {
            want_clear(f, s);
        }
    }
}

static int line_order(const void *a, const void *b)
{
    return strcmp(((const struct fleet_line *)a)->service, ((const struct fleet_line *)b)->service);
}

static void reply_applied(struct fleet *f, uint64_t request, const struct stack *stack,
                          bool changed, struct result *r)
{
    struct fleet_action *a;
    auto_buf struct buf text = {0};

    for (unsigned i = 0; i < FLEET_CHANGE_N; i++) {
        if (r->by[i] > 0) {
            buf_printf(&text, "%s%u %s", text.len > 0 ? ", " : "", r->by[i],
                       fleet_change_name((enum fleet_change)i));
        }
    }
    if (r->n > 1) {
        qsort(r->lines, r->n, sizeof(*r->lines), line_order);
    }
    a = emit_reply(f, request, changed ? FLEET_OK : FLEET_UNCHANGED, "stack %s, revision %u: %s",
                   stack->name, stack->revision, text.len > 0 ? buf_text(&text) : "no services");
    a->number = stack->revision;
    a->lines = r->lines;
    a->n_lines = r->n;
    if (changed) {
        emit_happened(f, FLEET_HAPPENED_APPLIED, stack->name, NULL, 0, NULL, "revision %u: %s",
                      stack->revision, buf_text(&text));
    }
}

/* Returns false, with a reply, if it asks for more than there may be. */
static bool is_within_bounds(struct fleet *f, uint64_t request,
                             const struct fleet_stack_want *asked)
{
    if (asked->n_wants > FLEET_SERVICES_MAX) {
        (void)emit_reply(f, request, FLEET_TOO_MANY, "stack %s has %u services, %u are allowed",
                         asked->name, asked->n_wants, FLEET_SERVICES_MAX);
        return false;
    }
    if (f->n_stacks >= FLEET_STACKS_MAX && tables_stack(f, asked->name) == NULL) {
        (void)emit_reply(f, request, FLEET_TOO_MANY, "%u stacks are stored already, no more fit",
                         f->n_stacks);
        return false;
    }
    for (unsigned i = 0; i < asked->n_wants; i++) {
        if (asked->wants[i].replicas > FLEET_REPLICAS_MAX) {
            (void)emit_reply(f, request, FLEET_TOO_MANY,
                             "service %s asks for %u replicas, %u are allowed",
                             asked->wants[i].service, asked->wants[i].replicas, FLEET_REPLICAS_MAX);
            return false;
        }
    }
    return true;
}

void apply_event(struct fleet *f, const struct fleet_event *e)
{
    const struct fleet_stack_want *asked = &e->u.apply.stack;
    struct result r = {0};
    struct stack *stack;
    bool changed;

    if (!is_within_bounds(f, e->u.apply.request, asked) || !netrules_apply(f, e)) {
        return;
    }
    stack = tables_stack_make(f, asked->name);
    for (unsigned i = 0; i < asked->n_wants; i++) {
        upsert(stack, &asked->wants[i], &r);
    }
    drop_others(f, stack, asked, e->u.apply.prune, &r);
    netrules_set(f, stack, asked);
    changed =
        !stack->stored || memcmp(stack->digest, asked->digest, FLEET_DIGEST) != 0 ||
        r.by[FLEET_CHANGE_CREATED] + r.by[FLEET_CHANGE_CHANGED] + r.by[FLEET_CHANGE_REMOVED] > 0;
    if (changed) {
        stack->stored = true;
        stack->revision++;
        stack->applied_unix_ms = f->unix_ms;
        memcpy(stack->digest, asked->digest, FLEET_DIGEST);
        emit_put_stack(f, stack);
        for (unsigned i = 0; i < stack->n; i++) {
            vips_settle(f, stack->services[i]);
            tables_dirty(f, stack->services[i]); /* by name, however the file orders them */
        }
    }
    reply_applied(f, e->u.apply.request, stack, changed, &r);
}

/* ---- delete ---- */

static unsigned remove_service(struct fleet *f, struct service *s, struct result *r)
{
    unsigned n = s->n_placements;

    note(r, s->name, FLEET_CHANGE_REMOVED, false);
    for (struct placement *p = s->first; p != NULL; p = p->next) {
        if (p->orphan) {
            placements_stop(f, p, "orphan, removed by an operator");
        }
    }
    want_clear(f, s);
    return n;
}

static void delete_from(struct fleet *f, struct stack *stack, struct service *only,
                        struct result *r, unsigned *ret_containers)
{
    bool any = false;

    *ret_containers = 0;
    for (unsigned i = 0; i < stack->n; i++) {
        if (only == NULL || only == stack->services[i]) {
            *ret_containers += remove_service(f, stack->services[i], r);
        }
        any |= stack->services[i]->want != NULL;
    }
    if (!stack->stored) {
        return;
    }
    stack->revision++;
    memset(stack->digest, 0, FLEET_DIGEST);
    if (any) {
        emit_put_stack(f, stack);
    } else {
        stack->stored = false;
        emit_del_stack(f, stack);
    }
}

/* A stack of which nothing is left has no service whose end would take it along. */
static void drop_if_empty(struct fleet *f, struct stack *stack)
{
    if (stack->n == 0 && !stack->stored) {
        (void)tables_service_make(stack, "-");
        tables_service_remove(f, stack->services[0]);
    }
}

void apply_delete(struct fleet *f, const struct fleet_event *e)
{
    struct stack *stack = tables_stack(f, e->u.del.stack);
    struct service *only = NULL;
    struct result r = {0};
    struct fleet_action *a;
    unsigned containers;

    if (stack == NULL) {
        (void)emit_reply(f, e->u.del.request, FLEET_NOT_FOUND, "no stack is named %s",
                         e->u.del.stack);
        return;
    }
    if (e->u.del.service != NULL) {
        only = tables_service(stack, e->u.del.service);
        if (only == NULL) {
            (void)emit_reply(f, e->u.del.request, FLEET_NOT_FOUND,
                             "stack %s has no service named %s", stack->name, e->u.del.service);
            return;
        }
    }
    if (!netrules_delete(f, e->u.del.request, stack, only)) {
        return;
    }
    delete_from(f, stack, only, &r, &containers);
    a = emit_reply(f, e->u.del.request, FLEET_OK,
                   "stack %s: %u service%s with %u container%s removed", stack->name, r.n,
                   r.n == 1 ? "" : "s", containers, containers == 1 ? "" : "s");
    a->lines = r.lines;
    a->n_lines = r.n;
    emit_happened(f, FLEET_HAPPENED_DELETED, stack->name, only != NULL ? only->name : NULL, 0, NULL,
                  "removed by an operator");
    drop_if_empty(f, stack);
}

/* ---- volumes ---- */

void apply_forget(struct fleet *f, const struct fleet_event *e)
{
    struct binding *b = tables_binding(f, e->u.forget.name);
    unsigned users;

    if (b == NULL) {
        (void)emit_reply(f, e->u.forget.request, FLEET_NOT_FOUND, "no volume is named %s",
                         e->u.forget.name);
        return;
    }
    users = b->node->state == FLEET_NODE_STATE_LOST ? 0 : tables_users(b);
    if (users > 0) {
        (void)emit_reply(f, e->u.forget.request, FLEET_CONFLICT,
                         "volume %s on %s is used by %u container%s: remove %s first, or say "
                         "`wherry node lost %s` if that node will not come back",
                         b->name, b->node->name, users, users == 1 ? "" : "s",
                         users == 1 ? "it" : "them", b->node->name);
        return;
    }
    (void)emit_reply(f, e->u.forget.request, FLEET_OK, "volume %s on %s is forgotten", b->name,
                     b->node->name);
    emit_happened(f, FLEET_HAPPENED_VOLUME_FORGOTTEN, b->stack, NULL, 0, b->node->name,
                  "volume %s on %s is forgotten", b->name, b->node->name);
    emit_volume(f, FLEET_DEL_VOLUME, b);
    tables_unbind(f, b);
    tables_wake(f);
}
