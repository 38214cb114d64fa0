// SPDX-License-Identifier: Apache-2.0
#include "common/compose_tree.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"

#define BLOCK_SIZE 16384u
#define ALIGN      16u

struct compose_arena_block {
    struct compose_arena_block *next;
    size_t used, size;
    _Alignas(ALIGN) unsigned char data[];
};

void compose_tree_finish(struct compose_tree *tree)
{
    struct compose_arena_block *block = tree->blocks;

    while (block != NULL) {
        struct compose_arena_block *next = block->next;

        free(block);
        block = next;
    }
    *tree = (struct compose_tree){0};
}

void *compose_tree_alloc(struct compose_tree *tree, size_t size)
{
    struct compose_arena_block *block = tree->blocks;
    size_t want = (size + ALIGN - 1) / ALIGN * ALIGN;
    void *p;

    assert(want >= size);
    if (block == NULL || block->size - block->used < want) {
        size_t room = want > BLOCK_SIZE ? want : BLOCK_SIZE;

        block = xcalloc(1, sizeof(*block) + room);
        block->next = tree->blocks;
        block->size = room;
        tree->blocks = block;
    }
    p = block->data + block->used;
    block->used += want;
    return p;
}

char *compose_tree_text(struct compose_tree *tree, const char *text, size_t len)
{
    char *copy = compose_tree_alloc(tree, len + 1);

    memcpy(copy, text, len);
    return copy;
}

char *compose_tree_printf(struct compose_tree *tree, const char *fmt, ...)
{
    char *made = NULL, *copy;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&made, fmt, ap);
    va_end(ap);
    if (n < 0) {
        die("no memory for a string");
    }
    copy = compose_tree_text(tree, made, (size_t)n);
    free(made);
    return copy;
}

struct compose_node *compose_tree_node(struct compose_tree *tree, enum compose_kind kind,
                                       unsigned line, unsigned column)
{
    struct compose_node *node = compose_tree_alloc(tree, sizeof(*node));

    *node = (struct compose_node){
        .kind = kind, .line = line, .column = column, .weight = 1, .text = ""};
    node->height = kind == COMPOSE_SCALAR ? 0 : 1;
    return node;
}

void compose_tree_append(struct compose_tree *tree, struct compose_node *node,
                         const struct compose_node *key, struct compose_node *value)
{
    if (node->n == node->cap) {
        unsigned cap = node->cap > 0 ? node->cap * 2 : 4;
        struct compose_entry *entries = compose_tree_alloc(tree, cap * sizeof(*entries));

        if (node->n > 0) {
            memcpy(entries, node->entries, node->n * sizeof(*entries));
        }
        node->entries = entries;
        node->cap = cap;
    }
    node->entries[node->n++] = (struct compose_entry){.key = key, .value = value};
    node->weight += value->weight;
    if (node->height < value->height + 1) {
        node->height = value->height + 1;
    }
}

struct compose_node *compose_tree_get(const struct compose_node *map, const char *key)
{
    for (unsigned i = 0; map->kind == COMPOSE_MAP && i < map->n; i++) {
        if (strcmp(map->entries[i].key->text, key) == 0) {
            return map->entries[i].value;
        }
    }
    return NULL;
}

bool compose_tree_is_null(const struct compose_node *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};

    for (unsigned i = 0; node->kind == COMPOSE_SCALAR && node->plain && i < 5; i++) {
        if (strcmp(node->text, nulls[i]) == 0) {
            return true;
        }
    }
    return false;
}
