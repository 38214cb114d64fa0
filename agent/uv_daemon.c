// SPDX-License-Identifier: Apache-2.0
#include "agent/uv_daemon.h"

#include <assert.h>
#include <signal.h>
#include <string.h>
#include <uv.h>

#include "agent/uv_agent.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/notify.h"

static const int stop_signals[] = {SIGTERM, SIGINT};

struct daemon {
    uv_loop_t loop;
    uv_signal_t signals[ARRAY_LEN(stop_signals)];
    struct uv_agent *agent;
    bool stopping;
};

static void on_agent_closed(void *arg)
{
    struct daemon *d = arg;

    d->agent = NULL;
}

static void stop(struct daemon *d)
{
    if (d->stopping) {
        return;
    }
    d->stopping = true;
    for (unsigned i = 0; i < ARRAY_LEN(stop_signals); i++) {
        uv_close((uv_handle_t *)&d->signals[i], NULL);
    }
    if (d->agent != NULL) {
        uv_agent_close(d->agent, on_agent_closed, d);
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    log_info("got SIG%s: ends; containers go on", sigabbrev_np(number));
    notify_state("STOPPING=1");
    stop(container_of(handle->loop, struct daemon, loop));
}

static void watch_signals(struct daemon *d)
{
    (void)signal(SIGPIPE, SIG_IGN);
    for (unsigned i = 0; i < ARRAY_LEN(stop_signals); i++) {
        (void)uv_signal_init(&d->loop, &d->signals[i]);
        (void)uv_signal_start(&d->signals[i], on_signal, stop_signals[i]);
    }
}

static void fill(const struct options *o, struct uv_agent_options *ret)
{
    *ret = (struct uv_agent_options){.state_path = o->state_path,
                                     .run_path = o->run_path,
                                     .controller = o->controller,
                                     .name = o->name,
                                     .address = o->address,
                                     .n_labels = o->n_labels,
                                     .bandwidth_bits = o->bandwidth_bits,
                                     .cgroup_parent = o->cgroup,
                                     .bin_path = o->bin_path,
                                     .id_base = o->id_base,
                                     .id_count = o->id_count};
    static_assert(UV_AGENT_LABELS_MAX == OPTIONS_LABELS_MAX, "labels pass as they are");
    memcpy(ret->labels, o->labels, sizeof(ret->labels));
}

int uv_daemon_run(const struct options *options)
{
    struct uv_agent_options own;
    struct daemon d = {0};
    struct err e = {0};
    int rc = uv_loop_init(&d.loop);

    if (rc < 0) {
        log_error("start an event loop: %s", uv_strerror(rc));
        return 1;
    }
    fill(options, &own);
    watch_signals(&d);
    rc = uv_agent_create(&d.loop, &own, &d.agent, &e);
    if (rc < 0) {
        log_error("%s", e.text);
        stop(&d);
    } else {
        log_info("ready: state in %s, controller %s", options->state_path, options->controller);
        notify_state("READY=1");
    }
    (void)uv_run(&d.loop, UV_RUN_DEFAULT);
    rc = rc < 0;
    if (uv_loop_close(&d.loop) < 0) {
        die("the agent left handles open");
    }
    return rc;
}
