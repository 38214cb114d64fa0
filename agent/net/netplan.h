// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_NETPLAN_H
#define WHERRY_AGENT_NET_NETPLAN_H

/* Decides what the node's table shall hold, out of the service table, the containers of this node
 * and the nodes that answer. Pure: changes in, differences of elements out; a change of one service
 * costs what that service has, however many others there are.
 *
 * - Containers on exactly the same networks are a class. A class may reach the addresses of all
 *   endpoints with which it shares a network; two classes of this node see each other through the
 *   service table like everybody.
 * - A virtual address leads to the ready endpoints on its network that do not drain and whose node
 *   answers; if no node of them answers, to all of them. What this node knows better than the
 *   table (its own containers ended, drain, or became ready) counts.
 * - An address that a container of another node has asked for leads to the one out of its block.
 * - An ingress port leads to the ready endpoints of this node if there are any, else to others, as
 *   above. Services have it of their entry, and of containers of this node that the entry does not
 *   know yet. Where two claim one port, the first by name that has somebody behind it has it.
 * - Nothing leads to a service without a ready endpoint. Behind one address or port are at most
 *   NETPLAN_BACKENDS_MAX, on each node others of them. */

#include "agent/net/netelem.h"
#include "common/svctable.h"

#define NETPLAN_BACKENDS_MAX 256

struct netplan;

struct netplan_config {
    uint32_t range; /* the cluster's */
    unsigned range_prefix;
    uint32_t block; /* this node's */
    unsigned block_prefix;
};

/* A container of this node. Everything is borrowed until return. */
struct netplan_local {
    uint64_t incarnation;
    uint32_t address;
    uint32_t extra; /* 0: none */
    const char *stack;
    const char *service;
    uint32_t slot;
    const char *const *networks; /* names, sorted */
    unsigned n_networks;
    bool ready;    /* as the node's core has it now */
    bool draining; /* is stopping, or wanted to */
    bool no_out;   /* all its networks are internal, or egress is restricted */
    const struct netplan_cidr {
        uint32_t net;
        unsigned prefix;
    } * out; /* where it may go though */
    unsigned n_out;
    const struct netplan_port {
        bool udp;
        bool host; /* mode: host: published by this node alone */
        uint16_t published;
        uint16_t target;
        uint32_t host_ip;
    } * ports;
    unsigned n_ports;
};

/* What changed of the kernel's elements by one call, or by several. Zeroed memory is an empty one.
 */
struct netplan_diff {
    struct netplan_step *steps; /* every change, in order */
    unsigned n_steps, cap_steps;
    unsigned backends_max; /* behind one address or port, of all, now */
    uint32_t *flush;       /* addresses of endpoints that are gone or ended: their flows too */
    unsigned n_flush, cap_flush;
    struct netelems removed; /* as of the settling, sorted */
    struct netelems added;
};

/* Once, at the end: fills `removed` and `added` with what is left of the steps. `removed` come
 * first; an element in both has got another value. */
void netplan_diff_settle(struct netplan_diff *d);
void netplan_diff_finish(struct netplan_diff *d);

struct netplan *netplan_create(const struct netplan_config *config);
void netplan_destroy(struct netplan *p); /* accepts NULL */

/* An entry was put (NULL: removed). Borrowed until the next change of that service. */
void netplan_service(struct netplan *p, const char *stack, const char *service,
                     const struct svc_entry *entry, struct netplan_diff *ret);

/* The container came, or something of it changed; and it went. */
void netplan_local(struct netplan *p, const struct netplan_local *local, struct netplan_diff *ret);
void netplan_local_gone(struct netplan *p, uint64_t incarnation, struct netplan_diff *ret);

/* A node's block has ceased or begun to answer (they answer unless this said otherwise). */
void netplan_reach(struct netplan *p, uint32_t block, unsigned prefix, bool answers,
                   struct netplan_diff *ret);

/* Everything wanted now. Appends, sorted. */
void netplan_all(const struct netplan *p, struct netelems *ret);
unsigned netplan_backends_max(const struct netplan *p);

#endif
