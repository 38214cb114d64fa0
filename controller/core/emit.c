// SPDX-License-Identifier: Apache-2.0
/* What a step has to say, put in order at its end: first what is to be stored, then what depends
 * on it. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "controller/core/fleet_priv.h"

static struct fleet_action *add(struct fleet_actions *list, enum fleet_action_type type)
{
    struct fleet_action *a;

    list->list = fleet_grow(list->list, list->n, &list->cap, sizeof(*list->list));
    a = &list->list[list->n++];
    *a = (struct fleet_action){.type = type};
    return a;
}

static void name_into(char *to, size_t size, const char *from)
{
    (void)snprintf(to, size, "%s", from != NULL ? from : "");
}

static char *sentence(const char *fmt, va_list ap)
{
    char text[FLEET_TEXT];

    (void)vsnprintf(text, sizeof(text), fmt, ap);
    return xstrdup(text);
}

static struct fleet_action *store(struct fleet *f, enum fleet_action_type type)
{
    f->txn = true;
    return add(&f->first, type);
}

void emit_put_stack(struct fleet *f, const struct stack *stack)
{
    struct fleet_action *a = store(f, FLEET_PUT_STACK);

    name_into(a->stack, sizeof(a->stack), stack->name);
    a->number = stack->revision;
}

void emit_del_stack(struct fleet *f, const struct stack *stack)
{
    name_into(store(f, FLEET_DEL_STACK)->stack, FLEET_NAME, stack->name);
}

static void touch(struct fleet *f, struct node *node)
{
    if (!node->touched) {
        f->touched = fleet_grow(f->touched, f->n_touched, &f->cap_touched, sizeof(*f->touched));
        f->touched[f->n_touched++] = node;
        node->touched = true;
    }
}

void emit_put_node(struct fleet *f, struct node *node)
{
    f->txn = true;
    node->put = true;
    touch(f, node);
}

void emit_send(struct fleet *f, struct node *node, bool whole)
{
    if (!node->settled) {
        return; /* it is sent what it lacks once it has said what it has */
    }
    node->send = true;
    node->send_whole |= whole;
    touch(f, node);
}

void emit_volume(struct fleet *f, enum fleet_action_type type, const struct binding *b)
{
    struct fleet_action *a = store(f, type);

    name_into(a->name, sizeof(a->name), b->name);
    a->node_id = b->node->id;
}

void emit_block(struct fleet *f, const struct service *s, uint32_t slot)
{
    struct block_key *last = f->n_blocks > 0 ? &f->blocks[f->n_blocks - 1] : NULL;
    uint32_t block = slot / FLEET_BLOCK;

    f->txn = true;
    if (last != NULL && last->block == block && strcmp(last->service, s->name) == 0 &&
        strcmp(last->stack, s->stack->name) == 0) {
        return;
    }
    f->blocks = fleet_grow(f->blocks, f->n_blocks, &f->cap_blocks, sizeof(*f->blocks));
    last = &f->blocks[f->n_blocks++];
    *last = (struct block_key){.block = block};
    memcpy(last->stack, s->stack->name, FLEET_NAME);
    memcpy(last->service, s->name, FLEET_NAME);
}

void emit_vips(struct fleet *f, const struct service *s)
{
    struct fleet_action *a = store(f, FLEET_PUT_VIPS);

    memcpy(a->stack, s->stack->name, FLEET_NAME);
    memcpy(a->service, s->name, FLEET_NAME);
}

static bool asks_for_network(const struct ask *ask)
{
    for (unsigned i = 0; i < ask->a.n_ports; i++) {
        if (ask->a.ports[i].ingress) {
            return true;
        }
    }
    return ask->a.n_networks > 0;
}

/* What is on no network, publishes nothing, and never did, nobody knows of. */
static bool is_shown(const struct service *s)
{
    if (s->shown || (s->ask != NULL && asks_for_network(s->ask))) {
        return true;
    }
    for (const struct placement *p = s->first; s->ask == NULL && p != NULL; p = p->next) {
        if (asks_for_network(p->ask)) {
            return true;
        }
    }
    return false;
}

/* By name: the service may be gone at the end of the step. */
void emit_service(struct fleet *f, struct service *s)
{
    struct service_key *key;

    if (s->listed || !is_shown(s)) {
        return;
    }
    s->listed = s->shown = true;
    f->listed = fleet_grow(f->listed, f->n_listed, &f->cap_listed, sizeof(*f->listed));
    key = &f->listed[f->n_listed++];
    memcpy(key->stack, s->stack->name, FLEET_NAME);
    memcpy(key->service, s->name, FLEET_NAME);
}

void emit_welcome(struct fleet *f, struct node *node, bool report_all)
{
    struct fleet_action *a = add(&f->later, FLEET_WELCOME);

    a->node_id = node->id;
    a->report_all = report_all;
}

void emit_refuse(struct fleet *f, struct id128 node_id, enum fleet_refusal refusal, const char *fmt,
                 ...)
{
    struct fleet_action *a = add(&f->later, FLEET_REFUSE);
    va_list ap;

    a->node_id = node_id;
    a->refusal = refusal;
    va_start(ap, fmt);
    a->text = sentence(fmt, ap);
    va_end(ap);
}

void emit_raise_epoch(struct fleet *f, uint64_t epoch)
{
    add(&f->later, FLEET_RAISE_EPOCH)->number64 = epoch;
}

struct fleet_action *emit_reply(struct fleet *f, uint64_t request, enum fleet_result result,
                                const char *fmt, ...)
{
    struct fleet_action *a = add(&f->later, FLEET_REPLY);
    va_list ap;

    a->request = request;
    a->result = result;
    va_start(ap, fmt);
    a->text = sentence(fmt, ap);
    va_end(ap);
    return a;
}

static struct fleet_action *happened(struct fleet *f, enum fleet_happening what, const char *stack,
                                     const char *service, uint32_t slot, const char *node)
{
    struct fleet_action *a = add(&f->later, FLEET_EVENT);

    a->happened = what;
    a->unix_ms = f->unix_ms;
    a->number = slot;
    name_into(a->stack, sizeof(a->stack), stack);
    name_into(a->service, sizeof(a->service), service);
    name_into(a->name, sizeof(a->name), node);
    return a;
}

void emit_happened(struct fleet *f, enum fleet_happening what, const char *stack,
                   const char *service, uint32_t slot, const char *node, const char *fmt, ...)
{
    struct fleet_action *a = happened(f, what, stack, service, slot, node);
    va_list ap;

    va_start(ap, fmt);
    a->text = sentence(fmt, ap);
    va_end(ap);
}

void emit_of(struct fleet *f, enum fleet_happening what, const struct placement *p, const char *fmt,
             ...)
{
    struct fleet_action *a =
        happened(f, what, p->service->stack->name, p->service->name, p->slot, p->node->name);
    va_list ap;

    a->number64 = p->incarnation;
    va_start(ap, fmt);
    a->text = sentence(fmt, ap);
    va_end(ap);
}

static int block_order(const void *a, const void *b)
{
    const struct block_key *x = a, *y = b;
    int c = strcmp(x->stack, y->stack);

    if (c == 0) {
        c = strcmp(x->service, y->service);
    }
    return c != 0 ? c : (x->block > y->block) - (x->block < y->block);
}

static int node_order(const void *a, const void *b)
{
    const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;

    if (x->id.hi != y->id.hi) {
        return x->id.hi < y->id.hi ? -1 : 1;
    }
    return (x->id.lo > y->id.lo) - (x->id.lo < y->id.lo);
}

static void move(struct fleet_actions *from, uint64_t revision, struct fleet_actions *to)
{
    for (unsigned i = 0; i < from->n; i++) {
        struct fleet_action *a = add(to, from->list[i].type);

        *a = from->list[i];
        a->revision = revision;
    }
    from->n = 0;
}

static void flush_blocks(struct fleet *f, struct fleet_actions *ret)
{
    if (f->n_blocks > 1) {
        qsort(f->blocks, f->n_blocks, sizeof(*f->blocks), block_order);
    }
    for (unsigned i = 0; i < f->n_blocks; i++) {
        struct fleet_action *a;

        if (i > 0 && block_order(&f->blocks[i - 1], &f->blocks[i]) == 0) {
            continue;
        }
        a = add(ret, FLEET_PUT_BLOCK);
        memcpy(a->stack, f->blocks[i].stack, FLEET_NAME);
        memcpy(a->service, f->blocks[i].service, FLEET_NAME);
        a->number = f->blocks[i].block;
        a->revision = f->revision;
    }
    f->n_blocks = 0;
}

static void flush_puts(struct fleet *f, struct fleet_actions *ret)
{
    for (unsigned i = 0; i < f->n_touched; i++) {
        if (f->touched[i]->put) {
            struct fleet_action *a = add(ret, FLEET_PUT_NODE);

            a->node_id = f->touched[i]->id;
            a->revision = f->revision;
            f->touched[i]->put = false;
        }
    }
}

static void flush_sends(struct fleet *f, struct fleet_actions *ret)
{
    for (unsigned i = 0; i < f->n_touched; i++) {
        struct node *node = f->touched[i];

        if (node->send && node->settled) {
            struct fleet_action *a = add(ret, FLEET_SEND);

            a->node_id = node->id;
            a->whole = node->send_whole;
            a->revision = f->revision;
        }
        node->send = node->send_whole = node->touched = false;
    }
    f->n_touched = 0;
}

static int service_order(const void *a, const void *b)
{
    const struct service_key *x = a, *y = b;
    int by_stack = strcmp(x->stack, y->stack);

    return by_stack != 0 ? by_stack : strcmp(x->service, y->service);
}

static void flush_services(struct fleet *f, struct fleet_actions *ret)
{
    if (f->n_listed > 1) {
        qsort(f->listed, f->n_listed, sizeof(*f->listed), service_order);
    }
    for (unsigned i = 0; i < f->n_listed; i++) {
        const struct service_key *key = &f->listed[i];
        struct stack *stack = tables_stack(f, key->stack);
        struct service *s = stack != NULL ? tables_service(stack, key->service) : NULL;
        struct fleet_action *a;

        if (s != NULL) {
            s->listed = false;
        }
        if (i > 0 && service_order(key - 1, key) == 0) {
            continue; /* it went and came again */
        }
        a = add(ret, FLEET_SERVICE);
        memcpy(a->stack, key->stack, FLEET_NAME);
        memcpy(a->service, key->service, FLEET_NAME);
        a->revision = f->revision;
    }
    f->n_listed = 0;
}

void emit_flush(struct fleet *f, struct fleet_actions *ret)
{
    if (f->txn) {
        f->revision++;
        f->txn = false;
    }
    if (f->n_touched > 1) {
        qsort(f->touched, f->n_touched, sizeof(*f->touched), node_order);
    }
    move(&f->first, f->revision, ret);
    flush_puts(f, ret);
    flush_blocks(f, ret);
    move(&f->later, f->revision, ret);
    flush_sends(f, ret);
    flush_services(f, ret);
}

void fleet_actions_finish(struct fleet_actions *actions)
{
    for (unsigned i = 0; i < actions->n; i++) {
        free(actions->list[i].text);
        free(actions->list[i].lines);
    }
    free(actions->list);
    *actions = (struct fleet_actions){0};
}

void emit_finish(struct fleet *f)
{
    fleet_actions_finish(&f->first);
    fleet_actions_finish(&f->later);
    free(f->blocks);
    free(f->touched);
    free(f->listed);
}
