// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_CLIOPTIONS_H
#define WHERRY_CONTROLLER_CLI_CLIOPTIONS_H

/* The options of `wherry`: one row each. Which command takes which is said in the commands' table
 * (clicommand.h); parsing, help and completion read both. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define CLIOPTIONS_SOCKET  "/run/wherry-controller/controller.sock"
#define CLIOPTIONS_NOT_SET UINT64_MAX

struct clioptions {
    /* of every command */
    const char *socket;
    const char *output; /* NULL: table */
    bool no_color, quiet, help;
    /* of some */
    const char *file, *name, *env_file, *since;
    bool strict, prune, wait, follow;
    uint64_t tail;       /* CLIOPTIONS_NOT_SET: all */
    uint64_t timeout_ms; /* CLIOPTIONS_NOT_SET: none */
};

enum clioptions_kind {
    CLIOPTIONS_SWITCH,
    CLIOPTIONS_TEXT,
    CLIOPTIONS_CHOICE, /* the argument's name is "one|other" */
    CLIOPTIONS_COUNT,
    CLIOPTIONS_DURATION,
};

#define CLIOPTIONS(X)                                                                              \
    X(CONTROLLER, "controller", 0, "SOCKET", TEXT, socket,                                         \
      "the controller's socket (also WHERRY_SOCKET; default " CLIOPTIONS_SOCKET ")")               \
    X(OUTPUT, "output", 'o', "table|json", CHOICE, output,                                         \
      "a table, or the API's own JSON (one object a line for streams)")                            \
    X(NO_COLOR, "no-color", 0, NULL, SWITCH, no_color, "no colours (also NO_COLOR)")               \
    X(QUIET, "quiet", 'q', NULL, SWITCH, quiet, "say nothing besides the result, and errors")      \
    X(HELP, "help", 'h', NULL, SWITCH, help, "this text")                                          \
    X(FILE, "file", 'f', "FILE", TEXT, file,                                                       \
      "the Compose file; - reads standard input (default: compose.yaml here or above)")            \
    X(NAME, "name", 0, "NAME", TEXT, name, "call the stack so, whatever the file says")            \
    X(ENV_FILE, "env-file", 0, "FILE", TEXT, env_file,                                             \
      "variables for ${…} in the file (default: .env beside it)")                                  \
    X(STRICT, "strict", 0, NULL, SWITCH, strict, "keys that are not supported yet are errors")     \
    X(PRUNE, "prune", 0, NULL, SWITCH, prune, "remove services that are gone from the file")       \
    X(WAIT, "wait", 0, NULL, SWITCH, wait, "wait until it is done, showing how far it is")         \
    X(TIMEOUT, "timeout", 0, "TIME", DURATION, timeout_ms,                                         \
      "wait no longer than this (90s, 10m), then exit with 124; implies --wait")                   \
    X(FOLLOW, "follow", 'f', NULL, SWITCH, follow, "go on as more comes, until interrupted")       \
    X(TAIL, "tail", 'n', "N", COUNT, tail, "only the last N lines of each container, or all")              \
    X(SINCE, "since", 0, "TIME", TEXT, since,                                                      \
      "only what is younger: 10m, 1h30m, 2026-11-24T20:00:00Z")

#define CLIOPTIONS_X(id, ...) CLIOPTIONS_##id,
enum clioptions_id { CLIOPTIONS(CLIOPTIONS_X) CLIOPTIONS_N };
#define CLIOPTIONS_BIT(id) (UINT32_C(1) << CLIOPTIONS_##id)
#define CLIOPTIONS_GLOBAL                                                                          \
    (CLIOPTIONS_BIT(CONTROLLER) | CLIOPTIONS_BIT(OUTPUT) | CLIOPTIONS_BIT(NO_COLOR) |              \
     CLIOPTIONS_BIT(QUIET) | CLIOPTIONS_BIT(HELP))

struct clioptions_row {
    const char *name;
    char letter;          /* 0: none */
    const char *argument; /* NULL: none */
    enum clioptions_kind kind;
    size_t field; /* offset in struct clioptions */
    const char *help;
};

extern const struct clioptions_row clioptions_rows[CLIOPTIONS_N];

/* Defaults, with what the environment says. Strings are borrowed from it. */
void clioptions_init(struct clioptions *o);

/* Parses argv[1…] for the options in `mask`, anywhere among the arguments, or with `leading` only
 * before the first one. On success argv[*ret_first…] are the arguments. Returns 0, or -E2BIG with
 * what is wrong and what is allowed. Strings are borrowed from argv. */
int clioptions_parse(struct clioptions *o, uint32_t mask, bool leading, int argc, char **argv,
                     int *ret_first, struct err *e);

#endif
