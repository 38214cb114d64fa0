// SPDX-License-Identifier: Apache-2.0
/* Questions of the world: resolvers that answer, lie, are silent or not there. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/dns/dnsmsg.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "dnsrig.h"
#include "tests/lib/skip.h"

#define GOOD    0x08080808u
#define GOOD_IS "NOERROR [A 8.8.8.8] [] []"
#define EVIL    0x06060606u
#define FAILED  "SERVFAIL [] [] []"
#define DNSMASQ "/usr/sbin/dnsmasq"

static int udp, one, two; /* a container; resolvers 127.0.0.2 and 127.0.0.3 */

static void set_up(void)
{
    dnsrig_start("nameserver 127.0.0.2\n");
    udp = dnsrig_container(0, 1, SOCK_DGRAM);
    one = dnsrig_resolver(2, SOCK_DGRAM);
    two = dnsrig_resolver(3, SOCK_DGRAM);
}

static void tear_down(void)
{
    (void)dnsrig_stop();
    (void)close(udp);
    (void)close(one);
    (void)close(two);
}

/* The next question to a resolver, which must be there. */
static struct dnsrig_question asked(int resolver)
{
    struct dnsrig_question q;

    ck_assert(dnsrig_asked(resolver, &q));
    return q;
}

static uint16_t port_of(const struct dnsrig_question *q)
{
    struct sockaddr_in in;

    memcpy(&in, q->from, sizeof(in));
    return ntohs(in.sin_port);
}

/* ---- answers ---- */

START_TEST(an_answer_comes_back_and_is_kept)
{
    struct dnsrig_question q;
    struct uv_dns_stats stats;

    dnsrig_send(udp, "exAmple.org", DNSMSG_A, 0);
    q = asked(one);
    ck_assert_str_eq(dns_case_asked(q.bytes, q.len), "exAmple.org"); /* its case is a part of it */
    dnsrig_reply_a(one, &q, GOOD);
    ck_assert_str_eq(dnsrig_read(udp), GOOD_IS);
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_str_eq(dnsrig_ask(udp, "EXAMPLE.ORG", DNSMSG_A), GOOD_IS);
    }
    stats = dnsrig_stop();
    ck_assert_uint_eq(stats.forwarded, 1);
    ck_assert_uint_eq(stats.cached, 10);
    dnsrig_start("");
}
END_TEST

/* Nothing that the container wrote but the question itself goes further. */
START_TEST(options_are_not_passed_on)
{
    uint8_t m[DNS_CASE_MAX];
    size_t len = dns_case_ask(m, 7, "example.org", DNSMSG_A, 4096);
    struct dnsrig_question q;

    memcpy(m + len,
           "\0\x0a\0\x08"
           "secret!!",
           12);
    dns_case_put16(m + len - 2, 12);
    m[3] |= 0x30;
    ck_assert_int_eq(send(udp, m, len + 12, 0), (ssize_t)(len + 12));
    q = asked(one);
    ck_assert_ptr_null(memmem(q.bytes, q.len, "secret", 6));
    ck_assert_uint_eq(q.len, len);
    ck_assert_uint_eq(dns_case_get16(q.bytes + 2), 0x0100);
    ck_assert_uint_eq(dns_case_get16(q.bytes + len - 8), DNS_UDP_MAX);
}
END_TEST

START_TEST(ids_and_ports_are_drawn)
{
    enum { MANY = 60 };
    unsigned differ_id = 0, differ_port = 0;
    struct dnsrig_question last = {0}, q;
    char name[32];

    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof(name), "n%u.example.org", i);
        dnsrig_send(udp, name, DNSMSG_A, 0);
        q = asked(one);
        if (i > 0) {
            differ_id += dns_case_get16(q.bytes) != (uint16_t)(dns_case_get16(last.bytes) + 1) &&
                         dns_case_get16(q.bytes) != dns_case_get16(last.bytes);
            differ_port += port_of(&q) != port_of(&last);
        }
        last = q;
        dnsrig_reply_a(one, &q, GOOD);
        ck_assert_str_eq(dnsrig_read(udp), GOOD_IS);
    }
    ck_assert_uint_ge(differ_id, MANY - 3);
    ck_assert_uint_ge(differ_port, MANY - 5);
}
END_TEST

START_TEST(a_container_may_have_its_own_resolver)
{
    auto_close int own = dnsrig_container(1, 1, SOCK_DGRAM);
    struct dnsrig_question q;

    dnsrig_send(udp, "example.org", DNSMSG_A, 0);
    q = asked(one);
    dnsrig_reply_a(one, &q, GOOD);
    ck_assert_str_eq(dnsrig_read(udp), GOOD_IS);
    dnsrig_send(own, "example.org", DNSMSG_A, 0); /* and its own part of the cache */
    q = asked(two);
    dnsrig_reply_a(two, &q, GOOD + 1);
    ck_assert_str_eq(dnsrig_read(own), "NOERROR [A 8.8.8.9] [] []");
}
END_TEST

START_TEST(resolv_conf_is_read_again)
{
    struct dnsrig_question q;

    dnsrig_send(udp, "a.example.org", DNSMSG_A, 0);
    q = asked(one);
    dnsrig_reply_a(one, &q, GOOD);
    ck_assert_str_eq(dnsrig_read(udp), GOOD_IS);
    dnsrig_resolv_conf("nameserver 127.0.0.1\nnameserver 127.0.0.3\n"); /* never itself */
    (void)poll(NULL, 0, 1300);
    dnsrig_send(udp, "b.example.org", DNSMSG_A, 0);
    q = asked(two);
    dnsrig_reply_a(two, &q, GOOD);
    ck_assert_str_eq(dnsrig_read(udp), GOOD_IS);
}
END_TEST

/* ---- lies ---- */

static void lie(int resolver, const struct dnsrig_question *q, unsigned what)
{
    uint8_t a[DNS_CASE_MAX];
    size_t len = dns_case_reply(q->bytes, 60, EVIL, a);

    switch (what) {
    case 0:
        dns_case_put16(a, dns_case_get16(a) + 1u); /* the id */
        break;
    case 1:
        a[13] ^= 1; /* the name */
        break;
    case 2:
        a[13] ^= 0x20; /* its case */
        break;
    case 3:
        a[12 + 13 + 1] = 28; /* the type */
        break;
    case 4:
        a[2] &= 0x7f; /* no answer */
        break;
    case 5:
        a[5] = 2; /* two questions */
        break;
    default:
        len = what; /* cut off */
    }
    dnsrig_reply(resolver, q, a, len);
}

START_TEST(lies_are_not_believed)
{
    auto_close int elsewhere = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in port54 = {
        .sin_family = AF_INET, .sin_port = htons(54), .sin_addr.s_addr = htonl(0x7f000002)};
    struct dnsrig_question q;

    ck_assert_int_eq(bind(elsewhere, (const struct sockaddr *)&port54, sizeof(port54)), 0);
    dnsrig_send(udp, "example.org", DNSMSG_A, 0);
    q = asked(one);
    dnsrig_reply_a(elsewhere, &q, EVIL); /* from another port */
    dnsrig_reply_a(two, &q, EVIL);       /* from another address */
    for (unsigned what = 0; what < 12 + 13 + 4; what++) {
        lie(one, &q, what);
    }
    dnsrig_wait(udp, 300);
    ck_assert_str_eq(dnsrig_read(udp), "nothing");
    dnsrig_wait(udp, 3000);
    dnsrig_reply_a(one, &q, GOOD);
    ck_assert_str_eq(dnsrig_read(udp), GOOD_IS);
    ck_assert_str_eq(dnsrig_ask(udp, "example.org", DNSMSG_A), GOOD_IS);
}
END_TEST

/* 20,000 guesses of the id, sent as quickly as it goes, do not keep others waiting. */
START_TEST(guesses_keep_nobody_waiting)
{
    auto_close int other = dnsrig_container(0, 2, SOCK_DGRAM);
    struct dnsrig_question q;
    unsigned id;

    dnsrig_send(udp, "example.org", DNSMSG_A, 0);
    q = asked(one);
    id = dns_case_get16(q.bytes);
    for (unsigned i = 1; i < 20000; i++) {
        uint8_t a[DNS_CASE_MAX];
        size_t len = dns_case_reply(q.bytes, 60, EVIL, a);

        dns_case_put16(a, id + i);
        dnsrig_reply(one, &q, a, len);
        if (i % 1000 == 0) {
            ck_assert_str_eq(dnsrig_ask(other, "web", DNSMSG_A), DNSRIG_WEB);
        }
    }
    dnsrig_wait(udp, 100);
    ck_assert_str_eq(dnsrig_read(udp), "nothing");
}
END_TEST

/* ---- resolvers that fail ---- */

START_TEST(the_next_one_is_asked)
{
    struct dnsrig_question q;
    uint64_t from;

    dnsrig_resolv_conf("nameserver 127.0.0.2\nnameserver 127.0.0.3\n");
    (void)poll(NULL, 0, 1300);
    dnsrig_send(udp, "a.example.org", DNSMSG_A, 0);
    from = dnsrig_ms();
    q = asked(one);
    q = asked(two); /* a second and a half later */
    ck_assert_uint_ge(dnsrig_ms(), from + 1300);
    dnsrig_reply_a(two, &q, GOOD);
    ck_assert_str_eq(dnsrig_read(udp), GOOD_IS);
    from = dnsrig_ms();
    dnsrig_send(udp, "b.example.org", DNSMSG_A, 0);
    q = asked(two); /* at once: the first was silent */
    ck_assert_uint_lt(dnsrig_ms(), from + 1000);
    dnsrig_reply_a(two, &q, GOOD);
    ck_assert_str_eq(dnsrig_read(udp), GOOD_IS);
}
END_TEST

START_TEST(silence_ends)
{
    uint64_t from = dnsrig_ms();
    auto_close int other = dnsrig_container(0, 2, SOCK_DGRAM);

    dnsrig_send(udp, "example.org", DNSMSG_A, 0);
    dnsrig_wait(udp, 8000);
    ck_assert_str_eq(dnsrig_ask(other, "web", DNSMSG_A), DNSRIG_WEB); /* nobody waits with it */
    ck_assert_str_eq(dnsrig_read(udp), FAILED);
    ck_assert_uint_ge(dnsrig_ms(), from + 4900);
    ck_assert_uint_le(dnsrig_ms(), from + 6500);
}
END_TEST

/* Nobody listens: that is known soon, and needs no five seconds. */
START_TEST(a_refusal_is_not_waited_for)
{
    uint64_t from = dnsrig_ms();

    (void)close(one);
    one = -1;
    ck_assert_str_eq(dnsrig_ask(udp, "example.org", DNSMSG_A), FAILED);
    ck_assert_uint_lt(dnsrig_ms(), from + 2000);
    dnsrig_resolv_conf("nameserver 127.0.0.2\nnameserver 192.0.2.1\nnameserver 127.0.0.3\n");
    (void)poll(NULL, 0, 1300); /* 192.0.2.1: there is no route to it here */
    dnsrig_send(udp, "b.example.org", DNSMSG_A, 0);
    from = dnsrig_ms();
    struct dnsrig_question q = asked(two);
    ck_assert_uint_lt(dnsrig_ms(), from + 2000);
    dnsrig_reply_a(two, &q, GOOD);
    ck_assert_str_eq(dnsrig_read(udp), GOOD_IS);
}
END_TEST

/* A resolver that cannot is no last word, when there is another. */
START_TEST(a_failure_is_asked_elsewhere)
{
    struct dnsrig_question q;
    uint8_t a[DNS_CASE_MAX];
    size_t len;

    dnsrig_resolv_conf("nameserver 127.0.0.2\nnameserver 127.0.0.3\n");
    (void)poll(NULL, 0, 1300);
    for (unsigned round = 0; round < 2; round++) {
        dnsrig_send(udp, "example.org", DNSMSG_A, 0);
        q = asked(one);
        len = dns_case_reply(q.bytes, 60, EVIL, a);
        a[3] = (uint8_t)(0x80 | (round == 0 ? DNSMSG_SERVFAIL : DNSMSG_REFUSED));
        dns_case_put16(a + 6, 0);
        dnsrig_reply(one, &q, a, len - 16);
        q = asked(two);
        len = dns_case_reply(q.bytes, 60, EVIL, a);
        a[3] = (uint8_t)(0x80 | DNSMSG_SERVFAIL);
        dns_case_put16(a + 6, 0);
        dnsrig_reply(two, &q, a, len - 16);
        ck_assert_str_eq(dnsrig_read(udp), FAILED);
    }
}
END_TEST

/* ---- limits ---- */

/* 64 of one container's are under way; more fail at once, and others have their own. */
START_TEST(questions_under_way_are_limited)
{
    auto_close int other = dnsrig_container(0, 2, SOCK_DGRAM);
    struct dnsrig_question q;
    char name[32];

    for (unsigned i = 0; i < 64; i++) {
        (void)snprintf(name, sizeof(name), "n%u.example.org", i);
        dnsrig_send(udp, name, DNSMSG_A, 0);
        q = asked(one);
    }
    ck_assert_str_eq(dnsrig_ask(udp, "more.example.org", DNSMSG_A), FAILED);
    ck_assert_str_eq(dnsrig_ask(udp, "web", DNSMSG_A), DNSRIG_WEB);
    dnsrig_send(other, "other.example.org", DNSMSG_A, 0);
    q = asked(one);
    dnsrig_reply_a(one, &q, GOOD);
    ck_assert_str_eq(dnsrig_read(other), GOOD_IS);
}
END_TEST

/* Who is gone before the answer comes. */
START_TEST(nobody_is_left_to_be_told)
{
    int tcp = dnsrig_container(0, 1, SOCK_STREAM);
    struct dnsrig_question q;

    dnsrig_send(tcp, "example.org", DNSMSG_A, 0);
    q = asked(one);
    (void)close(tcp);
    (void)poll(NULL, 0, 200);
    dnsrig_reply_a(one, &q, GOOD);
    ck_assert_str_eq(dnsrig_ask(udp, "web", DNSMSG_A), DNSRIG_WEB);
    dnsrig_send(udp, "b.example.org", DNSMSG_A, 0);
    q = asked(one);
    ck_assert_ptr_nonnull(strstr(dns_case_asked(q.bytes, q.len), "b."));
}
END_TEST

/* ---- long answers ---- */

/* By UDP the asker learns that it is cut off; asked by TCP, it is fetched by TCP. */
START_TEST(long_answers_come_by_tcp)
{
    auto_close int tcp = dnsrig_container(0, 1, SOCK_STREAM);
    auto_close int listener = dnsrig_resolver(2, SOCK_STREAM);
    auto_close int conn = -1;
    uint8_t a[2 + DNS_CASE_MAX], m[2 + DNS_CASE_MAX];
    struct dnsrig_question q;
    size_t len;

    for (unsigned by_tcp = 0; by_tcp < 2; by_tcp++) {
        dnsrig_send(by_tcp ? tcp : udp, "example.org", DNSMSG_A, 0);
        q = asked(one);
        len = dns_case_reply(q.bytes, 60, EVIL, a);
        a[2] |= 2;
        dns_case_put16(a + 6, 0);
        dnsrig_reply(one, &q, a, len - 16);
        if (!by_tcp) {
            ck_assert_str_eq(dnsrig_read(udp), "NOERROR tc [] [] []");
        }
    }
    conn = accept(listener, NULL, NULL);
    ck_assert_int_ge(conn, 0);
    dnsrig_wait(conn, 3000);
    ck_assert_int_eq(recv(conn, m, 2, MSG_WAITALL), 2);
    len = dns_case_get16(m);
    ck_assert_int_eq(recv(conn, m + 2, len, MSG_WAITALL), (ssize_t)len);
    len = dns_case_reply(m + 2, 60, GOOD, a + 2);
    dns_case_put16(a, (unsigned)len);
    for (size_t i = 0; i < len + 2; i++) {
        ck_assert_int_eq(send(conn, a + i, 1, MSG_NOSIGNAL), 1);
    }
    ck_assert_str_eq(dnsrig_read(tcp), GOOD_IS);
}
END_TEST

/* ---- a real resolver ---- */

static pid_t start_dnsmasq(void)
{
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        execl(DNSMASQ, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts",
              "--no-resolv", "--listen-address=127.0.0.4", "--bind-interfaces",
              "--pid-file=", "--user=root", "--log-facility=/dev/null", "--local=/test/",
              "--local-ttl=30", "--host-record=a.test,8.8.8.8", "--cname=b.test,a.test",
              "--txt-record=long.test,"
              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
              "aaaa"
              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
              "aaaa,"
              "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
              "bbbb"
              "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
              "bbbb,"
              "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
              "cccc"
              "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
              "cccc",
              (char *)NULL);
        _exit(127);
    }
    return pid;
}

START_TEST(dnsmasq_is_understood)
{
    auto_close int tcp = dnsrig_container(0, 1, SOCK_STREAM);
    pid_t pid = start_dnsmasq();
    uint64_t from = dnsrig_ms();

    dnsrig_resolv_conf("nameserver 127.0.0.4\n");
    (void)poll(NULL, 0, 1300);
    while (strcmp(dnsrig_ask(udp, "a.test", DNSMSG_A), "NOERROR aa [A 8.8.8.8] [] []") != 0) {
        ck_assert_uint_lt(dnsrig_ms(), from + 20000);
        (void)poll(NULL, 0, 100);
    }
    ck_assert_str_eq(dnsrig_ask(udp, "b.test", DNSMSG_A),
                     "NOERROR aa [CNAME a.test, a.test A 8.8.8.8] [] []");
    ck_assert_str_eq(dnsrig_ask(tcp, "b.test", DNSMSG_A),
                     "NOERROR aa [CNAME a.test, a.test A 8.8.8.8] [] []");
    ck_assert_ptr_nonnull(strstr(dnsrig_ask(udp, "c.test", DNSMSG_A), "NXDOMAIN"));
    ck_assert_ptr_nonnull(strstr(dnsrig_ask(udp, "long.test", 16), " tc "));
    ck_assert_str_eq(dnsrig_ask(tcp, "long.test", 16), "NOERROR aa [type16] [] []");
    dnsrig_send(udp, "long.test", 16, 1232);
    ck_assert_str_eq(dnsrig_read(udp), "NOERROR aa [type16] [] []");
    ck_assert_int_eq(kill(pid, SIGTERM), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("uv_dns_forward");
    TCase *c = tcase_create("forward");
    SRunner *r;
    int failed;

    if (skip_unless_root("port 53")) {
        return SKIP;
    }
    tcase_add_unchecked_fixture(c, dnsrig_namespace, NULL);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, an_answer_comes_back_and_is_kept);
    tcase_add_test(c, options_are_not_passed_on);
    tcase_add_test(c, ids_and_ports_are_drawn);
    tcase_add_test(c, a_container_may_have_its_own_resolver);
    tcase_add_test(c, resolv_conf_is_read_again);
    tcase_add_test(c, lies_are_not_believed);
    tcase_add_test(c, guesses_keep_nobody_waiting);
    tcase_add_test(c, the_next_one_is_asked);
    tcase_add_test(c, silence_ends);
    tcase_add_test(c, a_refusal_is_not_waited_for);
    tcase_add_test(c, a_failure_is_asked_elsewhere);
    tcase_add_test(c, questions_under_way_are_limited);
    tcase_add_test(c, nobody_is_left_to_be_told);
    tcase_add_test(c, long_answers_come_by_tcp);
    if (access(DNSMASQ, X_OK) == 0) {
        tcase_add_test(c, dnsmasq_is_understood);
    }
    suite_add_tcase(s, c);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
