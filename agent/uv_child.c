// SPDX-License-Identifier: Apache-2.0
#include "agent/uv_child.h"

#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "common/buf.h"
#include "common/cleanup.h"

#define READ_SIZE 16384u

struct uv_child {
    struct uv_child_order order;
    uv_process_t process;
    uv_pipe_t pipe;
    uv_timer_t timer;
    struct buf out;
    char reading[READ_SIZE];
    char what[32]; /* its first argument, for errors */
    char error[160];
    bool running; /* the process */
    bool open;    /* the pipe has not come to its end */
    bool cancelled;
    unsigned live; /* handles */
};

/* ---- ends ---- */

static void release(struct uv_child *c)
{
    if (--c->live > 0) {
        return;
    }
    if (!c->cancelled) {
        c->order.done(c->order.arg, buf_text(&c->out), c->out.len, c->error);
    }
    c->order.closed(c->order.arg);
    buf_finish(&c->out);
    free(c);
}

static void on_process_closed(uv_handle_t *handle)
{
    release(container_of((uv_process_t *)handle, struct uv_child, process));
}

static void on_pipe_closed(uv_handle_t *handle)
{
    release(container_of((uv_pipe_t *)handle, struct uv_child, pipe));
}

static void on_timer_closed(uv_handle_t *handle)
{
    release(container_of((uv_timer_t *)handle, struct uv_child, timer));
}

/* Both have come to an end. */
static void finish_if_over(struct uv_child *c)
{
    if (!c->running && !c->open && !uv_is_closing((uv_handle_t *)&c->timer)) {
        uv_close((uv_handle_t *)&c->process, on_process_closed);
        uv_close((uv_handle_t *)&c->timer, on_timer_closed);
    }
}

static void close_pipe(struct uv_child *c)
{
    if (c->open) {
        c->open = false;
        uv_close((uv_handle_t *)&c->pipe, on_pipe_closed);
        finish_if_over(c);
    }
}

static void stop(struct uv_child *c)
{
    if (c->running) {
        (void)uv_process_kill(&c->process, SIGKILL);
    }
    close_pipe(c);
}

__attribute__((format(printf, 2, 3))) static void fail(struct uv_child *c, const char *fmt, ...)
{
    va_list ap;

    if (c->error[0] == '\0') {
        va_start(ap, fmt);
        (void)vsnprintf(c->error, sizeof(c->error), fmt, ap);
        va_end(ap);
    }
}

/* ---- what happens ---- */

static void on_exit_of(uv_process_t *process, int64_t code, int number)
{
    struct uv_child *c = container_of(process, struct uv_child, process);

    c->running = false;
    if (number != 0) {
        fail(c, "%s was ended by signal %d", c->what, number);
    } else if (code != 0) {
        fail(c, "%s ended with code %d", c->what, (int)code);
    }
    finish_if_over(c);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct uv_child *c = container_of((uv_pipe_t *)handle, struct uv_child, pipe);

    (void)suggested;
    *ret = uv_buf_init(c->reading, sizeof(c->reading));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct uv_child *c = container_of((uv_pipe_t *)stream, struct uv_child, pipe);

    if (n > 0 && c->out.len + (size_t)n > c->order.bytes_max) {
        fail(c, "it says more than %zu bytes", c->order.bytes_max);
        stop(c);
    } else if (n > 0) {
        buf_append(&c->out, buf->base, (size_t)n);
    } else if (n < 0) {
        close_pipe(c);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct uv_child *c = container_of(timer, struct uv_child, timer);

    fail(c, "nothing was found out within %u s", c->order.timeout_ms / 1000);
    stop(c);
}

/* ---- for the owner ---- */

static int spawn(uv_loop_t *loop, struct uv_child *c)
{
    uv_stdio_container_t stdio[] = {
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&c->pipe},
        {.flags = UV_INHERIT_FD, .data.fd = 2}};
    uv_process_options_t options = {.file = c->order.program,
                                    .args = (char **)(uintptr_t)c->order.args,
                                    .exit_cb = on_exit_of,
                                    .stdio = stdio,
                                    .stdio_count = ARRAY_LEN(stdio)};
    int rc = uv_spawn(loop, &c->process, &options);

    c->running = rc == 0;
    return rc == 0 ? uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) : rc;
}

void uv_child_start(struct uv_loop_s *loop, const struct uv_child_order *order,
                    struct uv_child **ret)
{
    struct uv_child *c = xcalloc(1, sizeof(*c));
    int rc;

    c->order = *order;
    (void)snprintf(c->what, sizeof(c->what), "%s",
                   order->args[1] != NULL ? order->args[1] : order->program);
    c->open = true;
    c->live = 3;
    (void)uv_pipe_init(loop, &c->pipe, 0);
    (void)uv_timer_init(loop, &c->timer);
    *ret = c;
    rc = spawn(loop, c);
    if (rc < 0) {
        fail(c, "%s cannot be started: %s", c->what, uv_strerror(rc));
        stop(c);
        return;
    }
    (void)uv_timer_start(&c->timer, on_timer, order->timeout_ms, 0);
}

void uv_child_cancel(struct uv_child *c)
{
    c->cancelled = true;
    stop(c);
}
