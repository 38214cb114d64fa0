// SPDX-License-Identifier: Apache-2.0
#include "agent/net/attached.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/net/netconfig.h"

/* `seen` and the rest belong to one assertion. */
struct entry {
    char name[IFNAMSIZ];
    struct net_id id;
    struct rtnl_peer peer;
    bool told;
    uint64_t missing_ms; /* since when; 0: it is there */
    unsigned index;      /* 0: there is no such link */
    bool up;
    unsigned routes;     /* bit 0: to its address, bit 1: to the extra one, 2: IPv6 */
    unsigned neighbours; /* likewise */
    struct tc_limit limit;
    unsigned mirror; /* index; 0: it is not there, or down */
    unsigned queues; /* QUEUE_* that are there */
};

#define QUEUE_IN     1u /* shapes what goes in */
#define QUEUE_OUT    2u /* on the mirror: what comes out */
#define QUEUE_CAUGHT 4u /* leads that there */

#define IPV6_BIT 4u

struct attached {
    char links[IFNAMSIZ];
    struct entry *list; /* by name */
    unsigned n;
    unsigned cap;
};

struct attached *attached_create(const char *links)
{
    struct attached *a = xcalloc(1, sizeof(*a));

    (void)snprintf(a->links, sizeof(a->links), "%s", links);
    return a;
}

void attached_destroy(struct attached *a)
{
    if (a != NULL) {
        free(a->list);
        free(a);
    }
}

/* Where it is, or should be. */
static unsigned place_of(const struct attached *a, const char *name)
{
    unsigned low = 0;
    unsigned high = a->n;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (strcmp(a->list[mid].name, name) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static struct entry *find(const struct attached *a, const char *name)
{
    unsigned at = place_of(a, name);

    return at < a->n && strcmp(a->list[at].name, name) == 0 ? &a->list[at] : NULL;
}

void attached_add(struct attached *a, struct net_id id, const char *name,
                  const struct rtnl_peer *peer)
{
    unsigned at = place_of(a, name);

    if (find(a, name) == NULL) {
        if (a->n == a->cap) {
            a->cap = a->cap > 0 ? a->cap * 2 : 64;
            a->list = xrealloc(a->list, a->cap, sizeof(*a->list));
        }
        memmove(&a->list[at + 1], &a->list[at], (a->n - at) * sizeof(*a->list));
        a->n++;
    }
    a->list[at] = (struct entry){.id = id, .peer = *peer};
    (void)snprintf(a->list[at].name, sizeof(a->list[at].name), "%s", name);
}

void attached_limit(struct attached *a, const char *name, const struct tc_limit *limit)
{
    struct entry *x = find(a, name);

    if (x != NULL) {
        x->limit = *limit;
    }
}

void attached_remove(struct attached *a, const char *name)
{
    struct entry *x = find(a, name);

    if (x != NULL) {
        a->n--;
        memmove(x, x + 1, (size_t)(&a->list[a->n] - x) * sizeof(*x));
    }
}

/* ---- changes ---- */

static unsigned wanted_queues(const struct entry *x)
{
    return (x->limit.bits_in > 0 ? QUEUE_IN : 0) |
           (x->limit.bits_out > 0 ? QUEUE_OUT | QUEUE_CAUGHT : 0);
}

static bool has_address(const struct attached *a, uint32_t address)
{
    for (unsigned i = 0; i < a->n; i++) {
        if (a->list[i].peer.address == address || a->list[i].peer.extra == address) {
            return true;
        }
    }
    return false;
}

/* Of a link, or of its mirror. */
static bool has_link(const struct attached *a, const char *name)
{
    char link[NETCONFIG_LINK_NAME];

    if (find(a, name) != NULL) {
        return true;
    }
    netconfig_link_of_mirror(name, link);
    return find(a, link) != NULL;
}

/* By the links as last looked at. */
static bool has_limit(const struct attached *a, unsigned index)
{
    for (unsigned i = 0; i < a->n; i++) {
        const struct entry *x = &a->list[i];

        if (wanted_queues(x) != 0 && (x->index == index || x->mirror == index || x->index == 0)) {
            return true;
        }
    }
    return false;
}

/* A link that goes down loses its routes and neighbours without a word about them. */
bool attached_matters(const struct attached *a, const struct rtnlevent *event)
{
    switch (event->kind) {
    case RTNLEVENT_LINK:
        return (event->removed || event->down) && has_link(a, event->name);
    case RTNLEVENT_ROUTE:
        return event->prefix == 32 && has_address(a, event->address);
    case RTNLEVENT_NEIGHBOUR:
        return has_address(a, event->address);
    case RTNLEVENT_QUEUE:
        return has_limit(a, event->index);
    case RTNLEVENT_ADDRESS:
        return false;
    }
    return false;
}

/* ---- what is there ---- */

/* All addresses with their entries: for what knows no name. */
struct by_address {
    struct of_address {
        uint32_t address;
        unsigned bit;
        struct entry *entry;
    } * list;
    unsigned n;
};

static int compare(const void *l, const void *r)
{
    const struct of_address *a = l;
    const struct of_address *b = r;

    return (a->address > b->address) - (a->address < b->address);
}

static struct by_address sort(struct attached *a)
{
    struct by_address by = {.list = xcalloc(2 * a->n + 1, sizeof(*by.list))};

    for (unsigned i = 0; i < a->n; i++) {
        struct entry *x = &a->list[i];

        by.list[by.n++] = (struct of_address){x->peer.address, 1, x};
        if (x->peer.extra != 0) {
            by.list[by.n++] = (struct of_address){x->peer.extra, 2, x};
        }
    }
    qsort(by.list, by.n, sizeof(*by.list), compare);
    return by;
}

static const struct of_address *lookup(const struct by_address *by, uint32_t address)
{
    struct of_address key = {.address = address};

    return by->n > 0 ? bsearch(&key, by->list, by->n, sizeof(*by->list), compare) : NULL;
}

static unsigned all_bits(const struct entry *x)
{
    return 1 | (x->peer.extra != 0 ? 2u : 0) | (x->peer.ipv6 ? IPV6_BIT : 0);
}

static void on_link(void *arg, const struct rtnl_link *link)
{
    struct entry *x = find(arg, link->name);

    if (x != NULL) {
        x->index = link->index;
        x->up = link->up;
    }
}

static void on_mirror(void *arg, const struct rtnl_link *mirror)
{
    char link[NETCONFIG_LINK_NAME];
    struct entry *x;

    netconfig_link_of_mirror(mirror->name, link);
    x = find(arg, link);
    if (x != NULL) {
        x->mirror = mirror->up ? mirror->index : 0;
    }
}

static void on_route(void *arg, const struct rtnl_route *route)
{
    const struct of_address *x =
        route->prefix == 32 && route->metric == 0 ? lookup(arg, route->dst) : NULL;

    if (x != NULL && route->index == x->entry->index && route->via == 0) {
        x->entry->routes |= x->bit;
    }
}

static void on_neighbour(void *arg, const struct rtnl_neighbour *neighbour)
{
    const struct of_address *x = lookup(arg, neighbour->address);

    if (x != NULL && neighbour->index == x->entry->index &&
        rtnl_veth_is_peer(&x->entry->peer, neighbour)) {
        x->entry->neighbours |= x->bit;
    }
}

/* The address of IPv6 follows from that in the block. */
static void on_route6(void *arg, const struct rtnl_route *route)
{
    const struct of_address *x = route->prefix == 32 ? lookup(arg, route->dst) : NULL;

    if (x != NULL && x->bit == 1 && route->index == x->entry->index && route->via == 0) {
        x->entry->routes |= IPV6_BIT;
    }
}

static void on_neighbour6(void *arg, const struct rtnl_neighbour *neighbour)
{
    const struct of_address *x = lookup(arg, neighbour->address);

    if (x != NULL && x->bit == 1 && neighbour->index == x->entry->index &&
        rtnl_veth_is_peer(&x->entry->peer, neighbour)) {
        x->entry->neighbours |= IPV6_BIT;
    }
}

static int look6(const struct attached *a, int fd, struct by_address *by, struct err *e)
{
    const struct ip6 *six = NULL;
    int rc;

    for (unsigned i = 0; i < a->n && six == NULL; i++) {
        six = a->list[i].peer.ipv6 ? &a->list[i].peer.six : NULL;
    }
    if (six == NULL) {
        return 0;
    }
    rc = rtnl_routes6(fd, six, /* metric= */ 0, on_route6, by, e);
    return rc < 0 ? rc : rtnl_neighbours(fd, AF_INET6, on_neighbour6, by, e);
}

/* All links and mirrors with their entries, by index. */
struct by_index {
    struct of_index {
        unsigned index;
        struct entry *entry;
    } * list;
    unsigned n;
};

static int compare_index(const void *l, const void *r)
{
    const struct of_index *a = l;
    const struct of_index *b = r;

    return (a->index > b->index) - (a->index < b->index);
}

static void on_queue(void *arg, unsigned index, bool ingress)
{
    const struct by_index *by = arg;
    const struct of_index key = {.index = index};
    const struct of_index *x =
        by->n > 0 ? bsearch(&key, by->list, by->n, sizeof(*by->list), compare_index) : NULL;

    if (x != NULL) {
        x->entry->queues |= index == x->entry->mirror ? QUEUE_OUT
                            : ingress                 ? QUEUE_CAUGHT
                                                      : QUEUE_IN;
    }
}

static int look_limits(struct attached *a, int fd, struct err *e)
{
    char mirrors[NETCONFIG_LINK_NAME];
    struct by_index by = {0};
    int rc;

    netconfig_mirror_of_link(a->links, mirrors);
    rc = rtnl_links(fd, "ifb", mirrors, on_mirror, a, e);
    if (rc < 0) {
        return rc;
    }
    by.list = xcalloc(2 * a->n + 1, sizeof(*by.list));
    for (unsigned i = 0; i < a->n; i++) {
        struct entry *x = &a->list[i];

        if (wanted_queues(x) != 0) {
            by.list[by.n++] = (struct of_index){x->index, x};
            by.list[by.n++] = (struct of_index){x->mirror, x};
        }
    }
    qsort(by.list, by.n, sizeof(*by.list), compare_index);
    rc = tc_queues(fd, on_queue, &by, e);
    free(by.list);
    return rc;
}

static int look(struct attached *a, int fd, struct err *e)
{
    struct by_address by;
    bool limited = false;
    int rc;

    for (unsigned i = 0; i < a->n; i++) {
        a->list[i].index = 0;
        a->list[i].routes = 0;
        a->list[i].neighbours = 0;
        a->list[i].mirror = a->list[i].queues = 0;
        limited |= wanted_queues(&a->list[i]) != 0;
    }
    rc = rtnl_links(fd, "veth", a->links, on_link, a, e);
    if (rc == 0 && limited) {
        rc = look_limits(a, fd, e);
    }
    if (rc < 0) {
        return rc;
    }
    by = sort(a);
    rc = rtnl_routes(fd, /* metric= */ 0, on_route, &by, e);
    if (rc == 0) {
        rc = rtnl_neighbours(fd, AF_INET, on_neighbour, &by, e);
    }
    if (rc == 0) {
        rc = look6(a, fd, &by, e);
    }
    free(by.list);
    return rc;
}

/* ---- for the owner ---- */

static bool is_whole(const struct entry *x)
{
    return x->up && (~x->routes & all_bits(x)) == 0 && (~x->neighbours & all_bits(x)) == 0 &&
           (x->mirror != 0 || x->limit.bits_out == 0) && (~x->queues & wanted_queues(x)) == 0;
}

static int hold(const struct entry *x, int fd, struct err *e)
{
    char mirror[NETCONFIG_LINK_NAME];
    struct tc_limit limit = x->limit;
    int rc = rtnl_veth_hold(fd, x->name, x->index, &x->peer, e);

    netconfig_mirror_of_link(x->name, mirror);
    limit.link = x->name;
    limit.mirror = mirror;
    return rc < 0 ? rc : tc_limit(fd, &limit, e);
}

int attached_assert(struct attached *a, int fd, unsigned *ret_restored, bool *ret_missing,
                    struct err *e)
{
    int rc = a->n > 0 ? look(a, fd, e) : 0;
    bool looked = rc == 0;
    struct err why;

    *ret_restored = 0;
    *ret_missing = false;
    for (unsigned i = 0; i < a->n && looked; i++) {
        const struct entry *x = &a->list[i];
        int one;

        *ret_missing |= x->index == 0 && !x->told;
        if (x->index == 0 || is_whole(x)) {
            continue;
        }
        one = hold(x, fd, &why);
        *ret_restored += one == 0;
        if (one < 0 && rc == 0) {
            rc = err_say(e, one, "%s: %s", x->name, why.text);
        }
    }
    return rc;
}

void attached_tell_lost(struct attached *a, uint64_t now_ms, unsigned apart_ms,
                        attached_lost_cb lost, void *arg)
{
    for (unsigned i = 0; i < a->n; i++) {
        struct entry *x = &a->list[i];

        if (x->index != 0 || x->told) {
            x->missing_ms = 0;
        } else if (x->missing_ms == 0) {
            x->missing_ms = now_ms;
        } else if (now_ms >= x->missing_ms + apart_ms) {
            x->told = true;
            lost(arg, x->id);
        }
    }
}
