// SPDX-License-Identifier: Apache-2.0
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

struct noderig noderig;

/* ---- the machine ---- */

static void make_hosts(void)
{
    int pid = (int)getpid();

    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    noderig.host = netrig_own_netns();
    noderig.far = netrig_new_netns();
    netrig_must(netrig_shell(
        "ip link set lo up && ip link add up0 type veth peer name up1 &&"
        "ip link set up1 netns /proc/%d/fd/%d && ip addr add 198.51.100.1/24 dev up0 &&"
        "ip link set up0 up && ip route add default via 198.51.100.2",
        pid, noderig.far));
    netrig_must(netrig_shell("nsenter --net=/proc/%d/fd/%d sh -c 'ip link set lo up;"
                             "ip addr add 198.51.100.2/24 dev up1; ip link set up1 up'",
                             pid, noderig.far));
    for (unsigned i = 0; i < NODERIG_CONTAINERS; i++) {
        noderig.cell[i] = netrig_new_netns();
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
    copy_elements(&noderig.ports, ret);
    return noderig.ports_max;
}

struct net_config noderig_config(void)
{
    return (struct net_config){
        .suffix = "test",
        .all = on_all,
        .range = 0x0a800000u,
        .range_prefix = 9,
        .block = NODERIG_BLOCK,
        .block_prefix = 22,
    };
}

void noderig_open_net(void)
{
    struct net_config c = noderig_config();
    struct err e = {0};
    int rc = net_create(&noderig.loop, &c, &noderig.net, &e);

    ck_assert_msg(rc == 0, "%s", e.text);
}

void noderig_setup(void)
{
    ck_assert_int_eq(uv_loop_init(&noderig.loop), 0);
    make_hosts();
    noderig_open_net();
}

void noderig_attach(unsigned i)
{
    struct net_id id = {.incarnation = 100 + i, .run = 1};
    struct net_link link = {0};
    struct err e = {0};

    ck_assert_msg(net_reserve(noderig.net, &link.address, &e) == 0, "%s", e.text);
    noderig.address[i] = link.address;
    ck_assert_msg(net_attach(noderig.net, id, noderig.cell[i], &link, &e) == 0, "%s", e.text);
}

void noderig_setup_attached(void)
{
    noderig_setup();
    for (unsigned i = 0; i < NODERIG_CONTAINERS; i++) {
        noderig_attach(i);
    }
}

void noderig_on_closed(void *arg)
{
    (void)arg;
    noderig.closed = true;
}

void noderig_close_net(bool remove)
{
    noderig.closed = false;
    net_close(noderig.net, remove, noderig_on_closed, NULL);
    while (!noderig.closed) {
        (void)uv_run(&noderig.loop, UV_RUN_ONCE);
    }
    noderig.net = NULL;
}

/* Nothing of ours may be left, whatever was in between. */
void noderig_teardown(void)
{
    if (noderig.net != NULL) {
        noderig_close_net(true);
    }
    netelems_finish(&noderig.ports);
    (void)uv_run(&noderig.loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&noderig.loop), 0);
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

    for (unsigned i = 0; i < noderig.ports.n; i++) {
        n += noderig.ports.list[i].set == set;
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
void noderig_change_ports(const struct portrig_port *ports, unsigned n)
{
    struct netelems want = {0}, removed = {0}, added = {0};
    struct err e = {0};

    noderig.ports_max = portrig_elements(ports, n, &want);
    netelems_diff(&noderig.ports, &want, &removed, &added);
    netelems_finish(&noderig.ports);
    noderig.ports = want;
    ck_assert_msg(net_elements(noderig.net, removed.list, removed.n, added.list, added.n,
                               noderig.ports_max, &e) == 0,
                  "%s", e.text);
    netelems_finish(&removed);
    netelems_finish(&added);
}

void noderig_publish(const struct portrig_port *ports, unsigned n)
{
    noderig_change_ports(ports, n);
    ck_assert(netrig_run_until(&noderig.loop, in_force, NETRIG_WAIT_MS));
}

void noderig_publish_web(unsigned n_backends)
{
    struct portrig_backend backends[NODERIG_CONTAINERS];
    struct portrig_port ports[] = {
        {.port = 8080, .backends = backends, .n_backends = n_backends},
        {.port = 8053, .udp = true, .backends = backends, .n_backends = 1},
    };

    for (unsigned i = 0; i < NODERIG_CONTAINERS; i++) {
        backends[i] = (struct portrig_backend){.address = noderig.address[i], .port = 80};
    }
    noderig_publish(ports, 2);
}

/* The child is the only process of ours. */
int noderig_child_of_ours(void)
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

bool noderig_another_child(void)
{
    return noderig_child_of_ours() != 0 && noderig_child_of_ours() != noderig.child_before;
}
