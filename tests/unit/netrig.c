// SPDX-License-Identifier: Apache-2.0
#include "netrig.h"

#include <check.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/net/netns.h"
#include "common/cleanup.h"

extern char **environ;

/* ---- namespaces ---- */

int netrig_shell(const char *fmt, ...)
{
    char line[512];
    char *args[] = {(char *)"/bin/sh", (char *)"-c", line, NULL};
    va_list ap;
    pid_t pid;
    int status = 0;

    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    ck_assert_int_eq(posix_spawn(&pid, "/bin/sh", NULL, NULL, args, environ), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

void netrig_must(int status)
{
    ck_assert_int_eq(status, 0);
}

int netrig_own_netns(void)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    return fd;
}

int netrig_new_netns(void)
{
    int home = netrig_own_netns();
    int made;

    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    made = netrig_own_netns();
    ck_assert_int_eq(setns(home, CLONE_NEWNET), 0);
    (void)close(home);
    return made;
}

/* ---- time ---- */

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

uint64_t netrig_now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* Runs the loop until the word is true, or the time is over; returns whether it came true. */
bool netrig_run_until(uv_loop_t *loop, bool (*word)(void), unsigned ms)
{
    uint64_t end = netrig_now_ms() + ms;
    uv_timer_t tick;
    bool result;

    (void)uv_timer_init(loop, &tick);
    (void)uv_timer_start(&tick, on_tick, 5, 5);
    while (!(result = word()) && netrig_now_ms() < end) {
        (void)uv_run(loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&tick, NULL);
    (void)uv_run(loop, UV_RUN_NOWAIT);
    return result;
}

bool netrig_never(void)
{
    return false;
}

/* ---- traffic ---- */

struct sockaddr_in netrig_name_of(uint32_t address, uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
}

int netrig_socket(int ns, int family, int type, unsigned timeout_ms)
{
    struct timeval tv = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    int one = 1;
    int fd = netns_socket(ns, family, type, 0, NULL);

    ck_assert_int_ge(fd, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    return fd;
}

int netrig_serve(int ns, int type, uint16_t port)
{
    struct sockaddr_in name = netrig_name_of(INADDR_ANY, port);
    int fd = netrig_socket(ns, AF_INET, type, NETRIG_WAIT_MS);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    if (type == SOCK_STREAM) {
        ck_assert_int_eq(listen(fd, 64), 0);
    }
    return fd;
}

/* Gives a connected socket, or -1. */
int netrig_dial(int ns, uint32_t address, uint16_t port, unsigned timeout_ms)
{
    struct sockaddr_in name = netrig_name_of(address, port);
    int fd = netrig_socket(ns, AF_INET, SOCK_STREAM, timeout_ms);

    if (connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* Connects, accepts and sends a word either way. Gives who the server saw, 0: no connection. */
uint32_t netrig_visit(int ns, uint32_t address, uint16_t port, int server)
{
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    auto_close int client = netrig_dial(ns, address, port, NETRIG_WAIT_MS);
    auto_close int accepted = -1;
    char byte = 0;

    if (client < 0) {
        return 0;
    }
    accepted = accept4(server, (struct sockaddr *)&from, &len, SOCK_CLOEXEC);
    ck_assert_int_ge(accepted, 0);
    ck_assert_int_eq(send(client, "?", 1, 0), 1);
    ck_assert_int_eq(recv(accepted, &byte, 1, 0), 1);
    ck_assert_int_eq(send(accepted, "!", 1, 0), 1);
    ck_assert_int_eq(recv(client, &byte, 1, 0), 1);
    ck_assert_int_eq(byte, '!');
    return ntohl(from.sin_addr.s_addr);
}

void netrig_refuse(int ns, uint32_t address, uint16_t port)
{
    int fd = netrig_dial(ns, address, port, NETRIG_BLOCKED_MS);

    ck_assert_msg(fd < 0, "%x:%u answers", address, (unsigned)port);
}

/* Asks by a datagram and returns who the server saw; 0: no answer. */
uint32_t netrig_ask(int ns, uint32_t address, uint16_t port, int server)
{
    struct sockaddr_in to = netrig_name_of(address, port);
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    auto_close int client = netrig_socket(ns, AF_INET, SOCK_DGRAM, NETRIG_WAIT_MS);
    char byte = 0;

    ck_assert_int_eq(connect(client, (struct sockaddr *)&to, sizeof(to)), 0);
    if (send(client, "?", 1, 0) != 1 ||
        recvfrom(server, &byte, 1, 0, (struct sockaddr *)&from, &len) != 1) {
        return 0;
    }
    ck_assert_int_eq(sendto(server, "!", 1, 0, (struct sockaddr *)&from, len), 1);
    ck_assert_int_eq(recv(client, &byte, 1, 0), 1);
    ck_assert_int_eq(byte, '!');
    return ntohl(from.sin_addr.s_addr);
}

/* ---- the end of nodes ---- */

static void on_net_closed(void *arg)
{
    --*(unsigned *)arg;
}

void netrig_close(uv_loop_t *loop, struct net *const *nets, unsigned n, bool remove)
{
    unsigned open = n;

    for (unsigned i = 0; i < n; i++) {
        net_close(nets[i], remove, on_net_closed, &open);
    }
    while (open > 0) {
        (void)uv_run(loop, UV_RUN_ONCE);
    }
}
