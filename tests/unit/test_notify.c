// SPDX-License-Identifier: Apache-2.0
/* What a service manager hears, over a socket with a path and over an abstract one. */
#include "common/notify.h"

#include <check.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* `name` as NOTIFY_SOCKET has it. */
static void hear(const char *name, const char *state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char got[64] = "";

    memcpy(at.sun_path, name, strlen(name));
    if (name[0] == '@') {
        at.sun_path[0] = '\0';
    }
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&at, len), 0);
    (void)setenv("NOTIFY_SOCKET", name, 1);
    notify_state(state);
    ck_assert_int_eq(recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT), (ssize_t)strlen(state));
    ck_assert_str_eq(got, state);
    (void)close(fd);
}

START_TEST(heard)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "@wherry-notify-%d", (int)getpid());
    hear(name, "READY=1");
    (void)snprintf(name, sizeof(name), "/tmp/wherry-notify-%d", (int)getpid());
    hear(name, "STOPPING=1");
    (void)unlink(name);
}
END_TEST

START_TEST(nobody_there)
{
    static const char *const names[] = {"", "@", "relative", "/nowhere/at/all", "@nobody"};

    (void)unsetenv("NOTIFY_SOCKET");
    notify_state("READY=1");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)setenv("NOTIFY_SOCKET", names[i], 1);
        notify_state("READY=1"); /* and nothing happens */
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("notify");
    TCase *tcase = tcase_create("notify");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, heard);
    tcase_add_test(tcase, nobody_there);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
