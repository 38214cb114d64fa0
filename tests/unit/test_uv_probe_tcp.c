// SPDX-License-Identifier: Apache-2.0
/* TCP probes into a network namespace of our own, with real listeners: on the container's address,
 * on 127.0.0.1 only, on nothing, and behind a full backlog. */
#include "agent/uv_probe_tcp.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/net/netns.h"
#include "tests/lib/skip.h"

#define ADDRESS 0x0a7f0102u /* 10.127.1.2 */

static int netns = -1;
static uv_loop_t loop;

struct verdict {
    unsigned called;
    int status;
    char text[256];
};

static void on_verdict(void *arg, int status, const char *text)
{
    struct verdict *v = arg;

    v->called++;
    v->status = status;
    (void)snprintf(v->text, sizeof(v->text), "%s", text);
}

static void set_up(int fd, const char *name, uint32_t address)
{
    struct ifreq r = {0};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};

    (void)snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
    memcpy(&r.ifr_addr, &in, sizeof(in));
    ck_assert_int_eq(ioctl(fd, SIOCSIFADDR, &r), 0);
    r.ifr_flags = IFF_UP | IFF_RUNNING;
    ck_assert_int_eq(ioctl(fd, SIOCSIFFLAGS, &r), 0);
}

static void setup(void)
{
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int fd;

    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    set_up(fd, "lo", INADDR_LOOPBACK);
    set_up(fd, "lo:1", ADDRESS);
    (void)close(fd);
    ck_assert_int_eq(setns(home, CLONE_NEWNET), 0);
    (void)close(home);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
}

static void teardown(void)
{
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    (void)close(netns);
}

static int listen_on(uint32_t address, uint16_t port, int backlog)
{
    int fd = netns_socket(netns, AF_INET, SOCK_STREAM, 0, NULL);
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    ck_assert_int_eq(listen(fd, backlog), 0);
    return fd;
}

static struct verdict ask(uint32_t address, uint16_t port, uint32_t timeout_ms)
{
    struct verdict v = {0};

    (void)uv_probe_tcp(&loop, netns, address, port, timeout_ms, on_verdict, &v);
    ck_assert_uint_eq(v.called, 0); /* never from inside */
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(v.called, 1);
    return v;
}

START_TEST(own_address)
{
    int fd = listen_on(ADDRESS, 80, 8);
    struct verdict v = ask(ADDRESS, 80, 1000);

    ck_assert_msg(v.status == 0, "%d %s", v.status, v.text);
    ck_assert_str_eq(v.text, "accepted");
    (void)close(fd);
}
END_TEST

START_TEST(loopback_only)
{
    int fd = listen_on(INADDR_LOOPBACK, 81, 8);
    struct verdict v = ask(ADDRESS, 81, 1000);

    ck_assert_msg(v.status == 0, "%d %s", v.status, v.text);
    v = ask(0, 81, 1000);
    ck_assert_msg(v.status == 0, "%d %s", v.status, v.text);
    (void)close(fd);
}
END_TEST

START_TEST(own_address_only)
{
    int fd = listen_on(ADDRESS, 82, 8);
    struct verdict v = ask(0, 82, 1000); /* no address is known: only 127.0.0.1 is asked */

    ck_assert_int_eq(v.status, -ECONNREFUSED);
    (void)close(fd);
}
END_TEST

START_TEST(refused)
{
    struct verdict v = ask(ADDRESS, 83, 1000);

    ck_assert_int_eq(v.status, -ECONNREFUSED);
    ck_assert_str_eq(v.text, "connect to 127.0.0.1 port 83: Connection refused");
}
END_TEST

/* A listener whose queue is full lets a handshake hang, as a stuck program does. */
START_TEST(timeout)
{
    int fd = listen_on(ADDRESS, 84, 0);
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(84), .sin_addr.s_addr = htonl(ADDRESS)};
    int full[4];
    struct verdict v;
    uint64_t begun;

    for (unsigned i = 0; i < 4; i++) {
        full[i] = netns_socket(netns, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0, NULL);
        (void)!connect(full[i], (struct sockaddr *)&in, sizeof(in));
    }
    begun = uv_hrtime();
    v = ask(ADDRESS, 84, 200);
    ck_assert_msg(v.status == -ETIMEDOUT, "%d %s", v.status, v.text);
    ck_assert_str_eq(v.text, "no answer within 200 ms");
    ck_assert_uint_ge((uv_hrtime() - begun) / 1000000, 190);
    ck_assert_uint_lt((uv_hrtime() - begun) / 1000000, 2000);
    for (unsigned i = 0; i < 4; i++) {
        (void)close(full[i]);
    }
    (void)close(fd);
}
END_TEST

START_TEST(cancelled)
{
    int fd = listen_on(ADDRESS, 85, 8);
    struct verdict v = {0};
    struct uv_probe_tcp *p = uv_probe_tcp(&loop, netns, ADDRESS, 85, 60000, on_verdict, &v);

    uv_probe_tcp_cancel(p);
    ck_assert_uint_eq(v.called, 0);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(v.called, 1);
    ck_assert_int_eq(v.status, -ECANCELED);
    (void)close(fd);
}
END_TEST

START_TEST(bad_namespace)
{
    struct verdict v = {0};
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)uv_probe_tcp(&loop, fd, ADDRESS, 86, 1000, on_verdict, &v);
    (void)close(fd);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(v.called, 1);
    ck_assert_int_eq(v.status, -EINVAL);
    ck_assert_ptr_nonnull(strstr(v.text, "enter network namespace"));
}
END_TEST

/* No descriptor stays open, however a probe ends. */
START_TEST(nothing_left)
{
    int fd = listen_on(ADDRESS, 87, 64);
    int before = dup(0), after;

    (void)close(before);
    for (unsigned i = 0; i < 20; i++) {
        (void)ask(ADDRESS, (uint16_t)(87 + i % 2), 1000);
    }
    after = dup(0);
    ck_assert_int_eq(before, after);
    (void)close(after);
    (void)close(fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("uv_probe_tcp");
    TCase *tcase = tcase_create("probes");
    SRunner *runner;
    int failed;

    if (skip_unless_root("network namespaces")) {
        return SKIP;
    }
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, own_address);
    tcase_add_test(tcase, loopback_only);
    tcase_add_test(tcase, own_address_only);
    tcase_add_test(tcase, refused);
    tcase_add_test(tcase, timeout);
    tcase_add_test(tcase, cancelled);
    tcase_add_test(tcase, bad_namespace);
    tcase_add_test(tcase, nothing_left);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
