// SPDX-License-Identifier: Apache-2.0
/* Entries of the service table, and the property that its deltas rest on: from every version, what
 * changed since gives the table as it is, and its sum. */
#include "common/svctable.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"

/* An entry of which a number decides everything. */
struct made {
    struct svc_entry entry;
    struct svc_network networks[2];
    struct svc_endpoint endpoints[4];
    struct svc_port ports[1];
};

static const char *const aliases[] = {"api", "www"};

static void make(struct made *m, const char *service, uint32_t number)
{
    memset(m, 0, sizeof(*m));
    m->networks[0] = (struct svc_network){.vip = 0x0af00000u + number % 7, .aliases = aliases};
    m->networks[0].n_aliases = number % 3;
    m->networks[1].internal = true;
    (void)snprintf(m->networks[0].name, sizeof(m->networks[0].name), "shop_default");
    (void)snprintf(m->networks[1].name, sizeof(m->networks[1].name), "shop_inner");
    for (unsigned i = 0; i < 4; i++) {
        m->endpoints[i] = (struct svc_endpoint){.incarnation = number + i,
                                                .slot = i + 1,
                                                .address = 0x0a800000u + i,
                                                .networks = 1,
                                                .ready = (number >> i & 1) != 0};
    }
    m->ports[0] = (struct svc_port){.published = 8080, .target = 80};
    m->entry = (struct svc_entry){.networks = m->networks,
                                  .n_networks = 1 + number % 2,
                                  .endpoints = m->endpoints,
                                  .n_endpoints = number % 5,
                                  .ports = m->ports,
                                  .n_ports = number % 2};
    (void)snprintf(m->entry.stack, sizeof(m->entry.stack), "shop");
    (void)snprintf(m->entry.service, sizeof(m->entry.service), "%s", service);
}

/* ---- entries ---- */

/* Each changes one thing. */
/* clang-format off */
static void new_service(struct made *m) { m->entry.service[0]++; }
static void new_stack(struct made *m) { m->entry.stack[0]++; }
static void new_balance(struct made *m) { m->entry.balance = SVC_BALANCE_CLIENT; }
static void new_n_networks(struct made *m) { m->entry.n_networks--; }
static void new_vip(struct made *m) { m->networks[0].vip++; }
static void new_internal(struct made *m) { m->networks[0].internal = true; }
static void new_ipv6(struct made *m) { m->networks[0].ipv6 = true; }
static void new_n_aliases(struct made *m) { m->networks[0].n_aliases--; }
static void new_network_name(struct made *m) { m->networks[0].name[0]++; }
static void new_n_endpoints(struct made *m) { m->entry.n_endpoints--; }
static void new_incarnation(struct made *m) { m->endpoints[0].incarnation++; }
static void new_slot(struct made *m) { m->endpoints[0].slot++; }
static void new_address(struct made *m) { m->endpoints[0].address++; }
static void new_extra(struct made *m) { m->endpoints[0].extra++; }
static void new_endpoint_networks(struct made *m) { m->endpoints[0].networks = 3; }
static void new_ready(struct made *m) { m->endpoints[0].ready = !m->endpoints[0].ready; }
static void new_draining(struct made *m) { m->endpoints[0].draining = true; }
static void new_n_ports(struct made *m) { m->entry.n_ports--; }
static void new_udp(struct made *m) { m->ports[0].udp = true; }
static void new_published(struct made *m) { m->ports[0].published++; }
static void new_target(struct made *m) { m->ports[0].target++; }
static void new_host_ip(struct made *m) { m->ports[0].host_ip++; }
/* clang-format on */

static void (*const changes[])(struct made *m) = {
    new_service,     new_stack,    new_balance,   new_n_networks,   new_vip,
    new_internal,    new_ipv6,     new_n_aliases, new_network_name, new_n_endpoints,
    new_incarnation, new_slot,     new_address,   new_extra,        new_endpoint_networks,
    new_ready,       new_draining, new_n_ports,   new_udp,          new_published,
    new_target,      new_host_ip,
};

#define CHANGES ARRAY_LEN(changes)
#define FULL    29 /* both networks, two aliases, four endpoints, a port */

START_TEST(hash_is_of_everything)
{
    struct id128 seen[CHANGES + 1];
    struct made m;

    make(&m, "web", FULL);
    ck_assert_uint_eq(m.entry.n_networks, 2);
    ck_assert_uint_eq(m.entry.n_endpoints, 4);
    ck_assert_uint_eq(m.networks[0].n_aliases, 2);
    seen[CHANGES] = svc_hash(&m.entry);
    for (unsigned i = 0; i < CHANGES; i++) {
        make(&m, "web", FULL);
        changes[i](&m);
        seen[i] = svc_hash(&m.entry);
        for (unsigned k = 0; k <= CHANGES; k++) {
            ck_assert_msg((k < i || k == CHANGES) ? !id128_equal(seen[i], seen[k]) : true,
                          "changes %u and %u give one hash", i, k);
        }
    }
}
END_TEST

START_TEST(copy_is_deep)
{
    struct made m;
    auto_free struct svc_entry *copy = NULL;
    struct id128 before;

    make(&m, "web", FULL);
    before = svc_hash(&m.entry);
    copy = svc_copy(&m.entry);
    ck_assert(id128_equal(svc_hash(copy), before));
    memset(&m, 0xee, sizeof(m));
    ck_assert(id128_equal(svc_hash(copy), before));
    ck_assert_str_eq(copy->networks[0].aliases[1], "www");
}
END_TEST

START_TEST(virtual_range)
{
    uint32_t net;
    unsigned prefix;

    svc_vip_range(0x0a800000, 9, &net, &prefix);
    ck_assert_uint_eq(net, 0x0af00000);
    ck_assert_uint_eq(prefix, 12);
}
END_TEST

/* ---- table ---- */

START_TEST(order_and_sum)
{
    static const char *const names[] = {"web", "db", "api", "web"};
    struct svctable *t = svctable_create();
    struct id128 sum = {0, 0};
    struct made m;

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        make(&m, names[i], i);
        ck_assert(svctable_put(t, &m.entry));
        ck_assert(!svctable_put(t, &m.entry));
        ck_assert_uint_eq(svctable_version(t), i + 1);
    }
    ck_assert_uint_eq(svctable_count(t), 3);
    ck_assert_str_eq(svctable_at(t, 0)->service, "api");
    ck_assert_str_eq(svctable_at(t, 2)->service, "web");
    ck_assert_uint_eq(svctable_find(t, "shop", "web")->n_endpoints, 3);
    ck_assert_ptr_null(svctable_find(t, "shop", "we"));
    for (unsigned i = 0; i < 3; i++) {
        sum = id128_add(sum, svc_hash(svctable_at(t, i)));
    }
    ck_assert(id128_equal(sum, svctable_sum(t)));
    ck_assert(svctable_put(t, &(struct svc_entry){.stack = "a", .service = "z"}));
    ck_assert_str_eq(svctable_at(t, 0)->stack, "a");
    ck_assert(svctable_remove(t, "a", "z"));
    ck_assert(!svctable_remove(t, "a", "z"));
    ck_assert(id128_equal(sum, svctable_sum(t)));
    svctable_clear(t);
    ck_assert_uint_eq(svctable_count(t), 0);
    ck_assert(id128_is_zero(svctable_sum(t)));
    svctable_destroy(t);
    svctable_destroy(NULL);
}
END_TEST

static bool apply(void *arg, uint64_t version, const char *stack, const char *service,
                  const struct svc_entry *entry)
{
    struct svctable *to = arg;

    ck_assert_uint_gt(version, 0);
    if (entry != NULL) {
        ck_assert_str_eq(entry->service, service);
        (void)svctable_put(to, entry);
    } else {
        (void)svctable_remove(to, stack, service);
    }
    return true;
}

static void same(const struct svctable *a, const struct svctable *b)
{
    ck_assert_uint_eq(svctable_count(a), svctable_count(b));
    ck_assert(id128_equal(svctable_sum(a), svctable_sum(b)));
    for (unsigned i = 0; i < svctable_count(a); i++) {
        ck_assert(id128_equal(svc_hash(svctable_at(a, i)), svc_hash(svctable_at(b, i))));
    }
}

static void shake(struct svctable *t, unsigned *seed)
{
    struct made m;
    char name[16];

    (void)snprintf(name, sizeof(name), "s%d", rand_r(seed) % 12);
    if (rand_r(seed) % 3 == 0) {
        (void)svctable_remove(t, "shop", name);
    } else {
        make(&m, name, (uint32_t)rand_r(seed) % 64);
        (void)svctable_put(t, &m.entry);
    }
}

#define STEPS 60

/* From every version it ever had, in every world. */
START_TEST(since_gives_the_table)
{
    unsigned seed = (unsigned)_i + 1;
    struct svctable *t = svctable_create();
    struct svctable *was[STEPS + 1];
    uint64_t versions[STEPS + 1];

    for (unsigned i = 0; i <= STEPS; i++) {
        was[i] = svctable_create();
        ck_assert(svctable_since(t, 0, apply, was[i]));
        versions[i] = svctable_version(t);
        same(t, was[i]);
        shake(t, &seed);
    }
    for (unsigned i = 0; i <= STEPS; i++) {
        ck_assert(svctable_since(t, versions[i], apply, was[i]));
        same(t, was[i]);
        svctable_destroy(was[i]);
    }
    ck_assert(!svctable_since(t, svctable_version(t) + 1, apply, NULL));
    svctable_destroy(t);
}
END_TEST

/* ---- patches ---- */

#define MANY 40

/* Endpoints come, go, change and return; now and then the entry changes in something else. */
static void shake_many(struct svctable *t, unsigned *seed)
{
    struct svc_endpoint list[MANY];
    struct svc_network network = {.name = "shop_default", .vip = 1};
    struct svc_entry e = {
        .stack = "shop", .networks = &network, .n_networks = 1, .endpoints = list};
    const struct svc_entry *was;

    (void)snprintf(e.service, sizeof(e.service), "s%d", rand_r(seed) % 3);
    if (rand_r(seed) % 40 == 0) {
        (void)svctable_remove(t, e.stack, e.service);
        return;
    }
    was = svctable_find(t, e.stack, e.service);
    network.vip = rand_r(seed) % 20 == 0 ? (uint32_t)rand_r(seed) : 1;
    for (uint32_t i = 0, at = 0; i < MANY; i++) {
        struct svc_endpoint p = {.incarnation = i + 1, .slot = i / 2, .address = 1, .networks = 1};
        bool held = was != NULL && at < was->n_endpoints &&
                    svc_key_compare(svc_key_of(&was->endpoints[at]), svc_key_of(&p)) == 0;

        if (held) {
            p = was->endpoints[at++];
        }
        if (rand_r(seed) % 10 == 0) {
            held = !held;
        } else if (rand_r(seed) % 10 == 0) {
            p.ready = !p.ready;
            p.address += (uint32_t)rand_r(seed) % 2;
        }
        if (held) {
            list[e.n_endpoints++] = p;
        }
    }
    (void)svctable_put(t, &e);
}

/* Who holds a copy that was exact at a version, and what it has been told since. */
struct listener {
    const struct svctable *from;
    struct svctable *to;
    uint64_t exact, begun, told;
    unsigned left, patched;
};

static bool hear(void *arg, uint64_t version, const char *stack, const char *service,
                 const struct svc_entry *entry)
{
    struct listener *l = arg;
    auto_free struct svc_patch *patch =
        l->exact > 0 ? svctable_patch(l->from, stack, service, l->exact) : NULL;
    auto_free struct svc_entry *now = NULL;

    if (l->left == 0) {
        return false;
    }
    l->left--;
    l->told = version;
    if (patch == NULL) {
        return apply(l->to, version, stack, service, entry);
    }
    ck_assert_ptr_nonnull(entry);
    ck_assert_ptr_nonnull(svctable_find(l->to, stack, service));
    now = svcpatch_apply(svctable_find(l->to, stack, service), patch);
    ck_assert_ptr_nonnull(now);
    ck_assert(id128_equal(svc_hash(now), svc_hash(entry)));
    (void)svctable_put(l->to, now);
    l->patched++;
    return true;
}

/* Patches from any version that was exact, told in portions while the table goes on changing. */
START_TEST(patches_give_the_table)
{
    unsigned seed = (unsigned)_i + 1;
    struct svctable *t = svctable_create();
    struct listener l = {.from = t, .to = svctable_create()};

    for (unsigned i = 0; i < 600; i++) {
        shake_many(t, &seed);
        l.left = (unsigned)rand_r(&seed) % 4;
        ck_assert(svctable_whole(t, l.begun, l.told, hear, &l));
        if (l.told == svctable_version(t)) {
            same(t, l.to);
            l.exact = l.told;
        }
    }
    ck_assert_uint_gt(l.patched, 100);
    svctable_destroy(l.to);
    svctable_destroy(t);
}
END_TEST

static struct svc_endpoint nth(unsigned i)
{
    return (struct svc_endpoint){.incarnation = i + 1, .slot = i, .address = i + 1, .networks = 1};
}

/* Only what changed; what changed before what is remembered is not guessed. */
START_TEST(patches_are_small_and_sure)
{
    struct svctable *t = svctable_create();
    struct svc_endpoint list[200];
    struct svc_network network = {.name = "shop_default"};
    struct svc_entry e = {"shop", "web", SVC_BALANCE_RANDOM, &network, 1, list, 200, NULL, 0};
    struct svc_patch *patch;
    uint64_t first, v;

    for (unsigned i = 0; i < 200; i++) {
        list[i] = nth(i);
    }
    (void)svctable_put(t, &e);
    first = svctable_version(t);
    ck_assert_ptr_null(svctable_patch(t, "shop", "web", 0)); /* it was not there */
    ck_assert_ptr_null(svctable_patch(t, "shop", "db", first));
    list[77].ready = true;
    (void)svctable_put(t, &e);
    v = svctable_version(t);
    e.n_endpoints = 199;
    (void)svctable_put(t, &e);
    patch = svctable_patch(t, "shop", "web", first);
    ck_assert_uint_eq(patch->n_set, 1);
    ck_assert_uint_eq(patch->set[0].slot, 77);
    ck_assert_uint_eq(patch->n_gone, 1);
    ck_assert_uint_eq(patch->gone[0].slot, 199);
    free(patch);
    patch = svctable_patch(t, "shop", "web", v);
    ck_assert_uint_eq(patch->n_set, 0);
    ck_assert_uint_eq(patch->n_gone, 1);
    free(patch);
    e.n_endpoints = 10; /* 190 removals are remembered of an entry that has ten: no */
    (void)svctable_put(t, &e);
    ck_assert_ptr_null(svctable_patch(t, "shop", "web", v));
    v = svctable_version(t);
    patch = svctable_patch(t, "shop", "web", v);
    ck_assert_uint_eq(patch->n_set + patch->n_gone, 0);
    free(patch);
    network.vip = 1;
    (void)svctable_put(t, &e);
    ck_assert_ptr_null(svctable_patch(t, "shop", "web", v));
    svctable_destroy(t);
}
END_TEST

/* A patch that is none of the entry is refused, and one that takes it to the bound is not. */
START_TEST(patches_of_other_entries)
{
    auto_free struct svc_endpoint *list = xcalloc(SVC_ENDPOINTS_MAX, sizeof(*list));
    struct svc_network network = {.name = "shop_default"};
    struct svc_entry e = {"shop", "web", SVC_BALANCE_RANDOM, &network, 1, list, 0, NULL, 0};
    struct svc_endpoint more = nth(SVC_ENDPOINTS_MAX);
    struct svc_key first = {1, 0};
    struct svc_patch patch = {"shop", "web", &more, 1, NULL, 0};
    struct svc_entry *now;

    for (unsigned i = 0; i < SVC_ENDPOINTS_MAX; i++) {
        list[i] = nth(i);
    }
    e.n_endpoints = SVC_ENDPOINTS_MAX;
    ck_assert_ptr_null(svcpatch_apply(&e, &patch));
    patch.gone = &first;
    patch.n_gone = 1;
    now = svcpatch_apply(&e, &patch);
    ck_assert_uint_eq(now->n_endpoints, SVC_ENDPOINTS_MAX);
    ck_assert_uint_eq(now->endpoints[0].slot, 1);
    free(now);
    more.networks = 2;
    ck_assert_ptr_null(svcpatch_apply(&e, &patch));
}
END_TEST

struct portion {
    struct svctable *to;
    unsigned left;
    uint64_t told;
};

static bool apply_some(void *arg, uint64_t version, const char *stack, const char *service,
                       const struct svc_entry *entry)
{
    struct portion *p = arg;

    if (p->left == 0) {
        return false;
    }
    ck_assert_uint_gt(version, p->told);
    p->left--;
    p->told = version;
    return apply(p->to, version, stack, service, entry);
}

/* The whole in portions, while the table goes on changing. */
START_TEST(whole_in_portions)
{
    unsigned seed = (unsigned)_i + 1;
    struct svctable *t = svctable_create();
    struct portion p = {.to = svctable_create()};
    uint64_t begun;

    for (unsigned i = 0; i < STEPS; i++) {
        shake(t, &seed);
    }
    begun = svctable_version(t);
    for (unsigned i = 0; i < 200; i++) {
        p.left = (unsigned)rand_r(&seed) % 4;
        ck_assert(svctable_whole(t, begun, p.told, apply_some, &p));
        if (i < 100) {
            shake(t, &seed);
        }
    }
    same(t, p.to);
    ck_assert_uint_eq(p.told, svctable_version(t));
    svctable_destroy(p.to);
    svctable_destroy(t);
}
END_TEST

/* More removals than the log remembers: that is said, not passed over. */
START_TEST(too_long_ago)
{
    struct svctable *t = svctable_create();
    struct svctable *copy = svctable_create();
    struct made m;
    char name[16];
    uint64_t begun;

    make(&m, "stays", 1);
    (void)svctable_put(t, &m.entry);
    begun = svctable_version(t);
    for (unsigned i = 0; i < 4100; i++) {
        (void)snprintf(name, sizeof(name), "s%u", i);
        make(&m, name, i);
        (void)svctable_put(t, &m.entry);
        ck_assert(svctable_remove(t, "shop", name));
    }
    ck_assert(!svctable_since(t, 0, apply, NULL));
    ck_assert(!svctable_whole(t, begun, 0, apply, NULL));
    ck_assert(!svctable_since(t, 8, apply, NULL));
    ck_assert(svctable_since(t, 9, apply, copy)); /* four are forgotten: 3, 5, 7, 9 */
    ck_assert(svctable_whole(t, svctable_version(t), 0, apply, copy));
    same(t, copy);
    ck_assert_uint_eq(svctable_count(copy), 1);
    begun = svctable_version(t);
    svctable_clear(t);
    ck_assert(!svctable_since(t, begun, apply, NULL));
    ck_assert(svctable_since(t, svctable_version(t), apply, NULL));
    svctable_destroy(copy);
    svctable_destroy(t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("svctable");
    TCase *tc = tcase_create("svctable");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, hash_is_of_everything);
    tcase_add_test(tc, copy_is_deep);
    tcase_add_test(tc, virtual_range);
    tcase_add_test(tc, order_and_sum);
    tcase_add_loop_test(tc, since_gives_the_table, 0, 20);
    tcase_add_loop_test(tc, whole_in_portions, 0, 20);
    tcase_add_test(tc, too_long_ago);
    tcase_add_loop_test(tc, patches_give_the_table, 0, 20);
    tcase_add_test(tc, patches_are_small_and_sure);
    tcase_add_test(tc, patches_of_other_entries);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
