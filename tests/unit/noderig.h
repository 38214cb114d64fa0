// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_TESTS_UNIT_NODERIG_H
#define WHERRY_TESTS_UNIT_NODERIG_H

/* The network of a node, in namespaces of the test's own: `host` is where the agent lives, `far`
 * another host on its link, the others are containers. */

#include <check.h>
#include <uv.h>

#include "agent/net/net.h"
#include "netrig.h"
#include "portrig.h"

#define NODERIG_HOST_ADDRESS 0xc6336401u /* 198.51.100.1 */
#define NODERIG_FAR_ADDRESS  0xc6336402u
#define NODERIG_BLOCK        0x0a800400u /* 10.128.4.0 */
#define NODERIG_CONTAINERS   3
#define NODERIG_PORTS_MANY   4096u

struct noderig {
    uv_loop_t loop;
    struct net *net;
    int host;
    int far;
    int cell[NODERIG_CONTAINERS];
    uint32_t address[NODERIG_CONTAINERS];
    bool closed;
    struct netelems ports; /* published, sorted */
    unsigned ports_max;    /* most backends of one */
    unsigned restored;
    int child_before;
};
extern struct noderig noderig;

struct net_config noderig_config(void);

void noderig_open_net(void);

void noderig_setup(void);

void noderig_attach(unsigned i);

void noderig_setup_attached(void);

void noderig_on_closed(void *arg);

void noderig_close_net(bool remove);

/* Nothing of ours may be left, whatever was in between. */
void noderig_teardown(void);

/* Makes these the published ports, all of them, by what differs. */
void noderig_change_ports(const struct portrig_port *ports, unsigned n);

void noderig_publish(const struct portrig_port *ports, unsigned n);

void noderig_publish_web(unsigned n_backends);

/* The child is the only process of ours. */
int noderig_child_of_ours(void);

bool noderig_another_child(void);

#endif
