// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_NETTABLE_H
#define WHERRY_AGENT_NET_NETTABLE_H

/* Our nftables table: its rules (rules.h) stay, differences of its elements go into the kernel at
 * once (nftset.h), and the whole is asserted at the start, when somebody else has changed it, and
 * when it is not what we think (uv_nft.h). Flows that a change leaves behind are forgotten
 * (uv_flows.h). */

#include <stdbool.h>
#include <stdint.h>

#include "agent/net/nftset.h"
#include "agent/net/rules.h"

struct uv_loop_s;
struct nettable;

struct nettable_config {
    struct uv_loop_s *loop;
    const char *program;       /* nft; borrowed for its life */
    struct rules_config rules; /* copied */
    /* Appends all elements that shall be, in no order, and gives the most backends of anything. */
    unsigned (*all)(void *arg, struct netelems *ret);
    void *arg;
};

/* Asserts the table, for which it waits. */
int nettable_create(const struct nettable_config *config, struct nettable **ret, struct err *e);

/* Makes the difference. 0: it is in force, or the table was found to be another than we think and
 * will be asserted. What it does must be in `all` from now on. */
int nettable_change(struct nettable *t, const struct netelems *removed,
                    const struct netelems *added, unsigned backends_max, struct err *e);

/* Forgets what comes from and goes to containers that are gone. */
void nettable_flush(struct nettable *t, const uint32_t *addresses, unsigned n);

/* Since the creation, in the order of RULES_COUNTERS. */
int nettable_counts(struct nettable *t, struct nftset_count ret[RULES_COUNTER_N], struct err *e);

/* Packets with a false source address on one of our links, in the last hour that had any. */
int nettable_spoofs(struct nettable *t, const char *link, struct nftset_count *ret, struct err *e);

/* `remove`: the table, too. Then `closed` (may be NULL) comes, when the memory is gone; what
 * was to be asserted still is, with `all`, if `nft` is well. */
void nettable_close(struct nettable *t, bool remove, void (*closed)(void *arg), void *arg);

unsigned nettable_restored(const struct nettable *t);

#endif
