// SPDX-License-Identifier: Apache-2.0
/* Plans as bytes: what the builder accepts, what it refuses and says, that it is pure, and that the
 * reader takes nothing that is broken. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/order.h"
#include "agent/shim/oomcount.h"
#include "agent/shim/plan_build.h"
#include "agent/shim/plan_of_order.h"
#include "common/cleanup.h"
#include "spec.pb-c.h"

static const char *argv_[] = {"/bin/true"};
static const char *layers_[] = {"2", "1"};
static const uint64_t bpf_[2] = {1, 2};
static const struct plan_cgroup cgroups_[] = {
    {"/sys/fs/cgroup/memory/w/a", .attach = true},
    {"/sys/fs/cgroup/freezer/w/a", .freezer = true, .attach = true}};
static struct plan_input in;
static struct err e;

static void setup(void)
{
    e = (struct err){0};
    in = (struct plan_input){.process = {.argv = argv_,
                                         .n_argv = 1,
                                         .cwd = "",
                                         .user = "",
                                         .caps = 0x4eb,
                                         .bpf = bpf_,
                                         .n_bpf = 2},
                             .record = {.incarnation = 1,
                                        .run = 1,
                                        .ids = 524288,
                                        .boot_id = "01234567-89ab-cdef-0123-456789abcdef"},
                             .userns_fd = 10,
                             .netns_fd = 11,
                             .mntns_fd = 12,
                             .run_path = "/run/w/runs/a",
                             .base_path = "/var/lib/w/upper/a",
                             .layers_path = "/var/lib/w/layers",
                             .layers = layers_,
                             .n_layers = 2,
                             .dev_path = "/dev",
                             .log_path = "/var/lib/w/logs/a/log",
                             .hostname = "box",
                             .hosts = "127.0.0.1 localhost\n",
                             .cgroups = cgroups_,
                             .n_cgroups = 2,
                             .oom_file = ""};
}

static void refused(const char *text)
{
    struct buf b = {0};

    ck_assert_int_lt(plan_build(&in, &b, &e), 0);
    ck_assert_msg(strstr(e.text, text) != NULL, "\"%s\" has no \"%s\"", e.text, text);
    ck_assert_uint_eq(b.len, 0);
    buf_finish(&b);
}

static void built(struct buf *ret, struct plan *plan)
{
    ck_assert_msg(plan_build(&in, ret, &e) == 0, "%s", e.text);
    ck_assert_msg(plan_open(ret->data, ret->len, PLAN_RUN, plan, &e) == 0, "%s", e.text);
}

static const struct plan_step *step_of(const struct plan *p, enum plan_op op, unsigned nth)
{
    for (uint32_t i = 0; i < p->header->n_steps; i++) {
        if (p->steps[i].op == op && nth-- == 0) {
            return &p->steps[i];
        }
    }
    ck_abort_msg("no step %s", plan_op_name(op));
    return NULL;
}

static unsigned count(const struct plan *p, enum plan_op op)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < p->header->n_steps; i++) {
        n += p->steps[i].op == op;
    }
    return n;
}

START_TEST(every_control_is_in_it)
{
    static const enum plan_op always[] = {
        PLAN_OP_RECORD,   PLAN_OP_LOG,    PLAN_OP_DIRS,     PLAN_OP_IDENTITY,     PLAN_OP_CGROUP_NS,
        PLAN_OP_ROOT,     PLAN_OP_PROC,   PLAN_OP_DEV,      PLAN_OP_SYS,          PLAN_OP_MASK,
        PLAN_OP_READONLY, PLAN_OP_SWITCH, PLAN_OP_HOSTNAME, PLAN_OP_TIME,         PLAN_OP_ENTER,
        PLAN_OP_KEYRING,  PLAN_OP_USER,   PLAN_OP_CWD,      PLAN_OP_NO_NEW_PRIVS, PLAN_OP_CAPS,
        PLAN_OP_ENV,      PLAN_OP_FIND,   PLAN_OP_FDS,      PLAN_OP_SECCOMP,      PLAN_OP_EXECVE};
    auto_buf struct buf b = {0};
    struct plan p;

    built(&b, &p);
    for (unsigned i = 0; i < ARRAY_LEN(always); i++) {
        ck_assert_msg(count(&p, always[i]) == 1, "%s", plan_op_name(always[i]));
    }
    ck_assert_uint_eq(count(&p, PLAN_OP_RLIMIT), 2);
    ck_assert_uint_eq(count(&p, PLAN_OP_CGROUP), 2);
    ck_assert_uint_eq(step_of(&p, PLAN_OP_CAPS, 0)->number, 0x4eb);
    ck_assert_mem_eq(b.data + step_of(&p, PLAN_OP_SECCOMP, 0)->list.at, bpf_, sizeof(bpf_));
}
END_TEST

START_TEST(same_input_same_bytes)
{
    auto_buf struct buf a = {0}, b = {0};
    struct plan p;

    built(&a, &p);
    built(&b, &p);
    ck_assert_uint_eq(a.len, b.len);
    ck_assert_mem_eq(a.data, b.data, a.len);
}
END_TEST

START_TEST(mounts_come_outermost_first)
{
    const struct plan_mount mounts[] = {
        {PLAN_MOUNT_BIND, "/h", "/a/b", true, true, 0, 0},
        {PLAN_MOUNT_TMPFS, NULL, "/a", false, false, 0, 0},
        {PLAN_MOUNT_BIND, "/h", "/etc/hosts", false, false, 0, 0},
        {PLAN_MOUNT_TMPFS, NULL, "/dev/shm", false, false, 5, 0700}};
    auto_buf struct buf b = {0};
    struct plan p;

    in.mounts = mounts;
    in.n_mounts = ARRAY_LEN(mounts);
    built(&b, &p);
    ck_assert_str_eq(plan_text(&p, step_of(&p, PLAN_OP_MOUNT, 0)->text), "/a");
    ck_assert_uint_eq(step_of(&p, PLAN_OP_MOUNT, 0)->number2, 01777);
    ck_assert_str_eq(plan_text(&p, step_of(&p, PLAN_OP_MOUNT, 1)->text), "/a/b");
    ck_assert_uint_eq(step_of(&p, PLAN_OP_MOUNT, 1)->flags, PLAN_READONLY | PLAN_CREATE);
    ck_assert_uint_eq(count(&p, PLAN_OP_FILE),
                      1); /* the user's /etc/hosts wins; hostname is ours */
}
END_TEST

START_TEST(mount_targets)
{
    static const struct {
        const char *target, *text;
    } rows[] = {{"", "not an absolute path"},
                {".", "not an absolute path"},
                {"data", "not an absolute path"},
                {"/", "the root is the image's"},
                {"/..", "\"..\""},
                {"/a/../../b", "\"..\""},
                {"/a//b", "component"},
                {"/a/", "component"},
                {"/proc", "/proc is not"},
                {"/proc/sys", "/proc is not"},
                {"/sys/fs/cgroup", "/sys is not"},
                {"/dev/null", "/dev is not"},
                {"/dev", "/dev is not"},
                {"/a\nb", "control characters"}};

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct plan_mount m = {.kind = PLAN_MOUNT_TMPFS, .target = rows[i].target};

        in.mounts = &m;
        in.n_mounts = 1;
        refused(rows[i].text);
    }
}
END_TEST

START_TEST(what_else_is_refused)
{
    const struct plan_mount twice[] = {{.kind = PLAN_MOUNT_TMPFS, .target = "/a"},
                                       {.kind = PLAN_MOUNT_TMPFS, .target = "/a"}};
    const char *same[] = {"1", "1"}, *up[] = {".."}, *slash[] = {"a/b"}, *env[] = {"=x"},
               *env2[] = {"NO"};
    const struct plan_cgroup v2[] = {{"/c/a", .v2 = true}, {"/c/b", .v2 = true}};
    const struct plan_limit far[] = {{7, "pids.max", "1", false}},
                            path[] = {{0, "../x", "1", false}};

#define CASE(text, ...)                                                                            \
    do {                                                                                           \
        setup();                                                                                   \
        __VA_ARGS__;                                                                               \
        refused(text);                                                                             \
    } while (0)
    CASE("twice", in.mounts = twice; in.n_mounts = 2);
    CASE("twice", in.layers = same);
    CASE("layer", in.layers = up; in.n_layers = 1);
    CASE("layer", in.layers = slash; in.n_layers = 1);
    CASE("layers", in.n_layers = 0);
    CASE("KEY=value", in.process.env = env; in.process.n_env = 1);
    CASE("KEY=value", in.process.env = env2; in.process.n_env = 1);
    CASE("command of 0 words", in.process.n_argv = 0);
    CASE("working directory", in.process.cwd = "tmp");
    CASE("working directory", in.process.cwd = "/../x");
    CASE("seccomp", in.process.n_bpf = 0);
    CASE("hostname", in.hostname = "");
    CASE("hostname", in.hostname = "a b");
    CASE("unified", in.cgroups = v2);
    CASE("no such file or group", in.writes = far; in.n_writes = 1);
    CASE("no such file or group", in.writes = path; in.n_writes = 1);
    CASE("log files", in.log_files = 11);
    CASE("upper directory", in.base_path = "upper");
    CASE("user", in.process.user = "a\nb");
}
END_TEST

START_TEST(too_long_is_refused)
{
    auto_free char *big = malloc(70000);

    memset(big, 'x', 69999);
    big[69999] = '\0';
    argv_[0] = big;
    refused("at most 65536");
    argv_[0] = "/bin/true";
    big[0] = '/';
    big[600] = '\0';
    in.base_path = big;
    refused("at most 511");
}
END_TEST

START_TEST(exec_needs_a_group_to_kill)
{
    struct plan_exec_input x = {.process = in.process, .cgroups = cgroups_, .n_cgroups = 1};
    auto_buf struct buf b = {0};
    struct plan p;

    ck_assert_int_eq(plan_build_exec(&x, &b, &e), -EINVAL);
    x.n_cgroups = 2;
    x.timeout_ms = 1500;
    ck_assert_int_eq(plan_build_exec(&x, &b, &e), 0);
    ck_assert_msg(plan_open(b.data, b.len, PLAN_EXEC, &p, &e) == 0, "%s", e.text);
    ck_assert_uint_eq(p.header->deadline_ms, 1500);
    ck_assert_uint_eq(step_of(&p, PLAN_OP_CGROUP, 0)->flags, PLAN_ATTACH);
    ck_assert_uint_eq(step_of(&p, PLAN_OP_CGROUP, 1)->flags, PLAN_ATTACH | PLAN_FREEZER | PLAN_OWN);
    ck_assert_int_eq(plan_open(b.data, b.len, PLAN_RUN, &p, &e), -EPROTO);
}
END_TEST

START_TEST(clean_needs_names_only)
{
    struct plan_clean_input x = {
        .cgroups = cgroups_, .n_cgroups = 2, .run_path = "/run/w/a", .base_path = "/var/w/a"};
    auto_buf struct buf b = {0};
    struct plan p;

    ck_assert_int_eq(plan_build_clean(&x, &b, &e), 0);
    ck_assert_msg(plan_open(b.data, b.len, PLAN_CLEAN, &p, &e) == 0, "%s", e.text);
    ck_assert_uint_eq(count(&p, PLAN_OP_TREE_RM), 2);
    x.base_path = "/var";
    ck_assert_int_eq(plan_build_clean(&x, &b, &e), -EINVAL);
    x.base_path = "/var/..";
    ck_assert_int_eq(plan_build_clean(&x, &b, &e), -EINVAL);
}
END_TEST

/* Every cut and every flipped bit is refused or leaves references that stay inside. */
START_TEST(broken_plans_are_refused)
{
    auto_buf struct buf b = {0};
    struct plan p;

    built(&b, &p);
    for (size_t len = 0; len < b.len; len += len < 4096 ? 1 : 97) {
        ck_assert_int_eq(plan_open(b.data, len, PLAN_RUN, &p, &e), -EPROTO);
    }
    for (size_t bit = 0; bit < 8 * (sizeof(struct plan_header) + 40 * sizeof(struct plan_step));
         bit++) {
        b.data[bit / 8] = (char)(b.data[bit / 8] ^ (1 << bit % 8));
        if (plan_open(b.data, b.len, PLAN_RUN, &p, &e) == 0) {
            for (uint32_t i = 0; i < p.header->n_steps; i++) {
                ck_assert_uint_lt(strlen(plan_text(&p, p.steps[i].text)), b.len);
                ck_assert_uint_le((size_t)p.steps[i].list.at + p.steps[i].list.len, b.len);
            }
        }
        b.data[bit / 8] = (char)(b.data[bit / 8] ^ (1 << bit % 8));
    }
}
END_TEST

START_TEST(oom_counters)
{
    ck_assert_uint_eq(oomcount_parse("low 0\nhigh 0\nmax 3\noom 2\noom_kill 7\n"), 7);
    ck_assert_uint_eq(oomcount_parse("oom_kill_disable 0\nunder_oom 0\noom_kill 12\n"), 12);
    ck_assert_uint_eq(oomcount_parse("oom_kill_disable 1\n"), 0);
    ck_assert_uint_eq(oomcount_parse(""), 0);
}
END_TEST

/* ---- of a document and an image ---- */

static struct order *order_of(Wherry__Spec__Container *c)
{
    uint8_t bytes[2048];
    size_t n = wherry__spec__container__pack(c, bytes);
    struct order *o = NULL;

    ck_assert_msg(order_decode(bytes, n, &o, &e) == 0, "%s", e.text);
    return o;
}

/* "a b c" of what would be executed. */
static void argv_is(Wherry__Spec__Container *c, const struct image *image, const char *want)
{
    struct order *o = order_of(c);
    struct plan_of_order own = {0};
    auto_buf struct buf text = {0};

    setup();
    if (plan_of_order(o, image, NULL, "box", &own, &in, &e) < 0) {
        buf_puts(&text, e.text);
    }
    for (unsigned i = 0; i < own.n_argv; i++) {
        buf_printf(&text, "%s%s", i > 0 ? " " : "", own.argv[i]);
    }
    ck_assert_str_eq(buf_text(&text), want);
    plan_of_order_finish(&own);
    order_unref(o);
}

START_TEST(docker_rules_of_commands)
{
    char *entry[] = {(char *)(uintptr_t) "entry", NULL}, *cmd[] = {(char *)(uintptr_t) "cmd", NULL};
    char *mine[] = {(char *)(uintptr_t) "mine"}, *own[] = {(char *)(uintptr_t) "own"};
    struct image image = {.entrypoint = entry,
                          .n_entrypoint = 1,
                          .cmd = cmd,
                          .n_cmd = 1,
                          .user = (char *)(uintptr_t) "",
                          .workdir = (char *)(uintptr_t) ""};
    Wherry__Spec__Argv entrypoint = WHERRY__SPEC__ARGV__INIT, command = WHERRY__SPEC__ARGV__INIT;
    Wherry__Spec__Argv empty = WHERRY__SPEC__ARGV__INIT;
    Wherry__Spec__Container c = WHERRY__SPEC__CONTAINER__INIT;

    c.image = (char *)(uintptr_t) "i";
    entrypoint.arg = mine;
    entrypoint.n_arg = 1;
    command.arg = own;
    command.n_arg = 1;
    argv_is(&c, &image, "entry cmd");
    c.command = &command;
    argv_is(&c, &image, "entry own");
    c.entrypoint = &entrypoint;
    argv_is(&c, &image, "mine own");
    c.command = NULL;
    argv_is(&c, &image, "mine");
    c.entrypoint = &empty;
    argv_is(&c, &image, "image i says no command, and the file gives none");
    c.command = &command;
    argv_is(&c, &image, "own");
}
END_TEST

START_TEST(environment_and_user)
{
    static char *none[] = {NULL};
    struct image_pair pairs[] = {{(char *)(uintptr_t) "PATH", (char *)(uintptr_t) "/x"},
                                 {(char *)(uintptr_t) "A", (char *)(uintptr_t) "image"}};
    struct image image = {.entrypoint = none,
                          .cmd = none,
                          .env = pairs,
                          .n_env = 2,
                          .user = (char *)(uintptr_t) "ann",
                          .workdir = (char *)(uintptr_t) "/w"};
    Wherry__Spec__KeyValue kv = WHERRY__SPEC__KEY_VALUE__INIT;
    Wherry__Spec__KeyValue *env[] = {&kv};
    Wherry__Spec__Container c = WHERRY__SPEC__CONTAINER__INIT;
    struct plan_of_order own = {0};
    struct plan_process p = {0};
    struct order *o;

    kv.key = (char *)(uintptr_t) "A";
    kv.value = (char *)(uintptr_t) "file=x";
    c.environment = env;
    c.n_environment = 1;
    o = order_of(&c);
    plan_of_order_exec(o, &image, "box", &own, &p);
    ck_assert_uint_eq(p.n_env, 3);
    ck_assert_str_eq(p.env[0], "PATH=/x");
    ck_assert_str_eq(p.env[1], "HOSTNAME=box");
    ck_assert_str_eq(p.env[2], "A=file=x");
    ck_assert_str_eq(p.user, "ann");
    ck_assert_str_eq(p.cwd, "/w");
    plan_of_order_finish(&own);
    order_unref(o);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("plan");
    TCase *t = tcase_create("plan");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, every_control_is_in_it);
    tcase_add_test(t, same_input_same_bytes);
    tcase_add_test(t, mounts_come_outermost_first);
    tcase_add_test(t, mount_targets);
    tcase_add_test(t, what_else_is_refused);
    tcase_add_test(t, too_long_is_refused);
    tcase_add_test(t, exec_needs_a_group_to_kill);
    tcase_add_test(t, clean_needs_names_only);
    tcase_add_test(t, broken_plans_are_refused);
    tcase_add_test(t, oom_counters);
    tcase_add_test(t, docker_rules_of_commands);
    tcase_add_test(t, environment_and_user);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
