// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_CLICOMMAND_H
#define WHERRY_CONTROLLER_CLI_CLICOMMAND_H

/* The commands of `wherry`: one row each, from which parsing, help and completion are made. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct cli;

/* What its arguments are completed with. */
enum clicommand_words {
    CLICOMMAND_WORDS_NONE,
    CLICOMMAND_WORDS_STACKS,     /* shop */
    CLICOMMAND_WORDS_SERVICES,   /* shop, shop/web */
    CLICOMMAND_WORDS_CONTAINERS, /* shop, shop/web, shop/web.3 */
    CLICOMMAND_WORDS_NODES,
    CLICOMMAND_WORDS_VOLUMES,
    CLICOMMAND_WORDS_NETWORKS,
    CLICOMMAND_WORDS_COMMANDS,
    CLICOMMAND_WORDS_SHELLS,
};

#define CLICOMMAND_MANY 1000 /* arguments */

struct clicommand {
    const char *name; /* one word, or two: "volume ls" */
    const char *args; /* as in the usage line */
    int args_min, args_max;
    enum clicommand_words words;
    uint32_t options; /* CLIOPTIONS_BIT, besides the global ones */
    const char *help; /* one line; NULL: not shown */
    const char *text; /* paragraphs */
    int (*run)(struct cli *cli, struct err *e);
};

/* The table, in the order in which it is shown. */
const struct clicommand *clicommand_rows(size_t *ret_n);

/* The row that argv[0…] begins with, and how many words its name has. Returns 0; or -E2BIG, with
 * what is wrong and the nearest name. */
int clicommand_find(int argc, char **argv, const struct clicommand **ret_row, int *ret_words,
                    struct err *e);

/* Whether rows begin with this word and another one: "node", "volume". */
bool clicommand_is_group(const char *word);

/* Whether it takes this many arguments. Returns 0, or -E2BIG with the usage line. */
int clicommand_check_args(const struct clicommand *row, int n, struct err *e);

#endif
