// SPDX-License-Identifier: Apache-2.0
/* A child process makes the namespace and builds its root while the parent waits; the parent then
 * holds it by a descriptor alone. What must be in it is cloned before the old root is covered, and
 * moved into the new one, so no directory of the host is needed as a place to work in. */
#include "agent/shimhome.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/shim/plan.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

#define DEADLINE_MS   5000
#define PROGRAM_BYTES (64u << 20) /* a shim with sanitizers is large */
#define TREES_MAX     (3 + CGROUPS_TREES_MAX)
#define CGROUP_ROOT   "/sys/fs/cgroup"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010u
#endif

/* ---- in the child ---- */

/* A subtree of the host that keeps its path. */
struct kept {
    const char *path;
    int fd;
};

static int make_dirs(const char *path, struct err *e)
{
    auto_free char *copy = xstrdup(path + strspn(path, "/"));

    for (char *at = copy;; at++) {
        char was = *at;

        if (was != '/' && was != '\0') {
            continue;
        }
        *at = '\0';
        if (*copy != '\0' && mkdir(copy, 0755) < 0 && errno != EEXIST) {
            return err_set(e, errno, "make directory %s", copy);
        }
        *at = was;
        if (was == '\0') {
            return 0;
        }
    }
}

static int keep(struct kept *k, const char *path, struct err *e)
{
    k->path = path;
    k->fd = (int)syscall(SYS_open_tree, AT_FDCWD, path,
                         OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    return k->fd < 0 ? err_set(e, errno, "clone %s", path) : 0;
}

static int put_back(const struct kept *k, struct err *e)
{
    int rc = make_dirs(k->path, e);

    if (rc < 0) {
        return rc;
    }
    if (syscall(SYS_move_mount, k->fd, "", AT_FDCWD, k->path + 1, MOVE_MOUNT_F_EMPTY_PATH) < 0) {
        return err_set(e, errno, "move %s into the shims' namespace", k->path);
    }
    return 0;
}

static int make_nodes(struct err *e)
{
    static const struct {
        const char *name;
        unsigned minor, major;
    } nodes[] = {
        {"null", 3, 1},   {"zero", 5, 1},    {"full", 7, 1},
        {"random", 8, 1}, {"urandom", 9, 1}, {"tty", 0, 5},
    };

    for (unsigned i = 0; i < ARRAY_LEN(nodes); i++) {
        if (mknodat(AT_FDCWD, nodes[i].name, S_IFCHR | 0666,
                    makedev(nodes[i].major, nodes[i].minor)) < 0) {
            return err_set(e, errno, "make device node %s", nodes[i].name);
        }
    }
    return 0;
}

static int make_links(struct err *e)
{
    static const char *const links[][2] = {{"/proc/self/fd", "fd"},
                                           {"/proc/self/fd/0", "stdin"},
                                           {"/proc/self/fd/1", "stdout"},
                                           {"/proc/self/fd/2", "stderr"},
                                           {"pts/ptmx", "ptmx"}};
    static const char *const dirs[] = {"pts", "shm", "mqueue"};

    for (unsigned i = 0; i < ARRAY_LEN(links); i++) {
        if (symlink(links[i][0], links[i][1]) < 0) {
            return err_set(e, errno, "make link %s", links[i][1]);
        }
    }
    for (unsigned i = 0; i < ARRAY_LEN(dirs); i++) {
        if (mkdir(dirs[i], 0755) < 0) {
            return err_set(e, errno, "make directory %s", dirs[i]);
        }
    }
    return 0;
}

/* In the new root: the tree that all containers get clones of. */
static int make_dev(struct err *e)
{
    int rc;

    if (mkdir("dev", 0755) < 0 ||
        mount("wherry-dev", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k") < 0 ||
        chdir("dev") < 0) {
        return err_set(e, errno, "make the devices' tree");
    }
    rc = make_nodes(e);
    rc = rc < 0 ? rc : make_links(e);
    if (rc == 0 && chdir("..") < 0) {
        rc = err_set(e, errno, "leave the devices' tree");
    }
    return rc;
}

static int make_kernel_views(struct err *e)
{
    static const struct {
        const char *type, *at;
    } views[] = {{"proc", "proc"}, {"sysfs", "sys"}};

    for (unsigned i = 0; i < ARRAY_LEN(views); i++) {
        if (mkdir(views[i].at, 0755) < 0 || mount(views[i].type, views[i].at, views[i].type,
                                                  MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) {
            return err_set(e, errno, "mount %s", views[i].type);
        }
    }
    return 0;
}

static bool is_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);

    return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* A path that lies below another one comes with it. */
static int keep_all(const char *const *paths, unsigned n, struct kept *ret, unsigned *ret_n,
                    struct err *e)
{
    for (unsigned i = 0; i < n; i++) {
        bool covered = false;
        int rc;

        for (unsigned k = 0; k < n; k++) {
            covered = covered || (k != i && is_below(paths[i], paths[k]) &&
                                  (k < i || strcmp(paths[i], paths[k]) != 0));
        }
        if (covered) {
            continue;
        }
        rc = keep(&ret[(*ret_n)++], paths[i], e);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int enter_new_root(const char *at, struct err *e)
{
    if (mount("wherry-shims", at, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") < 0 ||
        chdir(at) < 0) {
        return err_set(e, errno, "mount the shims' root");
    }
    return 0;
}

static int leave_old_root(struct err *e)
{
    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) {
        return err_set(e, errno, "leave the host's root");
    }
    return 0;
}

static int build(const char *const *paths, unsigned n, struct err *e)
{
    struct kept kept[TREES_MAX];
    unsigned n_kept = 0;
    int rc;

    (void)umask(0);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        return err_set(e, errno, "make a mount namespace");
    }
    rc = keep_all(paths, n, kept, &n_kept, e);
    rc = rc < 0 ? rc : enter_new_root(paths[0], e);
    rc = rc < 0 ? rc : make_kernel_views(e);
    rc = rc < 0 ? rc : make_dev(e);
    for (unsigned i = 0; rc == 0 && i < n_kept; i++) {
        rc = put_back(&kept[i], e);
    }
    rc = rc < 0 ? rc : make_dirs(PLAN_ROOT_AT, e);
    rc = rc < 0 ? rc : make_dirs(PLAN_LAYERS_AT, e);
    return rc < 0 ? rc : leave_old_root(e);
}

static _Noreturn void child(const char *const *paths, unsigned n, int answer_fd, int wait_fd)
{
    struct err err = {0};
    char byte;

    (void)build(paths, n, &err);
    if (write(answer_fd, &err, sizeof(err)) == (ssize_t)sizeof(err)) {
        while (read(wait_fd, &byte, 1) < 0 && errno == EINTR) {
        }
    }
    _exit(0);
}

/* ---- in the agent ---- */

static int hear(int fd, struct err *e)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct err said = {0};
    int rc;

    do {
        rc = poll(&p, 1, DEADLINE_MS);
    } while (rc < 0 && errno == EINTR);
    if (rc == 0) {
        return err_say(e, ETIMEDOUT, "it took more than %d ms", DEADLINE_MS);
    }
    if (read(fd, &said, sizeof(said)) != (ssize_t)sizeof(said)) {
        return err_say(e, EPIPE, "the process that makes it died");
    }
    if (said.code != 0 && e != NULL) {
        *e = said;
    }
    return said.code;
}

static int take_namespace(pid_t pid, int answer_fd, int *ret, struct err *e)
{
    char path[64];
    int rc = hear(answer_fd, e);

    if (rc < 0) {
        return rc;
    }
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
    *ret = open(path, O_RDONLY | O_CLOEXEC);
    return *ret < 0 ? err_set(e, errno, "open its mount namespace") : 0;
}

static int make_namespace(const char *const *paths, unsigned n, int *ret, struct err *e)
{
    auto_close int answer_read = -1, answer_write = -1, wait_read = -1, wait_write = -1;
    int answer[2], hold[2];
    pid_t pid;
    int rc;

    if (pipe2(answer, O_CLOEXEC) < 0) {
        return err_set(e, errno, "make a pipe");
    }
    answer_read = answer[0];
    answer_write = answer[1];
    if (pipe2(hold, O_CLOEXEC) < 0) {
        return err_set(e, errno, "make a pipe");
    }
    wait_read = hold[0];
    wait_write = hold[1];
    FAILPOINT("agent.home.before_fork");
    pid = fork();
    if (pid < 0) {
        return err_set(e, errno, "fork");
    }
    if (pid == 0) {
        (void)close(wait_write); /* else it would keep itself waiting */
        child(paths, n, answer_write, wait_read);
    }
    FAILPOINT("agent.home.after_fork");
    (void)close(take_fd(&answer_write));
    rc = take_namespace(pid, answer_read, ret, e);
    (void)kill(pid, SIGKILL); /* not reaped yet, so it is this one */
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return rc;
}

/* ---- the program ---- */

static int new_memory_file(void)
{
    int fd = memfd_create("wherry-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

    return fd < 0 && errno == EINVAL ? memfd_create("wherry-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING)
                                     : fd;
}

static int copy(int from, int to, struct err *e)
{
    char bytes[65536];
    size_t total = 0;
    ssize_t n;

    while ((n = read(from, bytes, sizeof(bytes))) > 0) {
        total += (size_t)n;
        if (total > PROGRAM_BYTES) {
            return err_say(e, EFBIG, "more than %u bytes", PROGRAM_BYTES);
        }
        if (write(to, bytes, (size_t)n) != n) {
            return err_set(e, errno, "write a memory file");
        }
    }
    return n < 0 ? err_set(e, errno, "read") : 0;
}

int shimhome_seal(const char *path, int *ret_fd, struct err *e)
{
    auto_close int from = open(path, O_RDONLY | O_CLOEXEC);
    auto_close int to = -1;

    if (from < 0) {
        return err_set(e, errno, "open %s", path);
    }
    to = new_memory_file();
    if (to < 0) {
        return err_set(e, errno, "make a memory file");
    }
    if (copy(from, to, e) < 0) {
        return err_wrap(e, "%s", path);
    }
    if (fchmod(to, 0555) < 0 ||
        fcntl(to, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        return err_set(e, errno, "seal the copy of %s", path);
    }
    *ret_fd = take_fd(&to);
    return 0;
}

int shimhome_make(const char *state_path, const char *run_path, const struct cgroups *groups,
                  const char *program, struct shimhome *ret, struct err *e)
{
    const char *paths[TREES_MAX] = {state_path, run_path, CGROUP_ROOT};
    struct shimhome home = SHIMHOME_NONE;
    unsigned n = 3;
    int rc;

    for (unsigned i = 0; i < groups->n_trees; i++) {
        paths[n++] = groups->trees[i].mount;
    }
    rc = shimhome_seal(program, &home.program_fd, e);
    if (rc == 0 && make_namespace(paths, n, &home.mntns_fd, e) < 0) {
        rc = err_wrap(e, "make the mount namespace of the shims");
    }
    if (rc < 0) {
        shimhome_finish(&home);
        return rc;
    }
    *ret = home;
    return 0;
}

void shimhome_finish(struct shimhome *home)
{
    cleanup_close(&home->mntns_fd);
    cleanup_close(&home->program_fd);
    *home = SHIMHOME_NONE;
}
