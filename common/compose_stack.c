// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/compose_parts.h"
#include "common/compose_rule.h"
#include "common/compose_value.h"

/* Read before everything else, by compose_read: other values may refer to it. */
void compose_stack_name(struct compose_reader *r, const struct compose_row *row,
                        const struct compose_at *at, const struct compose_node *node,
                        ProtobufCMessage *message)
{
    (void)r;
    (void)row;
    (void)at;
    (void)node;
    (void)message;
}

/* ---- services ---- */

static bool is_global(const Wherry__Spec__Service *s)
{
    return s->mode == WHERRY__SPEC__MODE__MODE_GLOBAL ||
           s->mode == WHERRY__SPEC__MODE__MODE_GLOBAL_JOB;
}

static bool is_job(const Wherry__Spec__Service *s)
{
    return s->mode == WHERRY__SPEC__MODE__MODE_REPLICATED_JOB ||
           s->mode == WHERRY__SPEC__MODE__MODE_GLOBAL_JOB;
}

static const struct compose_node *get(const struct compose_node *node, const char *key)
{
    const struct compose_node *value = node != NULL ? compose_tree_get(node, key) : NULL;

    return value != NULL && !compose_tree_is_null(value) ? value : NULL;
}

/* Defaults that depend on other keys. */
static void complete(struct compose_reader *r, const struct compose_at *at,
                     const struct compose_node *node, Wherry__Spec__Service *s)
{
    const struct compose_node *deploy = get(node, "deploy");
    const struct compose_node *policy = get(deploy, "restart_policy");

    if (get(deploy, "replicas") == NULL && !is_global(s)) {
        s->replicas = 1;
    }
    if (is_job(s) && (policy != NULL ? get(policy, "condition") : get(node, "restart")) == NULL) {
        s->container->restart->condition = WHERRY__SPEC__RESTART_CONDITION__RESTART_ON_FAILURE;
    }
    compose_object_preset(r, &compose_table_restart_policy, at, policy, &s->base);
    compose_object_preset(r, &compose_table_service, at, node, &s->base);
    compose_networks_complete(r, at, node, s);
}

static void read_service(struct compose_reader *r, const struct compose_at *at,
                         const struct compose_entry *entry)
{
    Wherry__Spec__Service *s = compose_reader_message(r, &wherry__spec__service__descriptor);
    struct err e;

    s->name = compose_reader_copy(r, entry->key->text);
    s->container = compose_reader_message(r, &wherry__spec__container__descriptor);
    s->container->restart = compose_reader_message(r, &wherry__spec__restart_policy__descriptor);
    if (compose_rule_name(s->name, &e) < 0) {
        compose_reader_fail(r, at, entry->key, "%s", e.text);
        return;
    }
    r->service = entry->value;
    compose_object_read(r, &compose_table_service, at, entry->value, &s->base);
    if (entry->value->kind == COMPOSE_MAP) {
        complete(r, at, entry->value, s);
    }
    compose_reader_push(r, &r->stack->services, &r->stack->n_services, s);
}

void compose_stack_services(struct compose_reader *r, const struct compose_row *row,
                            const struct compose_at *up, const struct compose_node *node,
                            ProtobufCMessage *message)
{
    (void)row;
    (void)message;
    if (!compose_reader_is_map(r, up, node)) {
        return;
    }
    if (node->n == 0 || node->n > COMPOSE_SERVICES_MAX) {
        compose_reader_fail(r, up, node, "there are %u (allowed: 1 to %u)", node->n,
                            COMPOSE_SERVICES_MAX);
        return;
    }
    for (unsigned i = 0; i < node->n; i++) {
        const struct compose_entry *entry = &node->entries[i];
        const struct compose_at at = {.up = up, .key = entry->key->text};

        if (!entry->value->broken && strncmp(entry->key->text, "x-", 2) != 0) {
            read_service(r, &at, entry);
        }
    }
}

/* ---- volumes and networks ---- */

/* true, or a mapping with the name (the old way to write it). */
void compose_stack_external(struct compose_reader *r, const struct compose_row *row,
                            const struct compose_at *at, const struct compose_node *node,
                            ProtobufCMessage *message)
{
    const struct compose_node *name;
    void *place;

    if (node->kind != COMPOSE_MAP) {
        compose_object_flag(r, row, at, node, message);
        return;
    }
    name = compose_tree_get(node, "name");
    (void)compose_object_field(r, message, row->field, &place);
    *(protobuf_c_boolean *)place = true;
    if (name == NULL || node->n != 1 || name->kind != COMPOSE_SCALAR) {
        compose_reader_fail(r, at, node, "is a mapping (allowed: true, false, or one \"name\")");
        return;
    }
    (void)compose_object_field(r, message, "name", &place);
    *(char **)place = compose_reader_copy(r, name->text);
}

/* A mapping by name: volumes, networks. Each element's message has its name as `key`. */
void compose_stack_named(struct compose_reader *r, const struct compose_row *row,
                         const struct compose_at *up, const struct compose_node *node,
                         ProtobufCMessage *message)
{
    void *array, *place;
    size_t *n;

    if (!compose_reader_is_map(r, up, node)) {
        return;
    }
    compose_list_of(r, message, row->field, &array, &n);
    for (unsigned i = 0; i < node->n; i++) {
        const struct compose_entry *entry = &node->entries[i];
        const struct compose_at at = {.up = up, .key = entry->key->text};
        ProtobufCMessage *element = compose_reader_message(r, row->object->message);
        struct err e;

        if (entry->value->broken) {
            continue;
        }
        if (compose_rule_name(entry->key->text, &e) < 0) {
            compose_reader_fail(r, &at, entry->key, "%s", e.text);
            continue;
        }
        (void)compose_object_field(r, element, "key", &place);
        *(char **)place = compose_reader_copy(r, entry->key->text);
        compose_object_read(r, row->object, &at, entry->value, element);
        compose_reader_push(r, array, n, element);
    }
}

/* ---- one order ---- */

static int by_pair_key(const void *a, const void *b)
{
    return strcmp((*(Wherry__Spec__KeyValue *const *)a)->key,
                  (*(Wherry__Spec__KeyValue *const *)b)->key);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A host with several addresses is there several times. */
static int by_pair(const void *a, const void *b)
{
    int by_key = by_pair_key(a, b);

    return by_key != 0 ? by_key
                       : strcmp((*(Wherry__Spec__KeyValue *const *)a)->value,
                                (*(Wherry__Spec__KeyValue *const *)b)->value);
}

static int by_service(const void *a, const void *b)
{
    return strcmp((*(Wherry__Spec__Service *const *)a)->name,
                  (*(Wherry__Spec__Service *const *)b)->name);
}

static int by_dependency(const void *a, const void *b)
{
    return strcmp((*(Wherry__Spec__Dependency *const *)a)->service,
                  (*(Wherry__Spec__Dependency *const *)b)->service);
}

static int by_network(const void *a, const void *b)
{
    return strcmp((*(Wherry__Spec__Network *const *)a)->key,
                  (*(Wherry__Spec__Network *const *)b)->key);
}

static int by_volume(const void *a, const void *b)
{
    return strcmp((*(Wherry__Spec__Volume *const *)a)->key,
                  (*(Wherry__Spec__Volume *const *)b)->key);
}

/* A directory comes before what is mounted in it. */
static int by_target(const void *a, const void *b)
{
    return strcmp((*(Wherry__Spec__Mount *const *)a)->target,
                  (*(Wherry__Spec__Mount *const *)b)->target);
}

static int by_constraint(const void *a, const void *b)
{
    const Wherry__Spec__Constraint *x = *(Wherry__Spec__Constraint *const *)a;
    const Wherry__Spec__Constraint *y = *(Wherry__Spec__Constraint *const *)b;
    int order = strcmp(x->key, y->key);

    order = order != 0 ? order : x->negated - y->negated;
    return order != 0 ? order : strcmp(x->value, y->value);
}

static int by_port(const void *a, const void *b)
{
    const Wherry__Spec__Port *x = *(Wherry__Spec__Port *const *)a;
    const Wherry__Spec__Port *y = *(Wherry__Spec__Port *const *)b;

    if (x->target != y->target) {
        return x->target < y->target ? -1 : 1;
    }
    if (x->published != y->published) {
        return x->published < y->published ? -1 : 1;
    }
    return x->protocol != y->protocol ? (x->protocol < y->protocol ? -1 : 1)
                                      : strcmp(x->host_ip, y->host_ip);
}

/* qsort may not be given NULL. */
static void sort(void *array, size_t n, int (*compare)(const void *, const void *))
{
    if (n > 1) {
        qsort(array, n, sizeof(void *), compare);
    }
}

/* Sorted, and what is said twice is there once. */
static size_t sort_once(void *array, size_t n, int (*compare)(const void *, const void *))
{
    void **list = array;
    size_t kept = 0;

    sort(array, n, compare);
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || compare(&list[kept - 1], &list[i]) != 0) {
            list[kept++] = list[i];
        }
    }
    return kept;
}

static void sort_service(Wherry__Spec__Service *s)
{
    Wherry__Spec__Container *c = s->container;

    sort(c->environment, c->n_environment, by_pair_key);
    sort(c->labels, c->n_labels, by_pair_key);
    sort(c->ports, c->n_ports, by_port);
    sort(c->mounts, c->n_mounts, by_target);
    sort(c->cap_add, c->n_cap_add, by_text);
    sort(c->cap_drop, c->n_cap_drop, by_text);
    c->n_extra_hosts = sort_once(c->extra_hosts, c->n_extra_hosts, by_pair);
    if (c->egress != NULL) {
        c->egress->n_cidr = sort_once(c->egress->cidr, c->egress->n_cidr, by_text);
    }
    sort(s->labels, s->n_labels, by_pair_key);
    sort(s->constraints, s->n_constraints, by_constraint);
    sort(s->depends_on, s->n_depends_on, by_dependency);
}

static void name_volumes(struct compose_reader *r)
{
    for (size_t i = 0; i < r->stack->n_volumes; i++) {
        Wherry__Spec__Volume *v = r->stack->volumes[i];

        if (v->name[0] == '\0') {
            v->name = v->external ? v->key
                                  : compose_tree_printf(&r->tree, "%s_%s", r->stack->name, v->key);
        }
        sort(v->labels, v->n_labels, by_pair_key);
    }
}

static void name_mounts(struct compose_reader *r, Wherry__Spec__Container *c)
{
    for (size_t i = 0; i < c->n_mounts; i++) {
        for (size_t k = 0; k < r->stack->n_volumes; k++) {
            if (c->mounts[i]->type == WHERRY__SPEC__MOUNT_TYPE__MOUNT_VOLUME &&
                strcmp(c->mounts[i]->source, r->stack->volumes[k]->key) == 0) {
                c->mounts[i]->volume_name = r->stack->volumes[k]->name;
            }
        }
    }
}

void compose_stack_finish(struct compose_reader *r)
{
    Wherry__Spec__Stack *stack = r->stack;

    name_volumes(r);
    compose_networks_finish(r);
    for (size_t i = 0; i < stack->n_services; i++) {
        name_mounts(r, stack->services[i]->container);
        sort_service(stack->services[i]);
    }
    sort(stack->services, stack->n_services, by_service);
    sort(stack->volumes, stack->n_volumes, by_volume);
    for (size_t i = 0; i < stack->n_networks; i++) {
        sort(stack->networks[i]->labels, stack->networks[i]->n_labels, by_pair_key);
        sort(stack->networks[i]->driver_opts, stack->networks[i]->n_driver_opts, by_pair_key);
    }
    sort(stack->networks, stack->n_networks, by_network);
}
