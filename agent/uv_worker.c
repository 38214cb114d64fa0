// SPDX-License-Identifier: Apache-2.0
/* Requests wait in one list. A request is sent when the prober runs, answered by a datagram, by its
 * own deadline, or by the prober's death; whatever ends it puts its verdict down and arms the
 * timer, whose callback alone calls back. So no callback comes from inside a call. */
#include "agent/uv_worker.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/codec_worker.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

#define RESTART_MS  1000u /* a prober that dies at once is not started more often */
#define SLACK_MS    1000u /* beyond its own deadline the prober has this long to answer */
#define REQUEST_MAX 2048u /* waiting and sent; more get no verdict */

struct request {
    struct request *next;
    struct probe_job job;
    struct uv_worker_target target[2];
    unsigned at; /* the target in use */
    uint64_t deadline_ms;
    bool sent;
    bool ended;
    int status;
    char text[CODEC_WORKER_PROBE_TEXT_MAX + 1];
    uv_worker_probe_cb cb;
    void *arg;
};

struct prober {
    uv_process_t process;
    uv_poll_t poll;
    struct uv_worker *worker; /* NULL: given up, closing on its own */
    int fd;
    unsigned open; /* handles not closed yet */
};

struct uv_worker {
    uv_loop_t *loop;
    const char *program;
    uv_timer_t timer;
    struct prober *prober; /* NULL: none runs */
    uint64_t started_ms;
    bool started; /* ever */
    struct request *requests;
    unsigned n_requests;
    uint64_t next_id;
    unsigned probers; /* handles of all probers, also those closing */
    bool closing, timer_closed;
    void (*closed)(void *arg);
    void *closed_arg;
};

static void arm(struct uv_worker *w);

/* ---- requests ---- */

static void end(struct uv_worker *w, struct request *r, int status, const char *text)
{
    if (r->ended) {
        return;
    }
    r->ended = true;
    r->status = status;
    (void)snprintf(r->text, sizeof(r->text), "%s", text);
    arm(w);
}

static void request_free(struct request *r)
{
    cleanup_close(&r->target[0].fd);
    cleanup_close(&r->target[1].fd);
    free(r);
}

/* Sends the datagram with its socket. Returns 0, -EAGAIN when the prober is behind. */
static int send_job(const struct prober *p, struct request *r)
{
    auto_buf struct buf bytes = {0};
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov;
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

    memcpy(r->job.address, r->target[r->at].address, sizeof(r->job.address));
    codec_worker_probe_job_encode(&r->job, &bytes);
    iov = (struct iovec){.iov_base = bytes.data, .iov_len = bytes.len};
    *c = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(c), &r->target[r->at].fd, sizeof(int));
    return sendmsg(p->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int poll_events(const struct uv_worker *w)
{
    for (const struct request *r = w->requests; r != NULL; r = r->next) {
        if (!r->sent && !r->ended) {
            return UV_READABLE | UV_WRITABLE;
        }
    }
    return UV_READABLE;
}

static void send_waiting(struct uv_worker *w)
{
    for (struct request *r = w->requests; r != NULL; r = r->next) {
        int rc;

        if (r->sent || r->ended) {
            continue;
        }
        rc = send_job(w->prober, r);
        if (rc == -EAGAIN || rc == -ENOBUFS || rc == -ETOOMANYREFS) {
            return; /* it is sent when there is room */
        }
        r->sent = true;
        cleanup_close(&r->target[r->at].fd);
        r->target[r->at].fd = -1;
        if (rc < 0) {
            end(w, r, -EAGAIN, "the prober could not be asked");
        }
    }
}

/* ---- the prober ---- */

static void finish_close(struct uv_worker *w)
{
    if (!w->closing || !w->timer_closed || w->probers > 0) {
        return;
    }
    w->closed(w->closed_arg);
    free(w);
}

static void on_prober_closed(struct prober *p)
{
    struct uv_worker *w = p->worker;

    if (--p->open > 0) {
        return;
    }
    (void)close(p->fd);
    free(p);
    w->probers--;
    finish_close(w);
}

static void on_poll_closed(uv_handle_t *handle)
{
    on_prober_closed(container_of((uv_poll_t *)handle, struct prober, poll));
}

static void on_process_closed(uv_handle_t *handle)
{
    on_prober_closed(container_of((uv_process_t *)handle, struct prober, process));
}

/* Everything it was asked and has not answered gets no verdict. */
static void prober_drop(struct uv_worker *w, const char *why)
{
    struct prober *p = w->prober;

    w->prober = NULL;
    for (struct request *r = w->requests; r != NULL; r = r->next) {
        if (r->sent) {
            end(w, r, -EAGAIN, why);
        }
    }
    uv_close((uv_handle_t *)&p->poll, on_poll_closed);
    uv_close((uv_handle_t *)&p->process, on_process_closed);
}

static void on_exit_prober(uv_process_t *process, int64_t code, int signal)
{
    struct prober *p = container_of(process, struct prober, process);

    (void)code;
    (void)signal;
    if (p->worker->prober == p) {
        prober_drop(p->worker, "the prober died");
        arm(p->worker);
    }
}

/* ---- answers ---- */

static struct request *find(const struct uv_worker *w, uint64_t id)
{
    for (struct request *r = w->requests; r != NULL; r = r->next) {
        if (r->job.id == id && r->sent && !r->ended) {
            return r;
        }
    }
    return NULL;
}

static void take_result(struct uv_worker *w, struct request *r, const struct probe_result *result)
{
    char text[sizeof(r->text)];

    if (result->refused && r->at == 0 && r->target[1].fd >= 0) {
        r->at = 1; /* nobody listens on the container's own address: try the other */
        r->sent = false;
        send_waiting(w);
        return;
    }
    if (result->status >= 200 && result->status < 400) {
        end(w, r, 0, result->text);
    } else if (result->status > 0) {
        (void)snprintf(text, sizeof(text), "HTTP %u%s%.150s", result->status,
                       result->text[0] != '\0' ? ": " : "", result->text);
        end(w, r, -EPROTO, text);
    } else {
        end(w, r,
            result->refused     ? -ECONNREFUSED
            : result->timed_out ? -ETIMEDOUT
                                : -EPROTO,
            result->text);
    }
}

/* Returns whether there may be more. */
static bool receive(struct uv_worker *w)
{
    char bytes[CODEC_WORKER_PROBE_MAX];
    struct probe_result result = {0};
    struct request *r;
    ssize_t n = recv(w->prober->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (n <= 0 || codec_worker_probe_result_decode(bytes, (size_t)n, &result, NULL) < 0) {
        (void)uv_process_kill(&w->prober->process, SIGKILL); /* on_exit_prober does the rest */
        (void)uv_poll_stop(&w->prober->poll);
        return false;
    }
    for (char *c = result.text; *c != '\0'; c++) {
        *c = *c >= 0x20 && *c < 0x7f ? *c : '?';
    }
    r = find(w, result.id);
    if (r != NULL) {
        take_result(w, r, &result);
    }
    return true;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct prober *p = container_of(poll, struct prober, poll);
    struct uv_worker *w = p->worker;

    if (w->prober != p || status < 0) {
        return;
    }
    if (events & UV_READABLE) {
        while (receive(w)) {
        }
    }
    if (events & UV_WRITABLE) {
        send_waiting(w);
        (void)uv_poll_start(&p->poll, poll_events(w), on_poll);
    }
}

/* ---- starting it ---- */

static int spawn(struct uv_worker *w, struct prober *p, int child_fd)
{
    char *args[] = {(char *)w->program, (char *)"probe", NULL};
    uv_stdio_container_t stdio[] = {
        {.flags = UV_IGNORE},
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = child_fd},
    };
    uv_process_options_t options = {.file = w->program,
                                    .args = args,
                                    .exit_cb = on_exit_prober,
                                    .stdio = stdio,
                                    .stdio_count = ARRAY_LEN(stdio)};

    FAILPOINT("agent.probe.before_worker_spawn");
    return uv_spawn(w->loop, &p->process, &options);
}

static void prober_start(struct uv_worker *w)
{
    struct prober *p;
    int fds[2];
    int rc;

    w->started = true;
    w->started_ms = uv_now(w->loop);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
        return; /* tried again, until the requests' deadlines */
    }
    p = xcalloc(1, sizeof(*p));
    *p = (struct prober){.worker = w, .fd = fds[0], .open = 2};
    w->probers++;
    w->prober = p;
    rc = uv_poll_init(w->loop, &p->poll, p->fd);
    assert(rc == 0);
    rc = spawn(w, p, fds[1]);
    (void)close(fds[1]);
    if (rc < 0) {
        prober_drop(w, "the prober cannot be started");
        return;
    }
    send_waiting(w);
    (void)uv_poll_start(&p->poll, poll_events(w), on_poll);
}

/* ---- time ---- */

static void expire(struct uv_worker *w, uint64_t now)
{
    for (struct request *r = w->requests; r != NULL; r = r->next) {
        char text[64];

        if (!r->ended && now >= r->deadline_ms) {
            (void)snprintf(text, sizeof(text), "no answer within %u ms", r->job.timeout_ms);
            end(w, r, r->sent ? -ETIMEDOUT : -EAGAIN, text);
        }
    }
}

/* Takes one ended request out and calls back, which may add others. */
static bool deliver_one(struct uv_worker *w)
{
    for (struct request **at = &w->requests; *at != NULL; at = &(*at)->next) {
        struct request *r = *at;

        if (r->ended) {
            *at = r->next;
            w->n_requests--;
            r->cb(r->arg, r->status, r->text);
            request_free(r);
            return true;
        }
    }
    return false;
}

static bool any_waits(const struct uv_worker *w)
{
    return (poll_events(w) & UV_WRITABLE) != 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct uv_worker *w = container_of((uv_timer_t *)handle, struct uv_worker, timer);

    w->timer_closed = true;
    finish_close(w);
}

static void on_timer(uv_timer_t *timer)
{
    struct uv_worker *w = container_of(timer, struct uv_worker, timer);
    uint64_t now = uv_now(w->loop);

    expire(w, now);
    while (deliver_one(w)) {
    }
    if (w->closing) {
        if (!uv_is_closing((uv_handle_t *)timer)) {
            uv_close((uv_handle_t *)timer, on_timer_closed);
        }
        return;
    }
    if (w->prober == NULL && any_waits(w) && (!w->started || now >= w->started_ms + RESTART_MS)) {
        prober_start(w);
    }
    arm(w);
}

/* To the earliest of: a verdict to deliver, a deadline, the next start of a prober. */
static void arm(struct uv_worker *w)
{
    uint64_t now = uv_now(w->loop);
    uint64_t due = UINT64_MAX;

    for (const struct request *r = w->requests; r != NULL; r = r->next) {
        uint64_t at = r->ended ? now : r->deadline_ms;

        due = at < due ? at : due;
    }
    if (w->prober == NULL && any_waits(w)) {
        uint64_t at = w->started ? w->started_ms + RESTART_MS : now;

        due = at < due ? at : due;
    }
    if (w->closing) {
        due = now;
    }
    if (due != UINT64_MAX && !uv_is_closing((uv_handle_t *)&w->timer)) {
        (void)uv_timer_start(&w->timer, on_timer, due > now ? due - now : 1, 0);
    }
}

/* ---- for the owner ---- */

struct uv_worker *uv_worker_create(uv_loop_t *loop, const char *program)
{
    struct uv_worker *w = xcalloc(1, sizeof(*w));

    w->loop = loop;
    w->program = program;
    (void)uv_timer_init(loop, &w->timer);
    return w;
}

void uv_worker_close(struct uv_worker *w, void (*closed)(void *arg), void *arg)
{
    assert(!w->closing);
    w->closing = true;
    w->closed = closed;
    w->closed_arg = arg;
    for (struct request *r = w->requests; r != NULL; r = r->next) {
        end(w, r, -ECANCELED, "cancelled");
    }
    if (w->prober != NULL) {
        (void)uv_process_kill(&w->prober->process, SIGKILL);
    }
    arm(w);
}

/* The oldest is sent first. */
static void append(struct uv_worker *w, struct request *r)
{
    struct request **at = &w->requests;

    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = r;
}

static bool fits(char *dst, size_t size, const char *src)
{
    size_t len = strlen(src);

    if (len >= size) {
        return false;
    }
    memcpy(dst, src, len + 1);
    return true;
}

void uv_worker_probe(struct uv_worker *w, const struct uv_worker_http *http, uv_worker_probe_cb cb,
                     void *arg)
{
    struct request *r = xcalloc(1, sizeof(*r));

    r->target[0] = http->target[0];
    r->target[1] = http->target[1];
    r->job.id = ++w->next_id;
    r->job.port = http->port;
    r->job.timeout_ms = http->timeout_ms;
    r->deadline_ms = uv_now(w->loop) + http->timeout_ms + SLACK_MS;
    r->cb = cb;
    r->arg = arg;
    append(w, r);
    w->n_requests++;
    if (!fits(r->job.path, sizeof(r->job.path), http->path) ||
        !fits(r->job.host, sizeof(r->job.host), http->host)) {
        end(w, r, -EPROTO, "path or host is too long");
    } else if (w->closing) {
        end(w, r, -ECANCELED, "cancelled");
    } else if (w->n_requests > REQUEST_MAX) {
        end(w, r, -EAGAIN, "too many probes at once");
    } else if (w->prober != NULL) {
        send_waiting(w);
        (void)uv_poll_start(&w->prober->poll, poll_events(w), on_poll);
    }
    arm(w);
}
