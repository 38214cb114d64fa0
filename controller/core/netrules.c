// SPDX-License-Identifier: Apache-2.0
/* Networks belong to the stack that declares them. Another stack joins one by `external: true`, if
 * it is `attachable`; while it does, the network cannot be taken away. An address that a file asks
 * for is one container's. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "controller/core/fleet_priv.h"

static const struct fleet_network *find(const struct fleet_network *list, unsigned n,
                                        const char *name)
{
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(list[i].name, name) == 0) {
            return &list[i];
        }
    }
    return NULL;
}

/* The stack other than this that declares it, or (`external`) one that has joined it. */
static const struct stack *other(const struct fleet *f, const char *self, const char *name,
                                 bool external)
{
    for (unsigned i = 0; i < f->n_stacks; i++) {
        const struct stack *st = f->stacks[i];
        const struct fleet_network *n = find(st->networks, st->n_networks, name);

        if (st->stored && n != NULL && n->external == external && strcmp(st->name, self) != 0) {
            return st;
        }
    }
    return NULL;
}

const struct fleet_network *netrules_declared(const struct fleet *f, const struct stack *user,
                                              const char *name)
{
    const struct fleet_network *own = find(user->networks, user->n_networks, name);
    const struct stack *st =
        own == NULL || own->external ? other(f, user->name, name, false) : NULL;

    if (own != NULL && !own->external) {
        return own;
    }
    return st != NULL ? find(st->networks, st->n_networks, name) : NULL;
}

/* ---- what is kept ---- */

static bool is_on(const struct service *s, const char *network)
{
    for (unsigned i = 0; i < s->want->ask.n_networks; i++) {
        if (strcmp(s->want->ask.networks[i].name, network) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_asked(const struct fleet_stack_want *asked, const char *service)
{
    for (unsigned i = 0; i < asked->n_wants; i++) {
        if (strcmp(asked->wants[i].service, service) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether a service that the file has no more, and that stays, is on it. */
static bool is_kept(const struct stack *stack, const struct fleet_stack_want *asked, bool prune,
                    const char *network)
{
    for (unsigned i = 0; !prune && i < stack->n; i++) {
        const struct service *s = stack->services[i];

        if (s->want != NULL && !is_asked(asked, s->name) && is_on(s, network)) {
            return true;
        }
    }
    return false;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct fleet_network *)a)->name, ((const struct fleet_network *)b)->name);
}

/* Whoever joined a network of this stack sees it as this stack has it now. */
static void tell_joined(struct fleet *f, const struct stack *owner)
{
    for (unsigned i = 0; i < f->n_stacks; i++) {
        struct stack *st = f->stacks[i];
        bool joined = false;

        for (unsigned k = 0; k < st->n_networks; k++) {
            joined |= st != owner && st->networks[k].external &&
                      find(owner->networks, owner->n_networks, st->networks[k].name) != NULL;
        }
        for (unsigned k = 0; joined && k < st->n; k++) {
            emit_service(f, st->services[k]);
        }
    }
}

void netrules_set(struct fleet *f, struct stack *stack, const struct fleet_stack_want *asked)
{
    struct fleet_network *list =
        xcalloc((size_t)asked->n_networks + stack->n_networks + 1, sizeof(*list));
    unsigned n = 0;

    for (unsigned i = 0; i < asked->n_networks; i++) {
        list[n++] = asked->networks[i];
    }
    for (unsigned i = 0; i < stack->n_networks; i++) {
        const char *name = stack->networks[i].name;

        if (find(list, n, name) == NULL && is_kept(stack, asked, /* prune: */ false, name)) {
            list[n++] = stack->networks[i];
        }
    }
    if (n > 1) {
        qsort(list, n, sizeof(*list), by_name);
    }
    free(stack->networks);
    stack->networks = list;
    stack->n_networks = n;
    tell_joined(f, stack);
}

/* ---- may it? ---- */

__attribute__((format(printf, 3, 4))) static bool refuse(struct fleet *f, uint64_t request,
                                                         const char *fmt, ...)
{
    char text[FLEET_TEXT];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    (void)emit_reply(f, request, FLEET_CONFLICT, "%s", text);
    return false;
}

/* Addresses of the range are given, and not asked for: a container's or a service's address is
 * nobody else's. */
static bool may_take(struct fleet *f, uint64_t request, const struct fleet_network *n)
{
    char net[16], range[16];

    for (unsigned i = 0; i < n->n_subnets; i++) {
        const struct fleet_subnet *s = &n->subnets[i];
        unsigned prefix = s->prefix < f->range_prefix ? s->prefix : f->range_prefix;

        if (f->range != 0 && (prefix == 0 || (s->net ^ f->range) >> (32 - prefix) == 0)) {
            words_address(s->net, net);
            words_address(f->range, range);
            return refuse(f, request,
                          "network %s: subnet %s/%u overlaps the cluster's own range %s/%u (allowed: "
                          "any outside of it, which is not used by others either)",
                          n->name, net, s->prefix, range, f->range_prefix);
        }
    }
    return true;
}

/* One that the file declares itself. */
static bool may_declare(struct fleet *f, uint64_t request, const char *self,
                        const struct fleet_network *n)
{
    const struct stack *owner = other(f, self, n->name, false);
    const struct stack *user = n->attachable ? NULL : other(f, self, n->name, true);

    if (owner != NULL) {
        return refuse(f, request,
                      "network %s is declared by stack %s already: join it with `external: true`, "
                      "or give this one another `name:`",
                      n->name, owner->name);
    }
    if (user != NULL) {
        return refuse(f, request,
                      "network %s is used by stack %s: it has to stay `attachable: true` until "
                      "that stack leaves it",
                      n->name, user->name);
    }
    return may_take(f, request, n);
}

static bool may_join(struct fleet *f, uint64_t request, const char *self,
                     const struct fleet_network *n)
{
    const struct stack *owner = other(f, self, n->name, false);
    const struct fleet_network *there;

    if (owner == NULL) {
        return refuse(f, request,
                      "network %s is external, and no stack declares it: first apply the stack "
                      "that does, with `attachable: true`",
                      n->name);
    }
    there = find(owner->networks, owner->n_networks, n->name);
    if (there != NULL && !there->attachable) {
        return refuse(f, request,
                      "network %s may not be joined: stack %s has to declare it with "
                      "`attachable: true`",
                      n->name, owner->name);
    }
    return true;
}

/* What the stack had and the file declares no more. */
static bool may_drop(struct fleet *f, uint64_t request, const struct stack *stack,
                     const struct fleet_stack_want *asked, bool prune)
{
    for (unsigned i = 0; i < stack->n_networks; i++) {
        const struct fleet_network *n = &stack->networks[i];
        const struct fleet_network *now = find(asked->networks, asked->n_networks, n->name);
        const struct stack *user = n->external ? NULL : other(f, stack->name, n->name, true);

        if (user != NULL &&
            (now != NULL ? now->external : !is_kept(stack, asked, prune, n->name))) {
            return refuse(f, request,
                          "network %s is used by stack %s: it can be taken away once that stack "
                          "has left it",
                          n->name, user->name);
        }
    }
    return true;
}

/* Whoever asked for this address before. */
static const struct service *holder(const struct fleet *f, const char *self, uint32_t address)
{
    for (unsigned i = 0; i < f->n_stacks; i++) {
        for (unsigned k = 0; k < f->stacks[i]->n && strcmp(f->stacks[i]->name, self) != 0; k++) {
            const struct service *s = f->stacks[i]->services[k];

            for (unsigned m = 0; s->want != NULL && m < s->want->ask.n_networks; m++) {
                if (s->want->ask.networks[m].address == address) {
                    return s;
                }
            }
        }
    }
    return NULL;
}

static const char *twice(const struct fleet_stack_want *asked, unsigned at, uint32_t address)
{
    for (unsigned i = 0; i < at; i++) {
        for (unsigned k = 0; k < asked->wants[i].ask.n_networks; k++) {
            if (asked->wants[i].ask.networks[k].address == address) {
                return asked->wants[i].service;
            }
        }
    }
    return NULL;
}

/* The node that has this address itself, as far as it is known. */
static const struct node *node_at(const struct fleet *f, uint32_t address)
{
    char ip[16];

    words_address(address, ip);
    for (unsigned i = 0; i < f->n_nodes; i++) {
        const struct node *node = f->nodes[i];

        if (node->has_facts && strcmp(node->facts.underlay, ip) == 0) {
            return node;
        }
    }
    return NULL;
}

static bool may_have(struct fleet *f, uint64_t request, const struct fleet_stack_want *asked,
                     unsigned at, uint32_t address)
{
    const struct fleet_want *want = &asked->wants[at];
    const struct service *s = holder(f, asked->name, address);
    const char *same = twice(asked, at, address);
    const struct node *node = node_at(f, address);
    uint32_t mask = f->range_prefix > 0 ? UINT32_MAX << (32 - f->range_prefix) : UINT32_MAX;
    char ip[16];

    words_address(address, ip);
    if (s != NULL || same != NULL) {
        return refuse(f, request, "service %s asks for address %s, which %s/%s has", want->service,
                      ip, s != NULL ? s->stack->name : asked->name, s != NULL ? s->name : same);
    }
    if (want_is_global(want) || want->replicas > 1) {
        return refuse(f, request,
                      "service %s asks for address %s, which only one container can have: it "
                      "wants %s",
                      want->service, ip, want_is_global(want) ? "one on every node" : "more");
    }
    if (f->range != 0 && (address & mask) == f->range) {
        return refuse(f, request,
                      "service %s asks for address %s, which lies in the cluster's own range",
                      want->service, ip);
    }
    if (node != NULL) {
        return refuse(f, request, "service %s asks for address %s, which is that of node %s",
                      want->service, ip, node->name);
    }
    return true;
}

/* The networks of a service are the stack's; nobody gets onto another's by naming it. */
static bool may_use(struct fleet *f, uint64_t request, const struct fleet_stack_want *asked,
                    unsigned at)
{
    const struct fleet_want *want = &asked->wants[at];

    for (unsigned i = 0; i < want->ask.n_networks; i++) {
        const struct fleet_network_use *use = &want->ask.networks[i];

        if (find(asked->networks, asked->n_networks, use->name) == NULL) {
            return refuse(f, request,
                          "service %s is on network %s, which its stack neither declares nor joins",
                          want->service, use->name);
        }
        if (use->address != 0 && !may_have(f, request, asked, at, use->address)) {
            return false;
        }
    }
    return true;
}

bool netrules_apply(struct fleet *f, const struct fleet_event *e)
{
    const struct fleet_stack_want *asked = &e->u.apply.stack;
    const struct stack *stack = tables_stack(f, asked->name);
    uint64_t request = e->u.apply.request;
    unsigned missing = vips_missing(f, asked);

    for (unsigned i = 0; i < asked->n_networks; i++) {
        const struct fleet_network *n = &asked->networks[i];

        if (!(n->external ? may_join(f, request, asked->name, n)
                          : may_declare(f, request, asked->name, n))) {
            return false;
        }
    }
    for (unsigned i = 0; i < asked->n_wants; i++) {
        if (!may_use(f, request, asked, i)) {
            return false;
        }
    }
    if (missing > vips_left(f)) {
        (void)emit_reply(f, request, FLEET_TOO_MANY,
                         "stack %s needs %u more virtual addresses, and %u are left in the "
                         "cluster's range: remove services, or say `endpoint_mode: dnsrr`",
                         asked->name, missing, vips_left(f));
        return false;
    }
    return stack == NULL || may_drop(f, request, stack, asked, e->u.apply.prune);
}

bool netrules_delete(struct fleet *f, uint64_t request, const struct stack *stack,
                     const struct service *only)
{
    for (unsigned i = 0; only != NULL && i < stack->n; i++) {
        if (stack->services[i] != only && stack->services[i]->want != NULL) {
            return true; /* the stack stays, and its networks with it */
        }
    }
    for (unsigned i = 0; stack->stored && i < stack->n_networks; i++) {
        const struct fleet_network *n = &stack->networks[i];
        const struct stack *user = n->external ? NULL : other(f, stack->name, n->name, true);

        if (user != NULL) {
            return refuse(f, request,
                          "network %s is used by stack %s: remove that first, or take it off the "
                          "network",
                          n->name, user->name);
        }
    }
    return true;
}
