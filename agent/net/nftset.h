// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_NFTSET_H
#define WHERRY_AGENT_NET_NFTSET_H

/* Puts differences of elements into the sets and maps of our nftables table by netlink, one batch
 * (linux/netfilter/nfnetlink.h: NFNL_MSG_BATCH_BEGIN .. END) per call: all of it or nothing. The
 * cost does not depend on what the table holds, which it does in `nft`, whose cache reads chains
 * and sets anew for every command. Blocking, well under a millisecond.
 *
 * More than NFTSET_BATCH_MAX bytes of messages (some 10,000 elements) are several batches, each of
 * them all or nothing. */

#include "agent/net/netelem.h"
#include "common/err.h"

#define NFTSET_BATCH_MAX (1u << 20)

struct nftset;

/* Opens a socket in the caller's network namespace. `table` is an inet table's name. */
int nftset_open(const char *table, struct nftset **ret, struct err *e);
void nftset_close(struct nftset *s); /* accepts NULL */

/* Our netlink port: changes that carry it are our own. */
uint32_t nftset_port(const struct nftset *s);

/* -ENOENT: the table, a set, a chain or an element to be removed is not there; -EEXIST: an element
 * is there with another value: the table is not what we think, and should be asserted. */
int nftset_change(struct nftset *s, const struct netelem *removed, unsigned n_removed,
                  const struct netelem *added, unsigned n_added, struct err *e);

/* The table's named counters, in no order. */
struct nftset_count {
    uint64_t packets;
    uint64_t bytes;
};
typedef void (*nftset_count_cb)(void *arg, const char *name, const struct nftset_count *count);
int nftset_counters(struct nftset *s, nftset_count_cb cb, void *arg, struct err *e);

/* The counter at one link of a set of links' names. -ENOENT: there is none. */
int nftset_link_count(struct nftset *s, const char *set, const char *link, struct nftset_count *ret,
                      struct err *e);

#endif
