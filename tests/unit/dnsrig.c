// SPDX-License-Identifier: Apache-2.0
#include "dnsrig.h"

#include <arpa/inet.h>
#include <check.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "common/cleanup.h"

static const char *const networks[] = {"shop_default"};
static const struct svc_network web_network = {.name = "shop_default", .vip = 0x0af00001};
static const struct svc_entry web = {
    .stack = "shop", .service = "web", .networks = &web_network, .n_networks = 1};
static const uint32_t own_resolver[] = {0x7f000003};

static struct {
    pthread_t thread;
    pthread_barrier_t started;
    uv_loop_t loop;
    uv_async_t end;
    struct uv_dns *dns;
    struct dns_names *names;
    struct uv_dns_stats stats;
    char resolv_conf[64];
    bool closed;
} rig;

/* ---- the server ---- */

void dnsrig_namespace(void)
{
    auto_close int fd = -1;
    struct ifreq r = {.ifr_name = "lo"};

    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    r.ifr_flags = IFF_UP | IFF_RUNNING;
    ck_assert_int_eq(ioctl(fd, SIOCSIFFLAGS, &r), 0);
}

static bool who_asks(void *arg, uint32_t address, struct dns_asker *ret, const uint32_t **resolvers,
                     unsigned *ret_n)
{
    (void)arg;
    if (address >> 16 != 0x7f01 || (address >> 8 & 255) > 2) {
        return false;
    }
    *ret = (struct dns_asker){.networks = networks, .n_networks = 1, .stack = "shop"};
    ret->no_out = (address >> 8 & 255) == 2;
    if ((address >> 8 & 255) == 1) {
        *resolvers = own_resolver;
        *ret_n = 1;
    }
    return true;
}

static void on_closed(void *arg)
{
    (void)arg;
    rig.closed = true;
}

static void on_end(uv_async_t *end)
{
    uv_dns_stats(rig.dns, &rig.stats);
    uv_dns_close(rig.dns, on_closed, NULL);
    uv_close((uv_handle_t *)end, NULL);
}

static void *serve(void *arg)
{
    const struct uv_dns_config config = {.address = "127.0.0.1",
                                         .port = 53,
                                         .resolv_conf = rig.resolv_conf,
                                         .names = rig.names,
                                         .asker = who_asks};
    struct err e;

    (void)arg;
    ck_assert_int_eq(uv_loop_init(&rig.loop), 0);
    ck_assert_int_eq(uv_async_init(&rig.loop, &rig.end, on_end), 0);
    ck_assert_msg(uv_dns_create(&rig.loop, &config, &rig.dns, &e) == 0, "%s", e.text);
    (void)pthread_barrier_wait(&rig.started);
    ck_assert_int_eq(uv_run(&rig.loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&rig.loop), 0);
    return NULL;
}

void dnsrig_resolv_conf(const char *text)
{
    char next[80];
    auto_fclose FILE *f = NULL;

    (void)snprintf(next, sizeof(next), "%s.next", rig.resolv_conf);
    f = fopen(next, "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fflush(f), 0);
    ck_assert_int_eq(rename(next, rig.resolv_conf), 0);
}

void dnsrig_start(const char *resolv_conf)
{
    char dir[] = "/tmp/wherry-dns-XXXXXX";

    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(rig.resolv_conf, sizeof(rig.resolv_conf), "%s/r", dir);
    dnsrig_resolv_conf(resolv_conf);
    rig.names = dns_names_create(0x0a800000, 9);
    dns_names_service(rig.names, "shop", "web", &web);
    ck_assert_int_eq(pthread_barrier_init(&rig.started, NULL, 2), 0);
    ck_assert_int_eq(pthread_create(&rig.thread, NULL, serve, NULL), 0);
    (void)pthread_barrier_wait(&rig.started);
}

struct uv_dns_stats dnsrig_stop(void)
{
    ck_assert_int_eq(uv_async_send(&rig.end), 0);
    ck_assert_int_eq(pthread_join(rig.thread, NULL), 0);
    ck_assert(rig.closed);
    dns_names_destroy(rig.names);
    (void)pthread_barrier_destroy(&rig.started);
    (void)unlink(rig.resolv_conf);
    *strrchr(rig.resolv_conf, '/') = '\0';
    ck_assert_int_eq(rmdir(rig.resolv_conf), 0);
    return rig.stats;
}

/* ---- sockets ---- */

void dnsrig_wait(int fd, unsigned ms)
{
    struct timeval t = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};

    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)), 0);
}

static int bound(uint32_t address, uint16_t port, int type)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    int one = 1;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&in, sizeof(in)), 0);
    dnsrig_wait(fd, 3000);
    return fd;
}

int dnsrig_container(unsigned hi, unsigned lo, int type)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(0x7f000001)};
    int fd = bound(0x7f010000u + (hi << 8) + lo, 0, type);

    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

int dnsrig_resolver(unsigned n, int type)
{
    int fd = bound(0x7f000000u + n, 53, type);

    if (type == SOCK_STREAM) {
        ck_assert_int_eq(listen(fd, 8), 0);
    }
    return fd;
}

static bool is_stream(int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);

    ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len), 0);
    return type == SOCK_STREAM;
}

/* ---- questions ---- */

void dnsrig_send(int fd, const char *name, uint16_t type, uint16_t edns)
{
    uint8_t m[2 + DNS_CASE_MAX];
    static uint16_t id = 1000;
    size_t len = dns_case_ask(m + 2, ++id, name, type, edns);
    bool stream = is_stream(fd);

    dns_case_put16(m, (unsigned)len);
    len += stream ? 2 : 0;
    ck_assert_int_eq(send(fd, stream ? m : m + 2, len, MSG_NOSIGNAL), (ssize_t)len);
}

const char *dnsrig_read(int fd)
{
    static uint8_t m[DNS_TCP_MAX];
    ssize_t got;

    if (!is_stream(fd)) {
        got = recv(fd, m, sizeof(m), 0);
        return got > 0 ? dns_case_text(m, (size_t)got) : "nothing";
    }
    if (recv(fd, m, 2, MSG_WAITALL) != 2) {
        return "nothing";
    }
    got = dns_case_get16(m);
    ck_assert_int_eq(recv(fd, m, (size_t)got, MSG_WAITALL), got);
    return dns_case_text(m, (size_t)got);
}

const char *dnsrig_ask(int fd, const char *name, uint16_t type)
{
    dnsrig_send(fd, name, type, 0);
    return dnsrig_read(fd);
}

/* ---- the resolver's part ---- */

bool dnsrig_asked(int fd, struct dnsrig_question *ret)
{
    socklen_t len = sizeof(ret->from);
    ssize_t got = recvfrom(fd, ret->bytes, sizeof(ret->bytes), 0, (void *)ret->from, &len);

    ret->len = got > 0 ? (size_t)got : 0;
    return got > 0;
}

void dnsrig_reply(int fd, const struct dnsrig_question *q, const void *answer, size_t len)
{
    ck_assert_int_eq(sendto(fd, answer, len, 0, (const void *)q->from, sizeof(struct sockaddr_in)),
                     (ssize_t)len);
}

void dnsrig_reply_a(int fd, const struct dnsrig_question *q, uint32_t address)
{
    uint8_t a[DNS_CASE_MAX];

    dnsrig_reply(fd, q, a, dns_case_reply(q->bytes, 60, address, a));
}

uint64_t dnsrig_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
