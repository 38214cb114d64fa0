// SPDX-License-Identifier: Apache-2.0
/* A Stack document from a stranger: a good one is changed in one place at a time, and each change
 * is refused with the place and the reason. Then at random: what passes is what the reader could
 * make. */
#include "common/compose_check.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "compose_case.h"

static const char good[] = "services:\n"
                           "  a:\n"
                           "    image: b\n"
                           "    command: x y\n"
                           "    environment: {A: 1, B: 2}\n"
                           "    labels: {a: b, c: d}\n"
                           "    cap_add: [CHOWN, KILL]\n"
                           "    ports: ['80:80', '81:81']\n"
                           "    volumes: ['data:/data', '/h:/h']\n"
                           "    healthcheck: {test: [HTTP, 'http://:80/']}\n"
                           "    depends_on: [b, c]\n"
                           "    mem_limit: 64m\n"
                           "    deploy: {placement: {constraints: [node.id==x]}, resources: "
                           "{reservations: {memory: 8m}}}\n"
                           "  b: {image: b, healthcheck: {test: [CMD, x]}}\n"
                           "  c: {image: c, depends_on: [b], deploy: {mode: global-job}}\n"
                           "volumes: {data: , more: }\n";

static char *long_text(size_t len)
{
    char *text = xmalloc(len + 1);

    memset(text, 'x', len);
    text[len] = '\0';
    return text;
}

static char longer[DOC_STRING_MAX + 2], longest[DOC_LONG_MAX + 2];

#define A (s->services[0])
#define C (s->services[0]->container)

/* Each case breaks the document in one way; texts are literals, as nothing frees them. */
/* clang-format off */
static void no_name(Wherry__Spec__Stack *s) { s->name = (char *)""; }
static void bad_name(Wherry__Spec__Stack *s) { s->name = (char *)"../x"; }
static void no_services(Wherry__Spec__Stack *s) { s->n_services = 0; }
static void bad_service(Wherry__Spec__Stack *s) { A->name = (char *)"A/b"; }
static void service_twice(Wherry__Spec__Stack *s) { s->services[1] = s->services[0]; }
static void no_container(Wherry__Spec__Stack *s) { A->container = NULL; }
static void no_image(Wherry__Spec__Stack *s) { C->image = (char *)""; }
static void bad_user(Wherry__Spec__Stack *s) { C->user = (char *)"-1"; }
static void bad_dir(Wherry__Spec__Stack *s) { C->working_dir = (char *)"/a/../b"; }
static void bad_host(Wherry__Spec__Stack *s) { C->hostname = (char *)"a b"; }
static void long_host(Wherry__Spec__Stack *s) { C->ports[0]->name = longer; }
static void long_word(Wherry__Spec__Stack *s) { C->command->arg[0] = longest; }
static void env_order(Wherry__Spec__Stack *s) { C->environment[0]->key = (char *)"C"; }
static void env_twice(Wherry__Spec__Stack *s) { C->environment[0]->key = (char *)"B"; }
static void env_key(Wherry__Spec__Stack *s) { C->environment[0]->key = (char *)"A=B"; }
static void env_long(Wherry__Spec__Stack *s) { C->environment[0]->value = longest; }
static void label_key(Wherry__Spec__Stack *s) { C->labels[0]->key = (char *)""; }
static void signal_range(Wherry__Spec__Stack *s) { C->stop_signal = 65; }
static void grace_range(Wherry__Spec__Stack *s) { C->stop_grace_ms = UINT64_MAX; }
static void port_range(Wherry__Spec__Stack *s) { C->ports[0]->target = 65536; }
static void port_zero(Wherry__Spec__Stack *s) { C->ports[0]->target = 0; }
static void port_twice(Wherry__Spec__Stack *s) { C->ports[0]->published = 81; }
static void port_ip(Wherry__Spec__Stack *s) { C->ports[0]->host_ip = (char *)"evil"; }
static void port_kind(Wherry__Spec__Stack *s) { C->ports[0]->protocol = 7; }
static void port_mode(Wherry__Spec__Stack *s) { C->network_mode = 1; }
static void mount_target(Wherry__Spec__Stack *s) { C->mounts[0]->target = (char *)"/proc"; }
static void mount_twice(Wherry__Spec__Stack *s) { C->mounts[0]->target = (char *)"/h"; }
static void mount_source(Wherry__Spec__Stack *s) { C->mounts[1]->source = (char *)"../h"; }
static void mount_volume(Wherry__Spec__Stack *s) { C->mounts[0]->source = (char *)"none"; }
static void mount_name(Wherry__Spec__Stack *s) { C->mounts[0]->volume_name = (char *)"x"; }
static void mount_mode(Wherry__Spec__Stack *s) { C->mounts[0]->tmpfs_mode = 010000; }
static void cap_unknown(Wherry__Spec__Stack *s) { C->cap_add[0] = (char *)"ROOT"; }
static void cap_order(Wherry__Spec__Stack *s) { C->cap_add[0] = (char *)"SETUID"; }
static void probe_port(Wherry__Spec__Stack *s) { C->healthcheck->port = 0; }
static void probe_path(Wherry__Spec__Stack *s) { C->healthcheck->http_path = (char *)"/\r\nX"; }
static void probe_argv(Wherry__Spec__Stack *s) { s->services[1]->container->healthcheck->n_argv = 0; }
static void probe_time(Wherry__Spec__Stack *s) { C->healthcheck->interval_ms = UINT64_MAX; }
static void retries(Wherry__Spec__Stack *s) { C->healthcheck->retries = 100000; }
static void memory(Wherry__Spec__Stack *s) { C->limits->memory_bytes = 1; }
static void cpu(Wherry__Spec__Stack *s) { C->limits->cpu_millis = 1; }
static void pids(Wherry__Spec__Stack *s) { C->limits->pids = UINT64_MAX; }
static void reserve(Wherry__Spec__Stack *s) { A->reserve_memory_bytes = 65u << 20; }
static void delay(Wherry__Spec__Stack *s) { C->restart->delay_ms = 1; }
static void replicas(Wherry__Spec__Stack *s) { A->replicas = 1000001; }
static void global(Wherry__Spec__Stack *s) { A->mode = 1; }
static void mode(Wherry__Spec__Stack *s) { A->mode = 99; }
static void job(Wherry__Spec__Stack *s) { A->mode = 2; }
static void constraint(Wherry__Spec__Stack *s) { A->constraints[0]->key = (char *)"x"; }
static void empty_value(Wherry__Spec__Stack *s) { A->constraints[0]->value = (char *)""; }
static void nobody(Wherry__Spec__Stack *s) { A->depends_on[1]->service = (char *)"d"; }
static void depends_order(Wherry__Spec__Stack *s) { A->depends_on[0]->service = (char *)"c"; }
static void itself(Wherry__Spec__Stack *s) { A->depends_on[0]->service = (char *)"a"; }
static void cycle(Wherry__Spec__Stack *s) { s->services[2]->depends_on[0]->service = (char *)"a"; }
static void volume_key(Wherry__Spec__Stack *s) { s->volumes[1]->key = (char *)"more/x"; }
static void volume_name(Wherry__Spec__Stack *s) { s->volumes[1]->name = (char *)".."; }
static void volume_order(Wherry__Spec__Stack *s) { s->volumes[1]->key = (char *)"a"; }
/* clang-format on */

static const struct {
    void (*change)(Wherry__Spec__Stack *s);
    const char *said;
} changes[] = {
    {no_name, "name: \"\" is no name"},
    {bad_name, "name: \"../x\" is no name"},
    {no_services, "services: there are 0 (allowed: 1 to 1000)"},
    {bad_service, "services: \"A/b\" is no name"},
    {service_twice, "services: \"a\" is not in order, or given twice"},
    {no_container, "services.a: has no container"},
    {no_image, "services.a.image: image name '' is empty"},
    {bad_user, "services.a.user: \"-1\" is no user"},
    {bad_dir, "services.a.working_dir: \"/a/../b\" is no absolute path"},
    {bad_host, "services.a.hostname: \"a b\" is no host name"},
    {long_host, "services.a: 'name' has 4097 bytes (allowed: 4096)"},
    {long_word, "services.a: 'arg' has 65537 bytes (allowed: 65536)"},
    {env_order, "services.a.environment: \"B\" is not in order, or given twice"},
    {env_twice, "services.a.environment: \"B\" is not in order, or given twice"},
    {env_key, "services.a.environment: \"A=B\" is no name of a variable"},
    {env_long, "services.a: 'value' has 65537 bytes (allowed: 65536)"},
    {label_key, "services.a.labels: \"\" is no key of a label"},
    {signal_range, "services.a.stop_signal: 65 is no signal (allowed: 1 to 64)"},
    {grace_range, "services.a.stop_grace_period: is too long (allowed: at most 24h)"},
    {port_range, "services.a.ports: 80:65536 is out of range (allowed: 1 to 65535)"},
    {port_zero, "services.a.ports: 80:0 is out of range (allowed: 1 to 65535)"},
    {port_twice, "services.a.ports: port 81 of the host is published twice"},
    {port_ip, "services.a.ports: \"evil\" is no IPv4 address of the host"},
    {port_kind, "services.a: 'protocol' has the unknown value 7"},
    {port_mode, "services.a.ports: cannot be published with network_mode"},
    {mount_target, "services.a.volumes: \"/proc\" cannot be mounted on"},
    {mount_twice, "services.a.volumes: \"/h\" is mounted on twice"},
    {mount_source, "services.a.volumes: \"../h\" is no absolute path"},
    {mount_volume, "services.a.volumes: there is no volume \"none\""},
    {mount_name, "services.a.volumes: volume \"data\" is called \"shop_data\", not \"x\""},
    {mount_mode, "services.a.volumes: size or mode of a tmpfs is out of range"},
    {cap_unknown, "services.a.cap_add: \"ROOT\" is no capability"},
    {cap_order, "services.a.cap_add: \"KILL\" is not in order, or given twice"},
    {probe_port, "services.a.healthcheck.test: port 0 is out of range"},
    {probe_path, "services.a.healthcheck.test: \"/\r\nX\" is no path of a URL"},
    {probe_argv, "services.b.healthcheck.test: has no command"},
    {probe_time, "services.a.healthcheck: a time is too long (allowed: 30 days)"},
    {retries, "services.a.healthcheck.retries: 100000 is too many (allowed: 0 to 1000)"},
    {memory, "services.a.mem_limit: is out of range (allowed: 6m to 1024t)"},
    {cpu, "services.a.cpus: is out of range (allowed: 0.01 to 10000)"},
    {pids, "services.a.pids_limit: is out of range (allowed: 1 to 4194304)"},
    {reserve, "services.a.deploy.resources.reservations.memory: is more than the limit"},
    {delay, "services.a.restart: has a delay that does not count"},
    {replicas, "services.a.deploy.replicas: 1000001 is too many (allowed: 0 to 1000000)"},
    {global, "services.a.deploy.replicas: a global service has one replica per node"},
    {mode, "services.a: 'mode' has the unknown value 99"},
    {job, "services.a.deploy.mode: a job that is always restarted never ends"},
    {constraint, "services.a.deploy.placement.constraints: \"x\" cannot constrain"},
    {empty_value, "services.a.deploy.placement.constraints: node.id is compared with nothing"},
    {nobody, "services.a.depends_on: there is no service \"d\""},
    {depends_order, "services.a.depends_on: \"c\" is not in order, or given twice"},
    {itself, "services.a.depends_on: services wait for each other: a -> a"},
    {cycle, "services.a.depends_on: services wait for each other: a -> c -> a"},
    {volume_key, "volumes.more/x: \"more/x\" is no name"},
    {volume_name, "volumes.more.name: \"..\" is no name of a volume"},
    {volume_order, "volumes: \"a\" is not in order, or given twice"},
};

START_TEST(one_change)
{
    struct err e = {0};
    auto_compose struct compose_result result = {0};
    Wherry__Spec__Stack *s;

    memset(longer, 'x', DOC_STRING_MAX + 1);
    memset(longest, 'x', DOC_LONG_MAX + 1);
    compose_case_read("c.yaml", good, true, &result);
    ck_assert_ptr_nonnull(result.stack.message);
    s = (Wherry__Spec__Stack *)result.stack.message;
    ck_assert_msg(compose_check(s, &e) == 0, "%s", e.text);
    changes[_i].change(s);
    ck_assert_int_lt(compose_check(s, &e), 0);
    ck_assert_msg(strncmp(e.text, changes[_i].said, strlen(changes[_i].said)) == 0,
                  "said '%s'\ninstead of '%s'", e.text, changes[_i].said);
    ck_assert_int_lt(compose_check(s, NULL), 0);
}
END_TEST

START_TEST(unknown_fields)
{
    auto_compose struct compose_result result = {0};
    auto_buf struct buf bytes = {0};
    auto_doc struct doc doc = {0};
    struct err e;

    compose_case_read("c.yaml", good, true, &result);
    doc_encode(result.stack.message, &bytes);
    buf_append(&bytes, "\xf8\x07\x01", 3); /* field 127, varint 1 */
    ck_assert_int_eq(doc_decode(&wherry__spec__stack__descriptor, bytes.data, bytes.len,
                                &doc_limits_default, &doc, &e),
                     0);
    ck_assert_int_lt(compose_check((const Wherry__Spec__Stack *)doc.message, &e), 0);
    ck_assert_str_eq(e.text, "holds fields that this version does not know, in Stack");
}
END_TEST

START_TEST(too_large)
{
    Wherry__Spec__Stack stack = WHERRY__SPEC__STACK__INIT;
    Wherry__Spec__Volume volumes[100], *list[100];
    char *text = long_text(DOC_STRING_MAX);
    struct err e;

    stack.name = (char *)"shop";
    stack.n_volumes = 100;
    stack.volumes = list;
    for (unsigned i = 0; i < 100; i++) {
        volumes[i] = (Wherry__Spec__Volume)WHERRY__SPEC__VOLUME__INIT;
        volumes[i].name = text;
        list[i] = &volumes[i];
    }
    ck_assert_int_lt(compose_check(&stack, &e), 0);
    ck_assert_msg(strstr(e.text, "bytes (allowed: 262144)") != NULL, "%s", e.text);
    free(text);
}
END_TEST

/* A thousand services in a row, each waiting for the next: no recursion, no cycle; then one. */
START_TEST(long_chain)
{
    auto_buf struct buf text = {0};
    struct err e;
    auto_compose struct compose_result result = {0};
    Wherry__Spec__Stack *s;

    buf_puts(&text, "services:\n");
    for (unsigned i = 0; i < 1000; i++) {
        buf_printf(&text, "  s%03u: {image: b%s", i, i < 999 ? ", depends_on: [" : "");
        buf_printf(&text, i < 999 ? "s%03u]}\n" : "}\n", i + 1);
    }
    compose_case_read("c.yaml", buf_text(&text), true, &result);
    ck_assert_msg(result.stack.message != NULL, "%s",
                  result.errors.n > 0 ? result.errors.items[0].text : "");
    s = (Wherry__Spec__Stack *)result.stack.message;
    s->services[998]->depends_on[0]->service = s->services[0]->name;
    ck_assert_int_lt(compose_check(s, &e), 0);
    ck_assert_msg(strstr(e.text, "services wait for each other: s000 -> s001") != NULL, "%s",
                  e.text);
}
END_TEST

/* Flipped bytes of a good document: never a crash, and a refusal always has its words. */
START_TEST(mangled)
{
    auto_compose struct compose_result result = {0};
    auto_buf struct buf bytes = {0};
    uint64_t seed = 7;

    compose_case_read("c.yaml", good, true, &result);
    doc_encode(result.stack.message, &bytes);
    for (unsigned round = 0; round < 20000; round++) {
        auto_free char *copy = xmalloc(bytes.len);
        auto_doc struct doc doc = {0};
        struct err e = {0};

        memcpy(copy, bytes.data, bytes.len);
        for (unsigned i = 0; i <= round % 4; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            copy[(seed >> 33) % bytes.len] = (char)(seed >> 20);
        }
        if (doc_decode(&wherry__spec__stack__descriptor, copy, bytes.len, &doc_limits_default, &doc,
                       &e) == 0 &&
            compose_check((const Wherry__Spec__Stack *)doc.message, &e) < 0) {
            ck_assert_uint_gt(strlen(e.text), 0);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compose_check");
    TCase *check = tcase_create("check");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(check, 60);
    tcase_add_loop_test(check, one_change, 0, (int)ARRAY_LEN(changes));
    tcase_add_test(check, unknown_fields);
    tcase_add_test(check, too_large);
    tcase_add_test(check, long_chain);
    tcase_add_test(check, mangled);
    suite_add_tcase(suite, check);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
