// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_TESTS_UNIT_HOSTS_CASE_H
#define WHERRY_TESTS_UNIT_HOSTS_CASE_H

/* Hosts as namespaces: A and C share a link, B is behind a router, all links take 1400 bytes, and
 * each host has one container, whose link takes 1500. They end with the process. */

#include <check.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/net/net.h"

#define HOSTS_CASE_MTU  1400
#define HOSTS_CASE_TEXT "this is what is said, and who may read it?"
#define HOSTS_CASE_LINK "whtestabc" /* a host's end of its container's link */

enum hosts_case { A, B, C, HOSTS };

struct hosts_case_one {
    uint32_t underlay;
    uint32_t block;
    uint32_t container; /* the address of it */
    int ns;
    int cell;
    int rtnl;
};
extern struct hosts_case_one hosts[HOSTS];
extern int hosts_router;

/* Makes everything above; there is nothing between the hosts' blocks yet. */
void hosts_case_make(void);

/* The nodes that a host has to know. */
unsigned hosts_case_nodes(enum hosts_case of, struct net_route ret[HOSTS]);

/* Runs a line of shell in a namespace; returns its exit status. */
int hosts_case_shell(int ns, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define must(...) ck_assert_int_eq(hosts_case_shell(__VA_ARGS__), 0)
#define none(...) ck_assert_int_eq(hosts_case_shell(__VA_ARGS__), 1)

/* Sockets in a namespace that wait for ten seconds at most. */
int hosts_case_socket(int ns, int type);
int hosts_case_serve(int ns, int type, uint16_t port);

/* Sends `bytes` of the text, over and over, by TCP from one namespace to another's address; returns
 * whom the receiver saw, 0: it was not reached. */
uint32_t hosts_case_carry(int from, int to, uint32_t address, size_t bytes);

/* From container to container, which sees who it is. */
void hosts_case_reaches(enum hosts_case from, enum hosts_case to, size_t bytes);
void hosts_case_all_reach(size_t bytes);

#endif
