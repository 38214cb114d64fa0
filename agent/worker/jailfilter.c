// SPDX-License-Identifier: Apache-2.0
#include "agent/worker/jailfilter.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"

/* Memory, time, signals of our own, and I/O on what is open. */
static const int common_calls[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(lseek),
    SCMP_SYS(close),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(fcntl),
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(futex),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(getrandom),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(recvfrom),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sysinfo),
    SCMP_SYS(rseq),
    SCMP_SYS(dup),
};

static const int load_calls[] = {
    SCMP_SYS(openat),     SCMP_SYS(openat2),    SCMP_SYS(mkdirat),   SCMP_SYS(unlinkat),
    SCMP_SYS(symlinkat),  SCMP_SYS(linkat),     SCMP_SYS(mknodat),   SCMP_SYS(fchown),
    SCMP_SYS(fchownat),   SCMP_SYS(fchmod),     SCMP_SYS(ftruncate), SCMP_SYS(fsetxattr),
    SCMP_SYS(utimensat),  SCMP_SYS(fsync),      SCMP_SYS(syncfs),    SCMP_SYS(fstatfs),
    SCMP_SYS(getdents64), SCMP_SYS(readlinkat),
};

/* The sockets are given; making one is not among the calls. */
static const int probe_calls[] = {
    SCMP_SYS(connect),     SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getsockname),
    SCMP_SYS(getpeername), SCMP_SYS(shutdown),   SCMP_SYS(ioctl),
};

static const int deadly_calls[] = {
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),
    SCMP_SYS(fsopen),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    SCMP_SYS(bpf),
    SCMP_SYS(keyctl),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(kexec_load),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(setuid),
    SCMP_SYS(setresuid),
    SCMP_SYS(memfd_create),
};

#if defined(__SANITIZE_ADDRESS__)
/* What the sanitizers' runtime asks for on its own. */
static const int sanitizer_calls[] = {
    SCMP_SYS(mmap),      SCMP_SYS(mprotect),  SCMP_SYS(readlink),          SCMP_SYS(prctl),
    SCMP_SYS(getrlimit), SCMP_SYS(prlimit64), SCMP_SYS(sched_getaffinity), SCMP_SYS(openat),
};
#endif

static int add_list(scmp_filter_ctx ctx, uint32_t action, const int *calls, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int rc = seccomp_rule_add(ctx, action, calls[i], 0);

        if (rc < 0 && rc != -EDOM) { /* EDOM: not on this architecture */
            return rc;
        }
    }
    return 0;
}

/* Memory may be mapped, but never to be executed. */
static int add_memory(scmp_filter_ctx ctx)
{
    int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

    if (rc == 0) {
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    }
    if (rc == 0) { /* abort() */
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                              SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    }
    return rc;
}

static int add_all(scmp_filter_ctx ctx, enum jail_kind kind)
{
    int rc = add_list(ctx, SCMP_ACT_ALLOW, common_calls, ARRAY_LEN(common_calls));

    if (rc == 0) {
        rc = add_memory(ctx);
    }
    if (rc == 0 && kind == JAIL_LOAD) {
        rc = add_list(ctx, SCMP_ACT_ALLOW, load_calls, ARRAY_LEN(load_calls));
    }
    if (rc == 0 && kind == JAIL_PROBE) {
        rc = add_list(ctx, SCMP_ACT_ALLOW, probe_calls, ARRAY_LEN(probe_calls));
    }
    if (rc == 0 && kind == JAIL_LOAD) {
        rc = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, SCMP_SYS(socket), 0);
    }
    if (rc == 0) {
        rc = add_list(ctx, SCMP_ACT_KILL_PROCESS, deadly_calls, ARRAY_LEN(deadly_calls));
    }
#if defined(__SANITIZE_ADDRESS__)
    if (rc == 0) {
        rc = add_list(ctx, SCMP_ACT_ALLOW, sanitizer_calls, ARRAY_LEN(sanitizer_calls));
    }
#endif
    return rc;
}

int jailfilter_load(enum jail_kind kind, struct err *e)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int rc;

    if (ctx == NULL) {
        return err_say(e, ENOMEM, "make a seccomp filter");
    }
    rc = add_all(ctx, kind);
    if (rc == 0) {
        rc = seccomp_load(ctx);
    }
    seccomp_release(ctx);
    return rc < 0 ? err_set(e, rc, "load the seccomp filter") : 0;
}
