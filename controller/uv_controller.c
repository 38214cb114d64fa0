// SPDX-License-Identifier: Apache-2.0
#include "controller/uv_controller.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/failpoint.h"
#include "common/log.h"
#include "controller/store/statelock.h"
#include "controller/uv_controller_priv.h"

#define TURN_MS   1000u /* the loop turns at least so often: a gap can be told */
#define STALL_MS  500u  /* so much later it has stood still */
#define NS_PER_MS 1000000u

uint64_t uv_controller_now(void)
{
    return uv_hrtime() / NS_PER_MS;
}

uint64_t uv_controller_unix(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / NS_PER_MS;
}

void uv_controller_kick(struct uv_controller *c)
{
    (void)uv_async_send(&c->wake);
}

/* ---- events ---- */

static bool is_stored(enum fleet_action_type type)
{
    return type <= FLEET_DEL_VOLUME;
}

/* What is done later; a volume's end has two parts. */
static void hold(struct uv_controller *c, struct fleet_actions *from)
{
    static_assert(FLEET_PUT_STACK == 0 && FLEET_DEL_VOLUME < FLEET_WELCOME,
                  "what is stored comes first");
    for (unsigned i = 0; i < from->n; i++) {
        struct fleet_action *a = &from->list[i];

        if (is_stored(a->type) && a->type != FLEET_DEL_VOLUME) {
            continue;
        }
        if (c->held.n == c->held.cap) {
            c->held.cap = c->held.cap == 0 ? 64 : 2 * c->held.cap;
            c->held.list = xrealloc(c->held.list, c->held.cap, sizeof(*c->held.list));
        }
        c->held.list[c->held.n++] = *a;
        a->text = NULL;
        a->lines = NULL;
    }
}

static void step(struct uv_controller *c, struct fleet_event *event, uint64_t now)
{
    struct fleet_actions actions = {0};

    event->now_ms = now;
    event->unix_ms = uv_controller_unix();
    fleet_step(c->fleet, event, &actions);
    uv_controller_txn(c, &actions);
    hold(c, &actions);
    fleet_actions_finish(&actions);
}

/* A controller that stood still must not take the world for dead. */
static void notice_stall(struct uv_controller *c, uint64_t now)
{
    struct fleet_event event = {.type = FLEET_STALL};

    if (now <= c->due_ms + STALL_MS) {
        return;
    }
    event.u.stall.gap_ms = now - c->due_ms;
    log_warn("the controller stood still for %llu ms", (unsigned long long)event.u.stall.gap_ms);
    c->due_ms = now;
    step(c, &event, now);
}

void uv_controller_feed(struct uv_controller *c, struct fleet_event *event)
{
    uint64_t now = uv_controller_now();

    if (c->fleet == NULL) {
        return;
    }
    notice_stall(c, now);
    step(c, event, now);
    uv_controller_kick(c);
}

void uv_controller_drop(struct uv_controller *c, const char *why)
{
    c->generation++;
    fleet_destroy(c->fleet);
    docs_destroy(c->docs);
    svctable_destroy(c->services);
    c->services = NULL;
    c->services_complete = false;
    c->n_stale = 0;
    c->fleet = NULL;
    c->docs = NULL;
    for (unsigned i = 0; i < c->held_at; i++) {
        c->held.list[i].text = NULL; /* done and freed */
        c->held.list[i].lines = NULL;
    }
    fleet_actions_finish(&c->held);
    c->held_at = 0;
    if (c->state != CONTROLLER_CLOSING) {
        uv_sessions_reset(c->sessions, why);
        uv_api_unavailable(c->api);
    }
}

/* ---- the turn of the loop ---- */

static void on_timer(uv_timer_t *timer)
{
    (void)timer; /* it only makes the loop turn: on_check follows */
}

static void set_timer(struct uv_controller *c)
{
    uint64_t now = uv_controller_now();
    uint64_t deadline = c->fleet != NULL                ? fleet_deadline(c->fleet)
                        : c->state == CONTROLLER_FAILED ? c->again_ms
                                                        : UINT64_MAX;
    uint64_t wait = deadline <= now ? 0 : deadline - now;

    wait = wait > TURN_MS ? TURN_MS : wait;
    c->due_ms = now + wait;
    uv_update_time(c->loop);
    (void)uv_timer_start(&c->timer, on_timer, wait, 0);
}

static void run(struct uv_controller *c, uint64_t now)
{
    struct fleet_event event = {.type = FLEET_PERSISTED};

    notice_stall(c, now);
    if (c->durable > c->told) {
        c->told = c->durable;
        event.u.revision = c->durable;
        step(c, &event, now);
    }
    if (fleet_deadline(c->fleet) <= now) {
        event = (struct fleet_event){.type = FLEET_TICK};
        step(c, &event, now);
    }
    uv_controller_do_routes(c);
    uv_controller_do(c);
    uv_controller_do_services(c);
}

/* After the poll: what has come has been fed, so that no deadline strikes before its reason to be
 * moved is read. */
static void on_check(uv_check_t *check)
{
    struct uv_controller *c = container_of(check, struct uv_controller, check);
    uint64_t now = uv_controller_now();

    if (c->state == CONTROLLER_FAILED && c->again_ms <= now) {
        c->again_ms = now + uv_controller_load_again(c);
    }
    if (c->fleet != NULL) {
        run(c, now);
    }
    if (c->state != CONTROLLER_CLOSING) {
        set_timer(c);
    }
}

static void on_wake(uv_async_t *wake)
{
    struct uv_controller *c = container_of(wake, struct uv_controller, wake);

    (void)store_drain(c->store);
}

static void on_store(void *arg)
{
    (void)uv_async_send(&((struct uv_controller *)arg)->wake);
}

/* ---- life ---- */

static void handles(struct uv_controller *c)
{
    if (uv_async_init(c->loop, &c->wake, on_wake) < 0 || uv_check_init(c->loop, &c->check) < 0 ||
        uv_timer_init(c->loop, &c->timer) < 0) {
        die("libuv makes no handles");
    }
}

static int start(struct uv_controller *c, struct err *e)
{
    int rc = statelock_take(c->config.state_dir, &c->lock_fd, e);

    rc = rc < 0 ? rc : store_open(c->config.state_dir, on_store, c, &c->store, e);
    rc = rc < 0 ? rc : uv_controller_load_cluster(c, e);
    return rc < 0 ? rc : uv_controller_link(c, e);
}

int uv_controller_create(uv_loop_t *loop, const struct uv_controller_config *config,
                         struct uv_controller **ret, struct err *e)
{
    struct uv_controller *c = xcalloc(1, sizeof(*c));
    int rc;

    c->loop = loop;
    c->config = *config;
    c->lock_fd = -1;
    c->started_unix_ms = uv_controller_unix();
    c->ring = ring_create();
    handles(c);
    rc = start(c, e);
    if (rc < 0) {
        uv_controller_close(c);
        (void)uv_run(loop, UV_RUN_DEFAULT);
        uv_controller_destroy(c);
        return rc;
    }
    (void)uv_check_start(&c->check, on_check);
    set_timer(c);
    uv_controller_load_raise(c, 0);
    *ret = c;
    return 0;
}

const char *uv_controller_address(const struct uv_controller *c)
{
    return uv_sessions_address(c->sessions);
}

static void on_sessions_closed(void *arg)
{
    ((struct uv_controller *)arg)->sessions = NULL;
}

void uv_controller_close(struct uv_controller *c)
{
    if (c->state == CONTROLLER_CLOSING) {
        return;
    }
    c->state = CONTROLLER_CLOSING;
    FAILPOINT("controller.close.before_store");
    store_close(c->store); /* what was given to it is stored; nobody is told any more */
    c->store = NULL;
    FAILPOINT("controller.close.after_store");
    uv_close((uv_handle_t *)&c->wake, NULL);
    uv_close((uv_handle_t *)&c->check, NULL);
    uv_close((uv_handle_t *)&c->timer, NULL);
    if (c->sessions != NULL) {
        uv_sessions_close(c->sessions, on_sessions_closed, c);
    }
    if (c->api != NULL) {
        uv_api_close(c->api);
    }
}

void uv_controller_destroy(struct uv_controller *c)
{
    if (c == NULL) {
        return;
    }
    assert(c->state == CONTROLLER_CLOSING);
    uv_controller_drop(c, "");
    uv_api_destroy(c->api);
    ring_destroy(c->ring);
    free(c->stale);
    if (c->lock_fd >= 0) {
        (void)close(c->lock_fd);
    }
    free(c);
}
