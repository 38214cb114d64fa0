// SPDX-License-Identifier: Apache-2.0
#include "hosts_case.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/net/netns.h"
#include "agent/net/rtnl.h"
#include "common/cleanup.h"
#include "netrig.h"

#define WAIT_MS  10000
#define ATTEMPTS 3
#define PAUSE_MS 200

extern char **environ;

struct hosts_case_one hosts[HOSTS] = {
    [A] = {.underlay = 0xc0000201u, .block = 0x0a800400u, .container = 0x0a800405u},
    [B] = {.underlay = 0xc6336401u, .block = 0x0a800800u, .container = 0x0a800805u},
    [C] = {.underlay = 0xc0000202u, .block = 0x0a800c00u, .container = 0x0a800c05u},
};
int hosts_router;

/* ---- the machine ---- */

int hosts_case_shell(int ns, const char *fmt, ...)
{
    char line[768];
    char enter[64];
    char *args[] = {(char *)"nsenter", enter, (char *)"/bin/sh", (char *)"-c", line, NULL};
    va_list ap;
    pid_t pid;
    int status = 0;

    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    (void)snprintf(enter, sizeof(enter), "--net=/proc/%d/fd/%d", (int)getpid(), ns);
    ck_assert_int_eq(posix_spawnp(&pid, "nsenter", NULL, NULL, args, environ), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int own_netns(void)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    return fd;
}

static int new_netns(void)
{
    int home = own_netns();
    int made;

    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    made = own_netns();
    ck_assert_int_eq(setns(home, CLONE_NEWNET), 0);
    (void)close(home);
    return made;
}

/* A link between the router and a host: `u0` there, with this address and way out. */
static void join(enum hosts_case h, const char *port, const char *address, const char *gateway)
{
    must(hosts_router,
         "ip link add %s mtu %d type veth peer name u0 mtu %d netns /proc/%d/fd/%d &&"
         "ip link set %s up",
         port, HOSTS_CASE_MTU, HOSTS_CASE_MTU, (int)getpid(), hosts[h].ns, port);
    must(hosts[h].ns,
         "ip link set lo up; ip addr add %s/24 dev u0; ip link set u0 up;"
         "ip route add default via %s; sysctl -qw net.ipv4.ip_forward=1",
         address, gateway);
}

static void make_namespaces(void)
{
    hosts_router = new_netns();
    for (unsigned h = 0; h < HOSTS; h++) {
        hosts[h].ns = new_netns();
        hosts[h].cell = new_netns();
    }
    must(hosts_router, "ip link set lo up; sysctl -qw net.ipv4.ip_forward=1;"
                       "ip link add br0 type bridge && ip addr add 192.0.2.254/24 dev br0");
    join(A, "to_a", "192.0.2.1", "192.0.2.254");
    join(B, "to_b", "198.51.100.1", "198.51.100.254");
    join(C, "to_c", "192.0.2.2", "192.0.2.254");
    must(hosts_router, "ip link set to_a master br0; ip link set to_c master br0;"
                       "ip addr add 198.51.100.254/24 dev to_b; ip link set br0 up");
}

static void make_container(enum hosts_case h)
{
    struct rtnl_veth veth = {.name = HOSTS_CASE_LINK,
                             .alias = "test",
                             .peer.address = hosts[h].container,
                             .gateway = NET_GATEWAY,
                             .mtu = 1500,
                             .netns_fd = hosts[h].cell};
    struct err e = {0};

    ck_assert_msg(rtnl_veth_add(hosts[h].rtnl, &veth, &e) == 0, "%s", e.text);
}

void hosts_case_make(void)
{
    make_namespaces();
    for (unsigned h = 0; h < HOSTS; h++) {
        hosts[h].rtnl = netns_socket(hosts[h].ns, AF_NETLINK, SOCK_RAW, 0, NULL);
        ck_assert_int_ge(hosts[h].rtnl, 0);
        make_container((enum hosts_case)h);
    }
}

unsigned hosts_case_nodes(enum hosts_case of, struct net_route ret[HOSTS])
{
    unsigned n = 0;

    for (unsigned i = 0; i < HOSTS; i++) {
        if (i != of) {
            ret[n++] = (struct net_route){
                .block = hosts[i].block, .block_prefix = 22, .via = hosts[i].underlay};
        }
    }
    return n;
}

/* ---- traffic ---- */

int hosts_case_socket(int ns, int type)
{
    return netrig_socket(ns, AF_INET, type, WAIT_MS);
}

int hosts_case_serve(int ns, int type, uint16_t port)
{
    struct sockaddr_in name = netrig_name_of(INADDR_ANY, port);
    int fd = hosts_case_socket(ns, type);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    if (type == SOCK_STREAM) {
        ck_assert_int_eq(listen(fd, 16), 0);
    }
    return fd;
}

uint32_t hosts_case_carry(int from, int to, uint32_t address, size_t bytes)
{
    struct sockaddr_in name = netrig_name_of(address, 80);
    struct sockaddr_in who = {0};
    socklen_t len = sizeof(who);
    auto_close int server = hosts_case_serve(to, SOCK_STREAM, 80);
    auto_close int client = hosts_case_socket(from, SOCK_STREAM);
    auto_close int accepted = -1;
    auto_free char *piece = xcalloc(1, 65536);

    for (size_t i = 0; i < 65536; i++) {
        piece[i] = HOSTS_CASE_TEXT[i % strlen(HOSTS_CASE_TEXT)];
    }
    if (connect(client, (struct sockaddr *)&name, sizeof(name)) < 0) {
        return 0;
    }
    accepted = accept4(server, (struct sockaddr *)&who, &len, SOCK_CLOEXEC);
    ck_assert_int_ge(accepted, 0);
    (void)fcntl(client, F_SETFL, O_NONBLOCK);
    for (size_t sent = 0, got = 0; got < bytes;) {
        size_t rest = bytes - sent < 65536 ? bytes - sent : 65536;
        ssize_t n = rest > 0 ? send(client, piece, rest, 0) : 0;

        sent += n > 0 ? (size_t)n : 0;
        n = recv(accepted, piece, 65536, sent < bytes ? MSG_DONTWAIT : 0);
        ck_assert_msg(n > 0 || (n < 0 && errno == EAGAIN && sent < bytes), "cut off at %zu", got);
        got += n > 0 ? (size_t)n : 0;
    }
    return ntohl(who.sin_addr.s_addr);
}

void hosts_case_reaches(enum hosts_case from, enum hosts_case to, size_t bytes)
{
    uint32_t who = 0;

    /* Two ends of WireGuard that greet at once may have to greet again, in five seconds each time
     * (REKEY_TIMEOUT): on an emulated machine that passes the patience of one connection. */
    for (unsigned i = 0; i < ATTEMPTS && who == 0; i++) {
        who = hosts_case_carry(hosts[from].cell, hosts[to].cell, hosts[to].container, bytes);
        if (who == 0) {
            (void)poll(NULL, 0, PAUSE_MS);
        }
    }
    ck_assert_msg(who == hosts[from].container, "%u to %u: %x", from, to, who);
}

void hosts_case_all_reach(size_t bytes)
{
    for (unsigned i = 0; i < HOSTS * HOSTS; i++) {
        if (i / HOSTS != i % HOSTS) {
            hosts_case_reaches((enum hosts_case)(i / HOSTS), (enum hosts_case)(i % HOSTS), bytes);
        }
    }
}
