// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_COMPOSE_YAML_H
#define WHERRY_COMMON_COMPOSE_YAML_H

/* YAML 1.1 as libyaml reads it, into a tree: one document, text keys, no duplicate keys, no tags
 * but the core's, aliases and merge keys (https://yaml.org/type/merge.html) expanded. Depth and
 * nodes are counted on events, so that a hostile file costs no more than its length. */

#include "common/compose_note.h"
#include "common/compose_tree.h"

/* Returns whether there is a tree to go on with; what is wrong is in `errors`. */
bool compose_yaml_parse(struct compose_tree *tree, const struct compose_source *source,
                        struct compose_notes *errors);

#endif
