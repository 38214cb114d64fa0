// SPDX-License-Identifier: Apache-2.0
#include "agent/cell.h"

#include <check.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"

#define IDS  (524288u + 77u * 65536u)
#define SKIP 77

static bool same(int a, int b)
{
    struct stat sa, sb;

    ck_assert_int_eq(fstat(a, &sa), 0);
    ck_assert_int_eq(fstat(b, &sb), 0);
    return sa.st_ino == sb.st_ino && sa.st_dev == sb.st_dev;
}

/* Inside: the map, and whether lo is up. */
static void look(const struct cell *cell)
{
    struct ifreq request = {.ifr_name = "lo"};
    char line[128] = "";
    unsigned inside, outside, count;
    int fd;

    if (setns(cell->net_fd, CLONE_NEWNET) < 0 || setns(cell->user_fd, CLONE_NEWUSER) < 0) {
        _exit(2);
    }
    fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, line, sizeof(line) - 1) <= 0 ||
        sscanf(line, "%u %u %u", &inside, &outside, &count) != 3 || inside != 0 || outside != IDS ||
        count != 65536) {
        _exit(3);
    }
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (ioctl(fd, SIOCGIFFLAGS, &request) < 0 || (request.ifr_flags & IFF_UP) == 0) {
        _exit(4);
    }
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) {
        _exit(5);
    }
    _exit(0);
}

START_TEST(made_and_given_back)
{
    struct cell cell = CELL_NONE, other = CELL_NONE;
    struct err e = {0};
    auto_close int mine = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    auto_close int owner = -1;
    int status;
    pid_t pid;

    ck_assert_msg(cell_create(IDS, &cell, &e) == 0, "%s", e.text);
    ck_assert_msg(cell_create(IDS + 65536, &other, &e) == 0, "%s", e.text);
    ck_assert(!same(cell.net_fd, mine));
    ck_assert(!same(cell.net_fd, other.net_fd));
    owner = ioctl(cell.net_fd, NS_GET_USERNS);
    ck_assert_int_ge(owner, 0);
    ck_assert(same(owner, cell.user_fd));
    pid = fork();
    if (pid == 0) {
        look(&cell);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(waitpid(-1, &status, WNOHANG | __WALL), -1); /* no helper is left */
    cell_finish(&cell);
    cell_finish(&other);
    ck_assert_int_eq(cell.user_fd, -1);
    cell_finish(&cell);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cell");
    TCase *t = tcase_create("cell");
    SRunner *r;
    int failed;

    if (geteuid() != 0) {
        printf("skipped: namespaces with ids of their own need root\n");
        return SKIP;
    }
    tcase_add_test(t, made_and_given_back);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
