// SPDX-License-Identifier: Apache-2.0
#include "agent/net/netroutes.h"

#include <stdlib.h>

struct our_routes {
    struct rtnl_route *list;
    unsigned n;
    unsigned cap;
};

static void on_our_route(void *arg, const struct rtnl_route *route)
{
    struct our_routes *r = arg;

    if (r->n == r->cap) {
        r->cap = r->cap > 0 ? r->cap * 2 : 64;
        r->list = xrealloc(r->list, r->cap, sizeof(*r->list));
    }
    r->list[r->n++] = *route;
}

static int by_dst(const void *a, const void *b)
{
    const struct rtnl_route *l = a;
    const struct rtnl_route *r = b;

    if (l->dst != r->dst) {
        return l->dst < r->dst ? -1 : 1;
    }
    return l->prefix < r->prefix ? -1 : l->prefix > r->prefix;
}

static bool is_same(const struct rtnl_route *a, const struct rtnl_route *b)
{
    return a->via == b->via && a->index == b->index && a->onlink == b->onlink &&
           a->silent == b->silent && a->src == b->src && a->mtu == b->mtu;
}

int netroutes_make(int fd, const struct ip6 *six, uint32_t metric, struct rtnl_route *want,
                   unsigned n, struct err *e)
{
    struct our_routes have = {0};
    struct err why;
    int rc = rtnl_routes6(fd, six, metric, on_our_route, &have, e);

    if (n > 0) {
        qsort(want, n, sizeof(*want), by_dst);
    }
    if (have.n > 0) {
        qsort(have.list, have.n, sizeof(*have.list), by_dst);
    }
    for (unsigned i = 0; i < have.n; i++) {
        if (n == 0 || bsearch(&have.list[i], want, n, sizeof(*want), by_dst) == NULL) {
            int one = rtnl_route_del(fd, &have.list[i], &why);

            rc = one < 0 && rc == 0 ? err_say(e, one, "%s", why.text) : rc;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        const struct rtnl_route *is =
            have.n > 0 ? bsearch(&want[i], have.list, have.n, sizeof(*want), by_dst) : NULL;

        if (is == NULL || !is_same(is, &want[i])) {
            int one = rtnl_route_set(fd, &want[i], &why);

            rc = one < 0 && rc == 0 ? err_say(e, one, "%s", why.text) : rc;
        }
    }
    free(have.list);
    return rc;
}
