// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_TESTS_UNIT_RULESRIG_H
#define WHERRY_TESTS_UNIT_RULESRIG_H

/* Two nodes, `a` and `b`, on one link, each with its table in a namespace, their containers, and
 * somebody outside, whom only `a` knows. */

#include <check.h>
#include <uv.h>

#include "agent/net/net.h"
#include "agent/net/netelem.h"
#include "netrig.h"

#define RULESRIG_A_ADDRESS   0xc6336401u /* 198.51.100.1 */
#define RULESRIG_B_ADDRESS   0xc6336402u
#define RULESRIG_A_OUTSIDE   0xcb007101u /* 203.0.113.1 */
#define RULESRIG_OUT_ADDRESS 0xcb007109u
#define RULESRIG_A_BLOCK     0x0a800400u /* 10.128.4.0 */
#define RULESRIG_B_BLOCK     0x0a800800u
#define RULESRIG_VIP         0x0af00001u /* 10.240.0.1 */
#define RULESRIG_CLASS_1     0x10000001u
#define RULESRIG_CLASS_2     0x10000002u
#define RULESRIG_CELLS       4 /* three on a, one on b */
#define RULESRIG_ON_B        3

enum rulesrig_node { RULESRIG_A, RULESRIG_B, RULESRIG_NODES };

struct rulesrig {
    uv_loop_t loop;
    struct node {
        int ns;
        struct net *net;
        struct netelems want;
        unsigned most;
    } node[RULESRIG_NODES];
    int out;
    int cell[RULESRIG_CELLS];
    uint32_t address[RULESRIG_CELLS];
    int server[RULESRIG_CELLS];
    struct netelems next;
    unsigned restored;
};
extern struct rulesrig rulesrig;

const char *rulesrig_in(int ns);

void rulesrig_open_node(enum rulesrig_node name);

void rulesrig_setup(void);

void rulesrig_close_nodes(bool remove);

void rulesrig_teardown(void);

void rulesrig_settle(unsigned ms);

void rulesrig_add(struct netelem e);

void rulesrig_add_vip(uint32_t vip, unsigned chain, const uint32_t *to, unsigned n);

void rulesrig_add_any(bool udp, uint16_t port, uint32_t to, uint16_t to_port);

/* Cells 0 and 1 and the one on b share a network; 2 is another stack's. */
void rulesrig_add_classes(void);

/* What was added since the last time is what the node shall have. */
void rulesrig_apply(enum rulesrig_node name);

void rulesrig_apply_classes(void);

uint64_t rulesrig_dropped(enum rulesrig_node name, const char *why);

/* A number, in time. */
void rulesrig_dropped_more(enum rulesrig_node name, const char *why, uint64_t than);

#endif
