// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/node_priv.h"
#include "common/utf8.h"

void reason_set(struct node_container *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(c->reason, sizeof(c->reason), fmt, ap);
    va_end(ap);
    utf8_repair(c->reason); /* it goes into documents, and may be cut */
}

void reason_add(struct node_container *c, const char *fmt, ...)
{
    size_t len = strlen(c->reason);
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(c->reason + len, sizeof(c->reason) - len, fmt, ap);
    va_end(ap);
    utf8_repair(c->reason);
}

void reason_duration(uint64_t ms, char *ret, unsigned size)
{
    if (ms < 1000) {
        (void)snprintf(ret, size, "%llu ms", (unsigned long long)ms);
    } else if (ms < 60000) {
        (void)snprintf(ret, size, "%llu.%llu s", (unsigned long long)(ms / 1000),
                       (unsigned long long)(ms % 1000 / 100));
    } else if (ms < 7200000) {
        (void)snprintf(ret, size, "%llu min", (unsigned long long)(ms / 60000));
    } else {
        (void)snprintf(ret, size, "%llu h", (unsigned long long)(ms / 3600000));
    }
}

/* Names of the signals people meet. Numbers as on x86 and arm. */
static const char *signal_name(int32_t number)
{
    static const char names[32][8] = {
        [1] = "HUP",   [2] = "INT",   [3] = "QUIT",  [4] = "ILL",   [5] = "TRAP",  [6] = "ABRT",
        [7] = "BUS",   [8] = "FPE",   [9] = "KILL",  [10] = "USR1", [11] = "SEGV", [12] = "USR2",
        [13] = "PIPE", [14] = "ALRM", [15] = "TERM", [24] = "XCPU", [25] = "XFSZ", [31] = "SYS",
    };

    return number > 0 && number < 32 && names[number][0] != '\0' ? names[number] : NULL;
}

static void say_oom(struct node_container *c)
{
    uint64_t bytes = c->want.memory_bytes;

    reason_set(c, "killed: out of memory");
    if (bytes == 0) {
        reason_add(c, ", limit of the node");
    } else if (bytes % (1024 * 1024) == 0) {
        reason_add(c, ", limit %llu MiB", (unsigned long long)(bytes / (1024 * 1024)));
    } else {
        reason_add(c, ", limit %llu KiB", (unsigned long long)(bytes / 1024));
    }
}

void reason_exit(struct node_container *c, uint64_t ran_ms)
{
    char ran[32];
    const char *name;

    reason_duration(ran_ms, ran, sizeof(ran));
    if (!c->exit.known) {
        reason_set(c, "ended, exit code not known");
    } else if (c->exit.oom) {
        say_oom(c);
    } else if (c->exit.signal == 0) {
        reason_set(c, "exited with code %d after %s", (int)c->exit.code, ran);
    } else {
        name = signal_name(c->exit.signal);
        reason_set(c, "killed by signal %d", (int)c->exit.signal);
        if (name != NULL) {
            reason_add(c, " (SIG%s)", name);
        }
        reason_add(c, " after %s", ran);
    }
}
