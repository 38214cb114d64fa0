// SPDX-License-Identifier: Apache-2.0
/* The answer is one write into a pipe, the end makes the pidfd readable. Either may be seen first;
 * `answered` always comes before `ended`, because the end reads the pipe once more. */
#include "agent/uv_shim.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"

/* ---- telling the owner ---- */

static void answer(struct uv_shim *s, const struct plan_result *result, const struct err *e)
{
    if (s->answered || s->closing) {
        return;
    }
    s->answered = true;
    (void)uv_timer_stop(&s->timer);
    s->events->answered(s, result, e);
}

static void tell_ended(struct uv_shim *s)
{
    if (!s->closing && s->events->ended != NULL) {
        s->events->ended(s);
    }
}

/* ---- what it says ---- */

static void judge(struct uv_shim *s)
{
    struct err e = {0};

    s->result.text[sizeof(s->result.text) - 1] = '\0';
    if (s->result.magic != PLAN_MAGIC) {
        (void)err_say(&e, EPROTO, "wherry-shim of another version");
    } else if (s->result.kind == PLAN_RESULT_FAILED) {
        (void)err_say(&e, s->result.code, "%s", s->result.text);
    }
    answer(s, &s->result, &e);
}

/* Returns whether an answer has come. */
static bool hear(struct uv_shim *s)
{
    ssize_t n = read(s->status_fd, &s->result, sizeof(s->result));

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    (void)uv_poll_stop(&s->status_poll);
    if (n != (ssize_t)sizeof(s->result)) {
        return false; /* the pipe was closed without one: its end is seen soon */
    }
    judge(s);
    return true;
}

static void on_status(uv_poll_t *poll, int status, int events)
{
    struct uv_shim *s = container_of(poll, struct uv_shim, status_poll);

    (void)status;
    (void)events;
    if (!s->answered) {
        (void)hear(s);
    }
}

static bool read_output(struct uv_shim *s)
{
    char bytes[4096];
    ssize_t n = read(s->output_fd, bytes, sizeof(bytes));

    if (n > 0 && s->output.len < UV_SHIM_OUTPUT_MAX) {
        size_t room = UV_SHIM_OUTPUT_MAX - s->output.len;

        buf_append(&s->output, bytes, (size_t)n < room ? (size_t)n : room);
    }
    return n > 0;
}

static void on_output(uv_poll_t *poll, int status, int events)
{
    struct uv_shim *s = container_of(poll, struct uv_shim, output_poll);

    (void)status;
    (void)events;
    if (!read_output(s) && errno != EAGAIN) {
        (void)uv_poll_stop(poll);
    }
}

/* ---- how it ends ---- */

/* How it ended is of interest only if it has not said so itself. */
static void describe_end(const siginfo_t *info, struct err *e)
{
    if (info->si_code == CLD_EXITED) {
        (void)err_say(e, EPIPE, "wherry-shim ended with code %d without a word", info->si_status);
    } else {
        (void)err_say(e, EPIPE, "wherry-shim was killed by signal %d", info->si_status);
    }
}

static void on_pid(uv_poll_t *poll, int status, int events)
{
    struct uv_shim *s = container_of(poll, struct uv_shim, pid_poll);
    siginfo_t info = {0};
    struct err e = {0};

    (void)status;
    (void)events;
    if (waitid(P_PIDFD, (id_t)s->pidfd, &info, WEXITED | WNOHANG | __WALL) == 0 &&
        info.si_pid == 0) {
        return; /* not yet */
    }
    (void)uv_poll_stop(poll);
    s->ended = true;
    if (!s->answered && !hear(s)) {
        describe_end(&info, &e);
        answer(s, NULL, &e);
    }
    tell_ended(s);
}

static void on_timer(uv_timer_t *timer)
{
    struct uv_shim *s = container_of(timer, struct uv_shim, timer);
    struct err e = s->error;

    if (e.code == 0) {
        (void)err_say(&e, ETIMEDOUT, "wherry-shim (process %d) does not answer", (int)s->pid);
    }
    answer(s, NULL, &e);
    if (s->pid == 0) {
        tell_ended(s);
    }
}

/* ---- beginning ---- */

static void init(struct uv_shim *s, uv_loop_t *loop, const struct uv_shim_events *events)
{
    *s = (struct uv_shim){
        .events = events, .pidfd = -1, .status_fd = -1, .output_fd = -1, .open = 1};
    (void)uv_timer_init(loop, &s->timer);
}

static int watch(struct uv_shim *s, uv_poll_t *poll, int fd, uv_poll_cb cb)
{
    int rc = uv_poll_init(s->timer.loop, poll, fd);

    if (rc == 0) {
        s->open++;
        rc = uv_poll_start(poll, UV_READABLE, cb);
    }
    return rc;
}

static int make_pipe(int *ret_read, int *ret_write, struct err *e)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0) {
        return err_set(e, errno, "make a pipe");
    }
    *ret_read = fds[0];
    *ret_write = fds[1];
    return 0;
}

/* Its ends of plan and pipes live only until it has them. */
static int spawn_it(struct uv_shim *s, struct shimspawn *spawn, const struct buf *plan, bool output,
                    struct err *e)
{
    auto_close int plan_fd = -1, status = -1, out = -1;
    int rc = shimspawn_plan(plan->data, plan->len, &plan_fd, e);

    rc = rc < 0 ? rc : make_pipe(&s->status_fd, &status, e);
    if (rc == 0 && output) {
        rc = make_pipe(&s->output_fd, &out, e);
    }
    if (rc < 0) {
        return rc;
    }
    shimspawn_give(spawn, plan_fd, PLAN_FD);
    shimspawn_give(spawn, status, PLAN_STATUS_FD);
    shimspawn_give(spawn, out, PLAN_OUTPUT_FD);
    return shimspawn_start(spawn, &s->pid, &s->pidfd, e);
}

static int watch_all(struct uv_shim *s, struct err *e)
{
    int rc = watch(s, &s->status_poll, s->status_fd, on_status);

    rc = rc < 0 ? rc : watch(s, &s->pid_poll, s->pidfd, on_pid);
    if (rc == 0 && s->output_fd >= 0) {
        rc = watch(s, &s->output_poll, s->output_fd, on_output);
    }
    return rc < 0 ? err_set(e, rc, "watch wherry-shim") : 0;
}

/* It could not be watched: then it must not run. */
static void give_up(struct uv_shim *s)
{
    uv_shim_kill(s);
    if (s->pidfd >= 0) {
        (void)waitid(P_PIDFD, (id_t)s->pidfd, &(siginfo_t){0}, WEXITED | __WALL);
    }
    s->pid = 0;
}

void uv_shim_start(struct uv_shim *s, uv_loop_t *loop, struct shimspawn *spawn,
                   const struct buf *plan, bool output, uint64_t deadline_ms,
                   const struct uv_shim_events *events)
{
    init(s, loop, events);
    if (spawn_it(s, spawn, plan, output, &s->error) < 0 || watch_all(s, &s->error) < 0) {
        give_up(s);
        deadline_ms = 0;
    }
    (void)uv_timer_start(&s->timer, on_timer, deadline_ms, 0);
}

void uv_shim_fail(struct uv_shim *s, uv_loop_t *loop, const struct err *e,
                  const struct uv_shim_events *events)
{
    init(s, loop, events);
    s->error = *e;
    (void)uv_timer_start(&s->timer, on_timer, 0, 0);
}

/* ---- ending ---- */

void uv_shim_kill(const struct uv_shim *s)
{
    if (s->pidfd >= 0) {
        (void)syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
    }
}

static void drop_handle(struct uv_shim *s)
{
    if (--s->open > 0) {
        return;
    }
    cleanup_close(&s->pidfd);
    cleanup_close(&s->status_fd);
    cleanup_close(&s->output_fd);
    buf_finish(&s->output);
    s->events->closed(s);
}

static void on_timer_closed(uv_handle_t *handle)
{
    drop_handle(container_of((uv_timer_t *)handle, struct uv_shim, timer));
}

static void on_status_closed(uv_handle_t *handle)
{
    drop_handle(container_of((uv_poll_t *)handle, struct uv_shim, status_poll));
}

static void on_pid_closed(uv_handle_t *handle)
{
    drop_handle(container_of((uv_poll_t *)handle, struct uv_shim, pid_poll));
}

static void on_output_closed(uv_handle_t *handle)
{
    drop_handle(container_of((uv_poll_t *)handle, struct uv_shim, output_poll));
}

static void close_poll(uv_poll_t *poll, uv_close_cb cb)
{
    if (poll->type == UV_POLL) { /* it was initialised */
        uv_close((uv_handle_t *)poll, cb);
    }
}

void uv_shim_close(struct uv_shim *s)
{
    if (s->closing) {
        return;
    }
    s->closing = true;
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
    close_poll(&s->status_poll, on_status_closed);
    close_poll(&s->pid_poll, on_pid_closed);
    close_poll(&s->output_poll, on_output_closed);
}
