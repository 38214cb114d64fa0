// SPDX-License-Identifier: Apache-2.0
#include "agent/net/uv_nftchild.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

#define ANSWER_MAX (1u << 20) /* a line of its; a longer one is madness */

struct uv_nftchild {
    uv_process_t process;
    uv_poll_t poll;
    struct uv_nftchild_events events;
    int fd;
    unsigned live; /* handles */
    bool dropped;
    struct buf out;
    struct buf in;
};

static void let_go(struct uv_nftchild *c)
{
    struct uv_nftchild_events events = c->events;

    if (--c->live > 0) {
        return;
    }
    (void)close(c->fd);
    buf_finish(&c->out);
    buf_finish(&c->in);
    free(c);
    events.closed(events.arg);
}

static void on_poll_closed(uv_handle_t *handle)
{
    let_go(container_of((uv_poll_t *)handle, struct uv_nftchild, poll));
}

static void on_process_closed(uv_handle_t *handle)
{
    let_go(container_of((uv_process_t *)handle, struct uv_nftchild, process));
}

void uv_nftchild_drop(struct uv_nftchild *c)
{
    assert(!c->dropped);
    c->dropped = true;
    uv_close((uv_handle_t *)&c->poll, on_poll_closed);
    if (uv_is_active((uv_handle_t *)&c->process)) {
        (void)uv_process_kill(&c->process, SIGKILL); /* on_exit_nft closes it: no zombie */
    } else {
        uv_close((uv_handle_t *)&c->process, on_process_closed);
    }
}

static void end(struct uv_nftchild *c)
{
    uv_nftchild_drop(c);
    c->events.gone(c->events.arg);
}

/* ---- what it says ---- */

static void take_lines(struct uv_nftchild *c)
{
    char *newline;

    while (!c->dropped && c->in.len > 0 &&
           (newline = memchr(c->in.data, '\n', c->in.len)) != NULL) {
        size_t len = (size_t)(newline - c->in.data) + 1;

        *newline = '\0';
        c->events.line(c->events.arg, c->in.data);
        buf_consume(&c->in, len);
    }
}

void uv_nftchild_receive(struct uv_nftchild *c)
{
    char bytes[8192];
    ssize_t got;

    do {
        got = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (got > 0) {
            buf_append(&c->in, bytes, (size_t)got);
            take_lines(c);
        }
    } while (got > 0 && !c->dropped && c->in.len <= ANSWER_MAX);
    if (!c->dropped && (got >= 0 || (errno != EAGAIN && errno != EINTR))) {
        end(c);
    }
}

/* ---- what it is told ---- */

static void on_socket(uv_poll_t *poll, int status, int events);

static void transmit(struct uv_nftchild *c)
{
    ssize_t put = 0;

    while (c->out.len > 0 && put >= 0) { /* full: later; broken: reading tells */
        put = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put > 0) {
            buf_consume(&c->out, (size_t)put);
        }
    }
    (void)uv_poll_start(&c->poll, UV_READABLE | (c->out.len > 0 ? UV_WRITABLE : 0), on_socket);
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct uv_nftchild *c = container_of(poll, struct uv_nftchild, poll);

    if ((events & UV_WRITABLE) != 0) {
        transmit(c);
    }
    if (status < 0 || (events & UV_READABLE) != 0) {
        uv_nftchild_receive(c);
    }
}

void uv_nftchild_send(struct uv_nftchild *c, const char *text, size_t len)
{
    assert(!c->dropped);
    buf_append(&c->out, text, len);
    transmit(c);
}

void uv_nftchild_wait(struct uv_nftchild *c, unsigned timeout_ms)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};

    p.events = (short)(POLLIN | (c->out.len > 0 ? POLLOUT : 0));
    (void)poll(&p, 1, (int)timeout_ms);
    transmit(c);
    uv_nftchild_receive(c);
}

/* ---- its life ---- */

static void on_exit_nft(uv_process_t *process, int64_t code, int signal)
{
    struct uv_nftchild *c = container_of(process, struct uv_nftchild, process);

    (void)code;
    (void)signal;
    if (!c->dropped) {
        uv_nftchild_receive(c); /* its last words */
    }
    if (!c->dropped) {
        end(c);
    }
    if (!uv_is_closing((uv_handle_t *)process)) { /* it was dropped while it lived */
        uv_close((uv_handle_t *)process, on_process_closed);
    }
}

/* Detached, so that Ctrl-C in a terminal is for us alone. */
static int spawn(uv_loop_t *loop, const char *program, struct uv_nftchild *c, int fd)
{
    char *args[] = {(char *)(uintptr_t)program, (char *)"-j", (char *)"-i", NULL};
    char *env[] = {(char *)"PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
                   (char *)"LC_ALL=C",
                   /* At its end it writes a history into its home: here it can have none. */
                   (char *)"HOME=/dev/null", NULL};
    uv_stdio_container_t stdio[3];
    uv_process_options_t options = {.file = program,
                                    .args = args,
                                    .env = env,
                                    .flags = UV_PROCESS_DETACHED,
                                    .exit_cb = on_exit_nft,
                                    .stdio = stdio,
                                    .stdio_count = 3};

    for (unsigned i = 0; i < 3; i++) {
        stdio[i] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = fd};
    }
    FAILPOINT("agent.net.before_nft_spawn");
    return uv_spawn(loop, &c->process, &options);
}

int uv_nftchild_start(struct uv_loop_s *loop, const char *program,
                      const struct uv_nftchild_events *events, struct uv_nftchild **ret,
                      struct err *e)
{
    struct uv_nftchild *c;
    int fds[2];
    int rc;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        return err_set(e, errno, "make a socket for nft");
    }
    c = xcalloc(1, sizeof(*c));
    c->events = *events;
    c->fd = fds[0];
    c->live = 2;
    *ret = c;
    rc = uv_poll_init(loop, &c->poll, c->fd);
    assert(rc == 0);
    rc = spawn(loop, program, c, fds[1]);
    FAILPOINT("agent.net.after_nft_spawn");
    (void)close(fds[1]);
    if (rc < 0) {
        uv_nftchild_drop(c);
        return err_set(e, rc, "start %s", program);
    }
    return 0;
}

int uv_nftchild_pid(const struct uv_nftchild *c)
{
    return c->process.pid;
}
