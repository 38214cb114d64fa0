// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_OPTABLE_H
#define WHERRY_AGENT_OPTABLE_H

/* Long options as tables: one row says the option's name, what follows it, how it is explained and
 * what it sets. Parsing and the help text are walks over the same rows, so they cannot differ.
 * Several groups of rows, each with a target of its own, make up one command. */

#include <stdio.h>

#include "common/err.h"

struct optable_row {
    const char *name;
    char letter;      /* its short form; 0: none */
    const char *arg;  /* what follows, for the help: "DIR"; NULL: nothing */
    const char *help; /* lines after the first are indented by the printer; NULL: not shown */
    /* Takes the value ("" if nothing follows), which outlives the target. The error's text says
     * what is allowed; the option's name is put in front. */
    int (*set)(void *target, const char *value, struct err *e);
};

struct optable_group {
    const char *title; /* over its rows in the help; NULL: none */
    const struct optable_row *rows;
    unsigned n;
    void *target;
};

#define OPTABLE_HELP 1 /* --help was given */

/* Parses up to the first argument that is no option (or "--"), whose index it gives. Returns 0,
 * OPTABLE_HELP, or -EINVAL. argv[0] is the command's name. */
int optable_parse(const struct optable_group *groups, unsigned n, int argc, char **argv,
                  int *ret_index, struct err *e);

void optable_help(const struct optable_group *groups, unsigned n, FILE *out);

#endif
