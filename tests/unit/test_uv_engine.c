// SPDX-License-Identifier: Apache-2.0
/* The container engine with the real wherry-shim: busybox from a layer made by hand, started,
 * ended in every way, found again by a second engine, and removed. After each test the host is
 * looked at: no process, mount, control group or directory is left. */
#include "agent/uv_engine.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/cgroups.h"
#include "agent/codec_run.h"
#include "agent/runspec.h"
#include "agent/shim/record.h"
#include "agent/treerm.h"
#include "common/cleanup.h"

#define SKIP    77
#define IDS     (524288u + 1234u * 65536u)
#define WAIT_MS 8000u

/* ---- a world ---- */

struct world {
    char base[64];
    char *state, *run, *layers, *log, *parent;
    uv_loop_t loop;
    uv_timer_t guard;
    struct uv_engine *engine;
    struct image image;
    struct order *order;
    bool late;
};

/* What the engine has said of one run. */
struct seen {
    struct uv_engine_run *run;
    unsigned started, failed, exited, silent;
    uint32_t pid;
    struct node_exit exit;
    char text[ERR_TEXT_MAX];
};

/* The answer to a command or a removal. */
struct answer {
    unsigned n;
    int status;
    char text[ERR_TEXT_MAX];
};

static char *textf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static char *textf(const char *fmt, ...)
{
    va_list ap;
    char *text = NULL;

    va_start(ap, fmt);
    ck_assert_int_ge(vasprintf(&text, fmt, ap), 0);
    va_end(ap);
    return text;
}

/* Mounts on this host that have to do with the world. */
static unsigned mounts(const struct world *w)
{
    auto_fclose FILE *f = fopen("/proc/self/mountinfo", "re");
    char line[4096];
    unsigned n = 0;

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        n += strstr(line, w->base) != NULL || strstr(line, "wherry-shims") != NULL;
    }
    return n;
}

static void copy_file(const char *from, const char *to)
{
    auto_close int in = open(from, O_RDONLY | O_CLOEXEC);
    auto_close int out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    char bytes[65536];
    ssize_t n;

    ck_assert(in >= 0 && out >= 0);
    while ((n = read(in, bytes, sizeof(bytes))) > 0) {
        ck_assert_int_eq(write(out, bytes, (size_t)n), n);
    }
}

static void write_file(const char *path, const char *text)
{
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void make_layer(const char *layers)
{
    static const char *const dirs[] = {"", "/bin", "/etc", "/tmp", "/root"};
    static const char *const applets[] = {"sh", "sleep", "cat",  "dd",   "true", "false",
                                          "id", "ls",    "sync", "grep", "touch"};

    for (unsigned i = 0; i < ARRAY_LEN(dirs); i++) {
        auto_free char *path = textf("%s/1%s", layers, dirs[i]);

        ck_assert_int_eq(mkdir(path, 0755), 0);
    }
    {
        auto_free char *busybox = textf("%s/1/bin/busybox", layers);
        auto_free char *passwd = textf("%s/1/etc/passwd", layers);

        copy_file("/bin/busybox", busybox);
        write_file(passwd, "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/tmp:/bin/sh\n");
    }
    for (unsigned i = 0; i < ARRAY_LEN(applets); i++) {
        auto_free char *path = textf("%s/1/bin/%s", layers, applets[i]);

        ck_assert_int_eq(symlink("busybox", path), 0);
    }
}

static void engine_open(struct world *w)
{
    struct uv_engine_config config = {.state_path = w->state,
                                      .run_path = w->run,
                                      .cgroup_parent = w->parent,
                                      .shim_program = WHERRY_SHIM,
                                      .layers_path = w->layers};
    struct err e = {0};

    ck_assert_msg(uv_engine_create(&w->loop, &config, &w->engine, &e) == 0, "%s", e.text);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void engine_close(struct world *w)
{
    bool closed = false;

    uv_engine_close(w->engine, on_closed, &closed);
    while (!closed) {
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    }
    w->engine = NULL;
}

static void world_open(struct world *w)
{
    static unsigned n;
    auto_free char *images = NULL, *logs = NULL;

    *w = (struct world){.late = false};
    (void)snprintf(w->base, sizeof(w->base), "/var/tmp/wherry-test-engine-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(w->base));
    w->state = textf("%s/state", w->base);
    w->run = textf("%s/run", w->base);
    w->layers = textf("%s/state/images/layers", w->base);
    w->log = textf("%s/state/logs/log", w->base);
    w->parent = textf("wherry-test-engine-%d/%u", (int)getpid(), n++);
    images = textf("%s/state/images", w->base);
    logs = textf("%s/state/logs", w->base);
    ck_assert_int_eq(mkdir(w->state, 0700), 0);
    ck_assert_int_eq(mkdir(w->run, 0700), 0);
    ck_assert_int_eq(mkdir(logs, 0700), 0);
    ck_assert_int_eq(mkdir(images, 0700), 0);
    ck_assert_int_eq(mkdir(w->layers, 0700), 0);
    make_layer(w->layers);
    w->image.n_layers = 1;
    w->image.layers = xcalloc(1, sizeof(*w->image.layers));
    (void)snprintf(w->image.layers[0].link, sizeof(w->image.layers[0].link), "1");
    w->image.user = xstrdup("");
    w->image.workdir = xstrdup("");
    ck_assert_int_eq(uv_loop_init(&w->loop), 0);
    (void)uv_timer_init(&w->loop, &w->guard);
    engine_open(w);
}

static void check_groups_gone(const struct world *w)
{
    struct cgroups g = {0};
    struct stat st;

    ck_assert_int_eq(cgroups_detect(&g, NULL), 0);
    for (unsigned i = 0; i < g.n_trees; i++) {
        auto_free char *path = textf("%s/%s", g.trees[i].mount, w->parent);

        ck_assert_msg(stat(path, &st) < 0, "%s is left", path);
    }
    cgroups_finish(&g);
}

static void check_empty(const char *base, const char *name)
{
    auto_free char *path = textf("%s/%s", base, name);

    ck_assert_msg(rmdir(path) == 0, "%s: %s", path, strerror(errno));
}

static void remove_base(const char *base)
{
    int fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert(treerm_empty(fd, base, NULL) > 0);
    (void)close(fd);
    ck_assert_int_eq(rmdir(base), 0);
}

static void world_close(struct world *w)
{
    engine_close(w);
    uv_close((uv_handle_t *)&w->guard, NULL);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&w->loop), 0);
    check_empty(w->run, "runs");
    check_empty(w->state, "upper");
    check_groups_gone(w);
    ck_assert_uint_eq(mounts(w), 0);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG | __WALL), -1); /* no zombie either */
    remove_base(w->base);
    order_unref(w->order);
    image_finish(&w->image);
    free(w->state);
    free(w->run);
    free(w->layers);
    free(w->log);
    free(w->parent);
}

/* ---- waiting ---- */

static void on_guard(uv_timer_t *timer)
{
    container_of(timer, struct world, guard)->late = true;
}

/* Turns the loop until the counter is not zero. */
static void wait_for(struct world *w, const unsigned *counter, const char *what)
{
    w->late = false;
    (void)uv_timer_start(&w->guard, on_guard, WAIT_MS, 0);
    while (*counter == 0 && !w->late) {
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    }
    (void)uv_timer_stop(&w->guard);
    ck_assert_msg(*counter > 0, "waited in vain: %s", what);
}

/* ---- runs ---- */

static void on_started(void *arg, uint32_t pid, uint64_t started_ms, uint64_t started_unix_ms)
{
    struct seen *s = arg;

    ck_assert_uint_gt(started_ms, 0);
    ck_assert_uint_gt(started_unix_ms, 1600000000000);
    s->started++;
    s->pid = pid;
}

static void on_failed(void *arg, const struct err *e)
{
    struct seen *s = arg;

    s->failed++;
    s->started++; /* whoever waits for the start hears of it */
    (void)snprintf(s->text, sizeof(s->text), "%s", e->text);
}

static void on_exited(void *arg, const struct node_exit *exit, uint64_t ended_unix_ms)
{
    struct seen *s = arg;

    ck_assert_uint_gt(ended_unix_ms, 1600000000000);
    s->exited++;
    s->exit = *exit;
}

static void on_silent(void *arg, const char *reason)
{
    struct seen *s = arg;

    s->silent++;
    (void)snprintf(s->text, sizeof(s->text), "%s", reason);
}

static struct uv_engine_events events_of(struct seen *seen)
{
    return (struct uv_engine_events){.started = on_started,
                                     .failed = on_failed,
                                     .exited = on_exited,
                                     .silent = on_silent,
                                     .arg = seen};
}

static const struct node_of first = {.incarnation = 0xabcdef0000000001, .run = 1};

/* What it is ordered as. */
static struct uv_engine_order order_of(struct world *w, struct runspec *spec, const char *script)
{
    char *argv[] = {(char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-c",
                    (char *)(uintptr_t)script, NULL};
    auto_buf struct buf document = {0};

    spec->argv = argv;
    spec->argc = 3;
    spec->image = "test";
    codec_run_encode(spec, &document);
    ck_assert_int_eq(order_decode(document.data, document.len, &w->order, NULL), 0);
    return (struct uv_engine_order){.of = first,
                                    .order = w->order,
                                    .image = &w->image,
                                    .ids = IDS,
                                    .hostname = "web-1",
                                    .log_path = w->log};
}

static void start(struct world *w, struct runspec *spec, const char *script, struct seen *seen)
{
    struct uv_engine_order order = order_of(w, spec, script);
    struct uv_engine_events events = events_of(seen);
    struct err e = {0};
    int netns = -1;

    ck_assert_msg(uv_engine_prepare(w->engine, &order, &events, &seen->run, &netns, &e) == 0, "%s",
                  e.text);
    ck_assert_int_ge(netns, 0);
    ck_assert_msg(uv_engine_start(seen->run, &order, &e) == 0, "%s", e.text);
    wait_for(w, &seen->started, "start");
}

static void start_plain(struct world *w, const char *script, struct seen *seen)
{
    struct runspec *spec = xcalloc(1, sizeof(*spec));

    runspec_init(spec);
    start(w, spec, script, seen);
    runspec_finish(spec);
    free(spec);
    ck_assert_msg(seen->failed == 0, "%s", seen->text);
}

static void on_cleaned(void *arg, int status, const struct err *e)
{
    struct answer *a = arg;

    a->n++;
    a->status = status;
    (void)snprintf(a->text, sizeof(a->text), "%s", e != NULL ? e->text : "");
}

static void clean(struct world *w, struct node_of of)
{
    struct answer a = {0};

    uv_engine_clean(w->engine, of, on_cleaned, &a);
    wait_for(w, &a.n, "removal");
    ck_assert_msg(a.status == 0, "%s", a.text);
}

/* Ended; init may not have got round to reaping it. */
static bool is_gone(uint32_t pid)
{
    auto_free char *path = textf("/proc/%u/stat", (unsigned)pid);
    auto_fclose FILE *f = fopen(path, "re");
    char state = 'Z';

    return f == NULL || (fscanf(f, "%*d (%*[^)]) %c", &state) == 1 && state == 'Z');
}

static void forget_and_clean(struct world *w, struct seen *seen)
{
    uv_engine_forget(seen->run);
    clean(w, first);
    ck_assert(seen->pid == 0 || is_gone(seen->pid));
}

static char *read_log(const struct world *w)
{
    auto_fclose FILE *f = fopen(w->log, "re");
    char *text = xcalloc(1, 8192);

    ck_assert_ptr_nonnull(f);
    (void)!fread(text, 1, 8191, f);
    return text;
}

/* ---- how they end ---- */

START_TEST(it_says_something_and_ends)
{
    struct world w;
    struct seen seen = {0};
    auto_free char *log = NULL;

    world_open(&w);
    start_plain(&w, "echo hello; echo wrong >&2; exit 7", &seen);
    ck_assert_uint_gt(seen.pid, 1);
    wait_for(&w, &seen.exited, "exit");
    ck_assert(seen.exit.known && !seen.exit.oom);
    ck_assert_int_eq(seen.exit.code, 7);
    ck_assert_int_eq(seen.exit.signal, 0);
    log = read_log(&w);
    ck_assert_msg(strstr(log, "stdout F hello\n") != NULL, "%s", log);
    ck_assert_msg(strstr(log, "stderr F wrong\n") != NULL, "%s", log);
    forget_and_clean(&w, &seen);
    world_close(&w);
}
END_TEST

START_TEST(signals)
{
    struct world w;
    struct seen seen = {0};

    world_open(&w);
    start_plain(&w, "trap 'exit 3' TERM; while :; do sleep 0.02; done", &seen);
    for (unsigned i = 0; i < 50 && seen.exited == 0; i++) { /* its trap takes a moment */
        int rc = uv_engine_signal(seen.run, SIGTERM, NULL);

        ck_assert(rc == 0 || rc == -ESRCH); /* it has ended, and we have not heard yet */
        (void)poll(NULL, 0, 10);
        (void)uv_run(&w.loop, UV_RUN_NOWAIT);
    }
    wait_for(&w, &seen.exited, "exit");
    ck_assert_int_eq(seen.exit.code, 3);
    ck_assert_int_lt(uv_engine_signal(seen.run, SIGTERM, NULL), 0);
    forget_and_clean(&w, &seen);
    world_close(&w);
}
END_TEST

START_TEST(a_kill)
{
    struct world w;
    struct seen seen = {0};

    world_open(&w);
    start_plain(&w, "sleep 1000 & sleep 1000", &seen);
    uv_engine_kill(seen.run);
    wait_for(&w, &seen.exited, "exit");
    ck_assert(seen.exit.known);
    ck_assert_int_eq(seen.exit.signal, SIGKILL);
    ck_assert(!seen.exit.oom);
    forget_and_clean(&w, &seen);
    world_close(&w);
}
END_TEST

START_TEST(out_of_memory)
{
    struct world w;
    struct seen seen = {0};
    struct runspec *spec = xcalloc(1, sizeof(*spec));

    world_open(&w);
    runspec_init(spec);
    spec->memory_bytes = 16u << 20;
    start(&w, spec, "exec dd if=/dev/zero of=/dev/null bs=128M count=1", &seen);
    wait_for(&w, &seen.exited, "exit");
    ck_assert(seen.exit.known);
    ck_assert(seen.exit.oom);
    forget_and_clean(&w, &seen);
    world_close(&w);
    runspec_finish(spec);
    free(spec);
}
END_TEST

START_TEST(a_command_that_is_not_there)
{
    struct world w;
    struct seen seen = {0};
    struct runspec *spec = xcalloc(1, sizeof(*spec));

    world_open(&w);
    runspec_init(spec);
    spec->entrypoint = "/bin/nothing";
    start(&w, spec, "true", &seen);
    ck_assert_uint_eq(seen.failed, 1);
    ck_assert_msg(strstr(seen.text, "/bin/nothing") != NULL, "%s", seen.text);
    forget_and_clean(&w, &seen);
    ck_assert_uint_eq(seen.exited, 0);
    world_close(&w);
    runspec_finish(spec);
    free(spec);
}
END_TEST

/* ---- its shim ---- */

static uint32_t shim_pid(const struct world *w)
{
    char name[RECORD_NAME_MAX];
    auto_free char *path = NULL;
    auto_free struct record *record = xcalloc(1, sizeof(*record));
    auto_close int dir = -1;

    record_name(first.incarnation, first.run, name);
    path = textf("%s/runs/%s", w->run, name);
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(record_read(dir, record, NULL), 0);
    ck_assert_uint_gt(record->shim_pid, 1);
    return record->shim_pid;
}

START_TEST(the_shim_is_killed)
{
    struct world w;
    struct seen seen = {0};

    world_open(&w);
    start_plain(&w, "sleep 1000", &seen);
    ck_assert_int_eq(kill((pid_t)shim_pid(&w), SIGKILL), 0);
    wait_for(&w, &seen.exited, "exit");
    ck_assert(!seen.exit.known);
    forget_and_clean(&w, &seen);
    world_close(&w);
}
END_TEST

START_TEST(the_shim_is_stopped)
{
    struct world w;
    struct seen seen = {0};
    uint32_t shim;

    world_open(&w);
    start_plain(&w, "sleep 1000", &seen);
    shim = shim_pid(&w);
    ck_assert_int_eq(kill((pid_t)shim, SIGSTOP), 0);
    uv_engine_kill(seen.run);
    wait_for(&w, &seen.silent, "silence");
    ck_assert_uint_eq(seen.exited, 0);
    ck_assert_int_eq(kill((pid_t)shim, SIGCONT), 0);
    wait_for(&w, &seen.exited, "exit");
    ck_assert(seen.exit.known);
    ck_assert_int_eq(seen.exit.signal, SIGKILL);
    forget_and_clean(&w, &seen);
    world_close(&w);
}
END_TEST

START_TEST(the_shim_hangs)
{
    struct world w;
    struct seen seen = {0};

    world_open(&w);
    start_plain(&w, "sleep 1000", &seen);
    ck_assert_int_eq(kill((pid_t)shim_pid(&w), SIGSTOP), 0);
    uv_engine_kill(seen.run);
    wait_for(&w, &seen.silent, "silence");
    wait_for(&w, &seen.exited, "exit");
    ck_assert(!seen.exit.known);
    forget_and_clean(&w, &seen);
    world_close(&w);
}
END_TEST

/* ---- commands inside ---- */

static void on_exec(void *arg, int status, const char *text)
{
    struct answer *a = arg;

    a->n++;
    a->status = status;
    (void)snprintf(a->text, sizeof(a->text), "%s", text);
}

static void exec_in(struct world *w, struct uv_engine_run *run, const char *script,
                    uint64_t timeout_ms, struct answer *a)
{
    char *argv[] = {(char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-c",
                    (char *)(uintptr_t)script, NULL};

    *a = (struct answer){0};
    uv_engine_exec(run, argv, 3, timeout_ms, on_exec, a);
    ck_assert_uint_eq(a->n, 0);
    wait_for(w, &a->n, script);
}

START_TEST(commands)
{
    struct world w;
    struct seen seen = {0};
    struct answer a;
    char *argv[] = {(char *)(uintptr_t) "/bin/sleep", (char *)(uintptr_t) "100", NULL};

    world_open(&w);
    start_plain(&w, "sleep 1000", &seen);
    exec_in(&w, seen.run, "true", 3000, &a);
    ck_assert_msg(a.status == 0, "%s", a.text);
    exec_in(&w, seen.run, "echo not ready; exit 4", 3000, &a);
    ck_assert_int_lt(a.status, 0);
    ck_assert_str_eq(a.text, "exit code 4: not ready");
    exec_in(&w, seen.run, "echo $HOSTNAME; grep -c Seccomp:.2 /proc/self/status", 3000, &a);
    ck_assert_msg(a.status == 0, "%s", a.text);
    exec_in(&w, seen.run, "sleep 100", 200, &a);
    ck_assert_int_eq(a.status, -ETIMEDOUT);
    ck_assert_str_eq(a.text, "no end within 200 ms");
    exec_in(&w, seen.run, "exit 0", 3000, &a); /* nothing of the last one is in the way */
    ck_assert_msg(a.status == 0, "%s", a.text);
    a = (struct answer){0};
    uv_engine_exec(seen.run, argv, 2, 5000, on_exec, &a);
    forget_and_clean(&w, &seen);
    wait_for(&w, &a.n, "cancelled command");
    ck_assert_int_eq(a.status, -ECANCELED);
    world_close(&w);
}
END_TEST

START_TEST(a_command_after_the_end)
{
    struct world w;
    struct seen seen = {0};
    struct answer a;

    world_open(&w);
    start_plain(&w, "exit 0", &seen);
    wait_for(&w, &seen.exited, "exit");
    exec_in(&w, seen.run, "true", 1000, &a);
    ck_assert_int_lt(a.status, 0);
    forget_and_clean(&w, &seen);
    world_close(&w);
}
END_TEST

/* ---- another engine finds them ---- */

struct looked {
    unsigned n;
    struct uv_engine_found last;
};

static void on_found(void *arg, const struct uv_engine_found *found)
{
    struct looked *l = arg;

    l->n++;
    l->last = *found;
}

static struct looked look(struct world *w)
{
    struct looked l = {0};
    struct err e = {0};

    ck_assert_msg(uv_engine_look(w->engine, on_found, &l, &e) == 0, "%s", e.text);
    return l;
}

START_TEST(adopted)
{
    struct world w;
    struct seen seen = {0}, again = {0};
    struct uv_engine_events events = events_of(&again);
    struct uv_engine_order order;
    struct looked l;
    struct answer a;
    struct err e = {0};

    world_open(&w);
    ck_assert_uint_eq(look(&w).n, 0);
    start_plain(&w, "sleep 1000", &seen);
    engine_close(&w);
    ck_assert_int_eq(kill((pid_t)seen.pid, 0), 0);

    engine_open(&w);
    l = look(&w);
    ck_assert_uint_eq(l.n, 1);
    ck_assert(l.last.alive && !l.last.broken);
    ck_assert_uint_eq(l.last.pid, seen.pid);
    ck_assert_uint_eq(l.last.ids, IDS);
    ck_assert_uint_eq(l.last.of.incarnation, first.incarnation);
    order = (struct uv_engine_order){.of = l.last.of,
                                     .order = w.order,
                                     .image = &w.image,
                                     .ids = l.last.ids,
                                     .hostname = "web-1"};
    ck_assert_msg(uv_engine_adopt(w.engine, &order, &events, &again.run, &e) == 0, "%s", e.text);
    exec_in(&w, again.run, "true", 3000, &a);
    ck_assert_msg(a.status == 0, "%s", a.text);
    uv_engine_kill(again.run);
    wait_for(&w, &again.exited, "exit");
    ck_assert(again.exit.known);
    ck_assert_int_eq(again.exit.signal, SIGKILL);
    again.pid = seen.pid;
    forget_and_clean(&w, &again);
    ck_assert_uint_eq(look(&w).n, 0);
    world_close(&w);
}
END_TEST

/* The record is right about number and start time, but it is a process of ours. */
START_TEST(not_of_the_group)
{
    struct world w;
    struct seen seen = {0}, again = {0};
    struct uv_engine_events events = events_of(&again);
    struct uv_engine_order order;
    auto_free struct record *record = xcalloc(1, sizeof(*record));
    auto_free char *path = NULL;
    auto_close int dir = -1;
    char name[RECORD_NAME_MAX];
    struct err e = {0};

    world_open(&w);
    start_plain(&w, "sleep 1000", &seen);
    engine_close(&w);
    engine_open(&w);
    record_name(first.incarnation, first.run, name);
    path = textf("%s/runs/%s", w.run, name);
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(record_read(dir, record, &e), 0);
    record->pid = (uint32_t)getpid();
    ck_assert_int_eq(record_start_time(record->pid, &record->pid_start, &e), 0);
    ck_assert_int_eq(record_write(dir, record, &e), 0);
    order = (struct uv_engine_order){
        .of = first, .order = w.order, .image = &w.image, .ids = IDS, .hostname = "web-1"};
    ck_assert_int_eq(uv_engine_adopt(w.engine, &order, &events, &again.run, &e), -ESRCH);
    ck_assert_ptr_nonnull(strstr(e.text, "is not in the control group of the run"));
    clean(&w, first);
    ck_assert_int_eq(waitpid((pid_t)record->shim_pid, NULL, __WALL), record->shim_pid);
    world_close(&w);
}
END_TEST

START_TEST(ended_meanwhile)
{
    struct world w;
    struct seen seen = {0};
    struct looked l;
    int status;

    world_open(&w);
    start_plain(&w, "sleep 0.2; exit 5", &seen);
    l.last.pid = shim_pid(&w);
    engine_close(&w);
    while (waitpid((pid_t)l.last.pid, &status, __WALL) < 0 && errno == EINTR) {
    }
    engine_open(&w);
    l = look(&w);
    ck_assert_uint_eq(l.n, 1);
    ck_assert(!l.last.alive && !l.last.broken);
    ck_assert(l.last.exit.known);
    ck_assert_int_eq(l.last.exit.code, 5);
    clean(&w, first);
    world_close(&w);
}
END_TEST

START_TEST(remains)
{
    struct world w;
    auto_free char *upper = NULL;
    struct looked l;

    world_open(&w);
    upper = textf("%s/upper/0000000000000007.3", w.state);
    ck_assert_int_eq(mkdir(upper, 0700), 0);
    l = look(&w);
    ck_assert_uint_eq(l.n, 1);
    ck_assert(l.last.broken);
    ck_assert_uint_eq(l.last.of.incarnation, 7);
    ck_assert_uint_eq(l.last.of.run, 3);
    clean(&w, l.last.of);
    clean(&w, l.last.of); /* nothing to do is fine */
    ck_assert_uint_eq(look(&w).n, 0);
    world_close(&w);
}
END_TEST

/* ---- the sandbox, as told and as it is ---- */

static char *status_line(uint32_t pid, const char *key)
{
    auto_free char *path = textf("/proc/%u/status", (unsigned)pid);
    auto_fclose FILE *f = fopen(path, "re");
    char line[256];

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':') {
            line[strcspn(line, "\n")] = '\0';
            return xstrdup(line + strlen(key) + 1 + strspn(line + strlen(key) + 1, " \t"));
        }
    }
    return xstrdup("");
}

static void check_status(uint32_t pid, const char *key, const char *value)
{
    auto_free char *is = status_line(pid, key);

    ck_assert_msg(strcmp(is, value) == 0, "%s: %s, not %s", key, is, value);
}

static bool other_namespace(uint32_t pid, const char *name)
{
    auto_free char *theirs = textf("/proc/%u/ns/%s", (unsigned)pid, name);
    auto_free char *ours = textf("/proc/self/ns/%s", name);
    struct stat a, b;

    ck_assert_int_eq(stat(theirs, &a), 0);
    ck_assert_int_eq(stat(ours, &b), 0);
    return a.st_ino != b.st_ino;
}

START_TEST(controls)
{
    static const char *const namespaces[] = {"mnt", "pid",    "net",  "ipc",
                                             "uts", "cgroup", "time", "user"};
    struct world w;
    struct seen seen = {0};
    struct runspec *spec = xcalloc(1, sizeof(*spec));
    auto_buf struct buf text = {0};
    auto_free char *ids = textf("user namespace: applied, ids %u-%u\n", IDS, IDS + 65535);
    auto_free char *uid = textf("%u\t%u\t%u\t%u", IDS, IDS, IDS, IDS);
    int netns;

    world_open(&w);
    runspec_init(spec);
    spec->memory_bytes = 64u << 20;
    start(&w, spec, "sleep 1000", &seen);
    ck_assert_msg(seen.failed == 0, "%s", seen.text);
    uv_engine_controls(seen.run, &text);
    ck_assert_ptr_nonnull(strstr(buf_text(&text), ids));
    ck_assert_ptr_nonnull(strstr(buf_text(&text), "seccomp: applied\n"));
    ck_assert_ptr_nonnull(strstr(buf_text(&text), "memory limit: applied 64 MiB\n"));
    ck_assert_ptr_nonnull(strstr(buf_text(&text), "bandwidth: not asked for\n"));
    check_status(seen.pid, "Uid", uid);
    check_status(seen.pid, "NoNewPrivs", "1");
    check_status(seen.pid, "Seccomp", "2");
    check_status(seen.pid, "CapEff", "00000000000004eb");
    check_status(seen.pid, "CapBnd", "00000000000004eb");
    check_status(seen.pid, "CapInh", "0000000000000000");
    for (unsigned i = 0; i < ARRAY_LEN(namespaces); i++) {
        ck_assert_msg(other_namespace(seen.pid, namespaces[i]), "%s", namespaces[i]);
    }
    netns = uv_engine_netns(seen.run);
    ck_assert_int_ge(netns, 0);
    (void)close(netns);
    forget_and_clean(&w, &seen);
    world_close(&w);
    runspec_finish(spec);
    free(spec);
}
END_TEST

/* ---- many at once ---- */

#define MANY 40u

static void wait_all(struct world *w, const struct seen *seen, bool started)
{
    for (unsigned i = 0; i < MANY; i++) {
        wait_for(w, started ? &seen[i].started : &seen[i].exited, "one of many");
        ck_assert_msg(seen[i].failed == 0, "%s", seen[i].text);
    }
}

START_TEST(many)
{
    struct world w;
    struct seen *seen = xcalloc(MANY, sizeof(*seen));
    struct answer answers[MANY] = {0};
    struct runspec *spec = xcalloc(1, sizeof(*spec));
    struct uv_engine_order order;
    int netns;

    world_open(&w);
    runspec_init(spec);
    order = order_of(&w, spec, "exec sleep 1000");
    for (unsigned i = 0; i < MANY; i++) {
        struct uv_engine_events events = events_of(&seen[i]);

        order.of.run = i + 1;
        order.ids = IDS + i * 65536;
        ck_assert_int_eq(uv_engine_prepare(w.engine, &order, &events, &seen[i].run, &netns, NULL),
                         0);
        ck_assert_int_eq(uv_engine_start(seen[i].run, &order, NULL), 0);
    }
    wait_all(&w, seen, true);
    ck_assert_uint_eq(look(&w).n, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        uv_engine_kill(seen[i].run);
    }
    wait_all(&w, seen, false);
    for (unsigned i = 0; i < MANY; i++) {
        uv_engine_forget(seen[i].run);
        uv_engine_clean(w.engine, (struct node_of){first.incarnation, i + 1}, on_cleaned,
                        &answers[i]);
    }
    for (unsigned i = 0; i < MANY; i++) {
        wait_for(&w, &answers[i].n, "one of many removals");
        ck_assert_msg(answers[i].status == 0, "%s", answers[i].text);
    }
    ck_assert_uint_eq(look(&w).n, 0);
    world_close(&w);
    runspec_finish(spec);
    free(spec);
    free(seen);
}
END_TEST

/* ---- before anything is made ---- */

START_TEST(a_capability_that_is_none)
{
    struct world w;
    struct seen seen = {0};
    struct runspec *spec = xcalloc(1, sizeof(*spec));
    struct uv_engine_events events = events_of(&seen);
    struct uv_engine_order order;
    struct err e = {0};
    int netns;

    world_open(&w);
    runspec_init(spec);
    spec->cap_add.items[spec->cap_add.n++] = "SUPER_COW";
    order = order_of(&w, spec, "true");
    ck_assert_int_eq(uv_engine_prepare(w.engine, &order, &events, &seen.run, &netns, &e), -EINVAL);
    ck_assert_ptr_nonnull(strstr(e.text, "SUPER_COW"));
    world_close(&w);
    runspec_finish(spec);
    free(spec);
}
END_TEST

START_TEST(prepared_and_forgotten)
{
    struct world w;
    struct seen seen = {0};
    struct runspec *spec = xcalloc(1, sizeof(*spec));
    struct uv_engine_events events = events_of(&seen);
    struct uv_engine_order order;
    int netns = -1;

    world_open(&w);
    runspec_init(spec);
    order = order_of(&w, spec, "true");
    ck_assert_int_eq(uv_engine_prepare(w.engine, &order, &events, &seen.run, &netns, NULL), 0);
    ck_assert_int_ge(netns, 0);
    forget_and_clean(&w, &seen);
    world_close(&w);
    runspec_finish(spec);
    free(spec);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("uv_engine");
    TCase *t = tcase_create("uv_engine");
    SRunner *r;
    int failed;

    if (geteuid() != 0 || access("/bin/busybox", X_OK) < 0) {
        printf("skipped: containers need root, and these busybox-static\n");
        return SKIP;
    }
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_capability_that_is_none);
    tcase_add_test(t, prepared_and_forgotten);
    tcase_add_test(t, remains);
    tcase_add_test(t, it_says_something_and_ends);
    tcase_add_test(t, signals);
    tcase_add_test(t, a_kill);
    tcase_add_test(t, out_of_memory);
    tcase_add_test(t, a_command_that_is_not_there);
    tcase_add_test(t, the_shim_is_killed);
    tcase_add_test(t, the_shim_is_stopped);
    tcase_add_test(t, the_shim_hangs);
    tcase_add_test(t, commands);
    tcase_add_test(t, a_command_after_the_end);
    tcase_add_test(t, adopted);
    tcase_add_test(t, not_of_the_group);
    tcase_add_test(t, ended_meanwhile);
    tcase_add_test(t, controls);
    tcase_add_test(t, many);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
