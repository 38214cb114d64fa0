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

/* ---- networks and names ---- */

static const char joined[] =
    "services:\n"
    "  a:\n"
    "    image: b\n"
    "    networks: {n: {aliases: [x, y], ipv4_address: 10.5.0.7, mac_address: "
    "'02:42:ac:11:00:02'}, o: }\n"
    "    domainname: example.org\n"
    "    dns: [192.0.2.53, 192.0.2.54]\n"
    "    dns_search: [example.org]\n"
    "    dns_opt: ['ndots:2']\n"
    "    extra_hosts: ['db:192.0.2.1', 'up:host-gateway']\n"
    "    ports: ['80:80']\n"
    "    x-wherry: {egress: [192.0.2.0/24, 198.51.100.1], bandwidth: {in: 10mbit, out: 10mbit}}\n"
    "  b: {image: b, networks: [n], ports: ['81:80']}\n"
    "networks:\n"
    "  n: {ipam: {config: [{subnet: 10.5.0.0/24}]}}\n"
    "  o: {external: true}\n"
    "  p: {ipam: {config: [{subnet: 10.6.0.0/24}]}}\n";

#define USE (C->networks[1]) /* "o" is called so in the cluster and comes before "shop_n" */
#define B   (s->services[1]->container)

/* As many elements as no list may have, all of them one. */
static void *many_of(void *element)
{
    static void *list[300];

    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        list[i] = element;
    }
    return list;
}

static void grow(char ***list, size_t *count, size_t n)
{
    *list = many_of(*list[0]);
    *count = n;
}

static void use_many(Wherry__Spec__Stack *s)
{
    C->networks = many_of(USE);
    C->n_networks = 17;
}

static void swap(void *list)
{
    void **two = list, *first = two[0];

    two[0] = two[1];
    two[1] = first;
}

static void hosts_addresses(Wherry__Spec__Stack *s)
{
    C->extra_hosts[0]->key = C->extra_hosts[1]->key;
    swap(C->extra_hosts);
}

static void hosts_many(Wherry__Spec__Stack *s)
{
    C->extra_hosts = many_of(C->extra_hosts[0]);
    C->n_extra_hosts = 257;
}

/* clang-format off */
static void net_key(Wherry__Spec__Stack *s) { s->networks[0]->key = (char *)"../n"; }
static void net_name(Wherry__Spec__Stack *s) { s->networks[0]->name = (char *)"a b"; }
static void net_ipv6(Wherry__Spec__Stack *s) { s->networks[0]->enable_ipv6 = true; }
static void net_order(Wherry__Spec__Stack *s) { s->networks[1]->key = (char *)"m"; }
static void net_same(Wherry__Spec__Stack *s) { s->networks[1]->name = (char *)"shop_n"; }
static void net_subnet(Wherry__Spec__Stack *s) { s->networks[0]->subnets[0] = (char *)"10.5.0.1/24"; }
static void net_wide(Wherry__Spec__Stack *s) { s->networks[0]->subnets[0] = (char *)"0.0.0.0/0"; }
static void net_overlap(Wherry__Spec__Stack *s) { s->networks[2]->subnets[0] = (char *)"10.5.0.128/25"; }
static void net_around(Wherry__Spec__Stack *s) { s->networks[2]->subnets[0] = (char *)"10.0.0.0/8"; }
static void net_many(Wherry__Spec__Stack *s) { grow(&s->networks[0]->subnets, &s->networks[0]->n_subnets, 17); }
static void use_unknown(Wherry__Spec__Stack *s) { USE->name = (char *)"shop_z"; }
static void use_order(Wherry__Spec__Stack *s) { C->networks[0] = USE; }
static void use_mode(Wherry__Spec__Stack *s) { C->network_mode = 2; C->n_ports = 0; }
static void use_internal(Wherry__Spec__Stack *s) { USE->internal = true; }
static void use_ipv6(Wherry__Spec__Stack *s) { USE->ipv6 = true; }
static void use_mac(Wherry__Spec__Stack *s) { USE->mac_address = (char *)"01:00:5e:00:00:01"; }
static void use_mac_zero(Wherry__Spec__Stack *s) { USE->mac_address = (char *)"00:00:00:00:00:00"; }
static void use_mac_text(Wherry__Spec__Stack *s) { USE->mac_address = (char *)"02:42:ac:11:00:0"; }
static void use_outside(Wherry__Spec__Stack *s) { USE->ipv4_address = (char *)"10.6.0.7"; }
static void use_no_address(Wherry__Spec__Stack *s) { USE->ipv4_address = (char *)"224.0.0.1"; }
static void use_no_subnet(Wherry__Spec__Stack *s) { C->networks[0]->ipv4_address = (char *)"10.5.0.7"; }
static void use_address6(Wherry__Spec__Stack *s) { USE->ipv6_address = (char *)"fd00::1"; }
static void use_replicas(Wherry__Spec__Stack *s) { A->replicas = 2; }
static void use_global(Wherry__Spec__Stack *s) { A->mode = 1; A->replicas = 0; }
static void alias_many(Wherry__Spec__Stack *s) { grow(&USE->aliases, &USE->n_aliases, 33); }
static void alias_upper(Wherry__Spec__Stack *s) { USE->aliases[0] = (char *)"X"; }
static void alias_order(Wherry__Spec__Stack *s) { USE->aliases[0] = (char *)"z"; }
static void alias_text(Wherry__Spec__Stack *s) { USE->aliases[0] = (char *)"a..b"; }
static void alias_service(Wherry__Spec__Stack *s) { USE->aliases[0] = (char *)"b"; }
static void address_twice(Wherry__Spec__Stack *s) { B->networks[0]->ipv4_address = (char *)"10.5.0.7"; }
static void domain(Wherry__Spec__Stack *s) { C->domainname = (char *)"a b"; }
static void dns_many(Wherry__Spec__Stack *s) { grow(&C->dns, &C->n_dns, 4); }
static void dns_text(Wherry__Spec__Stack *s) { C->dns[1] = (char *)"resolver"; }
static void search_text(Wherry__Spec__Stack *s) { C->dns_search[0] = (char *)"a\nnameserver b"; }
static void search_many(Wherry__Spec__Stack *s) { grow(&C->dns_search, &C->n_dns_search, 7); }
static void opt_text(Wherry__Spec__Stack *s) { C->dns_opt[0] = (char *)"ndots:2\n"; }
static void hosts_order(Wherry__Spec__Stack *s) { swap(C->extra_hosts); }
static void hosts_twice(Wherry__Spec__Stack *s) { C->extra_hosts[1] = C->extra_hosts[0]; }
static void egress_order(Wherry__Spec__Stack *s) { swap(C->egress->cidr); }
static void egress_twice(Wherry__Spec__Stack *s) { C->egress->cidr[1] = C->egress->cidr[0]; }
static void hosts_name(Wherry__Spec__Stack *s) { C->extra_hosts[0]->key = (char *)"a b"; }
static void hosts_value(Wherry__Spec__Stack *s) { C->extra_hosts[0]->value = (char *)"192.0.2.1 evil"; }
static void egress_text(Wherry__Spec__Stack *s) { C->egress->cidr[0] = (char *)"192.0.2.1/24"; }
static void egress_many(Wherry__Spec__Stack *s) { grow(&C->egress->cidr, &C->egress->n_cidr, 65); }
static void rate_low(Wherry__Spec__Stack *s) { C->bandwidth->in_bits_per_s = 1; }
static void rate_high(Wherry__Spec__Stack *s) { C->bandwidth->out_bits_per_s = UINT64_MAX; }
static void ingress_twice(Wherry__Spec__Stack *s) { B->ports[0]->published = 80; }
static void ingress_dnsrr(Wherry__Spec__Stack *s) { A->endpoint_mode = 1; }
static void port_mode_kind(Wherry__Spec__Stack *s) { C->ports[0]->mode = 7; }
static void balance_kind(Wherry__Spec__Stack *s) { A->balance = 7; }
/* clang-format on */

static const struct {
    void (*change)(Wherry__Spec__Stack *s);
    const char *said;
} net_changes[] = {
    {net_key, "networks.../n: \"../n\" is no name"},
    {net_name, "networks.n.name: \"a b\" is no name of a network"},
    {net_ipv6, "services.a.networks: is not as \"n\" is declared"},
    {net_order, "networks: \"m\" is not in order, or given twice"},
    {net_same, "networks.o.name: \"shop_n\" is the network \"n\", too"},
    {net_subnet, "networks.n.ipam.config: \"10.5.0.1/24\" is no subnet"},
    {net_wide, "networks.n.ipam.config: \"0.0.0.0/0\" is no subnet"},
    {net_overlap, "networks.p.ipam.config: 10.5.0.128/25 overlaps 10.5.0.0/24 of \"n\""},
    {net_around, "networks.p.ipam.config: 10.0.0.0/8 overlaps 10.5.0.0/24 of \"n\""},
    {net_many, "networks.n.ipam.config: has 17 elements (allowed: at most 16)"},
    {use_unknown, "services.a.networks: there is no network \"shop_z\""},
    {use_order, "services.a.networks: \"shop_n\" is not in order, or given twice"},
    {use_many, "services.a.networks: there are 17 (allowed: at most 16)"},
    {use_mode, "services.a.networks: cannot be with network_mode host or none"},
    {use_internal, "services.a.networks: is not as \"n\" is declared"},
    {use_ipv6, "services.a.networks: is not as \"n\" is declared"},
    {use_mac, "services.a.networks: \"01:00:5e:00:00:01\" is no hardware address"},
    {use_mac_zero, "services.a.networks: \"00:00:00:00:00:00\" is no hardware address"},
    {use_mac_text, "services.a.networks: \"02:42:ac:11:00:0\" is no hardware address"},
    {use_outside, "services.a.networks: ipv4_address 10.6.0.7 lies in no subnet of \"n\""},
    {use_no_address, "services.a.networks: \"224.0.0.1\" is no IPv4 address of a host"},
    {use_no_subnet, "services.a.networks: ipv4_address 10.5.0.7 lies in no subnet of \"o\""},
    {use_address6, "services.a.networks: ipv6_address is not supported yet"},
    {use_replicas, "services.a.networks: ipv4_address 10.5.0.7 is for one replica"},
    {use_global, "services.a.networks: ipv4_address 10.5.0.7 is for one replica"},
    {alias_many, "services.a.networks: has 33 aliases (allowed: at most 32)"},
    {alias_upper, "services.a.networks: alias \"X\" is not in order, not in lower case"},
    {alias_order, "services.a.networks: alias \"y\" is not in order, not in lower case"},
    {alias_text, "services.a.networks: \"a..b\" is no host name"},
    {alias_service, "services.a.networks: alias \"b\" is the name of another service there"},
    {address_twice, "services.a.networks: ipv4_address 10.5.0.7 is that of \"b\", too"},
    {domain, "services.a.domainname: \"a b\" is no domain"},
    {dns_many, "services.a.dns: has 4 elements (allowed: at most 3)"},
    {dns_text, "services.a.dns: \"resolver\" is no IPv4 address of a host"},
    {search_text, "services.a.dns_search: \"a\nnameserver b\" is no domain"},
    {search_many, "services.a.dns_search: has 7 elements (allowed: at most 6)"},
    {opt_text, "services.a.dns_opt: \"ndots:2\n\" is no option"},
    {hosts_name, "services.a.extra_hosts: \"a b\" is no host name"},
    {hosts_value, "services.a.extra_hosts: \"192.0.2.1 evil\" is no address"},
    {hosts_many, "services.a.extra_hosts: has 257 elements (allowed: at most 256)"},
    {hosts_order, "services.a.extra_hosts: \"db=192.0.2.1\" is not in order, or given twice"},
    {hosts_twice, "services.a.extra_hosts: \"db=192.0.2.1\" is not in order, or given twice"},
    {hosts_addresses, "services.a.extra_hosts: \"up=192.0.2.1\" is not in order, or given twice"},
    {egress_order, "services.a.x-wherry.egress: \"192.0.2.0/24\" is not in order, or given twice"},
    {egress_twice, "services.a.x-wherry.egress: \"192.0.2.0/24\" is not in order, or given twice"},
    {egress_text, "services.a.x-wherry.egress: \"192.0.2.1/24\" is no network"},
    {egress_many, "services.a.x-wherry.egress: has 65 elements (allowed: at most 64)"},
    {rate_low, "services.a.x-wherry.bandwidth.in: is out of range"},
    {rate_high, "services.a.x-wherry.bandwidth.out: is out of range"},
    {ingress_twice, "services.b.ports: port 80 is published by \"a\", too"},
    {ingress_dnsrr, "services.a.deploy.endpoint_mode: dnsrr cannot be with ports"},
    {port_mode_kind, "services.a: 'mode' has the unknown value 7"},
    {balance_kind, "services.a: 'balance' has the unknown value 7"},
};

START_TEST(one_change_of_networks)
{
    struct err e = {0};
    auto_compose struct compose_result result = {0};
    Wherry__Spec__Stack *s;

    compose_case_read("c.yaml", joined, true, &result);
    ck_assert_msg(result.stack.message != NULL, "%s",
                  result.errors.n > 0 ? result.errors.items[0].text : "");
    s = (Wherry__Spec__Stack *)result.stack.message;
    ck_assert_msg(compose_check(s, &e) == 0, "%s", e.text);
    net_changes[_i].change(s);
    ck_assert_int_lt(compose_check(s, &e), 0);
    ck_assert_msg(strncmp(e.text, net_changes[_i].said, strlen(net_changes[_i].said)) == 0,
                  "said '%s'\ninstead of '%s'", e.text, net_changes[_i].said);
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
    const char *text = _i == 0 ? good : joined;
    auto_compose struct compose_result result = {0};
    auto_buf struct buf bytes = {0};
    uint64_t seed = 7;

    compose_case_read("c.yaml", text, true, &result);
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
    tcase_add_loop_test(check, one_change_of_networks, 0, (int)ARRAY_LEN(net_changes));
    tcase_add_test(check, unknown_fields);
    tcase_add_test(check, too_large);
    tcase_add_test(check, long_chain);
    tcase_add_loop_test(check, mangled, 0, 2);
    suite_add_tcase(suite, check);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
