// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_LINKHASH_H
#define WHERRY_COMMON_LINKHASH_H

/* The hashes whose sums tell controller and agent whether they hold the same set. Both sides keep
 * a sum (id128_add, id128_sub) over one hash per placement, and one over one hash per observation:
 * equal sums, equal sets, so that a reconnect moves nothing. Pure. */

#include <stdbool.h>
#include <stdint.h>

#include "common/name.h"

#define LINKHASH_DIGEST 32

/* Of (incarnation, slot, stop wanted, revision digest, stack, service). */
struct id128 linkhash_placement(uint64_t incarnation, const char *stack, const char *service,
                                uint32_t slot, const uint8_t revision[LINKHASH_DIGEST], bool stop);

/* Of (incarnation, run, seq): `seq` grows with every observation, so these name its content. */
struct id128 linkhash_observation(uint64_t incarnation, uint32_t run, uint64_t seq);

#endif
