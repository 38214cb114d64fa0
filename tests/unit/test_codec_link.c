// SPDX-License-Identifier: Apache-2.0
/* The messages of the link: every kind there and back, cut off at every byte, every bit flipped;
 * who may say what; every cap; and a table without holes. */
#include "common/askrow.h"
#include "common/codec_link.h"

#include <check.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/doc.h"

static const char document[] = "\x0a\x05image";
static uint8_t digest[LINK_DIGEST];

static const struct link_pair labels[] = {{"disk", "ssd"}, {"zone", ""}};
static const struct link_image images[] = {{"docker.io/library/x:1", "sha256:aa"}};
static const struct link_revision revisions[] = {{digest, document, sizeof(document) - 1}};
static const struct link_placement placements[] = {
    {7, "shop", "web", 3, digest, true, "sha256:bb"},
    {UINT64_MAX, "shop", "db", 0, digest, false, ""},
};
static const uint64_t numbers[] = {1, UINT64_MAX, 300};
static const struct link_route routes[] = {
    {{1, 2}, "host-a", "192.0.2.1", "10.128.0.0/22", {9, 8, 7}}};
static const struct link_observation observations[] = {
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
     .revision = digest},
    {.incarnation = 10, .phase = 1, .reason = "", .stack = "", .service = "", .image_digest = ""},
};
static const struct link_line lines[] = {
    {.unix_ns = 5, .is_stderr = true, .partial = true, .text = "a\0b", .len = 3},
    {.unix_ns = 6, .text = "", .len = 0},
};

static const char *const aliases[] = {"api", "www.example"};
static const struct svc_network networks[] = {
    {.name = "shop_default", .vip = 0x0af00001, .aliases = aliases, .n_aliases = 2},
    {.name = "shop_inner", .internal = true, .ipv6 = true},
};
static const struct svc_endpoint endpoints[] = {
    {9, 1, 0x0a800001, 0x0a800101, 3, true, false},
    {10, 1, 0x0a800002, 0, 1, false, true},
    {8, 2, 0x0a800003, 0, 2, true, false},
};
static const struct svc_port ports[] = {{false, 8080, 80, 0}, {true, 65535, 1, 0x7f000001}};
static const struct svc_entry entries[] = {
    {"shop", "web", SVC_BALANCE_CLIENT, networks, 2, endpoints, 3, ports, 2},
    {"shop", "alone", SVC_BALANCE_NONE, NULL, 0, NULL, 0, NULL, 0},
    {"shop", "db", SVC_BALANCE_RANDOM, networks, 1, endpoints + 1, 1, NULL, 0},
};
static const struct svc_key left[] = {{9, 1}, {8, 2}, {9, 2}};
static const struct svc_patch patches[] = {{"shop", "web", endpoints, 3, left, 3},
                                           {"shop", "db", endpoints + 1, 1, NULL, 0}};
static const struct link_service services[] = {{"shop", "gone"}, {"x", "y"}};

static struct link_facts facts(void)
{
    return (struct link_facts){.name = "host-a",
                               .os = "linux",
                               .arch = "amd64",
                               .kernel = "6.1",
                               .version = "0.1",
                               .underlay = "192.0.2.1",
                               .cgroup = "v2",
                               .degraded = "why",
                               .cpu_millis = 1,
                               .memory_bytes = 2,
                               .pids = 3,
                               .volumes_bytes_free = 4,
                               .bandwidth_bits = 5,
                               .wireguard_key = {1, 2, 3},
                               .labels = labels,
                               .n_labels = 2,
                               .images = images,
                               .n_images = 1};
}

/* One of each kind, with something in every field. */
static struct link_message sample(enum link_kind kind)
{
    struct link_message m = {.kind = kind};
    const struct link_position position = {3, 4};
    const struct id128 sum = {UINT64_MAX, 1};
    const struct link_set_chunk chunk = {revisions, 1, placements, 2};

    switch (kind) {
    case LINK_HELLO:
        m.u.hello =
            (struct link_hello){1, 2, {3, 4}, {5, 6}, "boot", position, sum, sum, facts(), sum};
        break;
    case LINK_WELCOME:
        m.u.welcome =
            (struct link_welcome){1, 2, {3, 4}, position, 1000, 4000, "range", "block", true, true};
        break;
    case LINK_REFUSE:
        m.u.refuse = (struct link_refuse){LINK_REFUSE_STALE, "older"};
        break;
    case LINK_SET_BEGIN:
        m.u.set_begin = (struct link_set_begin){position, 5, 6};
        break;
    case LINK_SET_CHUNK:
        m.u.set_chunk = chunk;
        break;
    case LINK_SET_END:
        m.u.set_end.assigned = sum;
        break;
    case LINK_ASSIGN:
        m.u.assign = (struct link_assign){position, chunk, numbers, 3, true, sum};
        break;
    case LINK_ROUTES:
        m.u.routes = (struct link_routes){routes, 1};
        break;
    case LINK_ACK:
        m.u.ack = (struct link_ack){position, sum};
        break;
    case LINK_REPORT:
        m.u.report = (struct link_report){true, true, observations, 2, numbers, 3, true, sum};
        break;
    case LINK_HEARTBEAT:
        m.u.heartbeat = (struct link_heartbeat){1, 2, 3, 4};
        break;
    case LINK_HEARTBEAT_ACK:
        m.u.heartbeat_ack = (struct link_heartbeat_ack){1, 1000, 4000};
        break;
    case LINK_STREAM_OPEN:
        m.u.stream_open = (struct link_stream_open){1, 2, {3, true, true, 4, 5}, {NULL, NULL, 0}};
        break;
    case LINK_STREAM_DATA:
        m.u.stream_data = (struct link_stream_data){1, lines, 2};
        break;
    case LINK_STREAM_CREDIT:
        m.u.stream_credit = (struct link_stream_credit){1, 2};
        break;
    case LINK_STREAM_END:
        m.u.stream_end = (struct link_stream_end){1, "gone"};
        break;
    case LINK_FACTS:
        m.u.facts = facts();
        break;
    case LINK_VOLUME_FORGET:
        m.u.volume_forget = (struct link_volume_forget){1, "shop_data"};
        break;
    case LINK_VOLUME_FORGOTTEN:
        m.u.volume_forgotten = (struct link_volume_forgotten){1, "used"};
        break;
    case LINK_SERVICES:
        m.u.services =
            (struct link_services){true, true, entries, 3, services, 2, true, sum, 7, patches, 2};
        break;
    case LINK_KIND_N:
        break;
    }
    return m;
}

static void setup(void)
{
    unsigned n = 0;

    (void)EVP_Digest(document, sizeof(document) - 1, digest, &n, EVP_sha256(), NULL);
}

static enum link_side side_of(enum link_kind kind)
{
    return codec_link_rows[kind].from_agent ? LINK_AGENT : LINK_CONTROLLER;
}

static int decode(enum link_kind kind, const struct buf *bytes, struct link_message *ret,
                  struct err *e)
{
    return codec_link_decode(bytes->data, bytes->len, side_of(kind), !codec_link_rows[kind].first,
                             ret, e);
}

START_TEST(table_has_no_holes)
{
    const struct link_row *row = &codec_link_rows[_i];

    ck_assert_ptr_nonnull(row->name);
    ck_assert(row->from_agent || row->from_controller);
    ck_assert(row->first || row->later);
    ck_assert_uint_gt(row->cap, 0);
    ck_assert_uint_le(row->cap, row->first ? FRAME_MAX_FIRST : FRAME_MAX);
    for (int i = 0; i < _i; i++) {
        ck_assert_str_ne(row->name, codec_link_rows[i].name);
    }
}
END_TEST

/* What was decoded encodes to the same bytes: so no field is lost on either way. */
START_TEST(there_and_back)
{
    enum link_kind kind = (enum link_kind)_i;
    struct link_message m = sample(kind), back;
    auto_buf struct buf bytes = {0};
    auto_buf struct buf again = {0};
    struct err e = {0};

    codec_link_encode(&m, &bytes);
    ck_assert_msg(decode(kind, &bytes, &back, &e) == 0, "%s", e.text);
    ck_assert_int_eq(back.kind, kind);
    codec_link_encode(&back, &again);
    codec_link_free(&back);
    ck_assert_uint_eq(bytes.len, again.len);
    ck_assert_mem_eq(bytes.data, again.data, bytes.len);
}
END_TEST

START_TEST(values_arrive)
{
    struct link_message m = sample(LINK_REPORT), back;
    auto_buf struct buf bytes = {0};
    const struct link_observation *o;

    codec_link_encode(&m, &bytes);
    ck_assert_int_eq(decode(LINK_REPORT, &bytes, &back, NULL), 0);
    ck_assert_uint_eq(back.u.report.n, 2);
    ck_assert_uint_eq(back.u.report.gone[1], UINT64_MAX);
    o = back.u.report.list;
    ck_assert_int_eq(o->exit_code, -1);
    ck_assert_str_eq(o->controls, "seccomp: applied\npids: 1024");
    ck_assert_mem_eq(o->revision, digest, LINK_DIGEST);
    ck_assert_ptr_null(o[1].controls);
    ck_assert_ptr_null(o[1].revision);
    codec_link_free(&back);
}
END_TEST

START_TEST(cut_off_at_every_byte)
{
    enum link_kind kind = (enum link_kind)_i;
    struct link_message m = sample(kind), back;
    auto_buf struct buf bytes = {0};

    codec_link_encode(&m, &bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        auto_free uint8_t *part = xmalloc(len + 1); /* so that a sanitizer sees its end */
        struct err e = {0};

        memcpy(part, bytes.data, len);
        ck_assert_int_lt(
            codec_link_decode(part, len, side_of(kind), !codec_link_rows[kind].first, &back, &e),
            0);
        ck_assert_str_ne(e.text, "");
    }
}
END_TEST

START_TEST(every_bit_flipped)
{
    enum link_kind kind = (enum link_kind)_i;
    struct link_message m = sample(kind), back;
    auto_buf struct buf bytes = {0};

    codec_link_encode(&m, &bytes);
    for (size_t bit = 0; bit < 8 * bytes.len; bit++) {
        struct err e = {0};

        bytes.data[bit / 8] ^= (char)(1 << bit % 8);
        if (decode(kind, &bytes, &back, &e) == 0) {
            codec_link_free(&back);
        } else {
            ck_assert_str_ne(e.text, "");
        }
        bytes.data[bit / 8] ^= (char)(1 << bit % 8);
    }
}
END_TEST

/* Each kind from each side, before and after the greeting: as its row says. */
START_TEST(turns_are_judged)
{
    enum link_kind kind = (enum link_kind)_i;
    const struct link_row *row = &codec_link_rows[kind];
    struct link_message m = sample(kind), back;
    auto_buf struct buf bytes = {0};

    codec_link_encode(&m, &bytes);
    for (int greeted = 0; greeted < 2; greeted++) {
        for (int side = 0; side < 2; side++) {
            bool allowed = (side == LINK_AGENT ? row->from_agent : row->from_controller) &&
                           (greeted ? row->later : row->first);
            struct err e = {0};
            int rc = codec_link_decode(bytes.data, bytes.len, (enum link_side)side, greeted != 0,
                                       &back, &e);

            ck_assert_int_eq(rc, allowed ? 0 : -EPROTO);
            if (rc == 0) {
                codec_link_free(&back);
            } else {
                ck_assert_ptr_nonnull(strstr(e.text, row->name));
            }
        }
    }
}
END_TEST

static void put_varint(struct buf *b, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) {
        buf_putc(b, (char)(value | 0x80));
    }
    buf_putc(b, (char)value);
}

static void put_bytes(struct buf *b, unsigned field, const void *bytes, size_t len)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, len);
    buf_append(b, bytes, len);
}

/* A message of this kind with so many bytes: an unknown field fills it. */
static void padded(enum link_kind kind, size_t len, struct buf *ret)
{
    auto_buf struct buf inner = {0};
    auto_free char *fill = xcalloc(1, len);

    put_bytes(&inner, 1000, fill, len - 16);
    put_bytes(ret, kind + 1, inner.data, inner.len);
}

START_TEST(caps_hold)
{
    enum link_kind kind = (enum link_kind)_i;
    auto_buf struct buf bytes = {0};
    struct link_message back;
    struct err e = {0};

    padded(kind, codec_link_rows[kind].cap + 16, &bytes);
    ck_assert_int_eq(decode(kind, &bytes, &back, &e), -E2BIG);
    ck_assert_ptr_nonnull(strstr(e.text, codec_link_rows[kind].name));
}
END_TEST

START_TEST(unknown_kinds_and_no_envelopes)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"", 0},
        {"\x00", 1},
        {"\x0a", 1},
        {"\xa2\x06\x00", 3},                     /* field 100 */
        {"\xaa\x01\x00", 3},                     /* field 21: the first that is not there */
        {"\x02\x00", 2},                         /* field 0 */
        {"\x48\x01", 2},                         /* ack, but a number */
        {"\x4a\x00\x4a\x00", 4},                 /* two messages */
        {"\x4a\x05\x00", 3},                     /* longer than it is */
        {"\xff\xff\xff\xff\xff\xff\xff\xff", 8}, /* a number without end */
    };
    struct link_message back;
    struct err e = {0};

    ck_assert_int_eq(codec_link_decode(rows[_i].bytes, rows[_i].len, LINK_AGENT, true, &back, &e),
                     -EBADMSG);
    ck_assert_str_ne(e.text, "");
}
END_TEST

/* Groups nest without lengths; none may pass. Nor may a message that nests in an unknown field
 * reach protobuf-c's recursion: it is skipped as bytes. */
START_TEST(nesting_is_bounded)
{
    auto_buf struct buf inner = {0};
    auto_buf struct buf bytes = {0};
    struct link_message back;

    for (int i = 0; i < 20000; i++) {
        buf_putc(&inner, 0x0b); /* start group 1 */
    }
    put_bytes(&bytes, LINK_REPORT + 1, inner.data, inner.len);
    ck_assert_int_lt(decode(LINK_REPORT, &bytes, &back, NULL), 0);
}
END_TEST

START_TEST(counts_are_capped)
{
    auto_buf struct buf inner = {0};
    auto_buf struct buf bytes = {0};
    struct link_message back;
    struct err e = {0};

    for (unsigned i = 0; i <= DOC_WIDE_MAX; i++) {
        put_bytes(&inner, 3, "", 0); /* empty observations */
    }
    put_bytes(&bytes, LINK_REPORT + 1, inner.data, inner.len);
    ck_assert_int_eq(decode(LINK_REPORT, &bytes, &back, &e), -E2BIG);
}
END_TEST

START_TEST(labels_and_images_are_capped)
{
    struct link_message m = sample(LINK_FACTS), back;
    auto_buf struct buf bytes = {0};
    auto_buf struct buf more = {0};
    auto_free struct link_pair *many = xcalloc(LINK_LABELS_MAX + 1, sizeof(*many));
    auto_free struct link_image *much = xcalloc(LINK_IMAGES_MAX + 1, sizeof(*much));

    m.u.facts.labels = many;
    m.u.facts.n_labels = LINK_LABELS_MAX + 1;
    codec_link_encode(&m, &bytes);
    ck_assert_int_eq(decode(LINK_FACTS, &bytes, &back, NULL), -E2BIG);
    m = sample(LINK_FACTS);
    m.u.facts.images = much;
    m.u.facts.n_images = LINK_IMAGES_MAX + 1;
    codec_link_encode(&m, &more);
    ck_assert_int_eq(decode(LINK_FACTS, &more, &back, NULL), -E2BIG);
}
END_TEST

static void refused(const struct link_message *m)
{
    auto_buf struct buf bytes = {0};
    struct link_message back;
    struct err e = {0};

    codec_link_encode(m, &bytes);
    ck_assert_int_eq(decode(m->kind, &bytes, &back, &e), -EBADMSG);
    ck_assert_msg(
        strncmp(e.text, codec_link_rows[m->kind].name, strlen(codec_link_rows[m->kind].name)) == 0,
        "%s", e.text);
}

START_TEST(what_cannot_be_is_refused)
{
    struct link_message m = sample(LINK_HELLO);
    struct link_observation o = observations[0];
    struct link_placement p = placements[0];
    struct link_revision r = revisions[0];

    m.u.hello.node_id = (struct id128){0};
    refused(&m);
    m = sample(LINK_HELLO);
    m.u.hello.facts.name = "../x";
    refused(&m);
    m = sample(LINK_WELCOME);
    m.u.welcome.heartbeat_ms = 0;
    refused(&m);
    m.u.welcome.heartbeat_ms = 5000; /* longer than the timeout */
    refused(&m);
    m = sample(LINK_REPORT);
    m.u.report.list = &o;
    m.u.report.n = 1;
    o.phase = 0;
    refused(&m);
    o.phase = LINK_PHASE_MAX + 1;
    refused(&m);
    o = observations[0];
    o.incarnation = 0;
    refused(&m);
    m = sample(LINK_SET_CHUNK);
    m.u.set_chunk.placements = &p;
    m.u.set_chunk.n_placements = 1;
    p.service = "Web";
    refused(&m);
    p = placements[0];
    p.incarnation = 0;
    refused(&m);
    m = sample(LINK_SET_CHUNK);
    m.u.set_chunk.revisions = &r;
    r.container = "\x0a\x05imagf"; /* not what the digest says */
    refused(&m);
    m = sample(LINK_STREAM_OPEN);
    m.u.stream_open.stream = 0;
    refused(&m);
    m = sample(LINK_STREAM_OPEN);
    m.u.stream_open.ask = (struct link_ask){.kind = "doctor", .args = "a", .len = 2};
    refused(&m); /* a key without a value */
}
END_TEST

START_TEST(a_question_is_the_other_kind_of_stream)
{
    struct link_message m = sample(LINK_STREAM_OPEN), back;
    auto_buf struct buf row = {0};
    auto_buf struct buf bytes = {0};

    askrow_put(&row, "to", "shop/web.1");
    m.u.stream_open.ask = (struct link_ask){"net.from", row.data, row.len};
    codec_link_encode(&m, &bytes);
    ck_assert_int_eq(decode(LINK_STREAM_OPEN, &bytes, &back, NULL), 0);
    ck_assert_str_eq(back.u.stream_open.ask.kind, "net.from");
    ck_assert_str_eq(askrow_get(back.u.stream_open.ask.args, back.u.stream_open.ask.len, "to"),
                     "shop/web.1");
    ck_assert_uint_eq(back.u.stream_open.logs.incarnation, 0);
    codec_link_free(&back);
}
END_TEST

START_TEST(services_arrive)
{
    struct link_message m = sample(LINK_SERVICES), back;
    auto_buf struct buf bytes = {0};

    codec_link_encode(&m, &bytes);
    ck_assert_int_eq(decode(LINK_SERVICES, &bytes, &back, NULL), 0);
    ck_assert_uint_eq(back.u.services.n_changed, 3);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert(id128_equal(svc_hash(&back.u.services.changed[i]), svc_hash(&entries[i])));
    }
    ck_assert_str_eq(back.u.services.removed[1].service, "y");
    ck_assert_uint_eq(back.u.services.version, 7);
    ck_assert_uint_eq(back.u.services.n_patched, 2);
    ck_assert_str_eq(back.u.services.patched[1].service, "db");
    ck_assert_uint_eq(back.u.services.patched[0].n_set, 3);
    for (unsigned i = 0; i < 3; i++) {
        const struct svc_endpoint *p = &back.u.services.patched[0].set[i];

        ck_assert_int_eq(svc_key_compare(back.u.services.patched[0].gone[i], left[i]), 0);
        ck_assert_int_eq(svc_key_compare(svc_key_of(p), svc_key_of(&endpoints[i])), 0);
        ck_assert_uint_eq(p->address, endpoints[i].address);
        ck_assert_uint_eq(p->networks, endpoints[i].networks);
        ck_assert_uint_eq(p->ready, endpoints[i].ready);
        ck_assert_uint_eq(p->draining, endpoints[i].draining);
    }
    ck_assert_uint_eq(back.u.services.patched[1].set[0].incarnation, endpoints[1].incarnation);
    ck_assert_uint_eq(back.u.services.patched[1].n_gone, 0);
    codec_link_free(&back);
}
END_TEST

/* One thing of an entry that cannot be, each; all of it is put together anew for every row. */
START_TEST(services_that_cannot_be)
{
    struct svc_network n[SVC_NETWORKS_MAX + 1] = {networks[0], networks[1]};
    struct svc_endpoint p[3] = {endpoints[0], endpoints[1], endpoints[2]};
    struct svc_port port = ports[0];
    const char *names[SVC_ALIASES_MAX + 1] = {"a", "b"};
    struct svc_entry entry = {"shop", "web", SVC_BALANCE_RANDOM, n, 2, p, 3, &port, 1};
    struct link_message m = {
        .kind = LINK_SERVICES,
        .u.services = {.changed = &entry, .n_changed = 1, .removed = services, .n_removed = 1}};
    struct link_service gone = {"shop", "../web"};
    auto_free struct svc_port *many = xcalloc(SVC_PORTS_MAX + 1, sizeof(*many));

    n[0].aliases = names;
    switch (_i) {
    case 0:
        entry.stack[0] = 'S';
        break;
    case 1:
        entry.service[0] = '\0';
        break;
    case 2:
        entry.balance = (enum svc_balance)3;
        break;
    case 3:
        n[0].name[0] = '/';
        break;
    case 4:
        n[0] = n[1];
        break;
    case 5:
        names[1] = "WWW";
        break;
    case 6:
        names[1] = "a..b";
        break;
    case 7:
        names[1] = "";
        break;
    case 8:
        p[1] = p[0];
        break;
    case 9:
        p[2].slot = 1;
        break;
    case 10:
        p[0].incarnation = 0;
        break;
    case 11:
        p[0].address = 0;
        break;
    case 12:
        p[0].networks = 4;
        break;
    case 13:
        port.published = 0;
        break;
    case 14:
        port.target = 0;
        break;
    case 15:
        m.u.services.whole_end = true;
        break;
    case 16:
        m.u.services.removed = &gone;
        break;
    case 17:
        for (unsigned i = 0; i <= SVC_NETWORKS_MAX; i++) {
            n[i].name[0] = (char)('a' + i);
        }
        entry.n_networks = SVC_NETWORKS_MAX + 1;
        break;
    case 18:
        for (unsigned i = 0; i <= SVC_ALIASES_MAX; i++) {
            names[i] = "a";
        }
        n[0].n_aliases = SVC_ALIASES_MAX + 1;
        break;
    default:
        entry.ports = many;
        entry.n_ports = SVC_PORTS_MAX + 1;
        for (unsigned i = 0; i <= SVC_PORTS_MAX; i++) {
            many[i] = ports[0];
        }
        break;
    }
    refused(&m);
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
    ck_assert_msg(decode(LINK_SERVICES, &bytes, &back, &e) == 0, "%s", e.text);
    ck_assert(id128_equal(svc_hash(back.u.services.changed), svc_hash(&entry)));
    codec_link_free(&back);
    entry.n_endpoints++;
    refused(&m);
}
END_TEST

/* One thing of a patch that cannot be, each. */
START_TEST(patches_that_cannot_be)
{
    struct svc_endpoint p[3] = {endpoints[0], endpoints[1], endpoints[2]};
    auto_free struct svc_endpoint *many = xcalloc(SVC_ENDPOINTS_MAX + 1, sizeof(*many));
    auto_free struct svc_key *much = xcalloc(SVC_ENDPOINTS_MAX + 1, sizeof(*much));
    struct svc_key g[3] = {left[0], left[1], left[2]};
    struct svc_patch patch = {"shop", "web", p, 3, g, 3};
    struct link_message m = {.kind = LINK_SERVICES,
                             .u.services = {.patched = &patch, .n_patched = 1}};

    for (unsigned i = 0; i <= SVC_ENDPOINTS_MAX; i++) {
        many[i] = (struct svc_endpoint){.incarnation = 1, .slot = i + 1, .address = 1};
        much[i] = (struct svc_key){1, i + 1};
    }
    switch (_i) {
    case 0:
        patch.stack[0] = 'S';
        break;
    case 1:
        patch.service[0] = '\0';
        break;
    case 2:
        p[1] = p[0];
        break;
    case 3:
        p[0].incarnation = 0;
        break;
    case 4:
        p[2].address = 0;
        break;
    case 5:
        p[0].networks = 1u << SVC_NETWORKS_MAX;
        break;
    case 6:
        g[2] = g[1];
        break;
    case 7:
        g[0].slot = 3;
        break;
    case 8:
        patch.set = many;
        patch.n_set = SVC_ENDPOINTS_MAX + 1;
        break;
    case 9:
        patch.gone = much;
        patch.n_gone = SVC_ENDPOINTS_MAX + 1;
        break;
    default:
        ck_abort();
    }
    refused(&m);
}
END_TEST

START_TEST(positions_compare_epoch_first)
{
    ck_assert_int_lt(
        codec_link_position_compare((struct link_position){1, 9}, (struct link_position){2, 0}), 0);
    ck_assert_int_gt(
        codec_link_position_compare((struct link_position){2, 1}, (struct link_position){2, 0}), 0);
    ck_assert_int_eq(
        codec_link_position_compare((struct link_position){2, 1}, (struct link_position){2, 1}), 0);
}
END_TEST

/* Filling a frame relies on it. */
START_TEST(sizes_are_upper_bounds)
{
    struct link_message m = sample(LINK_REPORT);
    auto_buf struct buf one = {0};
    auto_buf struct buf none = {0};

    m.u.report.n = 1;
    codec_link_encode(&m, &one);
    m.u.report.n = 0;
    codec_link_encode(&m, &none);
    ck_assert_uint_le(one.len - none.len, codec_link_size_observation(&observations[0]));
    buf_clear(&one);
    buf_clear(&none);
    m = sample(LINK_SET_CHUNK);
    codec_link_encode(&m, &one);
    m.u.set_chunk.n_placements = 1;
    codec_link_encode(&m, &none);
    ck_assert_uint_le(one.len - none.len, codec_link_size_placement(&placements[1]));
    for (unsigned i = 0; i < 3; i++) {
        buf_clear(&one);
        m = (struct link_message){.kind = LINK_SERVICES,
                                  .u.services = {.changed = &entries[i], .n_changed = 1}};
        codec_link_encode(&m, &one);
        ck_assert_uint_le(one.len, codec_link_size_service(&entries[i]));
    }
    for (unsigned i = 0; i < 2; i++) {
        buf_clear(&one);
        m = (struct link_message){.kind = LINK_SERVICES,
                                  .u.services = {.patched = &patches[i], .n_patched = 1}};
        codec_link_encode(&m, &one);
        ck_assert_uint_le(one.len, codec_link_size_patch(&patches[i]));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("codec_link");
    TCase *t = tcase_create("codec_link");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, NULL);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, table_has_no_holes, 0, LINK_KIND_N);
    tcase_add_loop_test(t, there_and_back, 0, LINK_KIND_N);
    tcase_add_test(t, values_arrive);
    tcase_add_loop_test(t, cut_off_at_every_byte, 0, LINK_KIND_N);
    tcase_add_loop_test(t, every_bit_flipped, 0, LINK_KIND_N);
    tcase_add_loop_test(t, turns_are_judged, 0, LINK_KIND_N);
    tcase_add_loop_test(t, caps_hold, 0, LINK_KIND_N);
    tcase_add_loop_test(t, unknown_kinds_and_no_envelopes, 0, 10);
    tcase_add_test(t, nesting_is_bounded);
    tcase_add_test(t, counts_are_capped);
    tcase_add_test(t, labels_and_images_are_capped);
    tcase_add_test(t, what_cannot_be_is_refused);
    tcase_add_test(t, a_question_is_the_other_kind_of_stream);
    tcase_add_test(t, services_arrive);
    tcase_add_loop_test(t, services_that_cannot_be, 0, 20);
    tcase_add_loop_test(t, patches_that_cannot_be, 0, 10);
    tcase_add_test(t, largest_service_fits);
    tcase_add_test(t, positions_compare_epoch_first);
    tcase_add_test(t, sizes_are_upper_bounds);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
