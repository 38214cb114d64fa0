// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_LOG_H
#define WHERRY_COMMON_LOG_H

/* One line per event on standard error: time, level, program, text. Only `main`, `on_*` callbacks
 * and executors log; library code returns errors. */

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Names the program in each line and sets the lowest level printed. Borrows `program` for good. */
void log_init(const char *program, enum log_level level);

/* Parses "error", "warn", "info" or "debug". Returns 0, or -EINVAL. */
int log_level_parse(const char *text, enum log_level *ret_level);

void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
