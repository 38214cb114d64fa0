// SPDX-License-Identifier: Apache-2.0
/* The agent's command lines: what is taken, what is refused and in which words, and the document
 * that `run` makes of its own. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "agent/codec_run.h"
#include "agent/options.h"
#include "agent/order.h"
#include "agent/runspec.h"
#include "common/cleanup.h"
#include "common/doc.h"
#include "spec.pb-c.h"

#define ARGS_MAX 64

/* Splits at spaces; parses as `daemon` (run: NULL) or as `run`. */
static int parse(const char *line, struct options *o, struct runspec *s, int *ret_first,
                 struct err *e)
{
    static char copy[1024];
    char *argv[ARGS_MAX + 1] = {(char *)"test"};
    int argc = 1;
    struct optable_group groups[] = {
        {NULL, options_node_rows, options_node_rows_n, o},
        {NULL, s != NULL ? runspec_rows : options_daemon_rows,
         s != NULL ? runspec_rows_n : options_daemon_rows_n, s != NULL ? (void *)s : (void *)o},
    };

    (void)snprintf(copy, sizeof(copy), "%s", line);
    for (char *at = copy; *at != '\0' && argc < ARGS_MAX; argc++) {
        argv[argc] = at;
        at += strcspn(at, " ");
        if (*at != '\0') {
            *at++ = '\0';
        }
    }
    options_init(o);
    if (s != NULL) {
        runspec_init(s);
    }
    *e = (struct err){0};
    return optable_parse(groups, ARRAY_LEN(groups), argc, argv, ret_first, e);
}

START_TEST(daemon_options)
{
    struct options o;
    struct err e;
    int first = 0;

    ck_assert_int_eq(parse("--controller 10.0.0.1:7340 --name n1 --address 10.0.0.2 --state /s "
                           "--run /r --cgroup wx/y --ids 1048576:655360 --label zone=a "
                           "--label disk=b=c --bin /b --log-level debug --bandwidth 1.5gbit",
                           &o, NULL, &first, &e),
                     0);
    ck_assert_str_eq(o.controller, "10.0.0.1:7340");
    ck_assert_str_eq(o.name, "n1");
    ck_assert_str_eq(o.address, "10.0.0.2");
    ck_assert_str_eq(o.state_path, "/s");
    ck_assert_str_eq(o.run_path, "/r");
    ck_assert_str_eq(o.cgroup, "wx/y");
    ck_assert_uint_eq(o.id_base, 1048576);
    ck_assert_uint_eq(o.id_count, 655360);
    ck_assert_uint_eq(o.n_labels, 2);
    ck_assert_str_eq(o.labels[1], "disk=b=c");
    ck_assert_int_eq((int)o.level, LOG_LEVEL_DEBUG);
    ck_assert_uint_eq(o.bandwidth_bits, 1500000000);
    ck_assert_int_eq(options_complete(&o, &e), 0);
    ck_assert_str_eq(o.bin_path, "/b");
    options_finish(&o);
}
END_TEST

START_TEST(defaults)
{
    struct options o;
    struct err e;
    int first = 0;

    ck_assert_int_eq(parse("", &o, NULL, &first, &e), 0);
    ck_assert_int_eq(options_complete(&o, &e), 0);
    ck_assert_str_eq(o.state_path, "/var/lib/wherry");
    ck_assert_str_eq(o.run_path, "/run/wherry");
    ck_assert_str_eq(o.cgroup, "wherry");
    ck_assert_uint_eq(o.id_base, 524288);
    ck_assert_ptr_nonnull(strstr(o.bin_path, "/tests"));
    options_finish(&o);
    ck_assert_int_eq(parse("--state-dir /elsewhere", &o, NULL, &first, &e), 0);
    ck_assert_int_eq(options_complete(&o, &e), 0);
    ck_assert_str_eq(o.run_path, "/elsewhere/run");
    options_finish(&o);
    ck_assert_int_eq(parse("--help", &o, NULL, &first, &e), OPTABLE_HELP);
    options_finish(&o);
}
END_TEST

static const struct {
    bool run;
    const char *line;
    const char *text;
} wrong[] = {
    {false, "--nonsense", "unknown option '--nonsense'"},
    {false, "--name", "option '--name' needs a value"},
    {false, "--name UPPER", "--name: 'UPPER': allowed is [a-z0-9]"},
    {false, "--state relative", "--state: 'relative' is no absolute path"},
    {false, "--ids 5", "--ids: '5' is not BASE:COUNT"},
    {false, "--ids 524288:99999999999", "--ids: '524288:99999999999': ids end at 1879048192"},
    {false, "--controller host", "is not ADDR:PORT"},
    {false, "--controller host:0", "is not ADDR:PORT"},
    {false, "--controller host:65536", "is not ADDR:PORT"},
    {false, "--address 0.0.0.0", "no IPv4 address"},
    {false, "--address example.org", "no IPv4 address"},
    {false, "--label key", "is not KEY=VALUE"},
    {false, "--bandwidth fast", "--bandwidth: \"fast\" is no rate"},
    {false, "--bandwidth 0", "more than nothing"},
    {false, "--label k!=v", "is not KEY=VALUE"},
    {false, "--log-level loud", "allowed are error, warn, info, debug"},
    {false, "--cgroup a/../b", "--cgroup: 'a/../b': allowed is"},
    {false, "--cgroup a/", "--cgroup: 'a/': allowed is"},
    {false, "--cgroup /a", "--cgroup: '/a': allowed is"},
    {true, "--memory 64q", "--memory: '64q' is no size"},
    {true, "--memory 1k", "'1k' is less than 512k"},
    {true, "--memory -1m", "is no size"},
    {true, "--cpus 0", "not a number of cores"},
    {true, "--cpus 1x", "not a number of cores"},
    {true, "--pids 0", "not a number from 1"},
    {true, "--env KEY", "is not KEY=VALUE"},
    {true, "--env =v", "is not KEY=VALUE"},
    {true, "--volume data", "is not SOURCE:TARGET"},
    {true, "--volume data:/x:rx", "is not SOURCE:TARGET"},
    {true, "--volume data:x", "no absolute path inside"},
    {true, "--volume data:/", "no absolute path inside"},
    {true, "--volume /does/not/exist:/x", "No such file"},
    {true, "--volume BAD:/x", "neither a path nor the name of a volume"},
    {true, "--publish 80", "is not HOST:CONTAINER"},
    {true, "--publish 80:0", "is not HOST:CONTAINER"},
    {true, "--publish 80:80/sctp", "is not HOST:CONTAINER"},
    {true, "--health tcp:0", "is not tcp:PORT"},
    {true, "--health tcp:80/x", "is not tcp:PORT"},
    {true, "--health http:80x", "is not tcp:PORT"},
    {true, "--network mesh", "allowed are bridge, host, none"},
    {true, "--restart sometimes", "allowed are no, always, on-failure"},
    {true, "--restart on-failure:x", "not a number from 1"},
    {true, "--stop-signal NOPE", "is no signal"},
    {true, "--tail some", "neither a number of lines nor 'all'"},
};

START_TEST(refused)
{
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct options o;
        struct runspec s;
        struct err e;
        int first = 0;
        int rc = parse(wrong[i].line, &o, wrong[i].run ? &s : NULL, &first, &e);

        ck_assert_msg(rc == -EINVAL, "%s: taken", wrong[i].line);
        ck_assert_msg(strstr(e.text, wrong[i].text) != NULL, "%s: %s", wrong[i].line, e.text);
        if (wrong[i].run) {
            runspec_finish(&s);
        }
        options_finish(&o);
    }
}
END_TEST

START_TEST(unfitting)
{
    static const struct {
        const char *line;
        const char *text;
    } rows[] = {
        {"", "--image says which image"},
        {"--attach --image x", "--attach goes on with a container"},
        {"--attach --detach", "exclude each other"},
        {"--image x --network none --publish 80:80", "--publish needs --network bridge"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct options o;
        struct runspec s;
        struct err e;
        int first = 0;

        ck_assert_int_eq(parse(rows[i].line, &o, &s, &first, &e), 0);
        ck_assert_int_eq(runspec_check(&s, &e), -EINVAL);
        ck_assert_msg(strstr(e.text, rows[i].text) != NULL, "%s: %s", rows[i].line, e.text);
        runspec_finish(&s);
        options_finish(&o);
    }
}
END_TEST

/* What `run` says, as the agent reads it. */
static struct order *encode(struct runspec *s)
{
    auto_buf struct buf out = {0};
    struct order *order = NULL;
    struct err e = {0};

    codec_run_encode(s, &out);
    ck_assert_msg(order_decode(out.data, out.len, &order, &e) == 0, "%s", e.text);
    return order;
}

static void expect_container(const Wherry__Spec__Container *c)
{
    ck_assert_str_eq(c->image, "box:1");
    ck_assert_ptr_null(c->entrypoint);
    ck_assert_uint_eq(c->command->n_arg, 3);
    ck_assert_str_eq(c->command->arg[2], "true");
    ck_assert_uint_eq(c->n_environment, 2);
    ck_assert_str_eq(c->environment[0]->key, "A");
    ck_assert_str_eq(c->environment[1]->value, "3");
    ck_assert_uint_eq(c->limits->memory_bytes, 64u << 20);
    ck_assert_uint_eq(c->limits->cpu_millis, 500);
    ck_assert_uint_eq(c->limits->pids, 20);
    ck_assert_uint_eq(c->n_cap_add, 2);
    ck_assert_str_eq(c->cap_add[0], "CHOWN");
    ck_assert_str_eq(c->cap_add[1], "NET_RAW");
    ck_assert_str_eq(c->cap_drop[0], "ALL");
    ck_assert_str_eq(c->user, "7:8");
    ck_assert(c->read_only && c->init);
    ck_assert_uint_eq(c->stop_signal, SIGINT);
}

static void expect_run(const struct order *order)
{
    struct order_port port;
    struct order_mount m;
    struct order_probe probe;
    struct node_want want;

    order_probe(order, NULL, &probe);
    ck_assert_int_eq((int)probe.kind, ORDER_PROBE_HTTP);
    ck_assert_uint_eq(probe.port, 80);
    ck_assert_str_eq(probe.path, "/up");
    order_want(order, 1, false, &want);
    ck_assert_int_eq((int)want.restart.condition, RESTART_ON_FAILURE);
    ck_assert_uint_eq(want.restart.max_attempts, 3);
    ck_assert_uint_eq(want.stop_grace_ms, 2000);
    ck_assert(order_port(order, 1, &port) && port.udp && port.published == 53);
    ck_assert(order_mount(order, 0, &m) && m.kind == ORDER_MOUNT_VOLUME);
    ck_assert_str_eq(m.source, "data");
    ck_assert(order_mount(order, 1, &m) && m.kind == ORDER_MOUNT_BIND && m.read_only);
    ck_assert_str_eq(m.source, "/tmp");
    ck_assert(order_mount(order, 2, &m) && m.kind == ORDER_MOUNT_TMPFS);
}

START_TEST(run_document)
{
    struct options o;
    struct runspec s;
    struct err e;
    int first = 0;
    static char *command[] = {(char *)"sh", (char *)"-c", (char *)"true", NULL};
    struct order *order;

    ck_assert_int_eq(
        parse("--image box:1 -m 64m --cpus 0.5 --pids 20 -e B=2 -e A=1 -e B=3 -v data:/d "
              "-v /tmp:/t:ro --tmpfs /scratch -p 8080:80 -p 53:53/udp --cap-add cap_net_raw "
              "--cap-add chown --cap-drop all -u 7:8 --read-only --network bridge "
              "--restart on-failure:3 --health http:80/up --stop-signal SIGINT --stop-timeout 2 "
              "--init",
              &o, &s, &first, &e),
        0);
    s.argv = command;
    s.argc = 3;
    ck_assert_int_eq(runspec_check(&s, &e), 0);
    order = encode(&s);
    expect_container(order_spec(order));
    expect_run(order);
    order_unref(order);
    runspec_finish(&s);
    options_finish(&o);
}
END_TEST

START_TEST(run_defaults)
{
    struct options o;
    struct runspec s;
    struct err e;
    int first = 0;
    struct order *order;
    struct node_want want;

    ck_assert_int_eq(parse("--image box -- --image other", &o, &s, &first, &e), 0);
    ck_assert_int_eq(first, 4); /* what follows "--" is the command's */
    order = encode(&s);
    order_want(order, 1, false, &want);
    ck_assert_int_eq((int)want.restart.condition, RESTART_NEVER);
    ck_assert_uint_eq(want.stop_grace_ms, 10000);
    ck_assert_ptr_null(order_spec(order)->command);
    ck_assert_int_eq((int)order_network(order), ORDER_NETWORK_BRIDGE);
    order_unref(order);
    runspec_finish(&s);
    options_finish(&o);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("agent_options");
    TCase *tcase = tcase_create("options");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, daemon_options);
    tcase_add_test(tcase, defaults);
    tcase_add_test(tcase, refused);
    tcase_add_test(tcase, unfitting);
    tcase_add_test(tcase, run_document);
    tcase_add_test(tcase, run_defaults);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
