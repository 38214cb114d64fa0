// SPDX-License-Identifier: Apache-2.0
/* Who may know which name. Two stacks share a network "shared"; everything else is theirs. */
#include "agent/dns/dns.h"

#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/dns/dnsmsg.h"
#include "common/ip6.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "dns_case.h"

#define RANGE  0x0a800000u /* 10.128.0.0/9 */
#define PREFIX 9

#define EP(inc, s, addr, nets, up)                                                                 \
    {                                                                                              \
        .incarnation = (inc), .slot = (s), .address = RANGE + (addr), .networks = (nets),          \
        .ready = (up)                                                                              \
    }

static const char *const web_aliases[] = {"www", "site.example.com"};
static const char *const shared_alias[] = {"front"};

static const struct svc_network shop_web_nets[] = {
    {.name = "shared", .vip = 0x0af00002, .aliases = shared_alias, .n_aliases = 1},
    {.name = "shop_default", .vip = 0x0af00001, .aliases = web_aliases, .n_aliases = 2},
};
static const struct svc_endpoint shop_web_eps[] = {
    EP(11, 1, 0x11, 3, true), EP(12, 2, 0x12, 2, true), EP(13, 3, 0x13, 3, false)};
static const struct svc_port shop_web_ports[] = {{.published = 8080, .target = 80},
                                                 {.udp = true, .published = 53, .target = 5353}};

static const struct svc_network shop_db_nets[] = {{.name = "shop_inner"}};
static const struct svc_endpoint shop_db_eps[] = {
    EP(21, 1, 0x21, 1, true), EP(22, 2, 0x22, 1, true), EP(23, 3, 0x23, 1, false)};

static const struct svc_network shop_idle_nets[] = {{.name = "shop_default"}};
static const struct svc_endpoint shop_idle_eps[] = {EP(31, 1, 0x31, 1, false)};

static const struct svc_network blog_web_nets[] = {
    {.name = "blog_default", .vip = 0x0af00011},
    {.name = "shared", .vip = 0x0af00012, .aliases = shared_alias, .n_aliases = 1}};
static const struct svc_endpoint blog_web_eps[] = {{.incarnation = 41,
                                                    .slot = 1,
                                                    .address = RANGE + 0x41,
                                                    .extra = 0x0a0a0a0a,
                                                    .networks = 3,
                                                    .ready = true}};

static const struct svc_entry entries[] = {
    {"blog", "web", SVC_BALANCE_RANDOM, blog_web_nets, 2, blog_web_eps, 1, NULL, 0},
    {"shop", "db", SVC_BALANCE_NONE, shop_db_nets, 1, shop_db_eps, 3, NULL, 0},
    {"shop", "idle", SVC_BALANCE_NONE, shop_idle_nets, 1, shop_idle_eps, 1, NULL, 0},
    {"shop", "web", SVC_BALANCE_RANDOM, shop_web_nets, 2, shop_web_eps, 3, shop_web_ports, 2},
};

static const char *const shop_nets[] = {"shop_default", "shop_inner"};
static const char *const blog_nets[] = {"blog_default", "shared"};
static const char *const shared_nets[] = {"shared"};

static const struct dns_asker shop = {shop_nets, 2, "shop", false};
static const struct dns_asker closed = {shop_nets, 2, "shop", true};
static const struct dns_asker blog = {blog_nets, 2, "blog", false};
static const struct dns_asker third = {shared_nets, 1, "third", false};
static const struct dns_asker alone = {NULL, 0, "shop", false};

static struct dns_names *names;

static void put(const struct svc_entry *e)
{
    dns_names_service(names, e->stack, e->service, e);
}

static void set_up(void)
{
    names = dns_names_create(RANGE, PREFIX);
    for (unsigned i = 0; i < ARRAY_LEN(entries); i++) {
        put(&entries[i]);
    }
}

static void tear_down(void)
{
    dns_names_destroy(names);
}

/* The answer as text, or "forward". */
static const char *ask_for(const struct dns_asker *asker, const char *name, uint16_t type,
                           uint16_t edns, bool tcp)
{
    uint8_t m[DNS_CASE_MAX];
    size_t size = tcp ? DNS_TCP_MAX : DNS_UDP_MAX;
    static uint8_t ret[DNS_TCP_MAX];
    size_t len = dns_case_ask(m, 7, name, type, edns);
    size_t ret_len = 0;

    switch (dns_answer(names, asker, m, len, tcp, 0, ret, size, &ret_len)) {
    case DNS_ANSWERED:
        ck_assert_str_eq(dns_case_asked(ret, ret_len), name);
        ck_assert_uint_le(ret_len, tcp ? DNS_TCP_MAX : edns < 512 ? 512 : DNS_UDP_MAX);
        return dns_case_text(ret, ret_len);
    case DNS_FORWARD:
        return "forward";
    case DNS_IGNORE:
        break;
    }
    return "ignore";
}

static const char *ask(const struct dns_asker *asker, const char *name, uint16_t type)
{
    return ask_for(asker, name, type, 0, false);
}

#define SOA "wherry.internal SOA"
#define NO  "NXDOMAIN aa [] [" SOA "] []"
#define NIL "NOERROR aa [] [" SOA "] []"

struct row {
    const struct dns_asker *asker;
    const char *name;
    uint16_t type;
    const char *answer;
};

static void check_rows(const struct row *rows, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const char *is = ask(rows[i].asker, rows[i].name, rows[i].type);

        ck_assert_msg(strcmp(is, rows[i].answer) == 0, "%s of %s for %s: %s, not %s", "answer",
                      rows[i].name, rows[i].asker->stack, is, rows[i].answer);
    }
}

#define CHECK(rows) check_rows(rows, ARRAY_LEN(rows))

/* ---- names of services ---- */

START_TEST(a_service_is_its_virtual_address)
{
    static const struct row rows[] = {
        {&shop, "web", DNSMSG_A, "NOERROR aa [A 10.240.0.1] [] []"},
        {&shop, "WEB", DNSMSG_A, "NOERROR aa [A 10.240.0.1] [] []"},
        {&shop, "web.shop", DNSMSG_A, "NOERROR aa [A 10.240.0.1] [] []"},
        {&shop, "wEb.shop.Wherry.Internal", DNSMSG_A, "NOERROR aa [A 10.240.0.1] [] []"},
        {&shop, "web.wherry.internal", DNSMSG_A, "NOERROR aa [A 10.240.0.1] [] []"},
        {&shop, "www", DNSMSG_A, "NOERROR aa [A 10.240.0.1] [] []"},
        {&shop, "site.example.com", DNSMSG_A, "NOERROR aa [A 10.240.0.1] [] []"},
        {&closed, "web", DNSMSG_A, "NOERROR aa [A 10.240.0.1] [] []"},
    };

    CHECK(rows);
}
END_TEST

/* No virtual address: what is ready, and never NXDOMAIN while the service is there. */
START_TEST(a_service_without_is_its_endpoints)
{
    static const struct row rows[] = {
        {&shop, "db", DNSMSG_A, "NOERROR aa [A 10.128.0.33, A 10.128.0.34] [] []"},
        {&shop, "tasks.db", DNSMSG_A, "NOERROR aa [A 10.128.0.33, A 10.128.0.34] [] []"},
        {&shop, "idle", DNSMSG_A, NIL},
        {&shop, "tasks.idle", DNSMSG_A, NIL},
    };

    CHECK(rows);
}
END_TEST

START_TEST(replicas_have_names)
{
    static const struct row rows[] = {
        {&shop, "tasks.web", DNSMSG_A, "NOERROR aa [A 10.128.0.17, A 10.128.0.18] [] []"},
        {&shop, "tasks.web.shop", DNSMSG_A, "NOERROR aa [A 10.128.0.17, A 10.128.0.18] [] []"},
        {&shop, "1.web", DNSMSG_A, "NOERROR aa [A 10.128.0.17] [] []"},
        {&shop, "3.web", DNSMSG_A, "NOERROR aa [A 10.128.0.19] [] []"}, /* ready or not */
        {&shop, "3.web.shop.wherry.internal", DNSMSG_A, "NOERROR aa [A 10.128.0.19] [] []"},
        {&shop, "web-2", DNSMSG_A, "NOERROR aa [A 10.128.0.18] [] []"},
        {&blog, "tasks.web.shop", DNSMSG_A, "NOERROR aa [A 10.128.0.17] [] []"},
        {&shop, "0.web", DNSMSG_A, "forward"},
        {&shop, "tasks.nothing", DNSMSG_A, "forward"},
    };

    CHECK(rows);
}
END_TEST

/* Own stack first; what shares no network does not exist. */
START_TEST(only_what_shares_a_network_exists)
{
    static const struct row rows[] = {
        {&blog, "web", DNSMSG_A, "NOERROR aa [A 10.240.0.17, A 10.240.0.18] [] []"},
        {&blog, "web.shop", DNSMSG_A, "NOERROR aa [A 10.240.0.2] [] []"},
        {&shop, "web.blog.wherry.internal", DNSMSG_A, NO},
        {&blog, "db.shop.wherry.internal", DNSMSG_A, NO},
        {&blog, "1.web.shop", DNSMSG_A, "NOERROR aa [A 10.128.0.17] [] []"},
        {&third, "front", DNSMSG_A, "NOERROR aa [A 10.240.0.2, A 10.240.0.18] [] []"},
        {&third, "front.shop", DNSMSG_A, "NOERROR aa [A 10.240.0.2] [] []"},
        {&alone, "web.wherry.internal", DNSMSG_A, NO},
        {&alone, "17.0.128.10.in-addr.arpa", DNSMSG_PTR, NO},
    };

    CHECK(rows);
}
END_TEST

START_TEST(the_world_is_asked_for_the_rest)
{
    static const struct row rows[] = {
        {&shop, "example.com", DNSMSG_A, "forward"},
        {&shop, "example.com", DNSMSG_ANY, "forward"},
        {&closed, "example.com", DNSMSG_A, NO},
        {&closed, "8.8.8.8.in-addr.arpa", DNSMSG_PTR, NO},
        {&shop, "8.8.8.8.in-addr.arpa", DNSMSG_PTR, "forward"},
        {&shop, "x.wherry.internal", DNSMSG_A, NO},
        {&shop, "x.y.z.wherry.internal", DNSMSG_AAAA, NO},
        {&shop, "wherry.internal", DNSMSG_SOA, "NOERROR aa [] [SOA] []"},
        {&shop, "notwherry.internal", DNSMSG_A, "forward"},
        {&shop, "254.169.254.169.in-addr.arpa", DNSMSG_PTR, NO},
        {&shop, "9.9.200.10.in-addr.arpa", DNSMSG_PTR, NO},
    };

    CHECK(rows);
}
END_TEST

/* ---- types ---- */

START_TEST(other_types_have_no_data)
{
    static const struct row rows[] = {
        {&shop, "web", DNSMSG_AAAA, NIL},
        {&shop, "3.web", DNSMSG_AAAA, NIL},
        {&shop, "web.shop", 16, NIL},
        {&shop, "tasks.web", DNSMSG_PTR, NIL},
        {&shop, "web", DNSMSG_ANY, "NOERROR aa [type13] [] []"},
        {&closed, "web", DNSMSG_AAAA, NIL},
    };

    CHECK(rows);
}
END_TEST

START_TEST(addresses_have_names)
{
    static const struct row rows[] = {
        {&shop, "17.0.128.10.in-addr.arpa", DNSMSG_PTR,
         "NOERROR aa [PTR 1.web.shop.wherry.internal] [] []"},
        {&shop, "1.0.240.10.in-addr.arpa", DNSMSG_PTR,
         "NOERROR aa [PTR web.shop.wherry.internal] [] []"},
        {&shop, "2.0.240.10.in-addr.arpa", DNSMSG_PTR, NO}, /* of a network it is not on */
        {&blog, "2.0.240.10.in-addr.arpa", DNSMSG_PTR,
         "NOERROR aa [PTR web.shop.wherry.internal] [] []"},
        {&blog, "18.0.128.10.in-addr.arpa", DNSMSG_PTR, NO},
        {&shop, "17.0.128.10.in-addr.arpa", DNSMSG_A, NIL},
    };

    CHECK(rows);
}
END_TEST

START_TEST(ports_have_names)
{
    static const struct row rows[] = {
        {&shop, "_http._tcp.web", DNSMSG_SRV,
         "NOERROR aa [SRV 80 1.web.shop.wherry.internal, SRV 80 2.web.shop.wherry.internal] [] "
         "[1.web.shop.wherry.internal A 10.128.0.17, 2.web.shop.wherry.internal A 10.128.0.18]"},
        {&blog, "_8081._tcp.web.shop", DNSMSG_SRV,
         "NOERROR aa [SRV 8081 1.web.shop.wherry.internal] [] "
         "[1.web.shop.wherry.internal A 10.128.0.17]"},
        {&blog, "_dns._udp.web.shop.wherry.internal", DNSMSG_SRV,
         "NOERROR aa [SRV 5353 1.web.shop.wherry.internal] [] "
         "[1.web.shop.wherry.internal A 10.128.0.17]"},
        {&shop, "_http._tcp.db", DNSMSG_SRV, NO}, /* publishes nothing */
        {&shop, "_0._tcp.web", DNSMSG_SRV, NO},
        {&shop, "_65536._tcp.web", DNSMSG_SRV, NO},
        {&shop, "_http._tcp.web", DNSMSG_A, NIL},
        {&shop, "_80._tcp.idle", DNSMSG_SRV, NIL},
        {&shop, "_http._sctp.web", DNSMSG_SRV, "forward"},
        {&shop, "_http._tcp.example.com", DNSMSG_SRV, "forward"},
    };

    CHECK(rows);
}
END_TEST

/* Only where the network has it, and only when this node does: endpoints, for virtual addresses
 * are of IPv4. */
START_TEST(addresses_of_ipv6_follow)
{
    static const struct row rows[] = {
        {&shop, "web", DNSMSG_AAAA, NIL}, /* its network has none */
        {&shop, "six", DNSMSG_A, "NOERROR aa [A 10.240.0.66] [] []"},
        {&shop, "six", DNSMSG_AAAA, "NOERROR aa [AAAA fd12:3456:789a::a80:11] [] []"},
        {&shop, "tasks.six", DNSMSG_AAAA, "NOERROR aa [AAAA fd12:3456:789a::a80:11] [] []"},
        {&shop, "2.six", DNSMSG_AAAA, "NOERROR aa [AAAA fd12:3456:789a::a80:12] [] []"},
        {&blog, "six.shop.wherry.internal", DNSMSG_AAAA, NO},
        {&shop, "1.1.0.0.0.8.a.0.0.0.0.0.0.0.0.0.0.0.0.0.a.9.8.7.6.5.4.3.2.1.d.f.ip6.arpa",
         DNSMSG_PTR, "NOERROR aa [PTR 1.six.shop.wherry.internal] [] []"},
        {&blog, "1.1.0.0.0.8.a.0.0.0.0.0.0.0.0.0.0.0.0.0.a.9.8.7.6.5.4.3.2.1.d.f.ip6.arpa",
         DNSMSG_PTR, NO},
        {&shop, "1.1.0.0.0.8.a.0.1.0.0.0.0.0.0.0.0.0.0.0.a.9.8.7.6.5.4.3.2.1.d.f.ip6.arpa",
         DNSMSG_PTR, NO},
        {&shop, "1.1.0.0.0.8.a.0.0.0.0.0.0.0.0.0.0.0.0.0.a.9.8.7.6.5.4.3.2.2.d.f.ip6.arpa",
         DNSMSG_PTR, "forward"},
    };
    static const struct ip6 cluster = {{0xfd, 0x12, 0x34, 0x56, 0x78, 0x9a}};
    static const struct svc_network net = {.name = "shop_default", .vip = 0x0af00042, .ipv6 = true};
    static const struct svc_endpoint eps[] = {EP(51, 1, 0x11, 1, true), EP(52, 2, 0x12, 1, false)};
    static const struct svc_entry six = {"shop", "six", SVC_BALANCE_RANDOM, &net, 1, eps, 2,
                                         NULL,   0};

    dns_names_service(names, "shop", "web", NULL); /* which has these addresses, too */
    put(&six);
    ck_assert_str_eq(ask(&shop, "six", DNSMSG_AAAA), NIL);
    dns_names_ip6(names, &cluster);
    check_rows(rows + 1, ARRAY_LEN(rows) - 1);
    put(&entries[3]);
    check_rows(rows, 1);
    dns_names_ip6(names, NULL);
    ck_assert_str_eq(ask(&shop, "six", DNSMSG_AAAA), NIL);
}
END_TEST

/* ---- changes ---- */

START_TEST(an_entry_may_change_and_go)
{
    struct svc_entry other = entries[3];
    struct svc_network net = shop_web_nets[1];

    net.vip = 0x0af00099;
    net.n_aliases = 0;
    other.networks = &net;
    other.n_networks = 1;
    other.n_endpoints = 0;
    put(&other);
    ck_assert_str_eq(ask(&shop, "web", DNSMSG_A), "NOERROR aa [A 10.240.0.153] [] []");
    ck_assert_str_eq(ask(&shop, "www", DNSMSG_A), NO);
    ck_assert_str_eq(ask(&shop, "1.0.240.10.in-addr.arpa", DNSMSG_PTR), NO);
    ck_assert_str_eq(ask(&blog, "web.shop.wherry.internal", DNSMSG_A), NO);
    dns_names_service(names, "shop", "web", NULL);
    ck_assert_str_eq(ask(&shop, "web", DNSMSG_A), NO);
    dns_names_service(names, "shop", "web", NULL); /* was not there */
    put(&entries[3]);
    ck_assert_str_eq(ask(&shop, "www", DNSMSG_A), "NOERROR aa [A 10.240.0.1] [] []");
}
END_TEST

START_TEST(a_node_knows_its_own)
{
    dns_names_local(names, 11, false, false);
    ck_assert_str_eq(ask(&shop, "tasks.web", DNSMSG_A), "NOERROR aa [A 10.128.0.18] [] []");
    dns_names_local(names, 13, true, false);
    ck_assert_str_eq(ask(&shop, "tasks.web", DNSMSG_A),
                     "NOERROR aa [A 10.128.0.18, A 10.128.0.19] [] []");
    ck_assert_str_eq(ask(&shop, "1.web", DNSMSG_A), "NOERROR aa [A 10.128.0.17] [] []");
    dns_names_local(names, 11, true, true); /* gone, whatever else is said */
    ck_assert_str_eq(ask(&shop, "1.web", DNSMSG_A), NIL);
    ck_assert_str_eq(ask(&shop, "web", DNSMSG_A), "NOERROR aa [A 10.240.0.1] [] []");
    for (uint64_t i = 0; i < 20000; i++) { /* what is remembered of the gone is bounded */
        dns_names_local(names, 1000 + i, false, true);
    }
    dns_names_local(names, 13, false, false);
    ck_assert_str_eq(ask(&shop, "3.web", DNSMSG_A), "NOERROR aa [A 10.128.0.19] [] []");
}
END_TEST

START_TEST(draining_takes_nothing_new)
{
    struct svc_endpoint eps[3];
    struct svc_entry other = entries[1];

    memcpy(eps, shop_db_eps, sizeof(eps));
    eps[0].draining = true;
    other.endpoints = eps;
    put(&other);
    ck_assert_str_eq(ask(&shop, "db", DNSMSG_A), "NOERROR aa [A 10.128.0.34] [] []");
    ck_assert_str_eq(ask(&shop, "1.db", DNSMSG_A), "NOERROR aa [A 10.128.0.33] [] []");
}
END_TEST

START_TEST(a_check_finds_the_same)
{
    uint32_t found[4];

    ck_assert_int_eq(dns_names_find(names, &shop, "web", found, 4), 1);
    ck_assert_uint_eq(found[0], 0x0af00001);
    ck_assert_int_eq(dns_names_find(names, &shop, "tasks.db", found, 1), 1);
    ck_assert_int_eq(dns_names_find(names, &shop, "idle", found, 4), 0);
    ck_assert_int_eq(dns_names_find(names, &blog, "db.shop", found, 4), -ENOENT);
}
END_TEST

/* ---- many ---- */

/* Who takes the first address shall not always take the same. */
START_TEST(the_order_is_moved)
{
    static const char *const asked[] = {"front", "tasks.web"};
    static const struct dns_asker *const askers[] = {&third, &shop};
    uint8_t m[DNS_CASE_MAX], ret[DNS_UDP_MAX];
    size_t ret_len;

    for (unsigned i = 0; i < ARRAY_LEN(asked); i++) {
        size_t len = dns_case_ask(m, 7, asked[i], DNSMSG_A, 0);
        char first[2][128];

        for (uint32_t random = 0; random < 2; random++) {
            ck_assert_int_eq(
                dns_answer(names, askers[i], m, len, false, random, ret, sizeof(ret), &ret_len),
                DNS_ANSWERED);
            (void)snprintf(first[random], sizeof(first[random]), "%s", dns_case_text(ret, ret_len));
        }
        ck_assert_uint_eq(strlen(first[0]), strlen(first[1]));
        ck_assert_str_ne(first[0], first[1]);
    }
}
END_TEST

static struct svc_endpoint many_eps[SVC_ENDPOINTS_MAX];

static void put_many(unsigned n)
{
    static struct svc_entry entry;

    for (unsigned i = 0; i < n; i++) {
        many_eps[i] = (struct svc_endpoint)EP(1000 + i, i + 1, 0x10000 + i, 1, true);
    }
    entry = (struct svc_entry){"shop", "many", SVC_BALANCE_NONE, shop_idle_nets, 1, many_eps, n,
                               NULL,   0};
    put(&entry);
}

/* The index grows and shrinks, and every name stays findable. */
START_TEST(many_services)
{
    enum { MANY = 3000 };
    auto_free struct svc_entry *list = xcalloc(MANY, sizeof(*list));

    for (unsigned i = 0; i < MANY; i++) {
        list[i] = entries[3];
        (void)snprintf(list[i].service, sizeof(list[i].service), "s%u", i);
        put(&list[i]);
    }
    for (unsigned i = 0; i < MANY; i++) {
        ck_assert_str_eq(ask(&shop, list[i].service, DNSMSG_A), "NOERROR aa [A 10.240.0.1] [] []");
    }
    for (unsigned i = 0; i < MANY; i++) {
        dns_names_service(names, "shop", list[i].service, NULL);
    }
    ck_assert_str_eq(ask(&shop, "s7", DNSMSG_A), NO);
    ck_assert_str_eq(ask(&shop, "www", DNSMSG_A), "NOERROR aa [A 10.240.0.1] [] []");
}
END_TEST

/* Into 512 bytes without EDNS fit 30 addresses; a TCP asker gets 64 of any number. */
START_TEST(many_endpoints_are_cut)
{
    put_many(SVC_ENDPOINTS_MAX);
    ck_assert_ptr_nonnull(strstr(ask_for(&shop, "many", DNSMSG_A, 0, false), "NOERROR aa tc ["));
    ck_assert_ptr_nonnull(strstr(ask_for(&shop, "many", DNSMSG_A, 1232, false), "NOERROR aa ["));
    ck_assert_ptr_nonnull(strstr(ask_for(&shop, "many", DNSMSG_A, 0, true), "NOERROR aa ["));
    ck_assert_ptr_nonnull(strstr(ask_for(&shop, "_1._tcp.many", DNSMSG_SRV, 0, true), "aa [SRV"));
    ck_assert_str_eq(ask(&shop, "8192.many", DNSMSG_A), "NOERROR aa [A 10.129.31.255] [] []");
}
END_TEST

/* Every byte of a question cut off or changed: an answer of ours, whole, or none. */
START_TEST(any_question_gets_a_whole_answer)
{
    static const char *const asked[] = {"web.shop", "_80._tcp.web", "17.0.128.10.in-addr.arpa"};
    uint8_t m[DNS_CASE_MAX], ret[DNS_UDP_MAX];
    size_t ret_len;

    for (unsigned i = 0; i < ARRAY_LEN(asked); i++) {
        size_t len = dns_case_ask(m, 7, asked[i], DNSMSG_SRV, 1232);

        for (size_t at = 0; at < len * 256; at++) {
            uint8_t was = m[at / 256];
            auto_free uint8_t *exact = xmalloc(len);

            m[at / 256] = (uint8_t)at;
            memcpy(exact, m, len);
            if (dns_answer(names, &shop, exact, len, false, (uint32_t)at, ret, sizeof(ret),
                           &ret_len) == DNS_ANSWERED) {
                (void)dns_case_text(ret, ret_len);
            }
            m[at / 256] = was;
        }
    }
}
END_TEST

static double seconds_of(const char *name, unsigned n)
{
    struct timespec from, to;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    for (unsigned i = 0; i < n; i++) {
        ck_assert_str_eq(ask(&shop, name, DNSMSG_A), "NOERROR aa [A 10.240.0.1] [] []");
    }
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
}

/* 20,000 other stacks have a "web", too, as stacks do: that costs an asker nothing. */
START_TEST(others_of_one_name_cost_nothing)
{
    enum { OTHERS = 20000 };
    auto_free struct svc_entry *others = xcalloc(OTHERS, sizeof(*others));
    auto_free struct svc_network *nets = xcalloc(OTHERS, sizeof(*nets));
    double before = seconds_of("web", 20000);
    double after;

    for (unsigned i = 0; i < OTHERS; i++) {
        nets[i].vip = 0x0af10000 + i;
        (void)snprintf(nets[i].name, sizeof(nets[i].name), "s%u_default", i);
        (void)snprintf(others[i].stack, sizeof(others[i].stack), "s%u", i);
        (void)snprintf(others[i].service, sizeof(others[i].service), "web");
        others[i].networks = &nets[i];
        others[i].n_networks = 1;
        put(&others[i]);
    }
    after = seconds_of("web", 20000);
    for (unsigned i = 0; i < OTHERS; i++) {
        dns_names_service(names, others[i].stack, "web", NULL);
    }
    ck_assert_msg(after < 10 * before + 0.01, "%.4f s instead of %.4f s", after, before);
}
END_TEST

/* ---- */

int main(void)
{
    Suite *s = suite_create("dnsnames");
    TCase *c = tcase_create("names");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_service_is_its_virtual_address);
    tcase_add_test(c, a_service_without_is_its_endpoints);
    tcase_add_test(c, replicas_have_names);
    tcase_add_test(c, only_what_shares_a_network_exists);
    tcase_add_test(c, the_world_is_asked_for_the_rest);
    tcase_add_test(c, other_types_have_no_data);
    tcase_add_test(c, addresses_have_names);
    tcase_add_test(c, ports_have_names);
    tcase_add_test(c, addresses_of_ipv6_follow);
    tcase_add_test(c, an_entry_may_change_and_go);
    tcase_add_test(c, a_node_knows_its_own);
    tcase_add_test(c, draining_takes_nothing_new);
    tcase_add_test(c, a_check_finds_the_same);
    tcase_add_test(c, the_order_is_moved);
    tcase_add_test(c, many_services);
    tcase_add_test(c, many_endpoints_are_cut);
    tcase_add_test(c, any_question_gets_a_whole_answer);
    tcase_add_test(c, others_of_one_name_cost_nothing);
    suite_add_tcase(s, c);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
