// SPDX-License-Identifier: Apache-2.0
/* What a resolver, or somebody in its name, answers. The first byte chooses the question, and
 * whether the rest is led by its header and words, as from who has guessed them; the rest is the
 * answer. Only what repeats the question is taken, what is kept comes out as it went in but for its
 * times, and not for longer than they say. */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/dns/dnscache.h"
#include "common/cleanup.h"
#include "common/err.h"

#define SERVER    0x01010101u
#define CACHE_MAX (1u << 20)
#define NOW_MS    5000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t make_question(unsigned which, uint8_t m[64])
{
    static const char *const names[] = {"", "a", "Example.org", "4.3.2.1.in-addr.arpa"};
    static const uint16_t types[] = {DNSMSG_A, DNSMSG_SOA};
    size_t at = DNSMSG_HEADER;

    memset(m, 0, 64);
    dnsmsg_put16(m, 0x1234);
    dnsmsg_put16(m + 2, DNSMSG_RD);
    dnsmsg_put16(m + 4, 1);
    at += dnsmsg_name_wire(names[which & 3], m + at);
    dnsmsg_put16(m + at, types[which >> 2 & 1]);
    dnsmsg_put16(m + at + 2, 1);
    return at + 4;
}

static void check_kept(struct dnscache *c, const struct dnsmsg_question *q, const uint8_t *answer,
                       size_t len)
{
    auto_free uint8_t *copy = xmalloc(len);
    auto_free uint8_t *got = xmalloc(len);
    uint32_t lowest = 0, left = 0;

    memcpy(copy, answer, len);
    dnscache_put(c, SERVER, q, answer, len, NOW_MS);
    assert(memcmp(copy, answer, len) == 0);
    assert(dnscache_bytes(c) <= CACHE_MAX);
    if (dnscache_get(c, SERVER, q, NOW_MS, got, len) == 0) {
        assert(dnscache_bytes(c) == 0);
        return;
    }
    assert(memcmp(copy, got, len) == 0);
    assert(dnsmsg_ttl(copy, len, 0, &lowest) && lowest > 0);
    assert(dnscache_get(c, SERVER, q, NOW_MS, got, len - 1) == 0);
    if (dnscache_get(c, SERVER, q, NOW_MS + 1000, got, len) == len) {
        assert(dnsmsg_answers(got, len, q));
        assert(dnsmsg_ttl(got, len, 0, &left) && left == lowest - 1);
    } else {
        assert(lowest == 1);
    }
    assert(dnscache_get(c, SERVER, q, NOW_MS + 1000ull * DNSCACHE_TTL_MAX, got, len) == 0);
    assert(dnscache_bytes(c) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t m[64];
    unsigned how = size > 0 ? data[0] : 0;
    size_t question = make_question(how, m);
    size_t len = size > 0 ? size - 1 : 0;
    auto_free uint8_t *answer = xmalloc(len > 0 ? len : 1);
    struct dnsmsg_question q;
    struct dnscache *c;

    assert(dnsmsg_read(m, question, &q) == DNSMSG_NOERROR);
    memcpy(answer, data + (size > 0), len);
    if ((how & 8) != 0 && len >= question) {
        answer[2] |= 0x80;
        memcpy(answer, m, 2);
        memcpy(answer + 4, m + 4, 2);
        memcpy(answer + DNSMSG_HEADER, m + DNSMSG_HEADER, question - DNSMSG_HEADER);
        assert(dnsmsg_answers(answer, len, &q));
    }
    if (dnsmsg_answers(answer, len, &q)) {
        assert(memcmp(answer + DNSMSG_HEADER, q.wire, q.wire_len) == 0);
        c = dnscache_create(CACHE_MAX);
        check_kept(c, &q, answer, len);
        dnscache_destroy(c);
    }
    return 0;
}
