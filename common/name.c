// SPDX-License-Identifier: Apache-2.0
#include "common/name.h"

#include <errno.h>
#include <string.h>

#define XXH_INLINE_ALL
#define XXH_NO_STREAM
#include <xxhash.h>

const char name_rule[] = "[a-z0-9][a-z0-9_.-]{0,62}";

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool name_is_valid(const char *name)
{
    size_t len;

    if (!is_alnum(name[0])) {
        return false;
    }
    for (len = 1; name[len] != '\0'; len++) {
        char c = name[len];

        if (len >= NAME_MAX_LEN || !(is_alnum(c) || c == '_' || c == '.' || c == '-')) {
            return false;
        }
    }
    return true;
}

bool id128_is_zero(struct id128 id)
{
    return id.hi == 0 && id.lo == 0;
}

bool id128_equal(struct id128 a, struct id128 b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

struct id128 id128_add(struct id128 a, struct id128 b)
{
    struct id128 sum = {.hi = a.hi + b.hi, .lo = a.lo + b.lo};

    sum.hi += sum.lo < a.lo;
    return sum;
}

struct id128 id128_sub(struct id128 a, struct id128 b)
{
    struct id128 rest = {.hi = a.hi - b.hi, .lo = a.lo - b.lo};

    rest.hi -= a.lo < b.lo;
    return rest;
}

static const char hex_digits[] = "0123456789abcdef";

void id128_to_hex(struct id128 id, char ret_hex[ID128_HEX + 1])
{
    for (int i = 0; i < 16; i++) {
        ret_hex[i] = hex_digits[(id.hi >> (60 - 4 * i)) & 15];
        ret_hex[16 + i] = hex_digits[(id.lo >> (60 - 4 * i)) & 15];
    }
    ret_hex[ID128_HEX] = '\0';
}

int id128_from_hex(const char *hex, struct id128 *ret_id)
{
    uint64_t half[2] = {0, 0};

    for (int i = 0; i < ID128_HEX; i++) {
        const char *digit = hex[i] != '\0' ? memchr(hex_digits, hex[i], 16) : NULL;

        if (digit == NULL) {
            return -EINVAL;
        }
        half[i / 16] = half[i / 16] << 4 | (uint64_t)(digit - hex_digits);
    }
    if (hex[ID128_HEX] != '\0') {
        return -EINVAL;
    }
    *ret_id = (struct id128){.hi = half[0], .lo = half[1]};
    return 0;
}

struct id128 id128_from_bytes(const uint8_t bytes[16])
{
    struct id128 id = {0, 0};

    for (int i = 0; i < 8; i++) {
        id.hi = id.hi << 8 | bytes[i];
        id.lo = id.lo << 8 | bytes[8 + i];
    }
    return id;
}

void id128_to_bytes(struct id128 id, uint8_t ret_bytes[16])
{
    for (int i = 0; i < 8; i++) {
        ret_bytes[i] = (uint8_t)(id.hi >> (56 - 8 * i));
        ret_bytes[8 + i] = (uint8_t)(id.lo >> (56 - 8 * i));
    }
}

struct id128 id128_hash(const void *data, size_t len)
{
    XXH128_hash_t h = XXH3_128bits(data, len);

    return (struct id128){.hi = h.high64, .lo = h.low64};
}
