// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_NETPLAN_PRIV_H
#define WHERRY_AGENT_NET_NETPLAN_PRIV_H

/* Shared by the parts of the plan. What is wanted belongs to owners: a service has the ways to and
 * from its endpoints, a container of this node its marks. Whenever something of an owner changes,
 * all it wants is made anew (netplan_want.c), and compared with what it wanted before; what several
 * owners want is counted, and of what excludes each other one is chosen (netplan_store.c).
 * netplan.c knows who is touched by what. */

#include "agent/net/netplan.h"

/* ---- netplan_diff.c ---- */

void netplan_diff_step(struct netplan_diff *d, const struct netelem *e, bool add);
void netplan_diff_flush(struct netplan_diff *d, uint32_t address);

/* ---- netplan_store.c ---- */

/* Private: a pair of an endpoint and its address, which is known as long as somebody names it. */
#define NETPLAN_SET_KNOWN NETELEM_SET_N

/* A key with its value, or with all the backends behind it: one owner has it at a time. */
struct netplan_claim {
    const struct netplan_owner *owner;
    struct netelems elems; /* sorted, the key itself first */
};

struct netplan_owner {
    const char *stack; /* "" for what is a container's */
    const char *service;
    uint64_t incarnation;
    struct netelems refs; /* sorted: elements without values */
    struct netplan_claim **claims;
    unsigned n_claims;
};

/* What an owner shall have. */
struct netplan_want {
    struct netelems refs;
    struct netplan_claim **claims;
    unsigned n_claims, cap_claims;
};

struct netplan_cell; /* one key */

struct netplan_store {
    struct netplan_cell **buckets;
    unsigned n_buckets, n_cells;
    unsigned sizes[NETPLAN_BACKENDS_MAX + 1]; /* how many have so many backends */
};

/* A new claim of a want, with the key as its first element. */
struct netplan_claim *netplan_store_claim(struct netplan_want *w, const struct netelem *key);

/* Makes this all that the owner wants, and empties the want. */
void netplan_store_apply(struct netplan_store *s, struct netplan_owner *o, struct netplan_want *w,
                         struct netplan_diff *diff);
void netplan_store_all(const struct netplan_store *s, struct netelems *ret);
unsigned netplan_store_backends_max(const struct netplan_store *s);
void netplan_store_finish(struct netplan_store *s);
void netplan_store_forget(struct netplan_owner *o); /* frees only */

/* ---- what there is ---- */

struct netplan_class;
struct netplan_member;

struct netplan_network {
    struct netplan_network *next; /* in its bucket */
    char name[SVC_NETWORK_MAX];
    struct netplan_member *services; /* list of those on it */
    struct netplan_class **classes;
    unsigned n_classes, cap_classes;
    unsigned refs;
};

/* A service on a network. */
struct netplan_member {
    struct netplan_network *network;
    struct netplan_service *service;
    struct netplan_member *prev, *next; /* on the network */
};

struct netplan_class {
    uint32_t number;                   /* from 1 */
    struct netplan_network **networks; /* by name */
    unsigned n_networks;
    unsigned refs;
    uint64_t stamp;
};

struct netplan_here {             /* a container of this node */
    struct netplan_here *next;    /* in its bucket */
    struct netplan_here *sibling; /* of its service */
    struct netplan_local is;      /* owned copy */
    struct netplan_class *class;  /* NULL: it is on no network */
    struct netplan_service *service;
    bool told; /* the service's entry knows it */
    struct netplan_owner owner;
};

struct netplan_service {
    struct netplan_service *next; /* in its bucket */
    char stack[NAME_MAX_LEN + 1];
    char service[NAME_MAX_LEN + 1];
    const struct svc_entry *entry; /* borrowed; NULL: only containers of this node are known */
    struct netplan_here *locals;   /* by incarnation */
    struct netplan_member *members;
    unsigned n_members;
    struct netplan_owner owner;
    uint64_t stamp;
};

struct netplan_block {
    uint32_t net;
    unsigned prefix;
};

#define NETPLAN_BUCKETS 4096u

struct netplan {
    struct netplan_config config;
    struct netplan_store store;
    struct netplan_service *services[NETPLAN_BUCKETS];
    struct netplan_network *networks[NETPLAN_BUCKETS];
    struct netplan_here *locals[NETPLAN_BUCKETS];
    struct netplan_class **classes; /* [number - 1]; NULL: free */
    unsigned n_classes;
    struct netplan_block *silent; /* sorted; blocks of nodes that do not answer */
    unsigned n_silent, cap_silent;
    uint64_t stamp;
};

/* ---- netplan.c ---- */

struct netplan_here *netplan_find_local(const struct netplan *p, uint64_t incarnation);
bool netplan_answers(const struct netplan *p, uint32_t address);

/* Makes anew what the service wants. */
void netplan_remake(struct netplan *p, struct netplan_service *s, struct netplan_diff *diff);

/* ---- netplan_class.c ---- */

unsigned netplan_bucket(const void *data, size_t len);

/* Its networks are those of its entry and of its containers of this node. */
void netplan_class_relink(struct netplan *p, struct netplan_service *s);

/* One more container of the class. NULL: on no network. `ret_new`: it is the first. */
struct netplan_class *netplan_class_ref(struct netplan *p, const struct netplan_local *l,
                                        bool *ret_new);
void netplan_class_unref(struct netplan *p, struct netplan_class *c, struct netplan_diff *diff);

/* All services on its networks, because it came or went. */
void netplan_class_remake_around(struct netplan *p, const struct netplan_class *c,
                                 struct netplan_diff *diff);
void netplan_class_finish(struct netplan *p); /* frees only */

bool netplan_class_has(const struct netplan_class *c, const char *network); /* accepts NULL */
/* On which of the entry's networks (NULL: none) the class is. */
uint32_t netplan_class_mask(const struct netplan_class *c, const struct svc_entry *entry);

/* ---- netplan_spots.c ---- */

/* An endpoint, as this node knows it. */
struct netplan_spot {
    uint64_t incarnation;
    uint32_t address;
    uint32_t extra;
    uint32_t networks;               /* of the entry */
    const struct netplan_here *here; /* NULL: another node's */
    bool ready;
    bool answers;
};

struct netplan_spots {
    struct netplan_spot *list;
    unsigned n;
};

/* Free the list. */
void netplan_spots_gather(const struct netplan *p, struct netplan_service *s,
                          struct netplan_spots *ret);

static inline uint32_t netplan_mask(unsigned prefix)
{
    return prefix == 0 ? 0 : UINT32_MAX << (32 - prefix);
}

/* ---- netplan_want.c ---- */

void netplan_want_local(const struct netplan_here *h, struct netplan_want *ret);
void netplan_want_service(struct netplan *p, struct netplan_service *s, struct netplan_want *ret);

#endif
