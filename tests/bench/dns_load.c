// SPDX-License-Identifier: Apache-2.0
/* Asks a name server on the loopback as much as it answers:
 *
 *     dns_load ADDRESS PORT SERVICES SECONDS
 *
 * "s0.shop", "s1.shop", ... in turn, from a thousand addresses 127.1.x.y, as containers have one
 * each, 256 questions under way. Prints how many were answered with an address, were answered
 * otherwise, and were lost. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "common/cleanup.h"

#define WINDOW    256
#define GROUP     64
#define ADDRESSES 1000u
#define LOST_MS   100

struct load {
    int fd;
    struct sockaddr_in to;
    unsigned services;
    unsigned next;
    unsigned flying;
    uint64_t good, bad, lost;
};

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static size_t write_question(unsigned i, unsigned services, uint8_t m[64])
{
    char label[16];
    size_t n = (size_t)snprintf(label, sizeof(label), "s%u", i % services);

    memset(m, 0, 64);
    put16(m, i);
    m[2] = 1; /* RD */
    m[5] = 1;
    m[12] = (uint8_t)n;
    memcpy(m + 13, label, n);
    memcpy(m + 13 + n, "\4shop\0\0\1\0\1", 10);
    return 13 + n + 10;
}

/* One socket; each datagram names the address that it comes from (IP_PKTINFO, ip(7)). */
static void ask(struct load *l)
{
    static uint8_t bytes[GROUP][64];
    static struct iovec iov[GROUP];
    static struct mmsghdr m[GROUP];
    static union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(struct in_pktinfo))];
    } control[GROUP];
    unsigned n = WINDOW - l->flying < GROUP ? WINDOW - l->flying : GROUP;
    int sent;

    for (unsigned i = 0; i < n; i++) {
        struct in_pktinfo from = {.ipi_spec_dst.s_addr =
                                      htonl(0x7f010001 + (l->next + i) % ADDRESSES)};

        iov[i].iov_base = bytes[i];
        iov[i].iov_len = write_question(l->next + i, l->services, bytes[i]);
        control[i].head = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(from)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
        memcpy(CMSG_DATA(&control[i].head), &from, sizeof(from));
        m[i].msg_hdr = (struct msghdr){.msg_name = &l->to,
                                       .msg_namelen = sizeof(l->to),
                                       .msg_iov = &iov[i],
                                       .msg_iovlen = 1,
                                       .msg_control = &control[i],
                                       .msg_controllen = sizeof(control[i].space)};
    }
    sent = n > 0 ? sendmmsg(l->fd, m, n, MSG_DONTWAIT) : 0;
    l->next += sent > 0 ? (unsigned)sent : 0;
    l->flying += sent > 0 ? (unsigned)sent : 0;
}

/* Returns whether anything came. */
static bool take(struct load *l)
{
    static uint8_t bytes[GROUP][512];
    static struct iovec iov[GROUP];
    static struct mmsghdr m[GROUP];
    int n;

    for (unsigned i = 0; i < GROUP; i++) {
        iov[i] = (struct iovec){bytes[i], sizeof(bytes[i])};
        m[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    }
    n = recvmmsg(l->fd, m, GROUP, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) {
        bool good = m[i].msg_len > 12 && (bytes[i][3] & 15) == 0 && bytes[i][7] == 1;

        l->good += good;
        l->bad += !good;
        l->flying -= l->flying > 0;
    }
    return n > 0;
}

static double now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int open_socket(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int space = 4 << 20;

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &space, sizeof(space));
    return fd;
}

int main(int argc, char **argv)
{
    struct load l = {.fd = open_socket(), .to.sin_family = AF_INET};
    double from = now(), until;

    if (argc != 5 || inet_pton(AF_INET, argv[1], &l.to.sin_addr) != 1) {
        fprintf(stderr, "usage: dns_load ADDRESS PORT SERVICES SECONDS\n");
        return 2;
    }
    l.to.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
    l.services = (unsigned)strtoul(argv[3], NULL, 10);
    until = from + strtod(argv[4], NULL);
    while (now() < until) {
        struct pollfd p = {.fd = l.fd, .events = POLLIN};

        ask(&l);
        if (!take(&l) && poll(&p, 1, LOST_MS) == 0) {
            l.lost += l.flying;
            l.flying = 0;
        }
    }
    printf("%llu %llu %llu %.3f\n", (unsigned long long)l.good, (unsigned long long)l.bad,
           (unsigned long long)l.lost, now() - from);
    return 0;
}
