// SPDX-License-Identifier: Apache-2.0
/* The name server of this node's containers. Somebody else may have its port: then containers find
 * no names, the controller is told, and it is tried again; all else of the network goes on. */
#include <stdio.h>
#include <string.h>

#include "agent/uv_agent_net_priv.h"
#include "common/cleanup.h"
#include "common/log.h"

#define RETRY_MS 2000u
#define PORT     53

static bool on_asker(void *arg, uint32_t address, struct dns_asker *ret, const uint32_t **resolvers,
                     unsigned *ret_n)
{
    const struct net_local *l = uv_agent_net_local_at(arg, address);

    if (l == NULL) {
        return false;
    }
    *ret = (struct dns_asker){.networks = l->networks,
                              .n_networks = l->n_networks,
                              .stack = l->stack,
                              .no_out = l->no_world};
    *resolvers = l->n_resolvers > 0 ? l->resolvers : NULL;
    *ret_n = l->n_resolvers;
    return true;
}

/* Said when it is news. */
static void say(struct uv_agent_net *n, const char *why)
{
    if (strcmp(n->dns_why, why) == 0) {
        return;
    }
    if (why[0] != '\0') {
        log_error("containers find no names: %s", why);
    } else {
        log_info("containers find names again");
    }
    (void)snprintf(n->dns_why, sizeof(n->dns_why), "%s", why);
    if (n->agent->link != NULL) {
        uv_agent_link_facts(n->agent);
    }
}

static void on_timer(uv_timer_t *timer);

static void try_start(struct net_up *up)
{
    const struct uv_dns_config config = {.address = "169.254.1.1",
                                         .port = PORT,
                                         .resolv_conf = "/etc/resolv.conf",
                                         .names = up->names,
                                         .asker = on_asker,
                                         .arg = up};
    struct err e = {0};

    if (uv_dns_create(up->agent->loop, &config, &up->dns, &e) < 0) {
        up->dns = NULL;
        say(up->owner, e.text);
        (void)uv_timer_start(&up->dns_timer, on_timer, RETRY_MS, 0);
        return;
    }
    say(up->owner, "");
}

static void on_timer(uv_timer_t *timer)
{
    try_start(container_of(timer, struct net_up, dns_timer));
}

void uv_agent_net_dns_start(struct net_up *up)
{
    (void)uv_timer_init(up->agent->loop, &up->dns_timer);
    try_start(up);
}

unsigned uv_agent_net_dns_close(struct net_up *up, uv_close_cb timer_closed,
                                void (*closed)(void *arg), void *arg)
{
    struct uv_dns *dns = take_ptr(up->dns);

    uv_close((uv_handle_t *)&up->dns_timer, timer_closed);
    if (dns != NULL) {
        uv_dns_close(dns, closed, arg);
    }
    return dns != NULL ? 2 : 1;
}
