// SPDX-License-Identifier: Apache-2.0
/* One frame is on its way at a time. Whatever ends a wire is said once by `ended`; what follows is
 * the owner's uv_wire_close, the one path on which handles are closed. */
#include "common/uv_wire.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define READ_MAX 65536u /* taken from the socket at once */
#define KEEP_MAX 65536u /* a buffer that has grown beyond is given back when it is empty */
#define END_MS   1000u  /* for the last frame */

/* ---- ends ---- */

static void say_ended(struct uv_wire *w, const struct err *why)
{
    if (w->ended || w->closing) {
        return;
    }
    w->ended = true;
    w->ending = true;
    (void)uv_read_stop((uv_stream_t *)&w->tcp);
    w->events->ended(w, why);
}

static void fail(struct uv_wire *w, int code, const char *what)
{
    struct err e;

    (void)err_say(&e, code, "%s: %s", what, uv_strerror(code));
    say_ended(w, &e);
}

static void on_timer(uv_timer_t *timer)
{
    struct uv_wire *w = container_of(timer, struct uv_wire, timer);

    say_ended(w, &w->trouble);
}

/* From inside a call of the owner's: said from the loop. */
static void fail_later(struct uv_wire *w)
{
    w->ending = true;
    (void)uv_timer_start(&w->timer, on_timer, 0, 0);
}

static void gone_one(struct uv_wire *w)
{
    assert(w->live > 0);
    if (--w->live > 0) {
        return;
    }
    frame_reader_finish(&w->reader);
    buf_finish(&w->out);
    buf_finish(&w->last);
    w->closed(w);
}

/* ---- writing ---- */

static void give_back(struct buf *b)
{
    if (b->cap > KEEP_MAX) {
        buf_finish(b);
    } else {
        buf_clear(b);
    }
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    (void)status; /* the peer's end, or the timer, says the rest */
    gone_one(container_of(req, struct uv_wire, shutdown));
}

/* What the peer still sends is read and dropped: closing over unread bytes would reset the
 * connection, and the peer might never see the last frame. */
static void begin_shutdown(struct uv_wire *w)
{
    if (uv_shutdown(&w->shutdown, (uv_stream_t *)&w->tcp, on_shutdown) == 0) {
        w->live++;
    }
}

static void flush(struct uv_wire *w);

static void written(struct uv_wire *w, int status)
{
    w->writing = false;
    if (w->closing || w->ended) {
        return;
    }
    if (status < 0) {
        fail(w, status, "write");
        return;
    }
    give_back(&w->out);
    if (w->last.len > 0) {
        struct buf out = w->out;

        w->out = w->last;
        w->last = out;
        flush(w);
    } else if (w->ending) {
        begin_shutdown(w);
    } else {
        w->events->writable(w);
    }
}

static void on_write(uv_write_t *req, int status)
{
    struct uv_wire *w = container_of(req, struct uv_wire, write);

    written(w, status);
    gone_one(w);
}

/* Sends what is in `out`, if anything is. */
static void flush(struct uv_wire *w)
{
    uv_buf_t b = uv_buf_init(w->out.data, (unsigned)w->out.len);
    int rc = uv_write(&w->write, (uv_stream_t *)&w->tcp, &b, 1, on_write);

    if (rc < 0) {
        (void)err_say(&w->trouble, rc, "write: %s", uv_strerror(rc));
        fail_later(w);
        return;
    }
    w->writing = true;
    w->live++;
}

/* Appends the frame to `to` as it goes over the wire. */
static int frame_out(struct uv_wire *w, const void *bytes, size_t len, struct buf *to,
                     struct err *e)
{
    auto_buf struct buf plain = {0};

    if (w->layer == NULL) {
        frame_put(to, bytes, len);
        return 0;
    }
    frame_put(&plain, bytes, len);
    return w->layer->out(w->layer, plain.data, plain.len, to, e);
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)handle;
    (void)suggested;
    *ret = uv_buf_init(xmalloc(READ_MAX), READ_MAX);
}

static void take_frames(struct uv_wire *w)
{
    const uint8_t *bytes;
    size_t len;
    struct err e = {0};
    int rc = 0;

    while (!w->ending && !w->closing && (rc = frame_next(&w->reader, &bytes, &len, &e)) > 0) {
        w->events->frame(w, bytes, len);
    }
    if (rc < 0) {
        say_ended(w, &e);
    }
    if (w->reader.done == w->reader.in.len && w->reader.in.cap > KEEP_MAX && !w->closing) {
        buf_finish(&w->reader.in);
        w->reader.done = 0;
    }
}

/* Through the layer; what it answers is sent when the frame in flight is gone. */
static int layer_in(struct uv_wire *w, const void *bytes, size_t len, struct buf *plain,
                    struct err *e)
{
    auto_buf struct buf back = {0};
    int rc = w->layer->in(w->layer, bytes, len, plain, &back, e);

    if (rc == 0 && back.len > 0) {
        buf_append(w->writing ? &w->last : &w->out, back.data, back.len);
        if (!w->writing) {
            flush(w);
        }
    }
    return rc;
}

static void take_bytes(struct uv_wire *w, const char *bytes, size_t len)
{
    auto_buf struct buf plain = {0};
    struct err e = {0};
    int rc = 0;

    if (w->layer != NULL) {
        rc = layer_in(w, bytes, len, &plain, &e);
        bytes = buf_text(&plain);
        len = plain.len;
    }
    if (rc == 0 && len > 0) {
        rc = frame_feed(&w->reader, bytes, len, &e);
    }
    if (rc < 0) {
        say_ended(w, &e);
        return;
    }
    take_frames(w);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct uv_wire *w = container_of((uv_tcp_t *)stream, struct uv_wire, tcp);
    auto_free char *bytes = b->base;

    if (n > 0 && !w->ending) {
        take_bytes(w, bytes, (size_t)n);
    } else if (n == UV_EOF) {
        struct err e = {0};

        say_ended(w, &e);
    } else if (n < 0) {
        fail(w, (int)n, "read");
    }
}

/* ---- for the owner ---- */

void uv_wire_init(struct uv_wire *w, uv_loop_t *loop, const struct uv_wire_events *events,
                  uint32_t frame_max)
{
    int rc = uv_tcp_init(loop, &w->tcp);

    assert(rc == 0);
    rc = uv_timer_init(loop, &w->timer);
    assert(rc == 0);
    w->events = events;
    w->live = 2;
    frame_reader_init(&w->reader, frame_max);
}

static void on_first(uv_timer_t *timer)
{
    uv_wire_poke(container_of(timer, struct uv_wire, timer));
}

static void on_connect(uv_connect_t *req, int status)
{
    struct uv_wire *w = container_of(req, struct uv_wire, connect);
    struct err e;

    if (!w->closing && status < 0) {
        fail(w, status, "connect");
    } else if (!w->closing && uv_wire_start(w, &e) < 0) {
        say_ended(w, &e);
    }
    gone_one(w);
}

void uv_wire_connect(struct uv_wire *w, const struct sockaddr *address)
{
    int rc = uv_tcp_connect(&w->connect, &w->tcp, address, on_connect);

    if (rc < 0) {
        (void)err_say(&w->trouble, rc, "connect: %s", uv_strerror(rc));
        fail_later(w);
        return;
    }
    w->live++;
}

int uv_wire_start(struct uv_wire *w, struct err *e)
{
    int rc = uv_read_start((uv_stream_t *)&w->tcp, on_alloc, on_read);

    assert(!w->started && !w->closing);
    if (rc < 0) {
        return err_say(e, rc, "read: %s", uv_strerror(rc));
    }
    (void)uv_tcp_nodelay(&w->tcp, 1);
    w->started = true;
    return uv_timer_start(&w->timer, on_first, 0, 0);
}

void uv_wire_limit(struct uv_wire *w, uint32_t frame_max)
{
    assert(frame_max <= FRAME_MAX);
    w->reader.max = frame_max;
}

bool uv_wire_is_writable(const struct uv_wire *w)
{
    return w->started && !w->writing && !w->ending && !w->closing;
}

void uv_wire_write(struct uv_wire *w, const void *bytes, size_t len)
{
    assert(uv_wire_is_writable(w));
    if (frame_out(w, bytes, len, &w->out, &w->trouble) < 0) {
        fail_later(w);
    } else {
        flush(w);
    }
}

void uv_wire_poke(struct uv_wire *w)
{
    if (uv_wire_is_writable(w)) {
        w->events->writable(w);
    }
}

void uv_wire_end(struct uv_wire *w, const void *bytes, size_t len)
{
    if (w->ending || w->closing) {
        return;
    }
    w->ending = true;
    (void)uv_timer_start(&w->timer, on_timer, END_MS, 0);
    if (frame_out(w, bytes, len, w->writing ? &w->last : &w->out, &w->trouble) < 0) {
        fail_later(w);
    } else if (!w->writing) {
        flush(w);
    }
}

static void on_closed_tcp(uv_handle_t *handle)
{
    gone_one(container_of((uv_tcp_t *)handle, struct uv_wire, tcp));
}

static void on_closed_timer(uv_handle_t *handle)
{
    gone_one(container_of((uv_timer_t *)handle, struct uv_wire, timer));
}

void uv_wire_close(struct uv_wire *w, void (*closed)(struct uv_wire *wire))
{
    if (w->closing) {
        return;
    }
    w->closing = true;
    w->closed = closed;
    uv_close((uv_handle_t *)&w->tcp, on_closed_tcp);
    uv_close((uv_handle_t *)&w->timer, on_closed_timer);
}

void uv_wire_peer(const struct uv_wire *w, char *ret, size_t size)
{
    struct sockaddr_storage ss = {0};
    int len = sizeof(ss);
    char host[INET6_ADDRSTRLEN] = "";

    (void)snprintf(ret, size, "?");
    if (uv_tcp_getpeername(&w->tcp, (struct sockaddr *)&ss, &len) < 0) {
        return;
    }
    if (ss.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&ss;

        (void)uv_ip4_name(in, host, sizeof(host));
        (void)snprintf(ret, size, "%s:%u", host, ntohs(in->sin_port));
    } else if (ss.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&ss;

        (void)uv_ip6_name(in, host, sizeof(host));
        (void)snprintf(ret, size, "[%s]:%u", host, ntohs(in->sin6_port));
    }
}

/* ---- addresses ---- */

static int port_of(const char *text, int *ret)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || value > 65535) {
        return -EINVAL;
    }
    *ret = (int)value;
    return 0;
}

int uv_wire_parse(const char *text, struct sockaddr_storage *ret, struct err *e)
{
    char host[INET6_ADDRSTRLEN + 1];
    const char *colon = strrchr(text, ':');
    bool v6 = text[0] == '[';
    size_t len = colon != NULL ? (size_t)(colon - text) : 0;
    struct sockaddr_storage ss = {0};
    int port, rc = -EINVAL;

    if (v6 && len > 2 && text[len - 1] == ']' && len - 2 < sizeof(host)) {
        (void)snprintf(host, sizeof(host), "%.*s", (int)len - 2, text + 1);
    } else if (!v6 && len > 0 && len < sizeof(host)) {
        (void)snprintf(host, sizeof(host), "%.*s", (int)len, text);
    } else {
        len = 0;
    }
    if (len > 0 && port_of(colon + 1, &port) == 0) {
        rc = v6 ? uv_ip6_addr(host, port, (struct sockaddr_in6 *)&ss)
                : uv_ip4_addr(host, port, (struct sockaddr_in *)&ss);
    }
    if (rc < 0) {
        return err_say(e, EINVAL,
                       "\"%s\" is no address: it takes ADDR:PORT, as 192.0.2.1:7717 or "
                       "[2001:db8::1]:7717",
                       text);
    }
    *ret = ss;
    return 0;
}
