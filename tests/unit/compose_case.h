// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_TESTS_UNIT_COMPOSE_CASE_H
#define WHERRY_TESTS_UNIT_COMPOSE_CASE_H

/* Reads Compose text in a fixed world: file /srv/shop/c.yaml, no .env, five variables. */

#include "common/compose.h"

/* A fresh result; free it. `strict` and `file` ("c.yaml") as in compose_options. */
void compose_case_read(const char *file, const char *text, bool strict, struct compose_result *ret);

/* The document as JSON; what went wrong instead, if it could not be made. Free it. */
char *compose_case_json(const char *text);

/* All errors, or all warnings, as they are printed. Free them. */
char *compose_case_errors(const char *text);
char *compose_case_warnings(const char *text);

/* The document of one service "a" with these lines in it. Free it. */
char *compose_case_service(const char *lines);

#endif
