// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_UV_AGENT_NET_PRIV_H
#define WHERRY_AGENT_UV_AGENT_NET_PRIV_H

/* Shared by the parts of the agent's network: uv_agent_net.c (up and down, links, routes),
 * uv_agent_net_up.c (what there is while it is up: plan, names, elements in the kernel),
 * uv_agent_net_local.c (this node's containers, as the plan and the names have them),
 * uv_agent_net_dns.c (the name server), uv_agent_net_table.c (the service table),
 * uv_agent_net_keep.c (its file), uv_agent_net_encrypt.c (WireGuard). */

#include "agent/dns/uv_dns.h"
#include "agent/net/net.h"
#include "agent/net/netplan.h"
#include "agent/net/uv_reach.h"
#include "agent/uv_agent_priv.h"
#include "common/svctable.h"

#define UV_AGENT_NET_BUCKETS   1024u
#define UV_AGENT_NET_RESOLVERS 3u

/* A container of this node that has a link. */
struct net_local {
    struct net_local *next; /* in the bucket of its address */
    struct node_of of;
    struct order *order; /* own reference: networks are borrowed from it */
    char stack[NAME_MAX_LEN + 1];
    char service[NAME_MAX_LEN + 1];
    uint32_t slot;
    uint32_t address;
    uint32_t extra; /* 0: none */
    const char *networks[SVC_NETWORKS_MAX];
    unsigned n_networks;
    bool ready, draining; /* as told last */
    bool no_out;          /* may not leave the cluster, but for exceptions */
    bool no_world;        /* and there are none: nobody is asked in its name */
    uint32_t resolvers[UV_AGENT_NET_RESOLVERS]; /* its own */
    unsigned n_resolvers;
};

/* One network that is up, or going down. */
struct net_up {
    struct uv_agent_net *owner; /* NULL: it is going down */
    struct uv_agent *agent;
    struct net *net;
    struct netplan *plan;
    struct dns_names *names;
    struct uv_reach *reach;
    struct uv_dns *dns; /* NULL: it could not start */
    uv_timer_t dns_timer;
    struct net_local *locals[UV_AGENT_NET_BUCKETS];
    unsigned live; /* parts that are not closed yet */
    void (*closed)(void *arg);
    void *closed_arg;
};

struct net_told { /* the names of a table that is being told as a whole */
    char (*names)[2][NAME_MAX_LEN + 1];
    unsigned n, cap;
    bool open;
};

struct net_keep; /* uv_agent_net_keep.c */

struct uv_agent_net {
    struct uv_agent *agent;
    struct net_up *up; /* NULL: not up */
    char suffix[NET_SUFFIX_MAX + 1];
    char range[LEDGER_TEXT_MAX]; /* of `up` */
    char block[LEDGER_TEXT_MAX];
    bool looked;       /* what runs has been found */
    uint64_t tried_ms; /* when it last failed to come up; 0: never */
    struct err why;
    char dns_why[ERR_TEXT_MAX]; /* why there is no name server; "": there is, or no network */
    unsigned attached;          /* attempts that have a link */
    struct net_route *routes;   /* NULL: the controller has not told them */
    unsigned n_routes;
    uint32_t underlay; /* this node's address among them; 0: not known */
    bool encrypt_told; /* the controller has said whether to */
    bool encrypt;
    uint8_t key[NET_KEY];           /* this node's public one; zero: none */
    char encrypt_why[ERR_TEXT_MAX]; /* why it cannot; "": it can, or need not */
    struct svctable *table;
    struct net_told told;
    struct net_keep *keep;
    unsigned live; /* parts and networks */
    bool closing;
};

void uv_agent_net_let_go(struct uv_agent_net *n); /* one of `live` has ended */

/* ---- uv_agent_net_up.c ---- */

int uv_agent_net_up_create(struct uv_agent_net *n, const struct net_config *config,
                           struct net_up **ret, struct err *e);
/* `remove`: nothing stays in the kernel. */
void uv_agent_net_up_close(struct net_up *up, bool remove, void (*closed)(void *arg), void *arg);
void uv_agent_net_up_routes(struct net_up *up, uint32_t underlay, const struct net_route *routes,
                            unsigned n);

/* Puts the difference into the kernel, and empties it. */
void uv_agent_net_up_apply(struct net_up *up, struct netplan_diff *diff);

/* An entry of the table has been put (NULL: removed). */
void uv_agent_net_up_service(struct net_up *up, const char *stack, const char *service,
                             const struct svc_entry *entry, struct netplan_diff *diff);

/* ---- uv_agent_net_encrypt.c ---- */

/* While it is up, as told last. */
void uv_agent_net_encrypt_apply(struct uv_agent_net *n);

/* ---- uv_agent_net_local.c ---- */

/* What the document says of all its networks together: there is one eth0. */
void uv_agent_net_link(const struct attempt *at, struct net_link *ret);

/* The attempt has a link: it comes, or something of it may have changed. */
void uv_agent_net_local(struct net_up *up, const struct attempt *at, struct netplan_diff *diff);
void uv_agent_net_local_gone(struct net_up *up, struct node_of of, struct netplan_diff *diff);
const struct net_local *uv_agent_net_local_at(const struct net_up *up, uint32_t address);
void uv_agent_net_local_finish(struct net_up *up);

/* ---- uv_agent_net_dns.c ---- */

/* Starts it, and tries again later where it cannot. */
void uv_agent_net_dns_start(struct net_up *up);
/* `closed` for the timer, and for the server if there is one: gives how often. */
unsigned uv_agent_net_dns_close(struct net_up *up, uv_close_cb timer_closed,
                                void (*closed)(void *arg), void *arg);

/* ---- uv_agent_net_table.c ---- */

void uv_agent_net_table_open(struct uv_agent_net *n);
void uv_agent_net_table_finish(struct uv_agent_net *n);

/* ---- uv_agent_net_keep.c ---- */

void uv_agent_net_keep_create(struct uv_agent_net *n);
void uv_agent_net_keep_read(struct uv_agent_net *n); /* into an empty table */
void uv_agent_net_keep_changed(struct uv_agent_net *n);
void uv_agent_net_keep_close(struct uv_agent_net *n); /* then uv_agent_net_let_go */

#endif
