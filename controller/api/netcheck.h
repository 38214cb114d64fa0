// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_NETCHECK_H
#define WHERRY_CONTROLLER_NETCHECK_H

/* Judges the way from a container to another one, hop by hop, by the facts that their nodes have
 * found (agent/netprobe.h says which): one row of a table per hop. A fact that nobody told makes a
 * hop skipped, never broken. Pure. */

#include <stddef.h>

#include "controller/api/api.h"

#define NETCHECK_TEXT 512

enum netcheck_state { NETCHECK_SKIPPED, NETCHECK_OK, NETCHECK_BROKEN };

struct netcheck_step {
    const char *id;   /* "listens" */
    const char *what; /* "somebody listens" */
    enum netcheck_state state;
    const char *node; /* where it was looked at; borrowed from the parts; "": nowhere */
    char text[NETCHECK_TEXT];
    char mend[NETCHECK_TEXT];
};

#define NETCHECK_STEPS_MAX 24

/* What was asked, and the answers: of A's node first, then those about B's containers. Returns how
 * many steps. */
unsigned netcheck_judge(const struct api_gather *what, const struct api_parts *parts,
                        struct netcheck_step ret[NETCHECK_STEPS_MAX]);

/* The first step that is broken; NULL: the way is whole as far as is known. */
const struct netcheck_step *netcheck_broken(const struct netcheck_step *steps, unsigned n);

/* Whether a connection was tried and got there. */
bool netcheck_reaches(const struct netcheck_step *steps, unsigned n);

/* "ok", "broken", "skipped" */
const char *netcheck_state_name(enum netcheck_state state);

#endif
