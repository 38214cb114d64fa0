// SPDX-License-Identifier: Apache-2.0
/* The name server as containers meet it: datagrams, connections, limits, floods. */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "agent/dns/dnsmsg.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "dnsrig.h"
#include "tests/lib/skip.h"

#define FLOOD 100000

static void set_up(void)
{
    dnsrig_start("");
}

/* Tests stop the server when they want its counts. */
static void tear_down(void)
{
    (void)dnsrig_stop();
}

START_TEST(a_container_is_answered)
{
    auto_close int udp = dnsrig_container(0, 1, SOCK_DGRAM);
    auto_close int tcp = dnsrig_container(0, 1, SOCK_STREAM);

    ck_assert_str_eq(dnsrig_ask(udp, "web", DNSMSG_A), DNSRIG_WEB);
    ck_assert_str_eq(dnsrig_ask(tcp, "WeB.shop", DNSMSG_A), DNSRIG_WEB);
    ck_assert_str_eq(dnsrig_ask(udp, "nothing", DNSMSG_A),
                     "NXDOMAIN aa [] [wherry.internal SOA] []");
    ck_assert_str_eq(dnsrig_ask(tcp, "web", DNSMSG_AAAA), "NOERROR aa [] [wherry.internal SOA] []");
}
END_TEST

START_TEST(a_stranger_is_not)
{
    auto_close int udp = dnsrig_container(3, 1, SOCK_DGRAM);
    auto_close int tcp = dnsrig_container(3, 1, SOCK_STREAM);

    dnsrig_wait(udp, 200);
    dnsrig_wait(tcp, 200);
    ck_assert_str_eq(dnsrig_ask(udp, "web", DNSMSG_A), "nothing");
    ck_assert_str_eq(dnsrig_ask(tcp, "web", DNSMSG_A), "nothing");
}
END_TEST

/* By another program, or by another agent. */
START_TEST(a_taken_port_is_told)
{
    static const int types[] = {SOCK_DGRAM, SOCK_STREAM};

    for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
        auto_close int fd = dnsrig_resolver(9, types[i]);
        const struct uv_dns_config config = {
            .address = "127.0.0.9", .port = 53, .resolv_conf = "/dev/null"};
        struct uv_dns *dns;
        uv_loop_t loop;
        struct err e;

        ck_assert_int_eq(uv_loop_init(&loop), 0);
        ck_assert_int_eq(uv_dns_create(&loop, &config, &dns, &e), -EADDRINUSE);
        ck_assert_ptr_nonnull(strstr(e.text, "127.0.0.9:53"));
        ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
        ck_assert_int_eq(uv_loop_close(&loop), 0);
    }
}
END_TEST

/* What is no question gets no answer, and the next one does. */
START_TEST(noise_is_not_answered)
{
    auto_close int fd = dnsrig_container(0, 1, SOCK_DGRAM);
    uint8_t m[4096] = {0};
    size_t len = dns_case_ask(m, 7, "web", DNSMSG_A, 0);

    dnsrig_wait(fd, 200);
    for (size_t cut = 0; cut < 12; cut++) {
        ck_assert_int_eq(send(fd, m, cut, 0), (ssize_t)cut);
    }
    m[2] = 0x80;
    ck_assert_int_eq(send(fd, m, len, 0), (ssize_t)len);
    m[2] = 0;
    ck_assert_int_eq(send(fd, m, 513, 0), 513); /* longer than any question */
    ck_assert_str_eq(dnsrig_read(fd), "nothing");
    dns_case_put16(m + 4, 65535);
    ck_assert_int_eq(send(fd, m, 512, 0), 512);
    ck_assert_str_eq(dnsrig_read(fd), "FORMERR [] [] []");
    dnsrig_wait(fd, 3000);
    ck_assert_str_eq(dnsrig_ask(fd, "web", DNSMSG_A), DNSRIG_WEB);
}
END_TEST

START_TEST(the_world_is_not_for_all)
{
    auto_close int out = dnsrig_container(0, 1, SOCK_DGRAM);
    auto_close int closed = dnsrig_container(2, 1, SOCK_DGRAM);

    ck_assert_str_eq(dnsrig_ask(closed, "example.org", DNSMSG_A),
                     "NXDOMAIN aa [] [wherry.internal SOA] []");
    ck_assert_str_eq(dnsrig_ask(out, "example.org", DNSMSG_A), "REFUSED [] [] []"); /* by whom? */
}
END_TEST

/* ---- connections ---- */

static size_t questions(uint8_t *m, unsigned n)
{
    size_t at = 0;

    for (unsigned i = 0; i < n; i++) {
        size_t len = dns_case_ask(m + at + 2, (uint16_t)i, "web", DNSMSG_A, 0);

        dns_case_put16(m + at, (unsigned)len);
        at += 2 + len;
    }
    return at;
}

/* All at once, and byte by byte. */
START_TEST(questions_follow_each_other)
{
    enum { MANY = 300 };
    auto_close int fd = dnsrig_container(0, 1, SOCK_STREAM);
    auto_free uint8_t *m = xmalloc(MANY * 64);
    size_t len = questions(m, MANY);

    ck_assert_int_eq(send(fd, m, len, 0), (ssize_t)len);
    for (unsigned i = 0; i < MANY; i++) {
        ck_assert_str_eq(dnsrig_read(fd), DNSRIG_WEB);
    }
    len = questions(m, 2);
    for (size_t i = 0; i < len; i++) {
        ck_assert_int_eq(send(fd, m + i, 1, 0), 1);
    }
    ck_assert_str_eq(dnsrig_read(fd), DNSRIG_WEB);
    ck_assert_str_eq(dnsrig_read(fd), DNSRIG_WEB);
}
END_TEST

/* Whether the other side has ended it. */
static bool is_ended(int fd, int wait_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char byte;

    return poll(&p, 1, wait_ms) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) <= 0;
}

START_TEST(connections_are_limited)
{
    int fds[16];

    for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = dnsrig_container(0, 1, SOCK_STREAM);
        ck_assert_str_eq(dnsrig_ask(fds[i], "web", DNSMSG_A), DNSRIG_WEB);
    }
    for (unsigned i = 0; i < 5; i++) {
        auto_close int more = dnsrig_container(0, 1, SOCK_STREAM);

        ck_assert(is_ended(more, 3000));
    }
    for (unsigned i = 0; i < 15; i++) { /* of another container's nothing is taken */
        auto_close int other = dnsrig_container(0, 2 + i, SOCK_STREAM);

        ck_assert_str_eq(dnsrig_ask(other, "web", DNSMSG_A), DNSRIG_WEB);
    }
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
        ck_assert_str_eq(dnsrig_ask(fds[i], "web", DNSMSG_A), DNSRIG_WEB);
        (void)close(fds[i]);
    }
}
END_TEST

/* Whoever says nothing, and whoever does not finish a question. */
START_TEST(quiet_connections_end)
{
    auto_close int quiet = dnsrig_container(0, 1, SOCK_STREAM);
    auto_close int half = dnsrig_container(0, 2, SOCK_STREAM);
    auto_close int busy = dnsrig_container(0, 3, SOCK_STREAM);
    uint64_t from = dnsrig_ms();

    ck_assert_int_eq(send(half, "\0\x20xxxx", 6, 0), 6);
    while (dnsrig_ms() < from + 8000) {
        ck_assert_str_eq(dnsrig_ask(busy, "web", DNSMSG_A), DNSRIG_WEB);
        ck_assert(!is_ended(quiet, 500));
    }
    ck_assert(is_ended(quiet, 5000));
    ck_assert(is_ended(half, 1000));
    ck_assert_uint_ge(dnsrig_ms(), from + 9500);
    ck_assert_str_eq(dnsrig_ask(busy, "web", DNSMSG_A), DNSRIG_WEB);
}
END_TEST

/* Questions without end, and not one answer is read: it is cut off, and others are served. */
START_TEST(who_does_not_read_is_cut_off)
{
    enum { MANY = 3000 };
    auto_close int deaf = dnsrig_container(0, 1, SOCK_STREAM);
    auto_close int other = dnsrig_container(0, 2, SOCK_DGRAM);
    auto_free uint8_t *m = xmalloc(MANY * 64);
    size_t len = questions(m, MANY);
    uint64_t from = dnsrig_ms();
    int small = 1;

    ck_assert_int_eq(setsockopt(deaf, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    while (dnsrig_ms() < from + 60000) {
        ssize_t put = send(deaf, m, len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (put < 0 && errno != EAGAIN) {
            break;
        }
        ck_assert_str_eq(dnsrig_ask(other, "web", DNSMSG_A), DNSRIG_WEB);
        (void)poll(NULL, 0, 1); /* within its own limit */
    }
    ck_assert_uint_lt(dnsrig_ms(), from + 60000);
}
END_TEST

/* ---- floods ---- */

/* Sends `n` times the same question, as quickly as it goes; a full buffer is the sender's matter.
 */
static void flood(int fd, unsigned n)
{
    uint8_t m[DNS_CASE_MAX];
    struct iovec iov = {.iov_base = m, .iov_len = dns_case_ask(m, 7, "web", DNSMSG_A, 0)};
    struct mmsghdr group[64];

    for (unsigned i = 0; i < ARRAY_LEN(group); i++) {
        group[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};
    }
    for (unsigned at = 0; at < n; at += ARRAY_LEN(group)) {
        (void)sendmmsg(fd, group, ARRAY_LEN(group), MSG_DONTWAIT);
    }
}

static unsigned count_answers(int fd)
{
    uint8_t m[512];
    unsigned n = 0;

    while (recv(fd, m, sizeof(m), MSG_DONTWAIT) > 0) {
        n++;
    }
    return n;
}

/* One process sends 100,000 questions and goes on; meanwhile another container's are answered. */
START_TEST(a_flood_costs_others_nothing)
{
    auto_close int other = dnsrig_container(0, 2, SOCK_DGRAM);
    unsigned asked = 0, late = 0;
    atomic_uint *sent =
        mmap(NULL, sizeof(*sent), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        int fd = dnsrig_container(0, 1, SOCK_DGRAM);

        for (;;) {
            flood(fd, 1000);
            *sent += 1000;
        }
    }
    dnsrig_wait(other, 500);
    for (; *sent < FLOOD || asked < 100; asked++) {
        uint64_t from = dnsrig_ms();
        bool answered = strcmp(dnsrig_ask(other, "web", DNSMSG_A), DNSRIG_WEB) == 0;

        late += !answered || dnsrig_ms() > from + 50;
        (void)poll(NULL, 0, 1); /* within its own limit */
    }
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    printf("a flood of %u: %u questions of another, %u lost or later than 50 ms\n", *sent, asked,
           late);
    ck_assert_uint_le(late, asked / 10);
    ck_assert_int_eq(munmap(sent, sizeof(*sent)), 0);
}
END_TEST

/* Four thousand at once are answered, and what comes in the time that it takes; the rest are
 * dropped, and counted. */
START_TEST(a_flood_is_limited)
{
    auto_close int fd = dnsrig_container(0, 1, SOCK_DGRAM);
    struct uv_dns_stats stats;
    uint64_t from = dnsrig_ms(), took;
    unsigned n = 0;
    int space = 8 << 20;

    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &space, sizeof(space)), 0);
    for (unsigned i = 0; i < FLOOD; i += 1000) {
        flood(fd, 1000);
        n += count_answers(fd);
    }
    dnsrig_wait(fd, 300);
    while (strcmp(dnsrig_read(fd), "nothing") != 0) {
        n++;
    }
    took = dnsrig_ms() - from;
    ck_assert_uint_ge(n, 3000);
    ck_assert_uint_le(n, 4000 + 2 * took);
    stats = dnsrig_stop();
    ck_assert_uint_le(stats.answered, 4000 + 2 * took);
    ck_assert_uint_eq(stats.answered + stats.dropped, stats.queries);
    ck_assert_uint_gt(stats.dropped, FLOOD / 10);
    dnsrig_start("");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("uv_dns");
    TCase *c = tcase_create("server");
    SRunner *r;
    int failed;

    if (skip_unless_root("port 53")) {
        return SKIP;
    }
    tcase_add_unchecked_fixture(c, dnsrig_namespace, NULL);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_set_timeout(c, 100);
    tcase_add_test(c, a_container_is_answered);
    tcase_add_test(c, a_stranger_is_not);
    tcase_add_test(c, a_taken_port_is_told);
    tcase_add_test(c, noise_is_not_answered);
    tcase_add_test(c, the_world_is_not_for_all);
    tcase_add_test(c, questions_follow_each_other);
    tcase_add_test(c, connections_are_limited);
    tcase_add_test(c, quiet_connections_end);
    tcase_add_test(c, who_does_not_read_is_cut_off);
    tcase_add_test(c, a_flood_costs_others_nothing);
    tcase_add_test(c, a_flood_is_limited);
    suite_add_tcase(s, c);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
