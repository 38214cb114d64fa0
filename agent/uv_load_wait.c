// SPDX-License-Identifier: Apache-2.0
#include "agent/uv_load_wait.h"

#include <uv.h>

#include "agent/uv_load.h"

struct waiting {
    int status;
    struct err *e;
    char **digests;
    const struct uv_load_options *options;
};

static void on_wait_progress(void *arg, const struct uv_load_progress *progress)
{
    struct waiting *w = arg;

    if (w->options->on_progress != NULL) {
        w->options->on_progress(w->options->arg, progress);
    }
}

static void on_wait_done(void *arg, int status, const struct err *e, char *const *digests)
{
    struct waiting *w = arg;
    unsigned n = 0;

    w->status = status;
    if (status < 0 && w->e != NULL) {
        *w->e = *e;
    }
    for (; status == 0 && digests != NULL && *digests != NULL; digests++) {
        image_strv_add(&w->digests, &n, *digests);
    }
}

int uv_load_wait(const struct uv_load_options *options, char ***ret_digests, struct err *e)
{
    struct waiting w = {.e = e, .options = options};
    struct uv_load_options own = *options;
    uv_loop_t loop;
    int rc = uv_loop_init(&loop);

    if (rc < 0) {
        return err_say(e, rc, "start an event loop: %s", uv_strerror(rc));
    }
    own.on_progress = on_wait_progress;
    own.on_done = on_wait_done;
    own.arg = &w;
    (void)uv_load_start(&loop, &own);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&loop) < 0) {
        die("a load left handles open");
    }
    if (w.status == 0) {
        *ret_digests = w.digests;
    } else {
        image_strv_free(w.digests);
    }
    return w.status;
}
