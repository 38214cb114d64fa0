// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_COMPOSE_JSON_H
#define WHERRY_COMMON_COMPOSE_JSON_H

/* JSON (RFC 8259) into the same tree as YAML. libyaml reads most of it, but not \u pairs. Nodes
 * have no position: what is said about them names a JSON pointer (RFC 6901). */

#include "common/compose_note.h"
#include "common/compose_tree.h"

/* Whether a file is JSON: its name ends in ".json" and it begins with '{' or '['. */
bool compose_json_is(const struct compose_source *source);

/* Returns whether there is a tree to go on with; what is wrong is in `errors`. */
bool compose_json_parse(struct compose_tree *tree, const struct compose_source *source,
                        struct compose_notes *errors);

#endif
