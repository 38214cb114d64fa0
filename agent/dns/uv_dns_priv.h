// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_DNS_UV_DNS_PRIV_H
#define WHERRY_AGENT_DNS_UV_DNS_PRIV_H

/* Between the parts of the name server: uv_dns.c (life, datagrams), uv_dns_tcp.c (connections),
 * uv_dns_forward.c (questions to the world). */

#include <netinet/in.h>
#include <uv.h>

#include "agent/dns/dnscache.h"
#include "agent/dns/dnsmsg.h"
#include "agent/dns/resolvconf.h"
#include "agent/dns/uv_dns.h"

#define CLIENTS       4096u /* buckets of limits, by address */
#define CLIENT_RATE   2000u /* questions a second and container */
#define CLIENT_BURST  4000u
#define CLIENT_FLIGHT 64u /* of its questions on their way to the world */
#define CLIENT_CONNS  16u
#define FLIGHT_MAX    512u
#define CONNS_MAX     256u

/* What one container may still do. Two addresses that meet in one bucket share it. */
struct client {
    uint64_t tokens; /* thousandths */
    uint64_t since_ms;
    unsigned flight;
    unsigned conns;
};

struct conn; /* uv_dns_tcp.c */
struct flight;

/* Askers are spread by their address over sockets, each with its own room: who floods one leaves
 * the others free. */
#define QUEUES 8u

struct queue {
    struct uv_dns *dns;
    uv_poll_t poll;
    int fd;
    bool polling;
};

/* Where an answer goes: a datagram's sender, or a connection as long as it is there. */
struct reply_to {
    struct sockaddr_in peer;
    struct conn *conn; /* NULL: by UDP */
};

struct uv_dns {
    uv_loop_t *loop;
    struct uv_dns_config config;
    char *resolv_conf;
    uint32_t address;
    struct queue queues[QUEUES];
    uv_tcp_t tcp;
    uv_timer_t timer;
    struct dnscache *cache;
    struct client *clients;
    struct conn *conns;
    unsigned n_conns;
    struct flight *flights; /* oldest first */
    struct flight **flights_end;
    unsigned n_flights;
    uint32_t servers[RESOLVCONF_SERVERS_MAX];
    unsigned n_servers;
    uint64_t servers_ms;     /* when they were looked at */
    struct timespec changed; /* of the file */
    uint64_t silent_until_ms[RESOLVCONF_SERVERS_MAX];
    uint64_t random;
    struct uv_dns_stats stats;
    unsigned live; /* handles */
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

static inline struct client *uv_dns_client(struct uv_dns *d, uint32_t address)
{
    return &d->clients[(address * 2654435761u >> 20) % CLIENTS];
}

void uv_dns_let_go(struct uv_dns *d);
/* Something waits: the timer runs until nothing does. */
void uv_dns_wake(struct uv_dns *d);

/* One message, whole. What is known is written to `ret` (of `size` bytes) and its length returned;
 * 0: nothing to say now. */
size_t uv_dns_message(struct uv_dns *d, const struct reply_to *to, const uint8_t *message,
                      size_t len, uint8_t *ret, size_t size);
void uv_dns_send(struct uv_dns *d, const struct reply_to *to, const void *answer, size_t len);

/* uv_dns_tcp.c */
int uv_dns_tcp_open(struct uv_dns *d, const struct sockaddr_in *name, struct err *e);
void uv_dns_tcp_answer(struct conn *conn, const void *answer, size_t len);
void uv_dns_tcp_tick(struct uv_dns *d, uint64_t now_ms);
void uv_dns_tcp_close(struct uv_dns *d);

/* uv_dns_forward.c: asks the world; returns as uv_dns_message does. */
size_t uv_dns_forward(struct uv_dns *d, const struct reply_to *to, const struct dnsmsg_question *q,
                      const uint32_t *servers, unsigned n, uint8_t *ret, size_t size);
void uv_dns_forward_tick(struct uv_dns *d, uint64_t now_ms);
/* The connection is gone: its answers are not wanted any more. */
void uv_dns_forward_forget(struct uv_dns *d, const struct conn *conn);
void uv_dns_forward_close(struct uv_dns *d);

#endif
