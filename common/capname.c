// SPDX-License-Identifier: Apache-2.0
#include "common/capname.h"

#include <assert.h>
#include <linux/capability.h>
#include <string.h>

#define ROW(name) [CAP_##name] = #name

const char *const capname_list[CAPNAME_N] = {
    ROW(CHOWN),
    ROW(DAC_OVERRIDE),
    ROW(DAC_READ_SEARCH),
    ROW(FOWNER),
    ROW(FSETID),
    ROW(KILL),
    ROW(SETGID),
    ROW(SETUID),
    ROW(SETPCAP),
    ROW(LINUX_IMMUTABLE),
    ROW(NET_BIND_SERVICE),
    ROW(NET_BROADCAST),
    ROW(NET_ADMIN),
    ROW(NET_RAW),
    ROW(IPC_LOCK),
    ROW(IPC_OWNER),
    ROW(SYS_MODULE),
    ROW(SYS_RAWIO),
    ROW(SYS_CHROOT),
    ROW(SYS_PTRACE),
    ROW(SYS_PACCT),
    ROW(SYS_ADMIN),
    ROW(SYS_BOOT),
    ROW(SYS_NICE),
    ROW(SYS_RESOURCE),
    ROW(SYS_TIME),
    ROW(SYS_TTY_CONFIG),
    ROW(MKNOD),
    ROW(LEASE),
    ROW(AUDIT_WRITE),
    ROW(AUDIT_CONTROL),
    ROW(SETFCAP),
    ROW(MAC_OVERRIDE),
    ROW(MAC_ADMIN),
    ROW(SYSLOG),
    ROW(WAKE_ALARM),
    ROW(BLOCK_SUSPEND),
    ROW(AUDIT_READ),
    ROW(PERFMON),
    ROW(BPF),
    ROW(CHECKPOINT_RESTORE),
};

static_assert(CAP_CHECKPOINT_RESTORE == CAPNAME_N - 1, "the last one that is known");

int capname_find(const char *name)
{
    for (int i = 0; i < CAPNAME_N; i++) {
        if (strcmp(capname_list[i], name) == 0) {
            return i;
        }
    }
    return -1;
}
