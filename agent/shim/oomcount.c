// SPDX-License-Identifier: Apache-2.0
#include "agent/shim/oomcount.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE "oom_kill "

uint64_t oomcount_parse(const char *text)
{
    const char *at = text;

    while (at != NULL && strncmp(at, LINE, sizeof(LINE) - 1) != 0) {
        at = strchr(at, '\n');
        at = at != NULL ? at + 1 : NULL;
    }
    return at != NULL ? strtoull(at + sizeof(LINE) - 1, NULL, 10) : 0;
}

uint64_t oomcount_read(int fd)
{
    char text[512];
    ssize_t n = fd >= 0 ? pread(fd, text, sizeof(text) - 1, 0) : -1;

    if (n <= 0) {
        return 0;
    }
    text[n] = '\0';
    return oomcount_parse(text);
}
