// SPDX-License-Identifier: Apache-2.0
/* What an order says of networks and names: as it was written, and what is no address is none. */
#include "agent/order.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/doc.h"
#include "spec.pb-c.h"

static struct order *order_of(const Wherry__Spec__Container *c)
{
    auto_buf struct buf bytes = {0};
    struct order *order = NULL;
    struct err e = {0};

    doc_encode(&c->base, &bytes);
    ck_assert_msg(order_decode(bytes.data, bytes.len, &order, &e) == 0, "%s", e.text);
    return order;
}

/* A document from before there were networks. */
START_TEST(nothing_said)
{
    Wherry__Spec__Container c = WHERRY__SPEC__CONTAINER__INIT;
    struct order *order;
    struct order_network_use use;
    uint64_t in = 1, out = 1;
    uint32_t address;
    unsigned prefix;
    const char *to;

    c.image = "busybox";
    order = order_of(&c);
    ck_assert_int_eq((int)order_network(order), ORDER_NETWORK_BRIDGE);
    ck_assert(!order_network_use(order, 0, &use));
    ck_assert_str_eq(order_domainname(order), "");
    ck_assert(!order_dns(order, 0, &address));
    ck_assert_ptr_null(order_dns_search(order, 0));
    ck_assert_ptr_null(order_dns_opt(order, 0));
    ck_assert_ptr_null(order_extra_host(order, 0, &to));
    ck_assert(!order_egress_restricted(order));
    ck_assert(!order_egress_to(order, 0, &address, &prefix));
    order_bandwidth(order, &in, &out);
    ck_assert(in == 0 && out == 0);
    order_unref(order);
}
END_TEST

START_TEST(networks)
{
    Wherry__Spec__Container c = WHERRY__SPEC__CONTAINER__INIT;
    Wherry__Spec__NetworkUse uses[2], *list[] = {&uses[0], &uses[1]};
    const uint8_t mac[6] = {0x02, 0x42, 0xac, 0x11, 0x00, 0xfe}, none[6] = {0};
    struct order_network_use use;
    struct order *order;

    wherry__spec__network_use__init(&uses[0]);
    wherry__spec__network_use__init(&uses[1]);
    uses[0].name = "front";
    uses[0].ipv4_address = "10.5.0.7";
    uses[0].mac_address = "02:42:AC:11:00:fe";
    uses[0].internal = true;
    uses[1].name = "shop_back";
    uses[1].ipv4_address = "10.5.0.300";
    uses[1].mac_address = "02:42:ac:11:00";
    uses[1].ipv6 = true;
    c.networks = list;
    c.n_networks = 2;
    order = order_of(&c);
    ck_assert(order_network_use(order, 0, &use));
    ck_assert_str_eq(use.name, "front");
    ck_assert_uint_eq(use.ipv4, 0x0a050007);
    ck_assert_mem_eq(use.mac, mac, 6);
    ck_assert(use.internal && !use.ipv6);
    ck_assert(order_network_use(order, 1, &use));
    ck_assert_str_eq(use.name, "shop_back");
    ck_assert_uint_eq(use.ipv4, 0);
    ck_assert_mem_eq(use.mac, none, 6);
    ck_assert(!use.internal && use.ipv6);
    ck_assert(!order_network_use(order, 2, &use));
    order_unref(order);
}
END_TEST

START_TEST(names)
{
    Wherry__Spec__Container c = WHERRY__SPEC__CONTAINER__INIT;
    Wherry__Spec__KeyValue up = WHERRY__SPEC__KEY_VALUE__INIT, *hosts[] = {&up};
    char *dns[] = {"192.0.2.53", "192.0.2.54"};
    char *search[] = {"example.org"};
    char *options[] = {"ndots:2"};
    struct order *order;
    uint32_t address;
    const char *to;

    up.key = "up";
    up.value = "host-gateway";
    c.domainname = "example.org";
    c.dns = dns;
    c.n_dns = 2;
    c.dns_search = search;
    c.n_dns_search = 1;
    c.dns_opt = options;
    c.n_dns_opt = 1;
    c.extra_hosts = hosts;
    c.n_extra_hosts = 1;
    order = order_of(&c);
    ck_assert_str_eq(order_domainname(order), "example.org");
    ck_assert(order_dns(order, 1, &address) && address == 0xc0000236);
    ck_assert(!order_dns(order, 2, &address) && address == 0);
    ck_assert_str_eq(order_dns_search(order, 0), "example.org");
    ck_assert_ptr_null(order_dns_search(order, 1));
    ck_assert_str_eq(order_dns_opt(order, 0), "ndots:2");
    ck_assert_ptr_null(order_dns_opt(order, 1));
    ck_assert_str_eq(order_extra_host(order, 0, &to), "up");
    ck_assert_str_eq(to, "host-gateway");
    ck_assert_ptr_null(order_extra_host(order, 1, &to));
    order_unref(order);
}
END_TEST

START_TEST(where_it_may_go)
{
    Wherry__Spec__Container c = WHERRY__SPEC__CONTAINER__INIT;
    Wherry__Spec__Egress egress = WHERRY__SPEC__EGRESS__INIT;
    Wherry__Spec__Bandwidth bandwidth = WHERRY__SPEC__BANDWIDTH__INIT;
    char *cidr[] = {"10.1.2.3", "192.0.2.0/24", "0.0.0.0/0"};
    struct order *order;
    uint64_t in, out;
    uint32_t net;
    unsigned prefix;

    egress.restricted = true;
    egress.cidr = cidr;
    egress.n_cidr = 3;
    bandwidth.in_bits_per_s = 10000000;
    bandwidth.out_bits_per_s = 1500000000;
    c.egress = &egress;
    c.bandwidth = &bandwidth;
    order = order_of(&c);
    ck_assert(order_egress_restricted(order));
    ck_assert(order_egress_to(order, 0, &net, &prefix) && net == 0x0a010203 && prefix == 32);
    ck_assert(order_egress_to(order, 1, &net, &prefix) && net == 0xc0000200 && prefix == 24);
    ck_assert(order_egress_to(order, 2, &net, &prefix) && net == 0 && prefix == 0);
    ck_assert(!order_egress_to(order, 3, &net, &prefix));
    order_bandwidth(order, &in, &out);
    ck_assert(in == 10000000 && out == 1500000000);
    order_unref(order);
}
END_TEST

/* Nothing that is wrong opens a way, or closes one without a word: the document is refused. */
START_TEST(where_it_may_go_cannot_be_read)
{
    static const char *const wrong[] = {
        "192.0.2.0/33",  "example.org",   "192.0.2.0/",    "192.0.2.0/x",
        "192.0.2.0/+8",  "192.0.2.0/8x",  "192.0.2.0/8/8", "",
        "2001:db8::/32", "192.0.2.0.0/8", "192.0.2.0/-1",  "192.0.2.0/99999999999999999999"};
    Wherry__Spec__Container c = WHERRY__SPEC__CONTAINER__INIT;
    Wherry__Spec__Egress egress = WHERRY__SPEC__EGRESS__INIT;
    char *cidr[ORDER_EGRESS_MAX + 1];
    struct order *order = NULL;

    egress.cidr = cidr;
    c.egress = &egress;
    for (size_t i = 0; i <= ARRAY_LEN(wrong); i++) {
        auto_buf struct buf bytes = {0};
        struct err e = {0};
        char said[128];

        egress.n_cidr = i < ARRAY_LEN(wrong) ? 2 : ORDER_EGRESS_MAX + 1;
        for (size_t k = 0; k <= ORDER_EGRESS_MAX; k++) {
            cidr[k] = "10.1.2.3";
        }
        if (i < ARRAY_LEN(wrong)) {
            cidr[1] = (char *)(uintptr_t)wrong[i];
            (void)snprintf(
                said, sizeof(said),
                "container document: x-wherry.egress: '%s' is no network (allowed: ", wrong[i]);
        } else {
            (void)snprintf(said, sizeof(said),
                           "container document: x-wherry.egress: 65 networks "
                           "(allowed: at most 64)");
        }
        doc_encode(&c.base, &bytes);
        ck_assert_int_eq(order_decode(bytes.data, bytes.len, &order, &e), -EBADMSG);
        ck_assert_msg(strncmp(e.text, said, strlen(said)) == 0, "%s", e.text);
        ck_assert_ptr_null(order);
    }
}
END_TEST

START_TEST(port_modes)
{
    Wherry__Spec__Container c = WHERRY__SPEC__CONTAINER__INIT;
    Wherry__Spec__Port ports[3], *list[] = {&ports[0], &ports[1], &ports[2]};
    struct order_port port;
    struct order *order;

    for (unsigned i = 0; i < 3; i++) {
        wherry__spec__port__init(&ports[i]);
        ports[i].target = 80 + i;
        ports[i].published = i == 0 ? 0 : 8080 + i; /* the first is for inside only */
    }
    ports[2].mode = WHERRY__SPEC__PORT_MODE__PORT_HOST;
    c.ports = list;
    c.n_ports = 3;
    order = order_of(&c);
    ck_assert(order_port(order, 0, &port) && port.target == 81 && !port.host);
    ck_assert(order_port(order, 1, &port) && port.target == 82 && port.host);
    ck_assert(!order_port(order, 2, &port));
    order_unref(order);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("order");
    TCase *tc = tcase_create("networks");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, nothing_said);
    tcase_add_test(tc, networks);
    tcase_add_test(tc, names);
    tcase_add_test(tc, where_it_may_go);
    tcase_add_test(tc, where_it_may_go_cannot_be_read);
    tcase_add_test(tc, port_modes);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
