// SPDX-License-Identifier: Apache-2.0
/* Both ends of the link against each other over loopback: the controller's sessions with a real
 * fleet core, against the agent's real end with a real core, ledger and journal (only the
 * container engine pretends), and against a peer made by hand that says what no agent would. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/uv_agent_ask.h"
#include "agent/uv_agent_link_priv.h"
#include "common/cleanup.h"
#include "common/linkhash.h"
#include "controller/uv_session.h"

#define IMAGE   "docker.io/library/x:1"
#define DIGEST  "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define WAIT_MS 8000u
#define PEERS   4

static const struct id128 cluster = {.hi = 0xc1, .lo = 0x57e2};

/* ---- the controller: sessions, a fleet, and a store that is a counter ---- */

struct controller {
    struct fleet *fleet;
    struct uv_sessions *sessions;
    uint64_t epoch;
    struct svctable *services;
    bool services_complete;
    bool slow_store; /* nothing becomes durable */
    uint64_t put;    /* highest revision given to the store */
    struct fleet_actions held;
    unsigned hellos, gones, beats, acks, raised, log_ends, lines, forgotten;
    char gone_why[256];
    char log_error[256];
    char forget_error[256];
    char line[64];
    uint64_t credit_back; /* stream to give credit to after each line */
};

static uv_loop_t loop;
static struct controller ctl;
static uint8_t document[64];
static size_t document_len;
static uint8_t revision_digest[FLEET_DIGEST];

static uint64_t unix_ms(void)
{
    return (uint64_t)time(NULL) * 1000;
}

static void act(const struct fleet_action *a)
{
    switch (a->type) {
    case FLEET_WELCOME:
        uv_sessions_welcome(ctl.sessions, a->node_id, a->report_all);
        uv_sessions_routes(ctl.sessions);
        break;
    case FLEET_REFUSE:
        uv_sessions_refuse(ctl.sessions, a->node_id,
                           a->refusal == FLEET_REFUSE_STALE ? LINK_REFUSE_STALE : LINK_REFUSE_NAME,
                           a->text);
        break;
    case FLEET_SEND:
        uv_sessions_send(ctl.sessions, a->node_id, a->revision, a->whole);
        break;
    case FLEET_RAISE_EPOCH:
        ctl.raised++;
        break;
    case FLEET_PUT_STACK:
    case FLEET_DEL_STACK:
    case FLEET_PUT_NODE:
    case FLEET_PUT_BLOCK:
    case FLEET_PUT_VIPS:
    case FLEET_SERVICE:
    case FLEET_PUT_VOLUME:
    case FLEET_DEL_VOLUME:
    case FLEET_REPLY:
    case FLEET_EVENT:
        break;
    }
}

static void feed(struct fleet_event event);

static void persist(void)
{
    struct fleet_actions held = ctl.held;

    ctl.held = (struct fleet_actions){0};
    if (ctl.put > fleet_durable(ctl.fleet)) {
        feed((struct fleet_event){.type = FLEET_PERSISTED, .u.revision = ctl.put});
    }
    for (unsigned i = 0; i < held.n; i++) {
        act(&held.list[i]);
    }
    fleet_actions_finish(&held);
}

static void feed(struct fleet_event event)
{
    struct fleet_actions now = ctl.held;

    event.now_ms = uv_hrtime() / 1000000;
    event.unix_ms = unix_ms();
    fleet_step(ctl.fleet, &event, &now);
    ctl.held = now;
    ctl.put = fleet_revision(ctl.fleet);
    if (!ctl.slow_store) {
        persist();
    }
}

static void on_hello(void *arg, struct id128 id, const char *name, struct fleet_position position,
                     struct id128 assigned, struct id128 observed, const struct fleet_facts *facts)
{
    struct fleet_event e = {.type = FLEET_NODE_HELLO};

    (void)arg;
    ctl.hellos++;
    e.u.hello.node_id = id;
    e.u.hello.name = name;
    e.u.hello.position = position;
    e.u.hello.assigned_sum = assigned;
    e.u.hello.observed_sum = observed;
    e.u.hello.facts = *facts;
    feed(e);
}

static void on_gone(void *arg, struct id128 id, const char *reason)
{
    (void)arg;
    ctl.gones++;
    (void)snprintf(ctl.gone_why, sizeof(ctl.gone_why), "%s", reason);
    feed((struct fleet_event){.type = FLEET_NODE_GONE, .u.node_id = id});
}

static void on_heartbeat(void *arg, struct id128 id, uint64_t memory, uint64_t lag)
{
    (void)arg;
    (void)memory;
    (void)lag;
    ctl.beats++;
    feed((struct fleet_event){.type = FLEET_HEARTBEAT, .u.node_id = id});
}

static void on_facts(void *arg, struct id128 id, const struct fleet_facts *facts)
{
    struct fleet_event e = {.type = FLEET_FACTS};

    (void)arg;
    e.u.facts.node_id = id;
    e.u.facts.facts = *facts;
    feed(e);
}

static void on_observed(void *arg, struct id128 id, const struct fleet_observation *list,
                        unsigned n, const uint64_t *gone, unsigned n_gone, bool all_begin,
                        bool all_end)
{
    struct fleet_event e = {.type = FLEET_OBSERVED};

    (void)arg;
    e.u.observed.node_id = id;
    e.u.observed.list = list;
    e.u.observed.n = n;
    e.u.observed.gone = gone;
    e.u.observed.n_gone = n_gone;
    e.u.observed.all_begin = all_begin;
    e.u.observed.all_end = all_end;
    feed(e);
}

static void on_ack(void *arg, struct id128 id, struct fleet_position position, struct id128 sum)
{
    struct fleet_event e = {.type = FLEET_ACK};

    (void)arg;
    ctl.acks++;
    e.u.ack.node_id = id;
    e.u.ack.position = position;
    e.u.ack.assigned_sum = sum;
    feed(e);
}

static void on_forgotten(void *arg, struct id128 id, uint64_t request, const char *error)
{
    (void)arg;
    (void)id;
    ck_assert_uint_eq(request, 77);
    ctl.forgotten++;
    (void)snprintf(ctl.forget_error, sizeof(ctl.forget_error), "%s", error);
}

static void on_lines(void *arg, uint64_t stream, const struct uv_session_line *lines, unsigned n)
{
    (void)arg;
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(ctl.line, sizeof(ctl.line), "%.*s", (int)lines[i].len,
                       (const char *)lines[i].text);
        ctl.lines++;
    }
    if (ctl.credit_back == stream) {
        uv_sessions_stream_credit(ctl.sessions, stream, 4096);
    }
}

static void on_log_end(void *arg, uint64_t stream, const char *error)
{
    (void)arg;
    (void)stream;
    ctl.log_ends++;
    (void)snprintf(ctl.log_error, sizeof(ctl.log_error), "%s", error);
}

static const struct fleet *the_fleet(void *arg)
{
    (void)arg;
    return ctl.fleet;
}

static const struct svctable *the_services(void *arg, bool *ret_complete)
{
    (void)arg;
    *ret_complete = ctl.services_complete;
    return ctl.services;
}

static const void *the_revision(void *arg, const uint8_t digest[FLEET_DIGEST], size_t *ret_len)
{
    (void)arg;
    if (memcmp(digest, revision_digest, FLEET_DIGEST) != 0) {
        return NULL;
    }
    *ret_len = document_len;
    return document;
}

static int open_logs(struct id128 node, const struct link_logs *logs, uint32_t credit,
                     uint64_t *ret_stream)
{
    struct link_stream_open what = {.credit = credit, .logs = *logs};

    return uv_sessions_stream_open(ctl.sessions, node, &what, ret_stream, NULL);
}

static int open_ask(struct id128 node, const char *kind, uint32_t credit, uint64_t *ret_stream)
{
    struct link_stream_open what = {.credit = credit, .ask = {.kind = kind}};

    return uv_sessions_stream_open(ctl.sessions, node, &what, ret_stream, NULL);
}

static const struct uv_sessions_events events = {
    .hello = on_hello,
    .gone = on_gone,
    .heartbeat = on_heartbeat,
    .facts = on_facts,
    .observed = on_observed,
    .ack = on_ack,
    .volume_forgotten = on_forgotten,
    .stream_lines = on_lines,
    .stream_end = on_log_end,
};

/* A fleet as after a start with an empty store. */
static void fleet_new(uint64_t epoch)
{
    struct fleet_event e = {.type = FLEET_LOAD_CLUSTER};

    fleet_destroy(ctl.fleet);
    fleet_actions_finish(&ctl.held);
    ctl.fleet = fleet_create();
    ctl.epoch = epoch;
    e.u.cluster.epoch = epoch;
    e.u.cluster.blocks_max = 64;
    feed(e);
    feed((struct fleet_event){.type = FLEET_LOAD_DONE});
}

static void apply(unsigned replicas)
{
    struct fleet_want want = {.image = IMAGE, .mode = FLEET_REPLICATED, .replicas = replicas};
    struct fleet_event e = {.type = FLEET_APPLY};

    (void)snprintf(want.service, sizeof(want.service), "web");
    memcpy(want.revision, revision_digest, sizeof(want.revision));
    want.digest[0] = (uint8_t)replicas;
    e.u.apply.request = 1;
    e.u.apply.stack.name = "shop";
    e.u.apply.stack.digest[0] = (uint8_t)replicas;
    e.u.apply.stack.wants = &want;
    e.u.apply.stack.n_wants = 1;
    feed(e);
}

static unsigned running(void)
{
    struct fleet_counts counts = {0};
    int stack = fleet_stack_find(ctl.fleet, "shop");

    if (stack >= 0 && fleet_service_find(ctl.fleet, (unsigned)stack, "web") >= 0) {
        fleet_service_counts(ctl.fleet, (unsigned)stack, 0, &counts);
    }
    return counts.running;
}

/* ---- the agent: all that its end of the link calls, over an engine that pretends ---- */

static struct uv_agent *agent;
static char state[64];
static unsigned configured, routes_told, assigns, wholes_told;
static struct svctable *held; /* the agent's */
static bool agent_freed;

void uv_agent_act(struct uv_agent *a, const struct node_action *action)
{
    struct node_event e = {0};

    switch (action->type) {
    case NODE_DO_PREPARE:
        e.type = NODE_PREPARED;
        e.u.prepared.of = action->of;
        e.u.prepared.traits.stop_signal = 15;
        uv_agent_queue(a, &e);
        break;
    case NODE_DO_START:
        uv_agent_attempt_add(uv_agent_unit(a, action->of.incarnation), action->of)->run =
            (struct uv_engine_run *)a; /* not NULL, and never looked into */
        e.type = NODE_STARTED;
        e.u.started.of = action->of;
        e.u.started.pid = 4242;
        e.u.started.started_ms = uv_agent_now_ms();
        uv_agent_queue(a, &e);
        break;
    case NODE_DO_SIGNAL:
    case NODE_DO_KILL:
        e.type = NODE_EXITED;
        e.u.exited.of = action->of;
        e.u.exited.exit.known = true;
        uv_agent_queue(a, &e);
        break;
    case NODE_DO_CLEAN:
        e.type = NODE_CLEANED;
        e.u.of = action->of;
        uv_agent_queue(a, &e);
        break;
    case NODE_DO_REPORT:
        uv_agent_link_report(a, action->of.incarnation, false);
        break;
    case NODE_DO_GONE:
        uv_agent_unit_drop(a, action->of.incarnation);
        uv_agent_link_report(a, action->of.incarnation, true);
        break;
    case NODE_DO_PROBE:
    case NODE_DO_SAVE:
    case NODE_DO_ODD:
        break;
    }
}

int uv_agent_record(struct uv_agent *a, const struct journal_record *record, struct err *e)
{
    int rc = ledger_apply(&a->ledger, record, e);

    assigns += record->kind == JOURNAL_PLACEMENT || record->kind == JOURNAL_REMOVED;
    if (rc == 0) {
        uv_journal_put(a->journal, record);
    }
    return rc;
}

void uv_agent_hold(struct uv_agent *a)
{
    a->live++;
}

void uv_agent_release(struct uv_agent *a)
{
    a->live--;
}

void uv_agent_net_configure(struct uv_agent *a)
{
    ck_assert_str_eq(a->ledger.node_block, "10.128.0.0/22");
    configured++;
}

void uv_agent_net_encrypt(struct uv_agent *a, bool on)
{
    (void)a;
    ck_assert(!on);
}

void uv_agent_net_key(const struct uv_agent *a, uint8_t ret[UV_AGENT_KEY])
{
    (void)a;
    memset(ret, 0, UV_AGENT_KEY);
}

void uv_agent_net_routes(struct uv_agent *a, const struct uv_agent_route *routes, unsigned n)
{
    (void)a;
    ck_assert_uint_eq(n, 1);
    ck_assert_str_eq(routes[0].underlay, "192.0.2.1");
    ck_assert_str_eq(routes[0].name, "host-a");
    routes_told++;
}

void uv_agent_net_looked(struct uv_agent *a)
{
    (void)a;
}

const char *uv_agent_net_degraded(const struct uv_agent *a)
{
    (void)a;
    return "no names here";
}

static bool take_patch(struct svctable *t, const struct svc_patch *patch)
{
    const struct svc_entry *was = svctable_find(t, patch->stack, patch->service);
    auto_free struct svc_entry *is = was != NULL ? svcpatch_apply(was, patch) : NULL;

    return is != NULL && svctable_put(t, is);
}

bool uv_agent_net_services(struct uv_agent *a, const struct link_services *s)
{
    (void)a;
    wholes_told += s->whole_begin;
    for (unsigned i = 0; i < s->n_removed; i++) {
        (void)svctable_remove(held, s->removed[i].stack, s->removed[i].service);
    }
    for (unsigned i = 0; i < s->n_changed; i++) {
        (void)svctable_put(held, &s->changed[i]);
    }
    for (unsigned i = 0; i < s->n_patched; i++) {
        ck_assert(take_patch(held, &s->patched[i]));
    }
    return !s->has_sum || id128_equal(s->sum, svctable_sum(held));
}

void uv_agent_net_services_drop(struct uv_agent *a)
{
    (void)a;
}

struct id128 uv_agent_net_services_sum(const struct uv_agent *a)
{
    (void)a;
    return svctable_sum(held);
}

char *uv_agent_log_path(const struct uv_agent *a, uint64_t incarnation)
{
    (void)a;
    (void)incarnation;
    return xasprintf("%s/log", state);
}

const char *uv_engine_cgroup(const struct uv_engine *engine)
{
    (void)engine;
    return "v2";
}

const char *uv_engine_degraded(const struct uv_engine *engine)
{
    (void)engine;
    return "";
}

void uv_engine_controls(const struct uv_engine_run *run, struct buf *ret)
{
    (void)run;
    buf_puts(ret, "seccomp: applied\npids: 1024\n");
}

void uv_engine_forget(struct uv_engine_run *run)
{
    (void)run;
}

static int replay(void *arg, const void *bytes, size_t len, struct err *e)
{
    struct journal_record record = {0};
    int rc = codec_journal_decode(bytes, len, &record, e);

    if (rc == 0) {
        rc = ledger_apply(arg, &record, e);
        codec_journal_free(&record);
    }
    return rc;
}

/* The image that the services ask for, as facts say it: the store is empty, so a label of the
 * test's own carries nothing; the fleet asks for the image by name. */
static void agent_start(void)
{
    struct uv_agent *a = xcalloc(1, sizeof(*a));
    struct node_event looked = {.type = NODE_LOOKED};
    struct journal *journal = NULL;
    struct journal_record identity = {.kind = JOURNAL_IDENTITY};
    struct err e = {0};

    a->loop = &loop;
    a->sweeper_program = "/bin/true"; /* not this program */
    a->options.controller = uv_sessions_address(ctl.sessions);
    a->options.name = "host-a";
    a->options.address = "192.0.2.1";
    a->queue_end = &a->queue;
    a->node = node_create();
    a->dirs.state_fd = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)uv_idle_init(&loop, &a->idle);
    ck_assert_int_eq(journal_open(a->dirs.state_fd, state, replay, &a->ledger, &journal, NULL, &e),
                     0);
    a->journal = uv_journal_create(&loop, journal, &a->ledger);
    ck_assert_int_eq(images_open(state, &a->images, &e), 0);
    ck_assert_int_eq(volumes_open(state, &a->volumes, &e), 0);
    agent = a;
    if (a->ledger.node_id[0] == '\0') {
        identity.u.identity.node_id = "0000000000000000000000000000000a";
        identity.u.identity.cluster_id = "";
        ck_assert_int_eq(uv_agent_record(a, &identity, &e), 0);
    }
    uv_agent_queue(a, &looked);
    ck_assert_int_eq(uv_agent_link_create(a, &e), 0);
    a->link->dial_ms = 0; /* at once */
    uv_agent_link_arm(a->link);
}

static void on_journal_closed(void *arg)
{
    (void)arg;
    agent_freed = true;
}

static void nap(void)
{
    struct timespec t = {.tv_nsec = 200000};

    (void)nanosleep(&t, NULL);
}

/* One turn of everything. */
static void turn(void)
{
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    if (agent != NULL) {
        uv_agent_queue_drain(agent);
    }
    nap();
}

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        uint64_t end_ = uv_hrtime() + (uint64_t)WAIT_MS * 1000000;                                 \
        while (!(condition) && uv_hrtime() < end_) {                                               \
            turn();                                                                                \
        }                                                                                          \
        ck_assert_msg((condition), "never: %s", #condition);                                       \
    } while (0)

static void turns_ms(unsigned ms)
{
    uint64_t end = uv_hrtime() + (uint64_t)ms * 1000000;

    while (uv_hrtime() < end) {
        turn();
    }
}

static void agent_stop(void)
{
    struct uv_agent *a = agent;

    uv_agent_hold(a);
    uv_agent_link_close(a);
    UNTIL(a->link == NULL);
    UNTIL(a->live == 0); /* who was asked and still answers is killed, and waited for */
    agent_freed = false;
    uv_journal_close(a->journal, on_journal_closed, NULL);
    UNTIL(agent_freed);
    agent = NULL;
    uv_close((uv_handle_t *)&a->idle, NULL);
    turn();
    uv_agent_queue_drop(a);
    while (a->units != NULL) {
        uv_agent_unit_drop(a, a->units->incarnation);
    }
    node_destroy(a->node);
    images_close(a->images);
    volumes_close(&a->volumes);
    ledger_finish(&a->ledger);
    (void)close(a->dirs.state_fd);
    free(a);
}

/* ---- a peer made by hand ---- */

struct peer {
    struct uv_wire wire;
    unsigned got[LINK_KIND_N];
    enum link_refusal refusal;
    char reason[256];
    struct link_position position;
    unsigned placements;
    struct id128 told; /* sum of the last set or increment */
    bool told_sum;
    uint64_t removed;
    struct svctable *services; /* as told; between begin and end: not in force */
    unsigned wholes, sums, patches;
    size_t bytes; /* of what was told of services */
    struct id128 services_sum;
    bool writable, ended, closed, open, greeted;
};

static struct peer peers[PEERS];

static void take_services(struct peer *p, const struct link_services *s)
{
    if (s->whole_begin) {
        svctable_clear(p->services);
        p->wholes++;
    }
    for (unsigned i = 0; i < s->n_changed; i++) {
        (void)svctable_put(p->services, &s->changed[i]);
    }
    for (unsigned i = 0; i < s->n_patched; i++) {
        ck_assert(take_patch(p->services, &s->patched[i]));
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
    struct peer *p = container_of(wire, struct peer, wire);
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
    container_of(wire, struct peer, wire)->writable = true;
}

static void on_peer_closed(struct uv_wire *wire)
{
    container_of(wire, struct peer, wire)->closed = true;
}

static void on_peer_ended(struct uv_wire *wire, const struct err *why)
{
    (void)why;
    container_of(wire, struct peer, wire)->ended = true;
    uv_wire_close(wire, on_peer_closed);
}

static const struct uv_wire_events peer_events = {
    .frame = on_peer_frame, .writable = on_peer_writable, .ended = on_peer_ended};

static void peer_open(struct peer *p)
{
    struct sockaddr_storage ss;

    svctable_destroy(p->services);
    *p = (struct peer){.open = true, .services = svctable_create()};
    ck_assert_int_eq(uv_wire_parse(uv_sessions_address(ctl.sessions), &ss, NULL), 0);
    uv_wire_init(&p->wire, &loop, &peer_events, FRAME_MAX_FIRST);
    uv_wire_connect(&p->wire, (struct sockaddr *)&ss);
    UNTIL(p->writable);
}

static void peer_close(struct peer *p)
{
    if (p->open) {
        uv_wire_close(&p->wire, on_peer_closed);
        UNTIL(p->closed);
        p->open = false;
    }
}

static void peer_say(struct peer *p, const struct link_message *m)
{
    auto_buf struct buf bytes = {0};

    UNTIL(uv_wire_is_writable(&p->wire));
    codec_link_encode(m, &bytes);
    uv_wire_write(&p->wire, bytes.data, bytes.len);
}

static struct link_message hello_of(uint64_t node, const char *name)
{
    static const struct link_image images[] = {{IMAGE, DIGEST}};
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

static void peer_hello(struct peer *p, uint64_t node, const char *name)
{
    struct link_message m = hello_of(node, name);

    peer_say(p, &m);
}

static struct id128 sum_of(uint64_t node)
{
    struct fleet_node_view view;
    int at = fleet_node_find(ctl.fleet, (struct id128){.lo = node});

    ck_assert_int_ge(at, 0);
    ck_assert(fleet_node_at(ctl.fleet, (unsigned)at, &view));
    return view.assigned_sum;
}

/* ---- the tests' ground ---- */

static int rm(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void setup(void)
{
    struct uv_sessions_config config = {.address = "127.0.0.1:0",
                                        .cluster_id = cluster,
                                        .cluster_range = "10.128.0.0/9",
                                        .node_prefix = 22,
                                        .events = &events,
                                        .fleet = the_fleet,
                                        .revision = the_revision,
                                        .services = the_services};
    unsigned n = 0;
    struct err e = {0};

    (void)uv_loop_init(&loop);
    document[0] = 0x0a; /* Container.image */
    document[1] = (uint8_t)strlen(IMAGE);
    memcpy(document + 2, IMAGE, strlen(IMAGE));
    document_len = 2 + strlen(IMAGE);
    (void)EVP_Digest(document, document_len, revision_digest, &n, EVP_sha256(), NULL);
    (void)snprintf(state, sizeof(state), "/tmp/wherry-test-link-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(state));
    ctl = (struct controller){.services = svctable_create(), .services_complete = true};
    held = svctable_create();
    wholes_told = 0;
    fleet_new(3);
    ck_assert_msg(uv_sessions_create(&loop, &config, &ctl.sessions, &e) == 0, "%s", e.text);
    memset(peers, 0, sizeof(peers));
    configured = routes_told = assigns = 0;
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void teardown(void)
{
    bool closed = false;

    if (agent != NULL) {
        agent_stop();
    }
    for (unsigned i = 0; i < PEERS; i++) {
        peer_close(&peers[i]);
        svctable_destroy(peers[i].services);
    }
    svctable_destroy(ctl.services);
    svctable_destroy(held);
    uv_sessions_close(ctl.sessions, on_closed, &closed);
    UNTIL(closed);
    fleet_destroy(ctl.fleet);
    ctl.fleet = NULL;
    fleet_actions_finish(&ctl.held);
    while (uv_run(&loop, UV_RUN_NOWAIT) != 0) {
    }
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    ck_assert_int_eq(nftw(state, rm, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* ---- against a peer made by hand ---- */

START_TEST(wildcards_are_refused)
{
    static const char *const addresses[] = {"0.0.0.0:1", "[::]:1", "localhost:1", "127.0.0.1",
                                            "127.0.0.1:70000"};

    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        struct uv_sessions_config config = {.address = addresses[i],
                                            .cluster_id = cluster,
                                            .cluster_range = "10.128.0.0/9",
                                            .node_prefix = 22,
                                            .events = &events};
        struct uv_sessions *s = NULL;
        struct err e = {0};

        ck_assert_int_eq(uv_sessions_create(&loop, &config, &s, &e), -EINVAL);
        ck_assert_ptr_nonnull(strstr(e.text, addresses[i]));
    }
}
END_TEST

START_TEST(set_then_increments)
{
    struct peer *p = &peers[0];
    struct link_message report = {.kind = LINK_REPORT,
                                  .u.report = {.all_begin = true, .all_end = true}};

    peer_open(p);
    peer_hello(p, 1, "host-b");
    UNTIL(p->got[LINK_WELCOME] == 1 && p->got[LINK_ROUTES] == 1);
    ck_assert_uint_eq(p->position.epoch, 3);
    peer_say(p, &report);
    apply(3);
    UNTIL(p->placements == 3);
    ck_assert_uint_eq(p->got[LINK_ASSIGN], 1);
    ck_assert(p->told_sum);
    ck_assert(id128_equal(p->told, sum_of(1)));
    apply(300);
    UNTIL(p->placements == 300);
    ck_assert(id128_equal(p->told, sum_of(1)));
    apply(299);
    UNTIL(p->placements >= 301); /* its stop */
    ck_assert(id128_equal(p->told, sum_of(1)));
}
END_TEST

START_TEST(other_sum_gets_a_whole_set)
{
    struct link_message m = hello_of(1, "host-b");
    struct peer *p = &peers[0], *q = &peers[1];

    peer_open(p);
    peer_hello(p, 1, "host-b");
    UNTIL(p->got[LINK_WELCOME] == 1);
    apply(1000);
    UNTIL(p->placements == 1000);
    peer_open(q);
    m.u.hello.assigned.lo = 5;
    peer_say(q, &m);
    UNTIL(q->got[LINK_SET_END] == 1);
    ck_assert_uint_eq(q->got[LINK_SET_BEGIN], 1);
    ck_assert_uint_gt(q->got[LINK_SET_CHUNK], 1);
    ck_assert_uint_eq(q->placements, 1000);
    ck_assert(id128_equal(q->told, sum_of(1)));
    UNTIL(p->ended);
    ck_assert_int_eq(p->refusal, LINK_REFUSE_REPLACED);
    ck_assert_uint_eq(ctl.gones, 0);
}
END_TEST

START_TEST(equal_sums_move_nothing)
{
    struct link_message m = hello_of(1, "host-b");
    struct peer *p = &peers[0], *q = &peers[1];

    peer_open(p);
    peer_hello(p, 1, "host-b");
    UNTIL(p->got[LINK_WELCOME] == 1);
    apply(20);
    UNTIL(p->placements == 20);
    peer_close(p);
    UNTIL(ctl.gones == 1);
    peer_open(q);
    m.u.hello.assigned = sum_of(1);
    peer_say(q, &m);
    UNTIL(q->got[LINK_WELCOME] == 1 && q->got[LINK_ROUTES] == 1);
    turns_ms(150);
    ck_assert_uint_eq(q->got[LINK_ASSIGN] + q->got[LINK_SET_BEGIN], 0);
    apply(21);
    UNTIL(q->placements == 1); /* the increment alone */
    ck_assert(id128_equal(q->told, sum_of(1)));
}
END_TEST

/* ---- the service table ---- */

/* Endpoints make it large. */
static void put_service(struct svctable *t, unsigned number, unsigned n_endpoints)
{
    struct svc_network network = {.name = "shop_default", .vip = 0x0af00000 + number};
    auto_free struct svc_endpoint *list = xcalloc(n_endpoints + 1, sizeof(*list));
    struct svc_entry entry = {.stack = "shop",
                              .networks = &network,
                              .n_networks = 1,
                              .endpoints = list,
                              .n_endpoints = n_endpoints};

    (void)snprintf(entry.service, sizeof(entry.service), "s%u", number);
    for (unsigned i = 0; i < n_endpoints; i++) {
        list[i] = (struct svc_endpoint){
            .incarnation = i + 1, .slot = i + 1, .address = 0x0a800001 + i, .networks = 1};
    }
    (void)svctable_put(t, &entry);
}

static uint64_t services_features = LINK_FEATURE_SERVICES | LINK_FEATURE_PATCHES;

static void services_hello(struct peer *p, struct id128 holds)
{
    struct link_message m = hello_of(1, "host-b");

    m.u.hello.features = services_features;
    m.u.hello.services = holds;
    peer_open(p);
    peer_say(p, &m);
    UNTIL(p->got[LINK_WELCOME] == 1);
}

static bool has_all(const struct peer *p)
{
    return svctable_count(p->services) == svctable_count(ctl.services) &&
           id128_equal(svctable_sum(p->services), svctable_sum(ctl.services)) && p->sums > 0;
}

START_TEST(services_whole_then_changes)
{
    struct peer *p = &peers[0];
    unsigned before;

    for (unsigned i = 0; i < 3000; i++) {
        put_service(ctl.services, i, i % 5);
    }
    put_service(ctl.services, 3000, SVC_ENDPOINTS_MAX); /* one that fills a frame alone */
    services_hello(p, (struct id128){0, 0});
    for (unsigned i = 0; i < 200; i++) { /* it changes while it is being told */
        put_service(ctl.services, i * 7 % 3000, 6 + i);
        (void)svctable_remove(ctl.services, "shop", i % 2 == 0 ? "s5" : "s2999");
        uv_sessions_services(ctl.sessions);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    UNTIL(has_all(p));
    ck_assert_uint_eq(p->wholes, 1);
    ck_assert_uint_gt(p->got[LINK_SERVICES], 2);
    before = p->got[LINK_SERVICES];
    put_service(ctl.services, 1, 9);
    uv_sessions_services(ctl.sessions);
    UNTIL(has_all(p));
    ck_assert_uint_eq(p->got[LINK_SERVICES], before + 1);
    turns_ms(50);
    ck_assert_uint_eq(p->got[LINK_SERVICES], before + 1);
}
END_TEST

START_TEST(equal_services_move_nothing)
{
    struct peer *p = &peers[0];

    put_service(ctl.services, 1, 1);
    services_hello(p, svctable_sum(ctl.services));
    put_service(p->services, 1, 1);
    turns_ms(100);
    ck_assert_uint_eq(p->got[LINK_SERVICES], 0);
    put_service(ctl.services, 2, 1);
    (void)svctable_remove(ctl.services, "shop", "s1");
    uv_sessions_services(ctl.sessions);
    UNTIL(p->got[LINK_SERVICES] == 1);
    ck_assert(has_all(p));
    ck_assert_uint_eq(p->wholes, 0);
}
END_TEST

/* Of many endpoints one becomes ready: what of it goes over the wire, to who takes patches (and to
 * who does not). */
START_TEST(one_endpoint_is_told_alone)
{
    struct peer *p = &peers[0];
    const struct svc_entry *web;
    auto_free struct svc_endpoint *list = xcalloc(8000, sizeof(*list));
    struct svc_entry now;
    size_t before;

    services_features = LINK_FEATURE_SERVICES | (_i == 0 ? LINK_FEATURE_PATCHES : 0);
    put_service(ctl.services, 1, 8000);
    services_hello(p, (struct id128){0, 0});
    UNTIL(has_all(p));
    before = p->bytes;
    web = svctable_find(ctl.services, "shop", "s1");
    now = *web;
    memcpy(list, web->endpoints, 8000 * sizeof(*list));
    list[4000].ready = true;
    now.endpoints = list;
    ck_assert(svctable_put(ctl.services, &now));
    uv_sessions_services(ctl.sessions);
    UNTIL(has_all(p));
    ck_assert_uint_eq(p->patches, _i == 0);
    ck_assert_uint_eq(p->wholes, 1);
    if (_i == 0) {
        ck_assert_uint_lt(p->bytes - before, 100);
    }
}
END_TEST

/* A controller that has not heard of everybody takes nothing from who holds something. */
START_TEST(services_are_kept_until_all_are_heard)
{
    struct peer *p = &peers[0], *q = &peers[1];

    ctl.services_complete = false;
    put_service(ctl.services, 1, 1);
    services_hello(p, (struct id128){1, 2});
    turns_ms(100);
    ck_assert_uint_eq(p->got[LINK_SERVICES], 0);
    ck_assert_uint_eq(p->got[LINK_ROUTES], 0); /* nor routes: they are told whole */
    services_hello(q, (struct id128){0, 0});   /* it has nothing to lose */
    UNTIL(has_all(q));
    peer_close(q);
    UNTIL(p->closed); /* replaced by q */
    services_hello(p, (struct id128){1, 2});
    ctl.services_complete = true;
    uv_sessions_services(ctl.sessions);
    UNTIL(has_all(p));
    ck_assert_uint_eq(p->wholes, 1);
}
END_TEST

/* More removals than the log holds, while the wire was busy: the whole, anew. */
START_TEST(services_too_far_behind)
{
    struct peer *p = &peers[0];

    services_hello(p, (struct id128){0, 0});
    put_service(ctl.services, 9999, 1);
    uv_sessions_services(ctl.sessions);
    UNTIL(has_all(p));
    for (unsigned i = 0; i < 5000; i++) {
        put_service(ctl.services, i, 1);
    }
    uv_sessions_services(ctl.sessions);
    for (unsigned i = 0; i < 4900; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "s%u", i);
        (void)svctable_remove(ctl.services, "shop", name);
    }
    uv_sessions_services(ctl.sessions);
    UNTIL(has_all(p));
    ck_assert_uint_eq(p->wholes, 1);
    ck_assert_uint_eq(svctable_count(p->services), 101);
}
END_TEST

START_TEST(services_are_for_who_takes_them)
{
    struct peer *p = &peers[0];

    put_service(ctl.services, 1, 1);
    peer_open(p);
    peer_hello(p, 1, "host-b");
    UNTIL(p->got[LINK_WELCOME] == 1);
    uv_sessions_services(ctl.sessions);
    turns_ms(100);
    ck_assert_uint_eq(p->got[LINK_SERVICES], 0);
}
END_TEST

START_TEST(nothing_is_told_before_it_is_durable)
{
    struct peer *p = &peers[0];

    peer_open(p);
    peer_hello(p, 1, "host-b");
    UNTIL(p->got[LINK_WELCOME] == 1);
    ctl.slow_store = true;
    apply(4);
    turns_ms(100);
    ck_assert_uint_eq(p->placements, 0);
    ctl.slow_store = false;
    persist();
    UNTIL(p->placements == 4);
    ck_assert(p->told_sum);
}
END_TEST

START_TEST(stale_controller_raises_its_epoch)
{
    struct link_message m = hello_of(1, "host-b");
    struct peer *p = &peers[0];

    m.u.hello.position.epoch = 9;
    peer_open(p);
    peer_say(p, &m);
    UNTIL(p->ended);
    ck_assert_int_eq(p->refusal, LINK_REFUSE_STALE);
    ck_assert_uint_eq(ctl.raised, 1);
    ck_assert_uint_eq(p->got[LINK_WELCOME], 0);
}
END_TEST

START_TEST(other_cluster_and_version_are_refused)
{
    struct link_message m = hello_of(1, "host-b");

    m.u.hello.cluster_id.hi = 1;
    peer_open(&peers[0]);
    peer_say(&peers[0], &m);
    UNTIL(peers[0].ended);
    ck_assert_int_eq(peers[0].refusal, LINK_REFUSE_CLUSTER);
    m = hello_of(1, "host-b");
    m.u.hello.version = 9;
    peer_open(&peers[1]);
    peer_say(&peers[1], &m);
    UNTIL(peers[1].ended);
    ck_assert_int_eq(peers[1].refusal, LINK_REFUSE_VERSION);
    ck_assert_uint_eq(ctl.hellos, 0);
}
END_TEST

/* What breaks the rules, as bytes on the wire. */
static const struct {
    const char *bytes;
    size_t len;
    const char *reason;
} garbage[] = {
    {"\x00\x00\x00\x00", 4, NULL},                                 /* empty: no Refuse needed */
    {"\x7f\xff\xff\xff", 4, NULL},                                 /* too long */
    {"\x00\x00\x00\x03\xff\xff\xff", 7, "no envelope"},            /* not protobuf */
    {"\x00\x00\x00\x03\xa2\x06\x00", 7, "kind"},                   /* kind 100 */
    {"\x00\x00\x00\x02\x12\x00", 6, "not for an agent"},           /* welcome */
    {"\x00\x00\x00\x02\x5a\x00", 6, "before the greeting"},        /* heartbeat */
    {"\x00\x00\x00\x02\x0a\x00", 6, "hello"},                      /* hello of nobody */
    {"\x00\x00\x00\x07\x0a\x05\x4a\x7f\x00\x00\x00", 11, "hello"}, /* cut off inside */
};

START_TEST(garbage_drops_that_peer_alone)
{
    struct peer *good = &peers[0], *bad = &peers[1];
    uv_buf_t b = uv_buf_init((char *)(uintptr_t)garbage[_i].bytes, (unsigned)garbage[_i].len);

    peer_open(good);
    peer_hello(good, 1, "host-b");
    UNTIL(good->got[LINK_WELCOME] == 1);
    peer_open(bad);
    ck_assert_int_eq(uv_try_write((uv_stream_t *)&bad->wire.tcp, &b, 1), (int)garbage[_i].len);
    UNTIL(bad->ended);
    if (garbage[_i].reason != NULL) {
        ck_assert_int_eq(bad->refusal, LINK_REFUSE_PROTOCOL);
        ck_assert_msg(strstr(bad->reason, garbage[_i].reason) != NULL, "%s", bad->reason);
    }
    apply(2);
    UNTIL(good->placements == 2);
    ck_assert(!good->ended);
    ck_assert_uint_eq(ctl.gones, 0);
}
END_TEST

START_TEST(credit_is_enforced)
{
    struct link_logs logs = {.incarnation = 1, .tail_all = true};
    struct link_line line = {.text = "x", .len = 1};
    struct link_message data = {.kind = LINK_STREAM_DATA};
    struct peer *p = &peers[0];
    uint64_t stream = 0;

    peer_open(p);
    peer_hello(p, 1, "host-b");
    UNTIL(p->got[LINK_WELCOME] == 1);
    ck_assert_int_eq(open_logs((struct id128){.lo = 2}, &logs, 10, &stream), -ENOTCONN);
    ck_assert_int_eq(open_logs((struct id128){.lo = 1}, &logs, 10, &stream), 0);
    UNTIL(p->got[LINK_STREAM_OPEN] == 1);
    data.u.stream_data = (struct link_stream_data){.stream = stream, .lines = &line, .n = 1};
    peer_say(p, &data);
    UNTIL(ctl.lines == 1);
    peer_say(p, &data);
    UNTIL(p->ended);
    ck_assert_int_eq(p->refusal, LINK_REFUSE_PROTOCOL);
    UNTIL(ctl.gones == 1);
    ck_assert_uint_eq(ctl.log_ends, 1);
}
END_TEST

/* ---- against the agent's real end ---- */

/* The agent's own image store is empty: the image is put into the facts by the test. */
static void agent_has_image(void)
{
    static const struct fleet_image images[] = {{IMAGE, DIGEST}};
    struct fleet_event e = {.type = FLEET_FACTS};

    e.u.facts.node_id.lo = 0xa;
    e.u.facts.facts = (struct fleet_facts){
        .os = "linux",
        .arch = "amd64",
        .underlay = "192.0.2.1",
        .total = {.memory_bytes = 64ull << 30, .cpu_millis = 8000, .pids = 100000000},
        .images = images,
        .n_images = 1};
    feed(e);
}

static void join_and_run(unsigned replicas)
{
    agent_start();
    UNTIL(uv_sessions_count(ctl.sessions) == 1);
    agent_has_image();
    apply(replicas);
    UNTIL(running() == replicas);
}

START_TEST(agent_runs_what_it_is_told)
{
    struct fleet_placement_view seen;

    join_and_run(3);
    ck_assert(fleet_placement_find(ctl.fleet, agent->ledger.placements[2].incarnation, &seen));
    ck_assert_str_eq(seen.observed->controls, "seccomp: applied\npids: 1024");
    ck_assert_uint_eq(seen.observed->pid, 4242);
    UNTIL(ctl.acks > 0);
    ck_assert_uint_eq(configured, 1);
    ck_assert_uint_gt(routes_told, 0);
    ck_assert_uint_eq(agent->ledger.n_placements, 3);
    ck_assert_uint_eq(agent->ledger.epoch, 3);
    ck_assert(id128_equal(uv_agent_link_assigned(agent), sum_of(0xa)));
    apply(1);
    UNTIL(agent->ledger.n_placements == 1 && node_count(agent->node) == 1);
    ck_assert(id128_equal(uv_agent_link_assigned(agent), sum_of(0xa)));
    UNTIL(ctl.beats >= 2);
}
END_TEST

/* A report that is due while the wire is still writing: the loop goes on, and so does the report.
 */
START_TEST(busy_wire_is_waited_for)
{
    struct uv_agent_link *l;

    join_and_run(1);
    turns_ms(100);
    l = agent->link;
    ck_assert(uv_wire_is_writable(&l->wire));
    l->wire.writing = true;
    l->report_ms = 0;
    uv_agent_link_report(agent, agent->ledger.placements[0].incarnation, false);
    ck_assert_uint_eq(l->n_dirty, 1);
    turns_ms(50); /* it comes back: no timer keeps the loop from polling */
    ck_assert_uint_eq(l->n_dirty, 1);
    l->wire.writing = false;
    uv_wire_poke(&l->wire);
    UNTIL(l->n_dirty == 0);
}
END_TEST

START_TEST(reconnect_moves_nothing)
{
    unsigned before;

    join_and_run(5);
    turns_ms(100);
    before = assigns;
    uv_sessions_reset(ctl.sessions, "the test says so");
    feed((struct fleet_event){.type = FLEET_NODE_GONE, .u.node_id.lo = 0xa});
    UNTIL(uv_sessions_count(ctl.sessions) == 0);
    UNTIL(uv_sessions_count(ctl.sessions) == 1);
    turns_ms(100);
    ck_assert_uint_eq(assigns, before);
    ck_assert_uint_eq(running(), 5);
}
END_TEST

/* As long as both hold the same nothing is told; a difference ends the session, and the next
 * begins with all of it. */
START_TEST(agent_holds_the_service_table)
{
    for (unsigned i = 0; i < 50; i++) {
        put_service(ctl.services, i, 3);
    }
    agent_start();
    UNTIL(svctable_count(held) == 50);
    ck_assert_uint_eq(wholes_told, 1);
    put_service(held, 3, 1); /* as if something had gone wrong here */
    put_service(ctl.services, 7, 1);
    uv_sessions_services(ctl.sessions);
    UNTIL(wholes_told == 2);
    UNTIL(id128_equal(svctable_sum(held), svctable_sum(ctl.services)));
    uv_sessions_reset(ctl.sessions, "the test says so");
    UNTIL(uv_sessions_count(ctl.sessions) == 0);
    UNTIL(uv_sessions_count(ctl.sessions) == 1);
    turns_ms(100);
    ck_assert_uint_eq(wholes_told, 2);
}
END_TEST

START_TEST(restarted_agent_knows_its_assignments)
{
    join_and_run(5);
    UNTIL(ctl.acks > 0);
    turns_ms(50);
    agent_stop();
    UNTIL(ctl.gones == 1);
    agent_start();
    ck_assert_uint_eq(agent->ledger.n_placements, 5);
    UNTIL(uv_sessions_count(ctl.sessions) == 1);
    ck_assert(id128_equal(uv_agent_link_assigned(agent), sum_of(0xa)));
}
END_TEST

/* An empty store with a lower epoch: refused by both sides, and nothing is stopped. With a higher
 * epoch it is obeyed, and keeps what it did not know. */
START_TEST(empty_store_stops_nothing)
{
    join_and_run(4);
    turns_ms(50);
    fleet_new(1);
    ctl.raised = 0;
    uv_sessions_reset(ctl.sessions, "new leader");
    agent->link->failures = 0;
    UNTIL(ctl.raised > 0);
    ck_assert_uint_eq(agent->ledger.n_placements, 4);
    ck_assert_uint_eq(node_count(agent->node), 4);
    fleet_new(4);
    UNTIL(agent->link->state == LINK_STATE_AWAY);
    agent->link->dial_ms = 0;
    uv_agent_link_arm(agent->link);
    UNTIL(uv_sessions_count(ctl.sessions) == 1);
    UNTIL(running() == 4);
    turns_ms(200);
    ck_assert_uint_eq(agent->ledger.n_placements, 4);
    ck_assert_uint_eq(running(), 4);
    ck_assert_uint_eq(agent->ledger.epoch, 4);
}
END_TEST

static void log_write_lines(unsigned from, unsigned to)
{
    auto_free char *path = xasprintf("%s/log", state);
    FILE *f = fopen(path, "ae");

    for (unsigned i = from; i < to; i++) {
        (void)fprintf(f, "2026-01-01T00:00:00.000000000Z stdout F line %u\n", i);
    }
    (void)fclose(f);
}

START_TEST(logs_flow_with_credit)
{
    struct link_logs logs = {.incarnation = 1, .tail_all = true};
    struct id128 id = {.lo = 0xa};
    uint64_t stream = 0;

    join_and_run(1);
    log_write_lines(0, 1000);
    ck_assert_int_eq(open_logs(id, &logs, 240, &stream), 0);
    UNTIL(ctl.lines == 11); /* 22 bytes each; a line may begin while there is credit */
    turns_ms(50);
    ck_assert_uint_eq(ctl.lines, 11);
    ctl.credit_back = stream;
    uv_sessions_stream_credit(ctl.sessions, stream, 4096);
    UNTIL(ctl.log_ends == 1);
    ck_assert_uint_eq(ctl.lines, 1000);
    ck_assert_str_eq(ctl.line, "line 999");
    ck_assert_str_eq(ctl.log_error, "");
}
END_TEST

/* The agent runs "itself" for it: here a script. Rows end with an empty key. */
static char *pretend_self(const char *script)
{
    char *path = xasprintf("%s/self", state);
    FILE *f = fopen(path, "we");

    (void)fprintf(f, "#!/bin/sh\n%s\n", script);
    (void)fchmod(fileno(f), 0700);
    (void)fclose(f);
    agent->sweeper_program = path;
    return path;
}

START_TEST(questions_are_answered)
{
    struct id128 id = {.lo = 0xa};
    auto_free char *self = NULL;
    uint64_t stream = 0;

    join_and_run(1);
    ck_assert_int_eq(open_ask(id, "weather", 4096, &stream), 0);
    UNTIL(ctl.log_ends == 1);
    ck_assert_str_eq(ctl.log_error, "this agent does not know the question \"weather\"");
    self = pretend_self("printf 'id\\0one\\0\\0'; sleep 0.1; printf 'id\\0%s\\0\\0' \"$1$2\"");
    ck_assert_int_eq(open_ask(id, "doctor", 20, &stream), 0);
    UNTIL(ctl.lines == 1);
    turns_ms(50);
    ck_assert_uint_eq(ctl.lines, 1); /* a row costs its seven bytes and 16 */
    uv_sessions_stream_credit(ctl.sessions, stream, 4096);
    UNTIL(ctl.log_ends == 2);
    ck_assert_uint_eq(ctl.lines, 2);
    ck_assert_str_eq(ctl.log_error, "");
    UNTIL(agent->n_asks == 0);
}
END_TEST

START_TEST(links_are_told_by_their_containers_names)
{
    struct id128 id = {.lo = 0xa};
    auto_free char *self = NULL, *script = NULL;
    uint64_t stream = 0;

    join_and_run(1);
    script = xasprintf("test $1 = net-stats && for i in %llu 123456; do"
                       " printf 'incarnation\\0%%s\\0in_bytes\\0%%s\\0\\0' $i 5; done",
                       (unsigned long long)agent->ledger.placements[0].incarnation);
    self = pretend_self(script);
    ck_assert_int_eq(open_ask(id, "net.stats", 4096, &stream), 0);
    UNTIL(ctl.log_ends == 1);
    ck_assert_str_eq(ctl.log_error, "");
    ck_assert_uint_eq(ctl.lines, 1);         /* whose name is not known is not told */
    ck_assert_str_eq(ctl.line, "container"); /* the first key; what follows its NUL is not kept */
    UNTIL(agent->n_asks == 0);
}
END_TEST

START_TEST(questions_that_fail_say_so)
{
    struct id128 id = {.lo = 0xa};
    auto_free char *self = NULL, *other = NULL;
    uint64_t stream = 0;

    join_and_run(1);
    self = pretend_self("printf 'id\\0one\\0\\0'; exit 3");
    ck_assert_int_eq(open_ask(id, "doctor", 4096, &stream), 0);
    UNTIL(ctl.log_ends == 1);
    ck_assert_uint_eq(ctl.lines, 1);
    ck_assert_str_eq(ctl.log_error, "doctor ended with code 3");
    other = pretend_self("exec sleep 30");
    for (unsigned i = 0; i < UV_AGENT_ASK_MAX; i++) {
        ck_assert_int_eq(open_ask(id, "doctor", 4096, &stream), 0);
    }
    UNTIL(agent->n_asks == UV_AGENT_ASK_MAX);
    ck_assert_int_eq(open_ask(id, "doctor", 4096, &stream), 0);
    UNTIL(ctl.log_ends == 2);
    ck_assert_ptr_nonnull(strstr(ctl.log_error, "too many questions"));
} /* those that sleep are killed with the agent's end */
END_TEST

START_TEST(logs_follow)
{
    struct id128 id = {.lo = 0xa};
    struct link_logs logs = {.follow = true, .tail = 2};
    uint64_t stream = 0;

    join_and_run(1);
    logs.incarnation = agent->ledger.placements[0].incarnation;
    log_write_lines(0, 10);
    ck_assert_int_eq(open_logs(id, &logs, 65536, &stream), 0);
    UNTIL(ctl.lines == 2);
    log_write_lines(10, 13);
    UNTIL(ctl.lines == 5);
    ck_assert_str_eq(ctl.line, "line 12");
    ck_assert_uint_eq(ctl.log_ends, 0);
    uv_sessions_stream_close(ctl.sessions, stream);
    UNTIL(agent->link->n_streams == 0);
    ck_assert_uint_eq(ctl.log_ends, 0);
}
END_TEST

START_TEST(volumes_are_forgotten)
{
    struct id128 id = {.lo = 0xa};
    auto_free char *path = NULL;
    auto_free char *again = NULL;
    bool made = false;

    join_and_run(1);
    ck_assert_int_eq(volumes_ensure(&agent->volumes, "shop_data", &path, &made, NULL), 0);
    ck_assert_int_eq(uv_sessions_forget_volume(ctl.sessions, id, 77, "shop_data", NULL), 0);
    UNTIL(ctl.forgotten == 1);
    ck_assert_str_eq(ctl.forget_error, "");
    ck_assert_int_ne(access(path, F_OK), 0);
    UNTIL(!agent->sweeping);
    ck_assert_int_eq(uv_sessions_forget_volume(ctl.sessions, id, 77, "../etc", NULL), 0);
    UNTIL(ctl.forgotten == 2);
    ck_assert_str_ne(ctl.forget_error, "");
    UNTIL(!agent->sweeping);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("link");
    TCase *hand = tcase_create("by hand");
    TCase *real = tcase_create("agent");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(hand, setup, teardown);
    tcase_set_timeout(hand, 40);
    tcase_add_test(hand, wildcards_are_refused);
    tcase_add_test(hand, set_then_increments);
    tcase_add_test(hand, services_whole_then_changes);
    tcase_add_test(hand, equal_services_move_nothing);
    tcase_add_loop_test(hand, one_endpoint_is_told_alone, 0, 2);
    tcase_add_test(hand, services_are_kept_until_all_are_heard);
    tcase_add_test(hand, services_too_far_behind);
    tcase_add_test(hand, services_are_for_who_takes_them);
    tcase_add_test(hand, other_sum_gets_a_whole_set);
    tcase_add_test(hand, equal_sums_move_nothing);
    tcase_add_test(hand, nothing_is_told_before_it_is_durable);
    tcase_add_test(hand, stale_controller_raises_its_epoch);
    tcase_add_test(hand, other_cluster_and_version_are_refused);
    tcase_add_loop_test(hand, garbage_drops_that_peer_alone, 0, ARRAY_LEN(garbage));
    tcase_add_test(hand, credit_is_enforced);
    suite_add_tcase(s, hand);
    tcase_add_checked_fixture(real, setup, teardown);
    tcase_set_timeout(real, 40);
    tcase_add_test(real, agent_runs_what_it_is_told);
    tcase_add_test(real, agent_holds_the_service_table);
    tcase_add_test(real, busy_wire_is_waited_for);
    tcase_add_test(real, reconnect_moves_nothing);
    tcase_add_test(real, restarted_agent_knows_its_assignments);
    tcase_add_test(real, empty_store_stops_nothing);
    tcase_add_test(real, logs_flow_with_credit);
    tcase_add_test(real, logs_follow);
    tcase_add_test(real, questions_are_answered);
    tcase_add_test(real, links_are_told_by_their_containers_names);
    tcase_add_test(real, questions_that_fail_say_so);
    tcase_add_test(real, volumes_are_forgotten);
    suite_add_tcase(s, real);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
