// SPDX-License-Identifier: Apache-2.0
#include "agent/worker/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/worker/jailfilter.h"
#include "common/cleanup.h"

#define NOBODY         65534
#define FILE_BYTES_MAX (64ull * 1024 * 1024 * 1024)
#define MEMORY_MAX     (1024ull * 1024 * 1024) /* zstd may ask for a window of 128 MiB */
#define FILES_MAX      1024

/* ---- the user namespace ---- */

static int write_map(pid_t pid, const char *file, struct err *e)
{
    char path[64];
    char map[64];
    auto_close int fd = -1;
    int n = snprintf(map, sizeof(map), "0 %u 65536\n", JAIL_ID_BASE);

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, map, (size_t)n) != n) {
        return err_set(e, errno, "write %s", path);
    }
    return 0;
}

/* A child that lives in the new namespace until it is looked up. */
static pid_t spawn_holder(struct err *e)
{
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0) {
        for (;;) {
            (void)pause();
        }
    }
    return pid > 0 ? pid : err_set(e, errno, "make a user namespace");
}

static int open_userns(int *ret_fd, struct err *e)
{
    char path[64];
    pid_t pid = spawn_holder(e);
    int fd = -1;
    int rc;

    if (pid < 0) {
        return pid;
    }
    rc = write_map(pid, "uid_map", e);
    if (rc == 0) {
        rc = write_map(pid, "gid_map", e);
    }
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
    if (rc == 0) {
        fd = open(path, O_RDONLY | O_CLOEXEC);
        rc = fd < 0 ? err_set(e, errno, "open the user namespace") : 0;
    }
    (void)kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    *ret_fd = fd;
    return rc;
}

/* ---- mounts ---- */

/* A detached view of a directory, in which the worker's ids are plain. */
static int clone_mapped(int dir_fd, uint64_t attributes, int userns_fd, struct err *e)
{
    struct mount_attr attr = {.attr_set =
                                  attributes | (uint64_t)(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                                          MOUNT_ATTR_NOEXEC | MOUNT_ATTR_IDMAP),
                              .userns_fd = (unsigned)userns_fd};
    auto_close int fd = (int)syscall(SYS_open_tree, dir_fd, "",
                                     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

    if (fd < 0) {
        return err_set(e, errno, "clone a mount");
    }
    if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) {
        return err_set(e, errno, "map the ids of a mount");
    }
    return take_fd(&fd);
}

/* Whatever the source lies on: if its file system cannot map ids, its files must be readable for
 * everybody. */
static int clone_source(int dir_fd, int userns_fd, struct err *e)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
                                          MOUNT_ATTR_RDONLY};
    int fd = clone_mapped(dir_fd, MOUNT_ATTR_RDONLY, userns_fd, NULL);

    if (fd >= 0) {
        return fd;
    }
    fd = (int)syscall(SYS_open_tree, dir_fd, "",
                      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (fd < 0) {
        return err_set(e, errno, "clone the source's mount");
    }
    if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) {
        int rc = err_set(e, errno, "make the source read-only");

        (void)close(fd);
        return rc;
    }
    return fd;
}

/* An empty, read-only file system. */
static int empty_root(struct err *e)
{
    auto_close int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    int fd;

    if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "nr_inodes", "2", 0) < 0 ||
        syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "0555", 0) < 0 ||
        syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) {
        return err_set(e, errno, "make an empty file system");
    }
    fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
                      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    return fd < 0 ? err_set(e, errno, "mount an empty file system") : fd;
}

static int root_of(const struct jail *jail, int userns_fd, struct err *e)
{
    int fd;

    if (jail->kind == JAIL_PROBE) {
        return empty_root(e);
    }
    fd = clone_mapped(jail->root_fd, 0, userns_fd, e);
    if (fd < 0) {
        (void)err_wrap(e, "staging directory (its file system must support idmapped mounts: ext4, "
                          "xfs, btrfs …)");
    }
    return fd;
}

static int view_source(const struct jail *jail, int userns_fd, struct err *e)
{
    int fd;

    if (jail->kind != JAIL_LOAD || !jail->source_is_directory) {
        return 0;
    }
    fd = clone_source(*jail->source_fd, userns_fd, e);
    if (fd < 0) {
        return fd;
    }
    (void)close(*jail->source_fd);
    *jail->source_fd = fd;
    return 0;
}

/* The old root goes, the new one is all there is. /proc is any directory to mount on. */
static int switch_root(int root_fd, struct err *e)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        return err_set(e, errno, "make the mounts private");
    }
    if (syscall(SYS_move_mount, root_fd, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) < 0) {
        return err_set(e, errno, "mount the new root");
    }
    if (chdir("/proc") < 0 || syscall(SYS_pivot_root, ".", ".") < 0) {
        return err_set(e, errno, "switch to the new root");
    }
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) {
        return err_set(e, errno, "let go of the old root");
    }
    return 0;
}

/* ---- identity ---- */

static int become(uid_t id, struct err *e)
{
    if (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0) {
        return err_set(e, errno, "change to the worker's ids");
    }
    return 0;
}

static int enter_namespaces(int userns_fd, struct err *e)
{
    int rc;

    if (setns(userns_fd, CLONE_NEWUSER) < 0) {
        return err_set(e, errno, "enter the user namespace");
    }
    rc = become(0, e); /* until here it was host root towards files */
    if (rc < 0) {
        return rc;
    }
    if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) < 0) {
        return err_set(e, errno, "make empty namespaces");
    }
    return 0;
}

static int set_caps(const cap_value_t *keep, int n, struct err *e)
{
    cap_t caps = cap_init();
    int rc = 0;

    if (caps == NULL) {
        return err_set(e, errno, "make a capability set");
    }
    for (cap_value_t c = 0; c <= CAP_LAST_CAP; c++) {
        (void)prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
    }
    if ((n > 0 && (cap_set_flag(caps, CAP_PERMITTED, n, keep, CAP_SET) < 0 ||
                   cap_set_flag(caps, CAP_EFFECTIVE, n, keep, CAP_SET) < 0)) ||
        cap_set_proc(caps) < 0) {
        rc = err_set(e, errno, "drop capabilities");
    }
    (void)cap_free(caps);
    return rc;
}

static int drop_privileges(enum jail_kind kind, struct err *e)
{
    static const cap_value_t unpacker[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID,
                                           CAP_SETFCAP};
    int rc;

    if (kind == JAIL_LOAD) {
        return set_caps(unpacker, ARRAY_LEN(unpacker), e);
    }
    rc = become(NOBODY, e);
    return rc < 0 ? rc : set_caps(NULL, 0, e);
}

/* ---- limits ---- */

static int set_limits(struct err *e)
{
    const struct {
        int what;
        uint64_t max;
    } rows[] = {
        {RLIMIT_CORE, 0},
        {RLIMIT_FSIZE, FILE_BYTES_MAX},
        {RLIMIT_NOFILE, FILES_MAX},
        {RLIMIT_NPROC, 0},
        {RLIMIT_MEMLOCK, 0},
#if !defined(__SANITIZE_ADDRESS__) /* whose shadow memory is terabytes */
        {RLIMIT_AS, MEMORY_MAX},
#endif
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rlimit limit = {.rlim_cur = rows[i].max, .rlim_max = rows[i].max};

        if (setrlimit((__rlimit_resource_t)rows[i].what, &limit) < 0) {
            return err_set(e, errno, "set limit %d", rows[i].what);
        }
    }
    (void)signal(SIGXFSZ, SIG_IGN); /* a write beyond fails with EFBIG instead */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)umask(0);
    return 0;
}

/* Adds what may be done beneath a directory. */
static int landlock_allow(int ruleset_fd, int dir_fd, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = dir_fd};

    return (int)syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

/* Best effort: a second fence behind the namespaces. Nothing may be executed; beneath the root the
 * unpacker may do what it must, the source it may read. Version 1 of Landlock forbids links between
 * directories, so version 2 (Linux 5.19) is wanted; without it there is the first fence only. */
static void landlock(const struct jail *jail)
{
    const uint64_t all = (LANDLOCK_ACCESS_FS_REFER << 1) - 1;
    const uint64_t reading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    const uint64_t writing =
        all & ~(uint64_t)(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_SOCK |
                          LANDLOCK_ACCESS_FS_MAKE_BLOCK);
    struct landlock_ruleset_attr ruleset = {.handled_access_fs = all};
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    auto_close int root = open("/", O_PATH | O_CLOEXEC);
    auto_close int fd = -1;

    if (version < 2 || root < 0) {
        return;
    }
    fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0);
    if (fd < 0) {
        return;
    }
    if (jail->kind == JAIL_LOAD && landlock_allow(fd, root, writing) < 0) {
        return;
    }
    if (jail->source_is_directory && landlock_allow(fd, *jail->source_fd, reading) < 0) {
        return;
    }
    (void)syscall(SYS_landlock_restrict_self, fd, 0);
}

/* ---- all together ---- */

static int close_doors(const struct jail *jail, struct err *e)
{
    int rc = drop_privileges(jail->kind, e);

    if (rc == 0) {
        rc = set_limits(e);
    }
    if (rc < 0) {
        return rc;
    }
    if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return err_set(e, errno, "give up new privileges");
    }
    landlock(jail);
    return jailfilter_load(jail->kind, e);
}

int jail_enter(const struct jail *jail, struct err *e)
{
    auto_close int userns = -1;
    auto_close int root = -1;
    int rc = open_userns(&userns, e);

    if (rc == 0) {
        root = root_of(jail, userns, e);
        rc = root < 0 ? root : view_source(jail, userns, e);
    }
    if (rc == 0) {
        rc = enter_namespaces(userns, e);
    }
    if (rc == 0) {
        rc = switch_root(root, e);
    }
    if (rc == 0) {
        rc = close_doors(jail, e);
    }
    if (rc < 0) {
        (void)err_wrap(e, "enter the worker's jail");
    }
    return rc;
}
