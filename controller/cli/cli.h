// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_CLI_H
#define WHERRY_CONTROLLER_CLI_CLI_H

/* What every command of `wherry` gets. Data goes to standard output, everything said besides to
 * standard error; exit codes are the table below.
 *
 * A command returns 0, or a negative errno with one sentence in `e`, which the program prints once
 * and turns into an exit code; or CLI_SAID when it has explained itself already. */

#include "common/err.h"
#include "controller/cli/client.h"
#include "controller/cli/clioptions.h"
#include "controller/cli/term.h"

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_NOT_FOUND = 3,
    CLI_CONFLICT = 4,
    CLI_TIMEOUT = 124,
    CLI_INTERRUPTED = 130,
};

#define CLI_SAID 1 /* failed, and everything about it has been said */

struct cli {
    struct clioptions options;
    char **args; /* after the command's name */
    int n_args;
    struct client *client;
    struct term out, err;
};

/* The exit code of an error: -E2BIG wrong usage, -ENOENT not found, -EEXIST conflict, -ETIMEDOUT,
 * -ECANCELED interrupted, CLI_SAID and the rest failed. */
enum cli_exit cli_exit_code(int rc);

bool cli_wants_json(const struct cli *cli);

/* With -o json prints the answer as the controller gave it and returns true. */
bool cli_print_json(const struct cli *cli, const struct client_reply *reply);

/* A line on standard error, escaped, unless -q. */
void cli_say(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A line on standard output, escaped. */
void cli_print(const struct cli *cli, enum term_style style, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Ends a piece of a stream: what was printed goes out now. What cannot be written ends it. */
int cli_flush(const struct cli *cli, struct err *e);

/* Appends follow=, since= and tail= to the path of a stream, as the options say. Returns 0, or
 * -E2BIG. */
int cli_add_query(const struct cli *cli, struct buf *path, struct err *e);

#endif
