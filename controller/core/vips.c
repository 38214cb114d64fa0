// SPDX-License-Identifier: Apache-2.0
/* Virtual addresses: one for each network of a service, out of a part of the cluster's range that
 * no node has (common/svc.h). The lowest free one is taken, and kept until the service is gone or
 * leaves the network; they are stored, because clients remember them. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "controller/core/fleet_priv.h"

#define BITS 64u

/* ---- which are free ---- */

static bool is_used(const struct fleet *f, uint32_t i)
{
    return i / BITS < f->n_vip_words && (f->vip_used[i / BITS] >> (i % BITS) & 1) != 0;
}

static void widen(struct fleet *f, uint32_t i)
{
    uint32_t words = i / BITS + 1;

    if (words <= f->n_vip_words) {
        return;
    }
    words = words < 2 * f->n_vip_words ? 2 * f->n_vip_words : words;
    f->vip_used = xrealloc(f->vip_used, words, sizeof(*f->vip_used));
    memset(f->vip_used + f->n_vip_words, 0, (words - f->n_vip_words) * sizeof(*f->vip_used));
    f->n_vip_words = words;
}

static bool take(struct fleet *f, uint32_t address)
{
    uint32_t i = address - f->vip_net;

    if (address < f->vip_net || i >= f->vip_size || is_used(f, i)) {
        return false;
    }
    widen(f, i);
    f->vip_used[i / BITS] |= UINT64_C(1) << (i % BITS);
    f->n_vips++;
    return true;
}

static void give(struct fleet *f, uint32_t address)
{
    uint32_t i = address - f->vip_net;

    assert(is_used(f, i));
    f->vip_used[i / BITS] &= ~(UINT64_C(1) << (i % BITS));
    f->n_vips--;
    f->vip_low = i / BITS < f->vip_low ? i / BITS : f->vip_low;
}

/* The lowest; 0: there is none. */
static uint32_t take_any(struct fleet *f)
{
    uint32_t i;

    while (f->vip_low < f->n_vip_words && f->vip_used[f->vip_low] == UINT64_MAX) {
        f->vip_low++;
    }
    for (i = f->vip_low * BITS; i < f->vip_size && is_used(f, i); i++) {
    }
    return i < f->vip_size && take(f, f->vip_net + i) ? f->vip_net + i : 0;
}

void vips_range(struct fleet *f, uint32_t range, unsigned prefix, unsigned node_prefix)
{
    unsigned vip_prefix;

    f->range = range;
    f->range_prefix = prefix;
    f->node_prefix = node_prefix;
    if (range == 0) {
        return;
    }
    svc_vip_range(range, prefix, &f->vip_net, &vip_prefix);
    assert(vip_prefix <= 32);
    f->vip_size = (uint32_t)1 << (32 - vip_prefix);
    (void)take(f, f->vip_net); /* a network's own address and its last are nobody's */
    (void)take(f, f->vip_net + f->vip_size - 1);
}

void vips_avoid(struct fleet *f, const struct node *node)
{
    uint32_t size = f->node_prefix > 0 ? (uint32_t)1 << (32 - f->node_prefix) : 0;
    uint64_t first = (uint64_t)f->range + (uint64_t)node->block * size;

    if (f->vip_size == 0 || first + size <= f->vip_net ||
        first >= (uint64_t)f->vip_net + f->vip_size) {
        return;
    }
    for (uint32_t i = 0; i < size; i++) {
        (void)take(f, (uint32_t)first + i);
    }
}

unsigned vips_left(const struct fleet *f)
{
    return f->vip_size == 0 ? UINT32_MAX : f->vip_size - f->n_vips;
}

/* ---- of a service ---- */

const struct vip *vips_find(const struct service *s, const char *network)
{
    for (unsigned i = 0; i < s->n_vips; i++) {
        if (strcmp(s->vips[i].network, network) == 0) {
            return &s->vips[i];
        }
    }
    return NULL;
}

static void add(struct fleet *f, struct service *s, const char *network, uint32_t address,
                uint64_t revision)
{
    unsigned i = 0;

    (void)f;
    s->vips = fleet_grow(s->vips, s->n_vips, &s->cap_vips, sizeof(*s->vips));
    while (i < s->n_vips && strcmp(s->vips[i].network, network) < 0) {
        i++;
    }
    memmove(s->vips + i + 1, s->vips + i, (s->n_vips - i) * sizeof(*s->vips));
    s->vips[i] = (struct vip){.address = address, .revision = revision};
    (void)snprintf(s->vips[i].network, sizeof(s->vips[i].network), "%s", network);
    s->n_vips++;
}

/* Whose it is, in words. */
static void say_holder(const struct fleet *f, uint32_t address, char *ret, size_t size)
{
    for (unsigned i = 0; i < f->n_stacks; i++) {
        for (unsigned k = 0; k < f->stacks[i]->n; k++) {
            const struct service *s = f->stacks[i]->services[k];

            for (unsigned n = 0; n < s->n_vips; n++) {
                if (s->vips[n].address == address) {
                    (void)snprintf(ret, size, "%s/%s has it on %s", s->stack->name, s->name,
                                   s->vips[n].network);
                    return;
                }
            }
        }
    }
    (void)snprintf(ret, size, "it is in a node's block, or the range's own first or last");
}

/* Why the store's address cannot be this service's; what is allowed comes with it. */
static void say_wrong(struct fleet *f, const struct service *s, const char *network,
                      uint32_t address)
{
    const struct vip *other = vips_find(s, network);
    char is[16], from[16], to[16], why[3 * FLEET_NAME + SVC_NETWORK_MAX];

    words_address(address, is);
    words_address(f->vip_net + 1, from);
    words_address(f->vip_net + f->vip_size - 2, to);
    if (address < f->vip_net || address - f->vip_net >= f->vip_size) {
        (void)snprintf(why, sizeof(why), "it is outside the range");
    } else if (other != NULL) {
        words_address(other->address, why);
        (void)snprintf(why + strlen(why), sizeof(why) - strlen(why), " is there already");
    } else {
        say_holder(f, address, why, sizeof(why));
    }
    emit_happened(f, FLEET_HAPPENED_ADDRESS_MENDED, s->stack->name, s->name, 0, NULL,
                  "the store's virtual address %s on network %s is not taken: %s (allowed: a free "
                  "one from %s to %s, one for each network)",
                  is, network, why, from, to);
}

/* What is no address of this range, or another's, is given anew when the service is settled. */
void vips_load(struct fleet *f, struct service *s, const char *network, uint32_t address)
{
    if (vips_find(s, network) == NULL && take(f, address)) {
        add(f, s, network, address, 0);
    } else {
        say_wrong(f, s, network, address);
        s->vips_stale = true;
    }
}

/* What is being removed keeps them while something of it is left; what nobody wants and nobody runs
 * has none. */
void vips_loaded(struct fleet *f, struct service *s)
{
    char is[16];

    for (unsigned i = 0; s->want == NULL && s->n_placements == 0 && i < s->n_vips; i++) {
        words_address(s->vips[i].address, is);
        emit_happened(f, FLEET_HAPPENED_ADDRESS_MENDED, s->stack->name, s->name, 0, NULL,
                      "the store has virtual address %s on network %s, and no stack has such a "
                      "service: it is given back",
                      is, s->vips[i].network);
    }
}

static bool wants(const struct fleet_want *want, const char *network)
{
    if (want->balance == SVC_BALANCE_NONE) {
        return false;
    }
    for (unsigned i = 0; i < want->ask.n_networks; i++) {
        if (strcmp(want->ask.networks[i].name, network) == 0) {
            return true;
        }
    }
    return false;
}

unsigned vips_missing(const struct fleet *f, const struct fleet_stack_want *asked)
{
    const struct stack *stack = tables_stack(f, asked->name);
    unsigned n = 0;

    for (unsigned i = 0; i < asked->n_wants; i++) {
        const struct fleet_want *want = &asked->wants[i];
        const struct service *s = stack != NULL ? tables_service(stack, want->service) : NULL;

        for (unsigned k = 0; want->balance != SVC_BALANCE_NONE && k < want->ask.n_networks; k++) {
            n += s == NULL || vips_find(s, want->ask.networks[k].name) == NULL;
        }
    }
    return n;
}

static bool release(struct fleet *f, struct service *s)
{
    unsigned n = 0, before = s->n_vips;

    for (unsigned i = 0; i < s->n_vips; i++) {
        if (wants(s->want, s->vips[i].network)) {
            s->vips[n++] = s->vips[i];
        } else {
            give(f, s->vips[i].address);
        }
    }
    s->n_vips = n;
    return n != before;
}

void vips_settle(struct fleet *f, struct service *s)
{
    bool changed;

    if (s->want == NULL || f->vip_size == 0) {
        return; /* what is being removed keeps them until it is gone */
    }
    changed = release(f, s) || s->vips_stale;
    s->vips_stale = false;
    for (unsigned i = 0; i < s->want->ask.n_networks; i++) {
        const char *network = s->want->ask.networks[i].name;
        uint32_t address = 0;

        if (wants(s->want, network) && vips_find(s, network) == NULL) {
            address = take_any(f);
        }
        if (address != 0) {
            add(f, s, network, address, f->revision + 1);
            changed = true;
        }
    }
    if (changed) {
        emit_vips(f, s);
    }
}

void vips_drop(struct fleet *f, struct service *s)
{
    if (s->n_vips == 0 && !s->vips_stale) {
        return;
    }
    for (unsigned i = 0; i < s->n_vips; i++) {
        give(f, s->vips[i].address);
    }
    s->n_vips = 0;
    emit_vips(f, s);
}

bool fleet_svc_vip_at(const struct fleet *f, const char *stack, const char *service, unsigned i,
                      struct fleet_vip_view *ret)
{
    const struct stack *st = tables_stack(f, stack);
    const struct service *s = st != NULL ? tables_service(st, service) : NULL;

    if (s == NULL || i >= s->n_vips) {
        return false;
    }
    *ret = (struct fleet_vip_view){.network = s->vips[i].network, .address = s->vips[i].address};
    return true;
}
