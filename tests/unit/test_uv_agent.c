// SPDX-License-Identifier: Apache-2.0
/* The agent's executor over an engine that only pretends: what is taken and given back, in which
 * order, and that a new agent finds everything as it was. The engine's runs are kept in memory of
 * the test, as the real one's are on disk, so they outlive an agent. */
#include "agent/uv_agent.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/codec_run.h"
#include "agent/codec_worker.h"
#include "agent/images_txn.h"
#include "agent/runspec.h"
#include "agent/treerm.h"
#include "agent/uv_agent_priv.h"
#include "common/cleanup.h"
#include "common/log.h"

#define RUNS_MAX 16

/* ---- an engine that pretends ---- */

struct uv_engine_run {
    struct node_of of;
    struct uv_engine_events events;
    bool used; /* something of it is left */
    bool held; /* by an agent */
    bool alive, starting, ended, told;
    uint32_t pid, ids;
    struct node_exit exit;
    unsigned signals, kills;
    uv_engine_clean_cb clean;
    void *clean_arg;
};

struct uv_engine {
    uv_timer_t timer;
    void (*closed)(void *arg);
    void *closed_arg;
};

static struct uv_engine_run runs[RUNS_MAX];
static unsigned starts, cleans;
static bool fail_start, fail_adopt, ignore_signals;

static struct uv_engine_run *run_of(struct node_of of)
{
    for (unsigned i = 0; i < RUNS_MAX; i++) {
        if (runs[i].used && runs[i].of.incarnation == of.incarnation && runs[i].of.run == of.run) {
            return &runs[i];
        }
    }
    return NULL;
}

static void fake_end(struct uv_engine_run *r, int code, int sig)
{
    r->alive = false;
    r->ended = true;
    r->exit = (struct node_exit){.known = true, .code = code, .signal = sig};
}

static void tell(struct uv_engine_run *r)
{
    if (r->held && r->starting) {
        r->starting = false;
        if (fail_start) {
            struct err e = {0};

            (void)err_say(&e, ENOENT, "exec /bin/x: No such file or directory");
            r->events.failed(r->events.arg, &e);
            return;
        }
        r->alive = true;
        r->pid = 1000 + starts++;
        r->events.started(r->events.arg, r->pid, uv_agent_now_ms(), uv_agent_unix_ms());
    }
    if (r->held && r->ended && !r->told) {
        r->told = true;
        r->events.exited(r->events.arg, &r->exit, uv_agent_unix_ms());
    }
    if (r->clean != NULL) {
        uv_engine_clean_cb cb = r->clean;

        r->clean = NULL;
        r->used = false;
        cleans++;
        cb(r->clean_arg, 0, NULL);
    }
}

static void on_engine_timer(uv_timer_t *timer)
{
    (void)timer;
    for (unsigned i = 0; i < RUNS_MAX; i++) {
        if (runs[i].used) {
            tell(&runs[i]);
        }
    }
}

int uv_engine_create(uv_loop_t *loop, const struct uv_engine_config *config, struct uv_engine **ret,
                     struct err *e)
{
    struct uv_engine *engine = xcalloc(1, sizeof(*engine));

    (void)e;
    ck_assert_ptr_nonnull(strstr(config->shim_program, "/bin/wherry-shim"));
    (void)uv_timer_init(loop, &engine->timer);
    (void)uv_timer_start(&engine->timer, on_engine_timer, 1, 1);
    *ret = engine;
    return 0;
}

static void on_engine_closed(uv_handle_t *handle)
{
    struct uv_engine *engine = container_of((uv_timer_t *)handle, struct uv_engine, timer);

    engine->closed(engine->closed_arg);
    free(engine);
}

void uv_engine_close(struct uv_engine *engine, void (*closed)(void *arg), void *arg)
{
    for (unsigned i = 0; i < RUNS_MAX; i++) {
        uv_engine_clean_cb cb = runs[i].clean;

        ck_assert(!runs[i].held); /* the executor lets go of each before */
        runs[i].clean = NULL;
        if (cb != NULL) {
            cb(runs[i].clean_arg, -ECANCELED, &(struct err){.code = -ECANCELED});
        }
    }
    engine->closed = closed;
    engine->closed_arg = arg;
    uv_close((uv_handle_t *)&engine->timer, on_engine_closed);
}

const char *uv_engine_degraded(const struct uv_engine *engine)
{
    (void)engine;
    return "";
}

int uv_engine_prepare(struct uv_engine *engine, const struct uv_engine_order *order,
                      const struct uv_engine_events *events, struct uv_engine_run **ret,
                      int *ret_netns, struct err *e)
{
    struct uv_engine_run *r = runs;

    (void)engine;
    (void)e;
    ck_assert_uint_ne(order->ids, 0);
    ck_assert_ptr_nonnull(order->image);
    ck_assert_uint_eq(order->image->n_layers, 1);
    ck_assert_ptr_null(run_of(order->of));
    while (r->used) {
        r++;
        ck_assert(r < runs + RUNS_MAX);
    }
    *r = (struct uv_engine_run){
        .of = order->of, .events = *events, .used = true, .held = true, .ids = order->ids};
    *ret = r;
    *ret_netns = -1;
    return 0;
}

int uv_engine_start(struct uv_engine_run *run, const struct uv_engine_order *order, struct err *e)
{
    (void)e;
    ck_assert_ptr_nonnull(strstr(order->log_path, "/logs/"));
    run->starting = true;
    return 0;
}

int uv_engine_look(struct uv_engine *engine,
                   void (*each)(void *arg, const struct uv_engine_found *found), void *arg,
                   struct err *e)
{
    (void)engine;
    (void)e;
    for (unsigned i = RUNS_MAX; i-- > 0;) {
        struct uv_engine_found found = {.of = runs[i].of,
                                        .alive = runs[i].alive,
                                        .broken = !runs[i].alive && !runs[i].ended,
                                        .pid = runs[i].pid,
                                        .ids = runs[i].ids,
                                        .started_ms = uv_agent_now_ms(),
                                        .started_unix_ms = uv_agent_unix_ms() - 20000,
                                        .ended_unix_ms = uv_agent_unix_ms(),
                                        .exit = runs[i].exit};

        if (runs[i].used) {
            each(arg, &found);
        }
    }
    return 0;
}

int uv_engine_adopt(struct uv_engine *engine, const struct uv_engine_order *order,
                    const struct uv_engine_events *events, struct uv_engine_run **ret,
                    struct err *e)
{
    struct uv_engine_run *r = run_of(order->of);

    (void)engine;
    if (fail_adopt) {
        return err_say(e, EIO, "its record cannot be read");
    }
    r->events = *events;
    r->held = true;
    *ret = r;
    return 0;
}

int uv_engine_signal(struct uv_engine_run *run, int signal, struct err *e)
{
    (void)e;
    run->signals++;
    if (!ignore_signals) {
        fake_end(run, 0, signal);
    }
    return 0;
}

void uv_engine_kill(struct uv_engine_run *run)
{
    run->kills++;
    fake_end(run, 0, 9);
}

int uv_engine_netns(const struct uv_engine_run *run)
{
    (void)run;
    return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

static unsigned execs;

void uv_engine_exec(struct uv_engine_run *run, char *const *argv, unsigned argc,
                    uint64_t timeout_ms, uv_engine_exec_cb cb, void *arg)
{
    (void)run;
    (void)argv;
    (void)argc;
    (void)timeout_ms;
    execs++;
    cb(arg, 0, "fine");
}

void uv_engine_forget(struct uv_engine_run *run)
{
    run->held = false;
}

void uv_engine_clean(struct uv_engine *engine, struct node_of of, uv_engine_clean_cb cb, void *arg)
{
    struct uv_engine_run *r = run_of(of);

    (void)engine;
    if (r == NULL) {
        cb(arg, 0, NULL); /* nothing is left already */
        return;
    }
    ck_assert(!r->alive || !r->held);
    r->alive = false;
    r->clean = cb;
    r->clean_arg = arg;
}

/* ---- no network, no controller ---- */

int uv_agent_net_create(struct uv_agent *a, struct err *e)
{
    (void)a;
    (void)e;
    return 0;
}

int uv_agent_net_reserve(struct attempt *at, struct err *e)
{
    (void)e;
    at->address = 0x7f000001;
    return 0;
}

int uv_agent_net_attach(struct attempt *at, int netns_fd, struct err *e)
{
    (void)netns_fd;
    (void)e;
    at->attached = true;
    return 0;
}

void uv_agent_net_found(struct attempt *at)
{
    at->attached = true;
}

void uv_agent_net_detach(struct attempt *at)
{
    at->attached = false;
}

void uv_agent_net_looked(struct uv_agent *a)
{
    (void)a;
}

void uv_agent_net_state(struct uv_agent *a, uint64_t incarnation)
{
    (void)a;
    (void)incarnation;
}

void uv_agent_net_close(struct uv_agent *a)
{
    (void)a;
}

int uv_agent_link_create(struct uv_agent *a, struct err *e)
{
    (void)a;
    (void)e;
    return 0;
}

void uv_agent_link_report(struct uv_agent *a, uint64_t incarnation, bool gone)
{
    (void)a;
    (void)incarnation;
    (void)gone;
}

void uv_agent_link_facts(struct uv_agent *a)
{
    (void)a;
}

void uv_agent_link_close(struct uv_agent *a)
{
    (void)a;
}

/* ---- the world of a test ---- */

static char state[64];
static char run_path[80];
static uv_loop_t loop;
static struct uv_agent *agent;
static struct node_container last; /* as last reported */
static unsigned gone;
static struct err e;

static void on_report(void *arg, uint64_t incarnation, const struct node_container *c)
{
    (void)arg;
    (void)incarnation;
    if (c == NULL) {
        gone++;
    } else {
        last = *c;
    }
}

static void on_nothing(void *arg)
{
    (void)arg;
}

static int create(struct uv_agent **ret)
{
    struct uv_agent_options options = {.state_path = state,
                                       .run_path = run_path,
                                       .cgroup_parent = "wherry",
                                       .bin_path = "/bin",
                                       .id_base = 524288,
                                       .id_count = 16 * 65536,
                                       .on_report = on_report};

    return uv_agent_create(&loop, &options, ret, &e);
}

static void open_agent(void)
{
    last = (struct node_container){0};
    ck_assert_msg(create(&agent) == 0, "%s", e.text);
}

static void close_agent(void)
{
    uv_agent_close(agent, on_nothing, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
}

static void setup(void)
{
    log_init("test", LOG_LEVEL_ERROR);
    (void)snprintf(state, sizeof(state), "/tmp/wherry-agent-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(state));
    (void)snprintf(run_path, sizeof(run_path), "%s/run", state);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    open_agent();
}

static void teardown(void)
{
    int fd;

    close_agent();
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    fd = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(treerm_empty(fd, state, &e), 0);
    (void)close(fd);
    (void)rmdir(state);
}

static void load_image(const char *name)
{
    struct load_event layer = {.type = LOAD_EVENT_LAYER}, image = {.type = LOAD_EVENT_IMAGE};
    static const char digest[] =
        "sha256:1111111111111111111111111111111111111111111111111111111111111111";
    auto_buf struct buf bytes = {0};
    struct images *images;
    struct images_txn *txn;

    ck_assert_int_eq(images_open(state, &images, &e), 0);
    ck_assert_int_eq(images_txn_begin(images, true, &txn, &e), 0);
    (void)snprintf(layer.layer.staged, sizeof(layer.layer.staged), "1");
    ck_assert_int_eq(mkdirat(images_txn_staging_fd(txn), "1", 0755), 0);
    memcpy(layer.layer.info.diff_id, digest, sizeof(digest));
    codec_worker_event_encode(&layer, &bytes);
    ck_assert_int_eq(images_txn_add(txn, bytes.data, bytes.len, &e), 0);
    image_name_add(&image.image, name);
    memcpy(image.image.digest, digest, sizeof(digest));
    memcpy(image.image.config_digest, digest, sizeof(digest));
    image_diff_id_add(&image.image, digest);
    image_strv_add(&image.image.cmd, &image.image.n_cmd, "/bin/sh");
    image.image.health.set = true;
    image.image.health.interval_ms = 60000;
    image_strv_add(&image.image.health.argv, &image.image.health.argc, "/bin/check");
    buf_clear(&bytes);
    codec_worker_event_encode(&image, &bytes);
    ck_assert_msg(images_txn_add(txn, bytes.data, bytes.len, &e) == 0, "%s", e.text);
    image_finish(&image.image);
    ck_assert_msg(images_txn_commit(txn, NULL, &e) == 0, "%s", e.text);
    images_txn_end(txn);
    images_close(images);
}

static uint64_t add(const char *name, enum restart_condition restart)
{
    struct runspec spec;
    auto_buf struct buf document = {0};
    uint64_t incarnation = 0;

    runspec_init(&spec);
    spec.image = "box";
    spec.restart = restart;
    spec.stop_grace_ms = 100;
    codec_run_encode(&spec, &document);
    ck_assert_msg(uv_agent_add(agent, name, document.data, document.len, &incarnation, &e) == 0,
                  "%s", e.text);
    return incarnation;
}

static bool is_gone(void)
{
    return gone > 0;
}

static bool is_running(void)
{
    return last.phase == NODE_PHASE_RUNNING;
}

static bool is_healthy(void)
{
    return last.health == HEALTH_HEALTHY;
}

static bool is_done(void)
{
    return last.phase == NODE_PHASE_DONE;
}

static bool is_unknown(void)
{
    return last.phase == NODE_PHASE_UNKNOWN;
}

static bool is_waiting(void)
{
    return last.phase == NODE_PHASE_WAITING && last.reason[0] != '\0';
}

static bool is_second_run(void)
{
    return last.run == 2 && is_running();
}

static void until_(bool (*what)(void), const char *name)
{
    uint64_t end = uv_hrtime() + 15000000000u;

    while (!what()) {
        (void)uv_run(&loop, UV_RUN_ONCE);
        ck_assert_msg(uv_hrtime() < end, "%s: phase %d, reason '%s'", name, (int)last.phase,
                      last.reason);
    }
}
#define until(what) until_(what, #what)

static unsigned count_files(const char *below)
{
    auto_free char *path = xasprintf("%s/%s", state, below);
    auto_closedir DIR *dir = opendir(path);
    unsigned n = 0;
    struct dirent *d;

    while (dir != NULL && (d = readdir(dir)) != NULL) {
        n += d->d_name[0] != '.';
    }
    return n;
}

static void remove_and_check(uint64_t incarnation)
{
    ck_assert_int_eq(uv_agent_remove(agent, incarnation, &e), 0);
    until(is_gone);
    close_agent(); /* also ends the removal of its logs */
    ck_assert_uint_eq(count_files("logs"), 0);
    ck_assert_uint_eq(count_files("images/pins"), 0);
    ck_assert_uint_eq(count_files("run/health"), 0);
    for (unsigned i = 0; i < RUNS_MAX; i++) {
        ck_assert(!runs[i].used);
    }
    open_agent();
    ck_assert_uint_eq(uv_agent_assigned(agent, 0), 0);
}

/* ---- the tests ---- */

START_TEST(one_life)
{
    uint64_t incarnation;

    load_image("docker.io/library/box:latest");
    incarnation = add("one", RESTART_NEVER);
    until(is_running);
    ck_assert_uint_eq(last.pid, 1000);
    ck_assert_uint_eq(count_files("images/pins"), 1);
    ck_assert_uint_eq(count_files("logs"), 1);
    until(is_healthy);
    ck_assert_uint_ge(execs, 1);
    fake_end(run_of((struct node_of){incarnation, 1}), 3, 0);
    until(is_done);
    ck_assert_int_eq(last.exit.code, 3);
    ck_assert_uint_eq(gone, 0);
    ck_assert_uint_gt(uv_agent_lag_us(agent), 0);
    remove_and_check(incarnation);
}
END_TEST

START_TEST(image_comes_later)
{
    uint64_t incarnation = add("late", RESTART_NEVER);

    until(is_waiting);
    ck_assert_msg(strstr(last.reason, "image box is not on this node") != NULL, "%s", last.reason);
    load_image("docker.io/library/box:latest");
    until(is_running); /* nobody said so: the directory is watched */
    remove_and_check(incarnation);
}
END_TEST

START_TEST(restarted)
{
    uint64_t incarnation;

    load_image("docker.io/library/box:latest");
    incarnation = add("again", RESTART_ANY);
    until(is_running);
    fake_end(run_of((struct node_of){incarnation, 1}), 1, 0);
    until(is_second_run);
    ck_assert_uint_eq(starts, 2);
    remove_and_check(incarnation);
}
END_TEST

START_TEST(start_fails)
{
    uint64_t incarnation;

    fail_start = true;
    load_image("docker.io/library/box:latest");
    incarnation = add("bad", RESTART_NEVER);
    until(is_done);
    ck_assert(!last.ended);
    ck_assert_msg(strstr(last.reason, "exec /bin/x") != NULL, "%s", last.reason);
    remove_and_check(incarnation);
}
END_TEST

/* Of a controller of another age, say: it is said why, and the agent starts all the same. */
START_TEST(document_is_unreadable)
{
    const uint8_t digest[CODEC_JOURNAL_DIGEST] = {1};
    struct journal_record revision = {.kind = JOURNAL_REVISION};
    struct journal_record placement = {.kind = JOURNAL_PLACEMENT};

    revision.u.revision.digest = digest;
    revision.u.revision.container = "\x0a\x7f";
    revision.u.revision.container_len = 2;
    placement.u.placement = (struct journal_placement){.incarnation = 7,
                                                       .stack = "shop",
                                                       .service = "web",
                                                       .slot = 1,
                                                       .revision = digest,
                                                       .image_digest = ""};
    ck_assert_int_eq(uv_agent_record(agent, &revision, &e), 0);
    ck_assert_int_eq(uv_agent_record(agent, &placement, &e), 0);
    close_agent();
    open_agent();
    until(is_done);
    ck_assert(!last.ended);
    ck_assert_msg(strstr(last.reason, "its document cannot be read: container document: ") != NULL,
                  "%s", last.reason);
    ck_assert_uint_eq(starts, 0);
    remove_and_check(7);
}
END_TEST

START_TEST(stopped_and_killed)
{
    uint64_t incarnation;

    ignore_signals = true;
    load_image("docker.io/library/box:latest");
    incarnation = add("deaf", RESTART_ANY);
    until(is_running);
    ck_assert_int_eq(uv_agent_stop(agent, incarnation, &e), 0);
    until(is_done);
    ck_assert_int_eq(last.exit.signal, 9);
    ck_assert_msg(strstr(last.reason, "stopped: killed") != NULL, "%s", last.reason);
    close_agent();
    open_agent(); /* it stays stopped */
    until(is_done);
    ck_assert_uint_eq(starts, 1);
    remove_and_check(incarnation);
}
END_TEST

/* The agent goes, the container stays, and the next agent has it as it was. */
START_TEST(adopted)
{
    uint64_t incarnation;
    uint32_t pid;

    load_image("docker.io/library/box:latest");
    incarnation = add("stays", RESTART_ANY);
    until(is_healthy);
    pid = last.pid;
    close_agent();
    open_agent();
    until(is_running);
    ck_assert_uint_eq(last.pid, pid);
    ck_assert_uint_eq(last.run, 1);
    ck_assert_int_eq((int)last.health, HEALTH_HEALTHY);
    ck_assert_uint_eq(starts, 1);
    ck_assert_uint_eq(uv_agent_assigned(agent, 0), incarnation);
    ck_assert_str_eq(uv_agent_name(agent, incarnation), "stays");
    ck_assert_uint_eq(count_files("images/pins"), 1);
    remove_and_check(incarnation);
}
END_TEST

START_TEST(ended_meanwhile)
{
    uint64_t incarnation;

    load_image("docker.io/library/box:latest");
    incarnation = add("ends", RESTART_NEVER);
    until(is_running);
    close_agent();
    fake_end(run_of((struct node_of){incarnation, 1}), 7, 0);
    open_agent();
    until(is_done);
    ck_assert_int_eq(last.exit.code, 7);
    ck_assert_uint_eq(starts, 1);
    close_agent();
    open_agent(); /* and this is remembered when nothing of the run is left */
    until(is_done);
    ck_assert_int_eq(last.exit.code, 7);
    remove_and_check(incarnation);
}
END_TEST

/* What runs and cannot be taken up is told as unknown, left alone, and goes when it shall. */
START_TEST(not_taken_up)
{
    uint64_t incarnation;

    load_image("docker.io/library/box:latest");
    incarnation = add("lost", RESTART_ANY);
    until(is_running);
    close_agent();
    fail_adopt = true;
    open_agent();
    until(is_unknown);
    ck_assert_str_eq(last.reason, "its record cannot be read");
    ck_assert(run_of((struct node_of){incarnation, 1})->alive);
    remove_and_check(incarnation);
    ck_assert_uint_eq(starts, 1);
}
END_TEST

/* Nobody has ordered it: removed. */
START_TEST(stray)
{
    close_agent();
    runs[0] = (struct uv_engine_run){.of = {77, 3}, .used = true, .ended = true};
    open_agent();
    until(is_gone);
    ck_assert_uint_eq(cleans, 1);
    ck_assert(!runs[0].used);
}
END_TEST

START_TEST(second_agent)
{
    struct uv_agent *other = NULL;
    char holder[32];

    ck_assert_int_eq(create(&other), -EBUSY);
    (void)snprintf(holder, sizeof(holder), "process %d", (int)getpid());
    ck_assert_msg(strstr(e.text, holder) != NULL, "%s", e.text);
}
END_TEST

START_TEST(names)
{
    uint64_t incarnation = add("taken", RESTART_NEVER);
    uint64_t other;

    ck_assert_int_eq(uv_agent_add(agent, "taken", "", 0, &other, &e), -EEXIST);
    ck_assert_int_eq(uv_agent_add(agent, "No Name", "", 0, &other, &e), -EINVAL);
    ck_assert_int_eq(uv_agent_add(agent, "junk", "\xff\xff", 2, &other, &e), -EBADMSG);
    ck_assert_int_eq(uv_agent_stop(agent, 12345, &e), -ENOENT);
    until(is_waiting);
    remove_and_check(incarnation);
}
END_TEST

/* Closed while a change waits for the disk: nothing leaks, and the change counts. */
START_TEST(closed_at_once)
{
    uint64_t incarnation;

    load_image("docker.io/library/box:latest");
    incarnation = add("quick", RESTART_NEVER);
    close_agent();
    open_agent();
    ck_assert_uint_eq(uv_agent_assigned(agent, 0), incarnation);
    until(is_running);
    remove_and_check(incarnation);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("uv_agent");
    TCase *tcase = tcase_create("executor");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, one_life);
    tcase_add_test(tcase, image_comes_later);
    tcase_add_test(tcase, restarted);
    tcase_add_test(tcase, start_fails);
    tcase_add_test(tcase, document_is_unreadable);
    tcase_add_test(tcase, stopped_and_killed);
    tcase_add_test(tcase, adopted);
    tcase_add_test(tcase, ended_meanwhile);
    tcase_add_test(tcase, not_taken_up);
    tcase_add_test(tcase, stray);
    tcase_add_test(tcase, second_agent);
    tcase_add_test(tcase, names);
    tcase_add_test(tcase, closed_at_once);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
