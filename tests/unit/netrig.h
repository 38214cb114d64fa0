// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_TESTS_UNIT_NETRIG_H
#define WHERRY_TESTS_UNIT_NETRIG_H

/* Hosts and containers for tests of the network, in namespaces of the test's own. Servers and
 * clients are sockets of this process in those namespaces; the kernel completes a connection before
 * anybody accepts it. What fails fails the test. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include "agent/net/net.h"

#define NETRIG_WAIT_MS    20000 /* a machine that is busy with other tests may need it */
#define NETRIG_BLOCKED_MS 300   /* how long a connection is tried that must not succeed */

/* Runs a line of shell in this thread's namespace; returns its exit status. */
int netrig_shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void netrig_must(int status);

int netrig_own_netns(void);
int netrig_new_netns(void);

uint64_t netrig_now_ms(void);

/* Runs the loop until the word is true, or the time is over; returns whether it came true. */
bool netrig_run_until(uv_loop_t *loop, bool (*word)(void), unsigned ms);
bool netrig_never(void);

struct sockaddr_in netrig_name_of(uint32_t address, uint16_t port);
int netrig_socket(int ns, int family, int type, unsigned timeout_ms);
int netrig_serve(int ns, int type, uint16_t port);

/* Gives a connected socket, or -1. */
int netrig_dial(int ns, uint32_t address, uint16_t port, unsigned timeout_ms);

/* Connects, accepts and sends a word either way. Gives who the server saw, 0: no connection. */
uint32_t netrig_visit(int ns, uint32_t address, uint16_t port, int server);
void netrig_refuse(int ns, uint32_t address, uint16_t port);

/* Asks by a datagram and returns who the server saw; 0: no answer. */
uint32_t netrig_ask(int ns, uint32_t address, uint16_t port, int server);

/* Closes them, with what they made or without, and returns when they are gone. */
void netrig_close(uv_loop_t *loop, struct net *const *nets, unsigned n, bool remove);

#endif
