// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_TESTS_UNIT_PORTRIG_H
#define WHERRY_TESTS_UNIT_PORTRIG_H

/* Published ports as a test writes them, and the elements they are. */

#include <stdbool.h>

#include "agent/net/netelem.h"

struct portrig_backend {
    uint32_t address;
    uint16_t port;
};

struct portrig_port {
    bool udp;
    uint16_t port;
    uint32_t host_ip; /* 0: every address */
    const struct portrig_backend *backends;
    unsigned n_backends;
};

/* Sorted, into an empty list. Gives the most backends of one port. */
unsigned portrig_elements(const struct portrig_port *ports, unsigned n, struct netelems *ret);

#endif
