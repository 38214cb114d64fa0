// SPDX-License-Identifier: Apache-2.0
/* Users of a container by its own files: exact ids or an error, never another user. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/shim/userdb.h"
#include "common/cleanup.h"

static char dir[64], passwd[96], group[96];

static void put(const char *path, const char *text, size_t len)
{
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
}

static void setup(void)
{
    static const char users[] = "# a comment\n\nroot:x:0:0:root:/root:/bin/sh\n"
                                "ann:x:1000:1001:Ann:/home/ann:/bin/sh\nbad:x:70000:1::/:\n"
                                "neg:x:-1:1::/:\n1000x:x:7:7::relative:\n42:x:9:9::/nine:/bin/sh\n"
                                "last:x:65535:65535::/last:";
    static const char groups[] = "root:x:0:\nann:x:1001:\nshop:x:2000:bob,ann\nno:x:70000:ann\n"
                                 "anna:x:2001:anna,annb,xann\n";

    (void)snprintf(dir, sizeof(dir), "/tmp/wherry-userdb-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(passwd, sizeof(passwd), "%s/passwd", dir);
    (void)snprintf(group, sizeof(group), "%s/group", dir);
    put(passwd, users, sizeof(users) - 1);
    put(group, groups, sizeof(groups) - 1);
}

static void teardown(void)
{
    (void)unlink(passwd);
    (void)unlink(group);
    ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST(who_is_who)
{
    static const struct {
        const char *text, *home;
        uint32_t uid, gid;
        unsigned groups;
    } rows[] = {{"", "/root", 0, 0, 1},
                {"root", "/root", 0, 0, 1},
                {"0", "/root", 0, 0, 1},
                {"ann", "/home/ann", 1000, 1001, 2},
                {"1000", "/home/ann", 1000, 1001, 2},
                {"ann:shop", "/home/ann", 1000, 2000, 1},
                {"ann:5", "/home/ann", 1000, 5, 1},
                {"5", "/", 5, 0, 1},
                {"5:6", "/", 5, 6, 1},
                {"65535:65535", "/last", 65535, 65535, 1},
                {"last", "/last", 65535, 65535, 1},
                {"1000x", "/", 7, 7, 1},
                {"42", "/", 42, 0, 1}}; /* a number is never a name */
    struct userdb_user u;
    struct err e;

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(userdb_find(rows[i].text, passwd, group, &u, &e) == 0, "%s", e.text);
        ck_assert_msg(u.uid == rows[i].uid && u.gid == rows[i].gid, "%s", rows[i].text);
        ck_assert_str_eq(u.home, rows[i].home);
        ck_assert_msg(u.n_groups == rows[i].groups, "%s: %u groups", rows[i].text, u.n_groups);
    }
}
END_TEST

START_TEST(nobody)
{
    static const char *const rows[] = {
        "-1",  "4294967296", "4294967295", "2147483648", "65536", "0x0",
        "1:",  "+5",         " 5",         "5 ",         ":",     ":1",
        "007", "00",         "eve",        "ann:eve",    "1:-1",  "1:1:1",
        "bad", "neg",        "ann:no",     "1:65536",    "Ann",   "18446744073709551616",
        "٣"};
    struct userdb_user u;

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(userdb_find(rows[i], passwd, group, &u, NULL) == -EINVAL, "\"%s\"", rows[i]);
    }
}
END_TEST

START_TEST(hostile_files)
{
    static char big[3 << 20];
    struct userdb_user u;

    memset(big, 'a', sizeof(big));
    put(passwd, big, sizeof(big));
    ck_assert_int_eq(userdb_find("ann", passwd, group, &u, NULL), -EINVAL);
    ck_assert_int_eq(userdb_find("7", passwd, group, &u, NULL), 0);
    ck_assert_int_eq(unlink(passwd), 0);
    ck_assert_int_eq(mkfifo(passwd, 0600), 0);
    ck_assert_int_eq(userdb_find("ann", passwd, group, &u, NULL), -EINVAL);
    ck_assert_int_eq(unlink(passwd), 0);
    ck_assert_int_eq(userdb_find("", passwd, group, &u, NULL), 0);
    ck_assert_str_eq(u.home, "/");
}
END_TEST

/* Behind a line that is too long the rest of it must not be taken for a line. */
START_TEST(long_lines_hide_nobody)
{
    static char text[20000];
    struct userdb_user u;
    size_t n = 0;

    memset(text, ':', 4095);
    n = 4095;
    n += (size_t)snprintf(text + n, sizeof(text) - n, "eve:x:0:0::/:\nbob:x:8:8::/bob:\n");
    put(passwd, text, n);
    ck_assert_int_eq(userdb_find("eve", passwd, group, &u, NULL), -EINVAL);
    ck_assert_int_eq(userdb_find("bob", passwd, group, &u, NULL), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("userdb");
    TCase *t = tcase_create("userdb");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, who_is_who);
    tcase_add_test(t, nobody);
    tcase_add_test(t, hostile_files);
    tcase_add_test(t, long_lines_hide_nobody);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
