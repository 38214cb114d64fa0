// SPDX-License-Identifier: Apache-2.0
/* What an agent tells of a name: a small service table, and rows as text. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/netfacts.h"
#include "common/askrow.h"
#include "common/cleanup.h"
#include "common/err.h"

#define RANGE 0x0a800000u

static struct svctable *table;
static struct dns_names *names;

static void put(const char *stack, const char *service, uint32_t vip, const char *network,
                const struct svc_endpoint *list, unsigned n)
{
    struct svc_network net = {.vip = vip};
    struct svc_entry entry = {
        .networks = &net, .n_networks = 1, .endpoints = list, .n_endpoints = n};

    (void)snprintf(net.name, sizeof(net.name), "%s", network);
    (void)snprintf(entry.stack, sizeof(entry.stack), "%s", stack);
    (void)snprintf(entry.service, sizeof(entry.service), "%s", service);
    (void)svctable_put(table, &entry);
    dns_names_service(names, stack, service, svctable_find(table, stack, service));
}

static void set_up(void)
{
    const struct svc_endpoint db[] = {
        {.incarnation = 7, .slot = 1, .address = 0x0a800401, .networks = 1, .ready = true},
        {.incarnation = 8, .slot = 2, .address = 0x0a800801, .networks = 1}};
    const struct svc_endpoint other[] = {
        {.incarnation = 9, .slot = 1, .address = 0x0a800c01, .networks = 1, .ready = true}};

    table = svctable_create();
    names = dns_names_create(RANGE, 9);
    put("shop", "db", 0x0af00001, "shop_default", db, 2);
    put("shop", "ill", 0, "shop_default", db + 1, 1);
    put("blog", "other", 0x0af00002, "blog_default", other, 1);
}

static void tear_down(void)
{
    dns_names_destroy(names);
    svctable_destroy(table);
}

static int answers(void *arg, uint32_t address)
{
    (void)arg;
    return address == 0x0a800401;
}

/* "name known 10.240.0.1|endpoint shop/db.1 …" */
static char *gather(const char *to, struct netfacts_targets *targets)
{
    static const char *const networks[] = {"shop_default"};
    static const char *const keys[] = {"fact",  "state",  "name",    "container", "addresses",
                                       "ready", "shared", "answers", "hint"};
    struct netfacts_world w = {
        .table = table, .names = names, .range = RANGE, .range_prefix = 9, .answers = answers};
    struct dns_asker asker = {.networks = networks, .n_networks = 1, .stack = "shop"};
    auto_buf struct buf rows = {0};
    struct buf text = {0};
    const void *row;
    size_t at = 0, len;

    netfacts_gather(&w, &asker, to, targets, &rows);
    while (askrow_take(rows.data, rows.len, &at, &row, &len)) {
        buf_puts(&text, text.len > 0 ? "|" : "");
        for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
            const char *value = askrow_text(row, len, keys[i]);

            if (value[0] != '\0') {
                buf_printf(&text, "%s%s", i > 0 ? " " : "", value);
            }
        }
    }
    return buf_take(&text);
}

#define DB "service shop/db|endpoint shop/db.1 1 shop_default 1|endpoint shop/db.2 0 shop_default 0"

static const struct facts_case {
    const char *to;
    const char *rows;
    unsigned targets;
    uint32_t vip;
    bool world, ask;
} cases[] = {
    {"db", "name known 10.240.0.1|" DB, 2, 0x0af00001, false, true},
    {"db.shop", "name known 10.240.0.1|" DB, 2, 0x0af00001, false, true},
    {"1.db", "name known 10.128.4.1|service shop/db|endpoint shop/db.1 1 shop_default 1", 1, 0,
     false, true},
    {"ill", "name known|service shop/ill|endpoint shop/ill.2 0 shop_default 0", 0, 0, false, false},
    {"other.blog", "name none other is a service of stack blog, on none of its networks", 0, 0,
     false, false},
    {"nobody", "name none", 0, 0, false, false},
    {"nobody.wherry.internal", "name none", 0, 0, false, false},
    {"example.org", "name world", 0, 0, true, true},
    {"10.128.4.1", "name address 10.128.4.1|service shop/db|endpoint shop/db.1 1 shop_default 1", 1,
     0, false, false},
    {"10.240.0.1", "name address 10.240.0.1|" DB, 2, 0x0af00001, false, false},
    {"10.128.12.1", "name address 10.128.12.1|service blog/other|endpoint blog/other.1 1 0", 1, 0,
     false, false},
    {"192.0.2.7", "name address 192.0.2.7", 1, 0, true, false},
};

START_TEST(what_a_name_leads_to)
{
    const struct facts_case *c = &cases[_i];
    struct netfacts_targets targets;
    auto_free char *text = gather(c->to, &targets);

    ck_assert_str_eq(text, c->rows);
    ck_assert_uint_eq(targets.n, c->targets);
    ck_assert_uint_eq(targets.vip, c->vip);
    ck_assert_int_eq(targets.world, c->world);
    ck_assert_int_eq(targets.ask, c->ask);
}
END_TEST

/* Before a node has a network: nothing is claimed, but an address is one. */
START_TEST(without_a_table)
{
    struct netfacts_world w = {.answers = answers, .range = RANGE, .range_prefix = 9};
    struct dns_asker asker = {.stack = "shop"};
    struct netfacts_targets targets;
    auto_buf struct buf rows = {0};

    netfacts_gather(&w, &asker, "db", &targets, &rows);
    ck_assert_uint_eq(rows.len, 0);
    ck_assert_uint_eq(targets.n, 0);
    netfacts_gather(&w, &asker, "10.128.4.1", &targets, &rows);
    ck_assert_uint_eq(targets.n, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("netfacts");
    TCase *t = tcase_create("all");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, what_a_name_leads_to, 0, ARRAY_LEN(cases));
    tcase_add_test(t, without_a_table);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
