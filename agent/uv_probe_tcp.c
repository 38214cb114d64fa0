// SPDX-License-Identifier: Apache-2.0
/* One attempt per address, in order; the first that is accepted ends the probe. Both sockets are
 * made at once, so the namespace is not needed afterwards. A verdict is put down and given by the
 * timer, so that no callback comes from inside a call. */
#include "agent/uv_probe_tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/net/netns.h"
#include "common/cleanup.h"

#define ATTEMPTS 2

struct attempt {
    struct uv_probe_tcp *probe;
    uv_poll_t poll;
    bool polling; /* the handle is initialised */
    int fd;
    uint32_t address;
};

struct uv_probe_tcp {
    uv_loop_t *loop;
    uv_timer_t timer; /* the timeout, then the verdict */
    struct attempt attempts[ATTEMPTS];
    unsigned n;
    unsigned at;   /* under way */
    unsigned open; /* handles not closed yet */
    uint16_t port;
    uint32_t timeout_ms;
    bool ended;
    int status;
    char text[ERR_TEXT_MAX];
    uv_probe_tcp_cb cb;
    void *arg;
};

/* ---- the end ---- */

static void on_closed(struct uv_probe_tcp *p)
{
    if (--p->open > 0) {
        return;
    }
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        cleanup_close(&p->attempts[i].fd);
    }
    free(p);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_closed(container_of((uv_timer_t *)handle, struct uv_probe_tcp, timer));
}

static void on_poll_closed(uv_handle_t *handle)
{
    on_closed(container_of((uv_poll_t *)handle, struct attempt, poll)->probe);
}

static void on_verdict(uv_timer_t *timer)
{
    struct uv_probe_tcp *p = container_of(timer, struct uv_probe_tcp, timer);

    uv_close((uv_handle_t *)&p->timer, on_timer_closed);
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        if (p->attempts[i].polling) {
            uv_close((uv_handle_t *)&p->attempts[i].poll, on_poll_closed);
        }
    }
    p->cb(p->arg, p->status, p->text);
}

static void end(struct uv_probe_tcp *p, int status, const char *text)
{
    if (p->ended) {
        return;
    }
    p->ended = true;
    p->status = status;
    (void)snprintf(p->text, sizeof(p->text), "%s", text);
    (void)uv_timer_start(&p->timer, on_verdict, 0, 0);
}

static void end_failed(struct uv_probe_tcp *p, int code)
{
    struct in_addr in = {.s_addr = htonl(p->attempts[p->at].address)};
    char address[INET_ADDRSTRLEN] = "", text[160];

    (void)inet_ntop(AF_INET, &in, address, sizeof(address));
    (void)snprintf(text, sizeof(text), "connect to %s port %u: %s", address, (unsigned)p->port,
                   strerror(code));
    end(p, -code, text);
}

static void on_timeout(uv_timer_t *timer)
{
    struct uv_probe_tcp *p = container_of(timer, struct uv_probe_tcp, timer);
    char text[64];

    (void)snprintf(text, sizeof(text), "no answer within %u ms", (unsigned)p->timeout_ms);
    end(p, -ETIMEDOUT, text);
}

/* ---- attempts ---- */

static void attempt_begin(struct uv_probe_tcp *p);

static void attempt_over(struct uv_probe_tcp *p, int code)
{
    if (code == 0) {
        end(p, 0, "accepted");
    } else if (p->at + 1 < p->n) {
        p->at++; /* nobody listens here: there may be somebody on the other address */
        attempt_begin(p);
    } else {
        end_failed(p, code);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct attempt *attempt = container_of(poll, struct attempt, poll);
    int code = 0;
    socklen_t len = sizeof(code);

    (void)events;
    (void)uv_poll_stop(poll);
    if (attempt->probe->ended) {
        return;
    }
    if (getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0) {
        code = errno;
    }
    attempt_over(attempt->probe, code == 0 && status < 0 ? -status : code);
}

/* Returns 0 when it is under way. */
static int attempt_connect(struct uv_probe_tcp *p, struct attempt *attempt)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(p->port),
                             .sin_addr.s_addr = htonl(attempt->address)};
    int rc;

    if (connect(attempt->fd, (const struct sockaddr *)&to, sizeof(to)) < 0 &&
        errno != EINPROGRESS) {
        return -errno;
    }
    rc = uv_poll_init(p->loop, &attempt->poll, attempt->fd);
    if (rc < 0) {
        return rc;
    }
    attempt->polling = true;
    p->open++;
    return uv_poll_start(&attempt->poll, UV_WRITABLE, on_poll);
}

static void attempt_begin(struct uv_probe_tcp *p)
{
    int rc = attempt_connect(p, &p->attempts[p->at]);

    if (rc < 0) {
        attempt_over(p, -rc);
    }
}

static int make_sockets(struct uv_probe_tcp *p, int netns_fd, struct err *e)
{
    for (unsigned i = 0; i < p->n; i++) {
        p->attempts[i].fd =
            netns_socket(netns_fd, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP, e);
        if (p->attempts[i].fd < 0) {
            return e->code;
        }
    }
    return 0;
}

struct uv_probe_tcp *uv_probe_tcp(uv_loop_t *loop, int netns_fd, uint32_t address, uint16_t port,
                                  uint32_t timeout_ms, uv_probe_tcp_cb cb, void *arg)
{
    struct uv_probe_tcp *p = xcalloc(1, sizeof(*p));
    struct err e = {0};

    *p = (struct uv_probe_tcp){
        .loop = loop, .open = 1, .port = port, .timeout_ms = timeout_ms, .cb = cb, .arg = arg};
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        p->attempts[i] = (struct attempt){.probe = p, .fd = -1};
    }
    if (address != 0 && address != INADDR_LOOPBACK) {
        p->attempts[p->n++].address = address;
    }
    p->attempts[p->n++].address = INADDR_LOOPBACK;
    (void)uv_timer_init(loop, &p->timer);
    uv_update_time(loop);
    (void)uv_timer_start(&p->timer, on_timeout, timeout_ms, 0);
    if (make_sockets(p, netns_fd, &e) < 0) {
        end(p, e.code, e.text);
    } else {
        attempt_begin(p);
    }
    return p;
}

void uv_probe_tcp_cancel(struct uv_probe_tcp *p)
{
    end(p, -ECANCELED, "cancelled");
}
