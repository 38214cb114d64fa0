// SPDX-License-Identifier: Apache-2.0
/* The kernel, ids, space, time. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/cgroups.h"
#include "agent/doctor_priv.h"
#include "agent/idrange.h"
#include "common/buf.h"
#include "common/cleanup.h"

#define GIB               (1024ull * 1024 * 1024)
#define DISK_WARNING      (5 * GIB)
#define DISK_PROBLEM      (GIB / 2)
#define IDS_WARNING       64u
#define CLOCK_WARNING_MS  2000
#define CLOCK_PROBLEM_MS  30000
#define CONNTRACK_WARNING 75u /* per cent */
#define CONNTRACK_PROBLEM 95u

/* ---- the kernel ---- */

/* Asked with arguments that cannot be: whatever it says but ENOSYS, it knows the call. */
static bool knows(long rc)
{
    return rc >= 0 || errno != ENOSYS;
}

static bool has_openat2(void)
{
    return knows(syscall(SYS_openat2, -1, NULL, NULL, (size_t)0));
}

static bool has_clone3(void)
{
    return knows(syscall(SYS_clone3, NULL, (size_t)0));
}

static bool has_pidfd(void)
{
    return knows(syscall(SYS_pidfd_open, -1, 0));
}

static bool has_idmap(void)
{
    return knows(syscall(SYS_mount_setattr, -1, "", 0, NULL, (size_t)0));
}

static bool has_open_tree(void)
{
    return knows(syscall(SYS_open_tree, -1, "", 0));
}

static bool has_close_range(void)
{
    return knows(syscall(SYS_close_range, ~0u, 0u, 0u));
}

void doctor_host_kernel(const struct doctor_world *w, struct doctor_result *ret)
{
    static const struct {
        const char *name;
        bool (*has)(void);
    } calls[] = {
        {"openat2", has_openat2},         {"clone3", has_clone3},
        {"pidfd_open", has_pidfd},        {"open_tree", has_open_tree},
        {"close_range", has_close_range}, {"mount_setattr (idmapped mounts)", has_idmap},
    };
    auto_buf struct buf missing = {0};
    struct utsname u;

    (void)w;
    (void)uname(&u);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        if (!calls[i].has()) {
            buf_printf(&missing, "%s%s", missing.len > 0 ? ", " : "", calls[i].name);
        }
    }
    if (missing.len == 0) {
        doctor_say(ret, DOCTOR_OK, "%s has all that is needed", u.release);
        return;
    }
    doctor_say(ret, DOCTOR_PROBLEM, "%s lacks %s; a kernel of 6.1 or later has it", u.release,
               buf_text(&missing));
    doctor_mend(ret, "apt-get install linux-image-amd64 && reboot");
}

void doctor_host_userns(const struct doctor_world *w, struct doctor_result *ret)
{
    long long max = 0;

    if (!doctor_number(w->proc, "sys/user/max_user_namespaces", &max)) {
        doctor_say(ret, DOCTOR_PROBLEM, "the kernel has no user namespaces (CONFIG_USER_NS)");
    } else if (max < 64) {
        doctor_say(ret, DOCTOR_PROBLEM,
                   "at most %lld user namespaces are allowed; each container needs one", max);
        doctor_mend(ret, "sysctl -w user.max_user_namespaces=65536 && "
                         "echo user.max_user_namespaces=65536 >/etc/sysctl.d/60-wherry.conf");
    } else {
        doctor_say(ret, DOCTOR_OK, "%lld are allowed", max);
    }
}

void doctor_host_cgroups(const struct doctor_world *w, struct doctor_result *ret)
{
    struct cgroups groups = {0};
    struct err e = {0};

    (void)w;
    if (cgroups_detect(&groups, &e) < 0) {
        doctor_say(ret, DOCTOR_PROBLEM, "%.300s", e.text);
        doctor_mend(ret, "add cgroup_enable=memory to GRUB_CMDLINE_LINUX in /etc/default/grub && "
                         "update-grub && reboot");
        return;
    }
    if (cgroups_degraded(&groups)[0] != '\0') {
        doctor_say(ret, DOCTOR_WARNING, "isolation is less than full: %s",
                   cgroups_degraded(&groups));
        doctor_mend(ret, "add systemd.unified_cgroup_hierarchy=1 to GRUB_CMDLINE_LINUX in "
                         "/etc/default/grub && update-grub && reboot");
    } else {
        doctor_say(ret, DOCTOR_OK, "%s, with all controllers that are needed",
                   cgroups_kind_name(groups.kind));
    }
    cgroups_finish(&groups);
}

/* ---- modules ---- */

/* In use, built in, or there to be loaded. */
static bool has_module(const struct doctor_world *w, const char *name, const char **ret_how)
{
    static const char *const lists[] = {"modules.builtin", "modules.dep"};
    auto_free char *loaded = xasprintf("%s/module/%s", w->sys, name);
    auto_free char *file = xasprintf("/%s.ko", name);
    struct utsname u;

    *ret_how = "loaded";
    if (access(loaded, F_OK) == 0) {
        return true;
    }
    (void)uname(&u);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        auto_free char *path = xasprintf("%s/%s/%s", w->modules, u.release, lists[i]);
        auto_fclose FILE *f = fopen(path, "re");
        char line[4096];

        while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
            const char *at = strstr(line, file);

            if (at != NULL && at < line + strcspn(line, ":\n")) {
                *ret_how = i == 0 ? "built in" : "there, and loaded when it is needed";
                return true;
            }
        }
    }
    return false;
}

void doctor_host_vxlan(const struct doctor_world *w, struct doctor_result *ret)
{
    const char *how;

    if (has_module(w, "vxlan", &how)) {
        doctor_say(ret, DOCTOR_OK, "the kernel's module is %s", how);
        return;
    }
    doctor_say(ret, DOCTOR_WARNING,
               "the kernel has no module vxlan, as far as can be seen: hosts that share no link "
               "with this one may not be reached");
    doctor_mend(ret, "modprobe vxlan");
}

void doctor_host_wireguard(const struct doctor_world *w, struct doctor_result *ret)
{
    const char *how;

    if (has_module(w, "wireguard", &how)) {
        doctor_say(ret, DOCTOR_OK, "the kernel's module is %s", how);
    } else {
        doctor_say(ret, DOCTOR_NOT_HERE,
                   "the kernel has no module wireguard: traffic between hosts cannot be encrypted");
    }
}

/* ---- ids and space ---- */

void doctor_host_ids(const struct doctor_world *w, struct doctor_result *ret)
{
    struct idrange ids = {0};
    struct err e = {0};
    unsigned lost = 0;

    if (idrange_init(&ids, w->id_base, w->id_count, w->etc, &e) < 0) {
        doctor_say(ret, DOCTOR_PROBLEM, "%.300s", e.text);
        doctor_mend(ret, "wherry-agent daemon --ids 524288:65536000 …");
        return;
    }
    for (uint32_t i = 0; i < ids.slots; i++) {
        lost += ids.used[i] != 0;
    }
    if (ids.slots - lost < IDS_WARNING) {
        doctor_say(ret, ids.slots == lost ? DOCTOR_PROBLEM : DOCTOR_WARNING,
                   "only %u of %u ranges of 65536 ids are free: %s/subuid, subgid, passwd or group "
                   "name ids from %u up",
                   ids.slots - lost, ids.slots, w->etc, w->id_base);
        doctor_mend(ret,
                    "wherry-agent daemon --ids BASE:COUNT … with a range that /etc/subuid does "
                    "not name");
    } else if (lost > 0) {
        doctor_say(ret, DOCTOR_OK,
                   "%u ranges of 65536 ids; %u more are left to others, as "
                   "/etc/subuid and its like say",
                   ids.slots - lost, lost);
    } else {
        doctor_say(ret, DOCTOR_OK, "%u ranges of 65536 ids, none of them named by others",
                   ids.slots);
    }
    idrange_finish(&ids);
}

void doctor_host_disk(const struct doctor_world *w, struct doctor_result *ret)
{
    struct statvfs fs;
    const char *path = w->state_path;
    unsigned long long free_bytes;

    if (statvfs(path, &fs) < 0) {
        path = "/var/lib"; /* it is made there, usually */
        if (statvfs(path, &fs) < 0) {
            doctor_say(ret, DOCTOR_PROBLEM, "%s: %s", path, strerror(errno));
            return;
        }
    }
    free_bytes = (unsigned long long)fs.f_bavail * fs.f_frsize;
    if (free_bytes < DISK_WARNING || (fs.f_files > 0 && fs.f_favail < fs.f_files / 50)) {
        doctor_say(ret, free_bytes < DISK_PROBLEM ? DOCTOR_PROBLEM : DOCTOR_WARNING,
                   "%s has %.1f GiB and %llu inodes left", path, (double)free_bytes / (double)GIB,
                   (unsigned long long)fs.f_favail);
        doctor_mend(ret, "wherry-agent image ls --state %.200s, and image rm what is not used",
                    w->state_path);
        return;
    }
    doctor_say(ret, DOCTOR_OK, "%.1f GiB are free in %s", (double)free_bytes / (double)GIB, path);
}

/* ---- time ---- */

void doctor_host_clock(const struct doctor_world *w, struct doctor_result *ret)
{
    static const char mend[] = "apt-get install systemd-timesyncd && timedatectl set-ntp true";
    struct timex t = {0};
    int state = adjtimex(&t);
    double seconds = (double)w->clock_offset_ms / 1000;
    long long off = w->clock_offset_ms < 0 ? -w->clock_offset_ms : w->clock_offset_ms;

    if (w->has_offset && off > CLOCK_WARNING_MS) {
        doctor_say(ret, off > CLOCK_PROBLEM_MS ? DOCTOR_PROBLEM : DOCTOR_WARNING,
                   "%+.1f s against the controller's", seconds);
        doctor_mend(ret, "%s", mend);
    } else if (state == TIME_ERROR || (t.status & STA_UNSYNC) != 0) {
        doctor_say(ret, DOCTOR_WARNING, "nothing keeps it right (it is not synchronised)%s",
                   w->has_offset ? "; it agrees with the controller's now" : "");
        doctor_mend(ret, "%s", mend);
    } else {
        doctor_say(ret, DOCTOR_OK, "synchronised%s",
                   w->has_offset ? ", and agrees with the controller's" : "");
    }
}

/* ---- connections ---- */

void doctor_host_conntrack(const struct doctor_world *w, struct doctor_result *ret)
{
    long long count, max;
    unsigned full;

    if (!doctor_number(w->proc, "sys/net/netfilter/nf_conntrack_count", &count) ||
        !doctor_number(w->proc, "sys/net/netfilter/nf_conntrack_max", &max) || max <= 0) {
        doctor_say(ret, DOCTOR_NOT_HERE, "connections are not tracked yet");
        return;
    }
    full = (unsigned)(count * 100 / max);
    if (full < CONNTRACK_WARNING) {
        doctor_say(ret, DOCTOR_OK, "%lld of %lld are in use", count, max);
        return;
    }
    doctor_say(ret, full < CONNTRACK_PROBLEM ? DOCTOR_WARNING : DOCTOR_PROBLEM,
               "%lld of %lld are in use; when it is full new connections are dropped", count, max);
    doctor_mend(ret,
                "sysctl -w net.netfilter.nf_conntrack_max=%lld && "
                "echo net.netfilter.nf_conntrack_max=%lld >>/etc/sysctl.d/60-wherry.conf",
                max * 4, max * 4);
}
