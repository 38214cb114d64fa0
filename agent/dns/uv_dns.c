// SPDX-License-Identifier: Apache-2.0
/* Datagrams are taken in groups straight from the sockets, and a turn of the loop takes a bounded
 * number of groups of each: a flood costs others their turn, not their answers. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/dns/uv_dns_priv.h"
#include "common/cleanup.h"
#include "common/log.h"

#define GROUP        32  /* datagrams of one call */
#define GROUPS       4   /* calls of one socket in one turn */
#define QUESTION_MAX 512 /* bytes of a question by UDP: longer ones are none */
#define TICK_MS      250u
#define CACHE_MAX    (4u << 20)
#define LOOK_MS      1000u /* between two looks at resolv.conf */
#define SPACE        (1 << 20)

/* ---- limits ---- */

static bool may_ask(struct client *c, uint64_t now_ms)
{
    uint64_t more = (now_ms - c->since_ms) * CLIENT_RATE;
    uint64_t most = CLIENT_BURST * 1000ull;

    c->since_ms = now_ms;
    c->tokens = c->tokens + more > most ? most : c->tokens + more;
    if (c->tokens < 1000) {
        return false;
    }
    c->tokens -= 1000;
    return true;
}

/* Order of answers need not be unpredictable (xorshift64*); ids are from getrandom. */
static uint32_t next_random(struct uv_dns *d)
{
    d->random ^= d->random >> 12;
    d->random ^= d->random << 25;
    d->random ^= d->random >> 27;
    return (uint32_t)(d->random * 0x2545f4914f6cdd1dull >> 32);
}

/* ---- the host's resolvers ---- */

static void look_at_resolvers(struct uv_dns *d, uint64_t now_ms)
{
    struct stat st;
    char text[8192];
    auto_fclose FILE *f = NULL;
    size_t n = 0;

    if (d->servers_ms != 0 && now_ms < d->servers_ms + LOOK_MS) {
        return;
    }
    if (stat(d->resolv_conf, &st) < 0) {
        d->n_servers = 0;
        d->changed = (struct timespec){0};
    } else if (d->servers_ms == 0 || st.st_mtim.tv_sec != d->changed.tv_sec ||
               st.st_mtim.tv_nsec != d->changed.tv_nsec) {
        f = fopen(d->resolv_conf, "re");
        n = f != NULL ? fread(text, 1, sizeof(text) - 1, f) : 0;
        text[n] = '\0';
        d->changed = st.st_mtim;
        d->n_servers = resolvconf_servers(text, d->address, d->servers);
        memset(d->silent_until_ms, 0, sizeof(d->silent_until_ms));
    }
    d->servers_ms = now_ms;
}

/* ---- one message ---- */

size_t uv_dns_message(struct uv_dns *d, const struct reply_to *to, const uint8_t *message,
                      size_t len, uint8_t *ret, size_t size)
{
    uint32_t from = ntohl(to->peer.sin_addr.s_addr);
    uint64_t now_ms = uv_now(d->loop);
    struct dns_asker asker;
    struct dnsmsg_question q;
    const uint32_t *servers = NULL;
    unsigned n = 0;
    size_t answer = 0;

    d->stats.queries++;
    if (!may_ask(uv_dns_client(d, from), now_ms) ||
        !d->config.asker(d->config.arg, from, &asker, &servers, &n)) {
        d->stats.dropped++;
        return 0;
    }
    switch (dns_answer(d->config.names, &asker, message, len, to->conn != NULL, next_random(d), ret,
                       size, &answer)) {
    case DNS_ANSWERED:
        d->stats.answered++;
        return answer;
    case DNS_FORWARD:
        (void)dnsmsg_read(message, len, &q);
        if (servers == NULL) {
            look_at_resolvers(d, now_ms);
            servers = d->servers;
            n = d->n_servers;
        }
        return uv_dns_forward(d, to, &q, servers, n, ret, size);
    case DNS_IGNORE:
        break;
    }
    d->stats.dropped++;
    return 0;
}

void uv_dns_send(struct uv_dns *d, const struct reply_to *to, const void *answer, size_t len)
{
    if (to->conn != NULL) {
        uv_dns_tcp_answer(to->conn, answer, len);
    } else {
        (void)sendto(d->queues[0].fd, answer, len, MSG_DONTWAIT, (const struct sockaddr *)&to->peer,
                     sizeof(to->peer));
    }
}

/* ---- datagrams ---- */

struct group {
    struct mmsghdr in[GROUP], out[GROUP];
    struct iovec in_iov[GROUP], out_iov[GROUP];
    struct sockaddr_in peer[GROUP];
    uint8_t question[GROUP][QUESTION_MAX];
    uint8_t answer[GROUP][DNS_UDP_MAX];
};

static int take_group(const struct queue *q, struct group *g)
{
    for (unsigned i = 0; i < GROUP; i++) {
        g->in_iov[i] = (struct iovec){.iov_base = g->question[i], .iov_len = QUESTION_MAX};
        g->in[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &g->peer[i],
                                                .msg_namelen = sizeof(g->peer[i]),
                                                .msg_iov = &g->in_iov[i],
                                                .msg_iovlen = 1}};
    }
    return recvmmsg(q->fd, g->in, GROUP, MSG_DONTWAIT, NULL);
}

/* One that cannot go, because its asker is gone or the socket has no room, is lost, as datagrams
 * may be; those behind it are not. */
static void send_group(const struct queue *q, struct mmsghdr *out, unsigned due)
{
    for (unsigned at = 0; at < due;) {
        int put = sendmmsg(q->fd, out + at, due - at, MSG_DONTWAIT);

        at += put > 0 ? (unsigned)put : 1;
    }
}

static void answer_group(const struct queue *q, struct group *g, unsigned n)
{
    unsigned due = 0;

    for (unsigned i = 0; i < n; i++) {
        const struct reply_to to = {.peer = g->peer[i]};
        size_t len = 0;

        if ((g->in[i].msg_hdr.msg_flags & MSG_TRUNC) == 0 && g->peer[i].sin_family == AF_INET) {
            len = uv_dns_message(q->dns, &to, g->question[i], g->in[i].msg_len, g->answer[due],
                                 DNS_UDP_MAX);
        }
        if (len > 0) {
            g->out_iov[due] = (struct iovec){.iov_base = g->answer[due], .iov_len = len};
            g->out[due] = (struct mmsghdr){.msg_hdr = {.msg_name = &g->peer[i],
                                                       .msg_namelen = sizeof(g->peer[i]),
                                                       .msg_iov = &g->out_iov[due],
                                                       .msg_iovlen = 1}};
            due++;
        }
    }
    send_group(q, g->out, due);
}

static void on_datagrams(uv_poll_t *poll, int status, int events)
{
    struct queue *q = container_of(poll, struct queue, poll);
    struct group g;
    int n = status < 0 ? -1 : GROUP;

    (void)events;
    for (unsigned i = 0; i < GROUPS && n == GROUP && !q->dns->closing; i++) {
        n = take_group(q, &g);
        if (n > 0) {
            answer_group(q, &g, (unsigned)n);
        }
    }
}

/* ---- life ---- */

static void on_timer(uv_timer_t *timer)
{
    struct uv_dns *d = container_of(timer, struct uv_dns, timer);

    uv_dns_forward_tick(d, uv_now(d->loop));
    uv_dns_tcp_tick(d, uv_now(d->loop));
    if (d->n_flights == 0 && d->n_conns == 0) {
        (void)uv_timer_stop(timer);
    }
}

void uv_dns_wake(struct uv_dns *d)
{
    if (!uv_is_active((uv_handle_t *)&d->timer)) {
        (void)uv_timer_start(&d->timer, on_timer, TICK_MS, TICK_MS);
    }
}

void uv_dns_let_go(struct uv_dns *d)
{
    void (*closed)(void *arg) = d->closed;
    void *arg = d->closed_arg;

    if (--d->live > 0) {
        return;
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        if (d->queues[i].fd >= 0) {
            (void)close(d->queues[i].fd);
        }
    }
    dnscache_destroy(d->cache);
    free(d->clients);
    free(d->resolv_conf);
    free(d);
    if (closed != NULL) {
        closed(arg);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    uv_dns_let_go(handle->data);
}

static void on_queue_closed(uv_handle_t *handle)
{
    uv_dns_let_go(container_of((uv_poll_t *)handle, struct queue, poll)->dns);
}

static int open_queue(struct queue *q, const struct sockaddr_in *name)
{
    int space = SPACE;
    int one = 1;
    int rc;

    q->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* The address may be made a moment later, or come back after somebody removed it. */
    if (q->fd < 0 || setsockopt(q->fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one)) < 0 ||
        setsockopt(q->fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0 ||
        bind(q->fd, (const struct sockaddr *)name, sizeof(*name)) < 0) {
        return -errno;
    }
    (void)setsockopt(q->fd, SOL_SOCKET, SO_RCVBUFFORCE, &space, sizeof(space));
    (void)setsockopt(q->fd, SOL_SOCKET, SO_SNDBUFFORCE, &space, sizeof(space));
    rc = uv_poll_init(q->dns->loop, &q->poll, q->fd);
    assert(rc == 0);
    q->polling = true;
    q->dns->live++;
    return 0;
}

/* The sender's address modulo QUEUES chooses the socket, by the order in which they were bound
 * (SO_ATTACH_REUSEPORT_CBPF, socket(7)). */
static int spread(int fd)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + 12),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, QUEUES),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    const struct sock_fprog program = {.len = ARRAY_LEN(code), .filter = code};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) < 0
               ? -errno
               : 0;
}

static int open_udp(struct uv_dns *d, const struct sockaddr_in *name, struct err *e)
{
    int rc = 0;

    for (unsigned i = 0; i < QUEUES && rc == 0; i++) {
        rc = open_queue(&d->queues[i], name);
    }
    if (rc == 0) {
        rc = spread(d->queues[0].fd);
    }
    return rc < 0 ? err_set(e, -rc, "listen for names on %s:%u", d->config.address,
                            (unsigned)d->config.port)
                  : 0;
}

static int open_all(struct uv_dns *d, struct err *e)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(d->config.port)};
    int rc;

    if (inet_pton(AF_INET, d->config.address, &name.sin_addr) != 1) {
        return err_say(e, EINVAL, "names: \"%s\" is no IPv4 address", d->config.address);
    }
    d->address = ntohl(name.sin_addr.s_addr);
    rc = uv_dns_tcp_open(d, &name, e); /* first: it fails beside another agent */
    if (rc == 0) {
        rc = open_udp(d, &name, e);
    }
    if (rc < 0) {
        return rc;
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        (void)uv_poll_start(&d->queues[i].poll, UV_READABLE, on_datagrams);
    }
    (void)uv_timer_init(d->loop, &d->timer);
    d->timer.data = d;
    d->live++;
    return 0;
}

int uv_dns_create(struct uv_loop_s *loop, const struct uv_dns_config *config, struct uv_dns **ret,
                  struct err *e)
{
    struct uv_dns *d = xcalloc(1, sizeof(*d));
    int rc;

    d->loop = loop;
    d->config = *config;
    d->resolv_conf = xstrdup(config->resolv_conf);
    d->config.resolv_conf = d->resolv_conf;
    d->live = 1;
    for (unsigned i = 0; i < QUEUES; i++) {
        d->queues[i] = (struct queue){.dns = d, .fd = -1};
    }
    d->flights_end = &d->flights;
    d->cache = dnscache_create(CACHE_MAX);
    d->clients = xcalloc(CLIENTS, sizeof(*d->clients));
    for (unsigned i = 0; i < CLIENTS; i++) {
        d->clients[i].tokens = CLIENT_BURST * 1000ull;
        d->clients[i].since_ms = uv_now(loop);
    }
    while (getrandom(&d->random, sizeof(d->random), 0) != sizeof(d->random) || d->random == 0) {
    }
    rc = open_all(d, e);
    if (rc < 0) {
        uv_dns_close(d, NULL, NULL);
        return rc;
    }
    *ret = d;
    return 0;
}

void uv_dns_stats(const struct uv_dns *d, struct uv_dns_stats *ret)
{
    *ret = d->stats;
}

void uv_dns_close(struct uv_dns *d, void (*closed)(void *arg), void *arg)
{
    assert(!d->closing);
    d->closing = true;
    d->closed = closed;
    d->closed_arg = arg;
    uv_dns_forward_close(d);
    uv_dns_tcp_close(d);
    if (d->timer.data != NULL) {
        uv_close((uv_handle_t *)&d->timer, on_timer_closed);
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        if (d->queues[i].polling) {
            uv_close((uv_handle_t *)&d->queues[i].poll, on_queue_closed);
        }
    }
    uv_dns_let_go(d);
}
