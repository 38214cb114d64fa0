// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CORE_FILTER_H
#define WHERRY_CONTROLLER_CORE_FILTER_H

/* The filters of placing, a row each: whether a node may take one more replica of a service, and
 * if not, why, in words that can be said of several nodes at once. */

#include "controller/core/fleet_priv.h"

struct filter_words {
    char before[160]; /* "image shop/web:1 is not on " */
    char after[160];  /* "; load it with wherry-agent image load" */
};

/* Whether `node` can take one replica of `s`; its `count` is the number it has. */
bool filter_accepts(const struct fleet *f, const struct service *s, const struct node *node);

/* Whether the service's constraints hold on the node; if not, the first that does not. */
bool filter_constraints_hold(const struct fleet_want *want, const struct node *node,
                             const struct fleet_constraint **ret_broken);

/* The image of this name or "[name]@digest" on the node; NULL: it has none. Borrows. */
const struct fleet_image *filter_image(const struct node *node, const char *reference);

/* Why not, over all nodes: "host-a, host-b: 2.0 GiB of memory asked, 1.1 GiB free; …". `only` not
 * NULL: of this node alone. */
void filter_explain(const struct fleet *f, const struct service *s, const struct node *only,
                    char ret_text[FLEET_TEXT]);

#endif
