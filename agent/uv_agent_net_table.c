// SPDX-License-Identifier: Apache-2.0
/* The service table, as the controller tells it: changes count at once; of a whole that is told in
 * several frames what it does not name goes at its end. A patch of what is not held has the next
 * session begin with a whole. */
#include <stdlib.h>
#include <string.h>

#include "agent/uv_agent_net_priv.h"
#include "common/cleanup.h"
#include "common/codec_link.h"
#include "common/log.h"

struct change {
    struct uv_agent_net *net;
    struct netplan_diff diff;
    bool any;
};

static void put(struct change *c, const struct svc_entry *entry)
{
    struct uv_agent_net *n = c->net;

    if (!svctable_put(n->table, entry)) {
        return;
    }
    c->any = true;
    if (n->up != NULL) {
        uv_agent_net_up_service(n->up, entry->stack, entry->service,
                                svctable_find(n->table, entry->stack, entry->service), &c->diff);
    }
}

static void take(struct change *c, const char *stack, const char *service)
{
    struct uv_agent_net *n = c->net;

    if (svctable_find(n->table, stack, service) == NULL) {
        return;
    }
    c->any = true;
    if (n->up != NULL) {
        uv_agent_net_up_service(n->up, stack, service, NULL, &c->diff);
    }
    (void)svctable_remove(n->table, stack, service);
}

/* ---- a whole ---- */

static void told_drop(struct net_told *told)
{
    free(told->names);
    *told = (struct net_told){0};
}

static void told_add(struct net_told *told, const char *stack, const char *service)
{
    if (!told->open) {
        return;
    }
    if (told->n == told->cap) {
        told->cap = told->cap > 0 ? 2 * told->cap : 64;
        told->names = xrealloc(told->names, told->cap, sizeof(*told->names));
    }
    memcpy(told->names[told->n][0], stack, NAME_MAX_LEN + 1);
    memcpy(told->names[told->n++][1], service, NAME_MAX_LEN + 1);
}

static int by_names(const void *a, const void *b)
{
    const char(*x)[NAME_MAX_LEN + 1] = a, (*y)[NAME_MAX_LEN + 1] = b;
    int rc = strcmp(x[0], y[0]);

    return rc != 0 ? rc : strcmp(x[1], y[1]);
}

static bool is_told(const struct net_told *told, const struct svc_entry *entry)
{
    char key[2][NAME_MAX_LEN + 1];

    memcpy(key[0], entry->stack, sizeof(entry->stack));
    memcpy(key[1], entry->service, sizeof(entry->service));
    return told->n > 0 &&
           bsearch(key, told->names, told->n, sizeof(*told->names), by_names) != NULL;
}

/* Goes down the table, because removing shortens it. */
static void take_untold(struct change *c)
{
    struct uv_agent_net *n = c->net;

    if (n->told.n > 0) {
        qsort(n->told.names, n->told.n, sizeof(*n->told.names), by_names);
    }
    for (unsigned i = svctable_count(n->table); i-- > 0;) {
        const struct svc_entry *entry = svctable_at(n->table, i);

        if (!is_told(&n->told, entry)) {
            take(c, entry->stack, entry->service);
        }
    }
    told_drop(&n->told);
}

/* ---- frames ---- */

/* False: it is made for another table than this one. */
static bool patch(struct change *c, const struct svc_patch *p)
{
    const struct svc_entry *held = svctable_find(c->net->table, p->stack, p->service);
    auto_free struct svc_entry *entry = held != NULL ? svcpatch_apply(held, p) : NULL;

    told_add(&c->net->told, p->stack, p->service);
    if (entry != NULL) {
        put(c, entry);
    }
    return entry != NULL;
}

/* While a whole is being told, the old table is still there. */
static bool has_room(const struct uv_agent_net *n, const struct link_services *s)
{
    return svctable_count(n->table) + s->n_changed <= 2 * SVC_ENTRIES_MAX &&
           n->told.n + s->n_changed + s->n_patched <= SVC_ENTRIES_MAX;
}

bool uv_agent_net_services(struct uv_agent *a, const struct link_services *s)
{
    struct uv_agent_net *n = a->net;
    struct change c = {.net = n};
    bool fits = true;

    if (s->whole_begin) {
        told_drop(&n->told);
        n->told.open = true;
    }
    if (!has_room(n, s)) {
        return false;
    }
    for (unsigned i = 0; i < s->n_removed; i++) {
        take(&c, s->removed[i].stack, s->removed[i].service);
    }
    for (unsigned i = 0; i < s->n_changed; i++) {
        told_add(&n->told, s->changed[i].stack, s->changed[i].service);
        put(&c, &s->changed[i]);
    }
    for (unsigned i = 0; i < s->n_patched; i++) {
        fits &= patch(&c, &s->patched[i]);
    }
    if (s->whole_end && n->told.open) {
        take_untold(&c);
        log_info("the controller's table has %u services", svctable_count(n->table));
    }
    if (n->up != NULL) {
        uv_agent_net_up_apply(n->up, &c.diff);
    }
    if (c.any) {
        uv_agent_net_keep_changed(n);
    }
    return fits && (!s->has_sum || id128_equal(s->sum, svctable_sum(n->table)));
}

void uv_agent_net_services_drop(struct uv_agent *a)
{
    if (a->net != NULL) {
        told_drop(&a->net->told);
    }
}

struct id128 uv_agent_net_services_sum(const struct uv_agent *a)
{
    return svctable_sum(a->net->table);
}

/* ---- life ---- */

void uv_agent_net_table_open(struct uv_agent_net *n)
{
    n->table = svctable_create();
    uv_agent_net_keep_read(n);
}

void uv_agent_net_table_finish(struct uv_agent_net *n)
{
    told_drop(&n->told);
    svctable_destroy(n->table);
}
