// SPDX-License-Identifier: Apache-2.0
/* Questions by TCP (RFC 7766): each behind its length, several in a row. A connection that is
 * quiet, full of what it has not read, or wrong is closed. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/dns/uv_dns_priv.h"
#include "common/buf.h"
#include "common/cleanup.h"

#define IDLE_MS    10000u
#define BACKLOG    64
#define UNREAD_MAX (256u << 10) /* answers that it does not take: here, */
#define SEND_SPACE (64 << 10)   /* and in the kernel, which would keep megabytes */

struct conn {
    struct conn *next;
    struct uv_dns *dns;
    uv_tcp_t tcp;
    struct sockaddr_in peer;
    uint8_t in[2 + DNS_TCP_MAX];
    size_t len;
    uint64_t until_ms;
    unsigned flight; /* requests to write that are under way */
    bool closing;
};

struct send {
    uv_write_t write;
    struct conn *conn;
    uint8_t bytes[];
};

static void on_conn_closed(uv_handle_t *handle)
{
    struct conn *c = container_of((uv_tcp_t *)handle, struct conn, tcp);
    struct uv_dns *d = c->dns;

    free(c);
    uv_dns_let_go(d);
}

static void end(struct conn *c)
{
    struct uv_dns *d = c->dns;
    struct conn **at = &d->conns;

    if (c->closing) {
        return;
    }
    c->closing = true;
    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    d->n_conns--;
    uv_dns_client(d, ntohl(c->peer.sin_addr.s_addr))->conns--;
    uv_dns_forward_forget(d, c);
    uv_close((uv_handle_t *)&c->tcp, on_conn_closed);
}

static void on_written(uv_write_t *write, int status)
{
    struct send *s = container_of(write, struct send, write);
    struct conn *c = s->conn;

    free(s);
    if (status < 0) {
        end(c);
    }
}

void uv_dns_tcp_answer(struct conn *c, const void *answer, size_t len)
{
    struct send *s;
    uv_buf_t buf;

    if (c->closing || len == 0) {
        return;
    }
    if (uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp) > UNREAD_MAX) {
        end(c);
        return;
    }
    s = xcalloc(1, sizeof(*s) + 2 + len);
    s->conn = c;
    dnsmsg_put16(s->bytes, (uint16_t)len);
    memcpy(s->bytes + 2, answer, len);
    buf = uv_buf_init((char *)s->bytes, (unsigned)(2 + len));
    c->until_ms = uv_now(c->dns->loop) + IDLE_MS;
    if (uv_write(&s->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written) < 0) {
        free(s);
        end(c);
    }
}

/* All questions that are there in full. */
static void take_questions(struct conn *c)
{
    const struct reply_to to = {.peer = c->peer, .conn = c};
    auto_free uint8_t *answer = xcalloc(1, DNS_TCP_MAX);
    size_t at = 0;

    while (!c->closing && c->len - at >= 2 && c->len - at - 2 >= dnsmsg_get16(c->in + at)) {
        size_t len = dnsmsg_get16(c->in + at);

        uv_dns_tcp_answer(c, answer,
                          uv_dns_message(c->dns, &to, c->in + at + 2, len, answer, DNS_TCP_MAX));
        at += 2 + len;
    }
    memmove(c->in, c->in + at, c->len - at);
    c->len -= at;
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
    struct conn *c = container_of((uv_tcp_t *)handle, struct conn, tcp);

    (void)hint;
    *buf = uv_buf_init((char *)c->in + c->len, (unsigned)(sizeof(c->in) - c->len));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct conn *c = container_of((uv_tcp_t *)stream, struct conn, tcp);

    (void)buf;
    if (got < 0) {
        end(c);
    } else if (got > 0) {
        c->len += (size_t)got;
        c->until_ms = uv_now(c->dns->loop) + IDLE_MS;
        take_questions(c);
    }
}

static bool may_connect(struct uv_dns *d, struct conn *c)
{
    int len = sizeof(c->peer);

    return uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&c->peer, &len) == 0 &&
           d->n_conns < CONNS_MAX &&
           uv_dns_client(d, ntohl(c->peer.sin_addr.s_addr))->conns < CLIENT_CONNS;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct uv_dns *d = container_of((uv_tcp_t *)listener, struct uv_dns, tcp);
    struct conn *c;
    int space = SEND_SPACE;
    bool good;

    if (status < 0 || d->closing) {
        return;
    }
    c = xcalloc(1, sizeof(*c));
    c->dns = d;
    (void)uv_tcp_init(d->loop, &c->tcp);
    d->live++;
    good = uv_accept(listener, (uv_stream_t *)&c->tcp) == 0 && may_connect(d, c);
    c->next = d->conns;
    d->conns = c;
    d->n_conns++;
    uv_dns_client(d, ntohl(c->peer.sin_addr.s_addr))->conns++;
    c->until_ms = uv_now(d->loop) + IDLE_MS;
    if (!good) {
        d->stats.dropped++;
        end(c);
        return;
    }
    uv_dns_wake(d);
    (void)uv_send_buffer_size((uv_handle_t *)&c->tcp, &space);
    (void)uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

void uv_dns_tcp_tick(struct uv_dns *d, uint64_t now_ms)
{
    for (struct conn *c = d->conns, *next; c != NULL; c = next) {
        next = c->next;
        if (now_ms >= c->until_ms) {
            end(c);
        }
    }
}

static void on_listener_closed(uv_handle_t *handle)
{
    uv_dns_let_go(container_of((uv_tcp_t *)handle, struct uv_dns, tcp));
}

int uv_dns_tcp_open(struct uv_dns *d, const struct sockaddr_in *name, struct err *e)
{
    int one = 1;
    uv_os_fd_t fd;
    int rc = uv_tcp_init_ex(d->loop, &d->tcp, AF_INET);

    if (rc < 0) {
        return err_say(e, -rc, "listen for names by TCP: %s", uv_strerror(rc));
    }
    d->live++;
    d->tcp.data = d;
    if (uv_fileno((uv_handle_t *)&d->tcp, &fd) == 0) {
        (void)setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one));
    }
    rc = uv_tcp_bind(&d->tcp, (const struct sockaddr *)name, 0);
    if (rc == 0) {
        rc = uv_listen((uv_stream_t *)&d->tcp, BACKLOG, on_connection);
    }
    return rc < 0 ? err_say(e, -rc, "listen for names on %s:%u by TCP: %s", d->config.address,
                            (unsigned)d->config.port, uv_strerror(rc))
                  : 0;
}

void uv_dns_tcp_close(struct uv_dns *d)
{
    while (d->conns != NULL) {
        end(d->conns);
    }
    if (d->tcp.data != NULL) {
        uv_close((uv_handle_t *)&d->tcp, on_listener_closed);
    }
}
