// SPDX-License-Identifier: Apache-2.0
/* What a service is told of names, and where it may go: resolvers, hosts, egress, bandwidth. */
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/compose_parts.h"
#include "common/compose_rule.h"
#include "common/rate.h"

/* Text, or a list of it, each held to the row's rule. */
void compose_names_list(struct compose_reader *r, const struct compose_row *row,
                        const struct compose_at *up, const struct compose_node *node,
                        ProtobufCMessage *message)
{
    unsigned n = node->kind == COMPOSE_LIST ? node->n : 1;
    void *array;
    size_t *count;

    compose_list_of(r, message, row->field, &array, &count);
    if (n > row->max) {
        compose_reader_fail(r, up, node, "has %u elements (allowed: at most %llu)", n,
                            (unsigned long long)row->max);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        const struct compose_at in = {.up = up, .index = i};
        const struct compose_at *at = node->kind == COMPOSE_LIST ? &in : up;
        const struct compose_node *it = node->kind == COMPOSE_LIST ? node->entries[i].value : node;
        const char *text = it->broken ? NULL : compose_reader_text(r, at, it);
        struct err e;

        if (text != NULL && row->rule(text, &e) < 0) {
            compose_reader_fail(r, at, it, "%s", e.text);
        } else if (text != NULL) {
            compose_reader_push(r, array, count, compose_reader_copy(r, text));
        }
    }
}

/* ---- extra_hosts ---- */

static void add_host(struct compose_reader *r, const struct compose_at *at,
                     const struct compose_node *node, Wherry__Spec__Container *c, const char *name,
                     const char *address)
{
    Wherry__Spec__KeyValue *pair;
    struct err e;

    if (compose_rule_alias(name, &e) < 0 || compose_rule_host_address(address, &e) < 0) {
        compose_reader_fail(r, at, node, "%s", e.text);
        return;
    }
    if (c->n_extra_hosts >= COMPOSE_HOSTS_MAX) {
        compose_reader_fail(r, at, node, "is one too many (allowed: %u)", COMPOSE_HOSTS_MAX);
        return;
    }
    pair = compose_reader_message(r, &wherry__spec__key_value__descriptor);
    pair->key = compose_reader_copy(r, name);
    pair->value = compose_reader_copy(r, address);
    compose_reader_push(r, &c->extra_hosts, &c->n_extra_hosts, pair);
}

/* "name:address" or "name=address". */
static void add_host_text(struct compose_reader *r, const struct compose_at *at,
                          const struct compose_node *node, Wherry__Spec__Container *c)
{
    const char *text = compose_reader_text(r, at, node);
    const char *cut = text != NULL ? strpbrk(text, ":=") : NULL;
    auto_free char *name = cut != NULL ? xstrndup(text, (size_t)(cut - text)) : NULL;

    if (text == NULL) {
        return;
    }
    if (cut == NULL) {
        compose_reader_fail(
            r, at, node, "\"%.100s\" has no address (allowed: NAME:ADDRESS, NAME=ADDRESS)", text);
        return;
    }
    add_host(r, at, node, c, name, cut + 1);
}

void compose_names_hosts(struct compose_reader *r, const struct compose_row *row,
                         const struct compose_at *up, const struct compose_node *node,
                         ProtobufCMessage *message)
{
    Wherry__Spec__Container *c = ((Wherry__Spec__Service *)message)->container;

    (void)row;
    if (node->kind != COMPOSE_LIST && !compose_reader_is_map_or_list(r, up, node)) {
        return;
    }
    for (unsigned i = 0; i < node->n; i++) {
        const struct compose_entry *entry = &node->entries[i];
        const struct compose_at at = node->kind == COMPOSE_LIST
                                         ? (struct compose_at){.up = up, .index = i}
                                         : (struct compose_at){.up = up, .key = entry->key->text};

        if (entry->value->broken) {
            continue;
        }
        if (node->kind == COMPOSE_LIST) {
            add_host_text(r, &at, entry->value, c);
        } else if (compose_reader_text(r, &at, entry->value) != NULL) {
            add_host(r, &at, entry->value, c, entry->key->text, entry->value->text);
        }
    }
}

/* ---- egress and bandwidth ---- */

static Wherry__Spec__Egress *egress_of(struct compose_reader *r, Wherry__Spec__Container *c)
{
    if (c->egress == NULL) {
        c->egress = compose_reader_message(r, &wherry__spec__egress__descriptor);
    }
    c->egress->restricted = true;
    return c->egress;
}

/* "allow", "deny", or the networks outside of the cluster that it may reach. */
void compose_names_egress(struct compose_reader *r, const struct compose_row *row,
                          const struct compose_at *up, const struct compose_node *node,
                          ProtobufCMessage *message)
{
    Wherry__Spec__Container *c = ((Wherry__Spec__Service *)message)->container;
    Wherry__Spec__Egress *egress;

    (void)row;
    if (node->kind == COMPOSE_SCALAR && strcmp(node->text, "allow") == 0) {
        return;
    }
    if (node->kind == COMPOSE_SCALAR && strcmp(node->text, "deny") == 0) {
        (void)egress_of(r, c);
        return;
    }
    if (node->kind != COMPOSE_LIST || node->n > COMPOSE_EGRESS_MAX) {
        compose_reader_fail(
            r, up, node,
            "%s%.100s%s is not known (allowed: allow, deny, or a list of at most %u "
            "networks like 192.0.2.0/24)",
            node->kind == COMPOSE_SCALAR ? "\"" : "",
            node->kind == COMPOSE_SCALAR ? node->text : "this",
            node->kind == COMPOSE_SCALAR ? "\"" : "", COMPOSE_EGRESS_MAX);
        return;
    }
    egress = egress_of(r, c);
    for (unsigned i = 0; i < node->n; i++) {
        const struct compose_at at = {.up = up, .index = i};
        const struct compose_node *it = node->entries[i].value;
        const char *text = it->broken ? NULL : compose_reader_text(r, &at, it);
        struct err e;

        if (text != NULL && compose_rule_cidr(text, &e) < 0) {
            compose_reader_fail(r, &at, it, "%s", e.text);
        } else if (text != NULL) {
            compose_reader_push(r, &egress->cidr, &egress->n_cidr, compose_reader_copy(r, text));
        }
    }
}

/* "10mbit" */
void compose_names_rate(struct compose_reader *r, const struct compose_row *row,
                        const struct compose_at *at, const struct compose_node *node,
                        ProtobufCMessage *message)
{
    const char *text = compose_reader_text(r, at, node);
    uint64_t rate = 0;
    struct err e;
    void *place;

    if (text == NULL) {
        return;
    }
    if (rate_parse(text, &rate, &e) < 0) {
        compose_reader_fail(r, at, node, "%s", e.text);
    } else if (rate < row->min || rate > row->max) {
        compose_reader_fail(r, at, node, "\"%.100s\" is out of range (allowed: 64kbit to 100gbit)",
                            text);
    } else {
        (void)compose_object_field(r, message, row->field, &place);
        *(uint64_t *)place = rate;
    }
}
