// SPDX-License-Identifier: Apache-2.0
/* How the elements of the rules change in the kernel, by netlink and by nft, and what it costs. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/net/nftset.h"
#include "agent/net/overlayplan.h"
#include "common/cleanup.h"
#include "rulesrig.h"
#include "tests/lib/skip.h"

/* ---- elements in the kernel ---- */

/* One of each set, and of each chain. */
static void add_one_of_each(void)
{
    rulesrig_add_classes();
    rulesrig_add_vip(RULESRIG_VIP, NETELEM_CHAIN_VIP, rulesrig.address, 3);
    rulesrig_add_vip(RULESRIG_VIP + 1, NETELEM_CHAIN_VIC, rulesrig.address, 2);
    rulesrig_add_any(false, 80, rulesrig.address[0], 8080);
    rulesrig_add_any(true, 53, rulesrig.address[1], 5353);
    rulesrig_add((struct netelem){.set = NETELEM_ONE,
                                  .address = RULESRIG_A_ADDRESS,
                                  .udp = 1,
                                  .port = 65535,
                                  .chain = NETELEM_CHAIN_ONE,
                                  .n = 1});
    rulesrig_add((struct netelem){.set = NETELEM_ONE_TO,
                                  .address = RULESRIG_A_ADDRESS,
                                  .udp = 1,
                                  .port = 65535,
                                  .to = rulesrig.address[0],
                                  .to_port = 1});
    rulesrig_add(
        (struct netelem){.set = NETELEM_INGRESS, .address = rulesrig.address[0], .port = 80});
    rulesrig_add((struct netelem){.set = NETELEM_NOOUT, .address = rulesrig.address[0]});
    for (unsigned prefix = 1; prefix <= 32; prefix += 7) {
        rulesrig_add((struct netelem){.set = NETELEM_OUT,
                                      .address = rulesrig.address[0] + prefix,
                                      .other = 0xc0a80000u & ~(0xffffffffu >> (prefix - 1) >> 1),
                                      .prefix = (uint8_t)prefix});
    }
    rulesrig_add((struct netelem){.set = NETELEM_OUT, .address = rulesrig.address[0]});
}

/* The table of a as sorted text, without counters; into a file of that name. */
static void list_table(const char *file)
{
    netrig_must(netrig_shell("nft -s list table inet wherry_a | tr ',' '\\n' |"
                             "sed 's/elements = {//; s/^[ \\t]*//; s/[ \\t}]*$//' | sort >%s",
                             file));
}

static char dir[] = "/tmp/netrules.XXXXXX";

static const char *in_dir(const char *name)
{
    static char paths[2][64];
    static unsigned next;
    char *path = paths[next++ % 2];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
    return path;
}

static void same_as_before(void)
{
    list_table(in_dir("after"));
    netrig_must(netrig_shell("diff %s %s >&2", in_dir("before"), in_dir("after")));
}

static void make_dir(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_dir(void)
{
    netrig_must(netrig_shell("rm -r %s", dir));
    (void)snprintf(dir, sizeof(dir), "/tmp/netrules.XXXXXX");
}

static bool restored(void)
{
    return net_restored(rulesrig.node[RULESRIG_A].net) > rulesrig.restored;
}

static void destroy_table(void)
{
    rulesrig.restored = net_restored(rulesrig.node[RULESRIG_A].net);
    netrig_must(netrig_shell("nft flush ruleset"));
    ck_assert(netrig_run_until(&rulesrig.loop, restored, NETRIG_WAIT_MS));
}

static int table_handle(void)
{
    return netrig_shell("exit $(nft -a list tables | sed -n 's/.*wherry_a.*handle //p')");
}

/* Netlink and text say the same, so that each may undo what the other did. */
START_TEST(what_netlink_and_nft_write_is_the_same)
{
    int handle = table_handle();

    make_dir();
    list_table(in_dir("empty"));
    add_one_of_each();
    rulesrig_apply(RULESRIG_A);
    list_table(in_dir("before"));
    ck_assert_int_ne(netrig_shell("diff -q %s %s >/dev/null", in_dir("before"), in_dir("empty")),
                     0);
    ck_assert_int_eq(table_handle(), handle);
    ck_assert_uint_eq(net_restored(rulesrig.node[RULESRIG_A].net), 0);
    destroy_table();
    same_as_before();
    handle = table_handle();
    rulesrig_apply(RULESRIG_A); /* nothing */
    netrig_must(netrig_shell("mv %s %s", in_dir("empty"), in_dir("before")));
    same_as_before();
    ck_assert_int_eq(table_handle(), handle);
    rulesrig_settle(100);
    ck_assert_int_eq(table_handle(), handle);
    ck_assert_uint_eq(net_restored(rulesrig.node[RULESRIG_A].net), 1);
    remove_dir();
}
END_TEST

/* What text adds netlink removes, and the reverse; changes by netlink are no foreign ones. */
START_TEST(nft_removes_what_netlink_added)
{
    static const char *const commands[] = {
        "delete element inet wherry_a w_class { 0xa800401 }",
        "delete element inet wherry_a w_reach { 0x10000001 . 0xa800401 }",
        "delete element inet wherry_a w_vip { 10.240.0.1 }",
        "delete element inet wherry_a w_vip_to { 10.240.0.1 . 2 }",
        "delete element inet wherry_a w_any { tcp . 80 }",
        "delete element inet wherry_a w_any_to { udp . 53 . 0 }",
        "delete element inet wherry_a w_one { 198.51.100.1 . udp . 65535 }",
        "delete element inet wherry_a w_one_to { 198.51.100.1 . udp . 65535 . 0 }",
        "delete element inet wherry_a w_ingress { 10.128.4.1 . tcp . 80 }",
        "delete element inet wherry_a w_noout { 10.128.4.1 }",
        "delete element inet wherry_a w_out { 10.128.4.1 . 0.0.0.0/0 }",
        "delete element inet wherry_a w_self { 10.128.4.1 . 10.128.4.1 }",
        "delete element inet wherry_a w_nodes { 198.51.100.2 }",
        "delete element inet wherry_a w_gates { 0xa800800 }",
        "delete element inet wherry_a w_blocks { 10.128.8.0/22 }",
    };

    make_dir();
    add_one_of_each();
    rulesrig_apply(RULESRIG_A);
    list_table(in_dir("before"));
    for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        ck_assert_msg(netrig_shell("nft '%s'", commands[i]) == 0, "%s", commands[i]);
    }
    rulesrig.restored = 0;
    ck_assert(netrig_run_until(&rulesrig.loop, restored, NETRIG_WAIT_MS));
    rulesrig_settle(500);
    same_as_before();
    remove_dir();
}
END_TEST

/* The kernel refuses them; the table comes without the inner ones. */
START_TEST(networks_that_overlap_do_not_cost_the_table)
{
    auto_close int web = netrig_serve(rulesrig.out, SOCK_STREAM, 443);

    rulesrig_add_classes();
    rulesrig_add((struct netelem){.set = NETELEM_NOOUT, .address = rulesrig.address[0]});
    rulesrig_add((struct netelem){.set = NETELEM_OUT, .address = rulesrig.address[0]});
    rulesrig_add((struct netelem){
        .set = NETELEM_OUT, .address = rulesrig.address[0], .other = 0x0a000000u, .prefix = 8});
    rulesrig_apply(RULESRIG_A);
    rulesrig_settle(500);
    ck_assert_uint_eq(netrig_visit(rulesrig.cell[0], RULESRIG_OUT_ADDRESS, 443, web),
                      RULESRIG_A_OUTSIDE);
    rulesrig_add_classes();
    rulesrig_add((struct netelem){.set = NETELEM_NOOUT, .address = rulesrig.address[0]});
    rulesrig_apply(RULESRIG_A);
    rulesrig_settle(500);
    netrig_refuse(rulesrig.cell[0], RULESRIG_OUT_ADDRESS, 443);
}
END_TEST

/* The batch is one: what is refused leaves nothing, and the table is asserted. */
START_TEST(a_change_is_all_or_nothing)
{
    const struct netelem there = {
        .set = NETELEM_CLASS, .address = rulesrig.address[0], .mark = RULESRIG_CLASS_1};
    const struct netelem other = {.set = NETELEM_CLASS, .address = rulesrig.address[0], .mark = 77};
    const struct netelem absent = {.set = NETELEM_NOOUT, .address = 1};
    const struct netelem no_chain = {
        .set = NETELEM_VIP, .address = RULESRIG_VIP, .chain = NETELEM_CHAIN_VIP, .n = 4000};
    struct nftset *s = NULL;
    struct err e = {0};

    rulesrig_add_classes();
    rulesrig_apply(RULESRIG_A);
    make_dir();
    list_table(in_dir("before"));
    ck_assert_int_eq(nftset_open("wherry_a", &s, &e), 0);
    ck_assert_uint_ne(nftset_port(s), 0);
    ck_assert_int_eq(nftset_change(s, &absent, 1, NULL, 0, &e), -ENOENT);
    ck_assert_msg(strstr(e.text, "wherry_a") != NULL, "%s", e.text);
    ck_assert_int_eq(nftset_change(s, NULL, 0, &other, 1, &e), -EEXIST);
    ck_assert_int_eq(nftset_change(s, &there, 1, &no_chain, 1, &e), -ENOENT);
    ck_assert_int_eq(nftset_change(s, &absent, 1, &absent, 1, &e), -ENOENT);
    ck_assert_int_eq(nftset_change(s, NULL, 0, &there, 1, &e), 0); /* it is as it shall be */
    ck_assert_int_eq(nftset_change(s, NULL, 0, NULL, 0, &e), 0);
    same_as_before();
    nftset_close(s);
    ck_assert_int_eq(nftset_open("wherry_none", &s, &e), 0);
    ck_assert_int_eq(nftset_change(s, NULL, 0, &there, 1, &e), -ENOENT);
    nftset_close(s);
    nftset_close(NULL);
    ck_assert_int_eq(net_elements(rulesrig.node[RULESRIG_A].net, &absent, 1, NULL, 0, 0, &e), 0);
    rulesrig_settle(300);
    same_as_before();
    remove_dir();
}
END_TEST

/* Numbers of a seed. */
static unsigned draw(unsigned *state, unsigned below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 16) % below;
}

/* Whatever happens meanwhile, in the end the table holds what it shall. */
START_TEST(changes_during_an_assertion_are_not_lost)
{
    unsigned state = 5;

    make_dir();
    for (unsigned round = 0; round < 60; round++) {
        rulesrig_add_classes();
        for (unsigned i = 0; i < 200; i++) {
            if (draw(&state, 2) == 0) {
                rulesrig_add((struct netelem){.set = NETELEM_NOOUT, .address = 0x0a800500u + i});
            }
        }
        rulesrig_add_vip(RULESRIG_VIP, NETELEM_CHAIN_VIP, rulesrig.address, 1 + draw(&state, 3));
        rulesrig_apply(RULESRIG_A);
        if (round % 10 == 0) {
            netrig_must(netrig_shell("nft flush ruleset"));
        }
        rulesrig_settle(draw(&state, 30));
    }
    rulesrig_settle(1000);
    list_table(in_dir("before"));
    destroy_table();
    same_as_before();
    remove_dir();
}
END_TEST

/* ---- cost ---- */

static void add_services(unsigned n, uint32_t backend)
{
    for (unsigned i = 0; i < n; i++) {
        const uint32_t to[] = {0x0a800500u + i % 700, 0x0a800900u + i % 700, backend};

        rulesrig_add_vip(RULESRIG_VIP + i, NETELEM_CHAIN_VIP, to, 3);
        rulesrig_add((struct netelem){.set = NETELEM_REACH, .mark = i + 1, .address = to[0]});
        rulesrig_add((struct netelem){.set = NETELEM_REACH, .mark = i + 1, .address = to[1]});
    }
}

static double change_us(unsigned rounds)
{
    struct netelem is = {
        .set = NETELEM_VIP_TO, .address = RULESRIG_VIP + 7, .index = 2, .to = 0x0a800801u};
    struct node *n = &rulesrig.node[RULESRIG_A];
    struct err e = {0};
    uint64_t began = uv_hrtime();

    for (unsigned i = 0; i < rounds; i++) {
        struct netelem next = is;

        next.to ^= 3;
        ck_assert_int_eq(net_elements(n->net, &is, 1, &next, 1, 3, &e), 0);
        is = next;
    }
    ck_assert_uint_eq(rounds % 2, 0); /* as it was */
    return (double)(uv_hrtime() - began) / 1e3 / rounds;
}

START_TEST(a_change_costs_the_same_among_five_thousand_services)
{
    enum { SERVICES = 5000 };
    double few, many;
    uint64_t began;

    add_services(10, 0x0a800801u);
    rulesrig_apply(RULESRIG_A);
    few = change_us(200);
    add_services(SERVICES, 0x0a800801u);
    began = netrig_now_ms();
    rulesrig_apply(RULESRIG_A);
    (void)fprintf(stderr, "%d services at once: %u ms\n", SERVICES,
                  (unsigned)(netrig_now_ms() - began));
    many = change_us(200);
    (void)fprintf(stderr, "one change: %.0f us among 10 services, %.0f us among %d\n", few, many,
                  SERVICES);
    ck_assert(many < few * 3 + 500);
    rulesrig_settle(1000);
    ck_assert_uint_eq(net_restored(rulesrig.node[RULESRIG_A].net), 0);
    began = netrig_now_ms();
    destroy_table();
    (void)fprintf(stderr, "the whole table again: %u ms\n", (unsigned)(netrig_now_ms() - began));
    began = netrig_now_ms();
    netrig_must(netrig_shell("nft add element inet wherry_a w_noout { 10.0.0.1 }"));
    (void)fprintf(stderr, "one change by a process of nft: %u ms\n",
                  (unsigned)(netrig_now_ms() - began));
}
END_TEST

/* ---- the agent goes and comes ---- */

START_TEST(another_agent_takes_the_table_over)
{
    make_dir();
    add_one_of_each();
    rulesrig_apply(RULESRIG_A);
    list_table(in_dir("before"));
    rulesrig_close_nodes(false);
    same_as_before();
    rulesrig_open_node(RULESRIG_A);
    rulesrig_open_node(RULESRIG_B);
    same_as_before();
    remove_dir();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ruleset");
    TCase *c = tcase_create("ruleset");
    SRunner *r = srunner_create(s);
    int failed;

    if (skip_unless_root("network namespaces")) {
        return SKIP;
    }
    tcase_add_checked_fixture(c, rulesrig_setup, rulesrig_teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, what_netlink_and_nft_write_is_the_same);
    tcase_add_test(c, nft_removes_what_netlink_added);
    tcase_add_test(c, networks_that_overlap_do_not_cost_the_table);
    tcase_add_test(c, a_change_is_all_or_nothing);
    tcase_add_test(c, changes_during_an_assertion_are_not_lost);
    tcase_add_test(c, a_change_costs_the_same_among_five_thousand_services);
    tcase_add_test(c, another_agent_takes_the_table_over);
    suite_add_tcase(s, c);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
