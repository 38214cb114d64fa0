// SPDX-License-Identifier: Apache-2.0
/* The listening socket is ours: libwebsockets is given descriptors that were accepted. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "controller/api/httpsock.h"
#include "controller/api/uv_http_priv.h"

#define IDLE_S   60 /* between two requests */
#define AGAIN_MS 200
#define ACCEPTS  16

static void refuse(int fd)
{
    static const char busy[] =
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: "
        "close\r\n"
        "\r\n{\"code\":\"unavailable\",\"message\":\"too many connections are open\"}\n";

    (void)send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)close(fd);
}

static void adopt(struct uv_http *h, int fd)
{
    struct lws *wsi;

    if (h->n_connections == UV_HTTP_CONNECTIONS_MAX) {
        refuse(fd);
        return;
    }
    wsi = lws_adopt_socket_vhost(h->vhost, fd); /* closes it if it fails */
    if (wsi != NULL) {
        h->connections[h->n_connections++] = wsi;
    }
}

static void on_connection(uv_poll_t *poll, int status, int events);

static void on_again(uv_timer_t *timer)
{
    struct uv_http *h = container_of(timer, struct uv_http, again);

    (void)uv_poll_start(&h->poll, UV_READABLE, on_connection);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct uv_http *h = container_of(poll, struct uv_http, poll);

    (void)events;
    for (unsigned i = 0; status == 0 && i < ACCEPTS; i++) {
        int fd = accept4(h->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            adopt(h, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
            (void)uv_poll_stop(&h->poll);
            (void)uv_timer_start(&h->again, on_again, AGAIN_MS, 0);
            return;
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

static void on_lws_log(int level, const char *line)
{
    int len = (int)strcspn(line, "\n");

    if (level == LLL_ERR) {
        log_error("http: %.*s", len, line);
    } else {
        log_debug("http: %.*s", len, line);
    }
}

static int context_create(struct uv_http *h, uv_loop_t *loop, struct err *e)
{
    static const struct lws_protocols protocols[] = {
        {.name = "http",
         .callback = uv_http_callback,
         .per_session_data_size = sizeof(struct session)},
        {0},
    };
    void *loops[] = {loop};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = protocols,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_UV_NO_SIGSEGV_SIGFPE_SPIN,
        .foreign_loops = loops,
        .gid = -1,
        .uid = -1,
        .user = h,
        .keepalive_timeout = IDLE_S,
        .timeout_secs = UV_HTTP_REQUEST_S,
        .fd_limit_per_thread = UV_HTTP_CONNECTIONS_MAX + 16,
        .vhost_name = "wherry",
    };

    lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
    h->context = lws_create_context(&info);
    if (h->context == NULL) {
        return err_say(e, EIO, "libwebsockets does not start; is libwebsockets-evlib-uv there?");
    }
    h->vhost = lws_create_vhost(h->context, &info);
    return h->vhost != NULL ? 0 : err_say(e, EIO, "libwebsockets makes no server");
}

int uv_http_create(uv_loop_t *loop, const char *path, const struct uv_http_events *events,
                   void *arg, struct uv_http **ret, struct err *e)
{
    struct uv_http *h = xcalloc(1, sizeof(*h));
    int rc = httpsock_listen(path, &h->fd, &h->group, e);

    if (rc < 0) {
        free(h);
        return rc;
    }
    h->events = events;
    h->arg = arg;
    h->path = xstrdup(path);
    if (uv_poll_init(loop, &h->poll, h->fd) < 0 || uv_timer_init(loop, &h->again) < 0) {
        die("libuv makes no handles for %s", path);
    }
    rc = context_create(h, loop, e);
    if (rc < 0) {
        uv_http_close(h);
        (void)uv_run(loop, UV_RUN_NOWAIT);
        uv_http_destroy(h);
        return rc;
    }
    (void)uv_poll_start(&h->poll, UV_READABLE, on_connection);
    *ret = h;
    return 0;
}

void uv_http_close(struct uv_http *h)
{
    if (h->closing) {
        return;
    }
    h->closing = true;
    (void)unlink(h->path);
    uv_close((uv_handle_t *)&h->poll, NULL);
    uv_close((uv_handle_t *)&h->again, NULL);
    if (h->context != NULL) {
        lws_context_destroy(h->context);
    }
}

void uv_http_destroy(struct uv_http *h)
{
    if (h == NULL) {
        return;
    }
    assert(h->closing);
    if (h->context != NULL) {
        lws_context_destroy(h->context);
    }
    (void)close(h->fd);
    free(h->path);
    free(h);
}
