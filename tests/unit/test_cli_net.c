// SPDX-License-Identifier: Apache-2.0
/* What `wherry doctor` and `wherry net …` print of answers that are given by hand: a process that
 * answers one request on a unix socket plays the controller. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "controller/cli/cmd.h"

static char dir[] = "/tmp/wherry-clinet-XXXXXX";
static char path[64];
static pid_t server;

/* Answers every request alike, if it is about `expected`. */
static void serve(int listener, const char *expected, const char *body)
{
    for (;;) {
        auto_close int fd = accept(listener, NULL, NULL);
        auto_buf struct buf answer = {0};
        char request[4096];
        ssize_t n = read(fd, request, sizeof(request) - 1);

        request[n > 0 ? n : 0] = '\0';
        if (strstr(request, expected) == NULL) {
            body = "{\"message\": \"not what was expected\"}";
        }
        buf_printf(&answer,
                   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                   "Connection: close\r\n\r\n%s",
                   strlen(body), body);
        if (write(fd, answer.data, answer.len) < 0) {
            _exit(1);
        }
    }
}

static void pretend(const char *expected, const char *body)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);

    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/s", dir);
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&name, sizeof(name)), 0);
    ck_assert_int_eq(listen(listener, 8), 0);
    server = fork();
    ck_assert_int_ge(server, 0);
    if (server == 0) {
        serve(listener, expected, body);
    }
    (void)close(listener);
}

static void tear_down(void)
{
    if (server > 0) {
        (void)kill(server, SIGKILL);
        (void)waitpid(server, NULL, 0);
        server = 0;
    }
    (void)unlink(path);
    (void)rmdir(dir);
    (void)memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
}

static char *run(int (*command)(struct cli *cli, struct err *e), char **args, int n, int expected)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    struct cli cli = {.args = args, .n_args = n, .client = client_create(path)};
    struct err e = {0};

    cli.out = (struct term){.file = out, .utf8 = true};
    cli.err = (struct term){.file = out, .utf8 = true};
    ck_assert_msg(command(&cli, &e) == expected, "%s", e.text);
    client_destroy(cli.client);
    (void)fclose(out);
    return text;
}

START_TEST(doctor_shows_what_is_wrong_and_how_to_mend_it)
{
    auto_free char *text = NULL;

    pretend(
        "GET /v1/doctor ",
        "{\"findings\": ["
        "{\"node\": \"a\", \"what\": \"clock\", \"state\": \"ok\", \"text\": \"synchronised\"},"
        "{\"node\": \"a\", \"what\": \"forwarding\", \"state\": \"problem\", \"text\": \"off\", "
        "\"mend\": \"sysctl -w x=1\"},"
        "{\"node\": \"b\", \"what\": \"clock\", \"state\": \"ok\", \"text\": \"synchronised\"}],"
        "\"unasked\": [{\"node\": \"c\", \"error\": \"the node is not connected\"}]}");
    text = run(cmd_findings_run, NULL, 0, CLI_SAID);
    ck_assert_str_eq(text, "node a: 1 problem, 0 warnings, 1 ok\n"
                           "  problem  forwarding: off\n"
                           "           sysctl -w x=1\n"
                           "node b: 0 problems, 0 warnings, 1 ok\n"
                           "node c: not looked at: the node is not connected\n");
}
END_TEST

START_TEST(doctor_shows_all_of_a_node_that_is_named)
{
    char *args[] = {(char *)"a"};
    auto_free char *text = NULL;

    pretend("GET /v1/doctor?node=a ", "{\"findings\": [{\"node\": \"a\", \"what\": \"clock\", "
                                      "\"state\": \"ok\", \"text\": \"synchro\\u001bnised\"}]}");
    text = run(cmd_findings_run, args, 1, 0);
    ck_assert_str_eq(text, "node a: 0 problems, 0 warnings, 1 ok\n"
                           "  ok       clock: synchro\\x1bnised\n");
}
END_TEST

START_TEST(check_ends_with_the_hop_that_is_broken)
{
    char *args[] = {(char *)"shop/web", (char *)"db:5432"};
    auto_free char *text = NULL;

    pretend("GET /v1/net/check?from=shop%2Fweb&to=db&port=5432 ",
            "{\"from\": \"shop/web.1\", \"to\": \"db\", \"port\": 5432, \"steps\": ["
            "{\"id\": \"name\", \"what\": \"name\", \"state\": \"ok\", \"node\": \"a\", "
            "\"text\": \"db is 10.240.0.1\"},"
            "{\"id\": \"tunnel\", \"what\": \"tunnel\", \"state\": \"skipped\", "
            "\"text\": \"no tunnel is needed\"},"
            "{\"id\": \"listens\", \"what\": \"somebody listens\", \"state\": \"broken\", "
            "\"text\": \"nobody does\", \"mend\": \"start it\"}],"
            "\"broken\": \"listens\", \"text\": \"broken at: somebody listens: nobody does\", "
            "\"mend\": \"start it\"}");
    text = run(cmd_net_check, args, 2, CLI_SAID);
    ck_assert_str_eq(text, "ok       name                   db is 10.240.0.1\n"
                           "skipped  tunnel                 no tunnel is needed\n"
                           "broken   somebody listens       nobody does\n"
                           "broken at: somebody listens: nobody does\n"
                           "what to do: start it\n");
}
END_TEST

START_TEST(check_of_a_whole_way)
{
    char *args[] = {(char *)"shop/web.1", (char *)"db"};
    auto_free char *text = NULL;

    pretend("GET /v1/net/check?from=shop%2Fweb.1&to=db ",
            "{\"from\": \"shop/web.1\", \"to\": \"db\", \"text\": \"shop/web.1 reaches db\"}");
    text = run(cmd_net_check, args, 2, 0);
    ck_assert_str_eq(text, "shop/web.1 reaches db\n");
}
END_TEST

START_TEST(ports_that_are_none)
{
    static const char *const names[] = {"db:", "db:0", "db:65536", "db:x", "db:80x"};
    char *args[] = {(char *)"shop/web", (char *)(uintptr_t)names[_i]};
    struct cli cli = {.args = args, .n_args = 2};
    struct err e = {0};

    ck_assert_int_eq(cli_exit_code(cmd_net_check(&cli, &e)), CLI_USAGE);
    ck_assert_ptr_nonnull(strstr(e.text, "a number from 1 to 65535"));
}
END_TEST

START_TEST(stats_are_a_table)
{
    auto_free char *text = NULL;

    pretend("GET /v1/net/stats ",
            "{\"containers\": [{\"container\": \"shop/web.1\", \"node\": \"a\", \"address\": "
            "\"10.128.0.1\", \"in_bytes\": 2048, \"in_packets\": 20, \"out_bytes\": 512, "
            "\"out_packets\": 8, \"out_drops\": 3, \"connections\": 2}], \"unasked\": [{\"node\": "
            "\"b\", \"error\": \"gone\"}]}");
    text = run(cmd_net_stats, NULL, 0, CLI_SAID);
    ck_assert_str_eq(
        text,
        "CONTAINER   NODE  ADDRESS        IN  PACKETS  DROPS    OUT  PACKETS  DROPS  CONNECTIONS\n"
        "shop/web.1  a     10.128.0.1  2 KiB       20      0  512 B        8      3            2\n"
        "node b: gone\n");
}
END_TEST

START_TEST(networks_are_listed)
{
    auto_free char *text = NULL;

    pretend("GET /v1/networks ",
            "{\"networks\": [{\"name\": \"shop_default\", \"stack\": \"shop\", "
            "\"services\": 3, \"containers\": 5, \"vips\": 3, \"joined\": "
            "[\"blog\", \"wiki\"], \"internal\": true}]}");
    text = run(cmd_networks_ls, NULL, 0, 0);
    ck_assert_str_eq(
        text,
        "NETWORK       STACK  SERVICES  CONTAINERS  VIRTUAL ADDRESSES  KIND      JOINED BY\n"
        "shop_default  shop          3           5                  3  internal  blog, wiki\n");
}
END_TEST

START_TEST(a_network_shows_its_services)
{
    char *args[] = {(char *)"shop_default"};
    auto_free char *text = NULL;

    pretend("GET /v1/networks/shop_default ",
            "{\"network\": {\"name\": \"shop_default\", \"stack\": \"shop\"}, \"services\": ["
            "{\"stack\": \"shop\", \"service\": \"web\", \"balance\": \"random\", \"vip\": "
            "\"10.240.0.1\", \"aliases\": [\"www\"], \"ports\": [{\"published\": 8080, \"target\": "
            "80}, {\"published\": 53, \"target\": 53, \"protocol\": \"udp\"}], "
            "\"endpoints\": [{\"name\": \"shop/web.1\", \"node\": \"a\", \"address\": "
            "\"10.128.0.1\", \"ready\": true}, {\"name\": \"shop/web.2\", \"node\": \"b\", "
            "\"address\": \"10.128.4.1\", \"ready\": true, \"draining\": true}]},"
            "{\"stack\": \"shop\", \"service\": \"job\", \"balance\": \"dnsrr\"}]}");
    text = run(cmd_networks_inspect, args, 1, 0);
    ck_assert_str_eq(text,
                     "network shop_default of stack shop\n\n"
                     "shop/web at 10.240.0.1 (random), also called www; on every node: 8080->80, "
                     "53->53/udp\n"
                     "  CONTAINER   NODE  ADDRESS     STATE\n"
                     "  shop/web.1  a     10.128.0.1  ready\n"
                     "  shop/web.2  b     10.128.4.1  takes no new connections\n"
                     "\nshop/job, no virtual address\n"
                     "  no container has an address\n");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli_net");
    TCase *t = tcase_create("all");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(t, NULL, tear_down);
    tcase_add_test(t, doctor_shows_what_is_wrong_and_how_to_mend_it);
    tcase_add_test(t, doctor_shows_all_of_a_node_that_is_named);
    tcase_add_test(t, check_ends_with_the_hop_that_is_broken);
    tcase_add_test(t, check_of_a_whole_way);
    tcase_add_loop_test(t, ports_that_are_none, 0, 5);
    tcase_add_test(t, stats_are_a_table);
    tcase_add_test(t, networks_are_listed);
    tcase_add_test(t, a_network_shows_its_services);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
