// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/compose_parts.h"
#include "common/compose_rule.h"
#include "common/compose_value.h"

void compose_list_of(struct compose_reader *r, ProtobufCMessage *message, const char *field,
                     void **ret_array, size_t **ret_n)
{
    const ProtobufCFieldDescriptor *found = compose_object_field(r, message, field, ret_array);

    *ret_n = (void *)((char *)*ret_array - found->offset + found->quantifier_offset);
}

void compose_list_elements(struct compose_reader *r, const struct compose_at *up,
                           const struct compose_node *node, ProtobufCMessage *message,
                           void (*read_short)(const struct compose_element *e, const char *text),
                           void (*read_long)(const struct compose_element *e))
{
    if (!compose_reader_is_list(r, up, node)) {
        return;
    }
    for (unsigned i = 0; i < node->n; i++) {
        const struct compose_at at = {.up = up, .index = i};
        const struct compose_element e = {.r = r,
                                          .at = &at,
                                          .node = node->entries[i].value,
                                          .service = (Wherry__Spec__Service *)message};

        if (e.node->broken) {
            continue;
        }
        if (e.node->kind == COMPOSE_MAP) {
            read_long(&e);
        } else if (compose_reader_text(r, &at, e.node) != NULL) {
            read_short(&e, e.node->text);
        }
    }
}

/* ---- pairs ---- */

struct pairs {
    struct compose_reader *r;
    Wherry__Spec__KeyValue ***array;
    size_t *n;
    int (*rule)(const char *, struct err *);
    bool environment; /* a key alone takes its value from where the reader runs */
};

static Wherry__Spec__KeyValue *find_pair(const struct pairs *p, const char *key)
{
    for (size_t i = 0; i < *p->n; i++) {
        if (strcmp((*p->array)[i]->key, key) == 0) {
            return (*p->array)[i];
        }
    }
    return NULL;
}

/* Said once of the whole, not of each that is too many. */
static bool is_short(struct compose_reader *r, const struct compose_at *at,
                     const struct compose_node *node, size_t n)
{
    if (n <= DOC_REPEATED_MAX) {
        return true;
    }
    compose_reader_fail(r, at, node, "has %zu elements (allowed: at most %d)", n, DOC_REPEATED_MAX);
    return false;
}

/* `value` NULL: only the key was given. */
static void add_pair(const struct pairs *p, const struct compose_at *at,
                     const struct compose_node *node, const char *key, const char *value)
{
    Wherry__Spec__KeyValue *pair = find_pair(p, key);
    struct err e;

    if (p->rule(key, &e) < 0) {
        compose_reader_fail(p->r, at, node, "%s", e.text);
        return;
    }
    if (value == NULL && p->environment) {
        value = compose_env_get(&p->r->env, key);
        if (value == NULL) {
            compose_reader_warn(p->r, at, node,
                                "%.100s has no value here: the container does not get it", key);
            return;
        }
    }
    if (value != NULL && strlen(value) > DOC_LONG_MAX) {
        compose_reader_fail(p->r, at, node, "has %zu bytes (allowed: %d)", strlen(value),
                            DOC_LONG_MAX);
        return;
    }
    if (pair != NULL) {
        compose_reader_warn(p->r, at, node, "%.100s is given twice: the last one counts", key);
    } else {
        pair = compose_reader_message(p->r, &wherry__spec__key_value__descriptor);
        pair->key = compose_reader_copy(p->r, key);
        compose_reader_push(p->r, p->array, p->n, pair);
    }
    pair->value = compose_reader_copy(p->r, value != NULL ? value : "");
}

static void read_pair_map(const struct pairs *p, const struct compose_at *up,
                          const struct compose_node *node)
{
    for (unsigned i = 0; i < node->n; i++) {
        const struct compose_entry *entry = &node->entries[i];
        const struct compose_at at = {.up = up, .key = entry->key->text};

        if (entry->value->broken) {
            continue;
        }
        if (entry->value->kind != COMPOSE_SCALAR) {
            (void)compose_reader_text(p->r, &at, entry->value);
            continue;
        }
        add_pair(p, &at, entry->value, entry->key->text,
                 compose_tree_is_null(entry->value) ? NULL : entry->value->text);
    }
}

static void read_pair_list(const struct pairs *p, const struct compose_at *up,
                           const struct compose_node *node)
{
    for (unsigned i = 0; i < node->n; i++) {
        const struct compose_at at = {.up = up, .index = i};
        const struct compose_node *element = node->entries[i].value;
        const char *text = element->broken ? NULL : compose_reader_text(p->r, &at, element);
        const char *equals = text != NULL ? strchr(text, '=') : NULL;

        if (text != NULL) {
            auto_free char *key =
                xstrndup(text, equals != NULL ? (size_t)(equals - text) : strlen(text));

            add_pair(p, &at, element, key, equals != NULL ? equals + 1 : NULL);
        }
    }
}

static void read_pairs(struct compose_reader *r, const struct compose_row *row,
                       const struct compose_at *at, const struct compose_node *node,
                       ProtobufCMessage *message, bool environment)
{
    struct pairs p = {.r = r,
                      .rule = environment ? compose_rule_variable : compose_rule_label,
                      .environment = environment};
    void *array;

    compose_list_of(r, message, row->field, &array, &p.n);
    p.array = array;
    if (!is_short(r, at, node, node->n)) {
        return;
    }
    if (node->kind == COMPOSE_LIST) {
        read_pair_list(&p, at, node);
    } else if (compose_reader_is_map_or_list(r, at, node)) {
        read_pair_map(&p, at, node);
    }
}

void compose_list_environment(struct compose_reader *r, const struct compose_row *row,
                              const struct compose_at *at, const struct compose_node *node,
                              ProtobufCMessage *message)
{
    read_pairs(r, row, at, node, message, true);
}

void compose_list_labels(struct compose_reader *r, const struct compose_row *row,
                         const struct compose_at *at, const struct compose_node *node,
                         ProtobufCMessage *message)
{
    read_pairs(r, row, at, node, message, false);
}

/* ---- commands ---- */

static void push_word(struct compose_reader *r, Wherry__Spec__Argv *argv, const char *text)
{
    compose_reader_push(r, &argv->arg, &argv->n_arg, compose_reader_copy(r, text));
}

static void split_text(struct compose_reader *r, const struct compose_at *at,
                       const struct compose_node *node, Wherry__Spec__Argv *argv)
{
    struct compose_words words = {0};
    struct err e;

    if (compose_value_split(node->text, &words, &e) < 0) {
        compose_reader_fail(r, at, node, "%s", e.text);
        return;
    }
    for (size_t i = 0; is_short(r, at, node, words.n) && i < words.n; i++) {
        push_word(r, argv, words.word[i]);
    }
    compose_value_words_free(&words);
}

/* Nothing: as the image says. Empty: cleared. */
void compose_list_argv(struct compose_reader *r, const struct compose_row *row,
                       const struct compose_at *up, const struct compose_node *node,
                       ProtobufCMessage *message)
{
    Wherry__Spec__Argv *argv;
    void *place;

    if (compose_tree_is_null(node)) {
        return;
    }
    if (node->kind == COMPOSE_MAP) {
        compose_reader_fail(r, up, node, "is a mapping (allowed: text, or a list of words)");
        return;
    }
    (void)compose_object_field(r, message, row->field, &place);
    argv = compose_reader_message(r, &wherry__spec__argv__descriptor);
    *(Wherry__Spec__Argv **)place = argv;
    if (node->kind == COMPOSE_SCALAR) {
        split_text(r, up, node, argv);
        return;
    }
    for (unsigned i = 0; is_short(r, up, node, node->n) && i < node->n; i++) {
        const struct compose_at at = {.up = up, .index = i};
        const struct compose_node *element = node->entries[i].value;
        const char *text = element->broken ? NULL : compose_reader_text(r, &at, element);

        if (text != NULL) {
            push_word(r, argv, text);
        }
    }
}

/* ---- capabilities ---- */

static void add_capability(struct compose_reader *r, const struct compose_at *at,
                           const struct compose_node *node, const char *text, char ***array,
                           size_t *n)
{
    char name[32] = "";
    struct err e;

    if (strncasecmp(text, "CAP_", 4) == 0) {
        text += 4;
    }
    for (size_t i = 0; text[i] != '\0' && i < sizeof(name) - 1; i++) {
        name[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 'a' + 'A' : text[i]);
    }
    if (compose_rule_capability(name, &e) < 0) {
        compose_reader_fail(r, at, node, "%s", e.text);
        return;
    }
    for (size_t i = 0; i < *n; i++) {
        if (strcmp((*array)[i], name) == 0) {
            return;
        }
    }
    compose_reader_push(r, array, n, compose_reader_copy(r, name));
}

void compose_list_capabilities(struct compose_reader *r, const struct compose_row *row,
                               const struct compose_at *up, const struct compose_node *node,
                               ProtobufCMessage *message)
{
    void *array;
    size_t *n;

    if (!compose_reader_is_list(r, up, node)) {
        return;
    }
    compose_list_of(r, message, row->field, &array, &n);
    for (unsigned i = 0; i < node->n; i++) {
        const struct compose_at at = {.up = up, .index = i};
        const struct compose_node *element = node->entries[i].value;
        const char *text = element->broken ? NULL : compose_reader_text(r, &at, element);

        if (text != NULL) {
            add_capability(r, &at, element, text, array, n);
        }
    }
}
