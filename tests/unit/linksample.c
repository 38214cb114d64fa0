// SPDX-License-Identifier: Apache-2.0
#include "linksample.h"

#include <check.h>
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "common/cleanup.h"

static const char document[] = "\x0a\x05image";
uint8_t linksample_digest[LINK_DIGEST];

static const struct link_pair labels[] = {{"disk", "ssd"}, {"zone", ""}};
static const struct link_image images[] = {{"docker.io/library/x:1", "sha256:aa"}};
const struct link_revision linksample_revisions[] = {
    {linksample_digest, document, sizeof(document) - 1}};
const struct link_placement linksample_placements[] = {
    {7, "shop", "web", 3, linksample_digest, true, "sha256:bb"},
    {UINT64_MAX, "shop", "db", 0, linksample_digest, false, ""},
};
static const uint64_t numbers[] = {1, UINT64_MAX, 300};
static const struct link_route routes[] = {
    {{1, 2}, "host-a", "192.0.2.1", "10.128.0.0/22", {9, 8, 7}}};
const struct link_observation linksample_observations[] = {
    {.incarnation = 9,
     .run = 2,
     .seq = 5,
     .phase = 3,
     .health = 2,
     .exit_known = true,
     .oom_killed = true,
     .exit_code = -1,
     .exit_signal = 9,
     .restarts = 4,
     .address = 0x0a800001,
     .pid = 17,
     .started_unix_ms = 1,
     .ended_unix_ms = 2,
     .retry_unix_ms = 3,
     .reason = "because",
     .image_digest = "sha256:cc",
     .controls = "seccomp: applied\npids: 1024",
     .stack = "shop",
     .service = "web",
     .slot = 1,
     .revision = linksample_digest},
    {.incarnation = 10, .phase = 1, .reason = "", .stack = "", .service = "", .image_digest = ""},
};
static const struct link_line lines[] = {
    {.unix_ns = 5, .is_stderr = true, .partial = true, .text = "a\0b", .len = 3},
    {.unix_ns = 6, .text = "", .len = 0},
};

static const char *const aliases[] = {"api", "www.example"};
const struct svc_network linksample_networks[] = {
    {.name = "shop_default", .vip = 0x0af00001, .aliases = aliases, .n_aliases = 2},
    {.name = "shop_inner", .internal = true, .ipv6 = true},
};
const struct svc_endpoint linksample_endpoints[] = {
    {9, 1, 0x0a800001, 0x0a800101, 3, true, false},
    {10, 1, 0x0a800002, 0, 1, false, true},
    {8, 2, 0x0a800003, 0, 2, true, false},
};
const struct svc_port linksample_ports[] = {{false, 8080, 80, 0}, {true, 65535, 1, 0x7f000001}};
const struct svc_entry linksample_entries[] = {
    {"shop", "web", SVC_BALANCE_CLIENT, linksample_networks, 2, linksample_endpoints, 3,
     linksample_ports, 2},
    {"shop", "alone", SVC_BALANCE_NONE, NULL, 0, NULL, 0, NULL, 0},
    {"shop", "db", SVC_BALANCE_RANDOM, linksample_networks, 1, linksample_endpoints + 1, 1, NULL,
     0},
};
const struct svc_key linksample_left[] = {{9, 1}, {8, 2}, {9, 2}};
const struct svc_patch linksample_patches[] = {
    {"shop", "web", linksample_endpoints, 3, linksample_left, 3},
    {"shop", "db", linksample_endpoints + 1, 1, NULL, 0}};
const struct link_service linksample_services[] = {{"shop", "gone"}, {"x", "y"}};

#define FACTS                                                                                      \
    {                                                                                              \
        .name = "host-a", .os = "linux", .arch = "amd64", .kernel = "6.1", .version = "0.1",       \
        .underlay = "192.0.2.1", .cgroup = "v2", .degraded = "why", .cpu_millis = 1,               \
        .memory_bytes = 2, .pids = 3, .volumes_bytes_free = 4, .bandwidth_bits = 5,                \
        .wireguard_key = {1, 2, 3}, .labels = labels, .n_labels = 2, .images = images,             \
        .n_images = 1                                                                              \
    }
#define POSITION                                                                                   \
    {                                                                                              \
        3, 4                                                                                       \
    }
#define SUM                                                                                        \
    {                                                                                              \
        UINT64_MAX, 1                                                                              \
    }
#define CHUNK                                                                                      \
    {                                                                                              \
        linksample_revisions, 1, linksample_placements, 2                                          \
    }

/* With something in every field. */
static const struct link_message samples[LINK_KIND_N] = {
    [LINK_HELLO] = {.kind = LINK_HELLO,
                    .u.hello = {1, 2, {3, 4}, {5, 6}, "boot", POSITION, SUM, SUM, FACTS, SUM}},
    [LINK_WELCOME] =
        {.kind = LINK_WELCOME,
         .u.welcome = {1, 2, {3, 4}, POSITION, 1000, 4000, "range", "block", true, true}},
    [LINK_REFUSE] = {.kind = LINK_REFUSE, .u.refuse = {LINK_REFUSE_STALE, "older"}},
    [LINK_SET_BEGIN] = {.kind = LINK_SET_BEGIN, .u.set_begin = {POSITION, 5, 6}},
    [LINK_SET_CHUNK] = {.kind = LINK_SET_CHUNK, .u.set_chunk = CHUNK},
    [LINK_SET_END] = {.kind = LINK_SET_END, .u.set_end.assigned = SUM},
    [LINK_ASSIGN] = {.kind = LINK_ASSIGN, .u.assign = {POSITION, CHUNK, numbers, 3, true, SUM}},
    [LINK_ROUTES] = {.kind = LINK_ROUTES, .u.routes = {routes, 1}},
    [LINK_ACK] = {.kind = LINK_ACK, .u.ack = {POSITION, SUM}},
    [LINK_REPORT] = {.kind = LINK_REPORT,
                     .u.report = {true, true, linksample_observations, 2, numbers, 3, true, SUM}},
    [LINK_HEARTBEAT] = {.kind = LINK_HEARTBEAT, .u.heartbeat = {1, 2, 3, 4}},
    [LINK_HEARTBEAT_ACK] = {.kind = LINK_HEARTBEAT_ACK, .u.heartbeat_ack = {1, 1000, 4000}},
    [LINK_STREAM_OPEN] = {.kind = LINK_STREAM_OPEN,
                          .u.stream_open = {1, 2, {3, true, true, 4, 5}, {NULL, NULL, 0}}},
    [LINK_STREAM_DATA] = {.kind = LINK_STREAM_DATA, .u.stream_data = {1, lines, 2}},
    [LINK_STREAM_CREDIT] = {.kind = LINK_STREAM_CREDIT, .u.stream_credit = {1, 2}},
    [LINK_STREAM_END] = {.kind = LINK_STREAM_END, .u.stream_end = {1, "gone"}},
    [LINK_FACTS] = {.kind = LINK_FACTS, .u.facts = FACTS},
    [LINK_VOLUME_FORGET] = {.kind = LINK_VOLUME_FORGET, .u.volume_forget = {1, "shop_data"}},
    [LINK_VOLUME_FORGOTTEN] = {.kind = LINK_VOLUME_FORGOTTEN, .u.volume_forgotten = {1, "used"}},
    [LINK_SERVICES] = {.kind = LINK_SERVICES,
                       .u.services = {true, true, linksample_entries, 3, linksample_services, 2,
                                      true, SUM, 7, linksample_patches, 2}},
};

struct link_message linksample(enum link_kind kind)
{
    return samples[kind];
}

void linksample_setup(void)
{
    unsigned n = 0;

    (void)EVP_Digest(document, sizeof(document) - 1, linksample_digest, &n, EVP_sha256(), NULL);
}

enum link_side linksample_side(enum link_kind kind)
{
    return codec_link_rows[kind].from_agent ? LINK_AGENT : LINK_CONTROLLER;
}

int linksample_decode(enum link_kind kind, const struct buf *bytes, struct link_message *ret,
                      struct err *e)
{
    return codec_link_decode(bytes->data, bytes->len, linksample_side(kind),
                             !codec_link_rows[kind].first, ret, e);
}

void linksample_refused(const struct link_message *m)
{
    auto_buf struct buf bytes = {0};
    struct link_message back;
    struct err e = {0};

    codec_link_encode(m, &bytes);
    ck_assert_int_eq(linksample_decode(m->kind, &bytes, &back, &e), -EBADMSG);
    ck_assert_msg(
        strncmp(e.text, codec_link_rows[m->kind].name, strlen(codec_link_rows[m->kind].name)) == 0,
        "%s", e.text);
}
