// SPDX-License-Identifier: Apache-2.0
/* The agent's life: what is opened, in which order, and closed in one place; and the turn of the
 * loop. Time reaches the core only from the check handle, that is after a poll: libuv 1.44 runs
 * timers before it polls, and after a long pause what has happened must count before what is due.
 * The timer only wakes the poll. */
#include "agent/uv_agent.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "agent/uv_agent_priv.h"
#include "common/cleanup.h"
#include "common/log.h"

#define LOOP_HANDLES 5
#define LAG_SAID_US  50000 /* a turn this long is worth a line */

/* ---- parts and their end ---- */

void uv_agent_hold(struct uv_agent *a)
{
    a->live++;
}

static void free_all(struct uv_agent *a)
{
    void (*closed)(void *) = a->closed;
    void *arg = a->closed_arg;

    uv_agent_queue_drop(a);
    uv_agent_local_drop(a);
    node_destroy(a->node);
    images_close(a->images);
    if (a->volumes_open) {
        volumes_close(&a->volumes);
    }
    idrange_finish(&a->ids);
    ledger_finish(&a->ledger);
    if (a->dirs.state_path != NULL) {
        statedir_close(&a->dirs);
    }
    free(a->worker_program);
    free(a->shim_program);
    free(a->images_dir);
    free(a);
    closed(arg);
}

void uv_agent_release(struct uv_agent *a)
{
    assert(a->live > 0);
    if (--a->live == 0 && a->closing) {
        free_all(a);
    }
}

static void on_part_closed(void *arg)
{
    uv_agent_release(arg);
}

static void on_timer_closed(uv_handle_t *handle)
{
    uv_agent_release(container_of((uv_timer_t *)handle, struct uv_agent, timer));
}

static void on_check_closed(uv_handle_t *handle)
{
    uv_agent_release(container_of((uv_check_t *)handle, struct uv_agent, check));
}

static void on_prepare_closed(uv_handle_t *handle)
{
    uv_agent_release(container_of((uv_prepare_t *)handle, struct uv_agent, prepare));
}

static void on_idle_closed(uv_handle_t *handle)
{
    uv_agent_release(container_of((uv_idle_t *)handle, struct uv_agent, idle));
}

static void on_images_closed(uv_handle_t *handle)
{
    uv_agent_release(container_of((uv_fs_event_t *)handle, struct uv_agent, images_event));
}

int uv_agent_record(struct uv_agent *a, const struct journal_record *record, struct err *e)
{
    int rc = ledger_apply(&a->ledger, record, e);

    if (rc == 0) {
        uv_journal_put(a->journal, record);
    }
    return rc;
}

/* ---- the turn of the loop ---- */

static void on_timer(uv_timer_t *timer)
{
    (void)timer; /* it has woken the poll; on_check does the rest */
}

/* How long this turn kept the loop busy: all but the time spent waiting in its poll. */
static void measure(struct uv_agent *a)
{
    uint64_t now = uv_hrtime();
    uint64_t waited = uv_metrics_idle_time(a->loop);
    uint64_t busy_us = (now - a->turn_since_ns - (waited - a->turn_waited_ns)) / 1000;

    if (a->turn_since_ns > 0 && busy_us < UINT64_MAX / 2) {
        a->lag_us_max = busy_us > a->lag_us_max ? busy_us : a->lag_us_max;
        if (busy_us > LAG_SAID_US) {
            log_debug("one turn of the loop took %llu ms", (unsigned long long)busy_us / 1000);
        }
    }
    a->turn_since_ns = now;
    a->turn_waited_ns = waited;
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct uv_agent *a = container_of(prepare, struct uv_agent, prepare);
    uint64_t due = node_deadline(a->node);
    uint64_t now = uv_agent_now_ms();

    measure(a);
    if (due == UINT64_MAX) {
        (void)uv_timer_stop(&a->timer);
        return;
    }
    uv_update_time(a->loop);
    (void)uv_timer_start(&a->timer, on_timer, due > now ? due - now : 0, 0);
}

static void on_check(uv_check_t *check)
{
    struct uv_agent *a = container_of(check, struct uv_agent, check);

    uv_agent_queue_drain(a);
}

static void on_images_event(uv_fs_event_t *handle, const char *name, int events, int status)
{
    struct uv_agent *a = container_of(handle, struct uv_agent, images_event);
    struct node_event event = {.type = NODE_IMAGES};
    struct err e = {0};

    (void)name;
    (void)events;
    if (status < 0 || !images_changed(a->images)) {
        return;
    }
    if (images_reload(a->images, &e) < 0) {
        log_warn("%s", e.text);
        return;
    }
    log_info("images have changed: %u now", images_count(a->images));
    uv_agent_queue(a, &event);
    if (a->link != NULL) {
        uv_agent_link_facts(a);
    }
}

static int open_loop(struct uv_agent *a, struct err *e)
{
    int rc;

    (void)uv_loop_configure(a->loop, UV_METRICS_IDLE_TIME);
    (void)uv_timer_init(a->loop, &a->timer);
    (void)uv_check_init(a->loop, &a->check);
    (void)uv_prepare_init(a->loop, &a->prepare);
    (void)uv_idle_init(a->loop, &a->idle);
    (void)uv_fs_event_init(a->loop, &a->images_event);
    a->loop_open = true;
    a->live += LOOP_HANDLES;
    rc = uv_fs_event_start(&a->images_event, on_images_event, a->images_dir, 0);
    if (rc < 0) {
        return err_set(e, rc, "watch %s", a->images_dir);
    }
    (void)uv_check_start(&a->check, on_check);
    (void)uv_prepare_start(&a->prepare, on_prepare);
    return 0;
}

/* ---- opening ---- */

static int replay_record(void *arg, const void *bytes, size_t len, struct err *e)
{
    struct uv_agent *a = arg;
    struct journal_record record = {0};
    int rc = codec_journal_decode(bytes, len, &record, e);

    if (rc == 0) {
        rc = ledger_apply(&a->ledger, &record, e);
        codec_journal_free(&record);
    }
    return rc;
}

/* Who this node is: made up once, at the very first start. */
static int make_identity(struct uv_agent *a, struct err *e)
{
    struct journal_record record = {.kind = JOURNAL_IDENTITY};
    char hex[ID128_HEX + 1];
    uint8_t bytes[16];

    if (a->ledger.node_id[0] != '\0') {
        return 0;
    }
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        return err_set(e, errno, "get random bytes for this node's id");
    }
    id128_to_hex(id128_from_bytes(bytes), hex);
    record.u.identity.node_id = hex;
    record.u.identity.cluster_id = "";
    if (uv_agent_record(a, &record, e) < 0) {
        return e->code;
    }
    uv_journal_commit(a->journal, NULL, NULL);
    return 0;
}

static int open_journal(struct uv_agent *a, struct err *e)
{
    struct journal *journal = NULL;
    size_t torn = 0;

    if (journal_open(a->dirs.state_fd, a->dirs.state_path, replay_record, a, &journal, &torn, e) <
        0) {
        return e->code;
    }
    if (torn > 0) {
        log_info("the journal's last %zu bytes were cut off by a crash: dropped", torn);
    }
    ledger_prune(&a->ledger);
    a->journal = uv_journal_create(a->loop, journal, &a->ledger);
    return make_identity(a, e) < 0 ? e->code : uv_agent_local_network(a, e);
}

static int open_files(struct uv_agent *a, struct err *e)
{
    const struct uv_agent_options *o = &a->options;

    if (statedir_open(o->state_path, o->run_path, &a->dirs, e) < 0) {
        return e->code;
    }
    if (open_journal(a, e) < 0 || nodefacts_read(&a->facts, e) < 0 ||
        images_open(a->dirs.state_path, &a->images, e) < 0) {
        return e->code;
    }
    a->images_dir = xasprintf("%s/images", a->dirs.state_path);
    if (volumes_open(a->dirs.state_path, &a->volumes, e) < 0) {
        return e->code;
    }
    a->volumes_open = true;
    return idrange_init(&a->ids, o->id_base, o->id_count, "/etc", e);
}

static int open_parts(struct uv_agent *a, struct err *e)
{
    struct uv_engine_config config = {.state_path = a->dirs.state_path,
                                      .run_path = a->dirs.run_path,
                                      .cgroup_parent = a->options.cgroup_parent,
                                      .shim_program = a->shim_program,
                                      .layers_path = images_layers_path(a->images)};

    a->worker = uv_worker_create(a->loop, a->worker_program);
    if (uv_engine_create(a->loop, &config, &a->engine, e) < 0) {
        return e->code;
    }
    if (uv_engine_degraded(a->engine)[0] != '\0') {
        log_info("isolation is less than full here: %s", uv_engine_degraded(a->engine));
    }
    return uv_agent_net_create(a, e);
}

static int open_all(struct uv_agent *a, struct err *e)
{
    a->node = node_create();
    a->queue_end = &a->queue;
    a->sweeper_program = "/proc/self/exe";
    a->worker_program = xasprintf("%s/wherry-worker", a->options.bin_path);
    a->shim_program = xasprintf("%s/wherry-shim", a->options.bin_path);
    if (open_files(a, e) < 0 || open_loop(a, e) < 0 || open_parts(a, e) < 0 ||
        uv_agent_adopt_all(a, e) < 0) {
        return e->code;
    }
    uv_agent_trash_sweep(a);
    return a->options.controller != NULL ? uv_agent_link_create(a, e) : 0;
}

/* ---- for the owner ---- */

static void on_nothing(void *arg)
{
    (void)arg;
}

int uv_agent_create(uv_loop_t *loop, const struct uv_agent_options *options, struct uv_agent **ret,
                    struct err *e)
{
    struct uv_agent *a = xcalloc(1, sizeof(*a));
    struct err own = {0};
    int rc;

    a->loop = loop;
    a->options = *options;
    a->dirs = (struct statedir){.state_fd = -1, .run_fd = -1, .lock_fd = -1};
    rc = open_all(a, &own);
    if (rc < 0) {
        uv_agent_close(a, on_nothing, NULL);
        if (e != NULL) {
            *e = own;
        }
        return rc;
    }
    *ret = a;
    return 0;
}

static void close_parts(struct uv_agent *a)
{
    if (a->link != NULL) {
        uv_agent_hold(a);
        uv_agent_link_close(a);
    }
    uv_agent_probe_cancel(a);
    uv_agent_trash_cancel(a);
    while (a->units != NULL) {
        uv_agent_unit_drop(a, a->units->incarnation);
    }
    if (a->net != NULL) {
        uv_agent_hold(a);
        uv_agent_net_close(a);
    }
    if (a->engine != NULL) {
        uv_agent_hold(a);
        uv_engine_close(a->engine, on_part_closed, a);
    }
    if (a->worker != NULL) {
        uv_agent_hold(a);
        uv_worker_close(a->worker, on_part_closed, a);
    }
    if (a->journal != NULL) {
        uv_agent_hold(a);
        uv_journal_close(a->journal, on_part_closed, a);
    }
}

void uv_agent_close(struct uv_agent *a, void (*closed)(void *arg), void *arg)
{
    if (a->closing) {
        return;
    }
    a->closing = true;
    a->closed = closed;
    a->closed_arg = arg;
    uv_agent_hold(a); /* so that nothing ends before all of it has been told to */
    close_parts(a);
    if (a->loop_open) {
        uv_close((uv_handle_t *)&a->timer, on_timer_closed);
        uv_close((uv_handle_t *)&a->check, on_check_closed);
        uv_close((uv_handle_t *)&a->prepare, on_prepare_closed);
        uv_close((uv_handle_t *)&a->idle, on_idle_closed);
        uv_close((uv_handle_t *)&a->images_event, on_images_closed);
    }
    uv_agent_release(a);
}

uint64_t uv_agent_lag_us(const struct uv_agent *a)
{
    return a->lag_us_max;
}
