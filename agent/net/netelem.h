// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_NETELEM_H
#define WHERRY_AGENT_NET_NETELEM_H

/* Elements of the sets and maps of our nftables table: what changes while the rules stay. What is
 * wanted is planned as lists of these (netplan.h), differences are put into the kernel directly
 * (nftset.h), and a table that is asserted anew carries them as text (rules.h). Pure.
 *
 * set, name in the table, key, value; a = IPv4 address, A = one
 * whose set is also asked for what an IPv6 address ends with (ip6.h), m = 32-bit mark, p =
 * protocol, t = port, i = index of a backend, v = verdict "goto <chain><n>", N = a network (address
 * and prefix), - = nothing. A second `a` of a key, and the address of N where it is not alone, is
 * in `other`.
 *
 * Networks of one key should not overlap: the kernel refuses the second.
 * The sets below the line are filled by net.c itself. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NETELEM_SETS(X)                                                                            \
    X(CLASS, "w_class", "A", "m")    /* of local containers: those on the same networks */         \
    X(REACH, "w_reach", "mA", "-")   /* class and every address it may talk to */                  \
    X(VIP, "w_vip", "a", "v")        /* virtual address: chain for its number of backends */       \
    X(VIP_TO, "w_vip_to", "ai", "a") /* its i-th backend */                                        \
    X(ANY, "w_any", "pt", "v")       /* published ports, on every address of the host */           \
    X(ANY_TO, "w_any_to", "pti", "at")                                                             \
    X(ONE, "w_one", "apt", "v") /* on one address of the host */                                   \
    X(ONE_TO, "w_one_to", "apti", "at")                                                            \
    X(INGRESS, "w_ingress", "apt", "-") /* local containers' ports that other nodes may lead to */ \
    X(NOOUT, "w_noout", "a", "-")       /* local containers that may not leave the cluster */      \
    X(OUT, "w_out", "aN", "-")          /* the exceptions */                                       \
    X(EXTRA, "w_extra", "a", "-") /* asked for by containers of other nodes; also in w_vip */      \
    /* ---- */                                                                                     \
    X(SELF, "w_self", "aa", "-")    /* local containers, twice: what goes from one to itself */    \
    X(NODES, "w_nodes", "a", "-")   /* the other nodes' own addresses */                           \
    X(GATES, "w_gates", "A", "-")   /* by which they lead on what came by an ingress port */       \
    X(BLOCKS, "w_blocks", "N", "-") /* and of their containers */

#define NETELEM_X_SET(id, name, key, value) NETELEM_##id,
enum netelem_set { NETELEM_SETS(NETELEM_X_SET) NETELEM_SET_N };

/* Chains that verdicts go to, for the number of backends: "w_vip3", "w_vic3" (by client), "w_any3",
 * "w_one3". */
enum netelem_chain {
    NETELEM_CHAIN_NONE,
    NETELEM_CHAIN_VIP,
    NETELEM_CHAIN_VIC,
    NETELEM_CHAIN_ANY,
    NETELEM_CHAIN_ONE,
    NETELEM_CHAIN_N
};

/* A row of the table above; how a chain's name begins. */
struct netelem_format {
    const char *name;
    const char *key;
    const char *value;
};
const struct netelem_format *netelem_format(unsigned set);
const char *netelem_chain_name(unsigned chain);

/* Zero what a set does not have: elements are compared as memory. */
struct netelem {
    uint8_t set; /* enum netelem_set */
    uint8_t udp; /* p: 0 tcp, 1 udp */
    uint8_t chain;
    uint8_t prefix; /* of N: 0 to 32 */
    uint16_t port;
    uint16_t to_port;
    uint32_t mark; /* of the key (REACH), or the value (CLASS) */
    uint32_t address;
    uint32_t other; /* second address of the key: REACH's is `address`; OUT's network */
    uint32_t to;
    uint32_t index; /* i */
    uint32_t n;     /* v: backends */
};

/* By set, then key: elements that are equal in it exclude each other. */
int netelem_compare_key(const struct netelem *a, const struct netelem *b);
bool netelem_equal(const struct netelem *a, const struct netelem *b);

/* A growing list; zeroed memory is an empty one. */
struct netelems {
    struct netelem *list;
    unsigned n;
    unsigned cap;
};

void netelems_add(struct netelems *l, const struct netelem *e);
void netelems_sort(struct netelems *l); /* by key; of equal keys the first added stays */
void netelems_finish(struct netelems *l);

/* Drops networks that lie inside of another one of the same key from a sorted list. */
void netelems_drop_inner(struct netelems *l);

/* Appends what turns `is` into `want`, both sorted. */
void netelems_diff(const struct netelems *is, const struct netelems *want, struct netelems *removed,
                   struct netelems *added);

#endif
