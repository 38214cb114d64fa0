// SPDX-License-Identifier: Apache-2.0
/* State directory, id ranges, volumes and the log reader. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/idrange.h"
#include "agent/logs.h"
#include "agent/statedir.h"
#include "agent/volumes.h"
#include "common/buf.h"
#include "common/cleanup.h"

static char dir[64];

static void setup(void)
{
    (void)snprintf(dir, sizeof(dir), "/tmp/test_agent_files.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
    auto_free char *cmd = xasprintf("%s", dir);
    pid_t pid = fork();

    if (pid == 0) {
        execlp("rm", "rm", "-rf", cmd, (char *)NULL);
        _exit(127);
    }
}

static char *in_dir(const char *name)
{
    return xasprintf("%s/%s", dir, name);
}

static void put_file(const char *name, const char *text)
{
    auto_free char *path = in_dir(name);
    auto_fclose FILE *f = fopen(path, "we");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
}

START_TEST(a_second_agent_is_refused_by_name)
{
    auto_free char *state = in_dir("state/deep"), *run = in_dir("run");
    struct statedir a, b;
    struct err e = {0};
    char pid[32];

    ck_assert_int_eq(statedir_open(state, run, &a, &e), 0);
    ck_assert(a.boot_changed);
    ck_assert_int_eq(statedir_mark_boot(&a, &e), 0);
    ck_assert_int_eq(statedir_open(state, run, &b, &e), -EBUSY);
    (void)snprintf(pid, sizeof(pid), "process %d", (int)getpid());
    ck_assert_msg(strstr(e.text, pid) != NULL, "%s", e.text);
    statedir_close(&a);
    ck_assert_int_eq(statedir_open(state, run, &b, &e), 0);
    ck_assert(!b.boot_changed);
    statedir_close(&b);
}
END_TEST

START_TEST(ranges_are_unique_and_skip_the_hosts)
{
    struct idrange r;
    uint32_t first, second;

    put_file("subuid", "alice:589824:65536\n");
    put_file("passwd", "root:x:0:0::/:/bin/sh\nodd:x:720000:1::/:/bin/sh\n");
    ck_assert_int_eq(idrange_init(&r, 524288, 5 * 65536, dir, NULL), 0);
    first = idrange_take(&r);
    second = idrange_take(&r);
    ck_assert_uint_eq(first, 524288);
    ck_assert_uint_eq(second, 720896); /* 589824 is of alice, 720000 of odd */
    ck_assert_uint_eq(idrange_take(&r), 786432);
    idrange_finish(&r);
}
END_TEST

START_TEST(ranges_end_and_come_round)
{
    struct idrange r;

    ck_assert_int_eq(idrange_init(&r, 524288, 2 * 65536, dir, NULL), 0);
    ck_assert_uint_eq(idrange_take(&r), 524288);
    idrange_give(&r, 524288);
    ck_assert_uint_eq(idrange_take(&r), 589824); /* not the same again at once */
    ck_assert_uint_eq(idrange_take(&r), 524288);
    ck_assert_uint_eq(idrange_take(&r), 0);
    idrange_reserve(&r, 77);
    idrange_finish(&r);
    ck_assert_int_eq(idrange_init(&r, 100000, 65536, dir, NULL), -EINVAL);
}
END_TEST

START_TEST(volumes_are_made_once_and_discarded)
{
    struct volumes v;
    struct err e = {0};
    char *path = NULL;
    bool made = false;

    ck_assert_int_eq(volumes_open(dir, &v, &e), 0);
    ck_assert_int_eq(volumes_ensure(&v, "shop_data", &path, &made, &e), 0);
    ck_assert(made);
    ck_assert_int_eq(access(path, F_OK), 0);
    free(path);
    ck_assert_int_eq(volumes_ensure(&v, "shop_data", &path, &made, &e), 0);
    ck_assert(!made);
    free(path);
    ck_assert_int_eq(volumes_ensure(&v, "../x", &path, &made, &e), -EINVAL);
    ck_assert_int_eq(volumes_discard(&v, "shop_data", &e), 0);
    ck_assert_int_eq(volumes_discard(&v, "shop_data", &e), -ENOENT);
    volumes_close(&v);
}
END_TEST

START_TEST(binds_of_our_own_state_are_refused)
{
    auto_free char *state = in_dir("state"), *run = in_dir("run"), *fresh = in_dir("a/b");
    struct err e = {0};

    ck_assert_int_eq(volumes_check_bind("/", false, state, run, &e), -EPERM);
    ck_assert_int_eq(volumes_check_bind("/proc/1", false, state, run, &e), -EPERM);
    ck_assert_int_eq(volumes_check_bind(dir, false, state, run, &e), -EPERM);
    ck_assert_int_eq(volumes_check_bind(fresh, false, state, run, &e), -ENOENT);
    ck_assert_int_eq(volumes_check_bind(fresh, true, state, run, &e), 0);
    ck_assert_int_eq(volumes_check_bind("/usr", false, state, run, &e), 0);
}
END_TEST

static bool gather(void *arg, const struct logs_line *line)
{
    struct buf *b = arg;

    buf_append(b, line->text, line->len);
    buf_puts(b, line->is_stderr ? "!" : ".");
    return true;
}

#define T "2026-11-23T20:00:0"

static char *read_logs(struct logs_options options)
{
    auto_free char *path = in_dir("log");
    struct logs_reader *r = NULL;
    struct buf out = {0};

    ck_assert_int_eq(logs_open(path, &options, &r, NULL), 0);
    ck_assert_int_eq(logs_read(r, 1 << 20, gather, &out, NULL), 0);
    logs_close(r);
    return buf_take(&out);
}

static void put_logs(void)
{
    put_file("log.2", T "1Z stdout F one\n" T "2Z stdout F two\n");
    put_file("log.1", T "3.5Z stderr F three\n" T "4Z stdout F four\n");
    put_file("log", T "5Z stdout F five\nnonsense\n" T "6Z stdout P six\n");
}

START_TEST(logs_are_read_over_rotated_files)
{
    auto_free char *all = NULL, *tail = NULL, *since = NULL, *none = NULL;

    put_logs();
    all = read_logs((struct logs_options){.tail_all = true});
    ck_assert_str_eq(all, "one.two.three!four.five.six.");
    tail = read_logs((struct logs_options){.tail = 4});
    ck_assert_str_eq(tail, "four.five.six."); /* the fourth is the line of nonsense */
    since = read_logs((struct logs_options){.tail_all = true, .since_unix_ms = 1795464004000});
    ck_assert_str_eq(since, "four.five.six.");
    none = read_logs((struct logs_options){.tail = 0});
    ck_assert_str_eq(none, "");
}
END_TEST

START_TEST(a_reader_follows_through_a_rotation)
{
    auto_free char *path = in_dir("log"), *one = in_dir("log.1");
    struct logs_options options = {.tail_all = true};
    struct logs_reader *r = NULL;
    auto_buf struct buf out = {0};

    ck_assert_int_eq(logs_open(path, &options, &r, NULL), 0);
    ck_assert_int_eq(logs_read(r, 1000, gather, &out, NULL), 0);
    put_file("log", T "1Z stdout F a\n" T "2Z stdout F b");
    ck_assert_int_eq(logs_read(r, 1000, gather, &out, NULL), 0);
    ck_assert_str_eq(buf_text(&out), "a.");
    {
        auto_fclose FILE *f = fopen(path, "ae");

        ck_assert_int_ge(fputs("b\n", f), 0);
    }
    ck_assert_int_eq(rename(path, one), 0);
    put_file("log", T "3Z stdout F c\n");
    ck_assert_int_eq(logs_read(r, 1000, gather, &out, NULL), 0);
    ck_assert_str_eq(buf_text(&out), "a.bb.c.");
    logs_close(r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent_files");
    TCase *t = tcase_create("agent_files");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_second_agent_is_refused_by_name);
    tcase_add_test(t, ranges_are_unique_and_skip_the_hosts);
    tcase_add_test(t, ranges_end_and_come_round);
    tcase_add_test(t, volumes_are_made_once_and_discarded);
    tcase_add_test(t, binds_of_our_own_state_are_refused);
    tcase_add_test(t, logs_are_read_over_rotated_files);
    tcase_add_test(t, a_reader_follows_through_a_rotation);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed > 0;
}
