// SPDX-License-Identifier: Apache-2.0
/* One run. Two processes are watched: the shim, which says by its record how the container ended,
 * and the container's first process. Normally both end together. If the shim is killed, the
 * container is ended too, because nobody would read its output or see its exit: how it ended is
 * then not known, and not made up. If the container ends and its shim does not, the shim is killed;
 * the run is silent only if that does not help. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/uv_engine_priv.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

#define START_MS 10000u /* a shim needs some milliseconds; many may start at once */
#define END_MS   5000u  /* from the end of the container to that of its shim */
#define HUNG_MS  3000u  /* more, and a shim that does not end is killed */

static uint64_t unix_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int send_signal(int pidfd, int signal)
{
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

/* ---- its end ---- */

/* What the shim has written down, or that nobody knows. */
static void read_exit(const struct uv_engine_run *run, struct record_exit *ret)
{
    auto_close int dir = uv_engine_run_dir(run->engine, run->of);

    if (dir < 0 || record_exit_read(dir, ret, NULL) < 0) {
        *ret = (struct record_exit){.known = false, .ended_unix_ms = unix_ms()};
    }
}

static void tell_exit(struct uv_engine_run *run)
{
    struct record_exit record;
    struct node_exit exit;

    if (run->state == UV_ENGINE_OVER || run->forgotten) {
        return;
    }
    run->state = UV_ENGINE_OVER;
    (void)uv_timer_stop(&run->timer);
    read_exit(run, &record);
    exit = (struct node_exit){
        .known = record.known, .oom = record.oom, .code = record.code, .signal = record.signal};
    run->events.exited(run->events.arg, &exit, record.ended_unix_ms);
}

static bool has_exit_record(const struct uv_engine_run *run)
{
    auto_close int dir = uv_engine_run_dir(run->engine, run->of);
    struct record_exit record;

    return dir >= 0 && record_exit_read(dir, &record, NULL) == 0;
}

static void shim_is_gone(struct uv_engine_run *run)
{
    run->shim_gone = true;
    if (run->state != UV_ENGINE_UP) {
        return;
    }
    if (run->pidfd < 0 || run->pid_gone || has_exit_record(run)) {
        tell_exit(run);
        return;
    }
    (void)send_signal(run->pidfd, SIGKILL); /* on_pid tells */
}

/* A shim that hangs or is stopped has nothing to keep any more: its end is the run's. */
static void on_very_late(uv_timer_t *timer)
{
    struct uv_engine_run *run = container_of(timer, struct uv_engine_run, timer);

    if (run->state != UV_ENGINE_UP || run->shim_gone) {
        return;
    }
    if (run->shim_used) {
        uv_shim_kill(&run->shim);
    } else if (run->shim_pidfd >= 0) {
        (void)send_signal(run->shim_pidfd, SIGKILL);
    }
}

static void on_late(uv_timer_t *timer)
{
    struct uv_engine_run *run = container_of(timer, struct uv_engine_run, timer);

    if (run->state == UV_ENGINE_UP && !run->shim_gone) {
        (void)uv_timer_start(timer, on_very_late, HUNG_MS, 0);
        run->events.silent(run->events.arg, "the container has ended, but its shim does not");
    }
}

static void on_pid(uv_poll_t *poll, int status, int events)
{
    struct uv_engine_run *run = container_of(poll, struct uv_engine_run, pid_poll);

    (void)status;
    (void)events;
    (void)uv_poll_stop(poll);
    run->pid_gone = true;
    if (run->shim_gone) {
        tell_exit(run);
    } else {
        (void)uv_timer_start(&run->timer, on_late, END_MS, 0);
    }
}

/* ---- beginning to watch ---- */

static int watch(struct uv_engine_run *run, uv_poll_t *poll, int fd, uv_poll_cb cb, struct err *e)
{
    int rc = uv_poll_init(run->engine->loop, poll, fd);

    if (rc < 0) {
        return err_set(e, rc, "watch a process");
    }
    run->open++;
    (void)uv_poll_start(poll, UV_READABLE, cb);
    return 0;
}

/* The container's process, unless it has ended already. */
static int watch_container(struct uv_engine_run *run, const struct record *record, struct err *e)
{
    int fd = record_pidfd(record->pid, record->pid_start, e);

    run->pid = record->pid;
    if (fd == -ESRCH) {
        run->pid_gone = true;
        return 0;
    }
    if (fd < 0) {
        return fd;
    }
    run->pidfd = fd;
    return watch(run, &run->pid_poll, fd, on_pid, e);
}

static int read_record(const struct uv_engine_run *run, struct record *ret, struct err *e)
{
    auto_close int dir = uv_engine_run_dir(run->engine, run->of);

    if (dir < 0) {
        return err_set(e, dir, "open its run directory");
    }
    return record_read(dir, ret, e);
}

/* ---- what its shim says ---- */

static struct uv_engine_run *run_of(struct uv_shim *shim)
{
    return container_of(shim, struct uv_engine_run, shim);
}

static void fail(struct uv_engine_run *run, const struct err *e)
{
    run->state = UV_ENGINE_OVER;
    uv_shim_kill(&run->shim);
    run->events.failed(run->events.arg, e);
}

static void on_answered(struct uv_shim *shim, const struct plan_result *result, const struct err *e)
{
    struct uv_engine_run *run = run_of(shim);
    auto_free struct record *record = xcalloc(1, sizeof(*record));
    struct err err = *e;

    FAILPOINT("agent.start.after_answer");
    if (run->forgotten) {
        return;
    }
    cell_finish(&run->cell);
    if (err.code < 0 || read_record(run, record, &err) < 0 ||
        watch_container(run, record, &err) < 0) {
        fail(run, &err);
        return;
    }
    run->state = UV_ENGINE_UP;
    run->events.started(run->events.arg, record->pid, result->started_ms, result->started_unix_ms);
}

static void unlink_run(struct uv_engine_run **at, const struct uv_engine_run *run)
{
    while (*at != run) {
        at = &(*at)->next;
    }
    *at = run->next;
}

static void on_shim_ended(struct uv_shim *shim)
{
    struct uv_engine_run *run = run_of(shim);

    if (run->forgotten) {
        unlink_run(&run->engine->ending, run);
        uv_shim_close(shim);
    } else {
        shim_is_gone(run);
    }
}

static void on_adopted_shim(uv_poll_t *poll, int status, int events)
{
    struct uv_engine_run *run = container_of(poll, struct uv_engine_run, shim_poll);

    (void)status;
    (void)events;
    (void)uv_poll_stop(poll);
    /* a child of ours only if this process started it under an earlier engine */
    (void)waitid(P_PIDFD, (id_t)run->shim_pidfd, &(siginfo_t){0}, WEXITED | WNOHANG | __WALL);
    shim_is_gone(run);
}

/* ---- closing ---- */

static void drop_handle(struct uv_engine_run *run)
{
    struct uv_engine *en = run->engine;

    if (--run->open > 0) {
        return;
    }
    cell_finish(&run->cell);
    cleanup_close(&run->shim_pidfd);
    cleanup_close(&run->pidfd);
    order_unref(run->order);
    free(run);
    uv_engine_release(en);
}

static void on_shim_closed(struct uv_shim *shim)
{
    drop_handle(run_of(shim));
}

static void on_timer_closed(uv_handle_t *handle)
{
    drop_handle(container_of((uv_timer_t *)handle, struct uv_engine_run, timer));
}

static void on_pid_closed(uv_handle_t *handle)
{
    drop_handle(container_of((uv_poll_t *)handle, struct uv_engine_run, pid_poll));
}

static void on_shim_poll_closed(uv_handle_t *handle)
{
    drop_handle(container_of((uv_poll_t *)handle, struct uv_engine_run, shim_poll));
}

/* A shim that this process has started is its child: it is reaped, whenever it ends. */
static void forget_shim(struct uv_engine_run *run)
{
    struct uv_engine *en = run->engine;

    if (run->shim.ended || run->shim.pid == 0) {
        uv_shim_close(&run->shim);
    } else {
        run->next = en->ending;
        en->ending = run;
    }
}

void uv_engine_runs_close(struct uv_engine *en)
{
    while (en->runs != NULL) {
        uv_engine_forget(en->runs);
    }
    while (en->ending != NULL) {
        struct uv_engine_run *run = en->ending;

        en->ending = run->next;
        uv_shim_close(&run->shim);
    }
}

void uv_engine_forget(struct uv_engine_run *run)
{
    assert(!run->forgotten);
    run->forgotten = true;
    unlink_run(&run->engine->runs, run);
    uv_engine_exec_cancel(run);
    if (run->shim_used) {
        forget_shim(run);
    }
    if (run->pid_poll.type == UV_POLL) {
        uv_close((uv_handle_t *)&run->pid_poll, on_pid_closed);
    }
    if (run->shim_poll.type == UV_POLL) {
        uv_close((uv_handle_t *)&run->shim_poll, on_shim_poll_closed);
    }
    uv_close((uv_handle_t *)&run->timer, on_timer_closed);
}

/* ---- beginning ---- */

static struct uv_engine_run *create(struct uv_engine *en, struct node_of of,
                                    const struct uv_engine_events *events)
{
    struct uv_engine_run *run = xcalloc(1, sizeof(*run));

    run->engine = en;
    run->of = of;
    run->events = *events;
    run->cell = CELL_NONE;
    run->pidfd = run->shim_pidfd = -1;
    (void)uv_timer_init(en->loop, &run->timer);
    run->open = 1;
    run->next = en->runs;
    en->runs = run;
    en->live++;
    return run;
}

static void keep_order(struct uv_engine_run *run, const struct uv_engine_order *order)
{
    run->order = order->order != NULL ? order_ref((struct order *)(uintptr_t)order->order) : NULL;
    run->image = order->image;
    run->ids = order->ids;
    run->address = order->address;
    (void)snprintf(run->hostname, sizeof(run->hostname), "%s",
                   order->hostname != NULL ? order->hostname : "");
}

int uv_engine_prepare(struct uv_engine *en, const struct uv_engine_order *order,
                      const struct uv_engine_events *events, struct uv_engine_run **ret,
                      int *ret_netns, struct err *e)
{
    struct cell cell;
    struct uv_engine_run *run;
    uint64_t caps;
    int rc = plan_sandbox_caps(order->order, &caps, e); /* refused before anything is made */

    rc = rc < 0 ? rc : cell_create(order->ids, &cell, e);
    if (rc < 0) {
        return rc;
    }
    run = create(en, order->of, events);
    keep_order(run, order);
    run->cell = cell;
    if (order_network(order->order) == ORDER_NETWORK_HOST) {
        cleanup_close(&run->cell.net_fd);
        run->cell.net_fd = -1;
    }
    *ret_netns = run->cell.net_fd;
    *ret = run;
    return 0;
}

int uv_engine_start(struct uv_engine_run *run, const struct uv_engine_order *order, struct err *e)
{
    static const struct uv_shim_events events = {
        .answered = on_answered, .ended = on_shim_ended, .closed = on_shim_closed};
    struct uv_engine *en = run->engine;
    struct plan_sandbox_run what = {.of = run->of,
                                    .order = order->order,
                                    .image = order->image,
                                    .sources = order->sources,
                                    .hostname = order->hostname,
                                    .log_path = order->log_path,
                                    .ids = order->ids,
                                    .address = order->address,
                                    .ipv6 = order->ipv6};
    struct shimspawn spawn = uv_engine_spawn(en, "run");
    auto_buf struct buf plan = {0};
    int rc;

    assert(run->state == UV_ENGINE_PREPARED);
    run->address = order->address;
    rc = plan_sandbox_start(&en->sandbox, &what, &plan, e);
    if (rc < 0) {
        return rc;
    }
    shimspawn_give(&spawn, run->cell.user_fd, PLAN_SANDBOX_USERNS);
    shimspawn_give(&spawn, run->cell.net_fd, PLAN_SANDBOX_NETNS);
    shimspawn_give(&spawn, en->home.mntns_fd, PLAN_SANDBOX_MNTNS);
    run->state = UV_ENGINE_STARTING;
    run->shim_used = true;
    run->open++;
    FAILPOINT("agent.start.before_shim");
    uv_shim_start(&run->shim, en->loop, &spawn, &plan, false, START_MS, &events);
    FAILPOINT("agent.start.after_shim");
    return 0;
}

static int take_up(struct uv_engine_run *run, struct err *e)
{
    auto_free struct record *record = xcalloc(1, sizeof(*record));
    int rc = read_record(run, record, e);

    if (rc < 0) {
        return rc;
    }
    rc = record_pidfd(record->shim_pid, record->shim_start, e);
    if (rc < 0 && rc != -ESRCH) {
        return rc;
    }
    run->shim_pidfd = rc < 0 ? -1 : rc;
    rc = watch_container(run, record, e);
    rc = rc < 0 ? rc : uv_engine_check_group(run, e);
    if (rc == 0 && run->shim_pidfd >= 0) {
        rc = watch(run, &run->shim_poll, run->shim_pidfd, on_adopted_shim, e);
    }
    return rc;
}

static void on_gone_meanwhile(uv_timer_t *timer)
{
    shim_is_gone(container_of(timer, struct uv_engine_run, timer));
}

int uv_engine_adopt(struct uv_engine *en, const struct uv_engine_order *order,
                    const struct uv_engine_events *events, struct uv_engine_run **ret,
                    struct err *e)
{
    struct uv_engine_run *run = create(en, order->of, events);
    int rc = take_up(run, e);

    if (rc < 0) {
        uv_engine_forget(run);
        return rc;
    }
    keep_order(run, order);
    run->state = UV_ENGINE_UP;
    if (run->shim_pidfd < 0) { /* it has ended since it was found */
        (void)uv_timer_start(&run->timer, on_gone_meanwhile, 0, 0);
    }
    *ret = run;
    return 0;
}

/* ---- while it is up ---- */

int uv_engine_signal(struct uv_engine_run *run, int signal, struct err *e)
{
    int rc = run->pidfd < 0 ? -ESRCH : send_signal(run->pidfd, signal);

    return rc < 0 ? err_set(e, rc, "send signal %d", signal) : 0;
}

void uv_engine_kill(struct uv_engine_run *run)
{
    if (run->pidfd >= 0) {
        (void)send_signal(run->pidfd, SIGKILL);
    } else if (run->state == UV_ENGINE_STARTING) {
        uv_shim_kill(&run->shim);
    }
}

int uv_engine_netns(const struct uv_engine_run *run)
{
    char path[64];
    auto_close int fd = -1;
    int rc;

    if (run->cell.net_fd >= 0) {
        fd = fcntl(run->cell.net_fd, F_DUPFD_CLOEXEC, 3);
        return fd < 0 ? -errno : take_fd(&fd);
    }
    if (run->pidfd < 0) {
        return -ESRCH;
    }
    (void)snprintf(path, sizeof(path), "/proc/%u/ns/net", (unsigned)run->pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    rc = send_signal(run->pidfd, 0); /* still it: the number was not another's meanwhile */
    return rc < 0 ? rc : take_fd(&fd);
}

void uv_engine_controls(const struct uv_engine_run *run, struct buf *ret)
{
    if (run->order != NULL) {
        plan_sandbox_controls(&run->engine->sandbox, run->order, run->ids, ret);
    }
}
