// SPDX-License-Identifier: Apache-2.0
/* The filter is loaded in a child of its own, and the kernel is asked. */
#include "agent/sysfilter.h"

#include <check.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"

#define CAP_TO_BIT(c) (1ull << (c))
#define LOADED        200 /* exit codes above: the child could not load it */

/* errno of one call made under the filter; 0: it succeeded. */
static int ask(uint64_t caps, long nr, long a, long b, long c)
{
    auto_buf struct buf program = {0};
    struct err e = {0};
    int status;
    pid_t pid;

    ck_assert_msg(sysfilter_compile(caps, &program, &e) == 0, "%s", e.text);
    ck_assert_uint_le(program.len, SYSFILTER_BYTES_MAX);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        struct sock_fprog fprog = {.len =
                                       (unsigned short)(program.len / sizeof(struct sock_filter)),
                                   .filter = (struct sock_filter *)(void *)program.data};

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &fprog) < 0) {
            _exit(LOADED);
        }
        _exit(syscall(nr, a, b, c, 0, 0, 0) < 0 ? errno : 0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status), "status %x", (unsigned)status);
    ck_assert_int_ne(WEXITSTATUS(status), LOADED);
    return WEXITSTATUS(status);
}

static const struct {
    const char *what;
    uint64_t caps;
    long nr, a, b, c;
    int error;
} calls[] = {
    {"an allowed call", 0, SYS_getpid, 0, 0, 0, 0},
    {"an inet socket", 0, SYS_socket, AF_INET, SOCK_STREAM, 0, 0},
    {"a kernel crypto socket", 0, SYS_socket, AF_ALG, SOCK_SEQPACKET, 0, EPERM},
    {"a virtual machine's socket", 0, SYS_socket, AF_VSOCK, SOCK_STREAM, 0, EPERM},
    {"ptrace", 0, SYS_ptrace, 0, 0, 0, EPERM},
    {"keyctl", 0, SYS_keyctl, 0, 0, 0, EPERM},
    {"add_key", 0, SYS_add_key, 0, 0, 0, EPERM},
    {"request_key", 0, SYS_request_key, 0, 0, 0, EPERM},
    {"userfaultfd", 0, SYS_userfaultfd, 0, 0, 0, EPERM},
    {"io_uring_setup", 0, SYS_io_uring_setup, 1, 0, 0, EPERM},
    {"bpf", 0, SYS_bpf, 0, 0, 0, EPERM},
    {"bpf for an administrator", UINT64_MAX, SYS_bpf, 0, 0, 0, EPERM},
    {"mount", 0, SYS_mount, 0, 0, 0, EPERM},
    {"mount for an administrator", CAP_TO_BIT(CAP_SYS_ADMIN), SYS_mount, 1, 0, 0, EFAULT},
    {"a user namespace", 0, SYS_unshare, CLONE_NEWUSER, 0, 0, EPERM},
    {"a user namespace for an administrator", CAP_TO_BIT(CAP_SYS_ADMIN), SYS_unshare, CLONE_NEWUSER,
     0, 0, EPERM},
    {"a uts namespace for an administrator", CAP_TO_BIT(CAP_SYS_ADMIN), SYS_unshare, 0, 0, 0, 0},
    {"a clone with a user namespace", 0, SYS_clone, CLONE_NEWUSER, 0, 0, EPERM},
    {"a clone with a mount namespace", 0, SYS_clone, CLONE_NEWNS, 0, 0, EPERM},
    {"clone3", 0, SYS_clone3, 0, 0, 0, ENOSYS},
    {"clone3 for an administrator", UINT64_MAX, SYS_clone3, 0, 0, 0, ENOSYS},
    {"a call that does not exist", 0, 999, 0, 0, 0, ENOSYS},
    {"a call newer than the table", UINT64_MAX, 600, 0, 0, 0, ENOSYS},
    {"chroot", 0, SYS_chroot, 0, 0, 0, EPERM},
    {"chroot with its capability", CAP_TO_BIT(CAP_SYS_CHROOT), SYS_chroot, 1, 0, 0, EFAULT},
    {"an old personality", 0, SYS_personality, 0x0400000, 0, 0, EPERM},
    {"asking for the personality", 0, SYS_personality, 0xffffffff, 0, 0, 0},
    {"kexec", UINT64_MAX, SYS_kexec_load, 0, 0, 0, EPERM},
};

START_TEST(what_the_kernel_answers)
{
    ck_assert_msg(ask(calls[_i].caps, calls[_i].nr, calls[_i].a, calls[_i].b, calls[_i].c) ==
                      calls[_i].error,
                  "%s: not error %d but %d", calls[_i].what, calls[_i].error,
                  ask(calls[_i].caps, calls[_i].nr, calls[_i].a, calls[_i].b, calls[_i].c));
}
END_TEST

#ifdef __x86_64__
/* A 32-bit call from 64-bit code: the filter judges it by its own table. */
static long call32(long nr)
{
    long ret;

    __asm__ volatile("int $0x80"
                     : "=a"(ret)
                     : "a"(nr), "b"(0), "c"(0), "d"(0)
                     : "memory", "r8", "r9", "r10", "r11");
    return ret;
}

static int ask32(long nr)
{
    auto_buf struct buf program = {0};
    int status;
    pid_t pid;

    ck_assert_int_eq(sysfilter_compile(0, &program, NULL), 0);
    pid = fork();
    if (pid == 0) {
        struct sock_fprog fprog = {.len =
                                       (unsigned short)(program.len / sizeof(struct sock_filter)),
                                   .filter = (struct sock_filter *)(void *)program.data};
        long rc;

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &fprog) < 0) {
            _exit(LOADED);
        }
        rc = call32(nr);
        _exit(rc < 0 ? (int)-rc : 0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

START_TEST(other_word_sizes)
{
    ck_assert_int_eq(ask32(20), 0);                              /* getpid */
    ck_assert_int_eq(ask32(26), EPERM);                          /* ptrace */
    ck_assert_int_eq(ask32(999), ENOSYS);                        /* newer */
    ck_assert_int_eq(ask(0, 0x40000000 | 999, 0, 0, 0), ENOSYS); /* x32 */
    ck_assert_int_eq(ask(0, 0x40000000 | 521, 0, 0, 0), EPERM);  /* its ptrace */
}
END_TEST
#endif

START_TEST(compiled_once)
{
    struct sysfilter_cache cache = {0};
    const struct buf *first, *again, *other;

    ck_assert_ptr_null(sysfilter_find(&cache, 1));
    ck_assert_int_eq(sysfilter_get(&cache, 1, &first, NULL), 0);
    ck_assert_int_eq(sysfilter_get(&cache, CAP_TO_BIT(CAP_SYS_CHROOT), &other, NULL), 0);
    ck_assert_int_eq(sysfilter_get(&cache, 1, &again, NULL), 0);
    ck_assert_ptr_eq(first, again);
    ck_assert_ptr_ne(first, other);
    ck_assert_ptr_eq(sysfilter_find(&cache, 1), first);
    sysfilter_finish(&cache);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sysfilter");
    TCase *t = tcase_create("sysfilter");
    SRunner *r;
    int failed;

    tcase_add_loop_test(t, what_the_kernel_answers, 0, (int)ARRAY_LEN(calls));
#ifdef __x86_64__
    tcase_add_test(t, other_word_sizes);
#endif
    tcase_add_test(t, compiled_once);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
