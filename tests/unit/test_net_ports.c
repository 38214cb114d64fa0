// SPDX-License-Identifier: Apache-2.0
/* Published ports of one node. */
#include <arpa/inet.h>
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
#include "noderig.h"
#include "tests/lib/skip.h"

/* ---- published ports ---- */

START_TEST(a_published_port_is_reached_from_everywhere)
{
    auto_close int server = netrig_serve(noderig.cell[0], SOCK_STREAM, 80);
    auto_close int datagrams = netrig_serve(noderig.cell[0], SOCK_DGRAM, 80);

    netrig_refuse(noderig.far, NODERIG_HOST_ADDRESS, 8080);
    noderig_publish_web(1);
    ck_assert_uint_eq(netrig_visit(noderig.far, NODERIG_HOST_ADDRESS, 8080, server),
                      NODERIG_FAR_ADDRESS);
    ck_assert_uint_eq(netrig_visit(noderig.host, NODERIG_HOST_ADDRESS, 8080, server),
                      NODERIG_HOST_ADDRESS);
    ck_assert_uint_eq(netrig_visit(noderig.host, INADDR_LOOPBACK, 8080, server), NET_GATEWAY);
    ck_assert_uint_eq(netrig_visit(noderig.cell[0], NODERIG_HOST_ADDRESS, 8080, server),
                      NET_GATEWAY); /* itself */
    ck_assert_uint_eq(netrig_visit(noderig.cell[1], NODERIG_HOST_ADDRESS, 8080, server),
                      NET_GATEWAY);
    ck_assert_uint_eq(netrig_ask(noderig.far, NODERIG_HOST_ADDRESS, 8053, datagrams),
                      NODERIG_FAR_ADDRESS);
    ck_assert_uint_eq(netrig_ask(noderig.host, INADDR_LOOPBACK, 8053, datagrams), NET_GATEWAY);
    ck_assert_uint_eq(netrig_ask(noderig.cell[0], NODERIG_HOST_ADDRESS, 8053, datagrams),
                      NET_GATEWAY);
    netrig_refuse(noderig.host, INADDR_LOOPBACK + 52, 8080); /* 127.0.0.53 */
    noderig_publish(NULL, 0);
    netrig_refuse(noderig.far, NODERIG_HOST_ADDRESS, 8080);
    netrig_refuse(noderig.host, INADDR_LOOPBACK, 8080);
}
END_TEST

/* Grows with each table that is made. */
static int table_handle(void)
{
    return netrig_shell("exit $(nft -a list tables | sed -n 's/.*wherry_test.*handle //p')");
}

START_TEST(backends_share_and_come_and_go)
{
    int server[NODERIG_CONTAINERS];
    unsigned hits[NODERIG_CONTAINERS] = {0};
    int handle = table_handle();

    for (unsigned i = 0; i < NODERIG_CONTAINERS; i++) {
        server[i] = netrig_serve(noderig.cell[i], SOCK_STREAM, 80);
        netrig_must(fcntl(server[i], F_SETFL, O_NONBLOCK));
    }
    noderig_publish_web(2);
    for (unsigned n = 0; n < 60; n++) {
        int fd = netrig_dial(noderig.far, NODERIG_HOST_ADDRESS, 8080, NETRIG_WAIT_MS);

        ck_assert_int_ge(fd, 0);
        for (unsigned i = 0; i < NODERIG_CONTAINERS; i++) {
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
    noderig_publish_web(3);
    noderig_publish_web(1);
    ck_assert_int_eq(table_handle(), handle); /* by changes alone: it is the same table */
    for (unsigned i = 0; i < NODERIG_CONTAINERS; i++) {
        (void)close(server[i]);
    }
    server[0] = netrig_serve(noderig.cell[0], SOCK_STREAM, 80);
    for (unsigned n = 0; n < 10; n++) {
        ck_assert_uint_eq(netrig_visit(noderig.far, NODERIG_HOST_ADDRESS, 8080, server[0]),
                          NODERIG_FAR_ADDRESS);
    }
    (void)close(server[0]);
    ck_assert_uint_eq(net_restored(noderig.net), 0);
}
END_TEST

START_TEST(many_backends_of_one_port)
{
    struct portrig_backend backends[NET_BACKENDS_MAX];
    struct portrig_port ports[] = {{.port = 8080, .backends = backends, .n_backends = 9},
                                   {.port = 8081, .backends = backends, .n_backends = 1}};
    auto_close int server = netrig_serve(noderig.cell[0], SOCK_STREAM, 80);

    for (unsigned i = 0; i < NET_BACKENDS_MAX; i++) {
        backends[i] = (struct portrig_backend){.address = noderig.address[0], .port = 80};
    }
    noderig_publish(ports, 2);
    ck_assert_uint_eq(netrig_visit(noderig.far, NODERIG_HOST_ADDRESS, 8080, server),
                      NODERIG_FAR_ADDRESS);
    ports[0].n_backends = NET_BACKENDS_MAX;
    noderig_publish(ports, 2);
    ck_assert_uint_eq(netrig_visit(noderig.far, NODERIG_HOST_ADDRESS, 8080, server),
                      NODERIG_FAR_ADDRESS);
    ck_assert_uint_eq(netrig_visit(noderig.far, NODERIG_HOST_ADDRESS, 8081, server),
                      NODERIG_FAR_ADDRESS);
    ck_assert_uint_eq(net_restored(noderig.net), 0);
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
    auto_close int first = netrig_serve(noderig.cell[0], SOCK_DGRAM, 80);
    auto_close int second = netrig_serve(noderig.cell[1], SOCK_DGRAM, 80);
    auto_close int client = netrig_socket(noderig.far, AF_INET, SOCK_DGRAM, NETRIG_WAIT_MS);
    struct sockaddr_in to = netrig_name_of(NODERIG_HOST_ADDRESS, 8053);
    struct portrig_backend a = {.address = noderig.address[0], .port = 80};
    struct portrig_backend b = {.address = noderig.address[1], .port = 80};
    struct portrig_port port = {.udp = true, .port = 8053, .backends = &a, .n_backends = 1};

    netrig_must(connect(client, (struct sockaddr *)&to, sizeof(to)));
    netrig_must(fcntl(first, F_SETFL, O_NONBLOCK));
    ck_assert(!arrives(client, first)); /* too early, but the kernel remembers */
    noderig_publish(&port, 1);
    netrig_must(fcntl(first, F_SETFL, 0));
    ck_assert(!netrig_run_until(&noderig.loop, netrig_never, 50));
    ck_assert(arrives(client, first));
    port.backends = &b;
    noderig_publish(&port, 1);
    ck_assert(!netrig_run_until(&noderig.loop, netrig_never, 50));
    ck_assert(arrives(client, second));
}
END_TEST

START_TEST(a_port_of_one_address_is_reached_by_that_only)
{
    auto_close int first = netrig_serve(noderig.cell[0], SOCK_STREAM, 80);
    auto_close int second = netrig_serve(noderig.cell[1], SOCK_STREAM, 80);
    struct portrig_backend a = {.address = noderig.address[0], .port = 80};
    struct portrig_backend b = {.address = noderig.address[1], .port = 80};
    struct portrig_port ports[] = {
        {.port = 81, .host_ip = INADDR_LOOPBACK, .backends = &a, .n_backends = 1},
        {.port = 82, .host_ip = NODERIG_HOST_ADDRESS, .backends = &a, .n_backends = 1},
        {.port = 83, .host_ip = NODERIG_HOST_ADDRESS, .backends = &a, .n_backends = 1},
        {.port = 83, .backends = &b, .n_backends = 1},
    };

    noderig_publish(ports, 4);
    ck_assert_uint_eq(netrig_visit(noderig.host, INADDR_LOOPBACK, 81, first), NET_GATEWAY);
    netrig_refuse(noderig.far, NODERIG_HOST_ADDRESS, 81);
    netrig_refuse(noderig.host, INADDR_LOOPBACK, 82);
    ck_assert_uint_eq(netrig_visit(noderig.far, NODERIG_HOST_ADDRESS, 82, first),
                      NODERIG_FAR_ADDRESS);
    ck_assert_uint_eq(netrig_visit(noderig.far, NODERIG_HOST_ADDRESS, 83, first),
                      NODERIG_FAR_ADDRESS);
    ck_assert_uint_eq(netrig_visit(noderig.host, INADDR_LOOPBACK, 83, second), NET_GATEWAY);
}
END_TEST

START_TEST(many_ports_at_once)
{
    enum { MANY = 2000 };
    struct portrig_backend own = {.address = noderig.address[0], .port = 80};
    struct portrig_port *ports = xcalloc(MANY, sizeof(*ports));
    auto_close int server = netrig_serve(noderig.cell[0], SOCK_STREAM, 80);
    uint64_t began = netrig_now_ms();

    for (unsigned i = 0; i < MANY; i++) {
        ports[i] =
            (struct portrig_port){.port = (uint16_t)(10000 + i), .backends = &own, .n_backends = 1};
    }
    noderig_publish(ports, MANY);
    (void)fprintf(stderr, "%d ports in %llu ms\n", MANY,
                  (unsigned long long)(netrig_now_ms() - began));
    ck_assert_uint_eq(netrig_visit(noderig.far, NODERIG_HOST_ADDRESS, 11999, server),
                      NODERIG_FAR_ADDRESS);
    began = netrig_now_ms();
    noderig_publish(ports, MANY - 1);
    (void)fprintf(stderr, "one less in %llu ms\n", (unsigned long long)(netrig_now_ms() - began));
    netrig_refuse(noderig.far, NODERIG_HOST_ADDRESS, 11999);
    free(ports);
}
END_TEST

static bool restored_more(void)
{
    return net_restored(noderig.net) > noderig.restored;
}

/* nft remembers every line it was told, and would write them into its home. What changes by itself
 * is not told to it at all. */
START_TEST(nft_does_not_grow_for_ever)
{
    struct portrig_backend own = {.address = noderig.address[0], .port = 80};
    struct portrig_port *ports = xcalloc(NODERIG_PORTS_MANY, sizeof(*ports));
    auto_close int server = netrig_serve(noderig.cell[0], SOCK_STREAM, 80);
    struct stat before = {0}, after = {0};

    (void)stat("/.nft.history", &before);
    for (unsigned i = 0; i < NODERIG_PORTS_MANY; i++) {
        ports[i] =
            (struct portrig_port){.port = (uint16_t)(10000 + i), .backends = &own, .n_backends = 1};
    }
    noderig.child_before = noderig_child_of_ours();
    for (unsigned round = 0; round < 12; round++) {
        noderig_publish(ports, round % 2 == 0 ? NODERIG_PORTS_MANY : 1);
    }
    ck_assert_int_eq(noderig_child_of_ours(), noderig.child_before);
    noderig_publish(ports, NODERIG_PORTS_MANY);
    for (unsigned round = 0; round < 12 && !noderig_another_child(); round++) {
        noderig.restored = net_restored(noderig.net);
        netrig_must(netrig_shell("nft flush ruleset"));
        ck_assert(netrig_run_until(&noderig.loop, restored_more, NETRIG_WAIT_MS));
    }
    ck_assert(noderig_another_child());
    ck_assert_uint_eq(netrig_visit(noderig.far, NODERIG_HOST_ADDRESS, 11999, server),
                      NODERIG_FAR_ADDRESS);
    (void)stat("/.nft.history", &after);
    ck_assert_int_eq(before.st_mtime, after.st_mtime);
    free(ports);
}
END_TEST

START_TEST(a_change_of_nothing_is_none)
{
    struct portrig_backend own = {.address = noderig.address[0], .port = 80};
    struct portrig_port port = {.port = 8080, .backends = &own, .n_backends = 1};
    int handle = table_handle();

    for (unsigned i = 0; i < 3; i++) {
        noderig_publish(&port, 1);
    }
    ck_assert(!netrig_run_until(&noderig.loop, netrig_never, 100));
    ck_assert_int_eq(table_handle(), handle);
    ck_assert_uint_eq(net_restored(noderig.net), 0);
}
END_TEST

/* They stay when the agent goes, and the next one has them from the first moment. */
START_TEST(ports_are_there_without_an_agent_and_for_the_next)
{
    auto_close int server = netrig_serve(noderig.cell[0], SOCK_STREAM, 80);
    struct portrig_backend own = {.address = noderig.address[0], .port = 80};
    struct portrig_port port = {.port = 8080, .backends = &own, .n_backends = 1};

    noderig_change_ports(&port, 1);
    noderig_close_net(false);
    ck_assert_uint_eq(netrig_visit(noderig.far, NODERIG_HOST_ADDRESS, 8080, server),
                      NODERIG_FAR_ADDRESS);
    noderig_open_net();
    ck_assert_uint_eq(netrig_visit(noderig.far, NODERIG_HOST_ADDRESS, 8080, server),
                      NODERIG_FAR_ADDRESS);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net_ports");
    TCase *attached = tcase_create("attached");
    SRunner *r = srunner_create(s);
    int failed;

    if (skip_unless_root("network namespaces")) {
        return SKIP;
    }
    tcase_add_checked_fixture(attached, noderig_setup_attached, noderig_teardown);
    tcase_set_timeout(attached, 30);
    tcase_add_test(attached, a_published_port_is_reached_from_everywhere);
    tcase_add_test(attached, backends_share_and_come_and_go);
    tcase_add_test(attached, many_backends_of_one_port);
    tcase_add_test(attached, a_client_that_keeps_sending_follows_its_port);
    tcase_add_test(attached, a_port_of_one_address_is_reached_by_that_only);
    tcase_add_test(attached, many_ports_at_once);
    tcase_add_test(attached, nft_does_not_grow_for_ever);
    tcase_add_test(attached, a_change_of_nothing_is_none);
    tcase_add_test(attached, ports_are_there_without_an_agent_and_for_the_next);
    suite_add_tcase(s, attached);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
