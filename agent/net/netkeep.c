// SPDX-License-Identifier: Apache-2.0
#include "agent/net/netkeep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "agent/net/uv_netwatch.h"
#include "common/log.h"

#define RETRY_MS     1000u /* after an error; twice as long after each that follows */
#define RETRY_MS_MAX 30000u
#define LOST_MS      600u /* a link that is missing as long as this does not end with its container */

struct netkeep {
    struct netkeep_config config;
    uint32_t port; /* our own: what we have changed ourselves */
    struct uv_netwatch *watch;
    attached_lost_cb lost;
    void *lost_arg;
    unsigned retry_ms;
    unsigned rounds;
    char told[ERR_TEXT_MAX]; /* the last error, to be told once */
    void (*closed)(void *arg);
    void *closed_arg;
};

static uint64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static unsigned min(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static bool matters(void *arg, const struct rtnlevent *event)
{
    const struct netkeep *k = arg;

    return (event->port == 0 || event->port != k->port) &&
           (overlay_matters(k->config.overlay, event) ||
            (k->config.overlay6 != NULL && overlay6_matters(k->config.overlay6, event)) ||
            attached_matters(k->config.attached, event));
}

static void tell_error(struct netkeep *k, const char *text)
{
    if (strcmp(text, k->told) != 0) {
        (void)snprintf(k->told, sizeof(k->told), "%s", text);
        if (text[0] != '\0') {
            log_warn("network: what others have changed cannot be put back: %s", text);
        }
    }
}

int netkeep_between(struct netkeep *k, struct err *e)
{
    struct err why;
    int rc = overlay_assert(k->config.overlay, k->config.rtnl, e);
    unsigned n;
    const struct net_way *ways = overlay_ways(k->config.overlay, &n);
    int one = k->config.overlay6 != NULL
                  ? overlay6_assert(k->config.overlay6, k->config.rtnl, ways, n, &why)
                  : 0;

    return one < 0 && rc == 0 ? err_say(e, one, "%s", why.text) : rc;
}

static void on_due(void *arg)
{
    struct netkeep *k = arg;
    struct err e = {0};
    unsigned restored;
    bool missing;
    int rc = netkeep_between(k, &e);
    int one = attached_assert(k->config.attached, k->config.rtnl, &restored, &missing,
                              rc == 0 ? &e : NULL);

    rc = rc == 0 ? one : rc;
    k->rounds++;
    tell_error(k, rc < 0 ? e.text : "");
    if (restored > 0) {
        log_warn("network: links of %u containers were changed by others: put back", restored);
    }
    if (rc < 0) {
        uv_netwatch_again(k->watch, k->retry_ms);
    }
    k->retry_ms = rc == 0 ? RETRY_MS : min(k->retry_ms * 2, RETRY_MS_MAX);
    if (missing) {
        uv_netwatch_again(k->watch, LOST_MS);
    }
    if (k->lost != NULL) {
        attached_tell_lost(k->config.attached, now_ms(), LOST_MS, k->lost, k->lost_arg);
    }
}

static uint32_t port_of(int fd)
{
    struct sockaddr_nl name = {.nl_family = AF_NETLINK};
    socklen_t len = sizeof(name);

    return getsockname(fd, (struct sockaddr *)&name, &len) == 0 ? name.nl_pid : 0;
}

int netkeep_create(const struct netkeep_config *config, struct netkeep **ret, struct err *e)
{
    struct netkeep *k = xcalloc(1, sizeof(*k));
    struct uv_netwatch_config watch = {
        .loop = config->loop, .matters = matters, .due = on_due, .arg = k};
    int rc = uv_netwatch_create(&watch, &k->watch, e);

    if (rc < 0) {
        free(k);
        return rc;
    }
    k->config = *config;
    k->retry_ms = RETRY_MS;
    k->port = port_of(config->rtnl);
    *ret = k;
    return 0;
}

void netkeep_on_lost(struct netkeep *k, attached_lost_cb lost, void *arg)
{
    k->lost = lost;
    k->lost_arg = arg;
}

unsigned netkeep_rounds(const struct netkeep *k)
{
    return k->rounds;
}

static void on_watch_closed(void *arg)
{
    struct netkeep *k = arg;

    if (k->closed != NULL) {
        k->closed(k->closed_arg);
    }
    free(k);
}

void netkeep_close(struct netkeep *k, void (*closed)(void *arg), void *arg)
{
    if (k == NULL) {
        return;
    }
    k->closed = closed;
    k->closed_arg = arg;
    uv_netwatch_close(k->watch, on_watch_closed, k);
}
