// SPDX-License-Identifier: Apache-2.0
/* From a wish to a running container: the image, the volumes, ids and address, then its shim. What
 * is taken is noted in the attempt at once, so that whatever fails, all of it is given back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/codec_image.h"
#include "agent/uv_agent_priv.h"
#include "common/cleanup.h"
#include "common/failpoint.h"
#include "common/log.h"

/* -EAGAIN: a missing image is not a failure, it is waited for. */
static int find_image(struct attempt *at, struct err *e)
{
    struct uv_agent *a = at->unit->agent;
    const char *name = order_image(at->unit->order);
    const char *wanted = at->unit->image_digest[0] != '\0' ? at->unit->image_digest : name;
    const struct image *image;
    char owner[64];

    if (images_changed(a->images) && images_reload(a->images, e) < 0) {
        return e->code;
    }
    image = images_find(a->images, wanted);
    if (image == NULL) {
        return err_say(e, EAGAIN,
                       "image %s is not on this node; load it with: wherry-agent image load", name);
    }
    (void)snprintf(owner, sizeof(owner), "%llx-%u", (unsigned long long)at->of.incarnation,
                   at->of.run);
    if (images_pin(a->images, image->digest, owner, e) < 0) {
        return e->code;
    }
    memcpy(at->pinned, image->digest, sizeof(at->pinned));
    at->image = xcalloc(1, sizeof(*at->image));
    codec_image_copy(image, at->image);
    return 0;
}

static int find_mount(struct attempt *at, unsigned i, const struct order_mount *m, struct err *e)
{
    struct uv_agent *a = at->unit->agent;
    bool made = false;

    switch (m->kind) {
    case ORDER_MOUNT_TMPFS:
        return 0;
    case ORDER_MOUNT_BIND:
        at->sources[i] = xstrdup(m->source);
        return volumes_check_bind(m->source, m->create, a->dirs.state_path, a->dirs.run_path, e);
    case ORDER_MOUNT_VOLUME:
        break;
    }
    if (volumes_ensure(&a->volumes, m->source, &at->sources[i], &made, e) < 0) {
        return e->code;
    }
    if (made) {
        log_info("%s: made volume %s", at->unit->name, m->source);
    }
    return 0;
}

static int find_mounts(struct attempt *at, struct err *e)
{
    struct order_mount m;

    for (unsigned i = 0; order_mount(at->unit->order, i, &m); i++) {
        if (i == UV_AGENT_MOUNTS_MAX) {
            return err_say(e, E2BIG, "more than %d mounts", UV_AGENT_MOUNTS_MAX);
        }
        if (find_mount(at, i, &m, e) < 0) {
            return e->code;
        }
    }
    return 0;
}

static char *log_path(const struct unit *u)
{
    return xasprintf("%s/logs/%llx/log", u->agent->dirs.state_path,
                     (unsigned long long)u->incarnation);
}

static int make_log_dir(const struct unit *u, struct err *e)
{
    auto_free char *dir =
        xasprintf("%s/logs/%llx", u->agent->dirs.state_path, (unsigned long long)u->incarnation);
    auto_close int fd = statedir_mkdirs(dir, e);

    return fd < 0 ? fd : 0;
}

/* As the document says, else "web-3": valid as a host name, because names are, and not longer. */
static void host_name(const struct unit *u, char *ret, size_t size)
{
    const char *asked = u->order != NULL ? order_hostname(u->order) : "";

    if (asked[0] != '\0') {
        (void)snprintf(ret, size, "%s", asked);
    } else if (u->slot > 0) {
        int digits = snprintf(NULL, 0, "-%u", (unsigned)u->slot);

        (void)snprintf(ret, size, "%.*s-%u", NAME_MAX_LEN - digits, u->service, (unsigned)u->slot);
    } else {
        (void)snprintf(ret, size, "%s", u->service[0] != '\0' ? u->service : u->name);
    }
}

/* Nothing where its networks ask for none. */
static void put_ipv6(const struct attempt *at, char ret[IP6_TEXT])
{
    struct order_network_use use;
    struct ip6 cluster, address;
    bool asked = false;

    for (unsigned i = 0; at->unit->order != NULL && order_network_use(at->unit->order, i, &use);
         i++) {
        asked = asked || use.ipv6;
    }
    if (asked && at->address != 0) {
        cluster = ip6_cluster(at->unit->agent->ledger.cluster_id);
        address = ip6_of(&cluster, at->address);
        ip6_text(&address, ret);
    }
}

void uv_agent_start_order(struct attempt *at, char hostname[UV_AGENT_HOSTNAME_MAX],
                          struct uv_engine_order *ret)
{
    const struct unit *u = at->unit;

    host_name(u, hostname, UV_AGENT_HOSTNAME_MAX);
    *ret = (struct uv_engine_order){
        .of = at->of,
        .order = u->order,
        .image = at->image,
        .sources = (const char *const *)at->sources,
        .ids = at->ids,
        .hostname = hostname,
        .address = at->address,
    };
    put_ipv6(at, ret->ipv6);
}

/* ---- what the engine tells ---- */

static void on_started(void *arg, uint32_t pid, uint64_t started_ms, uint64_t started_unix_ms)
{
    struct attempt *at = arg;
    struct node_event event = {.type = NODE_STARTED};

    event.u.started.of = at->of;
    event.u.started.pid = pid;
    event.u.started.started_ms = started_ms;
    event.u.started.started_unix_ms = started_unix_ms;
    uv_agent_queue(at->unit->agent, &event);
    log_info("%s: run %u started, process %u", at->unit->name, at->of.run, (unsigned)pid);
}

static void on_failed(void *arg, const struct err *e)
{
    struct attempt *at = arg;

    log_warn("%s: run %u did not start: %s", at->unit->name, at->of.run, e->text);
    uv_agent_queue_failed(at->unit->agent, NODE_START_FAILED, at->of, false, false, e->text);
}

static void on_exited(void *arg, const struct node_exit *how, uint64_t ended_unix_ms)
{
    struct attempt *at = arg;
    struct node_event event = {.type = NODE_EXITED};

    event.u.exited.of = at->of;
    event.u.exited.exit = *how;
    event.u.exited.ended_unix_ms = ended_unix_ms;
    uv_agent_queue(at->unit->agent, &event);
}

static void on_silent(void *arg, const char *reason)
{
    struct attempt *at = arg;

    log_warn("%s: %s", at->unit->name, reason);
    uv_agent_queue_failed(at->unit->agent, NODE_SILENT, at->of, false, false, reason);
}

const struct uv_engine_events *uv_agent_start_events(struct attempt *at,
                                                     struct uv_engine_events *ret)
{
    *ret = (struct uv_engine_events){.started = on_started,
                                     .failed = on_failed,
                                     .exited = on_exited,
                                     .silent = on_silent,
                                     .arg = at};
    return ret;
}

/* ---- the two steps ---- */

static int take_all(struct attempt *at, struct err *e)
{
    struct uv_agent *a = at->unit->agent;
    auto_free char *log = log_path(at->unit);
    struct uv_engine_events events;
    struct uv_engine_order order;
    char hostname[UV_AGENT_HOSTNAME_MAX];
    int netns = -1;

    if (find_image(at, e) < 0 || find_mounts(at, e) < 0 || make_log_dir(at->unit, e) < 0) {
        return e->code;
    }
    at->ids = idrange_take(&a->ids);
    if (at->ids == 0) {
        return err_say(e, EBUSY, "all %u id ranges of this node are in use",
                       (unsigned)a->ids.slots);
    }
    if (uv_agent_net_reserve(at, e) < 0) {
        return e->code;
    }
    uv_agent_start_order(at, hostname, &order);
    order.log_path = log;
    FAILPOINT("agent.prepare.before_cell");
    if (uv_engine_prepare(a->engine, &order, uv_agent_start_events(at, &events), &at->run, &netns,
                          e) < 0) {
        return e->code;
    }
    FAILPOINT("agent.prepare.after_cell");
    return uv_agent_net_attach(at, netns, e);
}

void uv_agent_start_prepare(struct uv_agent *a, struct node_of of)
{
    struct unit *u = uv_agent_unit(a, of.incarnation);
    struct node_event event = {.type = NODE_PREPARED};
    struct attempt *at;
    struct err e = {0};
    int rc;

    if (u == NULL || u->order == NULL) {
        uv_agent_queue_failed(a, NODE_PREPARE_FAILED, of, false, true,
                              u != NULL && u->damage != NULL ? u->damage
                                                             : "its document is not known");
        return;
    }
    at = uv_agent_attempt_add(u, of);
    rc = take_all(at, &e);
    if (rc < 0) {
        log_warn("%s: cannot be prepared: %s", u->name, e.text);
        uv_agent_clean_give_back(at);
        uv_agent_attempt_free(at);
        uv_agent_queue_failed(a, NODE_PREPARE_FAILED, of, rc == -EAGAIN, false, e.text);
        return;
    }
    event.u.prepared.of = of;
    order_traits(u->order, at->image, &event.u.prepared.traits);
    uv_agent_queue(a, &event);
}

void uv_agent_start_run(struct uv_agent *a, struct node_of of)
{
    struct attempt *at = uv_agent_attempt(a, of);
    auto_free char *log = NULL;
    struct uv_engine_order order;
    char hostname[UV_AGENT_HOSTNAME_MAX];
    struct err e = {0};

    if (at == NULL || at->run == NULL) {
        uv_agent_queue_failed(a, NODE_START_FAILED, of, false, false, "it was not prepared");
        return;
    }
    log = log_path(at->unit);
    uv_agent_start_order(at, hostname, &order);
    order.log_path = log;
    if (uv_engine_start(at->run, &order, &e) < 0) {
        on_failed(at, &e);
        return;
    }
    at->started = true;
}

char *uv_agent_log_path(const struct uv_agent *a, uint64_t incarnation)
{
    const struct unit *u = uv_agent_unit((struct uv_agent *)(uintptr_t)a, incarnation);

    return u != NULL ? log_path(u) : NULL;
}
