// SPDX-License-Identifier: Apache-2.0
#include "common/compose.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/compose_check.h"
#include "common/compose_json.h"
#include "common/compose_parts.h"
#include "common/compose_rule.h"
#include "common/compose_source.h"
#include "common/compose_value.h"
#include "common/compose_yaml.h"

static const struct compose_at root = {0};

static bool failed(const struct compose_reader *r)
{
    return r->result->errors.n > 0;
}

/* ---- variables ---- */

/* A scalar in which a variable has no value: the callback needs to know where. */
struct scalar {
    struct compose_reader *r;
    const struct compose_at *at;
    const struct compose_node *node;
};

static void warn_unset(void *arg, const char *name)
{
    const struct scalar *s = arg;

    compose_reader_warn(s->r, s->at, s->node, "variable %.100s is not set: nothing is put for it",
                        name);
}

static void expand_scalar(struct compose_reader *r, const struct compose_at *at,
                          struct compose_node *node)
{
    struct scalar s = {.r = r, .at = at, .node = node};
    const struct compose_interp in = {
        .lookup = compose_env_get, .lookup_arg = &r->env, .unset = warn_unset, .unset_arg = &s};
    auto_buf struct buf out = {0};
    struct err e;

    if (strchr(node->text, '$') == NULL) {
        return;
    }
    if (compose_interp_text(&in, node->text, &out, &e) < 0) {
        compose_reader_fail(r, at, node, "%s", e.text);
        node->broken = true;
        return;
    }
    node->text = compose_reader_copy(r, buf_text(&out));
    node->plain = false; /* a variable without a value is empty text, not nothing */
}

/* Values, not keys. A node that several aliases name is done once: a second time would take "$$"
 * for a variable. Recursion is bounded by COMPOSE_DEPTH_MAX. */
static void expand(struct compose_reader *r, const struct compose_at *up, struct compose_node *node)
{
    if (node->expanded) {
        return;
    }
    node->expanded = true;
    if (node->kind == COMPOSE_SCALAR) {
        expand_scalar(r, up, node);
        return;
    }
    for (unsigned i = 0; i < node->n; i++) {
        const struct compose_entry *entry = &node->entries[i];
        const struct compose_at at = {
            .up = up, .key = entry->key != NULL ? entry->key->text : NULL, .index = i};

        expand(r, &at, entry->value);
    }
}

/* ---- the .env file ---- */

static void say_env(struct compose_reader *r, const char *path, const struct err *e)
{
    const struct compose_source source = {.file = path};
    const struct compose_place place = {.path = ""};

    compose_note_add(&r->result->errors, COMPOSE_ERRORS_MAX, &source, &place, e->text);
}

static void read_env(struct compose_reader *r, const struct compose_options *options)
{
    auto_free char *beside = compose_value_path(r->directory, ".env");
    const char *path = options->env_file != NULL ? options->env_file : beside;
    auto_buf struct buf text = {0};
    struct err e;

    if (path[0] == '\0' || (options->env_file == NULL && access(path, F_OK) < 0)) {
        return;
    }
    if (compose_source_read(path, COMPOSE_ENV_FILE_MAX, &text, &e) < 0 ||
        compose_env_parse(&r->env, buf_text(&text), &e) < 0) {
        say_env(r, path, &e);
    }
}

/* ---- the stack's name ---- */

/* Where it comes from, in the order of the specification. */
static void find_name(struct compose_reader *r, const struct compose_options *options)
{
    const struct compose_at at = {.up = &root, .key = "name"};
    struct compose_node *node = compose_tree_get(r->tree.root, "name");
    auto_free char *folder = compose_source_project(r->directory);
    const char *given = options->project, *name = NULL;
    struct err e;

    if (node != NULL) {
        expand(r, &at, node);
        name = node->broken ? NULL : compose_reader_text(r, &at, node);
        if (name != NULL && compose_rule_name(name, &e) < 0) {
            compose_reader_fail(r, &at, node, "%s", e.text);
        }
    }
    if (given == NULL) {
        given = compose_env_get(&r->env, "COMPOSE_PROJECT_NAME");
    }
    if (given != NULL && given[0] != '\0') {
        name = given;
    } else if (node == NULL) {
        name = folder;
    }
    if (name != NULL && (given == name || node == NULL) && compose_rule_name(name, &e) < 0) {
        compose_reader_fail(r, &at, NULL, "%s; give one with \"name:\" in the file", e.text);
        name = NULL;
    }
    r->stack->name = compose_reader_copy(r, name != NULL ? name : "");
    r->env.project = r->stack->name;
}

/* ---- the end: what no single place shows ---- */

/* The entry that a path of compose_check begins with; names may have dots, so the longest wins. */
static const struct compose_entry *step(const struct compose_node *node, const char *path)
{
    const struct compose_entry *found = NULL;
    size_t longest = 0;

    for (unsigned i = 0; node->kind == COMPOSE_MAP && i < node->n; i++) {
        const char *key = node->entries[i].key->text;
        size_t len = strlen(key);

        if (len >= longest && strncmp(path, key, len) == 0 &&
            (path[len] == '\0' || path[len] == '.')) {
            longest = len;
            found = &node->entries[i];
        }
    }
    return found;
}

/* Says what compose_check found at the deepest place that the file has of its path. */
static void say_checked(struct compose_reader *r, const struct err *e)
{
    const char *colon = strstr(e->text, ": ");
    auto_free char *path = xstrndup(e->text, colon != NULL ? (size_t)(colon - e->text) : 0);
    const char *rest = colon != NULL ? colon + 2 : e->text, *left = path;
    struct compose_at way[16] = {{0}};
    const struct compose_node *node = r->tree.root, *said = node;
    unsigned depth = 0;

    while (*left != '\0' && depth + 1 < ARRAY_LEN(way)) {
        const struct compose_entry *entry = step(node, left);

        if (entry == NULL) {
            break;
        }
        depth++;
        way[depth] = (struct compose_at){.up = &way[depth - 1], .key = entry->key->text};
        node = entry->value;
        said = node->kind == COMPOSE_SCALAR ? node : entry->key;
        left += strlen(entry->key->text);
        left += *left == '.';
    }
    compose_reader_fail(r, &way[depth], said, "%s%s%s", left, *left != '\0' ? ": " : "", rest);
}

/* Encoding and decoding leave one block of memory that needs no arena of ours. */
static void hand_over(struct compose_reader *r)
{
    auto_buf struct buf bytes = {0};
    struct err e;

    doc_encode(&r->stack->base, &bytes);
    if (doc_decode(&wherry__spec__stack__descriptor, buf_text(&bytes), bytes.len,
                   &doc_limits_default, &r->result->stack, &e) < 0) {
        compose_reader_fail(r, &root, r->tree.root, "%s", e.text);
    }
}

static void finish(struct compose_reader *r)
{
    struct err e;

    compose_stack_finish(r);
    if (compose_check(r->stack, &e) < 0) {
        say_checked(r, &e);
    } else {
        hand_over(r);
    }
}

/* ---- the whole ---- */

static void decode(struct compose_reader *r, const struct compose_options *options)
{
    struct compose_node *tree = r->tree.root;

    find_name(r, options);
    expand(r, &root, tree);
    r->services = compose_tree_get(tree, "services");
    r->volumes = compose_tree_get(tree, "volumes");
    r->networks = compose_tree_get(tree, "networks");
    if (tree->kind != COMPOSE_MAP) {
        compose_reader_fail(r, &root, tree,
                            "is no Compose file (allowed: a mapping with services)");
        return;
    }
    compose_object_read(r, &compose_table_top, &root, tree, &r->stack->base);
    if (!failed(r)) {
        finish(r);
    }
}

static bool load(struct compose_reader *r, const struct compose_options *options, struct buf *text)
{
    const struct compose_place place = {.path = ""};
    struct err e = {0};

    r->source.file = strcmp(options->path, "-") == 0 ? "<stdin>" : options->path;
    if (options->bytes == NULL) {
        (void)compose_source_read(options->path, COMPOSE_FILE_MAX, text, &e);
        r->source.bytes = buf_text(text);
        r->source.len = text->len;
    } else {
        r->source.bytes = options->bytes;
        r->source.len = options->len;
    }
    if (e.code == 0 && r->source.len > COMPOSE_FILE_MAX) {
        (void)err_say(&e, EFBIG, "has more than %d bytes", COMPOSE_FILE_MAX);
    }
    if (e.code < 0) {
        compose_note_add(&r->result->errors, COMPOSE_ERRORS_MAX, &r->source, &place, e.text);
    }
    return e.code == 0;
}

static bool parse(struct compose_reader *r)
{
    r->json = compose_json_is(&r->source);
    return r->json ? compose_json_parse(&r->tree, &r->source, &r->result->errors)
                   : compose_yaml_parse(&r->tree, &r->source, &r->result->errors);
}

int compose_read(const struct compose_options *options, struct compose_result *ret_result)
{
    struct compose_result result = {0};
    auto_free char *directory = compose_source_folder(options->path, options->directory);
    struct compose_reader r = {
        .result = &result,
        .strict = options->strict,
        .directory = directory,
        .env = {.lookup = options->lookup, .lookup_arg = options->lookup_arg},
    };
    auto_buf struct buf text = {0};

    if (load(&r, options, &text) && parse(&r)) {
        r.stack = compose_reader_message(&r, &wherry__spec__stack__descriptor);
        read_env(&r, options);
        decode(&r, options);
    }
    compose_note_sort(&result.errors);
    compose_note_sort(&result.warnings);
    compose_env_finish(&r.env);
    compose_tree_finish(&r.tree);
    if (result.errors.n > 0) {
        doc_free(&result.stack);
    }
    *ret_result = result;
    return result.errors.n > 0 ? -EINVAL : 0;
}

void compose_free(struct compose_result *result)
{
    doc_free(&result->stack);
    compose_note_finish(&result->errors);
    compose_note_finish(&result->warnings);
    *result = (struct compose_result){0};
}
