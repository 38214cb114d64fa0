// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_TESTS_UNIT_DNSRIG_H
#define WHERRY_TESTS_UNIT_DNSRIG_H

/* A name server of its own thread on 127.0.0.1:53, in a network namespace without anything else.
 * Containers are 127.1.0.N, known and on the network of one service, "web"; those from 127.1.1.0
 * have a resolver of their own, 127.0.0.3; from 127.1.2.0 they may not ask the world; 127.1.3.0
 * is unknown. The tests are the resolvers. Whatever is not there in time fails the test. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/dns/uv_dns.h"
#include "dns_case.h"

#define DNSRIG_WEB "NOERROR aa [A 10.240.0.1] [] []"

/* Makes the namespace, for this process and those that come of it. */
void dnsrig_namespace(void);

/* With this resolv.conf. */
void dnsrig_start(const char *resolv_conf);
void dnsrig_resolv_conf(const char *text);
/* Ends the server; its loop must be empty then, and what it had counted is returned. */
struct uv_dns_stats dnsrig_stop(void);

/* The socket of a container, 127.1.<hi>.<lo>, to the server; one of a resolver, 127.0.0.<n>:53.
 * `type`: SOCK_DGRAM or SOCK_STREAM; resolvers listen. They wait for three seconds. */
int dnsrig_container(unsigned hi, unsigned lo, int type);
int dnsrig_resolver(unsigned n, int type);

/* Asks and waits; by TCP with its length before. Static text, "nothing" if nothing came. */
void dnsrig_send(int fd, const char *name, uint16_t type, uint16_t edns);
const char *dnsrig_read(int fd);
const char *dnsrig_ask(int fd, const char *name, uint16_t type);

/* A question that came to a resolver's datagram socket. */
struct dnsrig_question {
    uint8_t bytes[DNS_CASE_MAX];
    size_t len;
    uint8_t from[128]; /* struct sockaddr_in */
};
bool dnsrig_asked(int fd, struct dnsrig_question *ret); /* false: not in time */
void dnsrig_reply(int fd, const struct dnsrig_question *q, const void *answer, size_t len);
/* With one address that lives for a minute. */
void dnsrig_reply_a(int fd, const struct dnsrig_question *q, uint32_t address);

uint64_t dnsrig_ms(void);
void dnsrig_wait(int fd, unsigned ms); /* from now on it waits for so long */

#endif
