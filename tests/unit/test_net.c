// SPDX-License-Identifier: Apache-2.0
/* The network of a node, in namespaces of the test's own: `host` is where the agent lives, `far`
 * another host on its link, the others are containers. Servers and clients are sockets of this
 * process in those namespaces; the kernel completes a connection before anybody accepts it. */
#include "agent/net/net.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "common/cleanup.h"
#include "netrig.h"
#include "portrig.h"
#include "tests/lib/skip.h"

#define HOST_ADDRESS 0xc6336401u /* 198.51.100.1 */
#define FAR_ADDRESS  0xc6336402u
#define BLOCK        0x0a800400u /* 10.128.4.0 */
#define CONTAINERS   3
#define PORTS_MANY   4096u

static struct {
    uv_loop_t loop;
    struct net *net;
    int host;
    int far;
    int cell[CONTAINERS];
    uint32_t address[CONTAINERS];
    bool closed;
    struct netelems ports; /* published, sorted */
    unsigned ports_max;    /* most backends of one */
    unsigned restored;
} t;

/* ---- the machine ---- */

static void make_hosts(void)
{
    int pid = (int)getpid();

    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    t.host = netrig_own_netns();
    t.far = netrig_new_netns();
    netrig_must(netrig_shell(
        "ip link set lo up && ip link add up0 type veth peer name up1 &&"
        "ip link set up1 netns /proc/%d/fd/%d && ip addr add 198.51.100.1/24 dev up0 &&"
        "ip link set up0 up && ip route add default via 198.51.100.2",
        pid, t.far));
    netrig_must(netrig_shell("nsenter --net=/proc/%d/fd/%d sh -c 'ip link set lo up;"
                             "ip addr add 198.51.100.2/24 dev up1; ip link set up1 up'",
                             pid, t.far));
    for (unsigned i = 0; i < CONTAINERS; i++) {
        t.cell[i] = netrig_new_netns();
    }
}

static void copy_elements(const struct netelems *from, struct netelems *to)
{
    for (unsigned i = 0; i < from->n; i++) {
        netelems_add(to, &from->list[i]);
    }
}

static unsigned on_all(void *arg, struct netelems *ret)
{
    (void)arg;
    copy_elements(&t.ports, ret);
    return t.ports_max;
}

static struct net_config config(void)
{
    return (struct net_config){
        .suffix = "test",
        .all = on_all,
        .range = 0x0a800000u,
        .range_prefix = 9,
        .block = BLOCK,
        .block_prefix = 22,
    };
}

static void open_net(void)
{
    struct net_config c = config();
    struct err e = {0};
    int rc = net_create(&t.loop, &c, &t.net, &e);

    ck_assert_msg(rc == 0, "%s", e.text);
}

static void setup(void)
{
    ck_assert_int_eq(uv_loop_init(&t.loop), 0);
    make_hosts();
    open_net();
}

static void attach(unsigned i)
{
    struct net_id id = {.incarnation = 100 + i, .run = 1};
    struct net_link link = {0};
    struct err e = {0};

    ck_assert_msg(net_reserve(t.net, &link.address, &e) == 0, "%s", e.text);
    t.address[i] = link.address;
    ck_assert_msg(net_attach(t.net, id, t.cell[i], &link, &e) == 0, "%s", e.text);
}

static void setup_attached(void)
{
    setup();
    for (unsigned i = 0; i < CONTAINERS; i++) {
        attach(i);
    }
}

static void on_closed(void *arg)
{
    (void)arg;
    t.closed = true;
}

static void close_net(bool remove)
{
    t.closed = false;
    net_close(t.net, remove, on_closed, NULL);
    while (!t.closed) {
        (void)uv_run(&t.loop, UV_RUN_ONCE);
    }
    t.net = NULL;
}

/* Nothing of ours may be left, whatever was in between. */
static void teardown(void)
{
    if (t.net != NULL) {
        close_net(true);
    }
    netelems_finish(&t.ports);
    (void)uv_run(&t.loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&t.loop), 0);
    ck_assert_int_eq(netrig_shell("ip -o link | grep -q ' w[hx]'"), 1);
    ck_assert_int_eq(netrig_shell("nft list tables | grep -q wherry"), 1);
    ck_assert_int_eq(netrig_shell("ip route show proto 87 | grep -q ."), 1);
    ck_assert_int_eq(netrig_shell("ip -o addr show lo | grep -q -e 169.254 -e 10.128"), 1);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
}

/* ---- publishing ---- */

static unsigned count_of(enum netelem_set set)
{
    unsigned n = 0;

    for (unsigned i = 0; i < t.ports.n; i++) {
        n += t.ports.list[i].set == set;
    }
    return n;
}

static bool map_has(const char *map, unsigned n)
{
    return netrig_shell("test $(nft list map inet wherry_test %s | grep -o 'goto' | wc -l) = %u",
                        map, n) == 0;
}

/* As the kernel has it. */
static bool in_force(void)
{
    return map_has("w_any", count_of(NETELEM_ANY)) && map_has("w_one", count_of(NETELEM_ONE));
}

/* Makes these the published ports, all of them, by what differs. */
static void change_ports(const struct portrig_port *ports, unsigned n)
{
    struct netelems want = {0}, removed = {0}, added = {0};
    struct err e = {0};

    t.ports_max = portrig_elements(ports, n, &want);
    netelems_diff(&t.ports, &want, &removed, &added);
    netelems_finish(&t.ports);
    t.ports = want;
    ck_assert_msg(
        net_elements(t.net, removed.list, removed.n, added.list, added.n, t.ports_max, &e) == 0,
        "%s", e.text);
    netelems_finish(&removed);
    netelems_finish(&added);
}

static void publish(const struct portrig_port *ports, unsigned n)
{
    change_ports(ports, n);
    ck_assert(netrig_run_until(&t.loop, in_force, NETRIG_WAIT_MS));
}

/* ---- configuration ---- */

static void refuses(const struct net_config *c, const char *part)
{
    struct net *net = NULL;
    struct err e = {0};

    ck_assert_int_eq(net_create(&t.loop, c, &net, &e), -EINVAL);
    ck_assert_msg(strstr(e.text, part) != NULL, "%s", e.text);
    ck_assert_ptr_null(net);
}

START_TEST(a_bad_configuration_is_refused)
{
    struct net_config c = config();

    c.suffix = "Bad";
    refuses(&c, "suffix");
    c = config();
    c.block = 0x0a000000u;
    refuses(&c, "not inside");
    c = config();
    c.block += 1;
    refuses(&c, "node block");
    c = config();
    c.block_prefix = 31;
    refuses(&c, "possible");
    c = config();
    c.mtu = 10;
    refuses(&c, "mtu");
}
END_TEST

START_TEST(nft_that_is_not_there_is_an_error)
{
    struct net_config c = config();
    struct net *net = NULL;
    struct err e = {0};

    c.suffix = "other";
    c.nft_program = "/nonexistent/nft";
    ck_assert_int_eq(net_create(&t.loop, &c, &net, &e), -ENOENT);
    c.nft_program = "/bin/true";
    ck_assert_int_lt(net_create(&t.loop, &c, &net, &e), 0);
    ck_assert(!netrig_run_until(&t.loop, netrig_never, 50));
}
END_TEST

/* ---- addresses and links ---- */

START_TEST(addresses_are_given_once_until_the_block_is_used_up)
{
    struct net_config c = config();
    struct net *small = NULL;
    struct err e = {0};
    uint32_t seen = 0;
    uint32_t a;

    c.suffix = "small";
    c.block_prefix = 29;
    ck_assert_int_eq(net_create(&t.loop, &c, &small, &e), 0);
    for (unsigned i = 0; i < 6; i++) {
        ck_assert_int_eq(net_reserve(small, &a, &e), 0);
        ck_assert(a > BLOCK && a < BLOCK + 7);
        ck_assert((seen >> (a - BLOCK) & 1) == 0);
        seen |= 1u << (a - BLOCK);
    }
    ck_assert_int_eq(net_reserve(small, &a, &e), -ENOSPC);
    net_detach(small, (struct net_id){1, 1}, BLOCK + 3);
    ck_assert_int_eq(net_reserve(small, &a, &e), 0);
    ck_assert_uint_eq(a, BLOCK + 3);
    t.closed = false;
    net_close(small, true, on_closed, NULL);
    while (!t.closed) {
        (void)uv_run(&t.loop, UV_RUN_ONCE);
    }
}
END_TEST

START_TEST(a_container_has_an_address_a_way_out_and_nothing_else)
{
    auto_close int server = netrig_serve(t.cell[1], SOCK_STREAM, 80);
    int pid = (int)getpid();

    netrig_must(netrig_shell("nsenter --net=/proc/%d/fd/%d sh -ec '"
                             "ip -o -4 addr show dev eth0 | grep -q \"inet 10.128.4.1/32\";"
                             "ip route | grep -q \"default via 169.254.1.1 dev eth0\";"
                             "ip neigh show 169.254.1.1 | grep -q PERMANENT;"
                             "ip -o link show lo | grep -q \"<.*UP.*>\";"
                             "test -z \"$(ip -6 -o addr show dev eth0)\"'",
                             pid, t.cell[0]));
    netrig_must(netrig_shell("ip route show 10.128.4.1 | grep -q ' dev wh'"));
    netrig_must(netrig_shell("ip neigh show 10.128.4.1 | grep -q PERMANENT"));
    netrig_must(netrig_shell("ip -o link | grep -q 'alias wherry test 64 run 1'"));
    ck_assert_uint_eq(netrig_visit(t.host, t.address[1], 80, server), HOST_ADDRESS);
}
END_TEST

static bool is_detached(void)
{
    return netrig_shell("ip route show 10.128.4.1 | grep -q wh") == 1;
}

START_TEST(detaching_is_idempotent_and_frees_the_address)
{
    struct net_id id = {.incarnation = 100, .run = 1};
    struct net_link link = {0};
    struct err e = {0};

    for (unsigned i = 0; i < 3; i++) {
        net_detach(t.net, id, t.address[0]);
    }
    ck_assert(netrig_run_until(&t.loop, is_detached, NETRIG_WAIT_MS));
    ck_assert_int_eq(netrig_shell("nsenter --net=/proc/%d/fd/%d ip link show eth0 2>/dev/null >&2",
                                  (int)getpid(), t.cell[0]),
                     1);
    id.run = 2; /* as the agent does: no run has its name again */
    ck_assert(net_reserve(t.net, &link.address, &e) == 0);
    ck_assert_msg(net_attach(t.net, id, t.cell[0], &link, &e) == 0, "%s", e.text);
    ck_assert_uint_eq(link.address, BLOCK + 4); /* not the one that was just given back */
}
END_TEST

START_TEST(a_failed_attach_leaves_nothing)
{
    struct net_id id = {.incarnation = 7, .run = 1};
    struct err e = {0};
    auto_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct net_link link = {0};

    ck_assert_int_eq(net_reserve(t.net, &link.address, &e), 0);
    ck_assert_int_lt(net_attach(t.net, id, null, &link, &e), 0);
    ck_assert_ptr_nonnull(strstr(e.text, "network"));
    /* there is an eth0 beyond already: the link cannot be made */
    netrig_must(netrig_shell("nsenter --net=/proc/%d/fd/%d ip link add eth0 type veth peer name x",
                             (int)getpid(), t.cell[0]));
    ck_assert_int_eq(net_attach(t.net, id, t.cell[0], &link, &e), -EEXIST);
    /* the address has a route already: the last step fails */
    netrig_must(netrig_shell("ip route add 10.128.4.1/32 dev lo"));
    ck_assert_int_eq(net_attach(t.net, id, t.cell[1], &link, &e), -EEXIST);
    ck_assert_msg(strstr(e.text, "route") != NULL, "%s", e.text);
    ck_assert_int_eq(netrig_shell("ip -o link | grep -q ' wh'"), 1);
    ck_assert_int_eq(netrig_shell("nsenter --net=/proc/%d/fd/%d ip link show eth0 2>/dev/null >&2",
                                  (int)getpid(), t.cell[1]),
                     1);
    netrig_must(netrig_shell("ip route del 10.128.4.1/32 dev lo"));
    ck_assert_int_eq(net_attach(t.net, id, t.cell[1], &link, &e), 0);
    ck_assert_int_eq(net_attach(t.net, id, t.cell[2], &link, &e), -EEXIST); /* one run, one link */
}
END_TEST

START_TEST(what_is_attached_is_adopted_and_strays_are_removed)
{
    struct net_found found[] = {
        {.id = {.incarnation = 100, .run = 1}, .link.address = t.address[0]},
        {.id = {.incarnation = 101, .run = 1}, .link.address = t.address[1]},
        {.id = {.incarnation = 900, .run = 1}, .link.address = t.address[1]},
        {.id = {.incarnation = 901, .run = 1}, .link.address = 0x0a990001u},
    };
    auto_close int server = netrig_serve(t.cell[0], SOCK_STREAM, 80);
    struct err e = {0};
    uint32_t a;

    close_net(false);
    ck_assert_uint_ne(netrig_visit(t.host, t.address[0], 80, server), 0);
    open_net();
    ck_assert_int_eq(net_adopt(t.net, found, 2, &e), 0);
    ck_assert_int_eq(netrig_shell("ip -o link | grep -c ' wh' | grep -qx 2"), 0);
    ck_assert_uint_ne(netrig_visit(t.host, t.address[0], 80, server), 0);
    for (unsigned i = 0; i < 1020; i++) {
        ck_assert_int_eq(net_reserve(t.net, &a, &e), 0);
        ck_assert(a != t.address[0] && a != t.address[1]);
    }
    ck_assert_int_eq(net_reserve(t.net, &a, &e), -ENOSPC);

    close_net(false);
    open_net();
    ck_assert_int_eq(net_adopt(t.net, found, 3, &e), -EADDRINUSE);
    close_net(false);
    open_net();
    ck_assert_int_eq(net_adopt(t.net, found + 2, 2, &e), -ERANGE);
    ck_assert_int_eq(netrig_shell("ip -o link | grep -q ' wh'"), 1);
}
END_TEST

START_TEST(attaching_is_quick)
{
    enum { ROUNDS = 200 };
    struct net_id id = {.incarnation = 5000, .run = 0};
    uint64_t spent = 0;
    uint64_t longest = 0;
    struct err e = {0};
    struct net_link link = {0};

    for (unsigned i = 0; i < ROUNDS; i++) {
        auto_close int cell = netrig_new_netns();
        uint64_t began = uv_hrtime();
        uint64_t took;

        id.run = i;
        ck_assert_int_eq(net_reserve(t.net, &link.address, &e), 0);
        ck_assert_msg(net_attach(t.net, id, cell, &link, &e) == 0, "%s", e.text);
        took = uv_hrtime() - began;
        spent += took;
        longest = took > longest ? took : longest;
    }
    (void)fprintf(stderr, "attach: %.3f ms on average, %.3f ms at most\n",
                  (double)spent / ROUNDS / 1e6, (double)longest / 1e6);
}
END_TEST

/* ---- published ports ---- */

static void publish_web(unsigned n_backends)
{
    struct portrig_backend backends[CONTAINERS];
    struct portrig_port ports[] = {
        {.port = 8080, .backends = backends, .n_backends = n_backends},
        {.port = 8053, .udp = true, .backends = backends, .n_backends = 1},
    };

    for (unsigned i = 0; i < CONTAINERS; i++) {
        backends[i] = (struct portrig_backend){.address = t.address[i], .port = 80};
    }
    publish(ports, 2);
}

START_TEST(a_published_port_is_reached_from_everywhere)
{
    auto_close int server = netrig_serve(t.cell[0], SOCK_STREAM, 80);
    auto_close int datagrams = netrig_serve(t.cell[0], SOCK_DGRAM, 80);

    netrig_refuse(t.far, HOST_ADDRESS, 8080);
    publish_web(1);
    ck_assert_uint_eq(netrig_visit(t.far, HOST_ADDRESS, 8080, server), FAR_ADDRESS);
    ck_assert_uint_eq(netrig_visit(t.host, HOST_ADDRESS, 8080, server), HOST_ADDRESS);
    ck_assert_uint_eq(netrig_visit(t.host, INADDR_LOOPBACK, 8080, server), NET_GATEWAY);
    ck_assert_uint_eq(netrig_visit(t.cell[0], HOST_ADDRESS, 8080, server),
                      NET_GATEWAY); /* itself */
    ck_assert_uint_eq(netrig_visit(t.cell[1], HOST_ADDRESS, 8080, server), NET_GATEWAY);
    ck_assert_uint_eq(netrig_ask(t.far, HOST_ADDRESS, 8053, datagrams), FAR_ADDRESS);
    ck_assert_uint_eq(netrig_ask(t.host, INADDR_LOOPBACK, 8053, datagrams), NET_GATEWAY);
    ck_assert_uint_eq(netrig_ask(t.cell[0], HOST_ADDRESS, 8053, datagrams), NET_GATEWAY);
    netrig_refuse(t.host, INADDR_LOOPBACK + 52, 8080); /* 127.0.0.53 */
    publish(NULL, 0);
    netrig_refuse(t.far, HOST_ADDRESS, 8080);
    netrig_refuse(t.host, INADDR_LOOPBACK, 8080);
}
END_TEST

/* Grows with each table that is made. */
static int table_handle(void)
{
    return netrig_shell("exit $(nft -a list tables | sed -n 's/.*wherry_test.*handle //p')");
}

START_TEST(backends_share_and_come_and_go)
{
    int server[CONTAINERS];
    unsigned hits[CONTAINERS] = {0};
    int handle = table_handle();

    for (unsigned i = 0; i < CONTAINERS; i++) {
        server[i] = netrig_serve(t.cell[i], SOCK_STREAM, 80);
        netrig_must(fcntl(server[i], F_SETFL, O_NONBLOCK));
    }
    publish_web(2);
    for (unsigned n = 0; n < 60; n++) {
        int fd = netrig_dial(t.far, HOST_ADDRESS, 8080, NETRIG_WAIT_MS);

        ck_assert_int_ge(fd, 0);
        for (unsigned i = 0; i < CONTAINERS; i++) {
            int got = accept4(server[i], NULL, NULL, SOCK_CLOEXEC);

            hits[i] += got >= 0;
            if (got >= 0) {
                (void)close(got);
            }
        }
        (void)close(fd);
    }
    ck_assert_uint_eq(hits[0] + hits[1], 60);
    ck_assert(hits[0] >= 10 && hits[1] >= 10);
    ck_assert_uint_eq(hits[2], 0);
    publish_web(3);
    publish_web(1);
    ck_assert_int_eq(table_handle(), handle); /* by changes alone: it is the same table */
    for (unsigned i = 0; i < CONTAINERS; i++) {
        (void)close(server[i]);
    }
    server[0] = netrig_serve(t.cell[0], SOCK_STREAM, 80);
    for (unsigned n = 0; n < 10; n++) {
        ck_assert_uint_eq(netrig_visit(t.far, HOST_ADDRESS, 8080, server[0]), FAR_ADDRESS);
    }
    (void)close(server[0]);
    ck_assert_uint_eq(net_restored(t.net), 0);
}
END_TEST

START_TEST(many_backends_of_one_port)
{
    struct portrig_backend backends[NET_BACKENDS_MAX];
    struct portrig_port ports[] = {{.port = 8080, .backends = backends, .n_backends = 9},
                                   {.port = 8081, .backends = backends, .n_backends = 1}};
    auto_close int server = netrig_serve(t.cell[0], SOCK_STREAM, 80);

    for (unsigned i = 0; i < NET_BACKENDS_MAX; i++) {
        backends[i] = (struct portrig_backend){.address = t.address[0], .port = 80};
    }
    publish(ports, 2);
    ck_assert_uint_eq(netrig_visit(t.far, HOST_ADDRESS, 8080, server), FAR_ADDRESS);
    ports[0].n_backends = NET_BACKENDS_MAX;
    publish(ports, 2);
    ck_assert_uint_eq(netrig_visit(t.far, HOST_ADDRESS, 8080, server), FAR_ADDRESS);
    ck_assert_uint_eq(netrig_visit(t.far, HOST_ADDRESS, 8081, server), FAR_ADDRESS);
    ck_assert_uint_eq(net_restored(t.net), 0);
}
END_TEST

/* Sends on; returns whether it arrives at the server. */
static bool arrives(int client, int server)
{
    char byte;

    (void)recv(client, &byte, 1, MSG_DONTWAIT); /* "connection refused" from before */
    (void)send(client, "?", 1, 0);
    return recv(server, &byte, 1, 0) == 1;
}

START_TEST(a_client_that_keeps_sending_follows_its_port)
{
    auto_close int first = netrig_serve(t.cell[0], SOCK_DGRAM, 80);
    auto_close int second = netrig_serve(t.cell[1], SOCK_DGRAM, 80);
    auto_close int client = netrig_socket(t.far, AF_INET, SOCK_DGRAM, NETRIG_WAIT_MS);
    struct sockaddr_in to = netrig_name_of(HOST_ADDRESS, 8053);
    struct portrig_backend a = {.address = t.address[0], .port = 80};
    struct portrig_backend b = {.address = t.address[1], .port = 80};
    struct portrig_port port = {.udp = true, .port = 8053, .backends = &a, .n_backends = 1};

    netrig_must(connect(client, (struct sockaddr *)&to, sizeof(to)));
    netrig_must(fcntl(first, F_SETFL, O_NONBLOCK));
    ck_assert(!arrives(client, first)); /* too early, but the kernel remembers */
    publish(&port, 1);
    netrig_must(fcntl(first, F_SETFL, 0));
    ck_assert(!netrig_run_until(&t.loop, netrig_never, 50));
    ck_assert(arrives(client, first));
    port.backends = &b;
    publish(&port, 1);
    ck_assert(!netrig_run_until(&t.loop, netrig_never, 50));
    ck_assert(arrives(client, second));
}
END_TEST

START_TEST(a_port_of_one_address_is_reached_by_that_only)
{
    auto_close int first = netrig_serve(t.cell[0], SOCK_STREAM, 80);
    auto_close int second = netrig_serve(t.cell[1], SOCK_STREAM, 80);
    struct portrig_backend a = {.address = t.address[0], .port = 80};
    struct portrig_backend b = {.address = t.address[1], .port = 80};
    struct portrig_port ports[] = {
        {.port = 81, .host_ip = INADDR_LOOPBACK, .backends = &a, .n_backends = 1},
        {.port = 82, .host_ip = HOST_ADDRESS, .backends = &a, .n_backends = 1},
        {.port = 83, .host_ip = HOST_ADDRESS, .backends = &a, .n_backends = 1},
        {.port = 83, .backends = &b, .n_backends = 1},
    };

    publish(ports, 4);
    ck_assert_uint_eq(netrig_visit(t.host, INADDR_LOOPBACK, 81, first), NET_GATEWAY);
    netrig_refuse(t.far, HOST_ADDRESS, 81);
    netrig_refuse(t.host, INADDR_LOOPBACK, 82);
    ck_assert_uint_eq(netrig_visit(t.far, HOST_ADDRESS, 82, first), FAR_ADDRESS);
    ck_assert_uint_eq(netrig_visit(t.far, HOST_ADDRESS, 83, first), FAR_ADDRESS);
    ck_assert_uint_eq(netrig_visit(t.host, INADDR_LOOPBACK, 83, second), NET_GATEWAY);
}
END_TEST

START_TEST(many_ports_at_once)
{
    enum { MANY = 2000 };
    struct portrig_backend own = {.address = t.address[0], .port = 80};
    struct portrig_port *ports = xcalloc(MANY, sizeof(*ports));
    auto_close int server = netrig_serve(t.cell[0], SOCK_STREAM, 80);
    uint64_t began = netrig_now_ms();

    for (unsigned i = 0; i < MANY; i++) {
        ports[i] =
            (struct portrig_port){.port = (uint16_t)(10000 + i), .backends = &own, .n_backends = 1};
    }
    publish(ports, MANY);
    (void)fprintf(stderr, "%d ports in %llu ms\n", MANY,
                  (unsigned long long)(netrig_now_ms() - began));
    ck_assert_uint_eq(netrig_visit(t.far, HOST_ADDRESS, 11999, server), FAR_ADDRESS);
    began = netrig_now_ms();
    publish(ports, MANY - 1);
    (void)fprintf(stderr, "one less in %llu ms\n", (unsigned long long)(netrig_now_ms() - began));
    netrig_refuse(t.far, HOST_ADDRESS, 11999);
    free(ports);
}
END_TEST

/* The child is the only process of ours. */
static int child_of_ours(void)
{
    char path[64];
    auto_fclose FILE *f = NULL;
    int pid = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)getpid(), (int)getpid());
    f = fopen(path, "re");
    if (f == NULL || fscanf(f, "%d", &pid) != 1) {
        return 0;
    }
    return pid;
}

static int child_before;

static bool another_child(void)
{
    return child_of_ours() != 0 && child_of_ours() != child_before;
}

static bool restored_more(void)
{
    return net_restored(t.net) > t.restored;
}

/* nft remembers every line it was told, and would write them into its home. What changes by itself
 * is not told to it at all. */
START_TEST(nft_does_not_grow_for_ever)
{
    struct portrig_backend own = {.address = t.address[0], .port = 80};
    struct portrig_port *ports = xcalloc(PORTS_MANY, sizeof(*ports));
    auto_close int server = netrig_serve(t.cell[0], SOCK_STREAM, 80);
    struct stat before = {0}, after = {0};

    (void)stat("/.nft.history", &before);
    for (unsigned i = 0; i < PORTS_MANY; i++) {
        ports[i] =
            (struct portrig_port){.port = (uint16_t)(10000 + i), .backends = &own, .n_backends = 1};
    }
    child_before = child_of_ours();
    for (unsigned round = 0; round < 12; round++) {
        publish(ports, round % 2 == 0 ? PORTS_MANY : 1);
    }
    ck_assert_int_eq(child_of_ours(), child_before);
    publish(ports, PORTS_MANY);
    for (unsigned round = 0; round < 12 && !another_child(); round++) {
        t.restored = net_restored(t.net);
        netrig_must(netrig_shell("nft flush ruleset"));
        ck_assert(netrig_run_until(&t.loop, restored_more, NETRIG_WAIT_MS));
    }
    ck_assert(another_child());
    ck_assert_uint_eq(netrig_visit(t.far, HOST_ADDRESS, 11999, server), FAR_ADDRESS);
    (void)stat("/.nft.history", &after);
    ck_assert_int_eq(before.st_mtime, after.st_mtime);
    free(ports);
}
END_TEST

START_TEST(a_change_of_nothing_is_none)
{
    struct portrig_backend own = {.address = t.address[0], .port = 80};
    struct portrig_port port = {.port = 8080, .backends = &own, .n_backends = 1};
    int handle = table_handle();

    for (unsigned i = 0; i < 3; i++) {
        publish(&port, 1);
    }
    ck_assert(!netrig_run_until(&t.loop, netrig_never, 100));
    ck_assert_int_eq(table_handle(), handle);
    ck_assert_uint_eq(net_restored(t.net), 0);
}
END_TEST

/* They stay when the agent goes, and the next one has them from the first moment. */
START_TEST(ports_are_there_without_an_agent_and_for_the_next)
{
    auto_close int server = netrig_serve(t.cell[0], SOCK_STREAM, 80);
    struct portrig_backend own = {.address = t.address[0], .port = 80};
    struct portrig_port port = {.port = 8080, .backends = &own, .n_backends = 1};

    change_ports(&port, 1);
    close_net(false);
    ck_assert_uint_eq(netrig_visit(t.far, HOST_ADDRESS, 8080, server), FAR_ADDRESS);
    open_net();
    ck_assert_uint_eq(netrig_visit(t.far, HOST_ADDRESS, 8080, server), FAR_ADDRESS);
}
END_TEST

/* ---- what must not pass ---- */

START_TEST(containers_reach_neither_each_other_nor_the_host)
{
    auto_close int other = netrig_serve(t.cell[1], SOCK_STREAM, 80);
    auto_close int of_host = netrig_serve(t.host, SOCK_STREAM, 22);
    auto_close int of_far = netrig_serve(t.far, SOCK_STREAM, 25);

    netrig_must(
        netrig_shell("ip addr add 127.0.0.9/8 dev lo; ip addr add 169.254.169.254/32 dev up0"));
    netrig_must(netrig_shell("nsenter --net=/proc/%d/fd/%d ip addr add 169.254.169.253/32 dev up1",
                             (int)getpid(), t.far));
    netrig_must(netrig_shell("ip route add 169.254.169.253 dev up0"));
    netrig_refuse(t.cell[0], t.address[1], 80);
    netrig_refuse(t.cell[0], HOST_ADDRESS, 22);
    netrig_refuse(t.cell[0], NET_GATEWAY, 22);
    netrig_refuse(t.cell[0], 0xa9fea9feu, 22);
    netrig_refuse(t.cell[0], 0xa9fea9fdu, 25);
    netrig_refuse(t.far, t.address[1], 80); /* no way there, but even so: */
    netrig_must(
        netrig_shell("nsenter --net=/proc/%d/fd/%d ip route add 10.128.0.0/9 via 198.51.100.1",
                     (int)getpid(), t.far));
    netrig_refuse(t.far, t.address[1], 80);
    ck_assert_uint_eq(netrig_visit(t.cell[0], FAR_ADDRESS, 25, of_far),
                      HOST_ADDRESS); /* outwards */
    ck_assert_uint_eq(netrig_visit(t.host, t.address[1], 80, other), HOST_ADDRESS);
}
END_TEST

/* Neither do they get out to another node, nor in from one. */
START_TEST(containers_do_not_reach_the_hosts_of_other_nodes)
{
    struct net_route routes[] = {{.block = 0x0a800c00u, .block_prefix = 22, .via = 0xc6336403u},
                                 {.block = 0x0a800800u, .block_prefix = 22, .via = FAR_ADDRESS}};
    auto_close int of_far = netrig_serve(t.far, SOCK_STREAM, 25);
    auto_close int of_host = netrig_serve(t.host, SOCK_STREAM, 22);
    struct err e = {0};
    char far[64];

    (void)snprintf(far, sizeof(far), "nsenter --net=/proc/%d/fd/%d ip", (int)getpid(), t.far);
    netrig_must(netrig_shell(
        "%s addr add 10.128.8.5/32 dev lo; %s route add 10.128.4.0/22 via 198.51.100.1", far, far));
    ck_assert_int_eq(net_routes(t.net, HOST_ADDRESS, routes, 2, &e), 0);
    netrig_must(netrig_shell("nft list set inet wherry_test w_nodes | grep -q 198.51.100.2"));
    netrig_refuse(t.cell[0], FAR_ADDRESS, 25);
    netrig_must(netrig_shell("%s route add 198.51.100.1/32 dev up1 src 10.128.8.5", far));
    netrig_refuse(t.far, HOST_ADDRESS, 22);
    ck_assert_int_ge(of_host, 0);
}
END_TEST

/* Sends one datagram from a container by an address of its own choice. */
static ssize_t send_from(unsigned cell, uint32_t source, uint32_t to, uint16_t port)
{
    struct sockaddr_in from = netrig_name_of(source, 0);
    struct sockaddr_in name = netrig_name_of(to, port);
    auto_close int fd = netrig_socket(t.cell[cell], AF_INET, SOCK_DGRAM, NETRIG_BLOCKED_MS);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    return sendto(fd, "!", 1, 0, (struct sockaddr *)&name, sizeof(name));
}

START_TEST(a_borrowed_source_address_is_dropped)
{
    struct timeval tv = {.tv_usec = NETRIG_BLOCKED_MS * 1000};
    auto_close int server = netrig_serve(t.far, SOCK_DGRAM, 514);
    char byte;

    netrig_must(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    netrig_must(
        netrig_shell("nsenter --net=/proc/%d/fd/%d sh -c 'ip addr add 10.128.4.2/32 dev eth0;"
                     "ip addr add 203.0.113.5/32 dev eth0'",
                     (int)getpid(), t.cell[0]));
    netrig_must(
        netrig_shell("sysctl -q -w net.ipv4.conf.all.rp_filter=0;"
                     "for f in /proc/sys/net/ipv4/conf/wh*/rp_filter; do echo 0 >$f; done"));
    ck_assert_int_eq(send_from(0, t.address[1], FAR_ADDRESS, 514), 1);
    ck_assert_int_eq(send_from(0, 0xcb007105u, FAR_ADDRESS, 514), 1);
    ck_assert_int_eq(recv(server, &byte, 1, 0), -1);
    ck_assert_int_eq(send_from(0, t.address[0], FAR_ADDRESS, 514), 1);
    ck_assert_int_eq(recv(server, &byte, 1, 0), 1);
}
END_TEST

START_TEST(the_hosts_loopback_is_out_of_reach)
{
    struct timeval tv = {.tv_usec = NETRIG_BLOCKED_MS * 1000};
    auto_close int server = netrig_serve(t.host, SOCK_DGRAM, 631);
    char byte;

    netrig_must(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    netrig_must(
        netrig_shell("nsenter --net=/proc/%d/fd/%d sh -c '"
                     "ip route del table local local 127.0.0.0/8 dev lo; ip addr flush dev lo;"
                     "ip route del table local local 127.0.0.1 dev lo 2>/dev/null;"
                     "echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet;"
                     "ip route add 127.0.0.0/8 via 169.254.1.1 src 10.128.4.1'",
                     (int)getpid(), t.cell[0]));
    (void)send_from(0, t.address[0], INADDR_LOOPBACK, 631);
    ck_assert_int_eq(recv(server, &byte, 1, 0), -1);
}
END_TEST

/* ---- somebody else's hands, and a child that dies ---- */

static bool restored_once(void)
{
    return net_restored(t.net) == 1;
}

static bool restored_twice(void)
{
    return net_restored(t.net) == 2;
}

START_TEST(a_table_that_was_flushed_comes_back)
{
    auto_close int server = netrig_serve(t.cell[0], SOCK_STREAM, 80);

    publish_web(1);
    netrig_must(netrig_shell("nft flush ruleset"));
    ck_assert(netrig_run_until(&t.loop, restored_once, 10000));
    ck_assert_uint_eq(netrig_visit(t.far, HOST_ADDRESS, 8080, server), FAR_ADDRESS);
    netrig_refuse(t.cell[0], t.address[1], 80);
    netrig_must(netrig_shell("nft flush chain inet wherry_test w_forward"));
    ck_assert(netrig_run_until(&t.loop, restored_twice, 10000));
    netrig_must(netrig_shell("nft list chain inet wherry_test w_forward | grep -q 'goto w_from'"));
    netrig_must(netrig_shell("nft add table inet other; nft delete table inet other"));
    ck_assert(!netrig_run_until(&t.loop, netrig_never, 300));
    ck_assert_uint_eq(net_restored(t.net), 2); /* nor by what is not ours, nor by ourselves */
}
END_TEST

START_TEST(a_dead_or_silent_nft_is_replaced)
{
    auto_close int server = netrig_serve(t.cell[0], SOCK_STREAM, 80);

    child_before = child_of_ours();
    ck_assert_int_gt(child_before, 0);
    netrig_must(kill(child_before, SIGKILL));
    publish_web(1);
    ck_assert_uint_eq(netrig_visit(t.far, HOST_ADDRESS, 8080, server), FAR_ADDRESS);
    ck_assert(netrig_run_until(&t.loop, another_child, NETRIG_WAIT_MS));
    ck_assert(!netrig_run_until(&t.loop, netrig_never, 100)); /* which asserts the table */
    ck_assert_uint_eq(netrig_visit(t.far, HOST_ADDRESS, 8080, server), FAR_ADDRESS);
    ck_assert_uint_eq(net_restored(t.net), 0);
    child_before = child_of_ours();
    netrig_must(kill(child_before, SIGSTOP));
    netrig_must(netrig_shell("nft delete table inet wherry_test"));
    ck_assert(netrig_run_until(&t.loop, restored_once, NETRIG_WAIT_MS));
    ck_assert(another_child());
    ck_assert_uint_eq(netrig_visit(t.far, HOST_ADDRESS, 8080, server), FAR_ADDRESS);
}
END_TEST

/* ---- an nft that refuses ---- */

static char refusing[] = "/tmp/wherry-test-net-XXXXXX"; /* with: refuse (a flag), nft, refusals */

/* nft itself, or while the flag is there something that refuses everything. */
static void write_program(const char *path)
{
    FILE *f = fopen(path, "we");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_gt(fprintf(f,
                             "#!/bin/sh\n[ -e %1$s/refuse ] || exec nft \"$@\"\n"
                             "while read -r line; do\n  case $line in\n"
                             "  'list tables') echo '{}' ;;\n"
                             "  ?*) echo x >>%1$s/refusals; echo 'x: Error: not today' ;;\n"
                             "  esac\ndone\n",
                             refusing),
                     0);
    netrig_must(fclose(f));
    netrig_must(chmod(path, 0700));
}

static bool refused_twice(void)
{
    return netrig_shell("test $(cat %s/refusals 2>/dev/null | wc -l) -ge 2", refusing) == 0;
}

static bool table_is_there(void)
{
    return netrig_shell("nft list table inet wherry_test >/dev/null 2>&1") == 0;
}

/* It is tried again, said once, and in the end the table is there. */
START_TEST(a_table_that_is_refused_is_tried_again)
{
    auto_close int server = netrig_serve(t.cell[0], SOCK_STREAM, 80);
    auto_close int said = -1;
    struct net_config c = config();
    struct err e = {0};
    char program[64], log[64];

    ck_assert_ptr_nonnull(mkdtemp(refusing));
    (void)snprintf(program, sizeof(program), "%s/nft", refusing);
    (void)snprintf(log, sizeof(log), "%s/log", refusing);
    write_program(program);
    publish_web(1);
    close_net(false);
    c.nft_program = program;
    ck_assert_msg(net_create(&t.loop, &c, &t.net, &e) == 0, "%s", e.text);
    said = open(log, O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND, 0600);
    ck_assert_int_ge(said, 0);
    ck_assert_int_ge(dup2(said, STDERR_FILENO), 0);
    netrig_must(netrig_shell("touch %s/refuse", refusing));
    netrig_must(kill(child_of_ours(), SIGKILL));
    netrig_must(netrig_shell("nft delete table inet wherry_test"));
    ck_assert(netrig_run_until(&t.loop, refused_twice, NETRIG_WAIT_MS));
    ck_assert(!table_is_there());
    netrig_must(
        netrig_shell("test $(grep -c 'refuses table inet wherry_test: not today' %s) = 1", log));
    netrig_must(netrig_shell("rm %s/refuse", refusing));
    netrig_must(kill(child_of_ours(), SIGKILL));
    ck_assert(netrig_run_until(&t.loop, table_is_there, NETRIG_WAIT_MS));
    ck_assert_uint_eq(netrig_visit(t.far, HOST_ADDRESS, 8080, server), FAR_ADDRESS);
    netrig_must(netrig_shell("rm -r %s", refusing));
}
END_TEST

/* ---- routes ---- */

START_TEST(routes_to_other_nodes_are_made_complete)
{
    struct net_route routes[] = {
        {.block = 0x0a800800u, .block_prefix = 22, .via = FAR_ADDRESS},
        {.block = 0x0a800c00u, .block_prefix = 22, .via = 0xc6336403u},
        {.block = 0x0a801000u, .block_prefix = 22, .via = 0xc0000201u}, /* not on our link */
    };
    struct err e = {0};

    ck_assert_int_eq(net_routes(t.net, HOST_ADDRESS, routes, 3, &e), 0);
    netrig_must(
        netrig_shell("ip route | grep -q '10.128.16.0/22 via 10.128.16.0 dev wx.* proto 87 src "
                     "10.128.4.0 .*onlink'"));
    netrig_must(netrig_shell("ip -o addr show lo | grep -q 'inet 169.254.1.1/32 scope host' &&"
                             "ip -o addr show lo | grep -q 'inet 10.128.4.0/32 scope host'"));
    netrig_must(
        netrig_shell("ip route | grep -q '10.128.8.0/22 via 198.51.100.2 dev up0 proto 87'"));
    netrig_must(netrig_shell("ip route | grep -q '10.128.12.0/22 via 198.51.100.3'"));
    netrig_must(netrig_shell("ip route | grep -q 'unreachable 10.128.4.0/22'"));
    routes[0].via = 0xc6336404u;
    ck_assert_int_eq(net_routes(t.net, HOST_ADDRESS, routes, 1, &e), 0);
    netrig_must(netrig_shell("ip route | grep -q '10.128.8.0/22 via 198.51.100.4'"));
    ck_assert_int_eq(netrig_shell("ip route | grep -q '10.128.12.0/22'"), 1);
    ck_assert_int_eq(netrig_shell("ip -o link | grep -q vxlan"), 1);
    ck_assert_int_eq(netrig_shell("ip route | grep -q 'via 198.51.100.2 dev up0 proto 87'"), 1);
    routes[0].block |= 1;
    ck_assert_int_eq(net_routes(t.net, HOST_ADDRESS, routes, 1, &e), -EINVAL);
    netrig_must(netrig_shell("ip route | grep -q '10.128.8.0/22 via 198.51.100.4'"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net");
    TCase *bare = tcase_create("bare");
    TCase *attached = tcase_create("attached");
    SRunner *r = srunner_create(s);
    int failed;

    if (skip_unless_root("network namespaces")) {
        return SKIP;
    }
    tcase_add_checked_fixture(bare, setup, teardown);
    tcase_set_timeout(bare, 30);
    tcase_add_test(bare, a_bad_configuration_is_refused);
    tcase_add_test(bare, nft_that_is_not_there_is_an_error);
    tcase_add_test(bare, addresses_are_given_once_until_the_block_is_used_up);
    tcase_add_test(bare, a_failed_attach_leaves_nothing);
    tcase_add_test(bare, attaching_is_quick);
    tcase_add_test(bare, routes_to_other_nodes_are_made_complete);
    suite_add_tcase(s, bare);
    tcase_add_checked_fixture(attached, setup_attached, teardown);
    tcase_set_timeout(attached, 30);
    tcase_add_test(attached, a_container_has_an_address_a_way_out_and_nothing_else);
    tcase_add_test(attached, detaching_is_idempotent_and_frees_the_address);
    tcase_add_test(attached, what_is_attached_is_adopted_and_strays_are_removed);
    tcase_add_test(attached, a_published_port_is_reached_from_everywhere);
    tcase_add_test(attached, backends_share_and_come_and_go);
    tcase_add_test(attached, many_backends_of_one_port);
    tcase_add_test(attached, a_client_that_keeps_sending_follows_its_port);
    tcase_add_test(attached, a_port_of_one_address_is_reached_by_that_only);
    tcase_add_test(attached, many_ports_at_once);
    tcase_add_test(attached, nft_does_not_grow_for_ever);
    tcase_add_test(attached, a_change_of_nothing_is_none);
    tcase_add_test(attached, ports_are_there_without_an_agent_and_for_the_next);
    tcase_add_test(attached, containers_reach_neither_each_other_nor_the_host);
    tcase_add_test(attached, containers_do_not_reach_the_hosts_of_other_nodes);
    tcase_add_test(attached, a_borrowed_source_address_is_dropped);
    tcase_add_test(attached, the_hosts_loopback_is_out_of_reach);
    tcase_add_test(attached, a_table_that_was_flushed_comes_back);
    tcase_add_test(attached, a_dead_or_silent_nft_is_replaced);
    tcase_add_test(attached, a_table_that_is_refused_is_tried_again);
    suite_add_tcase(s, attached);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
