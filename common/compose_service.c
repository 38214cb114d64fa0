// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/compose_parts.h"
#include "common/compose_rule.h"
#include "common/compose_value.h"
#include "common/imageref.h"

/* Kept in normal form, so that `busybox` and `docker.io/library/busybox:latest` are one revision.
 */
void compose_service_image(struct compose_reader *r, const struct compose_row *row,
                           const struct compose_at *at, const struct compose_node *node,
                           ProtobufCMessage *message)
{
    const char *text = compose_reader_text(r, at, node);
    struct imageref ref;
    struct err e;

    (void)row;
    if (text == NULL) {
        return;
    }
    if (imageref_parse(text, &ref, &e) < 0) {
        compose_reader_fail(r, at, node, "%s", e.text);
        return;
    }
    ((Wherry__Spec__Service *)message)->container->image =
        compose_tree_printf(&r->tree, "%s%s%s", ref.name,
                            ref.name[0] != '\0' && ref.digest[0] != '\0' ? "@" : "", ref.digest);
}

void compose_service_signal(struct compose_reader *r, const struct compose_row *row,
                            const struct compose_at *at, const struct compose_node *node,
                            ProtobufCMessage *message)
{
    const char *text = compose_reader_text(r, at, node);
    Wherry__Spec__Container *c = ((Wherry__Spec__Service *)message)->container;
    struct err e;

    (void)row;
    if (text != NULL && compose_value_signal(text, &c->stop_signal, &e) < 0) {
        compose_reader_fail(r, at, node, "%s", e.text);
    }
}

/* ---- restart ---- */

/* "on-failure" or "on-failure:5". */
static bool read_on_failure(const char *text, Wherry__Spec__RestartPolicy *restart)
{
    uint64_t attempts = 0;

    if (strncmp(text, "on-failure", 10) != 0 || (text[10] != '\0' && text[10] != ':')) {
        return false;
    }
    if (text[10] == ':' && (compose_value_number(text + 11, &attempts, NULL) < 0 || attempts == 0 ||
                            attempts > UINT32_MAX)) {
        return false;
    }
    restart->condition = WHERRY__SPEC__RESTART_CONDITION__RESTART_ON_FAILURE;
    restart->max_attempts = (uint32_t)attempts;
    return true;
}

static const struct compose_node *restart_policy(const struct compose_node *service)
{
    const struct compose_node *deploy = compose_tree_get(service, "deploy");
    const struct compose_node *policy =
        deploy != NULL ? compose_tree_get(deploy, "restart_policy") : NULL;

    return policy != NULL && !compose_tree_is_null(policy) ? policy : NULL;
}

void compose_service_restart(struct compose_reader *r, const struct compose_row *row,
                             const struct compose_at *at, const struct compose_node *node,
                             ProtobufCMessage *message)
{
    const char *text = compose_reader_text(r, at, node);
    Wherry__Spec__RestartPolicy scratch = WHERRY__SPEC__RESTART_POLICY__INIT;
    Wherry__Spec__RestartPolicy *restart = ((Wherry__Spec__Service *)message)->container->restart;

    (void)row;
    if (restart_policy(r->service) != NULL) {
        compose_reader_warn(r, at, node, "does not count: deploy.restart_policy is given too");
        restart = &scratch;
    }
    if (text == NULL || read_on_failure(text, restart)) {
        return;
    }
    if (strcmp(text, "no") == 0 || strcmp(text, "false") == 0) {
        restart->condition = WHERRY__SPEC__RESTART_CONDITION__RESTART_NEVER;
    } else if (strcmp(text, "always") != 0 && strcmp(text, "unless-stopped") != 0) {
        compose_reader_fail(r, at, node,
                            "\"%.100s\" is not known here (allowed: no, always, on-failure, "
                            "on-failure:N, unless-stopped)",
                            text);
    }
}

void compose_service_delay(struct compose_reader *r, const struct compose_row *row,
                           const struct compose_at *at, const struct compose_node *node,
                           ProtobufCMessage *message)
{
    ((Wherry__Spec__Service *)message)->container->restart->delay_set = true;
    compose_object_millis(r, row, at, node, message);
}

/* ---- depends_on ---- */

static void add_dependency(struct compose_reader *r, const struct compose_at *at,
                           const struct compose_node *node, Wherry__Spec__Service *service,
                           Wherry__Spec__Dependency *d)
{
    struct err e;

    if (compose_rule_name(d->service, &e) < 0) {
        compose_reader_fail(r, at, node, "%s", e.text);
        return;
    }
    if (d->required && (r->services == NULL || compose_tree_get(r->services, d->service) == NULL)) {
        compose_reader_fail(r, at, node, "there is no service \"%s\"", d->service);
        return;
    }
    for (size_t i = 0; i < service->n_depends_on; i++) {
        if (strcmp(service->depends_on[i]->service, d->service) == 0) {
            return;
        }
    }
    if (service->n_depends_on < DOC_REPEATED_MAX) {
        compose_reader_push(r, &service->depends_on, &service->n_depends_on, d);
    }
}

static void read_dependency_list(struct compose_reader *r, const struct compose_at *up,
                                 const struct compose_node *node, Wherry__Spec__Service *service)
{
    for (unsigned i = 0; i < node->n; i++) {
        const struct compose_at at = {.up = up, .index = i};
        const struct compose_node *element = node->entries[i].value;
        const char *text = element->broken ? NULL : compose_reader_text(r, &at, element);
        Wherry__Spec__Dependency *d;

        if (text == NULL) {
            continue;
        }
        d = compose_reader_message(r, &wherry__spec__dependency__descriptor);
        d->service = compose_reader_copy(r, text);
        d->required = true;
        add_dependency(r, &at, element, service, d);
    }
}

void compose_service_depends(struct compose_reader *r, const struct compose_row *row,
                             const struct compose_at *up, const struct compose_node *node,
                             ProtobufCMessage *message)
{
    Wherry__Spec__Service *service = (Wherry__Spec__Service *)message;

    if (node->kind == COMPOSE_LIST) {
        read_dependency_list(r, up, node, service);
        return;
    }
    if (!compose_reader_is_map_or_list(r, up, node)) {
        return;
    }
    for (unsigned i = 0; i < node->n; i++) {
        const struct compose_entry *entry = &node->entries[i];
        const struct compose_at at = {.up = up, .key = entry->key->text};
        Wherry__Spec__Dependency *d;

        if (entry->value->broken) {
            continue;
        }
        d = compose_reader_message(r, &wherry__spec__dependency__descriptor);
        d->service = compose_reader_copy(r, entry->key->text);
        compose_object_read(r, row->object, &at, entry->value, &d->base);
        compose_object_preset(r, row->object, &at, entry->value, &d->base);
        add_dependency(r, &at, entry->key, service, d);
    }
}

/* ---- placement ---- */

/* "node.labels.ssd == true": cuts the blanks off both sides. */
static char *trimmed(struct compose_reader *r, const char *text, size_t len)
{
    while (len > 0 && text[0] == ' ') {
        text++;
        len--;
    }
    while (len > 0 && text[len - 1] == ' ') {
        len--;
    }
    return compose_tree_text(&r->tree, text, len);
}

static void add_constraint(struct compose_reader *r, const struct compose_at *at,
                           const struct compose_node *node, Wherry__Spec__Service *service)
{
    const char *text = node->text;
    const char *equals = strchr(text, '=');
    Wherry__Spec__Constraint *it = compose_reader_message(r, &wherry__spec__constraint__descriptor);
    struct err e;

    if (equals == NULL || equals == text || (equals[-1] != '!' && equals[1] != '=')) {
        compose_reader_fail(r, at, node,
                            "\"%.100s\" compares nothing (allowed: KEY==VALUE, "
                            "KEY!=VALUE)",
                            text);
        return;
    }
    it->negated = equals[-1] == '!';
    it->key = trimmed(r, text, (size_t)(equals - text) - (it->negated ? 1 : 0));
    equals += it->negated ? 1 : 2;
    it->value = trimmed(r, equals, strlen(equals));
    if (compose_rule_constraint_key(it->key, &e) < 0) {
        compose_reader_fail(r, at, node, "%s", e.text);
    } else if (it->value[0] == '\0') {
        compose_reader_fail(r, at, node, "%s is compared with nothing", it->key);
    } else if (service->n_constraints < DOC_REPEATED_MAX) {
        compose_reader_push(r, &service->constraints, &service->n_constraints, it);
    }
}

void compose_service_constraints(struct compose_reader *r, const struct compose_row *row,
                                 const struct compose_at *up, const struct compose_node *node,
                                 ProtobufCMessage *message)
{
    (void)row;
    if (!compose_reader_is_list(r, up, node)) {
        return;
    }
    for (unsigned i = 0; i < node->n; i++) {
        const struct compose_at at = {.up = up, .index = i};
        const struct compose_node *element = node->entries[i].value;

        if (!element->broken && compose_reader_text(r, &at, element) != NULL) {
            add_constraint(r, &at, element, (Wherry__Spec__Service *)message);
        }
    }
}
