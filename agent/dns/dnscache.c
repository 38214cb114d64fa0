// SPDX-License-Identifier: Apache-2.0
#include "agent/dns/dnscache.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/name.h"

#define BUCKETS 4096u

struct entry {
    struct entry *next;          /* in its bucket */
    struct entry *newer, *older; /* by age of arrival */
    uint64_t hash;
    uint32_t server;
    uint64_t put_ms;
    uint64_t until_ms;
    uint16_t type;
    bool edns; /* asked so: else an OPT record would be out of place */
    uint8_t name_len;
    size_t len;
    uint8_t bytes[];
};

struct dnscache {
    struct entry *buckets[BUCKETS];
    struct entry *newest, *oldest;
    size_t bytes;
    size_t bytes_max;
};

struct dnscache *dnscache_create(size_t bytes_max)
{
    struct dnscache *c = xcalloc(1, sizeof(*c));

    c->bytes_max = bytes_max;
    return c;
}

static void drop(struct dnscache *c, struct entry *e)
{
    struct entry **at = &c->buckets[e->hash % BUCKETS];

    while (*at != e) {
        at = &(*at)->next;
    }
    *at = e->next;
    *(e->newer != NULL ? &e->newer->older : &c->newest) = e->older;
    *(e->older != NULL ? &e->older->newer : &c->oldest) = e->newer;
    c->bytes -= sizeof(*e) + e->len;
    free(e);
}

void dnscache_destroy(struct dnscache *c)
{
    while (c != NULL && c->oldest != NULL) {
        drop(c, c->oldest);
    }
    free(c);
}

static void lower(const uint8_t *from, size_t len, uint8_t *ret)
{
    for (size_t i = 0; i < len; i++) {
        ret[i] = (uint8_t)tolower(from[i]); /* lengths of labels are no letters: below 64 */
    }
}

static uint64_t hash_of(const struct dnsmsg_question *q)
{
    uint8_t name[DNSMSG_NAME_WIRE];

    lower(q->wire, q->wire_len, name);
    return id128_hash(name, q->wire_len).lo ^ q->type;
}

static bool same_name(const struct entry *e, const struct dnsmsg_question *q)
{
    if (e->name_len != q->wire_len) {
        return false;
    }
    for (size_t i = 0; i < q->wire_len; i++) {
        if (tolower(e->bytes[DNSMSG_HEADER + i]) != tolower(q->wire[i])) {
            return false;
        }
    }
    return true;
}

static struct entry *find(const struct dnscache *c, uint32_t server, uint64_t hash,
                          const struct dnsmsg_question *q)
{
    struct entry *e = c->buckets[hash % BUCKETS];

    while (e != NULL && (e->hash != hash || e->server != server || e->type != q->type ||
                         e->edns != q->edns || !same_name(e, q))) {
        e = e->next;
    }
    return e;
}

/* 0: not worth keeping. */
static uint32_t life(void *answer, size_t len)
{
    enum dnsmsg_rcode rcode = dnsmsg_rcode(answer);
    bool empty = dnsmsg_get16((uint8_t *)answer + 6) == 0;
    uint32_t ttl = 0;
    uint32_t most = empty || rcode != DNSMSG_NOERROR ? DNSCACHE_NEGATIVE_MAX : DNSCACHE_TTL_MAX;

    if ((rcode != DNSMSG_NOERROR && rcode != DNSMSG_NXDOMAIN) || dnsmsg_truncated(answer) ||
        !dnsmsg_ttl(answer, len, 0, &ttl)) {
        return 0;
    }
    return ttl < most ? ttl : most;
}

void dnscache_put(struct dnscache *c, uint32_t server, const struct dnsmsg_question *q,
                  const void *answer, size_t len, uint64_t now_ms)
{
    uint64_t hash = hash_of(q);
    struct entry *e = find(c, server, hash, q);
    uint32_t ttl;

    if (e != NULL) {
        drop(c, e);
    }
    if (sizeof(*e) + len > c->bytes_max / 16) {
        return;
    }
    e = xcalloc(1, sizeof(*e) + len);
    memcpy(e->bytes, answer, len);
    ttl = life(e->bytes, len);
    if (ttl == 0) {
        free(e);
        return;
    }
    e->hash = hash;
    e->server = server;
    e->type = q->type;
    e->edns = q->edns;
    e->name_len = q->wire_len;
    e->len = len;
    e->put_ms = now_ms;
    e->until_ms = now_ms + 1000ull * ttl;
    e->next = c->buckets[hash % BUCKETS];
    c->buckets[hash % BUCKETS] = e;
    e->older = c->newest;
    *(c->newest != NULL ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
    c->bytes += sizeof(*e) + len;
    while (c->bytes > c->bytes_max) {
        drop(c, c->oldest);
    }
}

size_t dnscache_get(struct dnscache *c, uint32_t server, const struct dnsmsg_question *q,
                    uint64_t now_ms, void *ret, size_t size)
{
    struct entry *e = find(c, server, hash_of(q), q);
    uint32_t lowest;

    if (e == NULL) {
        return 0;
    }
    if (now_ms >= e->until_ms) {
        drop(c, e);
        return 0;
    }
    if (e->len > size) {
        return 0;
    }
    memcpy(ret, e->bytes, e->len);
    dnsmsg_put16(ret, q->id);
    memcpy((uint8_t *)ret + DNSMSG_HEADER, q->wire, q->wire_len);
    (void)dnsmsg_ttl(ret, e->len, (uint32_t)((now_ms - e->put_ms) / 1000), &lowest);
    return e->len;
}

size_t dnscache_bytes(const struct dnscache *c)
{
    return c->bytes;
}
