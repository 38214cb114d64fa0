// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NETPROBE_H
#define WHERRY_AGENT_NETPROBE_H

/* Looks at the way between two containers from the host of one of them, for `wherry net check`:
 * blocking, and so done by a process of its own (cmd_netprobe.h). Each fact is a row whose field
 * `fact` says what it is about; what is not known is left out. The agent tells what it knows itself
 * (uv_agent_ask.c), the controller judges (controller/api/netcheck.c).
 *
 * fact      fields
 * self      container, state ("running"), address: of the container that was asked about
 * name      state ("known", "none", "address", "world"), addresses, hint: what the agent knows
 * dns       state ("answered", "none", "silent"), addresses: what 169.254.1.1 says inside of A
 * service   name: that the name leads to
 * endpoint  container, incarnation, address, ready, draining, shared (network), answers
 * vip       address, kernel (containers that the kernel knows behind it)
 * egress    allowed, why: only if it leads out of the cluster
 * way       address, route ("cluster", "none", "unreachable", "foreign", "world"), dev, via, kind
 *           ("on this host", "direct", "VXLAN", "WireGuard"), mtu
 * tunnel    address, dev, neighbour, fdb
 * table     name, there
 * reach     address, there: whether the kernel lets A talk to it
 * dropped   words, packets: by our own rules while connections were tried
 * firewall  state, text, mend; forwarding likewise: as `wherry doctor` says
 * listen    container, on ("any", "address", "loopback", "none"), others
 * connect   address, result ("connected", "refused", "failed"), error, ms */

#include <stdbool.h>
#include <stdint.h>

#include "agent/doctor.h"
#include "agent/net/net.h"
#include "agent/net/netconfig.h"
#include "agent/net/rules.h"
#include "common/buf.h"

#define NETPROBE_TARGETS_MAX 9u
#define NETPROBE_NAME_MAX    256

struct netprobe {
    struct doctor_world world;
    char table[64];
    char links[NETCONFIG_LINK_NAME]; /* how our links begin */
    char vxlan[NETCONFIG_LINK_NAME];
    char wireguard[NETCONFIG_LINK_NAME];
    int netns; /* the container's; -1: it has none */
    int pid;   /* of it; 0: it does not run */
    uint32_t self;
    uint16_t port;                          /* 0: none */
    uint32_t targets[NETPROBE_TARGETS_MAX]; /* where it wants to get, or come from */
    unsigned n_targets;
    uint32_t vip;          /* of the targets' service; 0: none */
    const char *question;  /* a name; NULL: nothing is asked */
    const char *container; /* its name, for rows */
};

/* netprobe_way.c: routes and the tunnel, to every target. */
void netprobe_way(const struct netprobe *p, struct buf *rows);

/* netprobe_rules.c: our table, its elements for A and the targets, and what others have there. */
void netprobe_rules(const struct netprobe *p, bool from, struct buf *rows);
/* What was dropped between a first call, which only reads, and a second one (`rows` not NULL). */
void netprobe_rules_counters(const struct netprobe *p, uint64_t counters[RULES_COUNTER_N],
                             struct buf *rows);

/* netprobe_try.c: from inside of the container. */
/* What it says becomes the targets, if none were given. */
void netprobe_try_name(struct netprobe *p, struct buf *rows);
void netprobe_try_connect(const struct netprobe *p, struct buf *rows);
void netprobe_try_listen(const struct netprobe *p, struct buf *rows);

/* Words for an address. */
#define NETPROBE_ADDRESS 16
void netprobe_address(uint32_t address, char ret[NETPROBE_ADDRESS]);

#endif
