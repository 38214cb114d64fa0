// SPDX-License-Identifier: Apache-2.0
/* What the plan decides, case by case (tests/scenario/netplan_property.c holds it to a model). */
#include "agent/net/netplan.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define BLOCK 0x0a800400u /* 10.128.4.0/22: this node's */
#define OTHER 0x0a800800u
#define THIRD 0x0a800c00u
#define VIP   0x0af00001u

static const struct netplan_config config = {
    .range = 0x0a800000u, .range_prefix = 9, .block = BLOCK, .block_prefix = 22};
static const char *const shop_net[] = {"shop_default"};
static const char *const mail_net[] = {"mail_default"};

static struct netplan *plan;
static struct netplan_diff diff;
static struct netelems all;

/* shop/web: one network, one virtual address, published on 8080, two endpoints on other nodes. */
static struct svc_network network = {.name = "shop_default", .vip = VIP};
static struct svc_port port = {.published = 8080, .target = 80};
static struct svc_endpoint endpoints[400];
static struct svc_entry web;

static void setup(void)
{
    plan = netplan_create(&config);
    web = (struct svc_entry){.stack = "shop",
                             .service = "web",
                             .networks = &network,
                             .n_networks = 1,
                             .endpoints = endpoints,
                             .n_endpoints = 2,
                             .ports = &port,
                             .n_ports = 1};
    for (unsigned i = 0; i < 400; i++) {
        endpoints[i] = (struct svc_endpoint){.incarnation = 10 + i,
                                             .slot = i + 1,
                                             .address = (i % 2 == 0 ? OTHER : THIRD) + 1 + i,
                                             .networks = 1,
                                             .ready = true};
    }
}

static void teardown(void)
{
    netplan_destroy(plan);
    netplan_diff_finish(&diff);
    netelems_finish(&all);
}

static void tell_web(void)
{
    netplan_service(plan, "shop", "web", &web, &diff);
}

static void local(uint64_t incarnation, const char *stack, const char *service,
                  const char *const *networks, bool ready, bool draining)
{
    struct netplan_local l = {.incarnation = incarnation,
                              .address = BLOCK + (uint32_t)incarnation,
                              .stack = stack,
                              .service = service,
                              .networks = networks,
                              .n_networks = networks != NULL ? 1 : 0,
                              .ready = ready,
                              .draining = draining};

    netplan_local(plan, &l, &diff);
}

/* How many elements of a set there are now. */
static unsigned count(enum netelem_set set)
{
    unsigned n = 0;

    netelems_finish(&all);
    netplan_all(plan, &all);
    for (unsigned i = 0; i < all.n; i++) {
        n += all.list[i].set == set;
    }
    return n;
}

static bool has(struct netelem e)
{
    netelems_finish(&all);
    netplan_all(plan, &all);
    for (unsigned i = 0; i < all.n; i++) {
        if (netelem_equal(&all.list[i], &e)) {
            return true;
        }
    }
    return false;
}

static bool vip_leads_to(uint32_t index, uint32_t address)
{
    return has(
        (struct netelem){.set = NETELEM_VIP_TO, .address = VIP, .index = index, .to = address});
}

static bool port_leads_to(uint32_t index, uint32_t address, uint16_t to_port)
{
    return has((struct netelem){
        .set = NETELEM_ANY_TO, .port = 8080, .index = index, .to = address, .to_port = to_port});
}

/* ---- classes ---- */

START_TEST(containers_on_the_same_networks_are_a_class)
{
    local(100, "shop", "cron", shop_net, true, false);
    local(101, "shop", "job", shop_net, true, false);
    local(102, "mail", "mx", mail_net, true, false);
    local(103, "local", "alone", NULL, true, false);
    tell_web();
    ck_assert(has((struct netelem){.set = NETELEM_CLASS, .address = BLOCK + 100, .mark = 1}));
    ck_assert(has((struct netelem){.set = NETELEM_CLASS, .address = BLOCK + 101, .mark = 1}));
    ck_assert(has((struct netelem){.set = NETELEM_CLASS, .address = BLOCK + 102, .mark = 2}));
    ck_assert_uint_eq(count(NETELEM_CLASS), 3);
    /* 1 reaches itself and shop/web, 2 only itself */
    ck_assert(has((struct netelem){.set = NETELEM_REACH, .mark = 1, .address = OTHER + 1}));
    ck_assert(has((struct netelem){.set = NETELEM_REACH, .mark = 1, .address = BLOCK + 101}));
    ck_assert(has((struct netelem){.set = NETELEM_REACH, .mark = 2, .address = BLOCK + 102}));
    ck_assert_uint_eq(count(NETELEM_REACH), 5);
}
END_TEST

START_TEST(a_class_s_number_is_used_again_when_nothing_of_it_is_left)
{
    local(100, "shop", "cron", shop_net, true, false);
    tell_web();
    netplan_local_gone(plan, 100, &diff);
    ck_assert_uint_eq(count(NETELEM_REACH), 0);
    local(102, "mail", "mx", mail_net, true, false);
    ck_assert(has((struct netelem){.set = NETELEM_CLASS, .address = BLOCK + 102, .mark = 1}));
    local(102, "mail", "mx", shop_net, true, false); /* from one to another: not the same */
    ck_assert(has((struct netelem){.set = NETELEM_CLASS, .address = BLOCK + 102, .mark = 2}));
}
END_TEST

START_TEST(extra_addresses_are_reached_like_the_others)
{
    endpoints[0].extra = 0x0ac80001u;
    local(100, "shop", "cron", shop_net, true, false);
    tell_web();
    ck_assert(has((struct netelem){.set = NETELEM_REACH, .mark = 1, .address = 0x0ac80001u}));
    ck_assert(has((struct netelem){
        .set = NETELEM_VIP, .address = 0x0ac80001u, .chain = NETELEM_CHAIN_VIP, .n = 1}));
    ck_assert(has((struct netelem){
        .set = NETELEM_VIP_TO, .address = 0x0ac80001u, .to = endpoints[0].address}));
    ck_assert(has((struct netelem){.set = NETELEM_EXTRA, .address = 0x0ac80001u}));
    netplan_local_gone(plan, 100, &diff);
    ck_assert_uint_eq(count(NETELEM_EXTRA), 0);
    ck_assert(!has((struct netelem){
        .set = NETELEM_VIP_TO, .address = 0x0ac80001u, .to = endpoints[0].address}));
}
END_TEST

START_TEST(of_networks_that_overlap_the_larger_is_told)
{
    const struct netplan_cidr out[] = {
        {0x0b010000u, 16}, {0x0b000000u, 8}, {0x0c000000u, 8}, {0x0c000000u, 8}};
    struct netplan_local l = {.incarnation = 100,
                              .address = BLOCK + 100,
                              .stack = "shop",
                              .service = "cron",
                              .no_out = true,
                              .out = out,
                              .n_out = 4};

    netplan_local(plan, &l, &diff);
    ck_assert_uint_eq(count(NETELEM_NOOUT), 1);
    ck_assert_uint_eq(count(NETELEM_OUT), 2);
    ck_assert(has((struct netelem){
        .set = NETELEM_OUT, .address = BLOCK + 100, .other = 0x0b000000u, .prefix = 8}));
}
END_TEST

/* ---- virtual addresses ---- */

START_TEST(a_virtual_address_leads_to_the_ready)
{
    local(100, "shop", "cron", shop_net, true, false);
    tell_web();
    ck_assert(vip_leads_to(0, OTHER + 1) && vip_leads_to(1, THIRD + 2));
    endpoints[0].ready = false;
    tell_web();
    ck_assert(vip_leads_to(0, THIRD + 2));
    ck_assert_uint_eq(count(NETELEM_VIP_TO), 1);
    endpoints[1].draining = true;
    tell_web();
    ck_assert_uint_eq(count(NETELEM_VIP), 0);
    ck_assert_uint_eq(count(NETELEM_ANY), 0);
    ck_assert_uint_eq(count(NETELEM_REACH), 3); /* connections that there are go on */
}
END_TEST

START_TEST(nobody_is_led_to_a_node_that_is_silent_unless_all_are)
{
    local(100, "shop", "cron", shop_net, true, false);
    tell_web();
    netplan_reach(plan, OTHER, 22, false, &diff);
    ck_assert(vip_leads_to(0, THIRD + 2));
    ck_assert_uint_eq(count(NETELEM_VIP_TO), 1);
    netplan_reach(plan, THIRD, 22, false, &diff);
    ck_assert_uint_eq(count(NETELEM_VIP_TO), 2);
    netplan_reach(plan, OTHER, 22, true, &diff);
    ck_assert(vip_leads_to(0, OTHER + 1));
    ck_assert_uint_eq(count(NETELEM_VIP_TO), 1);
}
END_TEST

START_TEST(the_node_knows_its_own_containers_better)
{
    web.n_endpoints = 3;
    endpoints[2].address = BLOCK + 12;
    local(100, "shop", "cron", shop_net, true, false);
    local(12, "shop", "web", shop_net, true, true);
    tell_web(); /* says that 12 is ready: it is being stopped */
    ck_assert_uint_eq(count(NETELEM_VIP_TO), 2);
    local(12, "shop", "web", shop_net, true, false);
    ck_assert_uint_eq(count(NETELEM_VIP_TO), 3);
    netplan_local_gone(plan, 12, &diff);
    ck_assert_uint_eq(count(NETELEM_VIP_TO), 2);
    ck_assert(!has((struct netelem){.set = NETELEM_REACH, .mark = 1, .address = BLOCK + 12}));
    endpoints[2].ready = false;
    tell_web();
    local(12, "shop", "web", shop_net, true, false); /* ready, and the table does not know yet */
    ck_assert_uint_eq(count(NETELEM_VIP_TO), 3);
}
END_TEST

START_TEST(of_very_many_some_are_taken)
{
    unsigned among = 0;

    web.n_endpoints = 400;
    local(100, "shop", "cron", shop_net, true, false);
    tell_web();
    ck_assert_uint_eq(count(NETELEM_VIP_TO), NETPLAN_BACKENDS_MAX);
    ck_assert_uint_eq(netplan_backends_max(plan), NETPLAN_BACKENDS_MAX);
    ck_assert_uint_eq(diff.backends_max, NETPLAN_BACKENDS_MAX);
    for (unsigned i = 0; i < all.n; i++) {
        among += all.list[i].set == NETELEM_VIP_TO && all.list[i].to == endpoints[7].address;
    }
    netplan_diff_finish(&diff);
    endpoints[7].ready = false;
    tell_web();
    ck_assert_uint_eq(count(NETELEM_VIP_TO), NETPLAN_BACKENDS_MAX);
    netplan_diff_settle(&diff);
    ck_assert(among > 0 || diff.added.n == 0); /* who was not among them changes nothing */
    netplan_diff_finish(&diff);
    web.n_endpoints = 2;
    tell_web();
    ck_assert_uint_eq(netplan_backends_max(plan), 2);
}
END_TEST

START_TEST(who_asks_for_names_alone_has_no_virtual_address)
{
    local(100, "shop", "cron", shop_net, true, false);
    web.balance = SVC_BALANCE_NONE;
    tell_web();
    ck_assert_uint_eq(count(NETELEM_VIP), 0);
    web.balance = SVC_BALANCE_CLIENT;
    tell_web();
    ck_assert(has(
        (struct netelem){.set = NETELEM_VIP, .address = VIP, .chain = NETELEM_CHAIN_VIC, .n = 2}));
}
END_TEST

/* ---- published ports ---- */

START_TEST(a_port_leads_to_this_node_s_own_if_it_has_some)
{
    tell_web();
    ck_assert(port_leads_to(0, OTHER + 1, 80) && port_leads_to(1, THIRD + 2, 80));
    local(12, "shop", "web", shop_net, true, false);
    ck_assert(port_leads_to(0, BLOCK + 12, 80));
    ck_assert_uint_eq(count(NETELEM_ANY_TO), 1);
    ck_assert(has((struct netelem){.set = NETELEM_INGRESS, .address = BLOCK + 12, .port = 80}));
    local(12, "shop", "web", shop_net, false, false);
    ck_assert_uint_eq(count(NETELEM_ANY_TO), 2);
    ck_assert_uint_eq(count(NETELEM_INGRESS), 1); /* others may think that it is ready */
}
END_TEST

START_TEST(ports_of_a_container_that_the_table_does_not_know_are_its_own)
{
    const struct netplan_port ports[] = {
        {.published = 8080, .target = 81},
        {.host = true, .published = 9090, .target = 90, .host_ip = 0xc0000201u}};
    struct netplan_local l = {.incarnation = 12,
                              .address = BLOCK + 12,
                              .stack = "shop",
                              .service = "web",
                              .ready = true,
                              .ports = ports,
                              .n_ports = 2};

    netplan_local(plan, &l, &diff);
    ck_assert(port_leads_to(0, BLOCK + 12, 81));
    ck_assert(has((struct netelem){.set = NETELEM_ONE_TO,
                                   .address = 0xc0000201u,
                                   .port = 9090,
                                   .to = BLOCK + 12,
                                   .to_port = 90}));
    ck_assert_uint_eq(count(NETELEM_INGRESS), 1); /* none for mode: host */
    web.n_endpoints = 3;
    web.n_ports = 0;
    endpoints[2].address = BLOCK + 12;
    tell_web(); /* knows it, and that the service publishes nothing by now */
    ck_assert_uint_eq(count(NETELEM_ANY), 0);
    ck_assert_uint_eq(count(NETELEM_ONE), 1);
}
END_TEST

START_TEST(a_port_of_two_services_is_the_first_s_that_has_somebody)
{
    struct svc_entry later = web;

    (void)snprintf(later.service, sizeof(later.service), "xeb");
    later.n_endpoints = 1;
    netplan_service(plan, "shop", "xeb", &later, &diff);
    ck_assert_uint_eq(count(NETELEM_ANY_TO), 1);
    tell_web();
    ck_assert_uint_eq(count(NETELEM_ANY_TO), 2);
    netplan_service(plan, "shop", "web", NULL, &diff);
    ck_assert_uint_eq(count(NETELEM_ANY_TO), 1);
}
END_TEST

/* ---- differences ---- */

START_TEST(flows_to_what_is_gone_are_to_be_forgotten)
{
    tell_web();
    ck_assert_uint_eq(diff.n_flush, 0);
    endpoints[0].draining = true;
    tell_web();
    netplan_diff_settle(&diff);
    ck_assert_uint_eq(diff.n_flush, 0);
    netplan_diff_finish(&diff);
    web.endpoints = &endpoints[1];
    web.n_endpoints = 1;
    tell_web();
    local(12, "shop", "web", shop_net, true, false);
    netplan_local_gone(plan, 12, &diff);
    netplan_diff_settle(&diff);
    ck_assert_uint_eq(diff.n_flush, 2);
    ck_assert_uint_eq(diff.flush[0], BLOCK + 12);
    ck_assert_uint_eq(diff.flush[1], OTHER + 1);
}
END_TEST

START_TEST(what_comes_and_goes_between_is_no_difference)
{
    tell_web();
    netplan_service(plan, "shop", "web", NULL, &diff);
    tell_web();
    netplan_service(plan, "shop", "web", NULL, &diff);
    netplan_diff_settle(&diff);
    ck_assert_uint_eq(diff.removed.n, 0);
    ck_assert_uint_eq(diff.added.n, 0);
    netplan_diff_finish(&diff);
    tell_web();
    tell_web();
    netplan_diff_settle(&diff);
    ck_assert_uint_eq(diff.added.n, 3); /* the port, and two behind it */
    netplan_diff_finish(&diff);
    netplan_service(plan, "shop", "web", NULL, &diff);
    web.n_endpoints = 1;
    tell_web();
    netplan_diff_settle(&diff);
    ck_assert_uint_eq(diff.removed.n, 2); /* the first backend is the same */
    ck_assert_uint_eq(diff.added.n, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("netplan");
    TCase *c = tcase_create("netplan");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, containers_on_the_same_networks_are_a_class);
    tcase_add_test(c, a_class_s_number_is_used_again_when_nothing_of_it_is_left);
    tcase_add_test(c, extra_addresses_are_reached_like_the_others);
    tcase_add_test(c, of_networks_that_overlap_the_larger_is_told);
    tcase_add_test(c, a_virtual_address_leads_to_the_ready);
    tcase_add_test(c, nobody_is_led_to_a_node_that_is_silent_unless_all_are);
    tcase_add_test(c, the_node_knows_its_own_containers_better);
    tcase_add_test(c, of_very_many_some_are_taken);
    tcase_add_test(c, who_asks_for_names_alone_has_no_virtual_address);
    tcase_add_test(c, a_port_leads_to_this_node_s_own_if_it_has_some);
    tcase_add_test(c, ports_of_a_container_that_the_table_does_not_know_are_its_own);
    tcase_add_test(c, a_port_of_two_services_is_the_first_s_that_has_somebody);
    tcase_add_test(c, flows_to_what_is_gone_are_to_be_forgotten);
    tcase_add_test(c, what_comes_and_goes_between_is_no_difference);
    suite_add_tcase(s, c);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
