// SPDX-License-Identifier: Apache-2.0
/* Run and exit records: what was written is read; torn, cut, flipped and foreign bytes are not. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/shim/record.h"
#include "common/cleanup.h"
#include "common/crc32c.h"

static char dir[64];
static int dir_fd = -1;
static struct record sample;

static void setup(void)
{
    (void)snprintf(dir, sizeof(dir), "/tmp/wherry-record-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sample = (struct record){.incarnation = 0xfedcba9876543210u,
                             .run = 7,
                             .boot_id = "01234567-89ab-cdef-0123-456789abcdef",
                             .ids = 524288,
                             .address = 0x0a800001,
                             .n_cgroups = 2,
                             .cgroups = {"/sys/fs/cgroup/pids/w/a b", "/sys/fs/cgroup/memory/w/x"},
                             .upper = "/var/lib/wherry/upper/x",
                             .shim_pid = 12,
                             .shim_start = UINT64_MAX,
                             .pid = 13,
                             .pid_start = 99,
                             .started_ms = 5,
                             .started_unix_ms = 1700000000000u};
}

static void teardown(void)
{
    static const char *const names[] = {"record", "exit"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        (void)unlinkat(dir_fd, names[i], 0);
    }
    (void)close(dir_fd);
    ck_assert_int_eq(rmdir(dir), 0);
}

static void put(const char *name, const char *bytes, size_t len)
{
    auto_close int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
}

START_TEST(names)
{
    static const char *const wrong[] = {"",
                                        "0123456789abcdef",
                                        "0123456789ABCDEF.1",
                                        "0123456789abcdef.01",
                                        "0123456789abcdef.",
                                        ".",
                                        "0123456789abcde.1",
                                        "0123456789abcdef.4294967296",
                                        "0123456789abcdef.1x",
                                        "0123456789abcdef.-1",
                                        "0123456789abcdef/../../etc",
                                        "          1234567.1"};
    char name[RECORD_NAME_MAX];
    uint64_t incarnation = 0;
    uint32_t run = 0;

    record_name(0xab, 4294967295u, name);
    ck_assert_str_eq(name, "00000000000000ab.4294967295");
    ck_assert(record_name_parse(name, &incarnation, &run));
    ck_assert_uint_eq(incarnation, 0xab);
    ck_assert_uint_eq(run, 4294967295u);
    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
        ck_assert_msg(!record_name_parse(wrong[i], &incarnation, &run), "%s", wrong[i]);
    }
}
END_TEST

START_TEST(a_record_comes_back)
{
    static struct record r;

    ck_assert_int_eq(record_read(dir_fd, &r, NULL), -ENOENT);
    ck_assert_int_eq(record_write(dir_fd, &sample, NULL), 0);
    ck_assert_int_eq(record_read(dir_fd, &r, NULL), 0);
    ck_assert_mem_eq(&r, &sample, sizeof(r));
    sample.pid = 0;
    sample.n_cgroups = 0;
    memset(sample.cgroups, 0, sizeof(sample.cgroups));
    ck_assert_int_eq(record_write(dir_fd, &sample, NULL), 0); /* over the old one */
    ck_assert_int_eq(record_read(dir_fd, &r, NULL), 0);
    ck_assert_mem_eq(&r, &sample, sizeof(r));
}
END_TEST

START_TEST(an_exit_comes_back)
{
    const struct record_exit all[] = {
        {true, false, 0, 0, 1, 2}, {true, true, 137, 9, UINT64_MAX, 1}, {.known = false}};
    struct record_exit x;

    for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
        ck_assert_int_eq(record_exit_write(dir_fd, &all[i], NULL), 0);
        ck_assert_int_eq(record_exit_read(dir_fd, &x, NULL), 0);
        ck_assert(x.known == all[i].known && x.oom == all[i].oom && x.code == all[i].code);
        ck_assert(x.signal == all[i].signal && x.ended_ms == all[i].ended_ms);
        ck_assert_uint_eq(x.ended_unix_ms, all[i].ended_unix_ms);
    }
}
END_TEST

START_TEST(cuts_and_flips_are_refused)
{
    static char bytes[RECORD_BYTES_MAX];
    static struct record r;
    size_t len;

    ck_assert_int_eq(record_format(&sample, bytes, sizeof(bytes), NULL), 0);
    len = strlen(bytes);
    ck_assert_int_eq(record_parse(bytes, len, &r, NULL), 0);
    for (size_t i = 0; i < len; i++) {
        ck_assert_int_eq(record_parse(bytes, i, &r, NULL), -EBADMSG);
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes[i] = (char)(bytes[i] ^ (1 << bit));
            ck_assert_int_eq(record_parse(bytes, len, &r, NULL), -EBADMSG);
            bytes[i] = (char)(bytes[i] ^ (1 << bit));
        }
    }
}
END_TEST

/* Right sums over wrong contents. */
START_TEST(foreign_lines_are_refused)
{
    static const char *const wrong[] = {"wherry-run 1\n",
                                        "wherry-run 2\n",
                                        "wherry-run 1\nrun 1\n",
                                        "wherry-run 1\nincarnation 1\nincarnation 1\n",
                                        "wherry-run 1\nevil 1\n",
                                        "wherry-run 1\nincarnation -1\n",
                                        "wherry-run 1\nincarnation 18446744073709551616\n",
                                        "wherry-run 1\nrun 4294967296\n",
                                        "wherry-run 1\nrun 01\n",
                                        "wherry-run 1\nrun  1\n",
                                        "wherry-run 1\nrun 1",
                                        "wherry-exit 1\nknown 2\n",
                                        "wherry-exit 1\noom 0\nknown 0\n"};
    static struct record r;
    struct record_exit x;

    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
        char text[256];
        int n = snprintf(text, sizeof(text), "%ssum %08x\n", wrong[i],
                         crc32c(0, wrong[i], strlen(wrong[i])));

        ck_assert_int_eq(record_parse(text, (size_t)n, &r, NULL), -EBADMSG);
        ck_assert_int_eq(record_exit_parse(text, (size_t)n, &x, NULL), -EBADMSG);
    }
}
END_TEST

START_TEST(other_files_are_refused)
{
    static struct record r;
    static char big[RECORD_BYTES_MAX + 1];

    ck_assert_int_eq(symlinkat("/etc/passwd", dir_fd, "record"), 0);
    ck_assert_int_eq(record_read(dir_fd, &r, NULL), -ELOOP);
    ck_assert_int_eq(unlinkat(dir_fd, "record", 0), 0);
    ck_assert_int_eq(mkfifoat(dir_fd, "record", 0600), 0);
    ck_assert_int_eq(record_read(dir_fd, &r, NULL), -EBADMSG); /* and does not wait for a writer */
    ck_assert_int_eq(unlinkat(dir_fd, "record", 0), 0);
    put("record", big, sizeof(big));
    ck_assert_int_eq(record_read(dir_fd, &r, NULL), -EBADMSG);
}
END_TEST

START_TEST(processes_are_told_apart)
{
    auto_close int fd = -1;
    uint64_t start = 0, again;
    pid_t pid = fork();

    if (pid == 0) {
        (void)pause();
        _exit(0);
    }
    ck_assert_int_eq(record_start_time((uint32_t)pid, &start, NULL), 0);
    fd = record_pidfd((uint32_t)pid, start, NULL);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(record_pidfd((uint32_t)pid, start - 1, NULL), -ESRCH);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_int_eq(record_start_time((uint32_t)pid, &again, NULL), -ESRCH);
    ck_assert_int_eq(record_pidfd((uint32_t)pid, start, NULL), -ESRCH);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("record");
    TCase *t = tcase_create("record");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, names);
    tcase_add_test(t, a_record_comes_back);
    tcase_add_test(t, an_exit_comes_back);
    tcase_add_test(t, cuts_and_flips_are_refused);
    tcase_add_test(t, foreign_lines_are_refused);
    tcase_add_test(t, other_files_are_refused);
    tcase_add_test(t, processes_are_told_apart);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
