// SPDX-License-Identifier: Apache-2.0
#include "common/compose_json.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parse {
    struct compose_tree *tree;
    const struct compose_source *source;
    struct compose_notes *errors;
    unsigned nodes;
    unsigned depth;
    bool failed;
};

static void fail(struct parse *p, unsigned line, unsigned column, const char *message)
{
    struct compose_place place = {.line = line, .column = column, .path = ""};

    compose_note_add(p->errors, COMPOSE_ERRORS_MAX, p->source, &place, message);
    p->failed = true;
}

bool compose_json_is(const struct compose_source *source)
{
    size_t name = strlen(source->file), i = 0;

    if (name < 5 || strcmp(source->file + name - 5, ".json") != 0) {
        return false;
    }
    while (i < source->len && memchr(" \t\r\n", source->bytes[i], 4) != NULL) {
        i++;
    }
    return i < source->len && (source->bytes[i] == '{' || source->bytes[i] == '[');
}

/* The shortest text that is the same number again. */
static const char *real_text(struct compose_tree *tree, double value)
{
    char text[40];

    (void)snprintf(text, sizeof(text), "%.15g", value);
    if (strtod(text, NULL) != value) {
        (void)snprintf(text, sizeof(text), "%.17g", value);
    }
    return compose_tree_text(tree, text, strlen(text));
}

static struct compose_node *convert(struct parse *p, json_t *json);

static void convert_members(struct parse *p, struct compose_node *map, json_t *json)
{
    const char *name;
    json_t *value;

    json_object_foreach(json, name, value)
    {
        struct compose_node *key = compose_tree_node(p->tree, COMPOSE_SCALAR, 0, 0);
        struct compose_node *node = convert(p, value);

        if (node == NULL) {
            return;
        }
        key->text = compose_tree_text(p->tree, name, strlen(name));
        compose_tree_append(p->tree, map, key, node);
    }
}

static void convert_elements(struct parse *p, struct compose_node *list, json_t *json)
{
    for (size_t i = 0; i < json_array_size(json); i++) {
        struct compose_node *node = convert(p, json_array_get(json, i));

        if (node == NULL) {
            return;
        }
        compose_tree_append(p->tree, list, NULL, node);
    }
}

static struct compose_node *convert_scalar(struct parse *p, const json_t *json)
{
    struct compose_node *node = compose_tree_node(p->tree, COMPOSE_SCALAR, 0, 0);

    node->plain = !json_is_string(json);
    if (json_is_string(json)) {
        node->text = compose_tree_text(p->tree, json_string_value(json), json_string_length(json));
    } else if (json_is_integer(json)) {
        node->text =
            compose_tree_printf(p->tree, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
    } else if (json_is_real(json)) {
        node->text = real_text(p->tree, json_real_value(json));
    } else {
        node->text = json_is_null(json) ? "null" : json_is_true(json) ? "true" : "false";
    }
    return node;
}

/* Recursion is bounded by COMPOSE_DEPTH_MAX. NULL: failed. */
static struct compose_node *convert(struct parse *p, json_t *json)
{
    struct compose_node *node;

    if (++p->nodes > COMPOSE_NODES_MAX) {
        fail(p, 0, 0, "file has more than 100000 nodes");
        return NULL;
    }
    if (!json_is_object(json) && !json_is_array(json)) {
        return convert_scalar(p, json);
    }
    if (p->depth == COMPOSE_DEPTH_MAX) {
        fail(p, 0, 0, "file is nested deeper than 64");
        return NULL;
    }
    p->depth++;
    node = compose_tree_node(p->tree, json_is_object(json) ? COMPOSE_MAP : COMPOSE_LIST, 0, 0);
    if (node->kind == COMPOSE_MAP) {
        convert_members(p, node, json);
    } else {
        convert_elements(p, node, json);
    }
    p->depth--;
    return p->failed ? NULL : node;
}

bool compose_json_parse(struct compose_tree *tree, const struct compose_source *source,
                        struct compose_notes *errors)
{
    struct parse p = {.tree = tree, .source = source, .errors = errors};
    json_error_t error;
    json_t *json = json_loadb(source->bytes, source->len, JSON_REJECT_DUPLICATES, &error);

    if (json == NULL) {
        char message[JSON_ERROR_TEXT_LENGTH + 20];

        (void)snprintf(message, sizeof(message), "is no JSON: %s", error.text);
        fail(&p, error.line > 0 ? (unsigned)error.line : 0,
             error.column > 0 ? (unsigned)error.column : 1, message);
        return false;
    }
    tree->root = convert(&p, json);
    json_decref(json);
    return !p.failed;
}
