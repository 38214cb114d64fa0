// SPDX-License-Identifier: Apache-2.0
/* The namespaces are made by a helper process that is cloned into them, brings `lo` up, and waits
 * until its pipe closes, so that it ends with the agent too. It is a plain fork in a program with
 * threads: it makes system calls only. */
#include "agent/cell.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/idrange.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

#define DEADLINE_MS 2000

/* ---- the helper ---- */

static int lo_up(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0) {
        return errno;
    }
    return close(fd) < 0 ? errno : 0;
}

static _Noreturn void helper(int answer_fd, int wait_fd)
{
    int error = lo_up();
    char byte;

    if (write(answer_fd, &error, sizeof(error)) == (ssize_t)sizeof(error)) {
        while (read(wait_fd, &byte, 1) < 0 && errno == EINTR) {
        }
    }
    _exit(0);
}

/* ---- its parent ---- */

static int write_map(pid_t pid, const char *which, uint32_t ids, struct err *e)
{
    char path[64], text[64];
    auto_close int fd = -1;
    int n;

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, which);
    n = snprintf(text, sizeof(text), "0 %u %u\n", ids, IDRANGE_SIZE);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, (size_t)n) != n) {
        return err_set(e, errno, "write %s for ids from %u", which, ids);
    }
    return 0;
}

static int open_ns(pid_t pid, const char *which, int *ret, struct err *e)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, which);
    *ret = open(path, O_RDONLY | O_CLOEXEC);
    return *ret < 0 ? err_set(e, errno, "open the %s namespace", which) : 0;
}

static int hear(int fd, struct err *e)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int error = EPIPE; /* it died before it said anything */
    int rc;

    do {
        rc = poll(&p, 1, DEADLINE_MS);
    } while (rc < 0 && errno == EINTR);
    if (rc == 0) {
        return err_say(e, ETIMEDOUT, "making namespaces took more than %d ms", DEADLINE_MS);
    }
    if (read(fd, &error, sizeof(error)) < 0) {
        error = errno;
    }
    return error != 0 ? err_set(e, error, "bring lo up") : 0;
}

static int finish(pid_t pid, uint32_t ids, int answer_fd, struct cell *cell, struct err *e)
{
    int rc = write_map(pid, "uid_map", ids, e);

    rc = rc < 0 ? rc : write_map(pid, "gid_map", ids, e);
    rc = rc < 0 ? rc : hear(answer_fd, e);
    rc = rc < 0 ? rc : open_ns(pid, "user", &cell->user_fd, e);
    return rc < 0 ? rc : open_ns(pid, "net", &cell->net_fd, e);
}

static void reap(pid_t pid)
{
    (void)kill(pid, SIGKILL); /* not reaped yet, so it is this one */
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR) {
    }
}

/* clone3, or the old call where it is not allowed. The child gets 0, as from fork. No exit
 * signal: nobody else's SIGCHLD handler hears of it. */
static pid_t spawn(void)
{
    struct clone_args args = {.flags = CLONE_NEWUSER | CLONE_NEWNET};
    long pid = syscall(SYS_clone3, &args, sizeof(args));

    if (pid < 0 && (errno == ENOSYS || errno == EPERM)) {
        pid = syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWNET, 0, NULL, NULL, 0);
    }
    return (pid_t)pid;
}

int cell_create(uint32_t ids, struct cell *ret, struct err *e)
{
    auto_close int answer_read = -1, answer_write = -1, wait_read = -1, wait_write = -1;
    struct cell cell = CELL_NONE;
    int answer[2], hold[2];
    pid_t pid;
    int rc;

    if (pipe2(answer, O_CLOEXEC) < 0) {
        return err_set(e, errno, "make a pipe");
    }
    answer_read = answer[0];
    answer_write = answer[1];
    if (pipe2(hold, O_CLOEXEC) < 0) {
        return err_set(e, errno, "make a pipe");
    }
    wait_read = hold[0];
    wait_write = hold[1];
    FAILPOINT("agent.cell.before_clone");
    pid = spawn();
    if (pid < 0) {
        return err_set(e, errno, "make a user and a network namespace");
    }
    if (pid == 0) {
        (void)close(wait_write); /* else it would keep itself waiting */
        helper(answer_write, wait_read);
    }
    FAILPOINT("agent.cell.after_clone");
    (void)close(take_fd(&answer_write));
    rc = finish(pid, ids, answer_read, &cell, e);
    reap(pid);
    if (rc < 0) {
        cell_finish(&cell);
        return rc;
    }
    *ret = cell;
    return 0;
}

void cell_finish(struct cell *cell)
{
    cleanup_close(&cell->user_fd);
    cleanup_close(&cell->net_fd);
    *cell = CELL_NONE;
}
