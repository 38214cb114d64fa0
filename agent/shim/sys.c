// SPDX-License-Identifier: Apache-2.0
#include "agent/shim/sys.h"

#ifdef WHERRY_FAILPOINTS
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAILPOINT_FD 900 /* out of the way of what a plan names */

static unsigned long calls;

bool sys_fails(void)
{
    const char *order = getenv("WHERRY_SHIM_FAIL");
    char *end;

    if (order == NULL || ++calls != strtoul(order, &end, 10)) {
        return false;
    }
    errno = *end == ':' ? (int)strtoul(end + 1, NULL, 10) : EIO;
    return true;
}

void sys_keep_failpoint(void)
{
    const char *order = getenv("WHERRY_FAILPOINT");
    const char *file = order != NULL ? strchr(order, '@') : NULL;
    const char *name = file != NULL ? strrchr(file, '/') : NULL;
    char text[512];
    int fd;

    if (name == NULL) {
        return;
    }
    (void)snprintf(text, sizeof(text), "%.*s", (int)(name - file), file + 1);
    fd = open(text, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && dup3(fd, FAILPOINT_FD, O_CLOEXEC) >= 0) {
        (void)snprintf(text, sizeof(text), "%.*s@/proc/self/fd/%d%s", (int)(file - order), order,
                       FAILPOINT_FD, name);
        (void)setenv("WHERRY_FAILPOINT", text, 1);
    }
    (void)close(fd);
}

int sys_failpoint_fd(void)
{
    return fcntl(FAILPOINT_FD, F_GETFD) >= 0 ? FAILPOINT_FD : -1;
}

bool sys_denied(const char *feature)
{
    const char *list = getenv("WHERRY_SHIM_DENY");

    return list != NULL && strstr(list, feature) != NULL;
}
#endif
