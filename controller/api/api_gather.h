// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_API_GATHER_H
#define WHERRY_CONTROLLER_API_GATHER_H

/* Shared by the files that make answers which nodes give together. */

#include "controller/api/api.h"

/* Appends a question; borrows `kind`. Invalid once the next one is appended. */
struct api_part *api_gather_part(struct api_parts *parts, struct id128 node_id, const char *node,
                                 const char *kind);

/* api_gather_check.c */
void api_gather_check_next(const struct api_world *w, const struct api_gather *what,
                           struct api_parts *parts);
void api_gather_check_answer(const struct api_world *w, const struct api_gather *what,
                             const struct api_parts *parts, struct api_answer *ret);

#endif
