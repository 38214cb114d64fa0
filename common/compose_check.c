// SPDX-License-Identifier: Apache-2.0
#include "common/compose_check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/compose_check_priv.h"
#include "common/compose_rule.h"
#include "common/doc.h"

int compose_check_say(struct compose_check *c, const char *key, const char *fmt, ...)
{
    const char *dot = c->path[0] != '\0' && key[0] != '\0' ? "." : "";
    const char *colon = c->path[0] != '\0' || key[0] != '\0' ? ": " : "";
    auto_free char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0) {
        die("no memory for a message");
    }
    va_end(ap);
    return err_say(c->e, EINVAL, "%s%s%s%s%s", c->path, dot, key, colon, text);
}

int compose_check_rule(struct compose_check *c, const char *key, int rc)
{
    if (rc < 0) {
        (void)err_wrap(c->e, "%s%s%s", c->path, c->path[0] != '\0' && key[0] != '\0' ? "." : "",
                       key);
        return -EINVAL;
    }
    return 0;
}

static bool in_order(const char *before, const char *text)
{
    return strcmp(before, text) < 0;
}

int compose_check_pairs(struct compose_check *c, const char *key, Wherry__Spec__KeyValue **pairs,
                        size_t n, int (*rule)(const char *, struct err *))
{
    for (size_t i = 0; i < n; i++) {
        int rc = compose_check_rule(c, key, rule(pairs[i]->key, c->e));

        if (rc < 0) {
            return rc;
        }
        if (i > 0 && !in_order(pairs[i - 1]->key, pairs[i]->key)) {
            return compose_check_say(c, key, "\"%.100s\" is not in order, or given twice",
                                     pairs[i]->key);
        }
    }
    return 0;
}

/* ---- how a service is placed ---- */

static bool is_job(const Wherry__Spec__Service *s)
{
    return s->mode == WHERRY__SPEC__MODE__MODE_REPLICATED_JOB ||
           s->mode == WHERRY__SPEC__MODE__MODE_GLOBAL_JOB;
}

static int check_mode(struct compose_check *c, const Wherry__Spec__Service *s)
{
    bool global = s->mode == WHERRY__SPEC__MODE__MODE_GLOBAL ||
                  s->mode == WHERRY__SPEC__MODE__MODE_GLOBAL_JOB;
    const Wherry__Spec__RestartPolicy *restart = s->container->restart;

    if (global && s->replicas != 0) {
        return compose_check_say(c, "deploy.replicas",
                                 "a global service has one replica per node (allowed: no number)");
    }
    if (s->replicas > COMPOSE_REPLICAS_MAX) {
        return compose_check_say(c, "deploy.replicas", "%u is too many (allowed: 0 to %u)",
                                 s->replicas, COMPOSE_REPLICAS_MAX);
    }
    if (is_job(s) &&
        (restart == NULL || restart->condition == WHERRY__SPEC__RESTART_CONDITION__RESTART_ANY)) {
        return compose_check_say(c, "deploy.mode",
                                 "a job that is always restarted never ends (allowed: restart "
                                 "\"on-failure\" or \"no\")");
    }
    return 0;
}

static int check_constraints(struct compose_check *c, const Wherry__Spec__Service *s)
{
    static const char key[] = "deploy.placement.constraints";

    for (size_t i = 0; i < s->n_constraints; i++) {
        const Wherry__Spec__Constraint *it = s->constraints[i];
        int rc = compose_check_rule(c, key, compose_rule_constraint_key(it->key, c->e));

        if (rc < 0) {
            return rc;
        }
        if (it->value[0] == '\0') {
            return compose_check_say(c, key, "%.100s is compared with nothing", it->key);
        }
    }
    return 0;
}

/* What is reserved can be had, and fits into the limit. */
static int check_reserve(struct compose_check *c, const Wherry__Spec__Service *s)
{
    static const char allowed[] = "is more than the limit (allowed: at most the limit)";
    const Wherry__Spec__Limits none = WHERRY__SPEC__LIMITS__INIT;
    const Wherry__Spec__Limits *l = s->container->limits != NULL ? s->container->limits : &none;

    if (s->reserve_memory_bytes > COMPOSE_MEMORY_MAX ||
        (l->memory_bytes > 0 && s->reserve_memory_bytes > l->memory_bytes)) {
        return compose_check_say(c, "deploy.resources.reservations.memory", "%s", allowed);
    }
    if (s->reserve_cpu_millis > COMPOSE_CPU_MAX ||
        (l->cpu_millis > 0 && s->reserve_cpu_millis > l->cpu_millis)) {
        return compose_check_say(c, "deploy.resources.reservations.cpus", "%s", allowed);
    }
    if (s->reserve_pids > COMPOSE_PIDS_MAX || (l->pids > 0 && s->reserve_pids > l->pids)) {
        return compose_check_say(c, "x-wherry.reserve_pids", "%s", allowed);
    }
    return 0;
}

/* ---- between services ---- */

static const Wherry__Spec__Service *find(const Wherry__Spec__Stack *stack, const char *name)
{
    for (size_t i = 0; i < stack->n_services; i++) {
        if (strcmp(stack->services[i]->name, name) == 0) {
            return stack->services[i];
        }
    }
    return NULL;
}

static int check_depends(struct compose_check *c, const Wherry__Spec__Stack *stack,
                         const Wherry__Spec__Service *s)
{
    for (size_t i = 0; i < s->n_depends_on; i++) {
        const Wherry__Spec__Dependency *d = s->depends_on[i];
        int rc = compose_check_rule(c, "depends_on", compose_rule_name(d->service, c->e));

        if (rc < 0) {
            return rc;
        }
        if (i > 0 && !in_order(s->depends_on[i - 1]->service, d->service)) {
            return compose_check_say(c, "depends_on", "\"%s\" is not in order, or given twice",
                                     d->service);
        }
        if (d->required && find(stack, d->service) == NULL) {
            return compose_check_say(c, "depends_on", "there is no service \"%s\"", d->service);
        }
    }
    return 0;
}

static int check_service(struct compose_check *c, const Wherry__Spec__Stack *stack,
                         const Wherry__Spec__Service *s)
{
    int rc = compose_check_shape(c, &s->base);

    if (rc == 0 && s->container == NULL) {
        return compose_check_say(c, "", "has no container");
    }
    if (rc == 0) {
        rc = compose_check_container(c, stack, s->container);
    }
    if (rc == 0) {
        rc = check_mode(c, s);
    }
    if (rc == 0) {
        rc = compose_check_pairs(c, "deploy.labels", s->labels, s->n_labels, compose_rule_label);
    }
    if (rc == 0) {
        rc = check_constraints(c, s);
    }
    if (rc == 0) {
        rc = check_reserve(c, s);
    }
    return rc == 0 ? check_depends(c, stack, s) : rc;
}

static int check_services(struct compose_check *c, const Wherry__Spec__Stack *stack)
{
    if (stack->n_services == 0 || stack->n_services > COMPOSE_SERVICES_MAX) {
        return compose_check_say(c, "services", "there are %zu (allowed: 1 to %u)",
                                 stack->n_services, COMPOSE_SERVICES_MAX);
    }
    for (size_t i = 0; i < stack->n_services; i++) {
        const Wherry__Spec__Service *s = stack->services[i];
        int rc = compose_check_rule(c, "services", compose_rule_name(s->name, c->e));

        if (rc < 0) {
            return rc;
        }
        if (i > 0 && !in_order(stack->services[i - 1]->name, s->name)) {
            return compose_check_say(c, "services", "\"%s\" is not in order, or given twice",
                                     s->name);
        }
    }
    for (size_t i = 0; i < stack->n_services; i++) {
        int rc;

        (void)snprintf(c->path, sizeof(c->path), "services.%s", stack->services[i]->name);
        rc = check_service(c, stack, stack->services[i]);
        if (rc < 0) {
            return rc;
        }
        c->path[0] = '\0';
    }
    return 0;
}

static int check_volume(struct compose_check *c, const Wherry__Spec__Volume *v)
{
    int rc = compose_check_rule(c, "", compose_rule_name(v->key, c->e));

    if (rc == 0) {
        rc = compose_check_rule(c, "name", compose_rule_volume_name(v->name, c->e));
    }
    if (rc == 0) {
        rc = compose_check_shape(c, &v->base);
    }
    return rc == 0 ? compose_check_pairs(c, "labels", v->labels, v->n_labels, compose_rule_label)
                   : rc;
}

static int check_volumes(struct compose_check *c, const Wherry__Spec__Stack *stack)
{
    if (stack->n_volumes > DOC_REPEATED_MAX) {
        return compose_check_say(c, "volumes", "there are %zu (allowed: 0 to %d)", stack->n_volumes,
                                 DOC_REPEATED_MAX);
    }
    for (size_t i = 0; i < stack->n_volumes; i++) {
        const Wherry__Spec__Volume *v = stack->volumes[i];
        int rc;

        if (i > 0 && !in_order(stack->volumes[i - 1]->key, v->key)) {
            return compose_check_say(c, "volumes", "\"%.100s\" is not in order, or given twice",
                                     v->key);
        }
        (void)snprintf(c->path, sizeof(c->path), "volumes.%.100s", v->key);
        rc = check_volume(c, v);
        if (rc < 0) {
            return rc;
        }
        c->path[0] = '\0';
    }
    return 0;
}

int compose_check(const Wherry__Spec__Stack *stack, struct err *e)
{
    struct err local;
    struct compose_check c = {.e = e != NULL ? e : &local};
    size_t size = protobuf_c_message_get_packed_size(&stack->base);
    int rc = compose_check_rule(&c, "name", compose_rule_name(stack->name, c.e));

    if (rc == 0 && size > DOC_SPEC_MAX) {
        return compose_check_say(&c, "", "the document has %zu bytes (allowed: %d)", size,
                                 DOC_SPEC_MAX);
    }
    if (rc == 0) {
        rc = check_volumes(&c, stack);
    }
    if (rc == 0) {
        rc = compose_check_networks(&c, stack);
    }
    if (rc == 0) {
        rc = check_services(&c, stack);
    }
    if (rc == 0) {
        rc = compose_check_between(&c, stack);
    }
    if (rc == 0) {
        rc = compose_check_cycles(&c, stack);
    }
    return rc == 0 && stack->base.n_unknown_fields > 0 ? compose_check_shape(&c, &stack->base) : rc;
}
