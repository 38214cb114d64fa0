// SPDX-License-Identifier: Apache-2.0
/* What a container is answered: names it may know, and nothing of others; every broken message. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/dns/dns.h"
#include "agent/dns/dnscache.h"
#include "agent/dns/dnsmsg.h"
#include "agent/dns/resolvconf.h"
#include "common/cleanup.h"
#include "common/err.h"

#define RANGE  0x0a800000u
#define PREFIX 9

static struct dns_names *names;
static uint8_t answer[DNS_TCP_MAX];
static size_t answer_len;

static const char *const backend[] = {"backend", "store"};
static const struct svc_network back[] = {
    {.name = "shop_back", .vip = 0x0af00001, .aliases = backend, .n_aliases = 2},
    {.name = "shop_front", .vip = 0x0af00002},
};
static const struct svc_network plain[] = {{.name = "shop_back"}};
static const struct svc_endpoint three[] = {
    {.incarnation = 1, .slot = 1, .address = 0x0a800002, .networks = 3, .ready = true},
    {.incarnation = 2, .slot = 2, .address = 0x0a800402, .networks = 3, .ready = true},
    {.incarnation = 3, .slot = 3, .address = 0x0a800802, .networks = 1},
};
static const struct svc_port ports[] = {{.published = 80, .target = 8080}};
static const struct svc_entry api = {.stack = "shop",
                                     .service = "api",
                                     .networks = back,
                                     .n_networks = 2,
                                     .endpoints = three,
                                     .n_endpoints = 3,
                                     .ports = ports,
                                     .n_ports = 1};
static const struct svc_endpoint others[] = {
    {.incarnation = 11, .slot = 1, .address = 0x0a800003, .networks = 1, .ready = true},
    {.incarnation = 12, .slot = 2, .address = 0x0a800403, .networks = 1, .ready = true},
    {.incarnation = 13, .slot = 3, .address = 0x0a800803, .networks = 1},
};
static const struct svc_entry direct = {.stack = "shop",
                                        .service = "direct",
                                        .balance = SVC_BALANCE_NONE,
                                        .networks = plain,
                                        .n_networks = 1,
                                        .endpoints = others,
                                        .n_endpoints = 3};
static const struct svc_network foreign[] = {{.name = "other_default", .vip = 0x0af00003}};
static const struct svc_entry other = {
    .stack = "other", .service = "secret", .networks = foreign, .n_networks = 1};

static const char *const on_back[] = {"shop_back"};
static const struct dns_asker asker = {.networks = on_back, .n_networks = 1, .stack = "shop"};

static void setup(void)
{
    names = dns_names_create(RANGE, PREFIX);
    dns_names_service(names, "shop", "api", &api);
    dns_names_service(names, "shop", "direct", &direct);
    dns_names_service(names, "other", "secret", &other);
}

static void teardown(void)
{
    dns_names_destroy(names);
}

static size_t question(const char *name, uint16_t type, uint8_t ret[512])
{
    size_t len = DNSMSG_HEADER;

    memset(ret, 0, 512);
    dnsmsg_put16(ret, 0x1234);
    dnsmsg_put16(ret + 2, DNSMSG_RD);
    dnsmsg_put16(ret + 4, 1);
    len += dnsmsg_name_wire(name, ret + len);
    dnsmsg_put16(ret + len, type);
    dnsmsg_put16(ret + len + 2, 1);
    return len + 4;
}

static enum dns_verdict ask_as(const struct dns_asker *who, const char *name, uint16_t type)
{
    uint8_t message[512];
    size_t len = question(name, type, message);

    answer_len = 0;
    return dns_answer(names, who, message, len, false, 0, answer, sizeof(answer), &answer_len);
}

static enum dns_verdict ask(const char *name, uint16_t type)
{
    return ask_as(&asker, name, type);
}

static unsigned n_answers(void)
{
    return dnsmsg_get16(answer + 6);
}

/* The last four bytes of the i-th A record: they are of one length, behind the question. */
static uint32_t address(const char *name, unsigned i)
{
    uint8_t wire[DNSMSG_NAME_WIRE];
    const uint8_t *p = answer + DNSMSG_HEADER + dnsmsg_name_wire(name, wire) + 4 + 16u * i + 12;

    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void expect_one(const char *name, uint32_t wanted)
{
    ck_assert_int_eq(ask(name, DNSMSG_A), DNS_ANSWERED);
    ck_assert_msg(dnsmsg_rcode(answer) == 0 && n_answers() == 1 && address(name, 0) == wanted,
                  "%s: rcode %d, %u answers", name, (int)dnsmsg_rcode(answer), n_answers());
    ck_assert_uint_eq(dnsmsg_get16(answer), 0x1234);
}

static void expect_none(const char *name, uint16_t type, enum dnsmsg_rcode rcode)
{
    ck_assert_int_eq(ask(name, type), DNS_ANSWERED);
    ck_assert_msg(dnsmsg_rcode(answer) == rcode && n_answers() == 0, "%s: rcode %d, %u answers",
                  name, (int)dnsmsg_rcode(answer), n_answers());
}

START_TEST(names_of_a_service)
{
    static const char *const all[] = {"api",     "API.Shop",     "api.shop.wherry.internal",
                                      "backend", "backend.shop", "store"};

    for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
        expect_one(all[i], 0x0af00001);
    }
    ck_assert_int_eq(ask("tasks.api", DNSMSG_A), DNS_ANSWERED);
    ck_assert_uint_eq(n_answers(), 2);
    ck_assert_int_eq(ask("direct", DNSMSG_A), DNS_ANSWERED);
    ck_assert_uint_eq(n_answers(), 2);
    expect_one("3.api", 0x0a800802); /* ready or not */
    expect_one("2.api.shop", 0x0a800402);
    expect_one("api-2", 0x0a800402);
    expect_none("4.api", DNSMSG_A, DNSMSG_NOERROR);
    expect_none("api", DNSMSG_AAAA, DNSMSG_NOERROR);
    expect_none("api", 16, DNSMSG_NOERROR);
}
END_TEST

START_TEST(what_is_not_shared_is_not_there)
{
    static const char *const on_other[] = {"other_default"};
    const struct dns_asker stranger = {.networks = on_other, .n_networks = 1, .stack = "other"};
    const struct dns_asker nobody = {.stack = "shop", .no_out = true};

    expect_none("secret", DNSMSG_A, DNSMSG_NXDOMAIN);
    expect_none("secret.other.wherry.internal", DNSMSG_A, DNSMSG_NXDOMAIN);
    ck_assert_int_eq(ask("secret.other", DNSMSG_A), DNS_FORWARD);
    expect_none("3.0.240.10.in-addr.arpa", DNSMSG_PTR, DNSMSG_NXDOMAIN);
    expect_none("1.1.254.169.in-addr.arpa", DNSMSG_PTR, DNSMSG_NXDOMAIN);
    ck_assert_int_eq(ask_as(&stranger, "api", DNSMSG_A), DNS_ANSWERED);
    ck_assert_int_eq(dnsmsg_rcode(answer), DNSMSG_NXDOMAIN);
    ck_assert_int_eq(ask_as(&stranger, "secret", DNSMSG_A), DNS_ANSWERED);
    ck_assert_uint_eq(n_answers(), 1);
    ck_assert_int_eq(ask_as(&nobody, "example.org", DNSMSG_A), DNS_ANSWERED);
    ck_assert_int_eq(dnsmsg_rcode(answer), DNSMSG_NXDOMAIN);
    ck_assert_int_eq(ask("example.org", DNSMSG_A), DNS_FORWARD);
    ck_assert_int_eq(ask("8.8.8.8.in-addr.arpa", DNSMSG_PTR), DNS_FORWARD);
}
END_TEST

START_TEST(reverse_and_services)
{
    uint8_t target[DNSMSG_NAME_WIRE];
    size_t len = dnsmsg_name_wire("2.api.shop.wherry.internal", target);

    ck_assert_int_eq(ask("2.4.128.10.in-addr.arpa", DNSMSG_PTR), DNS_ANSWERED);
    ck_assert_uint_eq(n_answers(), 1);
    ck_assert_ptr_nonnull(memmem(answer, answer_len, target, len));
    ck_assert_int_eq(ask("_8080._tcp.api", DNSMSG_SRV), DNS_ANSWERED);
    ck_assert_uint_eq(n_answers(), 2);
    ck_assert_uint_eq(dnsmsg_get16(answer + 10), 2);
    ck_assert_int_eq(ask("_http._tcp.api", DNSMSG_SRV), DNS_ANSWERED);
    ck_assert_uint_eq(n_answers(), 2);
    expect_none("_http._udp.api", DNSMSG_SRV, DNSMSG_NXDOMAIN);
    expect_none("_8080._tcp.secret", DNSMSG_SRV, DNSMSG_NXDOMAIN);
}
END_TEST

START_TEST(changes_are_followed)
{
    struct svc_endpoint two[2] = {others[0], others[1]};
    struct svc_entry next = direct;

    dns_names_local(names, 11, false, false); /* this node knows better */
    ck_assert_int_eq(ask("direct", DNSMSG_A), DNS_ANSWERED);
    ck_assert_uint_eq(n_answers(), 1);
    dns_names_local(names, 13, true, false);
    ck_assert_int_eq(ask("direct", DNSMSG_A), DNS_ANSWERED);
    ck_assert_uint_eq(n_answers(), 2);
    dns_names_local(names, 13, false, true);
    expect_none("3.direct", DNSMSG_A, DNSMSG_NOERROR);
    two[1].draining = true;
    next.endpoints = two;
    next.n_endpoints = 2;
    dns_names_service(names, "shop", "direct", &next);
    expect_none("direct", DNSMSG_A, DNSMSG_NOERROR);
    dns_names_service(names, "shop", "direct", NULL);
    expect_none("direct", DNSMSG_A, DNSMSG_NXDOMAIN);
    expect_one("api", 0x0af00001);
}
END_TEST

/* The index grows and shrinks, and every name stays findable. */
START_TEST(many_services)
{
    struct svc_entry *list = xcalloc(3000, sizeof(*list));

    for (unsigned i = 0; i < 3000; i++) {
        list[i] = api;
        (void)snprintf(list[i].service, sizeof(list[i].service), "s%u", i);
        dns_names_service(names, "shop", list[i].service, &list[i]);
    }
    for (unsigned i = 0; i < 3000; i++) {
        expect_one(list[i].service, 0x0af00001);
    }
    ck_assert_int_eq(ask("backend", DNSMSG_A), DNS_ANSWERED);
    ck_assert_uint_eq(n_answers(), 1); /* all of them have one address here */
    for (unsigned i = 0; i < 3000; i++) {
        dns_names_service(names, "shop", list[i].service, NULL);
    }
    expect_none("s7", DNSMSG_A, DNSMSG_NXDOMAIN);
    expect_one("api", 0x0af00001);
    free(list);
}
END_TEST

/* ---- broken messages ---- */

static int read_rcode(const uint8_t *message, size_t len)
{
    struct dnsmsg_question q;

    return dnsmsg_read(message, len, &q);
}

START_TEST(broken_questions)
{
    uint8_t m[512];
    size_t len = question("api", DNSMSG_A, m);

    for (size_t cut = 0; cut < len; cut++) {
        int rcode = read_rcode(m, cut);

        ck_assert_msg(rcode == (cut < DNSMSG_HEADER ? -1 : DNSMSG_FORMERR), "cut at %zu", cut);
    }
    ck_assert_int_eq(read_rcode(m, len), 0);
    dnsmsg_put16(m + 4, 0xffff); /* 65,535 questions */
    ck_assert_int_eq(read_rcode(m, len), DNSMSG_FORMERR);
    dnsmsg_put16(m + 4, 1);
    m[DNSMSG_HEADER] = 0xc0; /* a pointer to itself */
    m[DNSMSG_HEADER + 1] = DNSMSG_HEADER;
    ck_assert_int_eq(read_rcode(m, len), DNSMSG_FORMERR);
    len = question("api", DNSMSG_A, m);
    dnsmsg_put16(m + 2, DNSMSG_QR);
    ck_assert_int_eq(read_rcode(m, len), -1);
    dnsmsg_put16(m + 2, 5 << 11);
    ck_assert_int_eq(read_rcode(m, len), DNSMSG_NOTIMP);
    dnsmsg_put16(m + 2, 0);
    dnsmsg_put16(m + len - 2, 3); /* chaos */
    ck_assert_int_eq(read_rcode(m, len), DNSMSG_REFUSED);
    dnsmsg_put16(m + len - 2, 1);
    dnsmsg_put16(m + 10, 0xffff); /* records that are not there */
    ck_assert_int_eq(read_rcode(m, len), DNSMSG_FORMERR);
}
END_TEST

START_TEST(long_answers_are_cut)
{
    struct svc_endpoint *many = xcalloc(200, sizeof(*many));
    struct svc_entry big = direct;
    uint8_t m[512];
    size_t len;

    for (unsigned i = 0; i < 200; i++) {
        many[i] = three[0];
        many[i].incarnation = 100 + i;
        many[i].address = 0x0a800002 + i;
    }
    big.endpoints = many;
    big.n_endpoints = 200;
    dns_names_service(names, "shop", "direct", &big);
    ck_assert_int_eq(ask("direct", DNSMSG_A), DNS_ANSWERED);
    ck_assert_uint_le(answer_len, DNSMSG_PLAIN_MAX);
    ck_assert(dnsmsg_truncated(answer));
    len = question("direct", DNSMSG_A, m);
    memcpy(m + len, "\0\0\x29\x10\0\0\0\0\0\0\0", 11);
    dnsmsg_put16(m + 10, 1);
    ck_assert_int_eq(
        dns_answer(names, &asker, m, len + 11, false, 7, answer, sizeof(answer), &answer_len),
        DNS_ANSWERED);
    ck_assert(!dnsmsg_truncated(answer));
    ck_assert_uint_eq(n_answers(), DNS_ANSWERS_MAX);
    ck_assert_uint_eq(dnsmsg_get16(answer + 10), 1);
    free(many);
}
END_TEST

/* ---- what others answer ---- */

static size_t foreign_answer(const char *name, uint16_t id, uint32_t ttl, uint8_t ret[512])
{
    size_t len = question(name, DNSMSG_A, ret);
    static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 1};

    memcpy(ret + len, record, sizeof(record));
    ret[len + 9] = (uint8_t)ttl;
    dnsmsg_put16(ret, id);
    dnsmsg_put16(ret + 2, DNSMSG_QR);
    dnsmsg_put16(ret + 6, 1);
    return len + sizeof(record);
}

START_TEST(foreign_answers_must_repeat_the_question)
{
    uint8_t m[512], a[512];
    struct dnsmsg_question q;
    size_t len;

    ck_assert_int_eq(dnsmsg_read(m, question("Example.org", DNSMSG_A, m), &q), 0);
    len = foreign_answer("Example.org", 0x1234, 60, a);
    ck_assert(dnsmsg_answers(a, len, &q));
    for (size_t cut = 0; cut < len - 16; cut++) {
        ck_assert(!dnsmsg_answers(a, cut, &q));
    }
    dnsmsg_put16(a, 0x1235);
    ck_assert(!dnsmsg_answers(a, len, &q));
    len = foreign_answer("example.org", 0x1234, 60, a); /* another case */
    ck_assert(!dnsmsg_answers(a, len, &q));
    len = foreign_answer("Example.com", 0x1234, 60, a);
    ck_assert(!dnsmsg_answers(a, len, &q));
}
END_TEST

START_TEST(the_cache_keeps_and_forgets)
{
    struct dnscache *c = dnscache_create(64 << 10);
    uint8_t m[512], a[512], got[512];
    struct dnsmsg_question q;
    uint32_t lowest = 0;
    size_t len = foreign_answer("example.org", 0x1234, 60, a);

    ck_assert_int_eq(dnsmsg_read(m, question("example.org", DNSMSG_A, m), &q), 0);
    dnscache_put(c, 1, &q, a, len, 1000);
    ck_assert_int_eq(dnsmsg_read(m, question("EXAMPLE.org", DNSMSG_A, m), &q), 0);
    ck_assert_uint_eq(dnscache_get(c, 1, &q, 31000, got, sizeof(got)), len);
    ck_assert(dnsmsg_answers(got, len, &q));
    ck_assert(dnsmsg_ttl(got, len, 0, &lowest));
    ck_assert_uint_eq(lowest, 30);
    ck_assert_uint_eq(dnscache_get(c, 2, &q, 31000, got, sizeof(got)), 0);
    ck_assert_uint_eq(dnscache_get(c, 1, &q, 61000, got, sizeof(got)), 0);
    for (unsigned i = 0; i < 5000; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "n%u.example.org", i);
        ck_assert_int_eq(dnsmsg_read(m, question(name, DNSMSG_A, m), &q), 0);
        dnscache_put(c, 1, &q, a, foreign_answer(name, 0x1234, 60, a), 1000);
        ck_assert_uint_le(dnscache_bytes(c), 64 << 10);
    }
    ck_assert_uint_gt(dnscache_get(c, 1, &q, 2000, got, sizeof(got)), 0);
    len = foreign_answer("short.example.org", 0x1234, 0, a);
    ck_assert_int_eq(dnsmsg_read(m, question("short.example.org", DNSMSG_A, m), &q), 0);
    dnscache_put(c, 1, &q, a, len, 1000);
    ck_assert_uint_eq(dnscache_get(c, 1, &q, 1000, got, sizeof(got)), 0);
    dnscache_destroy(c);
}
END_TEST

START_TEST(resolvers_of_the_host)
{
    uint32_t list[RESOLVCONF_SERVERS_MAX] = {0};
    static const char text[] = "# nameserver 1.1.1.1\nsearch a\nnameserver  9.9.9.9\nnameserver "
                               "::1\nnameserver 169.254.1.1\nnameserver\t127.0.0.53 # x\n"
                               "nameservers 2.2.2.2\nnameserver 300.1.1.1\nnameserver 8.8.8.8";

    ck_assert_uint_eq(resolvconf_servers(text, 0xa9fe0101, list), 3);
    ck_assert_uint_eq(list[0], 0x09090909);
    ck_assert_uint_eq(list[1], 0x7f000035);
    ck_assert_uint_eq(list[2], 0x08080808);
    ck_assert_uint_eq(resolvconf_servers("", 0, list), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dns");
    TCase *all = tcase_create("names");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, names_of_a_service);
    tcase_add_test(all, what_is_not_shared_is_not_there);
    tcase_add_test(all, reverse_and_services);
    tcase_add_test(all, changes_are_followed);
    tcase_add_test(all, many_services);
    tcase_add_test(all, broken_questions);
    tcase_add_test(all, long_answers_are_cut);
    tcase_add_test(all, foreign_answers_must_repeat_the_question);
    tcase_add_test(all, the_cache_keeps_and_forgets);
    tcase_add_test(all, resolvers_of_the_host);
    suite_add_tcase(suite, all);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
