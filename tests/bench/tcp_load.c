// SPDX-License-Identifier: Apache-2.0
/* Connections as load:
 *
 *     tcp_load serve PORT
 *     tcp_load bytes|requests|connections ADDRESS PORT SECONDS
 *
 * `bytes` sends through one connection as much as it takes and prints bytes a second; `requests`
 * asks by 64 bytes and is answered by 64, on 16 connections at a time, `connections` each on one of
 * its own, eight at a time; they print answers a second. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE 64
#define KEPT    16
#define NEW     8
#define CHUNK   (128 * 1024)

static char chunk[CHUNK];
static struct sockaddr_in to = {.sin_family = AF_INET};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "tcp_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void set(int fd, int level, int option)
{
    int on = 1;

    (void)setsockopt(fd, level, option, &on, sizeof(on));
}

/* ---- the server: a request is given back, bytes are dropped ---- */

static void on_readable(int fd)
{
    ssize_t n = recv(fd, chunk, sizeof(chunk), 0);

    if (n <= 0 || (chunk[0] == 'r' && send(fd, chunk, (size_t)n, MSG_NOSIGNAL) != n)) {
        (void)close(fd);
    }
}

static void take(int listener, int poller)
{
    struct epoll_event event = {.events = EPOLLIN};
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0) {
        return;
    }
    set(fd, IPPROTO_TCP, TCP_NODELAY);
    event.data.fd = fd;
    (void)epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

static _Noreturn void serve(void)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[64] = {{.events = EPOLLIN, .data.fd = listener}};

    set(listener, SOL_SOCKET, SO_REUSEADDR);
    if (bind(listener, (struct sockaddr *)&to, sizeof(to)) < 0 || listen(listener, 1024) < 0 ||
        epoll_ctl(poller, EPOLL_CTL_ADD, listener, &events[0]) < 0) {
        fail("listen");
    }
    (void)printf("serving\n");
    (void)fflush(stdout);
    for (;;) {
        int n = epoll_wait(poller, events, 64, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener) {
                take(listener, poller);
            } else {
                on_readable(events[i].data.fd);
            }
        }
    }
}

/* ---- clients ---- */

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
        fail("connect");
    }
    set(fd, IPPROTO_TCP, TCP_NODELAY);
    return fd;
}

/* Ends it by a reset: no port is left in TIME_WAIT, of which there are too few for this. */
static void hang_up(int fd)
{
    struct linger none = {.l_onoff = 1};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    (void)close(fd);
}

static void ask(int fd)
{
    if (send(fd, chunk, MESSAGE, MSG_NOSIGNAL) != MESSAGE) {
        fail("send");
    }
}

static double send_bytes(double until)
{
    int fd = dial();
    double sent = 0;

    memset(chunk, 'b', sizeof(chunk));
    while (now() < until) {
        ssize_t n = send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL);

        if (n < 0) {
            fail("send");
        }
        sent += (double)n;
    }
    hang_up(fd);
    return sent;
}

/* `each`: a connection is for one request. */
static double send_requests(double until, bool each)
{
    struct pollfd list[KEPT];
    nfds_t n = each ? NEW : KEPT;
    double answered = 0;

    memset(chunk, 'r', sizeof(chunk));
    for (nfds_t i = 0; i < n; i++) {
        list[i] = (struct pollfd){.fd = dial(), .events = POLLIN};
        ask(list[i].fd);
    }
    while (now() < until) {
        if (poll(list, n, 1000) <= 0) {
            fail("no answer");
        }
        for (nfds_t i = 0; i < n; i++) {
            if (list[i].revents == 0) {
                continue;
            }
            if (recv(list[i].fd, chunk, MESSAGE, MSG_WAITALL) != MESSAGE) {
                fail("recv");
            }
            answered++;
            if (each) {
                hang_up(list[i].fd);
                list[i].fd = dial();
            }
            ask(list[i].fd);
        }
    }
    return answered;
}

int main(int argc, char **argv)
{
    double from = now(), until, done;

    if (argc == 3 && strcmp(argv[1], "serve") == 0) {
        to.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
        serve();
    }
    if (argc != 5 || inet_pton(AF_INET, argv[2], &to.sin_addr) != 1) {
        fprintf(stderr, "usage: tcp_load serve PORT, or bytes|requests|connections ADDRESS PORT "
                        "SECONDS\n");
        return 2;
    }
    to.sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10));
    until = from + strtod(argv[4], NULL);
    done =
        strcmp(argv[1], "bytes") == 0 ? send_bytes(until) : send_requests(until, argv[1][0] == 'c');
    printf("%.0f\n", done / (now() - from));
    return 0;
}
