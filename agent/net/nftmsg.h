// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_NFTMSG_H
#define WHERRY_AGENT_NET_NFTMSG_H

/* The words between us and nf_tables, as bytes: elements in messages of a batch, what the kernel
 * answers to it, and counters. Layouts: linux/netfilter/nf_tables.h; keys are registers of four
 * bytes, a field in each, as `nft --debug=netlink` shows them. Pure. */

#include <libmnl/libmnl.h>

#include "agent/net/netelem.h"
#include "agent/net/nftset.h"
#include "common/buf.h"

/* A batch as it grows. Zeroed memory with a table is the beginning of one. */
struct nftmsg {
    const char *table;
    uint32_t seq; /* of the first message; one more for each */
    unsigned n;
    struct buf bytes;
    size_t at;           /* of the message being written */
    struct nlattr *list; /* its elements; NULL: none is */
    uint8_t set;
    bool remove;
};

void nftmsg_begin(struct nftmsg *m, uint32_t seq);
void nftmsg_put(struct nftmsg *m, const struct netelem *e, bool remove);
void nftmsg_end(struct nftmsg *m);
void nftmsg_finish(struct nftmsg *m);

/* What the kernel says to messages `seq` up to `seq + n - 1`. */
struct nftmsg_result {
    unsigned answered;
    int code; /* negative errno of the first that was refused; 0: none */
    uint32_t code_seq;
};
void nftmsg_answers(const void *bytes, size_t len, uint32_t seq, unsigned n,
                    struct nftmsg_result *result);

/* Of an object; of an element. False: it is none. */
bool nftmsg_counter(const struct nlmsghdr *h, const char **ret_name, struct nftset_count *ret);
bool nftmsg_element_count(const struct nlmsghdr *h, struct nftset_count *ret);

#endif
