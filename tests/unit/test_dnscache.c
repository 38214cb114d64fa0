// SPDX-License-Identifier: Apache-2.0
/* Answers of the world, as long as they may be kept; and where to ask. */
#include "agent/dns/dnscache.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/dns/resolvconf.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "dns_case.h"

#define SIZE   (64u << 10)
#define SERVER 0x01010101u

static struct dnscache *cache;

static void set_up(void)
{
    cache = dnscache_create(SIZE);
}

static void tear_down(void)
{
    dnscache_destroy(cache);
}

static struct dnsmsg_question question(const char *name, uint16_t type, uint16_t edns)
{
    uint8_t m[DNS_CASE_MAX];
    struct dnsmsg_question q;

    ck_assert_int_eq(dnsmsg_read(m, dns_case_ask(m, 77, name, type, edns), &q), 0);
    return q;
}

/* An answer with one address, as it came at `now_ms`. */
static void keep(const char *name, uint32_t ttl, uint64_t now_ms)
{
    struct dnsmsg_question q = question(name, DNSMSG_A, 0);
    uint8_t m[DNS_CASE_MAX], a[DNS_CASE_MAX];

    (void)dns_case_ask(m, 1, name, DNSMSG_A, 0);
    dnscache_put(cache, SERVER, &q, a, dns_case_reply(m, ttl, 0x08080808, a), now_ms);
}

/* The TTL that is left, -1: it is not known. */
static int64_t left(const char *name, uint64_t now_ms)
{
    struct dnsmsg_question q = question(name, DNSMSG_A, 0);
    uint8_t a[DNS_CASE_MAX];
    uint32_t lowest;
    size_t len = dnscache_get(cache, SERVER, &q, now_ms, a, sizeof(a));

    if (len == 0) {
        return -1;
    }
    ck_assert(dnsmsg_answers(a, len, &q));
    ck_assert_str_eq(dns_case_asked(a, len), name);
    ck_assert_str_eq(dns_case_text(a, len), "NOERROR [A 8.8.8.8] [] []");
    ck_assert(dnsmsg_ttl(a, len, 0, &lowest));
    return lowest;
}

START_TEST(an_answer_lives_as_long_as_its_records)
{
    keep("example.org", 60, 1000);
    ck_assert_int_eq(left("example.org", 1000), 60);
    ck_assert_int_eq(left("eXample.ORG", 1999), 60);
    ck_assert_int_eq(left("example.org", 31000), 30);
    ck_assert_int_eq(left("example.org", 60999), 1);
    ck_assert_int_eq(left("example.org", 61000), -1);
    ck_assert_uint_eq(dnscache_bytes(cache), 0);
}
END_TEST

START_TEST(times_have_a_cap)
{
    keep("example.org", 1u << 30, 0);
    ck_assert_int_ne(left("example.org", 1000ull * DNSCACHE_TTL_MAX - 1), -1);
    ck_assert_int_eq(left("example.org", 1000ull * DNSCACHE_TTL_MAX), -1);
    keep("example.org", 0, 0);
    ck_assert_int_eq(left("example.org", 0), -1);
}
END_TEST

START_TEST(a_newer_answer_replaces)
{
    keep("example.org", 60, 0);
    keep("EXAMPLE.org", 90, 1000);
    ck_assert_int_eq(left("example.org", 1000), 90);
    keep("example.org", 0, 2000); /* that is news, too */
    ck_assert_int_eq(left("example.org", 2000), -1);
}
END_TEST

/* Neither other types, nor other resolvers, nor who asked otherwise. */
START_TEST(only_the_same_question_is_answered)
{
    struct dnsmsg_question same = question("example.org", DNSMSG_A, 0);
    struct dnsmsg_question other[] = {
        question("example.org", DNSMSG_AAAA, 0), question("example.org", DNSMSG_A, 1232),
        question("example.or", DNSMSG_A, 0), question("fexample.org", DNSMSG_A, 0)};
    uint8_t a[DNS_CASE_MAX];

    keep("example.org", 60, 0);
    for (unsigned i = 0; i < ARRAY_LEN(other); i++) {
        ck_assert_uint_eq(dnscache_get(cache, SERVER, &other[i], 0, a, sizeof(a)), 0);
    }
    ck_assert_uint_eq(dnscache_get(cache, SERVER + 1, &same, 0, a, sizeof(a)), 0);
    ck_assert_uint_eq(dnscache_get(cache, SERVER, &same, 0, a, 44), 0); /* no room for it */
    ck_assert_uint_eq(dnscache_get(cache, SERVER, &same, 0, a, 45), 45);
}
END_TEST

/* A no is kept for a minute at most, and only with the record that says how long (RFC 2308). */
START_TEST(a_no_is_kept_shortly)
{
    static const enum dnsmsg_rcode rcodes[] = {DNSMSG_NXDOMAIN, DNSMSG_NOERROR};

    for (unsigned i = 0; i < ARRAY_LEN(rcodes); i++) {
        struct dnsmsg_question q = question("no.example.org", (uint16_t)(1 + i), 0);
        struct dnsmsg_writer w;
        uint8_t a[DNS_CASE_MAX], got[DNS_CASE_MAX];
        size_t len;

        dnsmsg_begin(&w, a, sizeof(a), &q);
        dnscache_put(cache, SERVER, &q, a, dnsmsg_end(&w, &q, false, rcodes[i]), 0);
        ck_assert_uint_eq(dnscache_get(cache, SERVER, &q, 0, got, sizeof(got)), 0);
        dnsmsg_begin(&w, a, sizeof(a), &q);
        dnsmsg_put_soa(&w, "example.org", 900);
        len = dnsmsg_end(&w, &q, false, rcodes[i]);
        dnscache_put(cache, SERVER, &q, a, len, 0);
        ck_assert_uint_eq(dnscache_get(cache, SERVER, &q, 59999, got, sizeof(got)), len);
        ck_assert_uint_eq(dnscache_get(cache, SERVER, &q, 60000, got, sizeof(got)), 0);
    }
}
END_TEST

START_TEST(what_is_not_whole_is_not_kept)
{
    struct dnsmsg_question q = question("example.org", DNSMSG_A, 0);
    uint8_t m[DNS_CASE_MAX], a[DNS_CASE_MAX];
    size_t len;

    (void)dns_case_ask(m, 1, "example.org", DNSMSG_A, 0);
    len = dns_case_reply(m, 60, 0x08080808, a);
    for (size_t cut = 12 + 13 + 4; cut < len; cut++) {
        dnscache_put(cache, SERVER, &q, a, cut, 0);
    }
    a[2] |= 2; /* TC */
    dnscache_put(cache, SERVER, &q, a, len, 0);
    a[2] &= 0xfd;
    for (unsigned rcode = 1; rcode < 16; rcode++) {
        a[3] = (uint8_t)(0x80 | rcode);
        if (rcode != DNSMSG_NXDOMAIN) {
            dnscache_put(cache, SERVER, &q, a, len, 0);
        }
    }
    ck_assert_uint_eq(dnscache_bytes(cache), 0);
}
END_TEST

START_TEST(the_oldest_make_room)
{
    char name[32];

    for (unsigned i = 0; i < 5000; i++) {
        (void)snprintf(name, sizeof(name), "n%u.example.org", i);
        keep(name, 60, i);
        ck_assert_uint_le(dnscache_bytes(cache), SIZE);
        ck_assert_int_eq(left(name, i), 60);
    }
    ck_assert_int_eq(left("n0.example.org", 5000), -1);
    ck_assert_int_ne(left("n4900.example.org", 5000), -1);
    ck_assert_uint_gt(dnscache_bytes(cache), SIZE - 1024);
}
END_TEST

/* One answer may not take a great part of it. */
START_TEST(one_answer_is_not_all)
{
    struct dnsmsg_question q = question("example.org", DNSMSG_A, 0);
    auto_free uint8_t *a = xcalloc(SIZE, 1);
    struct dnsmsg_writer w;

    dnsmsg_begin(&w, a, SIZE, &q);
    for (uint32_t i = 0; i < 300; i++) {
        dnsmsg_put_a(&w, DNSMSG_ANSWER, NULL, 60, i);
    }
    dnscache_put(cache, SERVER, &q, a, dnsmsg_end(&w, &q, false, DNSMSG_NOERROR), 0);
    ck_assert_uint_eq(dnscache_bytes(cache), 0);
}
END_TEST

START_TEST(resolvers_of_the_host)
{
    static const struct {
        const char *text;
        unsigned n;
        uint32_t servers[RESOLVCONF_SERVERS_MAX];
    } rows[] = {
        {"", 0, {0}},
        {"nameserver", 0, {0}},
        {"nameserver ", 0, {0}},
        {"nameserver\n9.9.9.9\n", 0, {0}},
        {"nameserver 9.9.9.9", 1, {0x09090909}},
        {"nameserver 9.9.9.9\r\n", 1, {0x09090909}},
        {"search a\nnameserver\t 127.0.0.53 # x\n", 1, {0x7f000035}},
        {"# nameserver 1.1.1.1\n;nameserver 1.1.1.1\nnameservers 2.2.2.2\n", 0, {0}},
        {"nameserver 300.1.1.1\nnameserver ::1\nnameserver 1.1\n", 0, {0}},
        {"nameserver 111111111111111111111111111111111111\nnameserver 8.8.8.8", 1, {0x08080808}},
        {"nameserver 169.254.1.1\nnameserver 8.8.8.8", 1, {0x08080808}},
        {"nameserver 1.0.0.1\nnameserver 1.0.0.2\nnameserver 1.0.0.3\nnameserver 1.0.0.4\n",
         3,
         {0x01000001, 0x01000002, 0x01000003}},
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t servers[RESOLVCONF_SERVERS_MAX] = {0};

        ck_assert_uint_eq(resolvconf_servers(rows[i].text, 0xa9fe0101, servers), rows[i].n);
        ck_assert_mem_eq(servers, rows[i].servers, sizeof(servers));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dnscache");
    TCase *c = tcase_create("cache");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, an_answer_lives_as_long_as_its_records);
    tcase_add_test(c, times_have_a_cap);
    tcase_add_test(c, a_newer_answer_replaces);
    tcase_add_test(c, only_the_same_question_is_answered);
    tcase_add_test(c, a_no_is_kept_shortly);
    tcase_add_test(c, what_is_not_whole_is_not_kept);
    tcase_add_test(c, the_oldest_make_room);
    tcase_add_test(c, one_answer_is_not_all);
    tcase_add_test(c, resolvers_of_the_host);
    suite_add_tcase(s, c);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
