// SPDX-License-Identifier: Apache-2.0
#include "common/linkhash.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define HEAD 16 /* incarnation, slot, stop, and the length of the stack's name */

static void put_le(uint8_t *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        to[i] = (uint8_t)(value >> (8 * i));
    }
}

struct id128 linkhash_placement(uint64_t incarnation, const char *stack, const char *service,
                                uint32_t slot, const uint8_t revision[LINKHASH_DIGEST], bool stop)
{
    uint8_t data[HEAD + LINKHASH_DIGEST + 2 * NAME_MAX_LEN] = {0};
    size_t n_stack = strlen(stack);
    size_t n_service = strlen(service);

    assert(n_stack <= NAME_MAX_LEN);
    assert(n_service <= NAME_MAX_LEN);
    put_le(data, incarnation, 8);
    put_le(data + 8, slot, 4);
    data[12] = stop;
    data[13] = (uint8_t)n_stack;
    memcpy(data + HEAD, revision, LINKHASH_DIGEST);
    memcpy(data + HEAD + LINKHASH_DIGEST, stack, n_stack);
    memcpy(data + HEAD + LINKHASH_DIGEST + n_stack, service, n_service);
    return id128_hash(data, HEAD + LINKHASH_DIGEST + n_stack + n_service);
}

struct id128 linkhash_observation(uint64_t incarnation, uint32_t run, uint64_t seq)
{
    uint8_t data[20];

    put_le(data, incarnation, 8);
    put_le(data + 8, run, 4);
    put_le(data + 12, seq, 8);
    return id128_hash(data, sizeof(data));
}
