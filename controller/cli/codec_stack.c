// SPDX-License-Identifier: Apache-2.0
#include "controller/cli/codec_stack.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/codec_stack_priv.h"

static const char *const conditions[] = {"any", "on-failure", "none"};
static const char *const depends[] = {"service_started", "service_healthy",
                                      "service_completed_successfully"};
static const char *const modes[] = {"replicated", "global", "replicated-job", "global-job"};
static const char *const networks[] = {"bridge", "host", "none"};
static const char *const mounts[] = {"volume", "bind", "tmpfs"};

const char *codec_stack_name(const struct doc *stack)
{
    assert(stack->message != NULL);
    return ((const Wherry__Spec__Stack *)stack->message)->name;
}

/* ---- what many have ---- */

static void put_set(struct yamlout *y, const char *key, const char *text)
{
    if (text[0] != '\0') {
        yamlout_text(y, key, text);
    }
}

static void put_flag(struct yamlout *y, const char *key, bool on)
{
    if (on) {
        yamlout_raw(y, key, "true");
    }
}

static void put_number(struct yamlout *y, const char *key, uint64_t n)
{
    if (n > 0) {
        yamlout_raw(y, key, "%" PRIu64, n);
    }
}

static void put_millis(struct yamlout *y, const char *key, uint64_t ms)
{
    if (ms > 0) {
        yamlout_millis(y, key, ms);
    }
}

static void put_cores(struct yamlout *y, uint64_t millis)
{
    if (millis > 0) {
        yamlout_raw(y, "cpus", "\"%" PRIu64 ".%03u\"", millis / 1000, (unsigned)(millis % 1000));
    }
}

void codec_stack_put_pairs(struct yamlout *y, const char *key, Wherry__Spec__KeyValue *const *pairs,
                           size_t n)
{
    if (n == 0) {
        return;
    }
    yamlout_open(y, key);
    for (size_t i = 0; i < n; i++) {
        yamlout_text(y, pairs[i]->key, pairs[i]->value);
    }
    yamlout_close(y);
}

static void put_argv(struct yamlout *y, const char *key, const Wherry__Spec__Argv *argv)
{
    if (argv != NULL) {
        yamlout_list(y, key, argv->arg, argv->n_arg);
    }
}

/* ---- container ---- */

static void put_ports(struct yamlout *y, const Wherry__Spec__Container *c)
{
    if (c->n_ports == 0) {
        return;
    }
    yamlout_open(y, "ports");
    for (size_t i = 0; i < c->n_ports; i++) {
        const Wherry__Spec__Port *p = c->ports[i];

        yamlout_item(y);
        yamlout_raw(y, "target", "%u", p->target);
        put_number(y, "published", p->published);
        yamlout_text(y, "protocol",
                     p->protocol == WHERRY__SPEC__PROTOCOL__PROTOCOL_UDP ? "udp" : "tcp");
        put_set(y, "host_ip", p->host_ip);
        put_set(y, "name", p->name);
        put_set(y, "app_protocol", p->app_protocol);
        put_set(y, "mode", p->mode == WHERRY__SPEC__PORT_MODE__PORT_HOST ? "host" : "");
        yamlout_close(y);
    }
    yamlout_close(y);
}

static void put_mount_more(struct yamlout *y, const Wherry__Spec__Mount *m)
{
    if (m->type == WHERRY__SPEC__MOUNT_TYPE__MOUNT_BIND) {
        yamlout_open(y, "bind");
        yamlout_raw(y, "create_host_path", m->create_host_path ? "true" : "false");
        yamlout_close(y);
    } else if (m->nocopy) {
        yamlout_open(y, "volume");
        yamlout_raw(y, "nocopy", "true");
        yamlout_close(y);
    } else if (m->tmpfs_size_bytes > 0 || m->tmpfs_mode > 0) {
        yamlout_open(y, "tmpfs");
        put_number(y, "size", m->tmpfs_size_bytes);
        if (m->tmpfs_mode > 0) {
            yamlout_raw(y, "mode", "0%o", m->tmpfs_mode);
        }
        yamlout_close(y);
    }
}

static void put_mounts(struct yamlout *y, const Wherry__Spec__Container *c)
{
    if (c->n_mounts == 0) {
        return;
    }
    yamlout_open(y, "volumes");
    for (size_t i = 0; i < c->n_mounts; i++) {
        const Wherry__Spec__Mount *m = c->mounts[i];

        yamlout_item(y);
        yamlout_text(y, "type", mounts[m->type]);
        put_set(y, "source", m->source);
        yamlout_text(y, "target", m->target);
        put_flag(y, "read_only", m->read_only);
        put_mount_more(y, m);
        yamlout_close(y);
    }
    yamlout_close(y);
}

/* `test` as Compose has it, with the probe's kind in front. */
static void put_test(struct yamlout *y, const Wherry__Spec__Healthcheck *h)
{
    static char cmd[] = "CMD", tcp[] = "TCP", http[] = "HTTP";
    auto_free char **words = xcalloc(h->n_argv + 2, sizeof(char *));
    auto_free char *where = NULL;
    size_t n = 2;

    if (h->kind == WHERRY__SPEC__PROBE_KIND__PROBE_TCP) {
        words[0] = tcp;
        where = xasprintf(":%u", h->port);
    } else if (h->kind == WHERRY__SPEC__PROBE_KIND__PROBE_HTTP) {
        words[0] = http;
        where = xasprintf("http://%s:%u%s", h->http_host, h->port, h->http_path);
    } else {
        words[0] = cmd;
        memcpy(words + 1, h->argv, h->n_argv * sizeof(char *));
        n = 1 + h->n_argv;
    }
    if (where != NULL) {
        words[1] = where;
    }
    yamlout_list(y, "test", words, n);
}

static void put_health(struct yamlout *y, const Wherry__Spec__Healthcheck *h)
{
    if (h == NULL) {
        return;
    }
    yamlout_open(y, "healthcheck");
    if (h->kind == WHERRY__SPEC__PROBE_KIND__PROBE_NONE) {
        yamlout_raw(y, "disable", "true");
    } else if (h->kind != WHERRY__SPEC__PROBE_KIND__PROBE_IMAGE) {
        put_test(y, h);
    }
    put_millis(y, "interval", h->interval_ms);
    put_millis(y, "timeout", h->timeout_ms);
    put_number(y, "retries", h->retries);
    put_millis(y, "start_period", h->start_period_ms);
    put_millis(y, "start_interval", h->start_interval_ms);
    yamlout_close(y);
}

static void put_container(struct yamlout *y, const Wherry__Spec__Container *c)
{
    yamlout_text(y, "image", c->image);
    put_argv(y, "entrypoint", c->entrypoint);
    put_argv(y, "command", c->command);
    codec_stack_put_pairs(y, "environment", c->environment, c->n_environment);
    put_set(y, "working_dir", c->working_dir);
    put_set(y, "user", c->user);
    put_set(y, "hostname", c->hostname);
    put_flag(y, "read_only", c->read_only);
    put_flag(y, "init", c->init);
    put_number(y, "stop_signal", c->stop_signal);
    yamlout_millis(y, "stop_grace_period", c->stop_grace_ms);
    codec_stack_put_pairs(y, "labels", c->labels, c->n_labels);
    if (c->n_cap_add > 0) {
        yamlout_list(y, "cap_add", c->cap_add, c->n_cap_add);
    }
    if (c->n_cap_drop > 0) {
        yamlout_list(y, "cap_drop", c->cap_drop, c->n_cap_drop);
    }
    yamlout_text(y, "network_mode", networks[c->network_mode]);
    put_ports(y, c);
    put_mounts(y, c);
    put_health(y, c->healthcheck);
}

/* ---- deploy ---- */

static void put_resources(struct yamlout *y, const Wherry__Spec__Service *s)
{
    const Wherry__Spec__Limits *l = s->container->limits;
    bool limits = l != NULL && (l->memory_bytes > 0 || l->cpu_millis > 0 || l->pids > 0);
    bool reserves = s->reserve_memory_bytes > 0 || s->reserve_cpu_millis > 0;

    if (!limits && !reserves) {
        return;
    }
    yamlout_open(y, "resources");
    if (limits) {
        yamlout_open(y, "limits");
        put_cores(y, l->cpu_millis);
        put_number(y, "memory", l->memory_bytes);
        put_number(y, "pids", l->pids);
        yamlout_close(y);
    }
    if (reserves) {
        yamlout_open(y, "reservations");
        put_cores(y, s->reserve_cpu_millis);
        put_number(y, "memory", s->reserve_memory_bytes);
        yamlout_close(y);
    }
    yamlout_close(y);
}

static void put_placement(struct yamlout *y, const Wherry__Spec__Service *s)
{
    auto_free char **texts = xcalloc(s->n_constraints + 1, sizeof(char *));

    if (s->n_constraints == 0 && s->max_replicas_per_node == 0) {
        return;
    }
    for (size_t i = 0; i < s->n_constraints; i++) {
        texts[i] = xasprintf("%s%s%s", s->constraints[i]->key,
                             s->constraints[i]->negated ? "!=" : "==", s->constraints[i]->value);
    }
    yamlout_open(y, "placement");
    if (s->n_constraints > 0) {
        yamlout_list(y, "constraints", texts, s->n_constraints);
    }
    put_number(y, "max_replicas_per_node", s->max_replicas_per_node);
    yamlout_close(y);
    for (size_t i = 0; i < s->n_constraints; i++) {
        free(texts[i]);
    }
}

static void put_restart(struct yamlout *y, const Wherry__Spec__RestartPolicy *p)
{
    if (p == NULL) {
        return;
    }
    yamlout_open(y, "restart_policy");
    yamlout_text(y, "condition", conditions[p->condition]);
    if (p->delay_set) {
        yamlout_millis(y, "delay", p->delay_ms);
    }
    put_number(y, "max_attempts", p->max_attempts);
    yamlout_millis(y, "window", p->window_ms);
    yamlout_close(y);
}

static void put_deploy(struct yamlout *y, const Wherry__Spec__Service *s)
{
    yamlout_open(y, "deploy");
    yamlout_text(y, "mode", modes[s->mode]);
    if (s->endpoint_mode == WHERRY__SPEC__ENDPOINT_MODE__ENDPOINT_DNSRR) {
        yamlout_text(y, "endpoint_mode", "dnsrr");
    }
    if (s->mode == WHERRY__SPEC__MODE__MODE_REPLICATED ||
        s->mode == WHERRY__SPEC__MODE__MODE_REPLICATED_JOB) {
        yamlout_raw(y, "replicas", "%u", s->replicas);
    }
    codec_stack_put_pairs(y, "labels", s->labels, s->n_labels);
    put_resources(y, s);
    put_placement(y, s);
    put_restart(y, s->container->restart);
    yamlout_close(y);
}

/* ---- service and stack ---- */

static void put_depends(struct yamlout *y, const Wherry__Spec__Service *s)
{
    if (s->n_depends_on == 0) {
        return;
    }
    yamlout_open(y, "depends_on");
    for (size_t i = 0; i < s->n_depends_on; i++) {
        const Wherry__Spec__Dependency *d = s->depends_on[i];

        yamlout_open(y, d->service);
        yamlout_text(y, "condition", depends[d->condition]);
        if (!d->required) {
            yamlout_raw(y, "required", "false");
        }
        put_flag(y, "restart", d->restart);
        yamlout_close(y);
    }
    yamlout_close(y);
}

static void put_service(struct yamlout *y, const Wherry__Spec__Stack *stack,
                        const Wherry__Spec__Service *s)
{
    bool binpack = s->strategy == WHERRY__SPEC__STRATEGY__STRATEGY_BINPACK;

    yamlout_open(y, s->name);
    put_container(y, s->container);
    codec_stack_put_net(y, stack, s->container);
    put_depends(y, s);
    put_deploy(y, s);
    if (binpack || s->reserve_pids > 0 || codec_stack_has_link(s)) {
        yamlout_open(y, "x-wherry");
        codec_stack_put_link(y, s);
        put_set(y, "placement", binpack ? "binpack" : "");
        put_number(y, "reserve_pids", s->reserve_pids);
        yamlout_close(y);
    }
    yamlout_close(y);
}

static void put_volume(struct yamlout *y, const Wherry__Spec__Volume *v)
{
    yamlout_open(y, v->key);
    yamlout_text(y, "name", v->name);
    put_flag(y, "external", v->external);
    codec_stack_put_pairs(y, "labels", v->labels, v->n_labels);
    yamlout_close(y);
}

void codec_stack_to_compose(const struct doc *stack, struct buf *out)
{
    const Wherry__Spec__Stack *s = (const Wherry__Spec__Stack *)stack->message;
    struct yamlout y = {.out = out};

    assert(s != NULL);
    yamlout_text(&y, "name", s->name);
    yamlout_open(&y, "services");
    for (size_t i = 0; i < s->n_services; i++) {
        put_service(&y, s, s->services[i]);
    }
    yamlout_close(&y);
    codec_stack_put_networks(&y, s);
    if (s->n_volumes == 0) {
        return;
    }
    yamlout_open(&y, "volumes");
    for (size_t i = 0; i < s->n_volumes; i++) {
        put_volume(&y, s->volumes[i]);
    }
    yamlout_close(&y);
}
