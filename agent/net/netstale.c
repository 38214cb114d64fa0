// SPDX-License-Identifier: Apache-2.0
/* The log holds elements whose `index` is the backend's address, because where it stood does not
 * matter, and whose `n` is a verdict. Its order of search is that of netelem_compare_key(). */
#include "agent/net/netstale.h"

#include <stdlib.h>

enum verdict { VERDICT_NONE, VERDICT_GOOD, VERDICT_STALE };

static bool is_backend(const struct netelem *e)
{
    return e->set == NETELEM_VIP_TO || e->set == NETELEM_ANY_TO || e->set == NETELEM_ONE_TO;
}

/* Datagrams may have come before the port did; what goes to a virtual address that is not there is
 * refused and leaves no flow. */
static bool is_datagram_port(const struct netelem *e)
{
    return (e->set == NETELEM_ANY || e->set == NETELEM_ONE) && e->udp;
}

static void note(struct netelems *l, const struct netelem *e, enum verdict verdict)
{
    struct netelem noted = {.set = e->set,
                            .udp = e->udp,
                            .port = e->port,
                            .address = e->address,
                            .index = e->to,
                            .n = verdict};

    netelems_add(l, &noted);
}

void netstale_gone(struct netstale *s, const uint32_t *addresses, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct netelem e = {.set = NETELEM_CLASS, .address = addresses[i]};

        note(&s->log, &e, VERDICT_STALE);
    }
    s->sorted = s->sorted && n == 0;
}

bool netstale_change(struct netstale *s, const struct netelem *removed, unsigned n_removed,
                     const struct netelem *added, unsigned n_added)
{
    bool any = false;

    for (unsigned i = 0; i < n_removed; i++) {
        if (is_backend(&removed[i])) {
            note(&s->log, &removed[i], VERDICT_STALE);
            any = true;
        }
    }
    for (unsigned i = 0; i < n_added; i++) {
        if (is_backend(&added[i])) {
            note(&s->log, &added[i], VERDICT_GOOD);
            s->sorted = false;
        } else if (is_datagram_port(&added[i])) {
            note(&s->log, &added[i], VERDICT_STALE);
            any = true;
        }
    }
    s->sorted = s->sorted && !any;
    return any;
}

void netstale_whole(struct netstale *s, const struct netelem *list, unsigned n)
{
    s->all.n = 0;
    for (unsigned i = 0; i < n; i++) {
        if (is_backend(&list[i])) {
            note(&s->all, &list[i], VERDICT_GOOD);
        } else if (is_datagram_port(&list[i])) {
            note(&s->all, &list[i], VERDICT_STALE);
        }
    }
    netelems_sort(&s->all);
    s->whole = true;
}

/* Of what was told of one thing the latest counts: sorting keeps the first of equals. */
static void sort_log(struct netstale *s)
{
    for (unsigned i = 0; i < s->log.n / 2; i++) {
        struct netelem swap = s->log.list[i];

        s->log.list[i] = s->log.list[s->log.n - 1 - i];
        s->log.list[s->log.n - 1 - i] = swap;
    }
    netelems_sort(&s->log);
    s->sorted = true;
}

static int by_key(const void *a, const void *b)
{
    return netelem_compare_key(a, b);
}

static enum verdict find(const struct netelems *l, const struct netelem *key)
{
    const struct netelem *found =
        l->n > 0 ? bsearch(key, l->list, l->n, sizeof(*key), by_key) : NULL;

    return found != NULL ? (enum verdict)found->n : VERDICT_NONE;
}

static enum verdict find_gone(const struct netelems *l, uint32_t address)
{
    struct netelem key = {.set = NETELEM_CLASS, .address = address};

    return find(l, &key);
}

/* The ways in which a packet to `dst` may have been led to `to`; 0: led nowhere. */
static enum verdict find_way(const struct netelems *l, const struct uv_flow *f, uint32_t to)
{
    const struct netelem keys[] = {
        {.set = NETELEM_VIP_TO, .address = f->dst, .index = to},
        {.set = to != 0 ? NETELEM_ONE_TO : NETELEM_ONE,
         .address = f->dst,
         .udp = f->udp,
         .port = f->port,
         .index = to},
        {.set = to != 0 ? NETELEM_ANY_TO : NETELEM_ANY,
         .udp = f->udp,
         .port = f->port,
         .index = to},
    };

    for (unsigned i = to != 0 ? 0 : 1; i < sizeof(keys) / sizeof(keys[0]); i++) {
        enum verdict verdict = find(l, &keys[i]);

        if (verdict != VERDICT_NONE) {
            return verdict;
        }
    }
    return VERDICT_NONE;
}

static bool in_range(const struct rules_config *c, uint32_t address)
{
    return c->range_prefix == 0 || (address ^ c->range) >> (32 - c->range_prefix) == 0;
}

/* Others translate, too: theirs do not end at containers. */
static bool is_led_astray(const struct netstale *s, const struct uv_flow *f)
{
    enum verdict verdict = find_way(&s->log, f, f->answers);

    if (verdict == VERDICT_NONE && s->whole && in_range(s->rules, f->answers)) {
        verdict = find_way(&s->all, f, f->answers);
        return verdict != VERDICT_GOOD;
    }
    return verdict == VERDICT_STALE;
}

static bool should_be_led(const struct netstale *s, const struct uv_flow *f)
{
    return !in_range(s->rules, f->src) && !in_range(s->rules, f->dst) &&
           (find_way(&s->log, f, 0) == VERDICT_STALE ||
            (s->whole && find_way(&s->all, f, 0) == VERDICT_STALE));
}

bool netstale_is(struct netstale *s, const struct uv_flow *flow)
{
    if (!s->sorted) {
        sort_log(s);
    }
    if (find_gone(&s->log, flow->answers) == VERDICT_STALE ||
        find_gone(&s->log, flow->src) == VERDICT_STALE) {
        return true;
    }
    if (flow->established) {
        return false;
    }
    return flow->dst != flow->answers ? is_led_astray(s, flow)
                                      : flow->udp && should_be_led(s, flow);
}

void netstale_clear(struct netstale *s)
{
    netelems_finish(&s->log);
    netelems_finish(&s->all);
    s->sorted = true;
    s->whole = false;
}
