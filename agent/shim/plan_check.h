// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_SHIM_PLAN_CHECK_H
#define WHERRY_AGENT_SHIM_PLAN_CHECK_H

/* What may stand in a plan: the last look at values that came from a user, an image or a
 * controller, before host root acts upon them. Each says what was found and what is allowed. Pure.
 */

#include "agent/shim/plan_build.h"
#include "common/err.h"

#define PLAN_USER_MAX    256
#define PLAN_STRINGS_LEN (64 * 1024) /* all of one list together */

/* Absolute, without empty, "." or ".." components and control characters, shorter than
 * PLAN_PATH_MAX. "/" is right. */
int plan_check_path(const char *what, const char *path, struct err *e);

/* Printable, at most `max` bytes. */
int plan_check_line(const char *what, const char *text, size_t max, struct err *e);

int plan_check_strings(const char *what, const char *const *strings, unsigned n, unsigned min,
                       struct err *e);
int plan_check_env(const char *const *env, unsigned n, struct err *e);
int plan_check_layers(const char *const *layers, unsigned n, struct err *e);
int plan_check_mounts(const struct plan_mount *mounts, unsigned n, struct err *e);
int plan_check_hostname(const char *hostname, struct err *e);

#endif
