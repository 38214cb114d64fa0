// SPDX-License-Identifier: Apache-2.0
/* Calls of a shim that answers, fails, dies, says nonsense, says nothing, or cannot be started. */
#include "agent/uv_shim.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/shimhome.h"
#include "common/cleanup.h"

struct call {
    struct uv_shim shim;
    unsigned answered, ended, closed;
    bool ended_first;
    uint32_t kind;
    struct err error;
    size_t output;
};

static struct call *call_of(struct uv_shim *shim)
{
    return container_of(shim, struct call, shim);
}

static void on_answered(struct uv_shim *shim, const struct plan_result *result, const struct err *e)
{
    struct call *c = call_of(shim);

    c->answered++;
    c->ended_first = c->ended > 0;
    c->error = *e;
    c->kind = result != NULL ? result->kind : 0;
}

static void on_ended(struct uv_shim *shim)
{
    call_of(shim)->ended++;
}

static void on_closed(struct uv_shim *shim)
{
    call_of(shim)->closed++;
}

static const struct uv_shim_events events = {
    .answered = on_answered, .ended = on_ended, .closed = on_closed};

/* Starts it, and turns the loop until it has answered, or ended too. */
static void call(uv_loop_t *loop, struct call *c, const char *how, uint64_t deadline_ms,
                 bool until_ended)
{
    static const char text[] = "the plan";
    struct shimspawn spawn = {.cgroup_fd = -1, .mode = "run"};
    struct buf plan = {.data = (char *)(uintptr_t)text, .len = sizeof(text) - 1};
    int fd = -1;

    ck_assert_int_eq(setenv("WHERRY_FAILPOINT", how, 1), 0);
    ck_assert_int_eq(
        shimhome_seal(strcmp(how, "no program") == 0 ? "/etc/passwd" : WHERRY_PRETEND, &fd, NULL),
        0);
    spawn.program_fd = fd;
    ck_assert_int_eq(uv_loop_init(loop), 0);
    *c = (struct call){.answered = 0};
    uv_shim_start(&c->shim, loop, &spawn, &plan, true, deadline_ms, &events);
    ck_assert_uint_eq(c->answered, 0);
    while (c->answered == 0 || (until_ended && c->ended == 0)) {
        (void)uv_run(loop, UV_RUN_ONCE);
    }
    (void)close(fd);
    c->output = c->shim.output.len;
    ck_assert(!c->ended_first);
    (void)unsetenv("WHERRY_FAILPOINT");
}

static void end(uv_loop_t *loop, struct call *c)
{
    uv_shim_close(&c->shim);
    uv_shim_close(&c->shim);
    (void)uv_run(loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(c->closed, 1);
    ck_assert_uint_eq(c->answered, 1);
    ck_assert_int_eq(uv_loop_close(loop), 0);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG | __WALL), -1);
}

static const struct {
    const char *how;
    int code;
    uint32_t kind;
    const char *text;
} rows[] = {
    {"look", 0, PLAN_RESULT_CLEANED, ""},
    {"failed", -5, PLAN_RESULT_FAILED, "proc: mount: it broke"},
    {"die", -EPIPE, 0, "wherry-shim ended with code 3 without a word"},
    {"killed", -EPIPE, 0, "wherry-shim was killed by signal 9"},
    {"garbage", -EPROTO, PLAN_RESULT_STARTED, "wherry-shim of another version"},
    {"no program", -ENOEXEC, PLAN_RESULT_FAILED, "execute wherry-shim"},
};

START_TEST(answers)
{
    uv_loop_t loop;
    struct call c;

    call(&loop, &c, rows[_i].how, 5000, true);
    ck_assert_msg(c.error.code == rows[_i].code, "%s: %d %s", rows[_i].how, c.error.code,
                  c.error.text);
    ck_assert_str_eq(c.error.text, rows[_i].text);
    ck_assert_uint_eq(c.kind, rows[_i].kind);
    end(&loop, &c);
}
END_TEST

START_TEST(noise)
{
    uv_loop_t loop;
    struct call c;

    call(&loop, &c, "noise", 5000, true);
    ck_assert_int_eq(c.error.code, 0);
    ck_assert_uint_eq(c.output, UV_SHIM_OUTPUT_MAX);
    end(&loop, &c);
}
END_TEST

START_TEST(it_hangs)
{
    uv_loop_t loop;
    struct call c;

    call(&loop, &c, "hang", 50, false);
    ck_assert_int_eq(c.error.code, -ETIMEDOUT);
    ck_assert_ptr_nonnull(strstr(c.error.text, "does not answer"));
    uv_shim_kill(&c.shim);
    while (c.ended == 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    end(&loop, &c);
}
END_TEST

START_TEST(it_stays)
{
    uv_loop_t loop;
    struct call c;
    pid_t pid;

    call(&loop, &c, "stay", 5000, false);
    ck_assert_int_eq(c.error.code, 0);
    ck_assert_uint_eq(c.kind, PLAN_RESULT_STARTED);
    pid = c.shim.pid;
    uv_shim_close(&c.shim); /* what runs goes on */
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(c.closed, 1);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, __WALL), pid);
}
END_TEST

START_TEST(never_started)
{
    static const struct err broken = {.code = -E2BIG, .text = "it is too much"};
    uv_loop_t loop;
    struct call c = {.answered = 0};

    ck_assert_int_eq(uv_loop_init(&loop), 0);
    uv_shim_fail(&c.shim, &loop, &broken, &events);
    ck_assert_uint_eq(c.answered, 0);
    while (c.ended == 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    ck_assert_int_eq(c.error.code, -E2BIG);
    ck_assert_str_eq(c.error.text, "it is too much");
    end(&loop, &c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("uv_shim");
    TCase *t = tcase_create("uv_shim");
    SRunner *r;
    int failed;

    tcase_add_loop_test(t, answers, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(t, noise);
    tcase_add_test(t, it_hangs);
    tcase_add_test(t, it_stays);
    tcase_add_test(t, never_started);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
