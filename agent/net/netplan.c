// SPDX-License-Identifier: Apache-2.0
#include "agent/net/netplan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/net/netplan_priv.h"
#include "common/err.h"

/* ---- finding ---- */

static struct netplan_service **service_place(struct netplan *p, const char *stack,
                                              const char *service)
{
    char key[2 * NAME_MAX_LEN + 2];
    size_t a = strlen(stack), b = strlen(service);
    struct netplan_service **at;

    assert(a <= NAME_MAX_LEN && b <= NAME_MAX_LEN);
    memcpy(key, stack, a + 1);
    memcpy(key + a + 1, service, b);
    at = &p->services[netplan_bucket(key, a + 1 + b)];
    while (*at != NULL &&
           (strcmp((*at)->stack, stack) != 0 || strcmp((*at)->service, service) != 0)) {
        at = &(*at)->next;
    }
    return at;
}

static struct netplan_service *service_get(struct netplan *p, const char *stack,
                                           const char *service)
{
    struct netplan_service **at = service_place(p, stack, service);
    struct netplan_service *s = *at;

    if (s == NULL) {
        s = *at = xcalloc(1, sizeof(*s));
        memcpy(s->stack, stack, strlen(stack) + 1);
        memcpy(s->service, service, strlen(service) + 1);
        s->owner.stack = s->stack;
        s->owner.service = s->service;
    }
    return s;
}

static struct netplan_here **local_place(const struct netplan *p, uint64_t incarnation)
{
    struct netplan_here **at =
        (struct netplan_here **)&p->locals[netplan_bucket(&incarnation, sizeof(incarnation))];

    while (*at != NULL && (*at)->is.incarnation != incarnation) {
        at = &(*at)->next;
    }
    return at;
}

struct netplan_here *netplan_find_local(const struct netplan *p, uint64_t incarnation)
{
    return *local_place(p, incarnation);
}

/* ---- services ---- */

void netplan_remake(struct netplan *p, struct netplan_service *s, struct netplan_diff *diff)
{
    struct netplan_want want = {0};

    netplan_want_service(p, s, &want);
    netplan_store_apply(&p->store, &s->owner, &want, diff);
}

/* Its entry or its containers have changed. */
static void service_changed(struct netplan *p, struct netplan_service *s, struct netplan_diff *diff)
{
    netplan_class_relink(p, s);
    netplan_remake(p, s, diff);
    if (s->entry == NULL && s->locals == NULL) {
        struct netplan_service **at = service_place(p, s->stack, s->service);

        assert(s->n_members == 0 && s->owner.refs.n == 0 && s->owner.n_claims == 0);
        *at = s->next;
        netplan_store_forget(&s->owner);
        free(s->members);
        free(s);
    }
}

void netplan_service(struct netplan *p, const char *stack, const char *service,
                     const struct svc_entry *entry, struct netplan_diff *ret)
{
    struct netplan_service *s = service_get(p, stack, service);

    s->entry = entry;
    service_changed(p, s, ret);
}

/* ---- containers of this node ---- */

static void *copy(const void *from, unsigned n, size_t size)
{
    void *to = xcalloc(n + 1, size);

    return n > 0 ? memcpy(to, from, n * size) : to;
}

static void free_lists(struct netplan_local *l)
{
    free((void *)(uintptr_t)l->out);
    free((void *)(uintptr_t)l->ports);
}

/* Names are the service's and the class's. */
static void take(struct netplan_here *h, const struct netplan_local *l)
{
    free_lists(&h->is);
    h->is = *l;
    h->is.stack = h->service->stack;
    h->is.service = h->service->service;
    h->is.networks = NULL;
    h->is.n_networks = 0;
    h->is.out = copy(l->out, l->n_out, sizeof(*l->out));
    h->is.ports = copy(l->ports, l->n_ports, sizeof(*l->ports));
}

static void service_add(struct netplan_service *s, struct netplan_here *h)
{
    struct netplan_here **at = &s->locals;

    while (*at != NULL && (*at)->is.incarnation < h->is.incarnation) {
        at = &(*at)->sibling;
    }
    h->sibling = *at;
    *at = h;
    h->service = s;
}

static void service_drop(struct netplan_here *h)
{
    struct netplan_here **at = &h->service->locals;

    while (*at != h) {
        at = &(*at)->sibling;
    }
    *at = h->sibling;
}

/* A placement never changes its service. */
static struct netplan_here *local_get(struct netplan *p, const struct netplan_local *l)
{
    struct netplan_here **at = local_place(p, l->incarnation);
    struct netplan_here *h = *at;

    if (h == NULL) {
        h = *at = xcalloc(1, sizeof(*h));
        h->is.incarnation = l->incarnation;
        h->owner =
            (struct netplan_owner){.stack = "", .service = "", .incarnation = l->incarnation};
        service_add(service_get(p, l->stack, l->service), h);
    }
    assert(strcmp(h->service->stack, l->stack) == 0);
    assert(strcmp(h->service->service, l->service) == 0);
    return h;
}

void netplan_local(struct netplan *p, const struct netplan_local *local, struct netplan_diff *ret)
{
    struct netplan_here *h = local_get(p, local);
    struct netplan_class *old = h->class;
    struct netplan_want want = {0};
    bool fresh;

    h->class = netplan_class_ref(p, local, &fresh);
    take(h, local);
    netplan_want_local(h, &want);
    netplan_store_apply(&p->store, &h->owner, &want, ret);
    service_changed(p, h->service, ret);
    if (fresh) {
        netplan_class_remake_around(p, h->class, ret);
    }
    netplan_class_unref(p, old, ret);
}

void netplan_local_gone(struct netplan *p, uint64_t incarnation, struct netplan_diff *ret)
{
    struct netplan_here **at = local_place(p, incarnation);
    struct netplan_here *h = *at;
    struct netplan_want nothing = {0};

    if (h == NULL) {
        return;
    }
    *at = h->next;
    service_drop(h);
    netplan_store_apply(&p->store, &h->owner, &nothing, ret);
    service_changed(p, h->service, ret);
    netplan_class_unref(p, h->class, ret);
    netplan_store_forget(&h->owner);
    free_lists(&h->is);
    free(h);
}

/* ---- nodes that do not answer ---- */

static bool holds(uint32_t net, unsigned prefix, uint32_t address)
{
    return prefix == 0 || (net ^ address) >> (32 - prefix) == 0;
}

/* The first block that begins above the address. */
static unsigned silent_after(const struct netplan *p, uint32_t address)
{
    unsigned low = 0, high = p->n_silent;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (p->silent[mid].net <= address) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* Blocks of nodes do not overlap. */
bool netplan_answers(const struct netplan *p, uint32_t address)
{
    unsigned i = silent_after(p, address);

    return i == 0 || !holds(p->silent[i - 1].net, p->silent[i - 1].prefix, address);
}

static bool silent_is(const struct netplan *p, unsigned i, uint32_t block, unsigned prefix)
{
    return i > 0 && p->silent[i - 1].net == block && p->silent[i - 1].prefix == prefix;
}

static void silent_add(struct netplan *p, unsigned i, uint32_t block, unsigned prefix)
{
    if (p->n_silent == p->cap_silent) {
        p->cap_silent = p->cap_silent > 0 ? 2 * p->cap_silent : 8;
        p->silent = xrealloc(p->silent, p->cap_silent, sizeof(*p->silent));
    }
    memmove(&p->silent[i + 1], &p->silent[i], (p->n_silent - i) * sizeof(*p->silent));
    p->silent[i] = (struct netplan_block){.net = block, .prefix = prefix};
    p->n_silent++;
}

static void silent_drop(struct netplan *p, unsigned i)
{
    p->n_silent--;
    memmove(&p->silent[i], &p->silent[i + 1], (p->n_silent - i) * sizeof(*p->silent));
}

static bool lives_in(const struct netplan_service *s, uint32_t block, unsigned prefix)
{
    for (unsigned i = 0; s->entry != NULL && i < s->entry->n_endpoints; i++) {
        if (holds(block, prefix, s->entry->endpoints[i].address)) {
            return true;
        }
    }
    return false;
}

void netplan_reach(struct netplan *p, uint32_t block, unsigned prefix, bool answers,
                   struct netplan_diff *ret)
{
    unsigned i = silent_after(p, block);
    bool silent = silent_is(p, i, block, prefix);

    if (silent == !answers) {
        return;
    }
    if (answers) {
        silent_drop(p, i - 1);
    } else {
        silent_add(p, i, block, prefix);
    }
    for (unsigned b = 0; b < NETPLAN_BUCKETS; b++) {
        for (struct netplan_service *s = p->services[b]; s != NULL; s = s->next) {
            if (lives_in(s, block, prefix)) {
                netplan_remake(p, s, ret);
            }
        }
    }
}

/* ---- the whole ---- */

void netplan_all(const struct netplan *p, struct netelems *ret)
{
    netplan_store_all(&p->store, ret);
}

unsigned netplan_backends_max(const struct netplan *p)
{
    return netplan_store_backends_max(&p->store);
}

struct netplan *netplan_create(const struct netplan_config *config)
{
    struct netplan *p = xcalloc(1, sizeof(*p));

    p->config = *config;
    return p;
}

/* ---- the end ---- */

static void free_services(struct netplan *p, unsigned b)
{
    while (p->services[b] != NULL) {
        struct netplan_service *s = p->services[b];

        p->services[b] = s->next;
        netplan_store_forget(&s->owner);
        free(s->members);
        free(s);
    }
}

static void free_locals(struct netplan *p, unsigned b)
{
    while (p->locals[b] != NULL) {
        struct netplan_here *h = p->locals[b];

        p->locals[b] = h->next;
        netplan_store_forget(&h->owner);
        free_lists(&h->is);
        free(h);
    }
}

void netplan_destroy(struct netplan *p)
{
    if (p == NULL) {
        return;
    }
    for (unsigned b = 0; b < NETPLAN_BUCKETS; b++) {
        free_services(p, b);
        free_locals(p, b);
    }
    netplan_class_finish(p);
    netplan_store_finish(&p->store);
    free(p->silent);
    free(p);
}
