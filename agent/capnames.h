// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CAPNAMES_H
#define WHERRY_AGENT_CAPNAMES_H

/* Which capabilities a container gets: names as Compose writes them, the short default list, and
 * what cap_add and cap_drop do to it. A set is a mask, bit n for capability n. Which capabilities
 * a node's operator permits to be added is not asked here. */

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

/* CHOWN, DAC_OVERRIDE, FOWNER, SETUID, SETGID, KILL, NET_BIND_SERVICE for containers that start as
 * root; none for others, who could not use them after execve. */
uint64_t capnames_default(bool root);

/* "NET_RAW", "cap_net_raw", "CAP_NET_RAW": the bit's number. -EINVAL: no such capability. */
int capnames_parse(const char *name, unsigned *ret, struct err *e);

/* Docker's rules: "ALL" added is everything less what is dropped; "ALL" dropped leaves what is
 * added; else the base less what is dropped, and then what is added. Never more than this kernel
 * knows. */
int capnames_apply(uint64_t base, char *const *add, size_t n_add, char *const *drop, size_t n_drop,
                   uint64_t *ret, struct err *e);

/* Appends "CHOWN, KILL", or "none". */
void capnames_text(uint64_t caps, struct buf *ret);

#endif
