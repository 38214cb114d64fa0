// SPDX-License-Identifier: Apache-2.0
/* Asks a container for its health, once per wish of the core: TCP from here, HTTP by the worker
 * over sockets that belong to the container's network, a command by the shim's program. Each
 * question is answered exactly once. That the worker died says nothing of the container, so it is
 * asked again. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/net/netns.h"
#include "agent/uv_agent_priv.h"
#include "agent/uv_probe_tcp.h"
#include "common/cleanup.h"
#include "common/log.h"

#define ASK_MAX 3 /* times, when there was no verdict */

struct probe {
    struct probe *next;
    struct uv_agent *agent;
    struct node_of of;
    unsigned asked;
    struct uv_probe_tcp *tcp; /* NULL: another kind */
};

static void forget(struct probe *p)
{
    struct probe **at = &p->agent->probes;

    while (*at != p) {
        at = &(*at)->next;
    }
    *at = p->next;
    uv_agent_release(p->agent);
    free(p);
}

static void ask(struct probe *p);

static void on_answer(void *arg, int status, const char *text)
{
    struct probe *p = arg;

    p->tcp = NULL;
    if (status == -EAGAIN && p->asked < ASK_MAX && !p->agent->closing) {
        ask(p);
        return;
    }
    if (!p->agent->closing) {
        uv_agent_queue_probed(p->agent, p->of, status == 0, text);
    }
    forget(p);
}

/* Also for a run that has no network namespace of its own: then it is the host's. */
static int open_netns(const struct attempt *at)
{
    if (order_network(at->unit->order) == ORDER_NETWORK_HOST) {
        int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
    }
    return uv_engine_netns(at->run);
}

static int ask_tcp(struct probe *p, const struct attempt *at, const struct order_probe *what,
                   uint32_t timeout_ms, struct err *e)
{
    auto_close int netns = open_netns(at);

    if (netns < 0) {
        return err_set(e, netns, "open its network namespace");
    }
    p->tcp = uv_probe_tcp(p->agent->loop, netns, at->address, what->port, timeout_ms, on_answer, p);
    return 0;
}

static int make_target(int netns, uint32_t address, struct uv_worker_target *ret, struct err *e)
{
    struct in_addr in = {.s_addr = htonl(address)};
    int fd = netns_socket(netns, AF_INET, SOCK_STREAM, 0, e);

    if (fd < 0) {
        return fd;
    }
    ret->fd = fd;
    (void)inet_ntop(AF_INET, &in, ret->address, sizeof(ret->address));
    return 0;
}

static int ask_http(struct probe *p, const struct attempt *at, const struct order_probe *what,
                    uint32_t timeout_ms, struct err *e)
{
    auto_close int netns = open_netns(at);
    struct uv_worker_http http = {.target = {{.fd = -1}, {.fd = -1}},
                                  .port = what->port,
                                  .path = what->path,
                                  .host = what->host,
                                  .timeout_ms = timeout_ms};
    unsigned n = 0;

    if (netns < 0) {
        return err_set(e, netns, "open its network namespace");
    }
    if (at->address != 0) {
        if (make_target(netns, at->address, &http.target[n++], e) < 0) {
            return e->code;
        }
    }
    if (make_target(netns, INADDR_LOOPBACK, &http.target[n], e) < 0) {
        cleanup_close(&http.target[0].fd);
        return e->code;
    }
    uv_worker_probe(p->agent->worker, &http, on_answer, p);
    return 0;
}

static int ask_as_said(struct probe *p, struct err *e)
{
    const struct attempt *at = uv_agent_attempt(p->agent, p->of);
    const struct node_container *c = node_find(p->agent->node, p->of.incarnation);
    uint64_t timeout = c != NULL ? c->traits.health.timeout_ms : 0;
    uint32_t timeout_ms = timeout < UINT32_MAX ? (uint32_t)timeout : UINT32_MAX;
    struct order_probe what;

    if (at == NULL || at->run == NULL || at->unit->order == NULL || c == NULL) {
        return err_say(e, ESRCH, "its run is not held");
    }
    order_probe(at->unit->order, at->image, &what);
    switch (what.kind) {
    case ORDER_PROBE_TCP:
        return ask_tcp(p, at, &what, timeout_ms, e);
    case ORDER_PROBE_HTTP:
        return ask_http(p, at, &what, timeout_ms, e);
    case ORDER_PROBE_EXEC:
        uv_engine_exec(at->run, what.argv, what.argc, timeout, on_answer, p);
        return 0;
    case ORDER_PROBE_NONE:
        break;
    }
    return err_say(e, ENOENT, "its check is not known any more");
}

static void ask(struct probe *p)
{
    struct err e = {0};

    p->asked++;
    if (ask_as_said(p, &e) < 0) {
        uv_agent_queue_probed(p->agent, p->of, false, e.text);
        forget(p);
    }
}

void uv_agent_probe_ask(struct uv_agent *a, struct node_of of)
{
    struct probe *p = xcalloc(1, sizeof(*p));

    p->agent = a;
    p->of = of;
    p->next = a->probes;
    a->probes = p;
    uv_agent_hold(a);
    ask(p);
}

/* The others end with the engine and the worker. */
void uv_agent_probe_cancel(struct uv_agent *a)
{
    for (struct probe *p = a->probes; p != NULL; p = p->next) {
        if (p->tcp != NULL) {
            uv_probe_tcp_cancel(p->tcp);
        }
    }
}
