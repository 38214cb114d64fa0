// SPDX-License-Identifier: Apache-2.0
/* Stacks, services, slots and volume bindings: sorted tables, and the queues of services that need
 * a look. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "controller/core/fleet_priv.h"

void *fleet_grow(void *list, unsigned n, unsigned *cap, size_t size)
{
    if (n < *cap) {
        return list;
    }
    *cap = *cap == 0 ? 8 : *cap * 2;
    return xrealloc(list, *cap, size);
}

/* ---- stacks ---- */

static unsigned stack_place(const struct fleet *f, const char *name)
{
    unsigned low = 0, high = f->n_stacks;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (strcmp(f->stacks[mid]->name, name) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct stack *tables_stack(const struct fleet *f, const char *name)
{
    unsigned i = stack_place(f, name);

    return i < f->n_stacks && strcmp(f->stacks[i]->name, name) == 0 ? f->stacks[i] : NULL;
}

struct stack *tables_stack_make(struct fleet *f, const char *name)
{
    struct stack *stack = tables_stack(f, name);
    unsigned i = stack_place(f, name);

    if (stack != NULL) {
        return stack;
    }
    assert(strlen(name) < FLEET_NAME);
    f->stacks = fleet_grow(f->stacks, f->n_stacks, &f->cap_stacks, sizeof(struct stack *));
    memmove(f->stacks + i + 1, f->stacks + i, (f->n_stacks - i) * sizeof(struct stack *));
    f->stacks[i] = stack = xcalloc(1, sizeof(*stack));
    f->n_stacks++;
    (void)snprintf(stack->name, sizeof(stack->name), "%s", name);
    return stack;
}

static void stack_remove(struct fleet *f, struct stack *stack)
{
    unsigned i = stack_place(f, stack->name);

    assert(i < f->n_stacks);
    assert(f->stacks[i] == stack);
    memmove(f->stacks + i, f->stacks + i + 1, (f->n_stacks - i - 1) * sizeof(struct stack *));
    f->n_stacks--;
    free(stack->services);
    free(stack->networks);
    free(stack);
}

/* ---- services ---- */

static unsigned service_place(const struct stack *stack, const char *name)
{
    unsigned low = 0, high = stack->n;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (strcmp(stack->services[mid]->name, name) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct service *tables_service(const struct stack *stack, const char *name)
{
    unsigned i = service_place(stack, name);

    if (i == stack->n || strcmp(stack->services[i]->name, name) != 0) {
        return NULL;
    }
    return stack->services[i];
}

struct service *tables_service_make(struct stack *stack, const char *name)
{
    struct service *s = tables_service(stack, name);
    unsigned i = service_place(stack, name);

    if (s != NULL) {
        return s;
    }
    assert(strlen(name) < FLEET_NAME);
    stack->services = fleet_grow(stack->services, stack->n, &stack->cap, sizeof(struct service *));
    memmove(stack->services + i + 1, stack->services + i,
            (stack->n - i) * sizeof(struct service *));
    stack->services[i] = s = xcalloc(1, sizeof(*s));
    stack->n++;
    s->stack = stack;
    (void)snprintf(s->name, sizeof(s->name), "%s", name);
    return s;
}

static void service_free(struct service *s)
{
    want_free(s->want);
    want_ask_drop(s->ask);
    free(s->slots);
    free(s->vips);
    free(s->pending);
    free(s->hold);
    free(s);
}

static void unlink_dirty(struct fleet *f, struct service *s)
{
    struct service *before = NULL;

    for (struct service *t = f->dirty_first; t != NULL; before = t, t = t->next_dirty) {
        if (t != s) {
            continue;
        }
        *(before != NULL ? &before->next_dirty : &f->dirty_first) = s->next_dirty;
        if (f->dirty_last == s) {
            f->dirty_last = before;
        }
        return;
    }
}

static void unlink_waiting(struct fleet *f, struct service *s)
{
    for (struct service **at = &f->waiting; *at != NULL; at = &(*at)->next_waiting) {
        if (*at == s) {
            *at = s->next_waiting;
            return;
        }
    }
}

void tables_service_remove(struct fleet *f, struct service *s)
{
    struct stack *stack = s->stack;
    unsigned i = service_place(stack, s->name);

    assert(s->n_placements == 0);
    assert(s->want == NULL);
    assert(stack->services[i] == s);
    emit_service(f, s);
    vips_drop(f, s);
    if (s->dirty) {
        unlink_dirty(f, s);
    }
    if (s->waiting) {
        unlink_waiting(f, s);
    }
    memmove(stack->services + i, stack->services + i + 1,
            (stack->n - i - 1) * sizeof(struct service *));
    stack->n--;
    service_free(s);
    if (stack->n == 0 && !stack->stored) {
        stack_remove(f, stack);
    }
}

/* ---- slots ---- */

static unsigned slot_place(const struct service *s, uint32_t number)
{
    unsigned low = 0, high = s->n_slots;

    /* replicas are numbered from 1 without a gap, mostly */
    if (number >= 1 && number <= s->n_slots && s->slots[number - 1].number == number) {
        return number - 1;
    }
    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (s->slots[mid].number < number) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct slot *tables_slot(const struct service *s, uint32_t number)
{
    unsigned i = slot_place(s, number);

    return i < s->n_slots && s->slots[i].number == number ? &s->slots[i] : NULL;
}

struct slot *tables_slot_make(struct service *s, uint32_t number)
{
    unsigned i = slot_place(s, number);

    if (i < s->n_slots && s->slots[i].number == number) {
        return &s->slots[i];
    }
    s->slots = fleet_grow(s->slots, s->n_slots, &s->cap_slots, sizeof(struct slot));
    memmove(s->slots + i + 1, s->slots + i, (s->n_slots - i) * sizeof(struct slot));
    s->slots[i] = (struct slot){.number = number};
    s->n_slots++;
    return &s->slots[i];
}

/* ---- volumes ---- */

static unsigned binding_place(const struct fleet *f, const char *name)
{
    unsigned low = 0, high = f->n_bindings;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (strcmp(f->bindings[mid]->name, name) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct binding *tables_binding(const struct fleet *f, const char *name)
{
    unsigned i = binding_place(f, name);

    return i < f->n_bindings && strcmp(f->bindings[i]->name, name) == 0 ? f->bindings[i] : NULL;
}

struct binding *tables_bind(struct fleet *f, const char *name, const char *stack, struct node *node)
{
    unsigned i = binding_place(f, name);
    struct binding *b = xcalloc(1, sizeof(*b));

    assert(tables_binding(f, name) == NULL);
    f->bindings = fleet_grow(f->bindings, f->n_bindings, &f->cap_bindings, sizeof(*f->bindings));
    memmove(f->bindings + i + 1, f->bindings + i, (f->n_bindings - i) * sizeof(*f->bindings));
    f->bindings[i] = b;
    f->n_bindings++;
    (void)snprintf(b->name, sizeof(b->name), "%s", name);
    (void)snprintf(b->stack, sizeof(b->stack), "%s", stack);
    b->node = node;
    b->made_unix_ms = f->unix_ms;
    return b;
}

unsigned tables_users(const struct binding *b)
{
    unsigned users = 0;

    for (const struct placement *p = b->node->oldest; p != NULL; p = p->newer) {
        for (unsigned i = 0; i < p->ask->a.n_volumes; i++) {
            users += strcmp(p->ask->a.volumes[i].name, b->name) == 0;
        }
    }
    return users;
}

void tables_unbind(struct fleet *f, struct binding *b)
{
    unsigned i = binding_place(f, b->name);

    assert(f->bindings[i] == b);
    memmove(f->bindings + i, f->bindings + i + 1, (f->n_bindings - i - 1) * sizeof(*f->bindings));
    f->n_bindings--;
    free(b);
}

/* ---- queues ---- */

void tables_dirty(struct fleet *f, struct service *s)
{
    emit_service(f, s);
    if (s->dirty) {
        return;
    }
    s->dirty = true;
    s->next_dirty = NULL;
    if (f->dirty_last != NULL) {
        f->dirty_last->next_dirty = s;
    } else {
        f->dirty_first = s;
    }
    f->dirty_last = s;
}

struct service *tables_next_dirty(struct fleet *f)
{
    struct service *s = f->dirty_first;

    if (s == NULL) {
        return NULL;
    }
    f->dirty_first = s->next_dirty;
    if (f->dirty_first == NULL) {
        f->dirty_last = NULL;
    }
    s->dirty = false;
    return s;
}

void tables_wait(struct fleet *f, struct service *s)
{
    if (!s->waiting) {
        s->waiting = true;
        s->next_waiting = f->waiting;
        f->waiting = s;
    }
}

void tables_wake(struct fleet *f)
{
    while (f->waiting != NULL) {
        struct service *s = f->waiting;

        f->waiting = s->next_waiting;
        s->waiting = false;
        tables_dirty(f, s);
    }
}

void tables_globals_dirty(struct fleet *f)
{
    for (unsigned i = 0; i < f->n_stacks; i++) {
        for (unsigned k = 0; k < f->stacks[i]->n; k++) {
            struct service *s = f->stacks[i]->services[k];

            if (s->want != NULL && want_is_global(s->want)) {
                tables_dirty(f, s);
            }
        }
    }
}

void tables_dependents_dirty(struct fleet *f, const struct service *s)
{
    for (unsigned i = 0; i < s->stack->n; i++) {
        struct service *t = s->stack->services[i];

        for (unsigned k = 0; t->held && t->want != NULL && k < t->want->n_depends; k++) {
            if (strcmp(t->want->depends[k].service, s->name) == 0) {
                tables_dirty(f, t);
            }
        }
    }
}

void tables_finish(struct fleet *f)
{
    for (unsigned i = 0; i < f->n_stacks; i++) {
        for (unsigned k = 0; k < f->stacks[i]->n; k++) {
            service_free(f->stacks[i]->services[k]);
        }
        free(f->stacks[i]->services);
        free(f->stacks[i]->networks);
        free(f->stacks[i]);
    }
    for (unsigned i = 0; i < f->n_bindings; i++) {
        free(f->bindings[i]);
    }
    free(f->stacks);
    free(f->bindings);
}
