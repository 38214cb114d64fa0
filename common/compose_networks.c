// SPDX-License-Identifier: Apache-2.0
/* Networks: of the file, and which of them a service is on. Until everything has been read, a use
 * carries the key of its network where its name will be. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/compose_parts.h"
#include "common/compose_rule.h"

#define DEFAULT "default"

/* ---- of the file ---- */

/* "bridge" and "overlay" are one thing here and leave no trace; what names a namespace instead is
 * not a network. */
void compose_networks_driver(struct compose_reader *r, const struct compose_row *row,
                             const struct compose_at *at, const struct compose_node *node,
                             ProtobufCMessage *message)
{
    const char *text = compose_reader_text(r, at, node);

    (void)row;
    (void)message;
    if (text == NULL || strcmp(text, DEFAULT) == 0 || strcmp(text, "bridge") == 0 ||
        strcmp(text, "overlay") == 0) {
        return;
    }
    if (strcmp(text, "host") == 0 || strcmp(text, "none") == 0) {
        compose_reader_fail(r, at, node,
                            "\"%s\" is no network here (allowed: \"network_mode: %s\" of a "
                            "service)",
                            text, text);
        return;
    }
    compose_reader_fail(r, at, node, "\"%.100s\" is not known here (allowed: bridge, overlay)",
                        text);
}

/* The list of ipam.config: of each its subnet. */
void compose_networks_ipam(struct compose_reader *r, const struct compose_row *row,
                           const struct compose_at *up, const struct compose_node *node,
                           ProtobufCMessage *message)
{
    if (!compose_reader_is_list(r, up, node)) {
        return;
    }
    for (unsigned i = 0; i < node->n; i++) {
        const struct compose_at at = {.up = up, .index = i};

        if (!node->entries[i].value->broken) {
            compose_object_read(r, row->object, &at, node->entries[i].value, message);
        }
    }
}

void compose_networks_subnet(struct compose_reader *r, const struct compose_row *row,
                             const struct compose_at *at, const struct compose_node *node,
                             ProtobufCMessage *message)
{
    Wherry__Spec__Network *n = (Wherry__Spec__Network *)message;
    const char *text = compose_reader_text(r, at, node);
    struct err e;

    (void)row;
    if (text != NULL && compose_rule_subnet(text, &e) < 0) {
        compose_reader_fail(r, at, node, "%s", e.text);
    } else if (text != NULL) {
        compose_reader_push(r, &n->subnets, &n->n_subnets, compose_reader_copy(r, text));
    }
}

/* ---- of a service ---- */

static Wherry__Spec__NetworkUse *add_use(struct compose_reader *r, Wherry__Spec__Container *c,
                                         const char *key)
{
    Wherry__Spec__NetworkUse *use =
        compose_reader_message(r, &wherry__spec__network_use__descriptor);

    use->name = compose_reader_copy(r, key);
    compose_reader_push(r, &c->networks, &c->n_networks, use);
    return use;
}

/* NULL: there is no such network, or it has been named before. */
static Wherry__Spec__NetworkUse *make_use(struct compose_reader *r, const struct compose_at *at,
                                          const struct compose_node *node,
                                          Wherry__Spec__Container *c, const char *key)
{
    const struct compose_node *found =
        r->networks != NULL ? compose_tree_get(r->networks, key) : NULL;

    if (found == NULL && strcmp(key, DEFAULT) != 0) {
        compose_reader_fail(r, at, node,
                            "there is no network \"%.100s\" below the top-level \"networks\"", key);
        return NULL;
    }
    for (size_t i = 0; i < c->n_networks; i++) {
        if (strcmp(c->networks[i]->name, key) == 0) {
            compose_reader_fail(r, at, node, "names \"%.100s\" twice", key);
            return NULL;
        }
    }
    if (c->n_networks >= COMPOSE_NETWORKS_MAX) {
        compose_reader_fail(r, at, node, "is one network too many (allowed: %u)",
                            COMPOSE_NETWORKS_MAX);
        return NULL;
    }
    return add_use(r, c, key);
}

static void use_map(struct compose_reader *r, const struct compose_row *row,
                    const struct compose_at *up, const struct compose_node *node,
                    Wherry__Spec__Container *c)
{
    for (unsigned i = 0; i < node->n; i++) {
        const struct compose_entry *entry = &node->entries[i];
        const struct compose_at at = {.up = up, .key = entry->key->text};
        Wherry__Spec__NetworkUse *use =
            entry->value->broken ? NULL : make_use(r, &at, entry->key, c, entry->key->text);

        if (use != NULL && !compose_tree_is_null(entry->value)) {
            compose_object_read(r, row->object, &at, entry->value, &use->base);
        }
    }
}

void compose_networks_use(struct compose_reader *r, const struct compose_row *row,
                          const struct compose_at *up, const struct compose_node *node,
                          ProtobufCMessage *message)
{
    Wherry__Spec__Container *c = ((Wherry__Spec__Service *)message)->container;

    if (node->kind != COMPOSE_LIST) {
        if (compose_reader_is_map_or_list(r, up, node)) {
            use_map(r, row, up, node, c);
        }
        return;
    }
    for (unsigned i = 0; i < node->n; i++) {
        const struct compose_at at = {.up = up, .index = i};
        const struct compose_node *element = node->entries[i].value;
        const char *text = element->broken ? NULL : compose_reader_text(r, &at, element);

        if (text != NULL) {
            (void)make_use(r, &at, element, c, text);
        }
    }
}

/* Names are compared without case, and kept in lower case. */
void compose_networks_aliases(struct compose_reader *r, const struct compose_row *row,
                              const struct compose_at *up, const struct compose_node *node,
                              ProtobufCMessage *message)
{
    Wherry__Spec__NetworkUse *use = (Wherry__Spec__NetworkUse *)message;

    (void)row;
    if (!compose_reader_is_list(r, up, node)) {
        return;
    }
    for (unsigned i = 0; i < node->n; i++) {
        const struct compose_at at = {.up = up, .index = i};
        const struct compose_node *element = node->entries[i].value;
        const char *text = element->broken ? NULL : compose_reader_text(r, &at, element);
        char *lower = text != NULL ? compose_reader_copy(r, text) : NULL;
        struct err e;

        for (char *p = lower; p != NULL && *p != '\0'; p++) {
            *p = (char)tolower((unsigned char)*p);
        }
        if (lower != NULL && compose_rule_alias(lower, &e) < 0) {
            compose_reader_fail(r, &at, element, "%s", e.text);
        } else if (lower != NULL) {
            compose_reader_push(r, &use->aliases, &use->n_aliases, lower);
        }
    }
}

/* Only looked at: compose_networks_complete gives it to a network. */
void compose_networks_mac(struct compose_reader *r, const struct compose_row *row,
                          const struct compose_at *at, const struct compose_node *node,
                          ProtobufCMessage *message)
{
    const char *text = compose_reader_text(r, at, node);
    struct err e;

    (void)message;
    if (text != NULL && row->rule(text, &e) < 0) {
        compose_reader_fail(r, at, node, "%s", e.text);
    }
}

/* ---- when all has been read ---- */

/* "mac_address" of the service is that of its first network, as Compose has it. */
static void give_mac(struct compose_reader *r, Wherry__Spec__Container *c,
                     const struct compose_node *service)
{
    const struct compose_node *mac = compose_tree_get(service, "mac_address");

    if (mac != NULL && mac->kind == COMPOSE_SCALAR && !compose_tree_is_null(mac) &&
        c->n_networks > 0 && c->networks[0]->mac_address[0] == '\0') {
        c->networks[0]->mac_address = compose_reader_copy(r, mac->text);
    }
}

void compose_networks_complete(struct compose_reader *r, const struct compose_at *at,
                               const struct compose_node *node, Wherry__Spec__Service *s)
{
    const struct compose_node *said = compose_tree_get(node, "networks");
    const struct compose_node *mode = compose_tree_get(node, "network_mode");
    Wherry__Spec__Container *c = s->container;

    if (c->network_mode != WHERRY__SPEC__NETWORK_MODE__NETWORK_BRIDGE) {
        if (c->n_networks > 0) {
            const struct compose_at there = {.up = at, .key = "networks"};

            compose_reader_fail(r, &there, said,
                                "cannot be with \"network_mode: %s\" (allowed: one of the two)",
                                mode != NULL && mode->kind == COMPOSE_SCALAR ? mode->text : "");
        }
        return;
    }
    if (said == NULL || compose_tree_is_null(said) || (said->n == 0 && !said->broken)) {
        (void)add_use(r, c, DEFAULT);
    }
    give_mac(r, c, node);
}

static Wherry__Spec__Network *find_network(const struct compose_reader *r, const char *key)
{
    for (size_t i = 0; i < r->stack->n_networks; i++) {
        if (strcmp(r->stack->networks[i]->key, key) == 0) {
            return r->stack->networks[i];
        }
    }
    return NULL;
}

static void name_network(struct compose_reader *r, Wherry__Spec__Network *n)
{
    if (n->name[0] == '\0') {
        n->name =
            n->external ? n->key : compose_tree_printf(&r->tree, "%s_%s", r->stack->name, n->key);
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(Wherry__Spec__NetworkUse *const *)a)->name,
                  (*(Wherry__Spec__NetworkUse *const *)b)->name);
}

static void finish_use(struct compose_reader *r, Wherry__Spec__NetworkUse *use)
{
    Wherry__Spec__Network *n = find_network(r, use->name);
    size_t kept = 0;

    if (n == NULL) { /* the default one, which need not be declared */
        n = compose_reader_message(r, &wherry__spec__network__descriptor);
        n->key = use->name;
        compose_reader_push(r, &r->stack->networks, &r->stack->n_networks, n);
        name_network(r, n);
    }
    use->name = n->name;
    use->internal = n->internal;
    use->ipv6 = n->enable_ipv6;
    if (use->n_aliases > 1) {
        qsort(use->aliases, use->n_aliases, sizeof(char *), by_text);
    }
    for (size_t i = 0; i < use->n_aliases; i++) {
        if (kept == 0 || strcmp(use->aliases[kept - 1], use->aliases[i]) != 0) {
            use->aliases[kept++] = use->aliases[i];
        }
    }
    use->n_aliases = kept;
}

void compose_networks_finish(struct compose_reader *r)
{
    for (size_t i = 0; i < r->stack->n_networks; i++) {
        name_network(r, r->stack->networks[i]);
    }
    for (size_t i = 0; i < r->stack->n_services; i++) {
        Wherry__Spec__Container *c = r->stack->services[i]->container;

        for (size_t k = 0; k < c->n_networks; k++) {
            finish_use(r, c->networks[k]);
        }
        if (c->n_networks > 1) {
            qsort(c->networks, c->n_networks, sizeof(void *), by_name);
        }
    }
}
