// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_TC_H
#define WHERRY_AGENT_NET_TC_H

/* How fast a container's link is. What goes in is shaped on the host's end; what comes out is led
 * to a mirror (an ifb device of its own) and shaped there, before anything on the host sees it.
 * Nothing of it is inside the container, so that no capability it has can change it. tbf, ingress,
 * u32, mirred and ifb are all it takes: matchall and police are missing from some kernels. */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct tc_limit {
    const char *link;   /* the host's end; it is there */
    const char *mirror; /* shorter than IFNAMSIZ */
    unsigned mtu;       /* of the link */
    uint64_t bits_in;   /* a second, into the container; 0: no limit */
    uint64_t bits_out;
};

/* Sets the limits, as often as it is asked to. Every error names the part that the kernel lacks or
 * refuses, and leaves behind what was made. */
int tc_limit(int rtnl, const struct tc_limit *limit, struct err *e);

/* Removes the mirror (the rest goes with the link). Returns 0 too when there is none. */
int tc_release(int rtnl, const char *mirror, struct err *e);

/* Calls back for each queue that a limit is made of: a bucket, or (`ingress`) where the way to a
 * mirror begins. */
typedef void (*tc_queue_cb)(void *arg, unsigned index, bool ingress);
int tc_queues(int rtnl, tc_queue_cb cb, void *arg, struct err *e);

/* A token bucket for a rate, as tc-tbf(8) wants it. Pure. */
struct tc_bucket {
    uint64_t bytes_per_s;
    uint32_t burst; /* bytes */
    uint32_t queue; /* bytes that may wait, with those of the burst */
};
struct tc_bucket tc_bucket(uint64_t bits_per_s, unsigned mtu);

#endif
