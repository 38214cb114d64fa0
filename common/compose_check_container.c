// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/compose_check_priv.h"
#include "common/compose_rule.h"
#include "common/doc.h"

/* Bytes of all words; what execve can take is far less than the sum of single limits. */
static int check_argv(struct compose_check *c, const char *key, const Wherry__Spec__Argv *argv)
{
    size_t sum = 0;

    for (size_t i = 0; argv != NULL && i < argv->n_arg; i++) {
        sum += strlen(argv->arg[i]) + 1;
    }
    if (sum > DOC_LONG_MAX) {
        return compose_check_say(c, key, "has %zu bytes (allowed: %d)", sum, DOC_LONG_MAX);
    }
    return 0;
}

static int check_texts(struct compose_check *c, const Wherry__Spec__Container *it)
{
    const struct {
        const char *key, *text;
        int (*rule)(const char *, struct err *);
    } rows[] = {
        {"image", it->image, compose_rule_image},
        {"working_dir", it->working_dir, compose_rule_working_dir},
        {"user", it->user, compose_rule_user},
        {"hostname", it->hostname, compose_rule_hostname},
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        int rc = compose_check_rule(c, rows[i].key, rows[i].rule(rows[i].text, c->e));

        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int check_environment(struct compose_check *c, const Wherry__Spec__Container *it)
{
    size_t sum = 0;

    for (size_t i = 0; i < it->n_environment; i++) {
        sum += strlen(it->environment[i]->key) + strlen(it->environment[i]->value) + 2;
    }
    if (sum > DOC_LONG_MAX) {
        return compose_check_say(c, "environment", "has %zu bytes (allowed: %d)", sum,
                                 DOC_LONG_MAX);
    }
    return compose_check_pairs(c, "environment", it->environment, it->n_environment,
                               compose_rule_variable);
}

static int check_stop(struct compose_check *c, const Wherry__Spec__Container *it)
{
    if (it->stop_signal > 64) {
        return compose_check_say(c, "stop_signal", "%u is no signal (allowed: 1 to 64)",
                                 it->stop_signal);
    }
    if (it->stop_grace_ms > COMPOSE_GRACE_MAX_MS) {
        return compose_check_say(c, "stop_grace_period", "is too long (allowed: at most 24h)");
    }
    return 0;
}

/* ---- ports ---- */

static bool clash(const Wherry__Spec__Port *a, const Wherry__Spec__Port *b)
{
    return a->published != 0 && a->published == b->published && a->protocol == b->protocol &&
           (a->host_ip[0] == '\0' || b->host_ip[0] == '\0' || strcmp(a->host_ip, b->host_ip) == 0);
}

static int check_port(struct compose_check *c, const Wherry__Spec__Container *it, size_t i)
{
    const Wherry__Spec__Port *p = it->ports[i];
    int rc = compose_check_rule(c, "ports", compose_rule_host_ip(p->host_ip, c->e));

    if (rc < 0) {
        return rc;
    }
    if (p->target == 0 || p->target > UINT16_MAX || p->published > UINT16_MAX) {
        return compose_check_say(c, "ports", "%u:%u is out of range (allowed: 1 to 65535)",
                                 p->published, p->target);
    }
    for (size_t k = 0; k < i; k++) {
        if (clash(it->ports[k], p)) {
            return compose_check_say(c, "ports", "port %u of the host is published twice",
                                     p->published);
        }
    }
    return 0;
}

static int check_ports(struct compose_check *c, const Wherry__Spec__Container *it)
{
    bool published = false;

    if (it->n_ports > COMPOSE_PORTS_MAX) {
        return compose_check_say(c, "ports", "there are %zu (allowed: %u)", it->n_ports,
                                 COMPOSE_PORTS_MAX);
    }
    for (size_t i = 0; i < it->n_ports; i++) {
        int rc = check_port(c, it, i);

        if (rc < 0) {
            return rc;
        }
        published |= it->ports[i]->published != 0;
    }
    if (published && it->network_mode != WHERRY__SPEC__NETWORK_MODE__NETWORK_BRIDGE) {
        return compose_check_say(c, "ports",
                                 "cannot be published with network_mode \"host\" or \"none\"");
    }
    return 0;
}

/* ---- mounts ---- */

static const Wherry__Spec__Volume *find_volume(const Wherry__Spec__Stack *stack, const char *key)
{
    for (size_t i = 0; i < stack->n_volumes; i++) {
        if (strcmp(stack->volumes[i]->key, key) == 0) {
            return stack->volumes[i];
        }
    }
    return NULL;
}

static int check_source(struct compose_check *c, const Wherry__Spec__Stack *stack,
                        const Wherry__Spec__Mount *m)
{
    const Wherry__Spec__Volume *v;

    if (m->type == WHERRY__SPEC__MOUNT_TYPE__MOUNT_BIND) {
        return compose_check_rule(c, "volumes", compose_rule_path(m->source, c->e));
    }
    if (m->type == WHERRY__SPEC__MOUNT_TYPE__MOUNT_TMPFS) {
        return m->source[0] == '\0' ? 0 : compose_check_say(c, "volumes", "a tmpfs has a source");
    }
    v = find_volume(stack, m->source);
    if (v == NULL) {
        return compose_check_say(c, "volumes", "there is no volume \"%.100s\"", m->source);
    }
    if (strcmp(v->name, m->volume_name) != 0) {
        return compose_check_say(c, "volumes", "volume \"%s\" is called \"%s\", not \"%.100s\"",
                                 v->key, v->name, m->volume_name);
    }
    return 0;
}

static int check_mounts(struct compose_check *c, const Wherry__Spec__Stack *stack,
                        const Wherry__Spec__Container *it)
{
    if (it->n_mounts > COMPOSE_MOUNTS_MAX) {
        return compose_check_say(c, "volumes", "there are %zu (allowed: %u)", it->n_mounts,
                                 COMPOSE_MOUNTS_MAX);
    }
    for (size_t i = 0; i < it->n_mounts; i++) {
        const Wherry__Spec__Mount *m = it->mounts[i];
        int rc = compose_check_rule(c, "volumes", compose_rule_target(m->target, c->e));

        if (rc == 0) {
            rc = check_source(c, stack, m);
        }
        if (rc < 0) {
            return rc;
        }
        if (m->tmpfs_size_bytes > COMPOSE_MEMORY_MAX || m->tmpfs_mode > 07777) {
            return compose_check_say(c, "volumes", "size or mode of a tmpfs is out of range");
        }
        for (size_t k = 0; k < i; k++) {
            if (strcmp(it->mounts[k]->target, m->target) == 0) {
                return compose_check_say(c, "volumes", "\"%.200s\" is mounted on twice", m->target);
            }
        }
    }
    return 0;
}

static int check_capabilities(struct compose_check *c, const char *key, char **names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int rc = compose_check_rule(c, key, compose_rule_capability(names[i], c->e));

        if (rc < 0) {
            return rc;
        }
        if (i > 0 && strcmp(names[i - 1], names[i]) >= 0) {
            return compose_check_say(c, key, "\"%s\" is not in order, or given twice", names[i]);
        }
    }
    return 0;
}

/* ---- health, restarts, limits ---- */

static int check_probe(struct compose_check *c, const Wherry__Spec__Healthcheck *h)
{
    static const char key[] = "healthcheck.test";
    bool socket = h->kind == WHERRY__SPEC__PROBE_KIND__PROBE_TCP ||
                  h->kind == WHERRY__SPEC__PROBE_KIND__PROBE_HTTP;
    size_t sum = 0;
    int rc = 0;

    for (size_t i = 0; i < h->n_argv; i++) {
        sum += strlen(h->argv[i]) + 1;
    }
    if (sum > DOC_LONG_MAX) {
        return compose_check_say(c, key, "has %zu bytes (allowed: %d)", sum, DOC_LONG_MAX);
    }
    if ((h->kind == WHERRY__SPEC__PROBE_KIND__PROBE_EXEC) != (h->n_argv > 0)) {
        return compose_check_say(c, key, "has no command, or one that is not run");
    }
    if (socket ? h->port == 0 || h->port > UINT16_MAX : h->port != 0) {
        return compose_check_say(c, key, "port %u is out of range (allowed: 1 to 65535)", h->port);
    }
    if (h->kind == WHERRY__SPEC__PROBE_KIND__PROBE_HTTP) {
        rc = compose_check_rule(c, key, compose_rule_http_path(h->http_path, c->e));
        if (rc == 0) {
            rc = compose_check_rule(c, key, compose_rule_http_host(h->http_host, c->e));
        }
    }
    return rc;
}

static int check_health(struct compose_check *c, const Wherry__Spec__Healthcheck *h)
{
    const uint64_t times[] = {h->interval_ms, h->timeout_ms, h->start_period_ms,
                              h->start_interval_ms};

    for (unsigned i = 0; i < ARRAY_LEN(times); i++) {
        if (times[i] > COMPOSE_MILLIS_MAX) {
            return compose_check_say(c, "healthcheck", "a time is too long (allowed: 30 days)");
        }
    }
    if (h->retries > COMPOSE_RETRIES_MAX) {
        return compose_check_say(c, "healthcheck.retries", "%u is too many (allowed: 0 to %u)",
                                 h->retries, COMPOSE_RETRIES_MAX);
    }
    return check_probe(c, h);
}

static int check_limits(struct compose_check *c, const Wherry__Spec__Limits *l)
{
    if (l->memory_bytes != 0 &&
        (l->memory_bytes < COMPOSE_MEMORY_MIN || l->memory_bytes > COMPOSE_MEMORY_MAX)) {
        return compose_check_say(c, "mem_limit", "is out of range (allowed: 6m to 1024t)");
    }
    if (l->cpu_millis != 0 &&
        (l->cpu_millis < COMPOSE_CPU_MIN || l->cpu_millis > COMPOSE_CPU_MAX)) {
        return compose_check_say(c, "cpus", "is out of range (allowed: 0.01 to 10000)");
    }
    if (l->pids > COMPOSE_PIDS_MAX) {
        return compose_check_say(c, "pids_limit", "is out of range (allowed: 1 to %u)",
                                 COMPOSE_PIDS_MAX);
    }
    return 0;
}

static int check_restart(struct compose_check *c, const Wherry__Spec__RestartPolicy *r)
{
    if (r->delay_ms > COMPOSE_MILLIS_MAX || r->window_ms > COMPOSE_MILLIS_MAX) {
        return compose_check_say(c, "restart", "a time is too long (allowed: 30 days)");
    }
    if (!r->delay_set && r->delay_ms != 0) {
        return compose_check_say(c, "restart", "has a delay that does not count");
    }
    return 0;
}

static int check_parts(struct compose_check *c, const Wherry__Spec__Container *it)
{
    int rc = it->healthcheck != NULL ? check_health(c, it->healthcheck) : 0;

    if (rc == 0 && it->restart != NULL) {
        rc = check_restart(c, it->restart);
    }
    if (rc == 0 && it->limits != NULL) {
        rc = check_limits(c, it->limits);
    }
    if (rc == 0) {
        rc = check_capabilities(c, "cap_add", it->cap_add, it->n_cap_add);
    }
    if (rc == 0) {
        rc = check_capabilities(c, "cap_drop", it->cap_drop, it->n_cap_drop);
    }
    return rc;
}

int compose_check_container(struct compose_check *c, const Wherry__Spec__Stack *stack,
                            const Wherry__Spec__Container *it)
{
    int rc = check_texts(c, it);

    if (rc == 0) {
        rc = check_argv(c, "entrypoint", it->entrypoint);
    }
    if (rc == 0) {
        rc = check_argv(c, "command", it->command);
    }
    if (rc == 0) {
        rc = check_environment(c, it);
    }
    if (rc == 0) {
        rc = compose_check_pairs(c, "labels", it->labels, it->n_labels, compose_rule_label);
    }
    if (rc == 0) {
        rc = check_stop(c, it);
    }
    if (rc == 0) {
        rc = check_ports(c, it);
    }
    if (rc == 0) {
        rc = check_mounts(c, stack, it);
    }
    if (rc == 0) {
        rc = compose_check_container_net(c, stack, it);
    }
    return rc == 0 ? check_parts(c, it) : rc;
}
