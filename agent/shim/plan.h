// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_SHIM_PLAN_H
#define WHERRY_AGENT_SHIM_PLAN_H

/* What wherry-shim does, as bytes: an ordered list of steps, built by pure code in the agent
 * (plan_build.h) and executed by a loop that knows nothing but a table of operations. The bytes
 * arrive in a sealed memfd, are mapped read-only and never copied: a header, the steps, then the
 * data that the steps point into. Every number in it is checked against its length once
 * (plan_open), so the steps need no further checks. Native byte order: both sides are one build.
 *
 * The program is called in one of three ways, each with its kind of plan and the same descriptors:
 *
 *   wherry-shim run      starts a container and stays as its parent until it ends
 *   wherry-shim exec     runs one command inside a container that is up
 *   wherry-shim clean    kills and removes what a run has left; may be repeated
 *
 *   3  the plan: a memfd with F_SEAL_WRITE, F_SEAL_SHRINK, F_SEAL_GROW (else refused)
 *   4  write end of the status pipe: exactly one `struct plan_result`, then it is closed
 *   5  exec only: pidfd of the container's first process
 *   6  exec only: write end of the output pipe (stdout and stderr together); drain it to its end
 *
 * Any other descriptor it needs (the cell's namespaces, the mount namespace) is inherited and
 * named by number in the plan. Standard input, output and error may be anything; /dev/null is
 * right. `run` starts a session of its own, ignores SIGHUP, SIGINT, SIGTERM and SIGPIPE and goes on
 * when the agent dies. It exits with 0 once the exit record is written, and with 1 when the
 * container did not start (then nothing of it runs; directories and cgroups are left to `clean`).
 *
 * Mount namespace: the shim starts in the agent's own, where it picks up the sources of binds and
 * volumes, then enters the minimal one that the plan names. All other paths of a plan are
 * resolved there. It must have: the layer store, the upper directories, the cgroup mounts,
 * a complete /proc, the host's sysfs at /sys, the shared /dev tree at `dev_path`, and two empty
 * directories PLAN_ROOT_AT and PLAN_LAYERS_AT; everything private. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define PLAN_FD        3
#define PLAN_STATUS_FD 4
#define PLAN_PIDFD     5
#define PLAN_OUTPUT_FD 6

#define PLAN_ROOT_AT   "/m"  /* where the container's root is put before the switch */
#define PLAN_LAYERS_AT "/ls" /* where kernel 6.1 needs the layers attached */

#define PLAN_MAGIC       0x4e505257u /* "WRPN" */
#define PLAN_VERSION     1
#define PLAN_BYTES_MAX   (1024 * 1024)
#define PLAN_STEPS_MAX   768
#define PLAN_STRINGS_MAX 2048 /* of one list: arguments, environment, layers, paths */
#define PLAN_BPF_MAX     4096 /* instructions (BPF_MAXINSNS) */
#define PLAN_PATH_MAX    4096
#define PLAN_FD_MAX      1024

enum plan_kind { PLAN_RUN = 1, PLAN_EXEC = 2, PLAN_CLEAN = 3 };

/* The operations, in the order in which a plan holds them: X(NAME, "name in messages", kinds).
 * An operation may have a part outside (in the shim) and one inside (in the container's first
 * process); either kind of part runs in this order. */
#define PLAN_IN_RUN   1
#define PLAN_IN_EXEC  2
#define PLAN_IN_CLEAN 4
#define PLAN_OPS(X)                                                                                \
    X(SELF, "shim", PLAN_IN_RUN)             /* its own cgroup and oom_score_adj */                \
    X(RECORD, "record", PLAN_IN_RUN)         /* run directory */                                   \
    X(LOG, "log", PLAN_IN_RUN)               /* log files */                                       \
    X(MNTNS, "mount namespace", PLAN_IN_RUN) /* the minimal one */                                 \
    X(DIRS, "directories", PLAN_IN_RUN)      /* upper and work */                                  \
    X(IDENTITY, "identity", PLAN_IN_RUN | PLAN_IN_EXEC)                                            \
    X(CGROUP, "cgroup", PLAN_IN_RUN | PLAN_IN_EXEC)                                                \
    X(CGROUP_SET, "cgroup limit", PLAN_IN_RUN)                                                     \
    X(OOM, "oom counter", PLAN_IN_RUN)                                                             \
    X(CGROUP_NS, "cgroup namespace", PLAN_IN_RUN | PLAN_IN_EXEC)                                   \
    X(ROOT, "root", PLAN_IN_RUN)                                                                   \
    X(PROC, "proc", PLAN_IN_RUN)                                                                   \
    X(DEV, "dev", PLAN_IN_RUN)                                                                     \
    X(SYS, "sys", PLAN_IN_RUN)                                                                     \
    X(CGROUP_VIEW, "cgroup view", PLAN_IN_RUN)                                                     \
    X(MOUNT, "mount", PLAN_IN_RUN) /* volumes, binds, tmpfs */                                     \
    X(FILE, "file", PLAN_IN_RUN)   /* /etc/hosts and the like */                                   \
    X(MASK, "masked paths", PLAN_IN_RUN)                                                           \
    X(READONLY, "read-only paths", PLAN_IN_RUN)                                                    \
    X(SWITCH, "root switch", PLAN_IN_RUN) /* pivot_root, read_only */                              \
    X(HOSTNAME, "hostname", PLAN_IN_RUN)                                                           \
    X(TIME, "time namespace", PLAN_IN_RUN)                                                         \
    X(ENTER, "namespaces", PLAN_IN_RUN | PLAN_IN_EXEC) /* what the clone goes into */              \
    X(KEYRING, "keyring", PLAN_IN_RUN | PLAN_IN_EXEC)                                              \
    X(RLIMIT, "resource limit", PLAN_IN_RUN | PLAN_IN_EXEC)                                        \
    X(USER, "user", PLAN_IN_RUN | PLAN_IN_EXEC)                                                    \
    X(CWD, "working directory", PLAN_IN_RUN | PLAN_IN_EXEC)                                        \
    X(NO_NEW_PRIVS, "no_new_privs", PLAN_IN_RUN | PLAN_IN_EXEC)                                    \
    X(CAPS, "capabilities", PLAN_IN_RUN | PLAN_IN_EXEC) /* bounding set, ids, sets */              \
    X(ENV, "environment", PLAN_IN_RUN | PLAN_IN_EXEC)                                              \
    X(FIND, "command", PLAN_IN_RUN | PLAN_IN_EXEC)                                                 \
    X(FDS, "descriptors", PLAN_IN_RUN | PLAN_IN_EXEC)                                              \
    X(SECCOMP, "seccomp", PLAN_IN_RUN | PLAN_IN_EXEC)                                              \
    X(EXECVE, "exec", PLAN_IN_RUN | PLAN_IN_EXEC)                                                  \
    X(KILL, "kill", PLAN_IN_CLEAN) /* a cgroup and what is in it */                                \
    X(END_SHIM, "end of the shim", PLAN_IN_CLEAN)                                                  \
    X(EMPTY, "empty", PLAN_IN_CLEAN) /* a cgroup: until nothing is in it */                        \
    X(CGROUP_RM, "remove cgroup", PLAN_IN_CLEAN)                                                   \
    X(TREE_RM, "remove directory", PLAN_IN_CLEAN)

enum plan_op {
#define X(name, text, kinds) PLAN_OP_##name,
    PLAN_OPS(X)
#undef X
        PLAN_OP_N
};

/* Flags of a step; what they mean is said at the operation. */
#define PLAN_V2        0x01u /* the cgroup directory is of the unified hierarchy */
#define PLAN_ATTACH    0x02u /* the first process goes into it */
#define PLAN_OPTIONAL  0x04u /* a file that is missing is no error */
#define PLAN_READONLY  0x08u
#define PLAN_CREATE    0x10u /* make the source directory if it is missing */
#define PLAN_HOST_NET  0x20u
#define PLAN_INIT      0x40u
#define PLAN_FREEZER   0x80u  /* a v1 freezer directory */
#define PLAN_OWN       0x100u /* exec: a directory of its own below, killed and removed after it */
#define PLAN_NOEXEC    0x200u
#define PLAN_FLAGS_ALL 0x3ffu

struct plan_ref {
    uint32_t at; /* from the beginning of the plan */
    uint32_t len;
};

struct plan_step {
    uint32_t op;
    uint32_t flags;
    int32_t fd; /* inherited descriptor, -1: none; likewise fd2 */
    int32_t fd2;
    uint64_t number;
    uint64_t number2;
    struct plan_ref text;  /* NUL-terminated, without a NUL within; `len` counts it; 0: absent */
    struct plan_ref text2; /* likewise */
    struct plan_ref list;  /* `n` NUL-terminated strings, or plain bytes (SECCOMP: n 0) */
    uint32_t n;
    uint32_t which; /* RLIMIT: the resource */
};

struct plan_header {
    uint32_t magic;
    uint32_t version;
    uint32_t kind;
    uint32_t bytes; /* of the whole plan */
    uint32_t n_steps;
    uint32_t deadline_ms; /* exec, clean: from its start; 0: none */
};

/* A checked plan. Borrows the bytes. */
struct plan {
    const char *bytes;
    const struct plan_header *header;
    const struct plan_step *steps;
};

/* Checks everything: header, order and kind of the operations, every reference, every string, every
 * descriptor number. -EPROTO with the place. `bytes` must be aligned to 8. */
int plan_open(const void *bytes, size_t len, enum plan_kind kind, struct plan *ret, struct err *e);

const char *plan_op_name(unsigned op);

/* "" when absent. */
const char *plan_text(const struct plan *plan, struct plan_ref ref);

/* What goes through the status pipe: one struct, in one write. */
enum plan_result_kind {
    PLAN_RESULT_STARTED = 1, /* run: the command was executed */
    PLAN_RESULT_FAILED = 2,  /* any: `code` and `text` say which step and why */
    PLAN_RESULT_EXITED = 3,  /* exec: code, signal, timed_out */
    PLAN_RESULT_CLEANED = 4  /* clean: nothing is left */
};

struct plan_result {
    uint32_t magic;
    uint32_t kind;
    int32_t code;        /* FAILED: negative errno; EXITED: exit status */
    int32_t signal;      /* EXITED: 0: none */
    uint32_t pid;        /* STARTED: the first process, in the namespace of the shim */
    uint32_t timed_out;  /* EXITED: killed at the deadline */
    uint64_t started_ms; /* STARTED: CLOCK_BOOTTIME; likewise wall clock */
    uint64_t started_unix_ms;
    char text[ERR_TEXT_MAX]; /* FAILED: "proc: mount: Operation not permitted" */
};

#endif
