// SPDX-License-Identifier: Apache-2.0
/* What a hostile program inside a container tries, one line per attempt: "name: OK" or the error.
 * Static, so that it runs in an image without a C library. The judge is test_default_sandbox.py.
 *
 *   probe calls          system calls that must be refused
 *   probe files          device nodes, programs, descriptors, what is writable
 *   probe open PATH…     opens each for writing
 *   probe connect ADDRESS PORT
 *   probe whoami         who it runs as; to be run as a setuid program */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define LAST_NUMBER 4000 /* no kernel has that many */

static void say(const char *name, long rc)
{
    (void)printf("%s: %s\n", name, rc < 0 ? strerrorname_np(errno) : "OK");
}

/* ---- system calls ---- */

static const struct {
    const char *name;
    long nr, a, b, c, d, e;
} calls[] = {
    {"ptrace", SYS_ptrace, PTRACE_TRACEME, 0, 0, 0, 0},
    {"process_vm_readv", SYS_process_vm_readv, 1, 0, 0, 0, 0},
    {"pidfd_getfd", SYS_pidfd_getfd, 0, 0, 0, 0, 0},
    {"kcmp", SYS_kcmp, 1, 1, 0, 0, 0},
    {"keyctl", SYS_keyctl, 0, -3, 0, 0, 0},
    {"add_key", SYS_add_key, 0, 0, 0, 0, 0},
    {"request_key", SYS_request_key, 0, 0, 0, 0, 0},
    {"io_uring_setup", SYS_io_uring_setup, 1, 0, 0, 0, 0},
    {"io_uring_enter", SYS_io_uring_enter, 0, 0, 0, 0, 0},
    {"io_uring_register", SYS_io_uring_register, 0, 0, 0, 0, 0},
    {"bpf", SYS_bpf, BPF_MAP_CREATE, 0, 0, 0, 0},
    {"perf_event_open", SYS_perf_event_open, 0, 0, -1, -1, 0},
    {"userfaultfd", SYS_userfaultfd, 0, 0, 0, 0, 0},
    {"unshare user", SYS_unshare, CLONE_NEWUSER, 0, 0, 0, 0},
    {"unshare mount", SYS_unshare, CLONE_NEWNS, 0, 0, 0, 0},
    {"unshare cgroup", SYS_unshare, CLONE_NEWCGROUP, 0, 0, 0, 0},
    {"clone user", SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0},
    {"clone3", SYS_clone3, 0, 0, 0, 0, 0},
    {"setns", SYS_setns, 0, 0, 0, 0, 0},
    {"mount", SYS_mount, (long)"none", (long)"/tmp", (long)"tmpfs", 0, 0},
    {"umount2", SYS_umount2, (long)"/proc/kcore", MNT_DETACH, 0, 0, 0},
    {"fsopen", SYS_fsopen, (long)"tmpfs", 0, 0, 0, 0},
    {"open_tree", SYS_open_tree, AT_FDCWD, (long)"/", 1, 0, 0},
    {"move_mount", SYS_move_mount, AT_FDCWD, (long)"/", AT_FDCWD, (long)"/tmp", 0},
    {"mount_setattr", SYS_mount_setattr, AT_FDCWD, (long)"/", 0, 0, 0},
    {"pivot_root", SYS_pivot_root, (long)"/tmp", (long)"/tmp", 0, 0, 0},
    {"chroot", SYS_chroot, (long)"/tmp", 0, 0, 0, 0},
    {"open_by_handle_at", SYS_open_by_handle_at, AT_FDCWD, 0, 0, 0, 0},
    {"kexec_load", SYS_kexec_load, 0, 0, 0, 0, 0},
    {"init_module", SYS_init_module, 0, 0, 0, 0, 0},
    {"finit_module", SYS_finit_module, 0, 0, 0, 0, 0},
    {"reboot", SYS_reboot, 0, 0, 0, 0, 0},
    {"swapon", SYS_swapon, (long)"/tmp", 0, 0, 0, 0},
    {"syslog", SYS_syslog, 10, 0, 0, 0, 0},
    {"sethostname", SYS_sethostname, (long)"evil", 4, 0, 0, 0},
    {"settimeofday", SYS_settimeofday, 0, 0, 0, 0, 0},
    {"acct", SYS_acct, 0, 0, 0, 0, 0},
    {"quotactl", SYS_quotactl, 0, 0, 0, 0, 0},
    {"mbind", SYS_mbind, 0, 0, 0, 0, 0},
    {"unknown", LAST_NUMBER, 0, 0, 0, 0, 0},
};

static const struct {
    const char *name;
    int family, type, protocol;
} sockets[] = {
    {"socket raw", AF_INET, SOCK_RAW, IPPROTO_ICMP}, {"socket raw6", AF_INET6, SOCK_RAW, 58},
    {"socket packet", AF_PACKET, SOCK_RAW, 0x0300},  {"socket vsock", AF_VSOCK, SOCK_STREAM, 0},
    {"socket alg", AF_ALG, SOCK_SEQPACKET, 0},
};

static void try_calls(void)
{
    for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        long rc = syscall(calls[i].nr, calls[i].a, calls[i].b, calls[i].c, calls[i].d, calls[i].e);

        if (rc == 0 && calls[i].nr == SYS_clone) {
            _exit(0);
        }
        say(calls[i].name, rc);
    }
    for (unsigned i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
        int fd = socket(sockets[i].family, sockets[i].type, sockets[i].protocol);

        say(sockets[i].name, fd);
        (void)close(fd);
    }
}

/* ---- files ---- */

static void try_nodes(void)
{
    static const struct {
        const char *name;
        mode_t type;
        unsigned major, minor;
    } nodes[] = {{"null", S_IFCHR, 1, 3},
                 {"mem", S_IFCHR, 1, 1},
                 {"disk", S_IFBLK, 8, 0},
                 {"loop", S_IFBLK, 7, 0},
                 {"kmsg", S_IFCHR, 1, 11}};

    for (unsigned i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
        char path[64];

        (void)snprintf(path, sizeof(path), "/tmp/node-%s", nodes[i].name);
        (void)printf("mknod ");
        say(nodes[i].name,
            mknod(path, nodes[i].type | 0666, makedev(nodes[i].major, nodes[i].minor)));
    }
}

static void try_programs(void)
{
    DIR *dir = opendir("/proc");
    struct dirent *d;

    while (dir != NULL && (d = readdir(dir)) != NULL) {
        char path[300];
        int fd;

        if (d->d_name[0] < '1' || d->d_name[0] > '9') {
            continue;
        }
        (void)snprintf(path, sizeof(path), "/proc/%s/exe", d->d_name);
        fd = open(path, O_WRONLY | O_TRUNC);
        (void)printf("write program ");
        say(d->d_name, fd);
    }
    (void)closedir(dir);
}

static void list_fds(void)
{
    for (int fd = 0; fd < 4096; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) {
            (void)printf("fd: %d\n", fd);
        }
    }
}

static void try_files(void)
{
    char cwd[4096];
    struct rlimit core;

    list_fds();
    try_nodes();
    try_programs();
    say("getcwd", getcwd(cwd, sizeof(cwd)) != NULL && cwd[0] == '/' ? 0 : -1);
    (void)getrlimit(RLIMIT_CORE, &core);
    (void)printf("core: %llu %llu\n", (unsigned long long)core.rlim_cur,
                 (unsigned long long)core.rlim_max);
}

static void try_open(char **paths)
{
    for (; *paths != NULL; paths++) {
        int fd = open(*paths, O_WRONLY);

        say(*paths, fd);
        (void)close(fd);
    }
}

/* ---- network ---- */

static int try_connect(const char *address, const char *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = 0;
    struct pollfd p = {fd, POLLOUT, 0};
    socklen_t len = sizeof(error);

    (void)inet_pton(AF_INET, address, &to.sin_addr);
    (void)printf("connect %s ", address);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS) {
        say(port, -1);
        return 1;
    }
    if (poll(&p, 1, 700) == 0) {
        (void)printf("%s: ETIMEDOUT\n", port);
        return 1;
    }
    (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    errno = error;
    say(port, error == 0 ? 0 : -1);
    return error != 0;
}

int main(int argc, char **argv)
{
    (void)setvbuf(stdout, NULL, _IONBF, 0);
    if (argc == 2 && strcmp(argv[1], "calls") == 0) {
        try_calls();
    } else if (argc == 2 && strcmp(argv[1], "files") == 0) {
        try_files();
    } else if (argc > 2 && strcmp(argv[1], "open") == 0) {
        try_open(argv + 2);
    } else if (argc == 4 && strcmp(argv[1], "connect") == 0) {
        return try_connect(argv[2], argv[3]);
    } else if (argc == 2 && strcmp(argv[1], "whoami") == 0) {
        (void)printf("euid: %u egid: %u\n", geteuid(), getegid());
    } else {
        return 2;
    }
    return 0;
}
