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
#define GUESSES    32 /* datagrams of one socket in one turn of the loop */

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
    unsigned first; /* whom it began with */
    unsigned tried;
    unsigned failed; /* of those, who said so */
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

/* ---- life of one ---- */

static struct flight *launch(struct uv_dns *d, const struct reply_to *to,
                             const struct dnsmsg_question *q)
{
    struct flight *f = xcalloc(1, sizeof(*f));

    f->dns = d;
    f->to = *to;
    f->asked_id = q->id;
    f->q = *q;
    f->since_ms = uv_now(d->loop);
    *d->flights_end = f;
    d->flights_end = &f->next;
    d->n_flights++;
    uv_dns_client(d, ntohl(to->peer.sin_addr.s_addr))->flight++;
    return f;
}

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

/* An answer may end its connection, and so everything that is under way for it: it is given when
 * nothing is needed any more. */
static void fail(struct flight *f)
{
    struct uv_dns *d = f->dns;
    const struct reply_to to = f->to;
    uint8_t answer[DNSMSG_PLAIN_MAX];
    struct dnsmsg_writer w;
    size_t len;

    f->q.id = f->asked_id;
    dnsmsg_begin(&w, answer, sizeof(answer), &f->q);
    len = dnsmsg_end(&w, &f->q, false, DNSMSG_SERVFAIL);
    d->stats.failed++;
    land(f);
    uv_dns_send(d, &to, answer, len);
}

static size_t room(const struct flight *f)
{
    return f->to.conn != NULL            ? DNS_TCP_MAX
           : f->q.udp_size < DNS_UDP_MAX ? f->q.udp_size
                                         : DNS_UDP_MAX;
}

/* `answer` lives until the handle is closed. */
static void deliver(struct flight *f, uint8_t *answer, size_t len)
{
    struct uv_dns *d = f->dns;
    const struct reply_to to = f->to;

    if (len > room(f)) { /* it answers more than was asked for */
        fail(f);
        return;
    }
    dnscache_put(d->cache, f->servers[0], &f->q, answer, len, uv_now(d->loop));
    dnsmsg_put16(answer, f->asked_id);
    land(f);
    uv_dns_send(d, &to, answer, len);
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

/* Those that were silent lately come last. */
static unsigned pick_first(const struct flight *f)
{
    const struct uv_dns *d = f->dns;
    unsigned first = 0;

    while (first + 1 < f->n_servers && first < d->n_servers &&
           f->servers[first] == d->servers[first] && uv_now(d->loop) < d->silent_until_ms[first]) {
        first++;
    }
    return first;
}

static uint32_t server_of(const struct flight *f)
{
    return f->servers[(f->first + f->tried) % f->n_servers];
}

static void note_silent(struct uv_dns *d, uint32_t server)
{
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
    struct flight *next = launch(f->dns, &f->to, &f->q);

    memcpy(next->servers, f->servers, sizeof(next->servers));
    next->n_servers = f->n_servers;
    next->asked_id = f->asked_id;
    next->tcp = tcp;
    next->first = f->first;
    next->tried = tcp && !f->tcp ? f->tried : f->tried + 1;
    next->failed = f->failed;
    next->since_ms = f->since_ms;
    land(f);
    attempt(next);
}

/* The resolver cannot: the next one is asked at once, unless all have said so. */
static void move_on(struct flight *f)
{
    if (++f->failed >= f->n_servers) {
        fail(f);
    } else {
        again(f, f->tcp);
    }
}

/* TCP: the question goes out when the connection stands. */
static void attempt(struct flight *f)
{
    struct uv_dns *d = f->dns;
    uint8_t question[QUESTION_SPACE];
    uint16_t id;
    int rc;

    f->try_ms = uv_now(d->loop);
    f->fd = getrandom(&id, sizeof(id), 0) == sizeof(id) ? open_socket(f, server_of(f)) : -1;
    if (f->fd < 0) {
        move_on(f);
        return;
    }
    f->q.id = id;
    rc = uv_poll_init(d->loop, &f->poll, f->fd);
    assert(rc == 0);
    d->live++;
    f->polling = true;
    if (!f->tcp) {
        (void)send(f->fd, question, write_question(f, question), MSG_NOSIGNAL);
    }
    (void)uv_poll_start(&f->poll, f->tcp ? UV_WRITABLE : UV_READABLE, on_socket);
}

/* ---- answers ---- */

static void take(struct flight *f, uint8_t *answer, size_t len)
{
    enum dnsmsg_rcode rcode = dnsmsg_rcode(answer);

    if ((rcode == DNSMSG_SERVFAIL || rcode == DNSMSG_REFUSED) && f->failed + 1 < f->n_servers) {
        move_on(f);
    } else if (dnsmsg_truncated(answer) && !f->tcp && f->to.conn != NULL) {
        again(f, true);
    } else {
        deliver(f, answer, len);
    }
}

static void take_datagrams(struct flight *f)
{
    uint8_t answer[DNS_UDP_MAX + 1];

    for (unsigned i = 0; i < GUESSES; i++) {
        ssize_t got = recv(f->fd, answer, sizeof(answer), MSG_DONTWAIT);

        if (got < 0) {
            if (errno != EAGAIN && errno != EINTR) { /* nobody listens there */
                move_on(f);
            }
            return;
        }
        if (dnsmsg_answers(answer, (size_t)got, &f->q)) {
            take(f, answer, (size_t)got);
            return;
        }
        f->dns->stats.dropped++; /* somebody guesses */
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
        move_on(f);
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
        move_on(f);
        return;
    }
    f->in_len += got > 0 ? (size_t)got : 0;
    if (f->in_len >= 2 && f->in_len - 2 >= dnsmsg_get16(f->in)) {
        size_t len = dnsmsg_get16(f->in);

        if (dnsmsg_answers(f->in + 2, len, &f->q)) {
            take(f, f->in + 2, len);
        } else {
            move_on(f);
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

/* Without ourselves: that would go round and round. */
static unsigned take_servers(const struct uv_dns *d, const uint32_t *servers, unsigned n,
                             uint32_t ret[RESOLVCONF_SERVERS_MAX])
{
    unsigned taken = 0;

    for (unsigned i = 0; i < n && taken < RESOLVCONF_SERVERS_MAX; i++) {
        if (servers[i] != d->address) {
            ret[taken++] = servers[i];
        }
    }
    return taken;
}

size_t uv_dns_forward(struct uv_dns *d, const struct reply_to *to, const struct dnsmsg_question *q,
                      const uint32_t *servers, unsigned n, uint8_t *ret, size_t size)
{
    size_t most = to->conn != NULL ? size : q->udp_size < size ? q->udp_size : size;
    uint32_t list[RESOLVCONF_SERVERS_MAX];
    struct flight *f;
    size_t len;

    n = take_servers(d, servers, n, list);
    if (n == 0 || (q->flags & DNSMSG_RD) == 0) {
        d->stats.refused++;
        return refuse(q, DNSMSG_REFUSED, ret);
    }
    len = dnscache_get(d->cache, list[0], q, uv_now(d->loop), ret, most);
    if (len > 0) {
        d->stats.cached++;
        return len;
    }
    if (d->n_flights >= FLIGHT_MAX ||
        uv_dns_client(d, ntohl(to->peer.sin_addr.s_addr))->flight >= CLIENT_FLIGHT) {
        d->stats.refused++;
        return refuse(q, DNSMSG_SERVFAIL, ret);
    }
    f = launch(d, to, q);
    memcpy(f->servers, list, sizeof(list));
    f->n_servers = n;
    f->first = pick_first(f);
    d->stats.forwarded++;
    uv_dns_wake(d);
    attempt(f);
    return 0;
}

static struct flight *find_due(const struct uv_dns *d, uint64_t now_ms)
{
    struct flight *f = d->flights;

    while (f != NULL && now_ms < f->since_ms + GIVE_UP_MS && now_ms < f->try_ms + TRY_MS) {
        f = f->next;
    }
    return f;
}

/* From the beginning each time: the end of one may be the end of others. */
void uv_dns_forward_tick(struct uv_dns *d, uint64_t now_ms)
{
    struct flight *f;

    while ((f = find_due(d, now_ms)) != NULL) {
        note_silent(d, server_of(f));
        if (now_ms >= f->since_ms + GIVE_UP_MS) {
            fail(f);
        } else {
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
