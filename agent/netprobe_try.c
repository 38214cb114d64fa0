// SPDX-License-Identifier: Apache-2.0
/* What a program in the container would see: its sockets are made here, in its namespace. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent/net/netns.h"
#include "agent/netprobe.h"
#include "agent/sockets.h"
#include "common/askrow.h"
#include "common/cleanup.h"

#define CONNECT_MS 2000
#define NAME_MS    2000
#define OTHERS_MAX 6u

static long long now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (long long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- the name ---- */

/* RFC 1035, 4.1: one question for A. Returns its length; 0: the name is none. */
static size_t make_question(const char *name, uint16_t id, uint8_t *ret, size_t size)
{
    const char *at = name;
    size_t n = 12;

    memset(ret, 0, n);
    ret[0] = (uint8_t)(id >> 8);
    ret[1] = (uint8_t)id;
    ret[2] = 1; /* recursion desired */
    ret[5] = 1;
    while (*at != '\0') {
        size_t len = strcspn(at, ".");

        if (len == 0 || len > 63 || n + len + 6 > size) {
            return 0;
        }
        ret[n++] = (uint8_t)len;
        memcpy(ret + n, at, len);
        n += len;
        at += len + (at[len] == '.');
    }
    memcpy(ret + n, "\0\0\1\0\1", 5);
    return n + 5;
}

/* Skips a name, which may end in a pointer. Returns where it ends; 0: beyond the message. */
static size_t skip_name(const uint8_t *m, size_t len, size_t at)
{
    while (at < len && m[at] != 0 && m[at] < 0xc0) {
        at += m[at] + 1u;
    }
    return at >= len ? 0 : at + (m[at] >= 0xc0 ? 2 : 1);
}

/* The addresses of an answer. */
static void read_answer(const uint8_t *m, size_t len, struct buf *ret)
{
    unsigned n = len >= 12 ? (unsigned)m[6] << 8 | m[7] : 0;
    size_t at = len > 12 ? skip_name(m, len, 12) : 0;

    at += at > 0 ? 4 : 0;
    for (unsigned i = 0; i < n && at > 0 && at + 10 < len && ret->len < 200; i++) {
        size_t data;

        at = skip_name(m, len, at);
        if (at == 0 || at + 10 > len) {
            return;
        }
        data = (size_t)m[at + 8] << 8 | m[at + 9];
        if (at + 10 + data > len) {
            return;
        }
        if (m[at] == 0 && m[at + 1] == 1 && data == 4) {
            buf_printf(ret, "%s%u.%u.%u.%u", ret->len > 0 ? " " : "", m[at + 10], m[at + 11],
                       m[at + 12], m[at + 13]);
        }
        at += 10 + data;
    }
}

static ssize_t ask(const struct netprobe *p, const uint8_t *question, size_t len, uint8_t *ret,
                   size_t size)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(NET_GATEWAY)};
    struct err e;
    auto_close int fd = netns_socket(p->netns, AF_INET, SOCK_DGRAM, 0, &e);
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    ssize_t n = -1;

    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
        send(fd, question, len, 0) != (ssize_t)len) {
        return -1;
    }
    if (poll(&pfd, 1, NAME_MS) == 1) {
        n = recv(fd, ret, size, 0);
    }
    return n >= 12 && memcmp(ret, question, 2) == 0 ? n : -1;
}

/* "192.0.2.1 192.0.2.2" */
static void take_targets(struct netprobe *p, const char *addresses)
{
    auto_free char *list = xstrdup(addresses);
    char *rest = list;
    const char *word;
    struct in_addr in;

    while ((word = strsep(&rest, " ")) != NULL && p->n_targets < NETPROBE_TARGETS_MAX) {
        if (inet_pton(AF_INET, word, &in) == 1) {
            p->targets[p->n_targets++] = ntohl(in.s_addr);
        }
    }
}

void netprobe_try_name(struct netprobe *p, struct buf *rows)
{
    auto_buf struct buf addresses = {0};
    uint8_t question[NETPROBE_NAME_MAX + 32], answer[1500];
    uint16_t id = 0;
    ssize_t n;
    size_t len;

    if (getrandom(&id, sizeof(id), 0) != sizeof(id)) {
        return;
    }
    len = p->question != NULL ? make_question(p->question, id, question, sizeof(question)) : 0;
    if (len == 0 || p->netns < 0) {
        return;
    }
    n = ask(p, question, len, answer, sizeof(answer));
    if (n > 0) {
        read_answer(answer, (size_t)n, &addresses);
    }
    if (p->n_targets == 0) {
        take_targets(p, buf_text(&addresses));
    }
    askrow_put(rows, "fact", "dns");
    askrow_put(rows, "state", n < 0 ? "silent" : (answer[3] & 0x0f) != 0 ? "none" : "answered");
    askrow_put(rows, "addresses", buf_text(&addresses));
    askrow_end(rows);
}

/* ---- connections ---- */

struct attempt {
    int fd;
    int error; /* -1: it is not known yet */
    long long ms;
};

static void begin(const struct netprobe *p, uint32_t target, struct attempt *ret)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(p->port), .sin_addr.s_addr = htonl(target)};
    struct err e = {0};

    *ret = (struct attempt){.error = -1};
    ret->fd = netns_socket(p->netns, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0, &e);
    if (ret->fd < 0) {
        ret->error = -e.code;
    } else if (connect(ret->fd, (struct sockaddr *)&to, sizeof(to)) == 0) {
        ret->error = 0;
    } else if (errno != EINPROGRESS) {
        ret->error = errno;
    }
}

/* All at the same time, because each may take the whole of it. */
static void wait_all(struct attempt *list, unsigned n)
{
    long long since = now_ms();
    unsigned waiting = 1;

    while (waiting > 0 && now_ms() < since + CONNECT_MS) {
        struct pollfd fds[NETPROBE_TARGETS_MAX];

        waiting = 0;
        for (unsigned i = 0; i < n; i++) {
            fds[i] = (struct pollfd){.fd = list[i].error < 0 ? list[i].fd : -1, .events = POLLOUT};
            waiting += list[i].error < 0;
        }
        if (waiting == 0 || poll(fds, n, (int)(since + CONNECT_MS - now_ms())) <= 0) {
            return;
        }
        for (unsigned i = 0; i < n; i++) {
            socklen_t len = sizeof(list[i].error);

            if (fds[i].revents != 0) {
                (void)getsockopt(list[i].fd, SOL_SOCKET, SO_ERROR, &list[i].error, &len);
                list[i].ms = now_ms() - since;
            }
        }
    }
}

static void put_attempt(uint32_t target, const struct attempt *a, struct buf *rows)
{
    char address[NETPROBE_ADDRESS];

    netprobe_address(target, address);
    askrow_put(rows, "fact", "connect");
    askrow_put(rows, "address", address);
    askrow_put(rows, "result",
               a->error == 0              ? "connected"
               : a->error == ECONNREFUSED ? "refused"
                                          : "failed");
    if (a->error < 0) {
        askrow_putf(rows, "error", "no answer within %u s", CONNECT_MS / 1000);
    } else {
        askrow_put(rows, "error", a->error == 0 ? "" : strerror(a->error));
    }
    askrow_putf(rows, "ms", "%lld", a->ms);
    askrow_end(rows);
}

void netprobe_try_connect(const struct netprobe *p, struct buf *rows)
{
    struct attempt list[NETPROBE_TARGETS_MAX];

    if (p->netns < 0 || p->port == 0) {
        return;
    }
    for (unsigned i = 0; i < p->n_targets; i++) {
        begin(p, p->targets[i], &list[i]);
    }
    wait_all(list, p->n_targets);
    for (unsigned i = 0; i < p->n_targets; i++) {
        put_attempt(p->targets[i], &list[i], rows);
        if (list[i].fd >= 0) {
            (void)close(list[i].fd);
        }
    }
}

/* ---- who listens ---- */

struct listeners {
    const struct netprobe *p;
    bool found;
    enum sockets_on on;
    uint32_t address;
    uint16_t others[OTHERS_MAX];
    unsigned n_others;
};

static void note_other(struct listeners *l, uint16_t port)
{
    for (unsigned i = 0; i < l->n_others; i++) {
        if (l->others[i] == port) {
            return;
        }
    }
    if (l->n_others < OTHERS_MAX) {
        l->others[l->n_others++] = port;
    }
}

/* Of several on one port the one that is reached best. */
static void on_socket(void *arg, const struct socket *s)
{
    static const int rank[] = {[SOCKETS_ANY] = 2, [SOCKETS_ADDRESS] = 1, [SOCKETS_LOOPBACK] = 0};
    struct listeners *l = arg;

    if (s->udp) {
        return;
    }
    if (s->port != l->p->port) {
        note_other(l, s->port);
    } else if (!l->found || rank[s->on] > rank[l->on]) {
        l->found = true;
        l->on = s->on;
        l->address = s->address;
    }
}

void netprobe_try_listen(const struct netprobe *p, struct buf *rows)
{
    static const char *const names[] = {
        [SOCKETS_ANY] = "any", [SOCKETS_ADDRESS] = "address", [SOCKETS_LOOPBACK] = "loopback"};
    struct listeners l = {.p = p};
    auto_buf struct buf others = {0};
    auto_free char *net = xasprintf("%s/%d/net", p->world.proc, p->pid);

    if (p->pid == 0 || p->port == 0 || !sockets_each(net, on_socket, &l)) {
        return;
    }
    for (unsigned i = 0; i < l.n_others; i++) {
        buf_printf(&others, "%s%u", i > 0 ? ", " : "", l.others[i]);
    }
    askrow_put(rows, "fact", "listen");
    askrow_put(rows, "container", p->container);
    askrow_put(rows, "on", l.found ? names[l.on] : "none");
    askrow_put(rows, "others", buf_text(&others));
    askrow_end(rows);
}
