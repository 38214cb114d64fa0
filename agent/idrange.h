// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_IDRANGE_H
#define WHERRY_AGENT_IDRANGE_H

/* Ranges of 65,536 host user and group ids, one per running container, so that no two containers
 * and no user of the host share an id. Ranges that /etc/subuid, /etc/subgid or /etc/passwd name
 * are left out. A range is not handed out again at once: the cursor goes round. */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

#define IDRANGE_SIZE         65536u
#define IDRANGE_BASE_DEFAULT 524288u
#define IDRANGE_LIMIT        1879048192u /* one past the last id that may be used */

struct idrange {
    uint32_t base;
    uint32_t slots;
    uint32_t cursor;
    uint8_t *used; /* one byte per slot */
};

/* `base` is a multiple of 65,536; `count` ids (0: all up to the limit). -EINVAL says what is
 * allowed. Reads the host's files below `etc` ("/etc"). */
int idrange_init(struct idrange *r, uint32_t base, uint32_t count, const char *etc, struct err *e);
void idrange_finish(struct idrange *r);

/* Gives a range: its first id, or 0 when all are in use. */
uint32_t idrange_take(struct idrange *r);

/* It is in use already (found after a restart). Ranges that are not ours are ignored. */
void idrange_reserve(struct idrange *r, uint32_t first);
void idrange_give(struct idrange *r, uint32_t first);

#endif
