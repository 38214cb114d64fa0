// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_NAME_H
#define WHERRY_COMMON_NAME_H

/* Names of stacks, services, volumes and nodes: [a-z0-9][a-z0-9_.-]{0,62}. They become parts of
 * paths, so nothing else passes. Also 128-bit ids in hexadecimal. Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_MAX_LEN 63
#define ID128_HEX    32

bool name_is_valid(const char *name);

/* "[a-z0-9][a-z0-9_.-]{0,62}", for messages. */
extern const char name_rule[];

struct id128 {
    uint64_t hi, lo;
};

bool id128_is_zero(struct id128 id);
bool id128_equal(struct id128 a, struct id128 b);
struct id128 id128_add(struct id128 a, struct id128 b); /* modulo 2^128 */
struct id128 id128_sub(struct id128 a, struct id128 b);
void id128_to_hex(struct id128 id, char ret_hex[ID128_HEX + 1]);
/* Exactly 32 lower-case hexadecimal digits. Returns 0, or -EINVAL. */
int id128_from_hex(const char *hex, struct id128 *ret_id);
struct id128 id128_from_bytes(const uint8_t bytes[16]);
void id128_to_bytes(struct id128 id, uint8_t ret_bytes[16]);
/* XXH3, 128 bits (xxhash specification, 0.8). Not cryptographic. */
struct id128 id128_hash(const void *data, size_t len);

#endif
