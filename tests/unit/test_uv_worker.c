// SPDX-License-Identifier: Apache-2.0
/* HTTP probes through the real wherry-worker, against a server that behaves as its path says. */
#include "agent/uv_worker.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/lib/skip.h"

#define CLIENTS_MAX 1024
#define MANY        300

static const struct answer {
    const char *path;
    const char *bytes;
    bool endless;
} answers[] = {
    {"/ok", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n", false},
    {"/empty", "HTTP/1.1 204 No Content\r\n\r\n", false},
    {"/moved", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
     false},
    {"/down", "HTTP/1.1 503 Busy\r\nContent-Length: 6\r\n\r\nlater\n", false},
    {"/junk", "\x01\x02 this is not HTTP\r\n\r\n", false},
    {"/big", "HTTP/1.1 200 OK\r\n\r\n", true},
    {"/chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true},
};

static void answer(int fd, const char *request)
{
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        size_t len = strlen(answers[i].path);
        static const char chunk[] = "a\r\n0123456789\r\n";

        if (strncmp(request + 4, answers[i].path, len) != 0 || request[4 + len] != ' ') {
            continue;
        }
        (void)!write(fd, answers[i].bytes, strlen(answers[i].bytes));
        for (int n = 0; answers[i].endless && n < 100000; n++) {
            if (send(fd, chunk, sizeof(chunk) - 1, MSG_NOSIGNAL) < 0) {
                break;
            }
        }
        (void)close(fd);
        return;
    }
    /* Any other path: no answer, ever. The descriptor stays open. */
}

/* Serves until killed; one process, everything answered as soon as it has been asked. */
static _Noreturn void serve(int listener)
{
    struct pollfd polls[CLIENTS_MAX + 1] = {{.fd = listener, .events = POLLIN}};
    nfds_t n = 1;

    for (;;) {
        (void)poll(polls, n, -1);
        for (nfds_t i = 1; i < n; i++) {
            char request[4096] = "";
            ssize_t got;

            if (polls[i].fd < 0 || polls[i].revents == 0) {
                continue;
            }
            got = read(polls[i].fd, request, sizeof(request) - 1);
            if (got > 0) {
                answer(polls[i].fd, request);
            }
            polls[i].fd = -1;
        }
        if (polls[0].revents != 0 && n <= CLIENTS_MAX) {
            polls[n] = (struct pollfd){.fd = accept(listener, NULL, NULL), .events = POLLIN};
            polls[n++].revents = 0;
        }
    }
}

static pid_t server;
static uint16_t port;
static uv_loop_t loop;
static struct uv_worker *worker;
static unsigned called, closed;

struct verdict {
    int status;
    char text[256];
};

static void on_verdict(void *arg, int status, const char *text)
{
    struct verdict *v = arg;

    v->status = status;
    (void)snprintf(v->text, sizeof(v->text), "%s", text);
    called++;
}

static void on_closed(void *arg)
{
    (void)arg;
    closed++;
}

static void setup(void)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);

    ck_assert_int_eq(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
    ck_assert_int_eq(listen(listener, CLIENTS_MAX), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&a, &len), 0);
    port = ntohs(a.sin_port);
    server = fork();
    if (server == 0) {
        serve(listener);
    }
    (void)close(listener);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    worker = uv_worker_create(&loop, WHERRY_WORKER);
}

static void teardown(void)
{
    uv_worker_close(worker, on_closed, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(closed, 1);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
}

static struct uv_worker_target target(const char *address)
{
    struct uv_worker_target t = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};

    (void)snprintf(t.address, sizeof(t.address), "%s", address);
    return t;
}

static void probe(const char *path, uint32_t timeout_ms, struct verdict *v)
{
    struct uv_worker_http http = {.target = {target("127.0.0.1"), {.fd = -1}},
                                  .port = port,
                                  .path = path,
                                  .host = "localhost",
                                  .timeout_ms = timeout_ms};

    uv_worker_probe(worker, &http, on_verdict, v);
}

static void run_until(unsigned n)
{
    while (called < n) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
}

START_TEST(verdicts)
{
    static const struct {
        const char *path;
        int status;
        const char *text;
    } rows[] = {
        {"/ok", 0, "ok"},
        {"/empty", 0, ""},
        {"/moved", 0, ""},
        {"/down", -EPROTO, "HTTP 503: later"},
        {"/junk", -EPROTO, NULL},
        {"/big", 0, "a"},
        {"/chunks", 0, "0123456789"},
        {"/silent", -ETIMEDOUT, "no answer within 300 ms"},
        {"no-slash", -EPROTO, "probe has a bad path or host"},
        {"/x\r\nHost: evil", -EPROTO, "probe has a bad path or host"},
    };
    struct verdict v[ARRAY_LEN(rows)];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        probe(rows[i].path, 300, &v[i]);
    }
    run_until(ARRAY_LEN(rows));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(v[i].status == rows[i].status, "%s: %d %s", rows[i].path, v[i].status,
                      v[i].text);
        ck_assert_msg(rows[i].text == NULL ||
                          strncmp(v[i].text, rows[i].text, strlen(rows[i].text)) == 0,
                      "%s: %s", rows[i].path, v[i].text);
    }
}
END_TEST

START_TEST(second_target)
{
    struct uv_worker_http http = {.target = {target("127.0.0.2"), target("127.0.0.1")},
                                  .port = port,
                                  .path = "/ok",
                                  .host = "localhost",
                                  .timeout_ms = 1000};
    struct verdict v[2];

    uv_worker_probe(worker, &http, on_verdict, &v[0]);
    http.target[0] = target("127.0.0.2");
    http.target[1].fd = -1;
    uv_worker_probe(worker, &http, on_verdict, &v[1]);
    run_until(2);
    ck_assert_int_eq(v[0].status, 0);
    ck_assert_int_eq(v[1].status, -ECONNREFUSED);
    ck_assert_str_eq(v[1].text, "connection refused");
}
END_TEST

/* Hundreds at once: half of them wait for an answer that never comes, and hold up nobody. */
START_TEST(many)
{
    static struct verdict v[MANY];
    uint64_t begin = uv_hrtime();

    for (unsigned i = 0; i < MANY; i++) {
        probe(i % 2 == 0 ? "/ok" : "/silent", 1000, &v[i]);
    }
    run_until(MANY);
    printf("%d probes, half of them silent for 1,000 ms: %.0f ms\n", MANY,
           (double)(uv_hrtime() - begin) / 1e6);
    for (unsigned i = 0; i < MANY; i++) {
        ck_assert_msg((v[i].status == 0) == (i % 2 == 0), "%u: %d %s", i, v[i].status, v[i].text);
    }
    ck_assert_uint_lt((uv_hrtime() - begin) / 1000000, 10000);
}
END_TEST

/* The child of this process that is not the server. */
static pid_t prober_pid(void)
{
    char path[64];
    FILE *f;
    int pid = 0, found = 0;

    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    f = fopen(path, "re");
    while (f != NULL && fscanf(f, "%d", &pid) == 1) {
        found = pid != server ? pid : found;
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return found;
}

START_TEST(prober_killed)
{
    struct verdict v[3];

    probe("/ok", 1000, &v[0]);
    run_until(1);
    probe("/silent", 5000, &v[1]);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_int_gt(prober_pid(), 0);
    ck_assert_int_eq(kill(prober_pid(), SIGKILL), 0);
    run_until(2);
    ck_assert_int_eq(v[1].status, -EAGAIN);
    probe("/ok", 3000, &v[2]);
    run_until(3);
    ck_assert_int_eq(v[2].status, 0);
}
END_TEST

START_TEST(cancelled)
{
    static struct verdict v[10];

    for (unsigned i = 0; i < 10; i++) {
        probe("/silent", 60000, &v[i]);
    }
    (void)uv_run(&loop, UV_RUN_NOWAIT);
}
END_TEST

/* After the loop has closed, each was told. */
static void teardown_cancelled(void)
{
    teardown();
    ck_assert_uint_eq(called, 10);
}

START_TEST(no_such_program)
{
    struct verdict v;

    uv_worker_close(worker, on_closed, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    closed = 0;
    worker = uv_worker_create(&loop, "/nonexistent/wherry-worker");
    probe("/ok", 200, &v);
    run_until(1);
    ck_assert_int_eq(v.status, -EAGAIN);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("uv_worker");
    TCase *good = tcase_create("probes");
    TCase *cancel = tcase_create("cancelled");
    SRunner *runner;
    int failed;

    if (skip_unless_root("the worker's jail")) {
        return SKIP;
    }
    tcase_set_timeout(good, 30);
    tcase_add_checked_fixture(good, setup, teardown);
    tcase_add_test(good, verdicts);
    tcase_add_test(good, second_target);
    tcase_add_test(good, many);
    tcase_add_test(good, prober_killed);
    tcase_add_test(good, no_such_program);
    suite_add_tcase(suite, good);
    tcase_add_checked_fixture(cancel, setup, teardown_cancelled);
    tcase_add_test(cancel, cancelled);
    suite_add_tcase(suite, cancel);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
