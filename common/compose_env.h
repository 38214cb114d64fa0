// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_COMPOSE_ENV_H
#define WHERRY_COMMON_COMPOSE_ENV_H

/* Where variables come from: what the caller knows (the environment), then an .env file: lines of
 * NAME=value, `export` and comments allowed, 'single' quotes literal, "double" quotes with \n, \t,
 * \" and \\, variables in all but single quotes. */

#include "common/compose.h"
#include "common/compose_interp.h"

#define COMPOSE_ENV_FILE_MAX (256 * 1024)
#define COMPOSE_ENV_VARS_MAX 1000

struct compose_env_var {
    char *name, *value;
};

struct compose_env {
    compose_lookup *lookup; /* NULL: getenv */
    void *lookup_arg;
    const char *project; /* COMPOSE_PROJECT_NAME, once it is known; borrowed */
    struct compose_env_var *vars;
    unsigned n;
};

/* Reads the text of an .env file. Errors say "line N: …". */
int compose_env_parse(struct compose_env *env, const char *text, struct err *e);
const char *compose_env_get(void *env, const char *name); /* a compose_lookup */
void compose_env_finish(struct compose_env *env);

#endif
