// SPDX-License-Identifier: Apache-2.0
#include "agent/codec_run.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/doc.h"
#include "spec.pb-c.h"

/* What the document points into until it is encoded. */
struct parts {
    Wherry__Spec__KeyValue env[RUNSPEC_LIST_MAX];
    Wherry__Spec__KeyValue *env_list[RUNSPEC_LIST_MAX];
    Wherry__Spec__Mount mounts[RUNSPEC_LIST_MAX];
    Wherry__Spec__Mount *mount_list[RUNSPEC_LIST_MAX];
    Wherry__Spec__Port ports[RUNSPEC_LIST_MAX];
    Wherry__Spec__Port *port_list[RUNSPEC_LIST_MAX];
    char *caps[2][RUNSPEC_LIST_MAX];
    char *owned[3 * RUNSPEC_LIST_MAX];
    unsigned n_owned;
    Wherry__Spec__Argv entrypoint;
    Wherry__Spec__Argv command;
    char *program[1];
    Wherry__Spec__RestartPolicy restart;
    Wherry__Spec__Limits limits;
    Wherry__Spec__Healthcheck health;
    char *health_argv[3];
};

static char *own(struct parts *p, char *text)
{
    p->owned[p->n_owned++] = text;
    return text;
}

static char *text(const char *s)
{
    return (char *)(uintptr_t)(s != NULL ? s : "");
}

static int by_key(const void *a, const void *b)
{
    const Wherry__Spec__KeyValue *const *x = a, *const *y = b;

    return strcmp((*x)->key, (*y)->key);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Of a key given twice the last one counts. */
static void put_env(const struct runspec *s, struct parts *p, Wherry__Spec__Container *c)
{
    size_t n = 0;

    for (unsigned i = 0; i < s->env.n; i++) {
        const char *eq = strchr(s->env.items[i], '=');
        char *key = own(p, xstrndup(s->env.items[i], (size_t)(eq - s->env.items[i])));
        size_t at = 0;

        while (at < n && strcmp(p->env[at].key, key) != 0) {
            at++;
        }
        wherry__spec__key_value__init(&p->env[at]);
        p->env[at].key = key;
        p->env[at].value = text(eq + 1);
        p->env_list[at] = &p->env[at];
        n = at == n ? n + 1 : n;
    }
    qsort(p->env_list, n, sizeof(p->env_list[0]), by_key);
    c->environment = p->env_list;
    c->n_environment = n;
}

static size_t put_caps(const struct runspec_list *list, struct parts *p, char **ret)
{
    for (unsigned i = 0; i < list->n; i++) {
        ret[i] = own(p, xstrdup(list->items[i]));
        for (char *at = ret[i]; *at != '\0'; at++) {
            *at = (char)toupper((unsigned char)*at);
        }
    }
    qsort(ret, list->n, sizeof(ret[0]), by_text);
    return list->n;
}

static void put_mounts(const struct runspec *s, struct parts *p, Wherry__Spec__Container *c)
{
    static const Wherry__Spec__MountType types[] = {
        [RUNSPEC_VOLUME] = WHERRY__SPEC__MOUNT_TYPE__MOUNT_VOLUME,
        [RUNSPEC_BIND] = WHERRY__SPEC__MOUNT_TYPE__MOUNT_BIND,
        [RUNSPEC_TMPFS] = WHERRY__SPEC__MOUNT_TYPE__MOUNT_TMPFS,
    };

    for (unsigned i = 0; i < s->n_mounts; i++) {
        Wherry__Spec__Mount *m = &p->mounts[i];

        wherry__spec__mount__init(m);
        m->type = types[s->mounts[i].kind];
        m->source = text(s->mounts[i].source);
        m->target = text(s->mounts[i].target);
        m->read_only = s->mounts[i].read_only;
        if (s->mounts[i].kind == RUNSPEC_VOLUME) {
            m->volume_name = m->source;
        }
        p->mount_list[i] = m;
    }
    c->mounts = p->mount_list;
    c->n_mounts = s->n_mounts;
}

static void put_ports(const struct runspec *s, struct parts *p, Wherry__Spec__Container *c)
{
    for (unsigned i = 0; i < s->n_ports; i++) {
        Wherry__Spec__Port *port = &p->ports[i];

        wherry__spec__port__init(port);
        port->target = s->ports[i].target;
        port->published = s->ports[i].published;
        port->protocol = s->ports[i].udp ? WHERRY__SPEC__PROTOCOL__PROTOCOL_UDP
                                         : WHERRY__SPEC__PROTOCOL__PROTOCOL_TCP;
        p->port_list[i] = port;
    }
    c->ports = p->port_list;
    c->n_ports = s->n_ports;
}

static void put_argv(const struct runspec *s, struct parts *p, Wherry__Spec__Container *c)
{
    wherry__spec__argv__init(&p->entrypoint);
    wherry__spec__argv__init(&p->command);
    if (s->entrypoint != NULL) {
        p->program[0] = text(s->entrypoint);
        p->entrypoint.arg = p->program;
        p->entrypoint.n_arg = s->entrypoint[0] != '\0'; /* "": the image's is cleared */
        c->entrypoint = &p->entrypoint;
    }
    if (s->argc > 0) {
        p->command.arg = (char **)(uintptr_t)s->argv;
        p->command.n_arg = s->argc;
        c->command = &p->command;
    }
}

static void put_rules(const struct runspec *s, struct parts *p, Wherry__Spec__Container *c)
{
    static const Wherry__Spec__RestartCondition conditions[] = {
        [RESTART_ANY] = WHERRY__SPEC__RESTART_CONDITION__RESTART_ANY,
        [RESTART_ON_FAILURE] = WHERRY__SPEC__RESTART_CONDITION__RESTART_ON_FAILURE,
        [RESTART_NEVER] = WHERRY__SPEC__RESTART_CONDITION__RESTART_NEVER,
    };
    static const Wherry__Spec__NetworkMode modes[] = {
        [RUNSPEC_BRIDGE] = WHERRY__SPEC__NETWORK_MODE__NETWORK_BRIDGE,
        [RUNSPEC_HOST] = WHERRY__SPEC__NETWORK_MODE__NETWORK_HOST,
        [RUNSPEC_NONE] = WHERRY__SPEC__NETWORK_MODE__NETWORK_NONE,
    };

    wherry__spec__restart_policy__init(&p->restart);
    p->restart.condition = conditions[s->restart];
    p->restart.max_attempts = s->restart_max;
    c->restart = &p->restart;
    wherry__spec__limits__init(&p->limits);
    p->limits.memory_bytes = s->memory_bytes;
    p->limits.cpu_millis = s->cpu_millis;
    p->limits.pids = s->pids;
    c->limits = &p->limits;
    c->network_mode = modes[s->network];
}

static void put_health(const struct runspec *s, struct parts *p, Wherry__Spec__Container *c)
{
    static const Wherry__Spec__ProbeKind kinds[] = {
        [RUNSPEC_HEALTH_IMAGE] = WHERRY__SPEC__PROBE_KIND__PROBE_IMAGE,
        [RUNSPEC_HEALTH_TCP] = WHERRY__SPEC__PROBE_KIND__PROBE_TCP,
        [RUNSPEC_HEALTH_HTTP] = WHERRY__SPEC__PROBE_KIND__PROBE_HTTP,
        [RUNSPEC_HEALTH_EXEC] = WHERRY__SPEC__PROBE_KIND__PROBE_EXEC,
    };

    if (s->health == RUNSPEC_HEALTH_IMAGE) {
        return;
    }
    wherry__spec__healthcheck__init(&p->health);
    p->health.kind = kinds[s->health];
    p->health.port = s->health_port;
    p->health.interval_ms = 1000;
    p->health.timeout_ms = 1000;
    if (s->health == RUNSPEC_HEALTH_HTTP) {
        p->health.http_path = text(s->health_text);
    } else if (s->health == RUNSPEC_HEALTH_EXEC) {
        p->health_argv[0] = text("/bin/sh");
        p->health_argv[1] = text("-c");
        p->health_argv[2] = text(s->health_text);
        p->health.argv = p->health_argv;
        p->health.n_argv = 3;
    }
    c->healthcheck = &p->health;
}

void codec_run_encode(const struct runspec *s, struct buf *out)
{
    Wherry__Spec__Container c = WHERRY__SPEC__CONTAINER__INIT;
    struct parts *p = xcalloc(1, sizeof(*p));

    c.image = text(s->image);
    c.user = text(s->user);
    c.working_dir = text(s->workdir);
    c.hostname = text(s->hostname);
    c.read_only = s->read_only;
    c.init = s->init;
    c.stop_signal = s->stop_signal;
    c.stop_grace_ms = s->stop_grace_ms;
    put_argv(s, p, &c);
    put_env(s, p, &c);
    put_mounts(s, p, &c);
    put_ports(s, p, &c);
    put_rules(s, p, &c);
    put_health(s, p, &c);
    c.n_cap_add = put_caps(&s->cap_add, p, p->caps[0]);
    c.cap_add = p->caps[0];
    c.n_cap_drop = put_caps(&s->cap_drop, p, p->caps[1]);
    c.cap_drop = p->caps[1];
    doc_encode(&c.base, out);
    for (unsigned i = 0; i < p->n_owned; i++) {
        free(p->owned[i]);
    }
    free(p);
}
