// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_COMPOSE_TREE_H
#define WHERRY_COMMON_COMPOSE_TREE_H

/* A file as a tree of nodes with positions, in one arena. A scalar has no type: it is text, and
 * whoever decodes it knows what it should be, so `no`, `012` and `1e3` are what the key needs. An
 * alias is the node it names (the tree is a graph without cycles); `weight` counts it as often as
 * it occurs, so walks are bounded by COMPOSE_NODES_MAX. */

#include <stdbool.h>
#include <stddef.h>

enum compose_kind { COMPOSE_SCALAR, COMPOSE_LIST, COMPOSE_MAP };

struct compose_node;

struct compose_entry {
    const struct compose_node *key; /* a scalar; NULL in a list */
    struct compose_node *value;
    bool merged; /* came by `<<` */
};

struct compose_node {
    enum compose_kind kind;
    bool plain;            /* scalar: not quoted, so that it can be null */
    bool complete;         /* its end has been read */
    bool expanded;         /* variables have been replaced, in it and below */
    bool broken;           /* an error was said about it: nothing more is */
    unsigned line, column; /* from 1; 0: not known */
    unsigned weight;
    unsigned height;  /* levels of lists and mappings in it, aliases expanded */
    const char *text; /* scalar */
    struct compose_entry *entries;
    unsigned n, cap;
};

struct compose_arena_block;

struct compose_tree {
    struct compose_arena_block *blocks;
    struct compose_node *root; /* NULL: empty file */
};

void compose_tree_finish(struct compose_tree *tree);

/* Zeroed memory that lives as long as the tree. Never NULL. */
void *compose_tree_alloc(struct compose_tree *tree, size_t size);
char *compose_tree_text(struct compose_tree *tree, const char *text, size_t len);
char *compose_tree_printf(struct compose_tree *tree, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

struct compose_node *compose_tree_node(struct compose_tree *tree, enum compose_kind kind,
                                       unsigned line, unsigned column);
void compose_tree_append(struct compose_tree *tree, struct compose_node *node,
                         const struct compose_node *key, struct compose_node *value);

/* The value of a key, or NULL. */
struct compose_node *compose_tree_get(const struct compose_node *map, const char *key);

/* A plain scalar that is empty, `~` or `null`. */
bool compose_tree_is_null(const struct compose_node *node);

#endif
