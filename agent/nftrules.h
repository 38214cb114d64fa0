// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NFTRULES_H
#define WHERRY_AGENT_NFTRULES_H

/* What the rules of others do to packets of ours: the ruleset as `nft -j -t list ruleset` prints
 * it (iptables-nft's rules among it; libnftables-json(5)) is walked as the kernel would, for a
 * typical packet. Where a rule asks for something that is not known of it (a mark, a set), it may
 * match or not, and so the answer may be "perhaps". */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define NFTRULES_TEXT 64

struct nftrules;

/* -EBADMSG: it is not what nft prints. */
int nftrules_parse(const char *json, size_t len, struct nftrules **ret, struct err *e);
void nftrules_destroy(struct nftrules *r); /* accepts NULL */

/* The first packet of a connection. */
struct nftrules_packet {
    const char *hook; /* "forward", "input" */
    uint32_t saddr, daddr;
    unsigned saddr_prefix, daddr_prefix; /* any address of a network; 0: of the world */
    bool udp;
    uint16_t dport; /* 0: any */
    /* By which links it may come and go: names, with '*' at their ends. NULL: any. */
    const char *const *links;
    unsigned n_links;
};

enum nftrules_fate { NFTRULES_PASSES, NFTRULES_PERHAPS, NFTRULES_DROPPED };

/* Where it was decided. */
struct nftrules_where {
    char family[8], table[NFTRULES_TEXT];
    char base[NFTRULES_TEXT];  /* the chain that hangs on the hook */
    char chain[NFTRULES_TEXT]; /* the one with the rule, or whose policy it is */
    uint64_t handle;           /* of the rule; 0: the policy */
};

/* Through all base chains of IPv4 filters on its hook, but those of tables whose name begins with
 * `ours`: the worst that happens to it, and where. */
enum nftrules_fate nftrules_judge(const struct nftrules *r, const char *ours,
                                  const struct nftrules_packet *packet,
                                  struct nftrules_where *ret_where);

/* Whether there is a table of this name, or a chain whose name begins so (either may be NULL). */
bool nftrules_has(const struct nftrules *r, const char *table, const char *chain);

#endif
