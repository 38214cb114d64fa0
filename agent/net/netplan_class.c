// SPDX-License-Identifier: Apache-2.0
/* Networks, who is on them, and the classes of containers that are on the same ones. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/net/netplan_priv.h"
#include "common/err.h"
#include "common/name.h"

unsigned netplan_bucket(const void *data, size_t len)
{
    return (unsigned)(id128_hash(data, len).lo % NETPLAN_BUCKETS);
}

/* ---- networks ---- */

static struct netplan_network **network_place(struct netplan *p, const char *name)
{
    struct netplan_network **at = &p->networks[netplan_bucket(name, strlen(name))];

    while (*at != NULL && strcmp((*at)->name, name) != 0) {
        at = &(*at)->next;
    }
    return at;
}

static struct netplan_network *network_ref(struct netplan *p, const char *name)
{
    struct netplan_network **at = network_place(p, name);

    if (*at == NULL) {
        *at = xcalloc(1, sizeof(**at));
        assert(strlen(name) < SVC_NETWORK_MAX);
        memcpy((*at)->name, name, strlen(name) + 1);
    }
    (*at)->refs++;
    return *at;
}

static void network_unref(struct netplan *p, struct netplan_network *n)
{
    struct netplan_network **at;

    if (--n->refs > 0) {
        return;
    }
    at = network_place(p, n->name);
    *at = n->next;
    free(n->classes);
    free(n);
}

/* ---- a service's networks ---- */

static void member_unlink(struct netplan_member *m)
{
    *(m->prev != NULL ? &m->prev->next : &m->network->services) = m->next;
    if (m->next != NULL) {
        m->next->prev = m->prev;
    }
}

static void member_link(struct netplan_member *m)
{
    m->prev = NULL;
    m->next = m->network->services;
    if (m->next != NULL) {
        m->next->prev = m;
    }
    m->network->services = m;
}

static void add_member(struct netplan *p, struct netplan_service *s, const char *network)
{
    for (unsigned i = 0; i < s->n_members; i++) {
        if (strcmp(s->members[i].network->name, network) == 0) {
            return;
        }
    }
    s->members[s->n_members++] =
        (struct netplan_member){.network = network_ref(p, network), .service = s};
}

static unsigned count_networks(const struct netplan_service *s)
{
    unsigned n = s->entry != NULL ? s->entry->n_networks : 0;

    for (const struct netplan_here *h = s->locals; h != NULL; h = h->sibling) {
        n += h->class != NULL ? h->class->n_networks : 0;
    }
    return n;
}

/* Those of its entry and of its containers of this node. */
void netplan_class_relink(struct netplan *p, struct netplan_service *s)
{
    struct netplan_member *old = s->members;
    unsigned n_old = s->n_members;

    s->members = xcalloc(count_networks(s) + 1, sizeof(*s->members));
    s->n_members = 0;
    for (unsigned i = 0; s->entry != NULL && i < s->entry->n_networks; i++) {
        add_member(p, s, s->entry->networks[i].name);
    }
    for (const struct netplan_here *h = s->locals; h != NULL; h = h->sibling) {
        for (unsigned i = 0; h->class != NULL && i < h->class->n_networks; i++) {
            add_member(p, s, h->class->networks[i]->name);
        }
    }
    for (unsigned i = 0; i < n_old; i++) {
        member_unlink(&old[i]);
        network_unref(p, old[i].network);
    }
    for (unsigned i = 0; i < s->n_members; i++) {
        member_link(&s->members[i]);
    }
    free(old);
}

/* ---- classes ---- */

static bool is_class_of(const struct netplan_class *c, const struct netplan_local *l)
{
    if (c->n_networks != l->n_networks) {
        return false;
    }
    for (unsigned i = 0; i < c->n_networks; i++) {
        if (strcmp(c->networks[i]->name, l->networks[i]) != 0) {
            return false;
        }
    }
    return true;
}

static void network_add_class(struct netplan_network *n, struct netplan_class *c)
{
    if (n->n_classes == n->cap_classes) {
        n->cap_classes = n->cap_classes > 0 ? 2 * n->cap_classes : 4;
        n->classes = xrealloc(n->classes, n->cap_classes, sizeof(struct netplan_class *));
    }
    n->classes[n->n_classes++] = c;
}

static void network_drop_class(struct netplan_network *n, const struct netplan_class *c)
{
    unsigned i = 0;

    while (n->classes[i] != c) {
        i++;
        assert(i < n->n_classes);
    }
    n->classes[i] = n->classes[--n->n_classes];
}

/* The lowest number that is free. */
static struct netplan_class **class_place(struct netplan *p)
{
    for (unsigned i = 0; i < p->n_classes; i++) {
        if (p->classes[i] == NULL) {
            return &p->classes[i];
        }
    }
    p->classes = xrealloc(p->classes, p->n_classes + 1, sizeof(struct netplan_class *));
    p->classes[p->n_classes] = NULL;
    return &p->classes[p->n_classes++];
}

struct netplan_class *netplan_class_ref(struct netplan *p, const struct netplan_local *l,
                                        bool *ret_new)
{
    struct netplan_class **at;
    struct netplan_class *c;

    *ret_new = false;
    for (unsigned i = 0; i < p->n_classes; i++) {
        if (p->classes[i] != NULL && is_class_of(p->classes[i], l)) {
            p->classes[i]->refs++;
            return p->classes[i];
        }
    }
    if (l->n_networks == 0) {
        return NULL;
    }
    at = class_place(p);
    c = *at = xcalloc(1, sizeof(*c));
    c->refs = 1;
    c->number = (uint32_t)(at - p->classes) + 1;
    c->n_networks = l->n_networks;
    c->networks = xcalloc(l->n_networks, sizeof(struct netplan_network *));
    for (unsigned i = 0; i < l->n_networks; i++) {
        c->networks[i] = network_ref(p, l->networks[i]);
        network_add_class(c->networks[i], c);
    }
    *ret_new = true;
    return c;
}

/* Each once: the plan's own stamp moves on with every one. */
void netplan_class_remake_around(struct netplan *p, const struct netplan_class *c,
                                 struct netplan_diff *diff)
{
    uint64_t mark = ++p->stamp;

    for (unsigned i = 0; i < c->n_networks; i++) {
        for (struct netplan_member *m = c->networks[i]->services; m != NULL; m = m->next) {
            if (m->service->stamp != mark) {
                m->service->stamp = mark;
                netplan_remake(p, m->service, diff);
            }
        }
    }
}

/* Nothing of it is left when its number becomes free. */
void netplan_class_unref(struct netplan *p, struct netplan_class *c, struct netplan_diff *diff)
{
    if (c == NULL || --c->refs > 0) {
        return;
    }
    for (unsigned i = 0; i < c->n_networks; i++) {
        network_drop_class(c->networks[i], c);
    }
    netplan_class_remake_around(p, c, diff);
    for (unsigned i = 0; i < c->n_networks; i++) {
        network_unref(p, c->networks[i]);
    }
    p->classes[c->number - 1] = NULL;
    free(c->networks);
    free(c);
}

bool netplan_class_has(const struct netplan_class *c, const char *network)
{
    for (unsigned i = 0; c != NULL && i < c->n_networks; i++) {
        if (strcmp(c->networks[i]->name, network) == 0) {
            return true;
        }
    }
    return false;
}

uint32_t netplan_class_mask(const struct netplan_class *c, const struct svc_entry *entry)
{
    uint32_t mask = 0;

    for (unsigned i = 0; entry != NULL && i < entry->n_networks; i++) {
        mask |= (uint32_t)netplan_class_has(c, entry->networks[i].name) << i;
    }
    return mask;
}

/* ---- the end ---- */

static void free_networks(struct netplan *p, unsigned b)
{
    while (p->networks[b] != NULL) {
        struct netplan_network *n = p->networks[b];

        p->networks[b] = n->next;
        free(n->classes);
        free(n);
    }
}

void netplan_class_finish(struct netplan *p)
{
    for (unsigned b = 0; b < NETPLAN_BUCKETS; b++) {
        free_networks(p, b);
    }
    for (unsigned i = 0; i < p->n_classes; i++) {
        if (p->classes[i] != NULL) {
            free(p->classes[i]->networks);
            free(p->classes[i]);
        }
    }
    free(p->classes);
}
