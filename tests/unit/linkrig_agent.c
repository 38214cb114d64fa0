// SPDX-License-Identifier: Apache-2.0
/* The agent's end: all that it calls, over an engine that pretends. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "linkrig.h"

struct uv_agent *linkrig_agent;
char linkrig_state[64];
unsigned linkrig_configured, linkrig_routes_told, linkrig_assigns, linkrig_wholes_told;
struct svctable *linkrig_held; /* the agent's */
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

    linkrig_assigns += record->kind == JOURNAL_PLACEMENT || record->kind == JOURNAL_REMOVED;
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
    linkrig_configured++;
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
    linkrig_routes_told++;
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

bool linkrig_take_patch(struct svctable *t, const struct svc_patch *patch)
{
    const struct svc_entry *was = svctable_find(t, patch->stack, patch->service);
    auto_free struct svc_entry *is = was != NULL ? svcpatch_apply(was, patch) : NULL;

    return is != NULL && svctable_put(t, is);
}

bool uv_agent_net_services(struct uv_agent *a, const struct link_services *s)
{
    (void)a;
    linkrig_wholes_told += s->whole_begin;
    for (unsigned i = 0; i < s->n_removed; i++) {
        (void)svctable_remove(linkrig_held, s->removed[i].stack, s->removed[i].service);
    }
    for (unsigned i = 0; i < s->n_changed; i++) {
        (void)svctable_put(linkrig_held, &s->changed[i]);
    }
    for (unsigned i = 0; i < s->n_patched; i++) {
        ck_assert(linkrig_take_patch(linkrig_held, &s->patched[i]));
    }
    return !s->has_sum || id128_equal(s->sum, svctable_sum(linkrig_held));
}

void uv_agent_net_services_drop(struct uv_agent *a)
{
    (void)a;
}

struct id128 uv_agent_net_services_sum(const struct uv_agent *a)
{
    (void)a;
    return svctable_sum(linkrig_held);
}

char *uv_agent_log_path(const struct uv_agent *a, uint64_t incarnation)
{
    (void)a;
    (void)incarnation;
    return xasprintf("%s/log", linkrig_state);
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
void linkrig_agent_start(void)
{
    struct uv_agent *a = xcalloc(1, sizeof(*a));
    struct node_event looked = {.type = NODE_LOOKED};
    struct journal *journal = NULL;
    struct journal_record identity = {.kind = JOURNAL_IDENTITY};
    struct err e = {0};

    a->loop = &linkrig_loop;
    a->sweeper_program = "/bin/true"; /* not this program */
    a->options.controller = uv_sessions_address(linkrig_ctl.sessions);
    a->options.name = "host-a";
    a->options.address = "192.0.2.1";
    a->queue_end = &a->queue;
    a->node = node_create();
    a->dirs.state_fd = open(linkrig_state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)uv_idle_init(&linkrig_loop, &a->idle);
    ck_assert_int_eq(
        journal_open(a->dirs.state_fd, linkrig_state, replay, &a->ledger, &journal, NULL, &e), 0);
    a->journal = uv_journal_create(&linkrig_loop, journal, &a->ledger);
    ck_assert_int_eq(images_open(linkrig_state, &a->images, &e), 0);
    ck_assert_int_eq(volumes_open(linkrig_state, &a->volumes, &e), 0);
    linkrig_agent = a;
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
void linkrig_turn(void)
{
    (void)uv_run(&linkrig_loop, UV_RUN_NOWAIT);
    if (linkrig_agent != NULL) {
        uv_agent_queue_drain(linkrig_agent);
    }
    nap();
}

void linkrig_turns_ms(unsigned ms)
{
    uint64_t end = uv_hrtime() + (uint64_t)ms * 1000000;

    while (uv_hrtime() < end) {
        linkrig_turn();
    }
}

void linkrig_agent_stop(void)
{
    struct uv_agent *a = linkrig_agent;

    uv_agent_hold(a);
    uv_agent_link_close(a);
    UNTIL(a->link == NULL);
    UNTIL(a->live == 0); /* who was asked and still answers is killed, and waited for */
    agent_freed = false;
    uv_journal_close(a->journal, on_journal_closed, NULL);
    UNTIL(agent_freed);
    linkrig_agent = NULL;
    uv_close((uv_handle_t *)&a->idle, NULL);
    linkrig_turn();
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

/* The agent's own image store is empty: the image is put into the facts by the test. */
static void agent_has_image(void)
{
    static const struct fleet_image images[] = {{LINKRIG_IMAGE, LINKRIG_DIGEST}};
    struct fleet_event e = {.type = FLEET_FACTS};

    e.u.facts.node_id.lo = 0xa;
    e.u.facts.facts = (struct fleet_facts){
        .os = "linux",
        .arch = "amd64",
        .underlay = "192.0.2.1",
        .total = {.memory_bytes = 64ull << 30, .cpu_millis = 8000, .pids = 100000000},
        .images = images,
        .n_images = 1};
    linkrig_feed(e);
}

void linkrig_join_and_run(unsigned replicas)
{
    linkrig_agent_start();
    UNTIL(uv_sessions_count(linkrig_ctl.sessions) == 1);
    agent_has_image();
    linkrig_apply(replicas);
    UNTIL(linkrig_running() == replicas);
}
