// SPDX-License-Identifier: Apache-2.0
/* Questions of the world on their way. Each has a socket of its own, connected, so with a port that
 * the kernel draws and answers from nobody else; its id is drawn, too; and an answer must repeat
 * the question letter by letter. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/dns/uv_dns_priv.h"
#include "common/cleanup.h"

#define TRY_MS     1500u /* then the next resolver */
#define GIVE_UP_MS 5000u
#define SILENT_MS  10000u /* a resolver that said nothing is asked last for so long */
#define PORT       53

struct flight {
    struct flight *next;
    struct uv_dns *dns;
    uv_poll_t poll;
    int fd;
    bool polling;
    bool tcp;
    struct reply_to to;
    uint16_t asked_id;
    struct dnsmsg_question q; /* with the id that was drawn */
    uint32_t servers[RESOLVCONF_SERVERS_MAX];
    unsigned n_servers;
    unsigned tried;
    uint64_t since_ms;
    uint64_t try_ms;
    uint8_t *in; /* tcp */
    size_t in_len;
    size_t out_at;
    bool done;
};

/* ---- the question ---- */

static size_t write_question(const struct flight *f, uint8_t *ret)
{
    size_t at = DNSMSG_HEADER;

    memset(ret, 0, DNSMSG_HEADER);
    dnsmsg_put16(ret, f->q.id);
    dnsmsg_put16(ret + 2, DNSMSG_RD);
    dnsmsg_put16(ret + 4, 1);
    memcpy(ret + at, f->q.wire, f->q.wire_len);
    at += f->q.wire_len;
    dnsmsg_put16(ret + at, f->q.type);
    dnsmsg_put16(ret + at + 2, f->q.class);
    at += 4;
    if (f->q.edns) { /* ours: what the asker put into its own goes no further */
        memset(ret + at, 0, 11);
        dnsmsg_put16(ret + at + 1, DNSMSG_OPT);
        dnsmsg_put16(ret + at + 3, f->q.udp_size < DNS_UDP_MAX ? f->q.udp_size : DNS_UDP_MAX);
        dnsmsg_put16(ret + 10, 1);
        at += 11;
    }
    return at;
}

#define QUESTION_SPACE (DNSMSG_HEADER + DNSMSG_NAME_WIRE + 4 + 11)

/* ---- the end of one ---- */

static void on_flight_closed(uv_handle_t *handle)
{
    struct flight *f = container_of((uv_poll_t *)handle, struct flight, poll);
    struct uv_dns *d = f->dns;

    (void)close(f->fd);
    free(f->in);
    free(f);
    uv_dns_let_go(d);
}

static void on_socket(uv_poll_t *poll, int status, int events);

static void land(struct flight *f)
{
    struct uv_dns *d = f->dns;
    struct flight **at = &d->flights;

    assert(!f->done);
    f->done = true;
    while (*at != f) {
        at = &(*at)->next;
    }
    *at = f->next;
    if (d->flights_end == &f->next) {
        d->flights_end = at;
    }
    d->n_flights--;
    uv_dns_client(d, ntohl(f->to.peer.sin_addr.s_addr))->flight--;
    if (f->polling) {
        uv_close((uv_handle_t *)&f->poll, on_flight_closed);
        return;
    }
    free(f->in);
    free(f);
}

static void fail(struct flight *f, enum dnsmsg_rcode rcode)
{
    uint8_t answer[DNSMSG_PLAIN_MAX];
    struct dnsmsg_writer w;

    f->q.id = f->asked_id;
    dnsmsg_begin(&w, answer, sizeof(answer), &f->q);
    f->dns->stats.failed++;
    uv_dns_send(f->dns, &f->to, answer, dnsmsg_end(&w, &f->q, false, rcode));
    land(f);
}

static size_t room(const struct flight *f)
{
    return f->to.conn != NULL            ? DNS_TCP_MAX
           : f->q.udp_size < DNS_UDP_MAX ? f->q.udp_size
                                         : DNS_UDP_MAX;
}

static void deliver(struct flight *f, uint8_t *answer, size_t len)
{
    struct uv_dns *d = f->dns;

    if (len > room(f)) { /* it answers more than was asked for */
        fail(f, DNSMSG_SERVFAIL);
        return;
    }
    dnscache_put(d->cache, f->servers[0], &f->q, answer, len, uv_now(d->loop));
    dnsmsg_put16(answer, f->asked_id);
    uv_dns_send(d, &f->to, answer, len);
    land(f);
}

/* ---- trying ---- */

static int open_socket(const struct flight *f, uint32_t server)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(server)};
    auto_close int fd =
        socket(AF_INET, (f->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)) {
        return -errno;
    }
    return take_fd(&fd);
}

/* Which resolver comes next: those that were silent lately come last. */
static uint32_t pick(const struct flight *f)
{
    const struct uv_dns *d = f->dns;
    unsigned first = 0;

    while (first + 1 < f->n_servers && first < d->n_servers &&
           f->servers[first] == d->servers[first] && uv_now(d->loop) < d->silent_until_ms[first]) {
        first++;
    }
    return f->servers[(first + f->tried) % f->n_servers];
}

static void note_silent(struct flight *f, uint32_t server)
{
    struct uv_dns *d = f->dns;

    for (unsigned i = 0; i < d->n_servers; i++) {
        if (d->servers[i] == server) {
            d->silent_until_ms[i] = uv_now(d->loop) + SILENT_MS;
        }
    }
}

static void attempt(struct flight *f);

/* A flight whose socket is replaced becomes another flight: handles cannot be moved. */
static void again(struct flight *f, bool tcp)
{
    struct uv_dns *d = f->dns;
    struct flight *next = xcalloc(1, sizeof(*next));

    memcpy(next->servers, f->servers, sizeof(next->servers));
    next->n_servers = f->n_servers;
    next->dns = d;
    next->to = f->to;
    next->asked_id = f->asked_id;
    next->q = f->q;
    next->tcp = tcp;
    next->tried = tcp && !f->tcp ? f->tried : f->tried + 1;
    next->since_ms = f->since_ms;
    *d->flights_end = next;
    d->flights_end = &next->next;
    d->n_flights++;
    uv_dns_client(d, ntohl(f->to.peer.sin_addr.s_addr))->flight++;
    land(f);
    attempt(next);
}

/* TCP: the question goes out when the connection stands. */
static void attempt(struct flight *f)
{
    struct uv_dns *d = f->dns;
    uint8_t question[QUESTION_SPACE];
    uint16_t id;
    int rc;

    if (getrandom(&id, sizeof(id), 0) != sizeof(id)) {
        fail(f, DNSMSG_SERVFAIL);
        return;
    }
    f->q.id = id;
    f->try_ms = uv_now(d->loop);
    f->fd = open_socket(f, pick(f));
    if (f->fd < 0) {
        return; /* no route now: the next try may have one */
    }
    rc = uv_poll_init(d->loop, &f->poll, f->fd);
    if (rc < 0) {
        (void)close(f->fd);
        return;
    }
    d->live++;
    f->polling = true;
    if (!f->tcp) {
        (void)send(f->fd, question, write_question(f, question), MSG_NOSIGNAL);
    }
    (void)uv_poll_start(&f->poll, f->tcp ? UV_WRITABLE : UV_READABLE, on_socket);
}

/* ---- answers ---- */

static void take_datagrams(struct flight *f)
{
    uint8_t answer[DNS_UDP_MAX + 1];
    ssize_t got;

    while ((got = recv(f->fd, answer, sizeof(answer), MSG_DONTWAIT)) >= 0) {
        if (!dnsmsg_answers(answer, (size_t)got, &f->q)) {
            f->dns->stats.dropped++; /* somebody guesses */
            continue;
        }
        if (dnsmsg_truncated(answer) && f->to.conn != NULL) {
            again(f, true);
        } else {
            deliver(f, answer, (size_t)got);
        }
        return;
    }
    if (errno != EAGAIN && errno != EINTR) { /* refused: the next one, at once */
        f->try_ms = 0;
    }
}

static void send_by_tcp(struct flight *f)
{
    uint8_t question[2 + QUESTION_SPACE];
    size_t len = write_question(f, question + 2);
    ssize_t put;

    dnsmsg_put16(question, (uint16_t)len);
    put = send(f->fd, question + f->out_at, len + 2 - f->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put < 0 && errno != EAGAIN) {
        f->try_ms = 0;
        (void)uv_poll_stop(&f->poll);
        return;
    }
    f->out_at += put > 0 ? (size_t)put : 0;
    if (f->out_at == len + 2) {
        (void)uv_poll_start(&f->poll, UV_READABLE, on_socket);
    }
}

static void take_by_tcp(struct flight *f)
{
    ssize_t got;

    if (f->in == NULL) {
        f->in = xcalloc(1, 2 + DNS_TCP_MAX);
    }
    got = recv(f->fd, f->in + f->in_len, 2 + DNS_TCP_MAX - f->in_len, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        f->try_ms = 0;
        (void)uv_poll_stop(&f->poll);
        return;
    }
    f->in_len += got > 0 ? (size_t)got : 0;
    if (f->in_len >= 2 && f->in_len - 2 >= dnsmsg_get16(f->in)) {
        size_t len = dnsmsg_get16(f->in);

        if (dnsmsg_answers(f->in + 2, len, &f->q)) {
            deliver(f, f->in + 2, len);
        } else {
            fail(f, DNSMSG_SERVFAIL);
        }
    }
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct flight *f = container_of(poll, struct flight, poll);

    if (f->done) {
        return;
    }
    if (!f->tcp) {
        take_datagrams(f);
    } else if (status < 0 || (events & UV_READABLE) != 0) {
        take_by_tcp(f);
    } else {
        send_by_tcp(f);
    }
}

/* ---- for the rest of the server ---- */

static size_t refuse(const struct dnsmsg_question *q, enum dnsmsg_rcode rcode, uint8_t *ret)
{
    struct dnsmsg_writer w;

    dnsmsg_begin(&w, ret, DNSMSG_PLAIN_MAX, q);
    return dnsmsg_end(&w, q, false, rcode);
}

size_t uv_dns_forward(struct uv_dns *d, const struct reply_to *to, const struct dnsmsg_question *q,
                      const uint32_t *servers, unsigned n, uint8_t *ret, size_t size)
{
    struct client *client = uv_dns_client(d, ntohl(to->peer.sin_addr.s_addr));
    size_t most = to->conn != NULL ? size : q->udp_size < size ? q->udp_size : size;
    struct flight *f;
    size_t len;

    if (n == 0 || (q->flags & DNSMSG_RD) == 0) {
        d->stats.refused++;
        return refuse(q, DNSMSG_REFUSED, ret);
    }
    len = dnscache_get(d->cache, servers[0], q, uv_now(d->loop), ret, most);
    if (len > 0) {
        d->stats.cached++;
        return len;
    }
    if (d->n_flights >= FLIGHT_MAX || client->flight >= CLIENT_FLIGHT) {
        d->stats.refused++;
        return refuse(q, DNSMSG_SERVFAIL, ret);
    }
    f = xcalloc(1, sizeof(*f));
    f->dns = d;
    f->to = *to;
    f->asked_id = q->id;
    f->q = *q;
    f->n_servers = n < RESOLVCONF_SERVERS_MAX ? n : RESOLVCONF_SERVERS_MAX;
    memcpy(f->servers, servers, f->n_servers * sizeof(*servers));
    f->since_ms = uv_now(d->loop);
    *d->flights_end = f;
    d->flights_end = &f->next;
    d->n_flights++;
    client->flight++;
    d->stats.forwarded++;
    attempt(f);
    return 0;
}

void uv_dns_forward_tick(struct uv_dns *d, uint64_t now_ms)
{
    for (struct flight *f = d->flights, *next; f != NULL; f = next) {
        next = f->next;
        if (now_ms >= f->since_ms + GIVE_UP_MS) {
            fail(f, DNSMSG_SERVFAIL);
        } else if (now_ms >= f->try_ms + TRY_MS) {
            if (f->try_ms != 0) {
                note_silent(f, pick(f));
            }
            again(f, f->tcp);
        }
    }
}

void uv_dns_forward_forget(struct uv_dns *d, const struct conn *conn)
{
    for (struct flight *f = d->flights, *next; f != NULL; f = next) {
        next = f->next;
        if (f->to.conn == conn) {
            land(f);
        }
    }
}

void uv_dns_forward_close(struct uv_dns *d)
{
    while (d->flights != NULL) {
        land(d->flights);
    }
}
