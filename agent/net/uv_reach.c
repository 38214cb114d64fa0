// SPDX-License-Identifier: Apache-2.0
#include "agent/net/uv_reach.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/icmp.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "agent/net/reach.h"
#include "common/cleanup.h"

#define TICK_MS     10u     /* questions are put in bunches of so many milliseconds */
#define ANSWERS_MAX 4096    /* read in one turn of the loop */
#define LATE_US     100000u /* what was not asked in time is not made up for */

struct uv_reach {
    uv_timer_t timer;
    uv_poll_t poll;
    int fd;
    struct reach reach;
    uint64_t cookie; /* by which our answers are known; nobody else can guess it */
    uint64_t due_us; /* when the next question is to be put */
    uint16_t seq;
    uv_reach_cb cb;
    void *arg;
    unsigned live;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* After the kernel's header, which an answer gives back unchanged but for its type. */
struct question {
    struct icmphdr icmp;
    uint32_t index; /* of the node */
    uint32_t unused;
    uint64_t cookie;
};

/* RFC 1071 */
static uint16_t checksum(const struct question *q)
{
    const unsigned char *p = (const unsigned char *)q;
    uint32_t sum = 0;

    for (size_t i = 0; i < sizeof(*q); i += 2) {
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    }
    sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t) ~(sum + (sum >> 16)));
}

/* A question that cannot be sent is one that is not answered. */
static void ask(struct uv_reach *r)
{
    unsigned i = reach_ask(&r->reach, r->cb, r->arg);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(r->reach.list[i].node.via)};
    struct question q = {.icmp.type = ICMP_ECHO, .index = i, .cookie = r->cookie};

    q.icmp.un.echo.id = (uint16_t)r->cookie;
    q.icmp.un.echo.sequence = htons(r->seq++);
    q.icmp.checksum = checksum(&q);
    (void)sendto(r->fd, &q, sizeof(q), MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to,
                 sizeof(to));
}

/* Returns false when there is none for now. */
static bool hear(struct uv_reach *r)
{
    struct {
        struct iphdr ip;
        unsigned char rest[sizeof(struct question) + 40]; /* and IPv4 options */
    } packet;
    struct question q;
    ssize_t n = recv(r->fd, &packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);
    size_t header = packet.ip.ihl * 4u;

    if (n < 0) {
        return errno == EINTR;
    }
    if ((size_t)n < sizeof(packet.ip) || header < sizeof(packet.ip) ||
        (size_t)n != header + sizeof(q)) {
        return true;
    }
    memcpy(&q, (const char *)&packet + header, sizeof(q));
    if (q.icmp.type == ICMP_ECHOREPLY && q.cookie == r->cookie && q.index < r->reach.n) {
        reach_answer(&r->reach, q.index, ntohl(packet.ip.saddr), r->cb, r->arg);
    }
    return true;
}

static void hear_all(struct uv_reach *r)
{
    for (unsigned i = 0; i < ANSWERS_MAX && hear(r); i++) {
    }
}

static void put_questions(struct uv_reach *r, uint64_t now_us)
{
    if (now_us > r->due_us + LATE_US) {
        r->due_us = now_us;
    }
    while (r->due_us <= now_us) {
        ask(r);
        r->due_us += reach_pause_us(&r->reach);
    }
}

/* What has come in the meantime is heard first. */
static void on_tick(uv_timer_t *timer)
{
    struct uv_reach *r = container_of(timer, struct uv_reach, timer);
    uint64_t now_us = uv_now(timer->loop) * 1000;
    uint64_t ms;

    hear_all(r);
    put_questions(r, now_us);
    ms = (r->due_us - now_us) / 1000;
    (void)uv_timer_start(timer, on_tick, ms > TICK_MS ? ms : TICK_MS, 0);
}

static void on_answers(uv_poll_t *poll, int status, int events)
{
    (void)events;
    if (status == 0) {
        hear_all(container_of(poll, struct uv_reach, poll));
    }
}

/* Only answers to somebody's echo come through; ours are told by the cookie. */
static int open_socket(struct err *e)
{
    auto_close int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP);
    struct icmp_filter filter = {.data = ~(1u << ICMP_ECHOREPLY)};

    if (fd < 0) {
        return err_set(e, errno, "open a socket for ICMP");
    }
    if (setsockopt(fd, SOL_RAW, ICMP_FILTER, &filter, sizeof(filter)) < 0) {
        return err_set(e, errno, "have only echo replies");
    }
    return take_fd(&fd);
}

int uv_reach_create(struct uv_loop_s *loop, uv_reach_cb cb, void *arg, struct uv_reach **ret,
                    struct err *e)
{
    auto_close int fd = open_socket(e);
    uint64_t cookie;
    struct uv_reach *r;
    int rc;

    if (fd < 0) {
        return fd;
    }
    if (getrandom(&cookie, sizeof(cookie), 0) != (ssize_t)sizeof(cookie)) {
        return err_set(e, errno, "have a random number");
    }
    r = xcalloc(1, sizeof(*r));
    r->fd = take_fd(&fd);
    r->cookie = cookie;
    r->cb = cb;
    r->arg = arg;
    r->live = 2;
    (void)uv_timer_init(loop, &r->timer);
    rc = uv_poll_init(loop, &r->poll, r->fd);
    assert(rc == 0);
    (void)uv_poll_start(&r->poll, UV_READABLE, on_answers);
    *ret = r;
    return 0;
}

void uv_reach_nodes(struct uv_reach *r, const struct net_route *nodes, unsigned n)
{
    reach_nodes(&r->reach, nodes, n, r->cb, r->arg);
    if (n == 0) {
        (void)uv_timer_stop(&r->timer);
    } else if (!uv_is_active((uv_handle_t *)&r->timer)) {
        (void)uv_timer_start(&r->timer, on_tick, TICK_MS, 0);
    }
}

static void let_go(struct uv_reach *r)
{
    if (--r->live > 0) {
        return;
    }
    (void)close(r->fd);
    reach_finish(&r->reach);
    r->closed(r->closed_arg);
    free(r);
}

static void on_timer_closed(uv_handle_t *handle)
{
    let_go(container_of((uv_timer_t *)handle, struct uv_reach, timer));
}

static void on_poll_closed(uv_handle_t *handle)
{
    let_go(container_of((uv_poll_t *)handle, struct uv_reach, poll));
}

int uv_reach_state(const struct uv_reach *r, uint32_t address)
{
    return reach_state(&r->reach, address);
}

void uv_reach_close(struct uv_reach *r, void (*closed)(void *arg), void *arg)
{
    if (r == NULL) {
        closed(arg);
        return;
    }
    r->closed = closed;
    r->closed_arg = arg;
    uv_close((uv_handle_t *)&r->timer, on_timer_closed);
    uv_close((uv_handle_t *)&r->poll, on_poll_closed);
}
