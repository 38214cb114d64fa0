// SPDX-License-Identifier: Apache-2.0
/* The service table's messages: what arrives, what cannot be, and that the largest fits. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "linksample.h"

START_TEST(services_arrive)
{
    struct link_message m = linksample(LINK_SERVICES), back;
    auto_buf struct buf bytes = {0};

    codec_link_encode(&m, &bytes);
    ck_assert_int_eq(linksample_decode(LINK_SERVICES, &bytes, &back, NULL), 0);
    ck_assert_uint_eq(back.u.services.n_changed, 3);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert(
            id128_equal(svc_hash(&back.u.services.changed[i]), svc_hash(&linksample_entries[i])));
    }
    ck_assert_str_eq(back.u.services.removed[1].service, "y");
    ck_assert_uint_eq(back.u.services.version, 7);
    ck_assert_uint_eq(back.u.services.n_patched, 2);
    ck_assert_str_eq(back.u.services.patched[1].service, "db");
    ck_assert_uint_eq(back.u.services.patched[0].n_set, 3);
    for (unsigned i = 0; i < 3; i++) {
        const struct svc_endpoint *p = &back.u.services.patched[0].set[i];

        ck_assert_int_eq(svc_key_compare(back.u.services.patched[0].gone[i], linksample_left[i]),
                         0);
        ck_assert_int_eq(svc_key_compare(svc_key_of(p), svc_key_of(&linksample_endpoints[i])), 0);
        ck_assert_uint_eq(p->address, linksample_endpoints[i].address);
        ck_assert_uint_eq(p->networks, linksample_endpoints[i].networks);
        ck_assert_uint_eq(p->ready, linksample_endpoints[i].ready);
        ck_assert_uint_eq(p->draining, linksample_endpoints[i].draining);
    }
    ck_assert_uint_eq(back.u.services.patched[1].set[0].incarnation,
                      linksample_endpoints[1].incarnation);
    ck_assert_uint_eq(back.u.services.patched[1].n_gone, 0);
    codec_link_free(&back);
}
END_TEST

/* ---- entries ---- */

/* An entry put together anew for every row, for one thing of it to be spoilt. */
struct made {
    struct svc_network n[SVC_NETWORKS_MAX + 1];
    struct svc_endpoint p[3];
    struct svc_port port;
    const char *names[SVC_ALIASES_MAX + 1];
    struct svc_entry entry;
    struct link_service gone;
    struct svc_port many[SVC_PORTS_MAX + 1];
    struct link_message m;
};

/* clang-format off */
static void bad_stack(struct made *x) { x->entry.stack[0] = 'S'; }
static void bad_service(struct made *x) { x->entry.service[0] = '\0'; }
static void bad_balance(struct made *x) { x->entry.balance = (enum svc_balance)3; }
static void bad_network_name(struct made *x) { x->n[0].name[0] = '/'; }
static void bad_networks_order(struct made *x) { x->n[0] = x->n[1]; }
static void bad_alias_upper(struct made *x) { x->names[1] = "WWW"; }
static void bad_alias_dots(struct made *x) { x->names[1] = "a..b"; }
static void bad_alias_empty(struct made *x) { x->names[1] = ""; }
static void bad_endpoint_twice(struct made *x) { x->p[1] = x->p[0]; }
static void bad_endpoints_order(struct made *x) { x->p[2].slot = 1; }
static void bad_incarnation(struct made *x) { x->p[0].incarnation = 0; }
static void bad_address(struct made *x) { x->p[0].address = 0; }
static void bad_other_network(struct made *x) { x->p[0].networks = 4; }
static void bad_published(struct made *x) { x->port.published = 0; }
static void bad_target(struct made *x) { x->port.target = 0; }
static void bad_no_whole(struct made *x) { x->m.u.services.whole_end = true; }
static void bad_removed_name(struct made *x) { x->m.u.services.removed = &x->gone; }
static void bad_many_networks(struct made *x)
{
    for (unsigned i = 0; i <= SVC_NETWORKS_MAX; i++) {
        x->n[i].name[0] = (char)('a' + i);
    }
    x->entry.n_networks = SVC_NETWORKS_MAX + 1;
}
static void bad_many_aliases(struct made *x)
{
    for (unsigned i = 0; i <= SVC_ALIASES_MAX; i++) {
        x->names[i] = "a";
    }
    x->n[0].n_aliases = SVC_ALIASES_MAX + 1;
}
static void bad_many_ports(struct made *x)
{
    x->entry.ports = x->many;
    x->entry.n_ports = SVC_PORTS_MAX + 1;
    for (unsigned i = 0; i <= SVC_PORTS_MAX; i++) {
        x->many[i] = linksample_ports[0];
    }
}
/* clang-format on */

static void (*const bad[])(struct made *x) = {
    bad_stack,       bad_service,      bad_balance,       bad_network_name,   bad_networks_order,
    bad_alias_upper, bad_alias_dots,   bad_alias_empty,   bad_endpoint_twice, bad_endpoints_order,
    bad_incarnation, bad_address,      bad_other_network, bad_published,      bad_target,
    bad_no_whole,    bad_removed_name, bad_many_networks, bad_many_aliases,   bad_many_ports,
};

static struct made *make(void)
{
    struct made *x = xcalloc(1, sizeof(*x));

    memcpy(x->n, linksample_networks, sizeof(linksample_networks));
    memcpy(x->p, linksample_endpoints, sizeof(linksample_endpoints));
    x->port = linksample_ports[0];
    x->names[0] = "a";
    x->names[1] = "b";
    x->n[0].aliases = x->names;
    x->entry = (struct svc_entry){"shop", "web", SVC_BALANCE_RANDOM, x->n, 2, x->p, 3, &x->port, 1};
    x->gone = (struct link_service){"shop", "../web"};
    x->m = (struct link_message){
        .kind = LINK_SERVICES,
        .u.services = {
            .changed = &x->entry, .n_changed = 1, .removed = linksample_services, .n_removed = 1}};
    return x;
}

START_TEST(services_that_cannot_be)
{
    auto_free struct made *x = make();

    bad[_i](x);
    linksample_refused(&x->m);
}
END_TEST

/* The largest entry there can be fits into a frame, and comes back. */
START_TEST(largest_service_fits)
{
    struct svc_network n[SVC_NETWORKS_MAX] = {0};
    auto_free struct svc_endpoint *p = xcalloc(SVC_ENDPOINTS_MAX + 1, sizeof(*p));
    struct svc_port port[SVC_PORTS_MAX];
    const char *names[SVC_ALIASES_MAX];
    char alias[SVC_ALIAS_MAX + 1] = {0};
    struct svc_entry entry = {"shop",           "web", SVC_BALANCE_CLIENT, n,
                              SVC_NETWORKS_MAX, p,     SVC_ENDPOINTS_MAX,  port,
                              SVC_PORTS_MAX};
    struct link_message m = {.kind = LINK_SERVICES,
                             .u.services = {.changed = &entry, .n_changed = 1}};
    struct link_message back;
    struct err e = {0};
    auto_buf struct buf bytes = {0};

    for (unsigned i = 0; i < SVC_ALIAS_MAX; i++) {
        alias[i] = i % 32 == 31 ? '.' : 'a';
    }
    for (unsigned i = 0; i < SVC_ALIASES_MAX; i++) {
        names[i] = alias;
    }
    for (unsigned i = 0; i < SVC_NETWORKS_MAX; i++) {
        n[i] = (struct svc_network){.vip = UINT32_MAX, .internal = true, .ipv6 = true};
        memset(n[i].name, 'a' + (int)i, SVC_NETWORK_MAX - 1);
        n[i].aliases = names;
        n[i].n_aliases = SVC_ALIASES_MAX;
    }
    for (unsigned i = 0; i <= SVC_ENDPOINTS_MAX; i++) {
        p[i] = (struct svc_endpoint){
            UINT64_MAX, UINT32_MAX - SVC_ENDPOINTS_MAX + i, 1, 1, 0xffff, true, true};
    }
    for (unsigned i = 0; i < SVC_PORTS_MAX; i++) {
        port[i] = (struct svc_port){true, 65535, 65535, UINT32_MAX};
    }
    codec_link_encode(&m, &bytes);
    ck_assert_uint_lt(bytes.len, FRAME_MAX);
    ck_assert_uint_le(bytes.len, codec_link_size_service(&entry));
    ck_assert_msg(linksample_decode(LINK_SERVICES, &bytes, &back, &e) == 0, "%s", e.text);
    ck_assert(id128_equal(svc_hash(back.u.services.changed), svc_hash(&entry)));
    codec_link_free(&back);
    entry.n_endpoints++;
    linksample_refused(&m);
}
END_TEST

/* ---- patches ---- */

struct patched {
    struct svc_endpoint p[3];
    struct svc_key g[3];
    struct svc_endpoint many[SVC_ENDPOINTS_MAX + 1];
    struct svc_key much[SVC_ENDPOINTS_MAX + 1];
    struct svc_patch patch;
};

/* clang-format off */
static void spoil_stack(struct patched *x) { x->patch.stack[0] = 'S'; }
static void spoil_service(struct patched *x) { x->patch.service[0] = '\0'; }
static void spoil_set_twice(struct patched *x) { x->p[1] = x->p[0]; }
static void spoil_incarnation(struct patched *x) { x->p[0].incarnation = 0; }
static void spoil_address(struct patched *x) { x->p[2].address = 0; }
static void spoil_other_network(struct patched *x) { x->p[0].networks = 1u << SVC_NETWORKS_MAX; }
static void spoil_gone_twice(struct patched *x) { x->g[2] = x->g[1]; }
static void spoil_gone_order(struct patched *x) { x->g[0].slot = 3; }
static void spoil_many_set(struct patched *x) { x->patch.set = x->many; x->patch.n_set = SVC_ENDPOINTS_MAX + 1; }
static void spoil_many_gone(struct patched *x) { x->patch.gone = x->much; x->patch.n_gone = SVC_ENDPOINTS_MAX + 1; }
/* clang-format on */

static void (*const spoil[])(struct patched *x) = {
    spoil_stack,         spoil_service,    spoil_set_twice,  spoil_incarnation, spoil_address,
    spoil_other_network, spoil_gone_twice, spoil_gone_order, spoil_many_set,    spoil_many_gone,
};

/* One thing of a patch that cannot be, each. */
START_TEST(patches_that_cannot_be)
{
    auto_free struct patched *x = xcalloc(1, sizeof(*x));
    struct link_message m = {.kind = LINK_SERVICES,
                             .u.services = {.patched = &x->patch, .n_patched = 1}};

    memcpy(x->p, linksample_endpoints, sizeof(x->p));
    memcpy(x->g, linksample_left, sizeof(x->g));
    x->patch = (struct svc_patch){"shop", "web", x->p, 3, x->g, 3};
    for (unsigned i = 0; i <= SVC_ENDPOINTS_MAX; i++) {
        x->many[i] = (struct svc_endpoint){.incarnation = 1, .slot = i + 1, .address = 1};
        x->much[i] = (struct svc_key){1, i + 1};
    }
    spoil[_i](x);
    linksample_refused(&m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("codec_services");
    TCase *t = tcase_create("codec_services");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, linksample_setup, NULL);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, services_arrive);
    tcase_add_loop_test(t, services_that_cannot_be, 0, ARRAY_LEN(bad));
    tcase_add_loop_test(t, patches_that_cannot_be, 0, ARRAY_LEN(spoil));
    tcase_add_test(t, largest_service_fits);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
