// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_CRC32C_H
#define WHERRY_COMMON_CRC32C_H

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4), for files that must tell a torn write from what was
 * meant. Pure. */

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 to begin with) over the bytes. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);

#endif
