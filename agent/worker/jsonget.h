// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_WORKER_JSONGET_H
#define WHERRY_AGENT_WORKER_JSONGET_H

/* Typed access to the members of a JSON object that a stranger wrote: absent is fine and gives a
 * default, a wrong type or size is an error that names the member. */

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* Parses an object or array: at most `depth_max` deep, no duplicate keys. Gives a reference. */
int jsonget_parse(const char *text, size_t len, unsigned depth_max, json_t **ret_root,
                  struct err *e);

/* Copies a string of at most size - 1 bytes; "" when absent or null. */
int jsonget_text(const json_t *object, const char *key, char *ret_text, size_t size, struct err *e);

/* Borrows a string of at most `max` bytes; "" when absent or null. */
int jsonget_string(const json_t *object, const char *key, size_t max, const char **ret_text,
                   struct err *e);

/* An integer from 0 to INT64_MAX; 0 when absent or null. */
int jsonget_u64(const json_t *object, const char *key, uint64_t *ret_value, struct err *e);

/* Borrows an array or object of at most `max` members; NULL when absent or null. */
int jsonget_array(const json_t *object, const char *key, size_t max, const json_t **ret_array,
                  struct err *e);
int jsonget_object(const json_t *object, const char *key, size_t max, const json_t **ret_object,
                   struct err *e);

static inline void jsonget_unref(json_t **root)
{
    json_decref(*root);
}
#define auto_json __attribute__((cleanup(jsonget_unref)))

#endif
