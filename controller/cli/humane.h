// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_HUMANE_H
#define WHERRY_CONTROLLER_CLI_HUMANE_H

/* Times and sizes as people write and read them: "3m", "1h30m", "1.5 GiB". */

#include <stdint.h>

#include "common/err.h"

#define HUMANE_MAX 40

/* Milliseconds: of a clock that only goes forward, and since 1970. */
uint64_t humane_tick_ms(void);
uint64_t humane_now_unix_ms(void);

/* "0s", "59s", "3m", "5h", "2d", "3w": the largest unit that fits, as a column wants it. */
void humane_age(uint64_t ms, char ret[HUMANE_MAX]);

/* Time since `then`; "-" when `then` is 0. A clock that runs ahead counts as now. */
void humane_since(uint64_t now_unix_ms, uint64_t then_unix_ms, char ret[HUMANE_MAX]);

/* "850 ms", "1.3 s", "2 min 5 s". */
void humane_took(uint64_t ms, char ret[HUMANE_MAX]);

/* "0 B", "512 MiB", "1.5 GiB". */
void humane_bytes(uint64_t bytes, char ret[HUMANE_MAX]);

/* "0.5", "4": cores. */
void humane_cores(uint64_t millis, char ret[HUMANE_MAX]);

/* "2026-11-24 20:03:07", local time. */
void humane_clock(uint64_t unix_ms, char ret[HUMANE_MAX]);

/* "500ms", "90s", "10m", "1h30m", "2d"; a bare number counts seconds. Returns 0, or -EINVAL with
 * what is allowed. */
int humane_duration(const char *text, uint64_t *ret_ms, struct err *e);

/* A duration back from now, or a time: "2026-11-24T20:00:00Z", "2026-11-24", local without the Z.
 * Returns 0, or -EINVAL with what is allowed. */
int humane_moment(const char *text, uint64_t now_unix_ms, uint64_t *ret_unix_ms, struct err *e);

#endif
