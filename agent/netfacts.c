// SPDX-License-Identifier: Apache-2.0
#include "agent/netfacts.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/askrow.h"
#include "common/cleanup.h"

#define ADDRESS_TEXT  16
#define ENDPOINTS_MAX 64u /* told of one service */

static void address_to(uint32_t a, char ret[ADDRESS_TEXT])
{
    (void)snprintf(ret, ADDRESS_TEXT, "%u.%u.%u.%u", a >> 24, a >> 16 & 0xff, a >> 8 & 0xff,
                   a & 0xff);
}

static bool in_range(const struct netfacts_world *w, uint32_t address)
{
    uint32_t mask = w->range_prefix == 0 ? 0 : ~(uint32_t)0 << (32 - w->range_prefix);

    return (address & mask) == w->range;
}

static void add_target(struct netfacts_targets *t, uint32_t address)
{
    for (unsigned i = 0; i < t->n; i++) {
        if (t->list[i] == address) {
            return;
        }
    }
    if (address != 0 && t->n < NETFACTS_TARGETS_MAX) {
        t->list[t->n++] = address;
    }
}

static bool is_on(const struct dns_asker *asker, const char *network)
{
    for (unsigned i = 0; i < asker->n_networks; i++) {
        if (strcmp(asker->networks[i], network) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- the name ---- */

static void put_name(const char *state, const uint32_t *list, unsigned n, const char *hint,
                     const char *mend, struct buf *rows)
{
    auto_buf struct buf text = {0};

    for (unsigned i = 0; i < n; i++) {
        char address[ADDRESS_TEXT];

        address_to(list[i], address);
        buf_printf(&text, "%s%s", i > 0 ? " " : "", address);
    }
    askrow_put(rows, "fact", "name");
    askrow_put(rows, "state", state);
    askrow_put(rows, "addresses", buf_text(&text));
    if (hint != NULL) {
        askrow_put(rows, "hint", hint);
        askrow_put(rows, "mend", mend);
    }
    askrow_end(rows);
}

/* A service that has this name, or this name and its stack's, wherever it is. */
static const struct svc_entry *namesake(const struct svctable *table, const char *name)
{
    for (unsigned i = 0; table != NULL && i < svctable_count(table); i++) {
        const struct svc_entry *e = svctable_at(table, i);
        size_t len = strlen(e->service);

        if (strncmp(e->service, name, len) == 0 &&
            (name[len] == '\0' || (name[len] == '.' && strcmp(name + len + 1, e->stack) == 0))) {
            return e;
        }
    }
    return NULL;
}

/* No name for the asker: perhaps one for others. */
static void put_none(const struct netfacts_world *w, const char *to, struct buf *rows)
{
    const struct svc_entry *e = namesake(w->table, to);
    char hint[256];

    if (e == NULL) {
        put_name("none", NULL, 0, NULL, NULL, rows);
        return;
    }
    (void)snprintf(hint, sizeof(hint), "%.64s is a service of stack %.64s, on none of its networks",
                   e->service, e->stack);
    put_name("none", NULL, 0, hint,
             "give both services one network in `networks:` (between stacks: an external one)",
             rows);
}

/* ---- the service behind it ---- */

/* Which of an entry's networks the asker is on, too. */
static uint32_t shared_networks(const struct svc_entry *e, const struct dns_asker *asker)
{
    uint32_t mask = 0;

    for (unsigned i = 0; i < e->n_networks; i++) {
        mask |= is_on(asker, e->networks[i].name) ? (uint32_t)1 << i : 0;
    }
    return mask;
}

static bool leads_to(const struct svc_entry *e, uint32_t address, bool *ret_vip)
{
    for (unsigned i = 0; i < e->n_networks; i++) {
        if (e->networks[i].vip == address) {
            *ret_vip = true;
            return true;
        }
    }
    for (unsigned i = 0; i < e->n_endpoints; i++) {
        if (e->endpoints[i].address == address || e->endpoints[i].extra == address) {
            return true;
        }
    }
    return false;
}

static const struct svc_entry *find_entry(const struct svctable *table, uint32_t address,
                                          bool *ret_vip)
{
    *ret_vip = false;
    for (unsigned i = 0; table != NULL && address != 0 && i < svctable_count(table); i++) {
        const struct svc_entry *e = svctable_at(table, i);

        if (leads_to(e, address, ret_vip)) {
            return e;
        }
    }
    return NULL;
}

static void put_endpoint(const struct netfacts_world *w, const struct svc_entry *e,
                         const struct svc_endpoint *p, uint32_t shared, struct buf *rows)
{
    char address[ADDRESS_TEXT];
    const char *network = "";
    int answers = w->answers(w->arg, p->address);

    for (unsigned i = 0; i < e->n_networks; i++) {
        network = (p->networks & shared & (uint32_t)1 << i) != 0 ? e->networks[i].name : network;
    }
    address_to(p->address, address);
    askrow_put(rows, "fact", "endpoint");
    askrow_putf(rows, "container", "%s/%s.%u", e->stack, e->service, p->slot);
    askrow_putf(rows, "incarnation", "%llu", (unsigned long long)p->incarnation);
    askrow_put(rows, "address", address);
    askrow_put(rows, "ready", p->ready ? "1" : "0");
    askrow_put(rows, "draining", p->draining ? "1" : "0");
    askrow_put(rows, "shared", network);
    if (answers >= 0) {
        askrow_put(rows, "answers", answers > 0 ? "1" : "0");
    }
    askrow_end(rows);
}

/* Those that the address may lead to: all of a service, or one. */
static void put_service(const struct netfacts_world *w, const struct dns_asker *asker,
                        const struct svc_entry *e, uint32_t address, bool is_vip, bool all,
                        struct netfacts_targets *targets, struct buf *rows)
{
    uint32_t shared = shared_networks(e, asker);

    askrow_put(rows, "fact", "service");
    askrow_putf(rows, "name", "%s/%s", e->stack, e->service);
    askrow_end(rows);
    if (is_vip) {
        targets->vip = address;
    }
    for (unsigned i = 0; i < e->n_endpoints && i < ENDPOINTS_MAX; i++) {
        const struct svc_endpoint *p = &e->endpoints[i];

        if (!all && p->address != address && p->extra != address) {
            continue;
        }
        put_endpoint(w, e, p, shared, rows);
        if (p->ready && !p->draining) {
            add_target(targets, p->address);
        }
    }
}

/* ---- all ---- */

static void put_address(const struct netfacts_world *w, const struct dns_asker *asker,
                        uint32_t address, bool all, struct netfacts_targets *ret, struct buf *rows)
{
    bool is_vip;
    const struct svc_entry *e = find_entry(w->table, address, &is_vip);

    add_target(ret, address);
    if (e != NULL) {
        put_service(w, asker, e, address, is_vip, is_vip || all, ret, rows);
    } else {
        ret->world = !in_range(w, address);
    }
}

/* A name with a dot that nobody here has may be a host of the world. */
static bool may_be_of_the_world(const struct netfacts_world *w, const char *to)
{
    size_t len = strlen(to), suffix = strlen(DNS_SUFFIX);

    return strchr(to, '.') != NULL && namesake(w->table, to) == NULL &&
           !(len >= suffix && strcmp(to + len - suffix, DNS_SUFFIX) == 0);
}

void netfacts_gather(const struct netfacts_world *w, const struct dns_asker *asker, const char *to,
                     struct netfacts_targets *ret, struct buf *rows)
{
    uint32_t found[NETFACTS_TARGETS_MAX];
    const struct svc_entry *e;
    struct in_addr in;
    int n;

    *ret = (struct netfacts_targets){0};
    if (inet_pton(AF_INET, to, &in) == 1) {
        put_name("address", (const uint32_t[]){ntohl(in.s_addr)}, 1, NULL, NULL, rows);
        put_address(w, asker, ntohl(in.s_addr), false, ret, rows);
        return;
    }
    if (w->names == NULL) {
        return; /* nobody can tell */
    }
    n = dns_names_find(w->names, asker, to, found, NETFACTS_TARGETS_MAX);
    if (n == -ENOENT && may_be_of_the_world(w, to)) {
        put_name("world", NULL, 0, NULL, NULL, rows);
        ret->world = ret->ask = true;
    } else if (n == -ENOENT) {
        put_none(w, to, rows);
    } else if (n > 0) {
        put_name("known", found, (unsigned)n, NULL, NULL, rows);
        ret->ask = true;
        put_address(w, asker, found[0], n > 1, ret, rows);
    } else {
        put_name("known", NULL, 0, NULL, NULL, rows);
        e = namesake(w->table, to);
        if (e != NULL) {
            put_service(w, asker, e, 0, false, true, ret, rows);
        }
    }
}
