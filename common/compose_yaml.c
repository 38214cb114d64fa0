// SPDX-License-Identifier: Apache-2.0
#include "common/compose_yaml.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/cleanup.h"

#define ANCHORS_MAX 1000
#define CORE_TAG    "tag:yaml.org,2002:"

struct frame {
    struct compose_node *node;
    const struct compose_node *key; /* of a mapping: read, its value is still to come */
};

struct anchor {
    const char *name;
    struct compose_node *node;
};

struct parse {
    yaml_parser_t yaml;
    struct compose_tree *tree;
    const struct compose_source *source;
    struct compose_notes *errors;
    struct frame frames[COMPOSE_DEPTH_MAX];
    unsigned depth;
    struct anchor anchors[ANCHORS_MAX];
    unsigned n_anchors;
    unsigned nodes;
    unsigned documents;
    bool fatal; /* nothing after it makes sense */
};

static char *path_of(const struct parse *p)
{
    struct buf out = {0};

    for (unsigned i = 0; i < p->depth; i++) {
        const struct frame *f = &p->frames[i];

        if (f->node->kind == COMPOSE_LIST) {
            buf_printf(&out, "[%u]", f->node->n);
        } else if (f->key != NULL) {
            buf_printf(&out, "%s%s", out.len > 0 ? "." : "", f->key->text);
        }
    }
    return buf_take(&out);
}

__attribute__((format(printf, 4, 5))) static void fail(struct parse *p, unsigned line,
                                                       unsigned column, const char *fmt, ...)
{
    auto_free char *path = path_of(p);
    auto_free char *message = NULL;
    struct compose_place place = {.line = line, .column = column, .path = path};
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&message, fmt, ap) < 0) {
        die("no memory for a message");
    }
    va_end(ap);
    compose_note_add(p->errors, COMPOSE_ERRORS_MAX, p->source, &place, message);
}

__attribute__((format(printf, 4, 5))) static void end(struct parse *p, unsigned line,
                                                      unsigned column, const char *fmt, ...)
{
    auto_free char *message = NULL;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&message, fmt, ap) < 0) {
        die("no memory for a message");
    }
    va_end(ap);
    fail(p, line, column, "%s", message);
    p->fatal = true;
}

static unsigned line_of(const yaml_mark_t *mark)
{
    return (unsigned)mark->line + 1;
}

static unsigned column_of(const yaml_mark_t *mark)
{
    return (unsigned)mark->column + 1;
}

static bool is_merge(const struct compose_node *key)
{
    return key->plain && strcmp(key->text, "<<") == 0;
}

/* Puts a value into the list or mapping that `depth` frames lead to. */
static void append(struct parse *p, struct compose_node *into, const struct compose_node *key,
                   struct compose_node *value, unsigned depth)
{
    compose_tree_append(p->tree, into, key, value);
    if (into->weight > COMPOSE_NODES_MAX) {
        end(p, into->line, into->column, "file has more than %d nodes, aliases expanded",
            COMPOSE_NODES_MAX);
    } else if (depth + value->height > COMPOSE_DEPTH_MAX) {
        end(p, into->line, into->column, "file is nested deeper than %d, aliases expanded",
            COMPOSE_DEPTH_MAX);
    }
}

/* ---- the end of a mapping: merges, and keys that occur twice ---- */

struct ranked {
    const struct compose_entry *entry;
    unsigned rank; /* the lower wins */
};

static int by_key(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    int order = strcmp(x->entry->key->text, y->entry->key->text);

    return order != 0 ? order : (x->rank > y->rank) - (x->rank < y->rank);
}

/* Appends what one mapping brings. Its own merges have been made already. */
static void merge_one(struct parse *p, struct compose_node *into, const struct compose_node *key,
                      const struct compose_node *from)
{
    if (from->kind != COMPOSE_MAP) {
        fail(p, key->line, key->column,
             "'<<' merges a %s (allowed: a mapping, or a list of mappings)",
             from->kind == COMPOSE_LIST ? "list" : "text");
        return;
    }
    for (unsigned i = 0; i < from->n && !p->fatal; i++) {
        append(p, into, from->entries[i].key, from->entries[i].value, p->depth);
        into->entries[into->n - 1].merged = true;
    }
}

static void merge(struct parse *p, struct compose_node *into, const struct compose_node *key,
                  const struct compose_node *from)
{
    if (from->kind != COMPOSE_LIST) {
        merge_one(p, into, key, from);
        return;
    }
    for (unsigned i = 0; i < from->n; i++) {
        merge_one(p, into, key, from->entries[i].value);
    }
}

/* Marks what an earlier entry hides; says so if both were written here. */
static void find_twins(struct parse *p, struct compose_node *node, bool *hidden)
{
    struct ranked *ranked = xcalloc(node->n, sizeof(*ranked));

    for (unsigned i = 0; i < node->n; i++) {
        ranked[i] = (struct ranked){.entry = &node->entries[i], .rank = i};
    }
    qsort(ranked, node->n, sizeof(*ranked), by_key);
    for (unsigned i = 1; i < node->n; i++) {
        const struct compose_node *first = ranked[i - 1].entry->key, *key = ranked[i].entry->key;

        if (strcmp(first->text, key->text) != 0) {
            continue;
        }
        hidden[ranked[i].rank] = true;
        if (!ranked[i].entry->merged) {
            fail(p, key->line, key->column, "key \"%.200s\" is given twice (first in line %u)",
                 key->text, first->line);
        }
    }
    free(ranked);
}

static void finish_map(struct parse *p, struct compose_node *node)
{
    unsigned written = node->n, kept = 0;
    auto_free bool *hidden = NULL;

    for (unsigned i = 0; i < written; i++) {
        struct compose_entry entry = node->entries[i];

        if (is_merge(entry.key)) {
            merge(p, node, entry.key, entry.value);
        }
    }
    hidden = xcalloc(node->n, sizeof(*hidden));
    find_twins(p, node, hidden);
    for (unsigned i = 0; i < node->n; i++) {
        if (!hidden[i] && !is_merge(node->entries[i].key)) {
            node->entries[kept++] = node->entries[i];
        }
    }
    node->n = kept;
}

/* ---- nodes find their place ---- */

static void add(struct parse *p, struct compose_node *node)
{
    struct frame *f = p->depth > 0 ? &p->frames[p->depth - 1] : NULL;

    if (f == NULL) {
        p->tree->root = node;
        return;
    }
    if (f->node->kind == COMPOSE_MAP && f->key == NULL) {
        if (node->kind != COMPOSE_SCALAR) {
            end(p, node->line, node->column, "a %s is no key (allowed: text)",
                node->kind == COMPOSE_LIST ? "list" : "mapping");
            return;
        }
        f->key = node;
        return;
    }
    append(p, f->node, f->key, node, p->depth);
    f->key = NULL;
}

static bool count(struct parse *p, const yaml_event_t *event)
{
    if (++p->nodes > COMPOSE_NODES_MAX) {
        end(p, line_of(&event->start_mark), column_of(&event->start_mark),
            "file has more than %d nodes", COMPOSE_NODES_MAX);
    }
    return !p->fatal;
}

static void set_anchor(struct parse *p, const char *name, struct compose_node *node)
{
    if (name == NULL) {
        return;
    }
    if (p->n_anchors == ANCHORS_MAX) {
        end(p, node->line, node->column, "file has more than %d anchors", ANCHORS_MAX);
        return;
    }
    p->anchors[p->n_anchors++] =
        (struct anchor){.name = compose_tree_text(p->tree, name, strlen(name)), .node = node};
}

/* Whether a tag is the core's; others would change what the text means. */
static bool check_tag(struct parse *p, const yaml_char_t *text, const yaml_event_t *event)
{
    static const char *const core[] = {"str", "int", "float", "bool", "null", "seq", "map"};
    const char *tag = (const char *)text;
    unsigned line = line_of(&event->start_mark), column = column_of(&event->start_mark);

    if (tag == NULL || strcmp(tag, "!") == 0) {
        return true;
    }
    for (unsigned i = 0; strncmp(tag, CORE_TAG, strlen(CORE_TAG)) == 0 && i < ARRAY_LEN(core);
         i++) {
        if (strcmp(tag + strlen(CORE_TAG), core[i]) == 0) {
            return true;
        }
    }
    if (strcmp(tag, "!reset") == 0 || strcmp(tag, "!override") == 0) {
        fail(p, line, column,
             "tag %s is not supported: it only means something where several files are merged, "
             "and one is read",
             tag);
    } else {
        bool core_like = strncmp(tag, CORE_TAG, strlen(CORE_TAG)) == 0;

        fail(p, line, column,
             "tag %s%.100s is not allowed (allowed: none, or YAML's !!str, !!int, !!float, !!bool, "
             "!!null, !!seq, !!map)",
             core_like ? "!!" : "", core_like ? tag + strlen(CORE_TAG) : tag);
    }
    return false;
}

/* ---- events ---- */

static void on_scalar(struct parse *p, const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    const char *tag = (const char *)event->data.scalar.tag;
    size_t len = event->data.scalar.length;
    struct compose_node *node;

    if (!count(p, event)) {
        return;
    }
    node = compose_tree_node(p->tree, COMPOSE_SCALAR, line_of(&event->start_mark),
                             column_of(&event->start_mark));
    node->text = compose_tree_text(p->tree, value, len);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
                  (tag == NULL || strcmp(tag, CORE_TAG "str") != 0);
    node->complete = true;
    node->broken = !check_tag(p, event->data.scalar.tag, event);
    if (memchr(value, '\0', len) != NULL) {
        fail(p, node->line, node->column, "text has a NUL character in it");
        node->broken = true;
    }
    set_anchor(p, (const char *)event->data.scalar.anchor, node);
    add(p, node);
}

static void on_begin(struct parse *p, const yaml_event_t *event, enum compose_kind kind,
                     const yaml_char_t *anchor, const yaml_char_t *tag)
{
    unsigned line = line_of(&event->start_mark), column = column_of(&event->start_mark);
    struct compose_node *node;

    if (!count(p, event)) {
        return;
    }
    if (p->depth == COMPOSE_DEPTH_MAX) {
        end(p, line, column, "file is nested deeper than %d", COMPOSE_DEPTH_MAX);
        return;
    }
    node = compose_tree_node(p->tree, kind, line, column);
    node->broken = !check_tag(p, tag, event);
    set_anchor(p, (const char *)anchor, node);
    p->frames[p->depth++] = (struct frame){.node = node};
}

static void on_end(struct parse *p)
{
    struct compose_node *node = p->frames[p->depth - 1].node;

    if (node->kind == COMPOSE_MAP) {
        finish_map(p, node);
    }
    node->complete = true;
    p->depth--;
    add(p, node);
}

static void on_alias(struct parse *p, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    unsigned line = line_of(&event->start_mark), column = column_of(&event->start_mark);

    if (!count(p, event)) {
        return;
    }
    for (unsigned i = p->n_anchors; i-- > 0;) {
        if (strcmp(p->anchors[i].name, name) != 0) {
            continue;
        }
        if (!p->anchors[i].node->complete) {
            end(p, line, column, "alias *%.200s is inside of what it names", name);
            return;
        }
        add(p, p->anchors[i].node);
        return;
    }
    end(p, line, column, "alias *%.200s names no anchor above it", name);
}

static void on_event(struct parse *p, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (p->documents++ > 0) {
            end(p, line_of(&event->start_mark), column_of(&event->start_mark),
                "file holds more than one document (allowed: one)");
        }
        break;
    case YAML_SCALAR_EVENT:
        on_scalar(p, event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        on_begin(p, event, COMPOSE_LIST, event->data.sequence_start.anchor,
                 event->data.sequence_start.tag);
        break;
    case YAML_MAPPING_START_EVENT:
        on_begin(p, event, COMPOSE_MAP, event->data.mapping_start.anchor,
                 event->data.mapping_start.tag);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        on_end(p);
        break;
    case YAML_ALIAS_EVENT:
        on_alias(p, event);
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
}

static bool at_tab(const struct parse *p)
{
    const yaml_mark_t *mark = &p->yaml.problem_mark;

    return mark->index < p->source->len && p->source->bytes[mark->index] == '\t';
}

/* What libyaml could not read, with its own words. */
static void on_trouble(struct parse *p)
{
    const char *problem = p->yaml.problem != NULL ? p->yaml.problem : "cannot be read";
    unsigned line = line_of(&p->yaml.problem_mark), column = column_of(&p->yaml.problem_mark);

    p->depth = 0; /* the place in the text says more than a path that may be wrong */
    if (p->yaml.error == YAML_READER_ERROR) {
        compose_note_locate(p->source, p->yaml.problem_offset, &line, &column);
        end(p, line, column, "is not printable UTF-8 text: %s", problem);
    } else if (at_tab(p)) {
        end(p, line, column, "is no YAML: a tab cannot indent (allowed: spaces)");
    } else if (p->yaml.context != NULL && p->yaml.context_mark.line != p->yaml.problem_mark.line) {
        end(p, line, column, "is no YAML: %s %s that begins in line %u", problem, p->yaml.context,
            line_of(&p->yaml.context_mark));
    } else {
        end(p, line, column, "is no YAML: %s%s%s", problem, p->yaml.context != NULL ? " " : "",
            p->yaml.context != NULL ? p->yaml.context : "");
    }
}

static void run(struct parse *p)
{
    bool more = true;

    while (more && !p->fatal) {
        yaml_event_t event;

        if (yaml_parser_parse(&p->yaml, &event) == 0) {
            on_trouble(p);
            return;
        }
        more = event.type != YAML_STREAM_END_EVENT;
        on_event(p, &event);
        yaml_event_delete(&event);
    }
}

bool compose_yaml_parse(struct compose_tree *tree, const struct compose_source *source,
                        struct compose_notes *errors)
{
    struct parse *p = xcalloc(1, sizeof(*p));
    bool fatal;

    p->tree = tree;
    p->source = source;
    p->errors = errors;
    if (yaml_parser_initialize(&p->yaml) == 0) {
        die("no memory for a YAML parser");
    }
    yaml_parser_set_encoding(&p->yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p->yaml, (const unsigned char *)source->bytes, source->len);
    run(p);
    if (!p->fatal && tree->root == NULL) {
        end(p, 1, 1, "file is empty (allowed: a Compose file with services)");
    }
    yaml_parser_delete(&p->yaml);
    fatal = p->fatal;
    free(p);
    return !fatal;
}
