// SPDX-License-Identifier: Apache-2.0
/* Documents on the controller's side: what the fleet decides upon, what is stored when services are
 * kept, stored values, and which revisions the store holds. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/doc.h"
#include "controller/codec_store.h"
#include "controller/codec_want.h"
#include "controller/docs.h"
#include "controller/iprange.h"
#include "controller/ring.h"
#include "spec.pb-c.h"

/* ---- a document ---- */

struct sample {
    Wherry__Spec__Port port;
    Wherry__Spec__Port inside;
    Wherry__Spec__Port *ports[2];
    Wherry__Spec__Mount mount;
    Wherry__Spec__Mount *mounts[1];
    Wherry__Spec__Limits limits;
    Wherry__Spec__Healthcheck probe;
    Wherry__Spec__Container container;
    Wherry__Spec__Dependency depend;
    Wherry__Spec__Dependency *depends[1];
    Wherry__Spec__Constraint constraint;
    Wherry__Spec__Constraint *constraints[1];
    Wherry__Spec__Service service;
    Wherry__Spec__Service *services[1];
    Wherry__Spec__Volume volume;
    Wherry__Spec__Volume *volumes[1];
    char *aliases[2];
    Wherry__Spec__NetworkUse uses[2];
    Wherry__Spec__NetworkUse *use_list[2];
    Wherry__Spec__Network networks[2];
    Wherry__Spec__Network *network_list[2];
    Wherry__Spec__Stack stack;
};

/* On the network "edge", which another stack has, and on one of its own. */
static void sample_networks(struct sample *s)
{
    for (unsigned i = 0; i < 2; i++) {
        wherry__spec__network_use__init(&s->uses[i]);
        wherry__spec__network__init(&s->networks[i]);
        s->use_list[i] = &s->uses[i];
        s->network_list[i] = &s->networks[i];
    }
    s->aliases[0] = "api";
    s->aliases[1] = "www.example";
    s->uses[0].name = "shop_inner";
    s->uses[0].ipv4_address = "172.20.0.5";
    s->uses[1].name = "edge";
    s->uses[1].aliases = s->aliases;
    s->uses[1].n_aliases = 2;
    s->networks[0].key = "edge";
    s->networks[0].name = "edge";
    s->networks[0].external = true;
    s->networks[1].key = "inner";
    s->networks[1].name = "shop_inner";
    s->networks[1].internal = true;
    s->networks[1].attachable = true;
    s->networks[1].enable_ipv6 = true;
    s->container.networks = s->use_list;
    s->container.n_networks = 2;
    s->stack.networks = s->network_list;
    s->stack.n_networks = 2;
}

static void sample_container(struct sample *s)
{
    wherry__spec__port__init(&s->port);
    wherry__spec__port__init(&s->inside);
    wherry__spec__mount__init(&s->mount);
    wherry__spec__limits__init(&s->limits);
    wherry__spec__healthcheck__init(&s->probe);
    wherry__spec__container__init(&s->container);
    s->port.target = 80;
    s->port.published = 8080;
    s->port.host_ip = "192.0.2.1";
    s->inside.target = 9000;
    s->ports[0] = &s->inside;
    s->ports[1] = &s->port;
    s->mount.source = "data";
    s->mount.target = "/data";
    s->mount.volume_name = "shop_data";
    s->mounts[0] = &s->mount;
    s->limits.memory_bytes = 256u << 20;
    s->probe.kind = WHERRY__SPEC__PROBE_KIND__PROBE_TCP;
    s->container.image = "busybox";
    s->container.ports = s->ports;
    s->container.n_ports = 2;
    s->container.mounts = s->mounts;
    s->container.n_mounts = 1;
    s->container.limits = &s->limits;
    s->container.healthcheck = &s->probe;
}

static void sample_init(struct sample *s, const char *service)
{
    sample_container(s);
    wherry__spec__dependency__init(&s->depend);
    wherry__spec__constraint__init(&s->constraint);
    wherry__spec__service__init(&s->service);
    wherry__spec__volume__init(&s->volume);
    wherry__spec__stack__init(&s->stack);
    s->depend.service = "db";
    s->depend.condition = WHERRY__SPEC__DEPENDENCY_CONDITION__DEPEND_HEALTHY;
    s->depend.required = true;
    s->depends[0] = &s->depend;
    s->constraint.key = "node.hostname";
    s->constraint.value = "a";
    s->constraint.negated = true;
    s->constraints[0] = &s->constraint;
    s->service.name = (char *)(uintptr_t)service;
    s->service.container = &s->container;
    s->service.replicas = 3;
    s->service.depends_on = s->depends;
    s->service.n_depends_on = 1;
    s->service.constraints = s->constraints;
    s->service.n_constraints = 1;
    s->services[0] = &s->service;
    s->volume.key = "data";
    s->volume.name = "shop_data";
    s->volume.external = true;
    s->volumes[0] = &s->volume;
    s->stack.name = "shop";
    s->stack.services = s->services;
    s->stack.n_services = 1;
    s->stack.volumes = s->volumes;
    s->stack.n_volumes = 1;
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

static void refused(const struct sample *s, const char *why)
{
    struct codec_want *want = NULL;
    auto_buf struct buf bytes = {0};
    struct err e = {0};

    doc_encode(&s->stack.base, &bytes);
    ck_assert_int_lt(codec_want_decode(bytes.data, bytes.len, &want, &e), 0);
    ck_assert_msg(strstr(e.text, why) != NULL, "'%s' does not say '%s'", e.text, why);
}

START_TEST(what_is_decided_upon)
{
    struct sample s;
    auto_want struct codec_want *want = NULL;
    const struct fleet_want *w;
    uint8_t digest[DOC_DIGEST];

    sample_init(&s, "web");
    want = decoded(&s);
    ck_assert_str_eq(codec_want_stack(want)->name, "shop");
    ck_assert_uint_eq(codec_want_stack(want)->n_wants, 1);
    w = &codec_want_stack(want)->wants[0];
    ck_assert_str_eq(w->service, "web");
    ck_assert_str_eq(w->image, "docker.io/library/busybox:latest");
    ck_assert_int_eq(w->mode, FLEET_REPLICATED);
    ck_assert_uint_eq(w->replicas, 3);
    ck_assert(w->has_probe);
    ck_assert_uint_eq(w->ask.n_ports, 1); /* what is exposed inside only takes nothing */
    ck_assert_uint_eq(w->ask.ports[0].port, 8080);
    ck_assert_uint_eq(w->ask.ports[0].host_ip, 0xc0000201);
    ck_assert_uint_eq(w->ask.n_volumes, 1);
    ck_assert_str_eq(w->ask.volumes[0].name, "shop_data");
    ck_assert(w->ask.volumes[0].external);
    ck_assert_uint_eq(w->ask.reserve.memory_bytes, 256u << 20); /* the limit */
    ck_assert_str_eq(w->depends[0].service, "db");
    ck_assert_int_eq(w->depends[0].condition, FLEET_DEPEND_HEALTHY);
    ck_assert_str_eq(w->constraints[0].value, "a");
    ck_assert(w->constraints[0].negated);
    doc_digest(&s.container.base, digest);
    ck_assert_mem_eq(w->revision, digest, DOC_DIGEST);
    ck_assert_mem_eq(codec_want_revision(want, 0)->digest, digest, DOC_DIGEST);
    doc_digest(&s.service.base, digest);
    ck_assert_mem_eq(w->digest, digest, DOC_DIGEST);
}
END_TEST

START_TEST(networks_of_a_service)
{
    struct sample s;
    auto_want struct codec_want *want = NULL;
    const struct codec_want_revision *r;
    struct fleet_ask ask = {0};
    const struct fleet_want *w;

    sample_init(&s, "web");
    sample_networks(&s);
    s.service.balance = WHERRY__SPEC__BALANCE__BALANCE_CLIENT;
    want = decoded(&s);
    ck_assert_uint_eq(codec_want_stack(want)->n_networks, 2);
    ck_assert(codec_want_stack(want)->networks[0].external);
    ck_assert(codec_want_stack(want)->networks[1].attachable);
    ck_assert(codec_want_stack(want)->networks[1].internal);
    ck_assert(codec_want_stack(want)->networks[1].ipv6);
    w = &codec_want_stack(want)->wants[0];
    ck_assert_int_eq(w->balance, SVC_BALANCE_CLIENT);
    ck_assert(w->ask.ports[0].ingress);
    ck_assert_uint_eq(w->ask.ports[0].target, 80);
    r = codec_want_revision(want, 0);
    ck_assert_int_eq(codec_want_ask(r->bytes, r->len, &ask, NULL), 0);
    ck_assert_uint_eq(ask.n_networks, 2);
    ck_assert_str_eq(ask.networks[0].name, "edge"); /* in order of names */
    ck_assert_uint_eq(ask.networks[0].n_aliases, 2);
    ck_assert_str_eq(ask.networks[0].aliases[1], "www.example");
    ck_assert_uint_eq(ask.networks[1].address, 0xac140005);
    codec_want_ask_free(&ask);
    s.service.endpoint_mode = WHERRY__SPEC__ENDPOINT_MODE__ENDPOINT_DNSRR;
    s.port.mode = WHERRY__SPEC__PORT_MODE__PORT_HOST;
    codec_want_free(want);
    want = decoded(&s);
    w = &codec_want_stack(want)->wants[0];
    ck_assert_int_eq(w->balance, SVC_BALANCE_NONE);
    ck_assert(!w->ask.ports[0].ingress);
}
END_TEST

START_TEST(networks_refused)
{
    static const struct {
        const char *network, *address, *alias, *declared, *why;
    } rows[] = {
        {"../x", "", "api", "edge", "no name"},
        {"", "", "api", "edge", "no name"},
        {"edge", "", "api", "edge", "twice"},
        {"shop_inner", "::1", "api", "edge", "no IPv4 address"},
        {"shop_inner", "", "API", "edge", "no host name"},
        {"shop_inner", "", "api", "a b", "no name"},
        {"shop_inner", "", "api", "shop_inner", "twice"},
    };
    struct sample s;

    sample_init(&s, "web");
    sample_networks(&s);
    s.uses[0].name = (char *)(uintptr_t)rows[_i].network;
    s.uses[0].ipv4_address = (char *)(uintptr_t)rows[_i].address;
    s.aliases[0] = (char *)(uintptr_t)rows[_i].alias;
    s.networks[0].name = (char *)(uintptr_t)rows[_i].declared;
    refused(&s, rows[_i].why);
}
END_TEST

START_TEST(reservations)
{
    Wherry__Spec__Bandwidth bandwidth = WHERRY__SPEC__BANDWIDTH__INIT;
    struct sample s;
    auto_want struct codec_want *want = NULL;
    struct fleet_ask ask = {0};
    const struct codec_want_revision *r;

    sample_init(&s, "web");
    s.service.reserve_memory_bytes = 100;
    s.service.reserve_cpu_millis = 200;
    bandwidth.in_bits_per_s = 300;
    bandwidth.out_bits_per_s = 400;
    s.container.bandwidth = &bandwidth;
    want = decoded(&s);
    ck_assert_uint_eq(codec_want_stack(want)->wants[0].ask.reserve.memory_bytes, 100);
    ck_assert_uint_eq(codec_want_stack(want)->wants[0].ask.reserve.cpu_millis, 200);
    ck_assert_uint_eq(codec_want_stack(want)->wants[0].ask.reserve.bits_in, 300);
    r = codec_want_revision(want, 0);
    ck_assert_int_eq(codec_want_ask(r->bytes, r->len, &ask, NULL), 0);
    ck_assert_uint_eq(ask.reserve.memory_bytes, 256u << 20); /* a Container knows its limit only */
    ck_assert_uint_eq(ask.reserve.bits_out, 400);
    ck_assert_uint_eq(ask.n_ports, 1);
    ck_assert_uint_eq(ask.n_volumes, 1);
    codec_want_ask_free(&ask);
}
END_TEST

START_TEST(documents_refused)
{
    struct sample s;
    Wherry__Spec__Service *two[2] = {&s.service, &s.service};

    sample_init(&s, "Not a name");
    refused(&s, "Not a name");
    sample_init(&s, "web");
    s.stack.name = "../etc";
    refused(&s, "../etc");
    sample_init(&s, "web");
    s.service.container = NULL;
    refused(&s, "no container");
    sample_init(&s, "web");
    s.container.image = "UPPER/case";
    refused(&s, "image");
    sample_init(&s, "web");
    s.port.published = 70000;
    refused(&s, "70000");
    sample_init(&s, "web");
    s.port.host_ip = "localhost";
    refused(&s, "localhost");
    sample_init(&s, "web");
    s.service.mode = (Wherry__Spec__Mode)17;
    refused(&s, "mode");
    sample_init(&s, "web");
    s.depend.condition = (Wherry__Spec__DependencyCondition)9;
    refused(&s, "condition");
    sample_init(&s, "web");
    s.stack.services = two;
    s.stack.n_services = 2;
    refused(&s, "twice");
}
END_TEST

/* ---- put together ---- */

static bool is_named(void *arg, const char *service)
{
    return strstr(arg, service) != NULL;
}

static char *names_of(const struct codec_want *want)
{
    auto_buf struct buf names = {0};

    for (unsigned i = 0; i < codec_want_stack(want)->n_wants; i++) {
        buf_printf(&names, "%s ", codec_want_stack(want)->wants[i].service);
    }
    return buf_take(&names);
}

START_TEST(merged)
{
    struct sample old, new;
    auto_want struct codec_want *older = NULL;
    auto_want struct codec_want *newer = NULL;
    auto_want struct codec_want *both = NULL;
    auto_buf struct buf bytes = {0};
    auto_free char *names = NULL;

    sample_init(&old, "web");
    sample_init(&new, "api");
    new.stack.n_volumes = 0;
    new.container.n_mounts = 0;
    older = decoded(&old);
    newer = decoded(&new);
    codec_want_merge(older, newer, "shop", is_named, "web api", &bytes);
    ck_assert_int_eq(codec_want_decode(bytes.data, bytes.len, &both, NULL), 0);
    names = names_of(both);
    ck_assert_str_eq(names, "api web ");
    ck_assert_uint_eq(codec_want_document(both)->n_volumes, 1); /* web still mounts it */
    buf_clear(&bytes);
    codec_want_merge(older, newer, "shop", is_named, "api", &bytes);
    ck_assert_uint_eq(bytes.len, ({
                          size_t len;
                          (void)codec_want_bytes(newer, &len);
                          len;
                      })); /* nothing kept: the document as it was applied */
    buf_clear(&bytes);
    codec_want_merge(older, NULL, "shop", is_named, "web", &bytes);
    ck_assert_uint_gt(bytes.len, 0);
}
END_TEST

/* Of the older document the networks on which a service that is kept is. */
START_TEST(merged_networks)
{
    struct sample old, new;
    auto_want struct codec_want *older = NULL;
    auto_want struct codec_want *newer = NULL;
    auto_want struct codec_want *both = NULL;
    auto_buf struct buf bytes = {0};

    sample_init(&old, "web");
    sample_networks(&old);
    old.container.n_networks = 1; /* on shop_inner alone */
    sample_init(&new, "api");
    older = decoded(&old);
    newer = decoded(&new);
    codec_want_merge(older, newer, "shop", is_named, "web api", &bytes);
    ck_assert_int_eq(codec_want_decode(bytes.data, bytes.len, &both, NULL), 0);
    ck_assert_uint_eq(codec_want_stack(both)->n_networks, 1);
    ck_assert_str_eq(codec_want_stack(both)->networks[0].name, "shop_inner");
    buf_clear(&bytes);
    codec_want_merge(older, newer, "shop", is_named, "api", &bytes);
    codec_want_free(both);
    ck_assert_int_eq(codec_want_decode(bytes.data, bytes.len, &both, NULL), 0);
    ck_assert_uint_eq(codec_want_stack(both)->n_networks, 0);
}
END_TEST

/* ---- stored values ---- */

static void on_vip(void *arg, const struct fleet_vip_view *vip)
{
    buf_printf(arg, "%s=%x ", vip->network, vip->address);
}

START_TEST(stored_vips)
{
    const struct fleet_vip_view list[] = {{"edge", 0x0af00001}, {"shop_inner", 0x0af00002}};
    const struct fleet_vip_view none[] = {{"", 1}};
    char key[CODEC_STORE_KEY], stack[FLEET_NAME], service[FLEET_NAME];
    auto_buf struct buf bytes = {0};
    auto_buf struct buf seen = {0};
    struct err e = {0};

    codec_store_write_vips(list, 2, &bytes);
    ck_assert_int_eq(codec_store_read_vips(bytes.data, bytes.len, on_vip, &seen, &e), 0);
    ck_assert_str_eq(buf_text(&seen), "edge=af00001 shop_inner=af00002 ");
    buf_clear(&bytes);
    codec_store_write_vips(none, 1, &bytes);
    ck_assert_int_eq(codec_store_read_vips(bytes.data, bytes.len, on_vip, &seen, &e), -EBADMSG);
    codec_store_key_vips("shop", "web", key);
    ck_assert_str_eq(key, "vip/shop/web");
    ck_assert_int_eq(codec_store_parse_vips(key, stack, service, &e), 0);
    ck_assert_str_eq(stack, "shop");
    ck_assert_str_eq(service, "web");
    ck_assert_int_lt(codec_store_parse_vips("vip/shop", stack, service, &e), 0);
    ck_assert_int_lt(codec_store_parse_vips("vip/../web", stack, service, &e), 0);
    ck_assert_int_lt(codec_store_parse_vips("vip/shop/web/x", stack, service, &e), 0);
}
END_TEST

/* A row that is damaged is an error that names the value and what is allowed; nothing of it is
 * taken. */
START_TEST(stored_vips_that_cannot_be)
{
    static const struct fleet_vip_view lists[][2] = {
        {{"edge", 1}, {"", 2}}, {{"edge", 1}, {"a/b", 2}}, {{"edge", 1}, {"inner", 0}}};
    static const char *const said[] = {"virtual address 2 is on '', which is no network's name",
                                       "virtual address 2 is on 'a/b', which is no network's name",
                                       "virtual address 2, on 'inner', is 0.0.0.0 (allowed: "};
    auto_buf struct buf one = {0};
    auto_buf struct buf many = {0};
    auto_buf struct buf seen = {0};
    struct err e = {0};

    for (size_t i = 0; i < ARRAY_LEN(said); i++) {
        auto_buf struct buf bytes = {0};

        codec_store_write_vips(lists[i], 2, &bytes);
        ck_assert_int_eq(codec_store_read_vips(bytes.data, bytes.len, on_vip, &seen, &e), -EBADMSG);
        ck_assert_msg(strncmp(e.text, said[i], strlen(said[i])) == 0, "%s", e.text);
        ck_assert_ptr_nonnull(strstr(e.text, "(allowed: "));
    }
    codec_store_write_vips(lists[0], 1, &one);
    for (unsigned i = 0; i <= SVC_NETWORKS_MAX; i++) {
        buf_append(&many, one.data, one.len); /* lists that follow each other are one */
    }
    ck_assert_int_eq(codec_store_read_vips(many.data, many.len, on_vip, &seen, &e), -EBADMSG);
    ck_assert_str_eq(e.text, "holds 17 virtual addresses (allowed: at most 16)");
    for (size_t i = 0; i < one.len; i++) {
        ck_assert_int_lt(codec_store_read_vips(one.data, i, on_vip, &seen, &e), i > 0 ? 0 : 1);
    }
    ck_assert_uint_eq(seen.len, 0);
}
END_TEST

static void on_placement(void *arg, const struct fleet_load_placement *p)
{
    struct fleet_load_placement *list = arg;

    while (list->incarnation != 0) {
        list++;
    }
    *list = *p;
}

START_TEST(stored_blocks)
{
    uint8_t digest[FLEET_DIGEST] = {1, 2, 3};
    struct fleet_placement_view views[2] = {
        {.incarnation = 1ull << 32 | 1,
         .slot = 1,
         .node_id = {1, 2},
         .revision = digest,
         .current = true,
         .created_unix_ms = 5,
         .mod_revision = 9,
         .image_digest = "sha256:x"},
        {.incarnation = 1ull << 32 | 2,
         .slot = 2,
         .node_id = {3, 4},
         .revision = digest,
         .stop = true,
         .completed = true,
         .image_digest = ""},
    };
    struct fleet_load_placement back[3] = {{.incarnation = 0}};
    auto_buf struct buf bytes = {0};
    struct err e = {0};

    codec_store_write_block(views, 2, &bytes);
    ck_assert_int_eq(
        codec_store_read_block(bytes.data, bytes.len, "shop", "web", on_placement, back, &e), 0);
    ck_assert_uint_eq(back[0].incarnation, views[0].incarnation);
    ck_assert(back[0].current && !back[0].stop && !back[0].completed);
    ck_assert_uint_eq(back[0].mod_revision, 9);
    ck_assert_mem_eq(back[0].revision, digest, FLEET_DIGEST);
    ck_assert(back[1].stop && back[1].completed && !back[1].current);
    ck_assert(id128_equal(back[1].node_id, (struct id128){3, 4}));
    bytes.data[bytes.len - 1] ^= 0x40;
    for (size_t len = 1; len < bytes.len; len++) {
        struct fleet_load_placement none[3] = {{.incarnation = 0}};

        (void)codec_store_read_block(bytes.data, len, "shop", "web", on_placement, none, &e);
    }
}
END_TEST

START_TEST(stored_stacks)
{
    struct codec_store_stack s = {.name = "shop",
                                  .revision = 7,
                                  .applied_unix_ms = 9,
                                  .applied_digest = {5},
                                  .document = "abc",
                                  .len = 3};
    struct codec_store_stack back = {0};
    auto_buf struct buf bytes = {0};
    struct err e = {0};

    codec_store_write_stack(&s, &bytes);
    ck_assert_int_eq(codec_store_read_stack(bytes.data, bytes.len, &back, &e), 0);
    ck_assert_str_eq(back.name, "shop");
    ck_assert_uint_eq(back.revision, 7);
    ck_assert_mem_eq(back.applied_digest, s.applied_digest, FLEET_DIGEST);
    ck_assert_uint_eq(back.len, 3);
    ck_assert_mem_eq(back.document, "abc", 3);
    codec_store_stack_free(&back);
    ck_assert_int_eq(codec_store_read_stack("\x0a\x02..", 4, &back, &e), -EBADMSG);
}
END_TEST

START_TEST(keys)
{
    char key[CODEC_STORE_KEY], stack[FLEET_NAME], service[FLEET_NAME];
    uint8_t digest[FLEET_DIGEST] = {0xab, 1}, back[FLEET_DIGEST];
    uint32_t block;
    struct err e = {0};

    codec_store_key_block("shop", "web", 12, key);
    ck_assert_str_eq(key, "place/shop/web/000012");
    ck_assert_int_eq(codec_store_parse_block(key, stack, service, &block, &e), 0);
    ck_assert_str_eq(stack, "shop");
    ck_assert_str_eq(service, "web");
    ck_assert_uint_eq(block, 12);
    ck_assert_int_lt(codec_store_parse_block("place/shop", stack, service, &block, &e), 0);
    ck_assert_int_lt(codec_store_parse_block("place/shop/web/x", stack, service, &block, &e), 0);
    ck_assert_int_lt(codec_store_parse_block("place/shop/web/1/2", stack, service, &block, &e), 0);
    ck_assert_int_lt(codec_store_parse_block("place/../web/1", stack, service, &block, &e), 0);
    codec_store_key_revision(digest, key);
    ck_assert_int_eq(codec_store_parse_revision(key, back, &e), 0);
    ck_assert_mem_eq(back, digest, FLEET_DIGEST);
    key[10] = 'X';
    ck_assert_int_lt(codec_store_parse_revision(key, back, &e), 0);
}
END_TEST

/* ---- which revisions are held ---- */

struct changes {
    unsigned puts, dels;
};

static void on_put(void *arg, const uint8_t digest[FLEET_DIGEST], const void *bytes, size_t len)
{
    (void)digest;
    ck_assert(bytes != NULL && len > 0);
    ((struct changes *)arg)->puts++;
}

static void on_del(void *arg, const uint8_t digest[FLEET_DIGEST])
{
    (void)digest;
    ((struct changes *)arg)->dels++;
}

static struct changes settle(struct docs *d)
{
    struct changes n = {0};
    struct docs_changes changes = {.put = on_put, .del = on_del, .arg = &n};

    docs_settle(d, &changes);
    return n;
}

/* Of an update: the old revision stays as long as one container of it is left. */
START_TEST(revisions_held)
{
    struct docs *d = docs_create();
    struct sample s;
    uint8_t old[1][FLEET_DIGEST];
    struct codec_want *want;
    struct changes n;
    size_t len;

    sample_init(&s, "web");
    want = decoded(&s);
    memcpy(old[0], codec_want_revision(want, 0)->digest, FLEET_DIGEST);
    docs_put_stack(d, "shop", 1, 0, want);
    docs_put_block(d, "place/shop/web/000000", old, 1);
    n = settle(d);
    ck_assert(n.puts == 1 && n.dels == 0);
    s.container.user = "1000";
    docs_put_stack(d, "shop", 2, 0, decoded(&s));
    n = settle(d);
    ck_assert(n.puts == 1 && n.dels == 0);
    ck_assert_ptr_nonnull(docs_revision(d, old[0], &len));
    docs_put_block(d, "place/shop/web/000000", NULL, 0);
    n = settle(d);
    ck_assert(n.puts == 0 && n.dels == 1);
    ck_assert_ptr_null(docs_revision(d, old[0], &len));
    docs_del_stack(d, "shop");
    n = settle(d);
    ck_assert(n.puts == 0 && n.dels == 1);
    ck_assert_ptr_null(docs_stack(d, "shop"));
    n = settle(d);
    ck_assert(n.puts == 0 && n.dels == 0);
    docs_destroy(d);
}
END_TEST

/* What nobody names when it is loaded goes with the next transaction. */
START_TEST(revisions_left_over)
{
    struct docs *d = docs_create();
    uint8_t digest[FLEET_DIGEST] = {7};
    struct changes n;

    docs_stored_revision(d, digest, "x", 1);
    n = settle(d);
    ck_assert(n.puts == 0 && n.dels == 1);
    docs_destroy(d);
}
END_TEST

/* ---- small ones ---- */

START_TEST(ranges)
{
    static const char *const wrong[] = {
        "",         "10.0.0.0",    "10.0.0.1/8", "10.0.0.0/33", "300.0.0.0/8",
        "10.0.0/8", "10.0.0.0/8x", "::/8",       "0.0.0.0/0"};
    struct iprange r;
    char text[IPRANGE_TEXT];
    struct err e = {0};

    ck_assert_int_eq(iprange_parse("10.128.0.0/9", 22, &r, &e), 0);
    ck_assert_uint_eq(iprange_blocks(&r), 7168); /* an eighth is for virtual addresses */
    iprange_block(&r, 1, text);
    ck_assert_str_eq(text, "10.128.4.0/22");
    iprange_block(&r, 8191, text);
    ck_assert_str_eq(text, "10.255.252.0/22");
    iprange_block(&r, 8192, text);
    ck_assert_str_eq(text, "");
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        ck_assert_msg(iprange_parse(wrong[i], 22, &r, &e) == -EINVAL, "%s", wrong[i]);
    }
    ck_assert_int_eq(iprange_parse("10.128.0.0/9", 8, &r, &e), -EINVAL);
    ck_assert_int_eq(iprange_parse("10.128.0.0/9", 29, &r, &e), -EINVAL);
}
END_TEST

START_TEST(events_kept)
{
    struct ring *r = ring_create();
    struct fleet_action a = {.type = FLEET_EVENT};

    ck_assert_uint_eq(ring_first(r), ring_next(r));
    for (uint64_t i = 1; i <= RING_MAX + 10; i++) {
        a.unix_ms = i;
        a.text = xstrdup("x");
        ck_assert_uint_eq(ring_add(r, &a)->unix_ms, i);
        ck_assert_ptr_null(a.text);
    }
    ck_assert_uint_eq(ring_first(r), 11);
    ck_assert_uint_eq(ring_next(r), RING_MAX + 11);
    ck_assert_uint_eq(ring_at(r, 11)->unix_ms, 11);
    ck_assert_uint_eq(ring_at(r, RING_MAX + 10)->unix_ms, RING_MAX + 10);
    ck_assert_ptr_null(ring_at(r, 10));
    ck_assert_ptr_null(ring_at(r, RING_MAX + 11));
    ring_destroy(r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec_want");
    TCase *tc = tcase_create("codec_want");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, what_is_decided_upon);
    tcase_add_test(tc, reservations);
    tcase_add_test(tc, documents_refused);
    tcase_add_test(tc, networks_of_a_service);
    tcase_add_loop_test(tc, networks_refused, 0, 7);
    tcase_add_test(tc, merged);
    tcase_add_test(tc, merged_networks);
    tcase_add_test(tc, stored_vips);
    tcase_add_test(tc, stored_vips_that_cannot_be);
    tcase_add_test(tc, stored_blocks);
    tcase_add_test(tc, stored_stacks);
    tcase_add_test(tc, keys);
    tcase_add_test(tc, revisions_held);
    tcase_add_test(tc, revisions_left_over);
    tcase_add_test(tc, ranges);
    tcase_add_test(tc, events_kept);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
