// SPDX-License-Identifier: Apache-2.0
#include "agent/shimhome.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"

#define SKIP 77

static char base[] = "/tmp/wherry-test-home-XXXXXX";

static void touch(const char *path)
{
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq((int)write(fd, "x", 1), 1);
}

/* Mounts on this host that have to do with this test. */
static unsigned mounts(void)
{
    auto_fclose FILE *f = fopen("/proc/self/mountinfo", "re");
    char line[4096];
    unsigned n = 0;

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        n += strstr(line, base) != NULL;
    }
    return n;
}

/* Inside: the number of what is missing; 0: all is there. */
static int look(int mntns_fd, const char *const *paths, const char *missing)
{
    struct stat st;
    char bytes[4];
    int fd;

    if (setns(mntns_fd, CLONE_NEWNS) < 0) {
        return 100;
    }
    for (int i = 0; paths[i] != NULL; i++) {
        if (lstat(paths[i], &st) < 0) {
            return i + 1;
        }
    }
    if (lstat(missing, &st) == 0) {
        return 101;
    }
    fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    if (read(fd, bytes, 4) != 4) {
        return 102;
    }
    return 0;
}

START_TEST(what_is_in_it)
{
    auto_free char *state = xasprintf("%s/state", base), *run = xasprintf("%s/state/run", base);
    auto_free char *file = xasprintf("%s/state/layer", base);
    auto_free char *run_file = xasprintf("%s/state/run/record", base);
    auto_free char *other = xasprintf("%s/other", base);
    const char *paths[] = {
        file,      run_file,         "/proc/self/ns/mnt", "/sys/kernel", "/dev/null",
        "/dev/fd", "/dev/ptmx",      "/dev/pts",          "/dev/shm",    "/m",
        "/ls",     "/sys/fs/cgroup", "/proc/1/stat",      NULL};
    struct shimhome home = SHIMHOME_NONE;
    struct cgroups groups = {0};
    struct err e = {0};
    int status;
    pid_t pid;

    ck_assert(mkdir(state, 0700) == 0 && mkdir(run, 0700) == 0);
    touch(file);
    touch(run_file);
    touch(other);
    ck_assert_int_eq(cgroups_detect(&groups, NULL), 0);
    ck_assert_msg(shimhome_make(state, run, &groups, "/proc/self/exe", &home, &e) == 0, "%s",
                  e.text);
    pid = fork();
    if (pid == 0) {
        _exit(look(home.mntns_fd, paths, other));
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
    ck_assert_uint_eq(mounts(), 0);
    shimhome_finish(&home);
    cgroups_finish(&groups);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    (void)unlink(file);
    (void)unlink(run_file);
    (void)unlink(other);
    (void)rmdir(run);
    (void)rmdir(state);
}
END_TEST

START_TEST(the_program_is_sealed)
{
    struct err e = {0};
    auto_free char *missing = xasprintf("%s/none", base);
    int fd = -1;

    ck_assert_int_eq(shimhome_seal("/proc/self/exe", &fd, NULL), 0);
    ck_assert_int_eq(pwrite(fd, "x", 1, 0), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(ftruncate(fd, 0), -1);
    (void)close(fd);
    ck_assert_int_eq(shimhome_seal(missing, &fd, &e), -ENOENT);
    ck_assert_ptr_nonnull(strstr(e.text, missing));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("shimhome");
    TCase *t = tcase_create("shimhome");
    SRunner *r;
    int failed;

    if (geteuid() != 0) {
        printf("skipped: a mount namespace of its own needs root\n");
        return SKIP;
    }
    if (mkdtemp(base) == NULL) {
        return EXIT_FAILURE;
    }
    tcase_add_test(t, what_is_in_it);
    tcase_add_test(t, the_program_is_sealed);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    (void)rmdir(base);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
