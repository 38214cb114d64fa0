// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_SOCKETS_H
#define WHERRY_AGENT_SOCKETS_H

/* Who listens: the sockets of a network namespace as /proc/<pid>/net/tcp and its like tell
 * (proc_net_tcp(5)). IPv4 addresses are in host order; one of IPv6 is told by whether it is the
 * wildcard, the loopback or another, because that decides who is answered. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sockets_on { SOCKETS_ANY, SOCKETS_LOOPBACK, SOCKETS_ADDRESS };

struct socket {
    bool udp;
    bool v6;
    enum sockets_on on;
    uint32_t address; /* of IPv4 */
    uint16_t port;
    uint64_t inode;
};

/* Calls back for every TCP socket that listens and every UDP socket that is bound and not
 * connected. `net` is a directory: "/proc/1/net". False: it cannot be read. */
typedef void (*sockets_cb)(void *arg, const struct socket *s);
bool sockets_each(const char *net, sockets_cb cb, void *arg);

/* The name of a process that holds the socket, looked for below `proc`. False: none is found. */
bool sockets_owner(const char *proc, uint64_t inode, char *ret, size_t size);

#endif
