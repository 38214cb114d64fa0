// SPDX-License-Identifier: Apache-2.0
#include "agent/net/uv_netwatch.h"

#include <assert.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "agent/net/nlbatch.h"
#include "common/cleanup.h"

#define GATHER_MS    20u  /* what belongs together comes within this time */
#define PAUSE_MS     200u /* between two calls */
#define PIECES_MAX   16   /* of at most 32 KiB, per turn of the loop */
#define RECEIVE_SIZE (1 << 20)

#define GROUPS                                                                                     \
    (RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR |                   \
     RTMGRP_IPV6_ROUTE | RTMGRP_NEIGH | RTMGRP_TC)

struct uv_netwatch {
    struct uv_netwatch_config config;
    uv_poll_t poll;
    uv_timer_t timer;
    int fd;
    uint64_t called_ms; /* when `due` was called last */
    uint64_t at_ms;     /* when it will be; UINT64_MAX: not */
    unsigned live;
    void (*closed)(void *arg);
    void *closed_arg;
};

static void on_due(uv_timer_t *timer)
{
    struct uv_netwatch *w = container_of(timer, struct uv_netwatch, timer);

    w->at_ms = UINT64_MAX;
    w->called_ms = uv_now(timer->loop);
    w->config.due(w->config.arg);
}

void uv_netwatch_again(struct uv_netwatch *w, unsigned ms)
{
    uint64_t now = uv_now(w->timer.loop);
    uint64_t at = now + ms;

    if (at < w->called_ms + PAUSE_MS) {
        at = w->called_ms + PAUSE_MS;
    }
    if (at < w->at_ms) {
        w->at_ms = at;
        (void)uv_timer_start(&w->timer, on_due, at - now, 0);
    }
}

/* Returns false when there is no more for now. */
static bool take_piece(struct uv_netwatch *w, bool *ret_matters)
{
    _Alignas(struct nlmsghdr) char bytes[32768];
    const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)bytes;
    ssize_t got = recv(w->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    int len = (int)got;
    struct rtnlevent event;

    if (got < 0) {
        *ret_matters |= errno == ENOBUFS; /* something was lost, perhaps what matters */
        return errno == ENOBUFS || errno == EINTR;
    }
    for (; !*ret_matters && nlbatch_is_message(h, len); h = mnl_nlmsg_next(h, &len)) {
        *ret_matters = rtnlevent_read(h, &event) && w->config.matters(w->config.arg, &event);
    }
    return got > 0;
}

static void on_events(uv_poll_t *poll, int status, int events)
{
    struct uv_netwatch *w = container_of(poll, struct uv_netwatch, poll);
    bool matters = status < 0;

    (void)events;
    for (unsigned i = 0; i < PIECES_MAX && take_piece(w, &matters); i++) {
    }
    if (matters) {
        uv_netwatch_again(w, GATHER_MS);
    }
}

static int open_socket(struct err *e)
{
    auto_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    struct sockaddr_nl name = {.nl_family = AF_NETLINK, .nl_groups = GROUPS};
    int size = RECEIVE_SIZE;

    if (fd < 0) {
        return err_set(e, errno, "open a netlink socket");
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    if (bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0) {
        return err_set(e, errno, "listen to changes of the network");
    }
    return take_fd(&fd);
}

int uv_netwatch_create(const struct uv_netwatch_config *config, struct uv_netwatch **ret,
                       struct err *e)
{
    int fd = open_socket(e);
    struct uv_netwatch *w;
    int rc;

    if (fd < 0) {
        return fd;
    }
    w = xcalloc(1, sizeof(*w));
    w->config = *config;
    w->fd = fd;
    w->at_ms = UINT64_MAX;
    w->live = 2;
    (void)uv_timer_init(config->loop, &w->timer);
    rc = uv_poll_init(config->loop, &w->poll, fd);
    assert(rc == 0);
    (void)uv_poll_start(&w->poll, UV_READABLE, on_events);
    *ret = w;
    return 0;
}

static void let_go(struct uv_netwatch *w)
{
    if (--w->live > 0) {
        return;
    }
    (void)close(w->fd);
    w->closed(w->closed_arg);
    free(w);
}

static void on_poll_closed(uv_handle_t *handle)
{
    let_go(container_of((uv_poll_t *)handle, struct uv_netwatch, poll));
}

static void on_timer_closed(uv_handle_t *handle)
{
    let_go(container_of((uv_timer_t *)handle, struct uv_netwatch, timer));
}

void uv_netwatch_close(struct uv_netwatch *w, void (*closed)(void *arg), void *arg)
{
    w->closed = closed;
    w->closed_arg = arg;
    uv_close((uv_handle_t *)&w->poll, on_poll_closed);
    uv_close((uv_handle_t *)&w->timer, on_timer_closed);
}
