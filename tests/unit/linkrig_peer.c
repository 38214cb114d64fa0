// SPDX-License-Identifier: Apache-2.0
/* Peers made by hand, and the tests' ground. */
#include <ftw.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "linkrig.h"

struct linkrig_peer linkrig_peers[LINKRIG_PEERS];

static void take_services(struct linkrig_peer *p, const struct link_services *s)
{
    if (s->whole_begin) {
        svctable_clear(p->services);
        p->wholes++;
    }
    for (unsigned i = 0; i < s->n_changed; i++) {
        (void)svctable_put(p->services, &s->changed[i]);
    }
    for (unsigned i = 0; i < s->n_patched; i++) {
        ck_assert(linkrig_take_patch(p->services, &s->patched[i]));
    }
    p->patches += s->n_patched;
    for (unsigned i = 0; i < s->n_removed; i++) {
        (void)svctable_remove(p->services, s->removed[i].stack, s->removed[i].service);
    }
    if (s->has_sum) { /* each that is said has to be right */
        ck_assert(id128_equal(s->sum, svctable_sum(p->services)));
        p->sums++;
    }
}

static void on_peer_frame(struct uv_wire *wire, const uint8_t *bytes, size_t len)
{
    struct linkrig_peer *p = container_of(wire, struct linkrig_peer, wire);
    struct link_message m;
    struct err e = {0};

    ck_assert_msg(codec_link_decode(bytes, len, LINK_CONTROLLER, p->greeted, &m, &e) == 0, "%s",
                  e.text);
    p->got[m.kind]++;
    p->bytes += m.kind == LINK_SERVICES ? len : 0;
    switch ((int)m.kind) {
    case LINK_WELCOME:
        p->greeted = true;
        uv_wire_limit(wire, FRAME_MAX);
        p->position = m.u.welcome.position;
        break;
    case LINK_REFUSE:
        p->refusal = m.u.refuse.code;
        (void)snprintf(p->reason, sizeof(p->reason), "%s", m.u.refuse.reason);
        break;
    case LINK_SET_BEGIN:
        p->placements = 0;
        break;
    case LINK_SET_CHUNK:
        p->placements += m.u.set_chunk.n_placements;
        break;
    case LINK_SET_END:
        p->told = m.u.set_end.assigned;
        p->told_sum = true;
        break;
    case LINK_ASSIGN:
        p->placements += m.u.assign.changed.n_placements;
        p->told_sum = m.u.assign.has_sum;
        p->told = m.u.assign.assigned;
        p->removed = m.u.assign.n_removed > 0 ? m.u.assign.removed[0] : p->removed;
        break;
    case LINK_SERVICES:
        take_services(p, &m.u.services);
        break;
    default:
        break;
    }
    codec_link_free(&m);
}

static void on_peer_writable(struct uv_wire *wire)
{
    container_of(wire, struct linkrig_peer, wire)->writable = true;
}

static void on_peer_closed(struct uv_wire *wire)
{
    container_of(wire, struct linkrig_peer, wire)->closed = true;
}

static void on_peer_ended(struct uv_wire *wire, const struct err *why)
{
    (void)why;
    container_of(wire, struct linkrig_peer, wire)->ended = true;
    uv_wire_close(wire, on_peer_closed);
}

static const struct uv_wire_events peer_events = {
    .frame = on_peer_frame, .writable = on_peer_writable, .ended = on_peer_ended};

void linkrig_peer_open(struct linkrig_peer *p)
{
    struct sockaddr_storage ss;

    svctable_destroy(p->services);
    *p = (struct linkrig_peer){.open = true, .services = svctable_create()};
    ck_assert_int_eq(uv_wire_parse(uv_sessions_address(linkrig_ctl.sessions), &ss, NULL), 0);
    uv_wire_init(&p->wire, &linkrig_loop, &peer_events, FRAME_MAX_FIRST);
    uv_wire_connect(&p->wire, (struct sockaddr *)&ss);
    UNTIL(p->writable);
}

void linkrig_peer_close(struct linkrig_peer *p)
{
    if (p->open) {
        uv_wire_close(&p->wire, on_peer_closed);
        UNTIL(p->closed);
        p->open = false;
    }
}

void linkrig_peer_say(struct linkrig_peer *p, const struct link_message *m)
{
    auto_buf struct buf bytes = {0};

    UNTIL(uv_wire_is_writable(&p->wire));
    codec_link_encode(m, &bytes);
    uv_wire_write(&p->wire, bytes.data, bytes.len);
}

struct link_message linkrig_hello_of(uint64_t node, const char *name)
{
    static const struct link_image images[] = {{LINKRIG_IMAGE, LINKRIG_DIGEST}};
    struct link_message m = {.kind = LINK_HELLO};

    m.u.hello.version = LINK_VERSION;
    m.u.hello.node_id.lo = node;
    m.u.hello.boot_id = "boot";
    m.u.hello.facts = (struct link_facts){.name = name,
                                          .os = "linux",
                                          .arch = "amd64",
                                          .underlay = "192.0.2.9",
                                          .cpu_millis = 8000,
                                          .memory_bytes = 64ull << 30,
                                          .pids = 100000000,
                                          .images = images,
                                          .n_images = 1};
    return m;
}

void linkrig_peer_hello(struct linkrig_peer *p, uint64_t node, const char *name)
{
    struct link_message m = linkrig_hello_of(node, name);

    linkrig_peer_say(p, &m);
}

/* ---- the tests' ground ---- */

static int rm(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void linkrig_setup(void)
{
    struct uv_sessions_config config = {.address = "127.0.0.1:0",
                                        .cluster_id = linkrig_cluster,
                                        .cluster_range = "10.128.0.0/9",
                                        .node_prefix = 22,
                                        .events = &linkrig_events,
                                        .fleet = linkrig_the_fleet,
                                        .revision = linkrig_the_revision,
                                        .services = linkrig_the_services};
    unsigned n = 0;
    struct err e = {0};

    (void)uv_loop_init(&linkrig_loop);
    linkrig_document[0] = 0x0a; /* Container.image */
    linkrig_document[1] = (uint8_t)strlen(LINKRIG_IMAGE);
    memcpy(linkrig_document + 2, LINKRIG_IMAGE, strlen(LINKRIG_IMAGE));
    linkrig_document_len = 2 + strlen(LINKRIG_IMAGE);
    (void)EVP_Digest(linkrig_document, linkrig_document_len, linkrig_revision, &n, EVP_sha256(),
                     NULL);
    (void)snprintf(linkrig_state, sizeof(linkrig_state), "/tmp/wherry-test-link-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(linkrig_state));
    linkrig_ctl =
        (struct linkrig_controller){.services = svctable_create(), .services_complete = true};
    linkrig_held = svctable_create();
    linkrig_wholes_told = 0;
    linkrig_fleet_new(3);
    ck_assert_msg(uv_sessions_create(&linkrig_loop, &config, &linkrig_ctl.sessions, &e) == 0, "%s",
                  e.text);
    memset(linkrig_peers, 0, sizeof(linkrig_peers));
    linkrig_configured = linkrig_routes_told = linkrig_assigns = 0;
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

void linkrig_teardown(void)
{
    bool closed = false;

    if (linkrig_agent != NULL) {
        linkrig_agent_stop();
    }
    for (unsigned i = 0; i < LINKRIG_PEERS; i++) {
        linkrig_peer_close(&linkrig_peers[i]);
        svctable_destroy(linkrig_peers[i].services);
    }
    svctable_destroy(linkrig_ctl.services);
    svctable_destroy(linkrig_held);
    uv_sessions_close(linkrig_ctl.sessions, on_closed, &closed);
    UNTIL(closed);
    fleet_destroy(linkrig_ctl.fleet);
    linkrig_ctl.fleet = NULL;
    fleet_actions_finish(&linkrig_ctl.held);
    while (uv_run(&linkrig_loop, UV_RUN_NOWAIT) != 0) {
    }
    ck_assert_int_eq(uv_loop_close(&linkrig_loop), 0);
    ck_assert_int_eq(nftw(linkrig_state, rm, 16, FTW_DEPTH | FTW_PHYS), 0);
}
