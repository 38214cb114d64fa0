// SPDX-License-Identifier: Apache-2.0
#include "controller/uv_controllerd.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/notify.h"

static const int stop_signals[] = {SIGTERM, SIGINT};

struct controllerd {
    uv_loop_t loop;
    uv_signal_t signals[ARRAY_LEN(stop_signals)];
    uv_idle_t ending; /* the controller is not closed from within its own calls */
    struct uv_controller *controller;
    bool stopping;
    bool failed;
};

static void stop(struct controllerd *d)
{
    if (d->stopping) {
        return;
    }
    d->stopping = true;
    for (unsigned i = 0; i < ARRAY_LEN(stop_signals); i++) {
        uv_close((uv_handle_t *)&d->signals[i], NULL);
    }
    uv_close((uv_handle_t *)&d->ending, NULL);
    if (d->controller != NULL) {
        uv_controller_close(d->controller);
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    log_info("got SIG%s: ends; containers go on", sigabbrev_np(number));
    notify_state("STOPPING=1");
    stop(container_of(handle->loop, struct controllerd, loop));
}

static void on_ending(uv_idle_t *idle)
{
    stop(container_of(idle, struct controllerd, ending));
}

static void on_failed(void *arg, const struct err *e)
{
    struct controllerd *d = arg;

    log_error("%s", e->text);
    d->failed = true;
    (void)uv_idle_start(&d->ending, on_ending);
}

static void prepare(struct controllerd *d)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max; /* a descriptor for every agent */
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)uv_idle_init(&d->loop, &d->ending);
    for (unsigned i = 0; i < ARRAY_LEN(stop_signals); i++) {
        (void)uv_signal_init(&d->loop, &d->signals[i]);
        (void)uv_signal_start(&d->signals[i], on_signal, stop_signals[i]);
    }
}

int uv_controllerd_run(struct uv_controller_config *config)
{
    struct controllerd d = {0};
    struct err e = {0};
    int rc = uv_loop_init(&d.loop);

    if (rc < 0) {
        log_error("start an event loop: %s", uv_strerror(rc));
        return 1;
    }
    config->failed = on_failed;
    config->arg = &d;
    rc = uv_controller_create(&d.loop, config, &d.controller, &e);
    prepare(&d);
    if (rc < 0) {
        log_error("%s", e.text);
        stop(&d);
    } else {
        log_info("ready: state in %s, agents on %s, API on %s", config->state_dir,
                 uv_controller_address(d.controller), config->socket);
        notify_state("READY=1");
    }
    (void)uv_run(&d.loop, UV_RUN_DEFAULT);
    uv_controller_destroy(d.controller);
    (void)uv_run(&d.loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&d.loop) < 0) {
        die("the controller left handles open");
    }
    return rc < 0 || d.failed;
}
