// SPDX-License-Identifier: Apache-2.0
#include "agent/nodefacts.h"

#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "common/cleanup.h"
#include "common/name.h"

#define MIB (1024ull * 1024)

/* "MemTotal:  123 kB" in bytes; 0: not there. */
static uint64_t meminfo(const char *key)
{
    auto_fclose FILE *f = fopen("/proc/meminfo", "re");
    char line[128];
    size_t len = strlen(key);

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, key, len) == 0 && line[len] == ':') {
            return strtoull(line + len + 1, NULL, 10) * 1024;
        }
    }
    return 0;
}

static uint64_t read_number(const char *path, uint64_t otherwise)
{
    auto_fclose FILE *f = fopen(path, "re");
    char line[64];

    if (f == NULL || fgets(line, sizeof(line), f) == NULL || line[0] < '0' || line[0] > '9') {
        return otherwise;
    }
    return strtoull(line, NULL, 10);
}

static uint64_t allocatable(uint64_t total)
{
    uint64_t reserve = total / 10;

    if (reserve < 256 * MIB) {
        reserve = 256 * MIB;
    }
    if (reserve > total / 2) {
        reserve = total / 2;
    }
    return (total - reserve) / MIB * MIB;
}

/* Container images' word for the machine (Go's GOARCH). */
static const char *arch_name(const char *machine)
{
    static const char *const names[][2] = {
        {"x86_64", "amd64"}, {"aarch64", "arm64"}, {"riscv64", "riscv64"}, {"ppc64le", "ppc64le"}};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(machine, names[i][0]) == 0) {
            return names[i][1];
        }
    }
    return machine;
}

/* The host's name as a name of ours: lower case, what does not fit becomes '-'. */
static void make_name(const char *nodename, char *ret, size_t size)
{
    size_t n = 0;

    for (; nodename[n] != '\0' && n < size - 1 && n < NAME_MAX_LEN; n++) {
        char c = (char)tolower((unsigned char)nodename[n]);

        ret[n] = isalnum((unsigned char)c) || (n > 0 && (c == '.' || c == '-')) ? c : '-';
    }
    ret[n] = '\0';
    if (!name_is_valid(ret)) {
        (void)snprintf(ret, size, "host");
    }
}

int nodefacts_read(struct nodefacts *ret, struct err *e)
{
    struct utsname u;
    cpu_set_t cpus;
    uint64_t total = meminfo("MemTotal");
    uint64_t pids = read_number("/proc/sys/kernel/pid_max", 32768);
    uint64_t threads = read_number("/proc/sys/kernel/threads-max", pids);

    if (uname(&u) < 0) {
        return err_set(e, errno, "uname");
    }
    if (total == 0) {
        return err_say(e, EIO, "read MemTotal in /proc/meminfo: not there");
    }
    if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0) {
        return err_set(e, errno, "sched_getaffinity");
    }
    *ret = (struct nodefacts){.cpu_millis = 1000u * (uint64_t)CPU_COUNT(&cpus),
                              .memory_bytes = allocatable(total),
                              .pids = (pids < threads ? pids : threads) * 9 / 10};
    (void)snprintf(ret->arch, sizeof(ret->arch), "%.15s", arch_name(u.machine));
    (void)snprintf(ret->kernel, sizeof(ret->kernel), "%s", u.release);
    make_name(u.nodename, ret->hostname, sizeof(ret->hostname));
    return 0;
}

uint64_t nodefacts_memory_used(void)
{
    uint64_t total = meminfo("MemTotal"), available = meminfo("MemAvailable");

    return total > available ? total - available : 0;
}
