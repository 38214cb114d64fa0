// SPDX-License-Identifier: Apache-2.0
/* Networks of a document on the controller's side: what the fleet decides upon, what is refused
 * that could break it, and what stays when services are kept. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/doc.h"
#include "controller/codec_want.h"
#include "spec.pb-c.h"

#define TOO_MANY (SVC_ALIASES_MAX + 1)

/* Service "web" on networks "shop_back" and "front", out of order, and what declares them. */
struct sample {
    char *aliases[TOO_MANY];
    Wherry__Spec__NetworkUse back, front;
    Wherry__Spec__NetworkUse *uses[SVC_NETWORKS_MAX + 1];
    Wherry__Spec__Port port;
    Wherry__Spec__Port *ports[1];
    Wherry__Spec__Container container;
    Wherry__Spec__Service service;
    Wherry__Spec__Service *services[1];
    Wherry__Spec__Network own, other;
    Wherry__Spec__Network *networks[2];
    Wherry__Spec__Stack stack;
};

static void sample_uses(struct sample *s)
{
    wherry__spec__network_use__init(&s->back);
    wherry__spec__network_use__init(&s->front);
    s->aliases[0] = "backend";
    s->aliases[1] = "db.internal";
    s->back.name = "shop_back";
    s->back.aliases = s->aliases;
    s->back.n_aliases = 2;
    s->back.ipv4_address = "10.5.0.7";
    s->back.internal = true;
    s->front.name = "front";
    s->front.ipv6 = true;
    s->uses[0] = &s->back;
    s->uses[1] = &s->front;
}

static void sample_networks(struct sample *s)
{
    wherry__spec__network__init(&s->own);
    wherry__spec__network__init(&s->other);
    s->own.key = "back";
    s->own.name = "shop_back";
    s->own.internal = true;
    s->own.attachable = true;
    s->other.key = "front";
    s->other.name = "front";
    s->other.external = true;
    s->other.enable_ipv6 = true;
    s->networks[0] = &s->own;
    s->networks[1] = &s->other;
}

static void sample_init(struct sample *s)
{
    sample_uses(s);
    sample_networks(s);
    wherry__spec__port__init(&s->port);
    wherry__spec__container__init(&s->container);
    wherry__spec__service__init(&s->service);
    wherry__spec__stack__init(&s->stack);
    s->port.target = 80;
    s->port.published = 8080;
    s->ports[0] = &s->port;
    s->container.image = "busybox";
    s->container.ports = s->ports;
    s->container.n_ports = 1;
    s->container.networks = s->uses;
    s->container.n_networks = 2;
    s->service.name = "web";
    s->service.container = &s->container;
    s->service.replicas = 1;
    s->services[0] = &s->service;
    s->stack.name = "shop";
    s->stack.services = s->services;
    s->stack.n_services = 1;
    s->stack.networks = s->networks;
    s->stack.n_networks = 2;
}

static struct codec_want *decoded(const struct sample *s)
{
    struct codec_want *want = NULL;
    auto_buf struct buf bytes = {0};
    struct err e = {0};

    doc_encode(&s->stack.base, &bytes);
    ck_assert_msg(codec_want_decode(bytes.data, bytes.len, &want, &e) == 0, "%s", e.text);
    return want;
}

/* ---- what is decided upon ---- */

static void same_uses(const struct fleet_ask *ask)
{
    ck_assert_uint_eq(ask->n_networks, 2);
    ck_assert_str_eq(ask->networks[0].name, "front"); /* by name, whatever the document's order */
    ck_assert_uint_eq(ask->networks[0].n_aliases, 0);
    ck_assert_uint_eq(ask->networks[0].address, 0);
    ck_assert(!ask->networks[0].internal && ask->networks[0].ipv6);
    ck_assert_str_eq(ask->networks[1].name, "shop_back");
    ck_assert_uint_eq(ask->networks[1].n_aliases, 2);
    ck_assert_str_eq(ask->networks[1].aliases[0], "backend");
    ck_assert_str_eq(ask->networks[1].aliases[1], "db.internal");
    ck_assert_uint_eq(ask->networks[1].address, 0x0a050007);
    ck_assert(ask->networks[1].internal && !ask->networks[1].ipv6);
}

START_TEST(networks_used)
{
    struct sample s;
    auto_want struct codec_want *want = NULL;
    const struct codec_want_revision *r;
    struct fleet_ask ask = {0};

    sample_init(&s);
    want = decoded(&s);
    same_uses(&codec_want_stack(want)->wants[0].ask);
    r = codec_want_revision(want, 0);
    ck_assert_int_eq(codec_want_ask(r->bytes, r->len, &ask, NULL), 0);
    same_uses(&ask); /* of the Container alone, too */
    codec_want_ask_free(&ask);
}
END_TEST

START_TEST(declared)
{
    struct sample s;
    auto_want struct codec_want *want = NULL;
    const struct fleet_stack_want *stack;

    sample_init(&s);
    want = decoded(&s);
    stack = codec_want_stack(want);
    ck_assert_uint_eq(stack->n_networks, 2);
    ck_assert_str_eq(stack->networks[0].name, "shop_back");
    ck_assert(stack->networks[0].internal && stack->networks[0].attachable);
    ck_assert(!stack->networks[0].external && !stack->networks[0].ipv6);
    ck_assert_str_eq(stack->networks[1].name, "front");
    ck_assert(stack->networks[1].external && stack->networks[1].ipv6);
    ck_assert(!stack->networks[1].internal && !stack->networks[1].attachable);
}
END_TEST

/* Documents from before there were networks: on none. */
START_TEST(none)
{
    char *said[2] = {0};
    struct sample s;
    auto_want struct codec_want *want = NULL;

    sample_init(&s);
    s.container.n_networks = 0;
    s.stack.n_networks = 0;
    want = decoded(&s);
    ck_assert_uint_eq(codec_want_stack(want)->n_networks, 0);
    ck_assert_uint_eq(codec_want_stack(want)->wants[0].ask.n_networks, 0);
    ck_assert(codec_want_stack(want)->wants[0].ask.ports[0].ingress);
    ck_assert_uint_eq(codec_want_warnings(want, said, 2), 1);
    ck_assert_ptr_nonnull(strstr(said[0], "service web is on no network"));
    free(said[0]);
}
END_TEST

static enum svc_balance balance_with(Wherry__Spec__EndpointMode mode, Wherry__Spec__Balance balance)
{
    struct sample s;
    auto_want struct codec_want *want = NULL;

    sample_init(&s);
    s.service.endpoint_mode = mode;
    s.service.balance = balance;
    want = decoded(&s);
    return codec_want_stack(want)->wants[0].balance;
}

START_TEST(balances)
{
    const Wherry__Spec__EndpointMode vip = WHERRY__SPEC__ENDPOINT_MODE__ENDPOINT_VIP;
    const Wherry__Spec__EndpointMode dnsrr = WHERRY__SPEC__ENDPOINT_MODE__ENDPOINT_DNSRR;
    const Wherry__Spec__Balance random = WHERRY__SPEC__BALANCE__BALANCE_RANDOM;
    const Wherry__Spec__Balance client = WHERRY__SPEC__BALANCE__BALANCE_CLIENT;

    ck_assert_int_eq(balance_with(vip, random), SVC_BALANCE_RANDOM);
    ck_assert_int_eq(balance_with(vip, client), SVC_BALANCE_CLIENT);
    ck_assert_int_eq(balance_with(dnsrr, random), SVC_BALANCE_NONE);
    ck_assert_int_eq(balance_with(dnsrr, client), SVC_BALANCE_NONE);
}
END_TEST

START_TEST(port_modes)
{
    struct sample s;
    auto_want struct codec_want *ingress = NULL;
    auto_want struct codec_want *host = NULL;

    sample_init(&s);
    ingress = decoded(&s);
    ck_assert(codec_want_stack(ingress)->wants[0].ask.ports[0].ingress);
    ck_assert_uint_eq(codec_want_stack(ingress)->wants[0].ask.ports[0].target, 80);
    s.port.mode = WHERRY__SPEC__PORT_MODE__PORT_HOST;
    host = decoded(&s);
    ck_assert(!codec_want_stack(host)->wants[0].ask.ports[0].ingress);
}
END_TEST

/* ---- what a change replaces ---- */

static void set_alias(struct sample *s)
{
    s->aliases[0] = "other";
}

static void set_dns(struct sample *s)
{
    static char *dns[] = {"192.0.2.53"};

    s->container.dns = dns;
    s->container.n_dns = 1;
}

static void set_egress(struct sample *s)
{
    static Wherry__Spec__Egress egress = WHERRY__SPEC__EGRESS__INIT;

    egress.restricted = true;
    s->container.egress = &egress;
}

static void set_bandwidth(struct sample *s)
{
    static Wherry__Spec__Bandwidth bandwidth = WHERRY__SPEC__BANDWIDTH__INIT;

    bandwidth.in_bits_per_s = 10000000;
    s->container.bandwidth = &bandwidth;
}

static void set_balance(struct sample *s)
{
    s->service.balance = WHERRY__SPEC__BALANCE__BALANCE_CLIENT;
}

static void set_dnsrr(struct sample *s)
{
    s->service.endpoint_mode = WHERRY__SPEC__ENDPOINT_MODE__ENDPOINT_DNSRR;
}

static void set_subnet(struct sample *s)
{
    static char *subnets[] = {"10.5.0.0/24"};

    s->own.subnets = subnets;
    s->own.n_subnets = 1;
}

static const struct {
    void (*change)(struct sample *s);
    bool revision, service;
} replaced[] = {
    {set_alias, true, true},     {set_dns, true, true},      {set_egress, true, true},
    {set_bandwidth, true, true}, {set_balance, false, true}, {set_dnsrr, false, true},
    {set_subnet, false, false},
};

START_TEST(what_a_change_replaces)
{
    struct sample s;
    auto_want struct codec_want *old = NULL;
    auto_want struct codec_want *new = NULL;
    const struct fleet_stack_want *a, *b;

    sample_init(&s);
    old = decoded(&s);
    replaced[_i].change(&s);
    new = decoded(&s);
    a = codec_want_stack(old);
    b = codec_want_stack(new);
    ck_assert_int_ne(memcmp(a->digest, b->digest, FLEET_DIGEST), 0);
    ck_assert(!!memcmp(a->wants[0].digest, b->wants[0].digest, FLEET_DIGEST) ==
              replaced[_i].service);
    ck_assert(!!memcmp(a->wants[0].revision, b->wants[0].revision, FLEET_DIGEST) ==
              replaced[_i].revision);
}
END_TEST

/* ---- what is refused ---- */

/* clang-format off */
static void use_name(struct sample *s) { s->back.name = "../x"; }
static void use_empty(struct sample *s) { s->back.name = ""; }
static void use_twice(struct sample *s) { s->front.name = "shop_back"; }
static void use_address(struct sample *s) { s->back.ipv4_address = "10.5.0.300"; }
static void alias_empty(struct sample *s) { s->aliases[1] = ""; }
static void alias_upper(struct sample *s) { s->aliases[1] = "Upper"; }
static void alias_dots(struct sample *s) { s->aliases[1] = "a..b"; }
static void network_name(struct sample *s) { s->own.name = "a b"; }
static void network_twice(struct sample *s) { s->other.name = "shop_back"; }
static void port_zero(struct sample *s) { s->port.target = 0; }
static void port_beyond(struct sample *s) { s->port.target = 65536; }
/* clang-format on */

static void use_long(struct sample *s)
{
    static char name[SVC_NETWORK_MAX + 1];

    memset(name, 'x', SVC_NETWORK_MAX);
    s->back.name = name;
}

static void alias_label(struct sample *s)
{
    static char name[64 + 1];

    memset(name, 'x', 64);
    s->aliases[1] = name;
}

static void alias_many(struct sample *s)
{
    for (unsigned i = 0; i < TOO_MANY; i++) {
        s->aliases[i] = "a";
    }
    s->back.n_aliases = TOO_MANY;
}

static void use_many(struct sample *s)
{
    for (unsigned i = 0; i <= SVC_NETWORKS_MAX; i++) {
        s->uses[i] = &s->back;
    }
    s->container.n_networks = SVC_NETWORKS_MAX + 1;
}

static const struct {
    void (*change)(struct sample *s);
    const char *said;
} wrong[] = {
    {use_name, "service web: networks: '../x' is no name, or has more than 32 aliases"},
    {use_empty, "service web: networks: '' is no name, or has more than 32 aliases"},
    {use_long, "is no name, or has more than 32 aliases"},
    {use_twice, "service web: networks: shop_back is there twice"},
    {use_address, "service web: networks: ipv4_address '10.5.0.300' is no IPv4 address"},
    {use_many, "service web: networks: 17 are more than 16"},
    {alias_empty, "service web: networks: alias '' is no host name"},
    {alias_upper, "service web: networks: alias 'Upper' is no host name"},
    {alias_dots, "service web: networks: alias 'a..b' is no host name"},
    {alias_label, "xxx' is no host name"},
    {alias_many, "'shop_back' is no name, or has more than 32 aliases"},
    {network_name, "networks: 'a b' is no name"},
    {network_twice, "networks: shop_back is there twice"},
    {port_zero, "service web: ports: target 0 (allowed: 1 to 65535)"},
    {port_beyond, "service web: ports: target 65536 (allowed: 1 to 65535)"},
};

START_TEST(refused)
{
    struct sample s;
    struct codec_want *want = NULL;
    auto_buf struct buf bytes = {0};
    struct err e = {0};

    sample_init(&s);
    wrong[_i].change(&s);
    doc_encode(&s.stack.base, &bytes);
    ck_assert_int_lt(codec_want_decode(bytes.data, bytes.len, &want, &e), 0);
    ck_assert_msg(strstr(e.text, wrong[_i].said) != NULL, "'%s' does not say '%s'", e.text,
                  wrong[_i].said);
    ck_assert_ptr_null(want);
}
END_TEST

/* The most that is allowed is not too many. */
START_TEST(at_the_limit)
{
    struct sample s;
    auto_want struct codec_want *want = NULL;
    Wherry__Spec__NetworkUse many[SVC_NETWORKS_MAX];
    char names[SVC_NETWORKS_MAX][SVC_NETWORK_MAX];

    sample_init(&s);
    for (unsigned i = 0; i < SVC_ALIASES_MAX; i++) {
        s.aliases[i] = "a";
    }
    for (unsigned i = 0; i < SVC_NETWORKS_MAX; i++) {
        memset(names[i], 'a' + (int)(SVC_NETWORKS_MAX - i), SVC_NETWORK_MAX - 1);
        names[i][SVC_NETWORK_MAX - 1] = '\0';
        many[i] = s.back;
        many[i].name = names[i];
        many[i].n_aliases = SVC_ALIASES_MAX;
        s.uses[i] = &many[i];
    }
    s.container.n_networks = SVC_NETWORKS_MAX;
    want = decoded(&s);
    ck_assert_uint_eq(codec_want_stack(want)->wants[0].ask.n_networks, SVC_NETWORKS_MAX);
    ck_assert_uint_eq(codec_want_stack(want)->wants[0].ask.networks[0].n_aliases, SVC_ALIASES_MAX);
    ck_assert_str_eq(codec_want_stack(want)->wants[0].ask.networks[0].name,
                     names[SVC_NETWORKS_MAX - 1]);
}
END_TEST

/* ---- put together ---- */

static bool is_kept(void *arg, const char *service)
{
    return strstr(arg, service) != NULL;
}

static unsigned networks_merged(const struct sample *from, const struct sample *to, char *kept)
{
    auto_want struct codec_want *older = decoded(from);
    auto_want struct codec_want *newer = to != NULL ? decoded(to) : NULL;
    auto_want struct codec_want *both = NULL;
    auto_buf struct buf bytes = {0};

    codec_want_merge(older, newer, "shop", is_kept, kept, &bytes);
    ck_assert_int_eq(codec_want_decode(bytes.data, bytes.len, &both, NULL), 0);
    return codec_want_stack(both)->n_networks;
}

START_TEST(merged)
{
    struct sample old, new;

    sample_init(&old);
    sample_init(&new);
    new.service.name = "api";
    new.container.n_networks = 0;
    new.stack.n_networks = 0;
    ck_assert_uint_eq(networks_merged(&old, &new, "api web"), 2); /* web is still on them */
    ck_assert_uint_eq(networks_merged(&old, &new, "api"), 0);
    old.container.n_networks = 1;
    ck_assert_uint_eq(networks_merged(&old, &new, "api web"), 1); /* what nobody is on goes */
    ck_assert_uint_eq(networks_merged(&old, NULL, "web"), 2);     /* but not without a new one */
    sample_networks(&new);
    new.stack.n_networks = 2;
    ck_assert_uint_eq(networks_merged(&old, &new, "api web"), 2); /* the newer's all, each once */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec_want_net");
    TCase *tc = tcase_create("networks");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, networks_used);
    tcase_add_test(tc, declared);
    tcase_add_test(tc, none);
    tcase_add_test(tc, balances);
    tcase_add_test(tc, port_modes);
    tcase_add_loop_test(tc, what_a_change_replaces, 0, (int)ARRAY_LEN(replaced));
    tcase_add_loop_test(tc, refused, 0, (int)ARRAY_LEN(wrong));
    tcase_add_test(tc, at_the_limit);
    tcase_add_test(tc, merged);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
