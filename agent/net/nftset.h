// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_NFTSET_H
#define WHERRY_AGENT_NET_NFTSET_H

/* Puts differences of elements into the sets and maps of our nftables table by netlink, one batch
 * (linux/netfilter/nfnetlink.h: NFNL_MSG_BATCH_BEGIN .. END) per call: all of it or nothing. The
 * cost does not depend on what the table holds, which it does in `nft`, whose cache reads chains
 * and sets anew for every command. Blocking, well under a millisecond. */

#include "agent/net/netelem.h"
#include "common/err.h"

struct nftset;

/* Opens a socket in the caller's network namespace. `table` is an inet table's name. */
int nftset_open(const char *table, struct nftset **ret, struct err *e);
void nftset_close(struct nftset *s); /* accepts NULL */

/* Our netlink port: changes that carry it are our own. */
uint32_t nftset_port(const struct nftset *s);

/* -ENOENT: the table, a set or an element to be removed is not there; -EEXIST: an element is there
 * with another value: the table is not what we think, and should be asserted. */
int nftset_change(struct nftset *s, const struct netelem *removed, unsigned n_removed,
                  const struct netelem *added, unsigned n_added, struct err *e);

#endif
