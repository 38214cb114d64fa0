// SPDX-License-Identifier: Apache-2.0
/* From Compose text to the document: what every key becomes, and that neither the order of keys nor
 * the way of writing changes a document. */
#include "common/compose.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "compose_case.h"

/* What every service has, around what is looked at. */
static void expect_service(const char *lines, const char *wanted)
{
    auto_free char *got = compose_case_service(lines);

    ck_assert_msg(strstr(got, wanted) != NULL, "\n%s\nhas no %s:\n%s", lines, wanted, got);
}

START_TEST(smallest)
{
    auto_free char *got = compose_case_json("services: {a: {image: busybox}}\n");

    ck_assert_str_eq(
        got, "{\"name\":\"shop\",\"services\":[{\"name\":\"a\",\"container\":{\"image\":"
             "\"docker.io/library/busybox:latest\",\"stop_grace_ms\":10000,\"restart\":"
             "{\"window_ms\":10000},\"networks\":[{\"name\":\"shop_default\"}]},\"replicas\":1"
             "}],\"networks\":[{\"key\":\"default\",\"name\":\"shop_default\"}]}");
}
END_TEST

static const char *const keys[][2] = {
    {"    command: echo 'a b' c\n", "\"command\":{\"arg\":[\"echo\",\"a b\",\"c\"]}"},
    {"    command: [\"a b\", 1, no]\n", "\"command\":{\"arg\":[\"a b\",\"1\",\"no\"]}"},
    {"    command: []\n", "\"command\":{}"},
    {"    command: ''\n", "\"command\":{}"},
    {"    entrypoint: /e x\n", "\"entrypoint\":{\"arg\":[\"/e\",\"x\"]}"},
    {"    environment: {B: no, A: 012, C: 1e3, D: ~, SET: , E: ''}\n",
     "\"environment\":{\"A\":\"012\",\"B\":\"no\",\"C\":\"1e3\",\"E\":\"\",\"SET\":\"value\"}"},
    {"    environment: [B=2, A=1=1, SET, NOT, D=]\n",
     "\"environment\":{\"A\":\"1=1\",\"B\":\"2\",\"D\":\"\",\"SET\":\"value\"}"},
    {"    environment: {A: '$$x${SET}$DOLLAR'}\n", "\"environment\":{\"A\":\"$xvalue$x\"}"},
    {"    environment: {N: $COMPOSE_PROJECT_NAME}\n", "\"environment\":{\"N\":\"shop\"}"},
    {"    labels: {b: , a: 1}\n", "\"labels\":{\"a\":\"1\",\"b\":\"\"}"},
    {"    labels: [a, b=c]\n", "\"labels\":{\"a\":\"\",\"b\":\"c\"}"},
    {"    working_dir: /srv\n", "\"working_dir\":\"/srv\""},
    {"    user: 1000:33\n", "\"user\":\"1000:33\""},
    {"    hostname: h\n", "\"hostname\":\"h\""},
    {"    read_only: yes\n", "\"read_only\":true"},
    {"    init: true\n", "\"init\":true"},
    {"    stop_signal: SIGUSR1\n", "\"stop_signal\":10"},
    {"    stop_grace_period: 1m30s\n", "\"stop_grace_ms\":90000"},
    {"    restart: no\n", "\"restart\":{\"condition\":\"never\",\"window_ms\":10000}"},
    {"    restart: unless-stopped\n", "\"restart\":{\"window_ms\":10000}"},
    {"    restart: on-failure:3\n",
     "\"restart\":{\"condition\":\"on-failure\",\"max_attempts\":3,\"window_ms\":10000}"},
    {"    cap_add: [net_raw, CAP_SYS_TIME, NET_RAW]\n", "\"cap_add\":[\"NET_RAW\",\"SYS_TIME\"]"},
    {"    cap_drop: [ALL]\n", "\"cap_drop\":[\"ALL\"]"},
    {"    mem_limit: 64m\n", "\"limits\":{\"memory_bytes\":67108864}"},
    {"    cpus: 0.5\n", "\"limits\":{\"cpu_millis\":500}"},
    {"    cpus: '2'\n", "\"limits\":{\"cpu_millis\":2000}"},
    {"    pids_limit: 100\n", "\"limits\":{\"pids\":100}"},
    {"    network_mode: none\n", "\"network_mode\":\"none\""},
    {"    tmpfs: /run:size=1m,mode=700\n",
     "\"mounts\":[{\"type\":\"tmpfs\",\"target\":\"/run\",\"tmpfs_size_bytes\":1048576,"
     "\"tmpfs_mode\":448}]"},
    {"    tmpfs: [/b, /a]\n", "\"mounts\":[{\"type\":\"tmpfs\",\"target\":\"/a\"},{\"type\":"
                              "\"tmpfs\",\"target\":\"/b\"}]"},
    {"    volumes: [data:/x/]\n",
     "\"mounts\":[{\"source\":\"data\",\"target\":\"/x\",\"volume_name\":\"shop_data\"}]"},
    {"    volumes: ['./c/../d:/x:ro']\n",
     "\"mounts\":[{\"type\":\"bind\",\"source\":\"/srv/shop/d\",\"target\":\"/x\",\"read_only\":"
     "true,\"create_host_path\":true}]"},
    {"    volumes: ['~/d:/x']\n", "\"source\":\"/root/d\""},
    {"    volumes: ['..:/x']\n", "\"source\":\"/srv\""},
    {"    volumes: ['data:/x:nocopy']\n", "\"nocopy\":true"},
    {"    volumes: [{type: volume, source: data, target: /x, volume: {nocopy: true}, read_only: "
     "true}]\n",
     "\"mounts\":[{\"source\":\"data\",\"target\":\"/x\",\"read_only\":true,\"nocopy\":true,"
     "\"volume_name\":\"shop_data\"}]"},
    {"    volumes: [{type: bind, source: ., target: /x, bind: {create_host_path: false}}]\n",
     "\"mounts\":[{\"type\":\"bind\",\"source\":\"/srv/shop\",\"target\":\"/x\"}]"},
    {"    volumes: [{type: tmpfs, target: /x, tmpfs: {size: 4096, mode: 0o1777}}]\n",
     "\"tmpfs_size_bytes\":4096,\"tmpfs_mode\":1023"},
    {"    ports: [8080:80]\n", "\"ports\":[{\"target\":80,\"published\":8080}]"},
    {"    ports: ['127.0.0.1:53:53/udp']\n",
     "\"ports\":[{\"target\":53,\"published\":53,\"protocol\":\"udp\",\"host_ip\":\"127.0.0.1\"}]"},
    {"    ports: ['0.0.0.0:8080:80']\n", "\"ports\":[{\"target\":80,\"published\":8080}]"},
    {"    ports: ['8001-8002:1-2']\n", "\"ports\":[{\"target\":1,\"published\":8001},{\"target\":2,"
                                       "\"published\":8002}]"},
    {"    ports: ['80']\n", "\"ports\":[{\"target\":80}]"},
    {"    ports: [\"${PORT}:80\"]\n", "\"ports\":[{\"target\":80,\"published\":8080}]"},
    {"    ports: [{target: 80, published: '8080', protocol: udp, name: web, app_protocol: http, "
     "mode: host}]\n",
     "\"ports\":[{\"target\":80,\"published\":8080,\"protocol\":\"udp\",\"name\":\"web\","
     "\"app_protocol\":\"http\",\"mode\":\"host\"}]"},
    {"    healthcheck: {test: true && x}\n",
     "\"healthcheck\":{\"kind\":\"exec\",\"argv\":[\"/bin/sh\",\"-c\",\"true && x\"],"
     "\"interval_ms\":30000,\"timeout_ms\":30000,\"retries\":3,\"start_interval_ms\":5000}"},
    {"    healthcheck: {test: [CMD, a, b], interval: 1s, timeout: 2s, retries: 4, start_period: "
     "5s, start_interval: 6s}\n",
     "\"argv\":[\"a\",\"b\"],\"interval_ms\":1000,\"timeout_ms\":2000,\"retries\":4,"
     "\"start_period_ms\":5000,\"start_interval_ms\":6000"},
    {"    healthcheck: {test: [CMD-SHELL, a b]}\n", "\"argv\":[\"/bin/sh\",\"-c\",\"a b\"]"},
    {"    healthcheck: {test: [NONE]}\n", "\"healthcheck\":{\"kind\":\"none\"}"},
    {"    healthcheck: {disable: true, test: [CMD, a], interval: 1s}\n",
     "\"healthcheck\":{\"kind\":\"none\"}"},
    {"    healthcheck: {interval: 1s}\n", "\"healthcheck\":{\"interval_ms\":1000}"},
    {"    healthcheck: {test: [TCP, ':5432']}\n", "\"kind\":\"tcp\",\"port\":5432"},
    {"    healthcheck: {test: [HTTP, 'http://:8080/healthz']}\n",
     "\"kind\":\"http\",\"port\":8080,\"http_path\":\"/healthz\""},
    {"    healthcheck: {test: [HTTP, 'http://shop.example']}\n",
     "\"kind\":\"http\",\"port\":80,\"http_path\":\"/\",\"http_host\":\"shop.example\""},
    {"    deploy: {mode: global}\n", "\"mode\":\"global\"}"},
    {"    deploy: {replicas: 0}\n", "{\"name\":\"shop_default\"}]}}]"},
    {"    deploy: {mode: replicated-job, replicas: 3}\n",
     "\"mode\":\"replicated-job\",\"replicas\":3"},
    {"    deploy: {mode: replicated-job}\n",
     "\"restart\":{\"condition\":\"on-failure\",\"window_ms\":10000}"},
    {"    deploy: {labels: {x: y}}\n", "\"labels\":{\"x\":\"y\"}"},
    {"    deploy: {placement: {max_replicas_per_node: 2, constraints: ['node.labels.b!=x', "
     "node.hostname == h]}}\n",
     "\"constraints\":[{\"key\":\"node.hostname\",\"value\":\"h\"},{\"key\":\"node.labels.b\","
     "\"negated\":true,\"value\":\"x\"}],\"max_replicas_per_node\":2"},
    {"    deploy: {resources: {limits: {cpus: '0.5', memory: 64M, pids: 9}, reservations: {cpus: "
     "'0.25', memory: 32M}}}\n    x-wherry: {reserve_pids: 5}\n",
     "\"limits\":{\"memory_bytes\":67108864,\"cpu_millis\":500,\"pids\":9},\"networks\":[{\"name\":"
     "\"shop_default\"}]},"
     "\"replicas\":1,"
     "\"reserve_memory_bytes\":33554432,\"reserve_cpu_millis\":250,\"reserve_pids\":5"},
    {"    deploy: {restart_policy: {condition: on-failure, delay: 5s, max_attempts: 3, window: "
     "1m}}\n",
     "\"restart\":{\"condition\":\"on-failure\",\"delay_set\":true,\"delay_ms\":5000,"
     "\"max_attempts\":3,\"window_ms\":60000}"},
    {"    deploy: {restart_policy: {condition: none}}\n    restart: always\n",
     "\"restart\":{\"condition\":\"never\",\"window_ms\":10000}"},
    {"    x-wherry: {placement: binpack}\n", "\"strategy\":\"binpack\""},
    {"    x-other: {a: [1]}\n    deploy:\n    expose: ['80']\n", "\"replicas\":1}"},
    {"    ports: [{target: 80, published: 80, mode: ingress}]\n",
     "\"ports\":[{\"target\":80,\"published\":80}]"},
    {"    networks: [default]\n", "\"networks\":[{\"name\":\"shop_default\"}]"},
    {"    networks: []\n", "\"networks\":[{\"name\":\"shop_default\"}]"},
    {"    networks: {default: {aliases: [B, a, b], mac_address: '02:42:ac:11:00:02'}}\n",
     "\"networks\":[{\"name\":\"shop_default\",\"aliases\":[\"a\",\"b\"],"
     "\"mac_address\":\"02:42:ac:11:00:02\"}]"},
    {"    mac_address: 02:42:ac:11:00:02\n",
     "\"networks\":[{\"name\":\"shop_default\",\"mac_address\":\"02:42:ac:11:00:02\"}]"},
    {"    domainname: example.org\n", "\"domainname\":\"example.org\""},
    {"    dns: 9.9.9.9\n    dns_search: [a.b, c]\n    dns_opt: [ndots:2, rotate]\n",
     "\"dns\":[\"9.9.9.9\"],\"dns_search\":[\"a.b\",\"c\"],\"dns_opt\":[\"ndots:2\","
     "\"rotate\"]"},
    {"    extra_hosts: ['b:192.0.2.1', 'a=host-gateway', 'c:::1']\n",
     "\"extra_hosts\":{\"a\":\"host-gateway\",\"b\":\"192.0.2.1\",\"c\":\"::1\"}"},
    {"    extra_hosts: {db.example: 192.0.2.1}\n",
     "\"extra_hosts\":{\"db.example\":\"192.0.2.1\"}"},
    {"    deploy: {endpoint_mode: dnsrr}\n", "\"endpoint_mode\":\"dnsrr\""},
    {"    extra_hosts: ['b:192.0.2.2', 'b:192.0.2.1', 'a:::1', 'b:192.0.2.2']\n",
     "\"extra_hosts\":{\"a\":\"::1\",\"b\":\"192.0.2.1\",\"b\":\"192.0.2.2\"}"},
    {"    x-wherry: {egress: [192.0.2.0/24, 10.1.2.3, 192.0.2.0/24]}\n",
     "\"egress\":{\"restricted\":true,\"cidr\":[\"10.1.2.3\",\"192.0.2.0/24\"]}"},
    {"    x-wherry: {egress: deny}\n", "\"egress\":{\"restricted\":true}"},
    {"    x-wherry: {egress: allow}\n", "\"window_ms\":10000},\"networks\":"},
    {"    x-wherry: {egress: [192.0.2.0/24, 10.1.2.3]}\n",
     "\"egress\":{\"restricted\":true,\"cidr\":[\"10.1.2.3\",\"192.0.2.0/24\"]}"},
    {"    x-wherry: {bandwidth: {in: 10mbit, out: 1.5gbit}, balance: client}\n",
     "\"bandwidth\":{\"in_bits_per_s\":10000000,\"out_bits_per_s\":1500000000}},\"replicas\":1,"
     "\"balance\":\"client\""},
    {"    mem_limit: 64m\n    deploy: {resources: {limits: {memory: 65536k}}}\n",
     "\"limits\":{\"memory_bytes\":67108864}"},
};

START_TEST(every_key)
{
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        expect_service(keys[i][0], keys[i][1]);
    }
}
END_TEST

START_TEST(whole_files)
{
    static const char *const rows[][2] = {
        {"name: other\nservices: {a: {image: b}}\n", "{\"name\":\"other\","},
        {"name: ${SET}\nservices: {a: {image: b}}\n", "{\"name\":\"value\","},
        {"services:\n  b: {image: b, depends_on: [a]}\n  a: {image: localhost:5000/x@sha256:"
         "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}\n",
         "\"services\":[{\"name\":\"a\",\"container\":{\"image\":\"localhost:5000/"
         "x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""},
        {"services: {b: {image: b, depends_on: [a]}, a: {image: a}}\n",
         "\"depends_on\":[{\"service\":\"a\",\"required\":true}]"},
        {"services:\n  b: {image: b, depends_on: {c: {condition: service_healthy, restart: false}, "
         "a: {condition: service_completed_successfully, required: false}}}\n  c: {image: c}\n",
         "\"depends_on\":[{\"service\":\"a\",\"condition\":\"completed\"},{\"service\":\"c\","
         "\"condition\":\"healthy\",\"required\":true}]"},
        {"services: {a: {image: b}}\nvolumes: {z: {name: n, labels: {l: m}}, b: {external: true}, "
         "c: {external: {name: x}}, d: {driver: local}}\n",
         "\"volumes\":[{\"key\":\"b\",\"name\":\"b\",\"external\":true},{\"key\":\"c\",\"name\":"
         "\"x\",\"external\":true},{\"key\":\"d\",\"name\":\"shop_d\"},{\"key\":\"z\",\"name\":"
         "\"n\",\"labels\":{\"l\":\"m\"}}]"},
        {"services:\n  a: {image: b, networks: {n: {ipv4_address: 10.5.0.7}, o: }}\n"
         "networks:\n  o: {external: true}\n  n: {internal: true, name: nn, attachable: true, "
         "driver: overlay, enable_ipv6: true, ipam: {config: [{subnet: 10.5.0.0/24}]}}\n",
         "\"networks\":[{\"name\":\"nn\",\"ipv4_address\":\"10.5.0.7\",\"internal\":true,"
         "\"ipv6\":true},{\"name\":\"o\"}]"},
        {"services:\n  a: {image: b, networks: [o]}\nnetworks: {o: {external: {name: x}}}\n",
         "\"networks\":[{\"key\":\"o\",\"name\":\"x\",\"external\":true}]"},
        {"x-a: &a {image: b, environment: {A: 1, B: 2}}\nx-b: &b {user: u, image: c}\nservices:\n"
         "  a:\n    <<: [*a, *b]\n    environment: {A: 3}\n",
         "\"image\":\"docker.io/library/b:latest\",\"environment\":{\"A\":\"3\"},\"user\":\"u\""},
        {"services:\n  a: &a\n    image: b\n    environment: &e {A: $$x}\n  b:\n    <<: *a\n    "
         "environment: {<<: *e, B: '1'}\n",
         "\"environment\":{\"A\":\"$x\",\"B\":\"1\"}"},
        {"\xef\xbb\xbfservices:\r\n  a:\r\n    image: b\r\n", "\"name\":\"a\""},
        {"%YAML 1.1\n---\nservices: {a: {image: !!str b}}\n...\n", "\"name\":\"a\""},
        {"services: {a: {image: b}}\nversion: '3.9'\nx-wherry: {}\nnetworks: {default: }\n",
         "\"name\":\"a\""},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        auto_free char *got = compose_case_json(rows[i][0]);

        ck_assert_msg(strstr(got, rows[i][1]) != NULL, "\n%s\nhas no %s:\n%s", rows[i][0],
                      rows[i][1], got);
    }
}
END_TEST

/* ---- one meaning, one document ---- */

static void digest(const char *file, const char *text, uint8_t ret[DOC_DIGEST])
{
    auto_compose struct compose_result result = {0};

    compose_case_read(file, text, true, &result);
    ck_assert_msg(result.stack.message != NULL, "%s",
                  result.errors.n > 0 ? result.errors.items[0].text : "nothing");
    doc_digest(result.stack.message, ret);
}

START_TEST(writing_does_not_matter)
{
    static const char *const same[] = {
        "services:\n"
        "  web:\n"
        "    image: busybox\n"
        "    command: [a, b c]\n"
        "    environment: {A: '1', B: x}\n"
        "    ports: ['80:80', '443:443/tcp']\n"
        "    volumes: ['data:/data']\n"
        "    tmpfs: /run\n"
        "    depends_on: [db]\n"
        "    mem_limit: 64m\n"
        "    cap_add: [NET_RAW, CHOWN]\n"
        "    restart: always\n"
        "  db: {image: db}\n"
        "volumes: {data: }\n",

        "volumes:\n"
        "  data: {}\n"
        "services:\n"
        "  db:\n"
        "    image: docker.io/library/db:latest\n"
        "    restart: always\n"
        "    deploy: {replicas: 1, mode: replicated}\n"
        "  web:\n"
        "    cap_add: [chown, CAP_NET_RAW]\n"
        "    deploy: {resources: {limits: {memory: 67108864}}}\n"
        "    depends_on: {db: {condition: service_started}}\n"
        "    tmpfs: [/run/]\n"
        "    volumes: [{type: volume, target: /data, source: data}]\n"
        "    ports: [{target: 443, published: 443}, {published: '80', target: '80'}]\n"
        "    environment: [B=x, A=1]\n"
        "    command: a 'b c'\n"
        "    stop_grace_period: 10000ms\n"
        "    image: busybox:latest\n",
    };
    static const char json[] =
        "{\"services\": {\"db\": {\"image\": \"db\"}, \"web\": {\"image\": \"busybox\", "
        "\"command\": "
        "[\"a\", \"b c\"], \"environment\": {\"A\": 1, \"B\": \"x\"}, \"ports\": [\"80:80\", "
        "\"443:443\"], \"volumes\": [\"data:/data\"], \"tmpfs\": \"/run\", \"depends_on\": "
        "[\"db\"], "
        "\"mem_limit\": 67108864, \"cap_add\": [\"NET_RAW\", \"CHOWN\"]}}, \"volumes\": {\"data\": "
        "null}}";
    uint8_t first[DOC_DIGEST], again[DOC_DIGEST];

    digest("c.yaml", same[0], first);
    digest("c.yaml", same[0], again);
    ck_assert_mem_eq(first, again, DOC_DIGEST);
    digest("c.yaml", same[1], again);
    ck_assert_mem_eq(first, again, DOC_DIGEST);
    digest("c.json", json, again);
    ck_assert_mem_eq(first, again, DOC_DIGEST);
}
END_TEST

/* JSON has types of its own; here too the key says what it needs. */
START_TEST(json_values)
{
    static const char text[] =
        "{\"services\": {\"a\": {\"image\": \"b\", \"cpus\": 0.1, \"read_only\": true, \"init\": "
        "false, \"command\": null, \"environment\": {\"A\": 1.5, \"B\": true, \"C\": "
        "\"\\ud83d\\ude00\", \"SET\": null}}}}";
    auto_compose struct compose_result result = {0};
    auto_buf struct buf got = {0};

    compose_case_read("c.json", text, true, &result);
    ck_assert_msg(result.stack.message != NULL, "%s", result.errors.items[0].text);
    doc_to_json(result.stack.message, &got);
    ck_assert_ptr_nonnull(strstr(buf_text(&got), "\"environment\":{\"A\":\"1.5\",\"B\":\"true\","
                                                 "\"C\":\"\xf0\x9f\x98\x80\",\"SET\":\"value\"},"
                                                 "\"read_only\":true"));
    ck_assert_ptr_nonnull(strstr(buf_text(&got), "\"cpu_millis\":100"));
}
END_TEST

/* Lines of a service in any order; lists keep theirs. */
START_TEST(order_of_keys_does_not_matter)
{
    static const char *const lines[] = {
        "    image: busybox\n",
        "    command: x y\n",
        "    tmpfs: /a\n",
        "    volumes: ['/h:/b']\n",
        "    restart: on-failure\n",
        "    healthcheck: {disable: false, test: [CMD, x]}\n",
        "    deploy: {replicas: 2}\n",
        "    environment: {A: 1}\n",
        "    stop_signal: INT\n",
        "    cpus: 1\n",
    };
    unsigned order[ARRAY_LEN(lines)];
    uint64_t seed = 42;
    uint8_t first[DOC_DIGEST], again[DOC_DIGEST];

    for (unsigned i = 0; i < ARRAY_LEN(lines); i++) {
        order[i] = i;
    }
    for (unsigned round = 0; round < 100; round++) {
        auto_buf struct buf text = {0};

        buf_puts(&text, "services:\n  a:\n");
        for (unsigned i = 0; i < ARRAY_LEN(lines); i++) {
            buf_puts(&text, lines[order[i]]);
        }
        digest("c.yaml", buf_text(&text), round == 0 ? first : again);
        if (round > 0) {
            ck_assert_msg(memcmp(first, again, DOC_DIGEST) == 0, "round %u:\n%s", round,
                          buf_text(&text));
        }
        for (unsigned i = ARRAY_LEN(lines) - 1; i > 0; i--) {
            unsigned k, kept = order[i];

            seed = seed * 6364136223846793005u + 1442695040888963407u;
            k = (unsigned)((seed >> 33) % (i + 1));
            order[i] = order[k];
            order[k] = kept;
        }
    }
}
END_TEST

/* ---- files on disk ---- */

static char folder[] = "/tmp/wherry-compose-XXXXXX";

static void write_file(const char *name, const char *text)
{
    auto_free char *path = xasprintf("%s/Shop-1/%s", folder, name);
    auto_fclose FILE *file = fopen(path, "we");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
}

static const char *no_variable(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return NULL;
}

static void remove_files(void)
{
    static const char *const names[] = {"/Shop-1/.env", "/Shop-1/c.yaml", "/Shop-1/other.env",
                                        "/Shop-1", ""};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        auto_free char *path = xasprintf("%s%s", folder, names[i]);

        (void)remove(path);
    }
}

static char *read_disk(const char *env_file, const char *project)
{
    auto_free char *path = xasprintf("%s/Shop-1/c.yaml", folder);
    const struct compose_options options = {
        .path = path, .lookup = no_variable, .env_file = env_file, .project = project};
    auto_compose struct compose_result result = {0};
    struct buf out = {0};

    if (compose_read(&options, &result) == 0) {
        doc_to_json(result.stack.message, &out);
    } else {
        buf_puts(&out, result.errors.items[0].text);
    }
    return buf_take(&out);
}

START_TEST(from_disk)
{
    auto_free char *inner = NULL, *path = NULL;
    auto_free char *by_folder = NULL, *by_env = NULL, *other = NULL, *given = NULL, *broken = NULL;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    inner = xasprintf("%s/Shop-1", folder);
    ck_assert_int_eq(mkdir(inner, 0700), 0);
    write_file("c.yaml", "services: {a: {image: '${IMAGE:-none}', volumes: ['./d:/d']}}\n");
    by_folder = read_disk(NULL, NULL);
    write_file(".env", "IMAGE=web\nCOMPOSE_PROJECT_NAME=from-env\n");
    by_env = read_disk(NULL, NULL);
    given = read_disk(NULL, "given");
    write_file("other.env", "IMAGE=api\n");
    path = xasprintf("%s/other.env", inner);
    other = read_disk(path, NULL);
    broken = read_disk("/nowhere/.env", NULL);
    remove_files();

    ck_assert_ptr_nonnull(strstr(by_folder, "{\"name\":\"shop-1\","));
    ck_assert_ptr_nonnull(strstr(by_folder, "docker.io/library/none:latest"));
    ck_assert_ptr_nonnull(strstr(by_folder, "/Shop-1/d\""));
    ck_assert_ptr_nonnull(strstr(by_env, "{\"name\":\"from-env\","));
    ck_assert_ptr_nonnull(strstr(by_env, "docker.io/library/web:latest"));
    ck_assert_ptr_nonnull(strstr(given, "{\"name\":\"given\","));
    ck_assert_ptr_nonnull(strstr(other, "docker.io/library/api:latest"));
    ck_assert_str_eq(broken, "/nowhere/.env: cannot be read: No such file or directory\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compose");
    TCase *documents = tcase_create("documents");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(documents, smallest);
    tcase_add_test(documents, every_key);
    tcase_add_test(documents, whole_files);
    tcase_add_test(documents, writing_does_not_matter);
    tcase_add_test(documents, json_values);
    tcase_add_test(documents, order_of_keys_does_not_matter);
    tcase_add_test(documents, from_disk);
    suite_add_tcase(suite, documents);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
