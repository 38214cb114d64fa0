// SPDX-License-Identifier: Apache-2.0
/* Stands in for wherry-shim in test_uv_shim: behaves as the one variable says that reaches it. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/shim/plan.h"

static void say(unsigned magic, unsigned kind, const char *text)
{
    struct plan_result result = {.magic = magic, .kind = kind, .code = -5};

    memcpy(result.text, text, strlen(text) + 1);
    (void)!write(PLAN_STATUS_FD, &result, sizeof(result));
}

static void be_noisy(void)
{
    char line[256];

    memset(line, 'x', sizeof(line));
    for (int i = 0; i < 1024; i++) {
        (void)!write(PLAN_OUTPUT_FD, line, sizeof(line));
    }
}

/* Whether exactly the descriptors are open that it shall have: an error's code or 0. */
static int look_at_fds(void)
{
    char bytes[16] = "";

    for (int fd = 10; fd < 1024; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) {
            return fd;
        }
    }
    if (pread(PLAN_FD, bytes, sizeof(bytes) - 1, 0) != 8 || strcmp(bytes, "the plan") != 0) {
        return 1;
    }
    return pwrite(PLAN_FD, "x", 1, 0) < 0 && getenv("PATH") == NULL ? 0 : 2;
}

int main(int argc, char **argv)
{
    const char *how = getenv("WHERRY_FAILPOINT");

    if (argc != 2 || strcmp(argv[1], "run") != 0 || how == NULL) {
        return 9;
    }
    if (strcmp(how, "die") == 0) {
        return 3;
    } else if (strcmp(how, "killed") == 0) {
        (void)raise(SIGKILL);
    } else if (strcmp(how, "garbage") == 0) {
        say(0x12345678, PLAN_RESULT_STARTED, "");
    } else if (strcmp(how, "failed") == 0) {
        say(PLAN_MAGIC, PLAN_RESULT_FAILED, "proc: mount: it broke");
    } else if (strcmp(how, "noise") == 0) {
        be_noisy();
        say(PLAN_MAGIC, PLAN_RESULT_EXITED, "");
    } else if (strcmp(how, "hang") == 0) {
        (void)pause();
    } else if (strcmp(how, "stay") == 0) {
        say(PLAN_MAGIC, PLAN_RESULT_STARTED, "");
        (void)pause();
    } else {
        int wrong = look_at_fds();

        say(PLAN_MAGIC, wrong == 0 ? PLAN_RESULT_CLEANED : PLAN_RESULT_FAILED, "descriptors");
        return wrong;
    }
    return 0;
}
