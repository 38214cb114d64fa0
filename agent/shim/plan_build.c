// SPDX-License-Identifier: Apache-2.0
#include "agent/shim/plan_build.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "agent/shim/plan_check.h"
#include "agent/shim/plan_write.h"
#include "common/cleanup.h"

#define LOG_BYTES     (10u * 1024 * 1024)
#define LOG_FILES     5
#define LOG_FILES_MAX 10 /* what agent/logs.h reads */
#define TMPFS_BYTES   (64u * 1024 * 1024)
#define TMPFS_MODE    01777
#define NOFILE        65536
#define SHIM_OOM_ADJ  (-999)
#define RUN_OOM_ADJ   500
#define CLEAN_MS      5000

/* What a container must not see, or only read (Docker's list and ours, SECURITY: "masked"). */
static const char *const masked[] = {
    "/proc/acpi",          "/proc/asound",
    "/proc/config.gz",     "/proc/interrupts",
    "/proc/kallsyms",      "/proc/kcore",
    "/proc/keys",          "/proc/latency_stats",
    "/proc/modules",       "/proc/sched_debug",
    "/proc/scsi",          "/proc/timer_list",
    "/proc/timer_stats",   "/sys/devices/virtual/powercap",
    "/sys/firmware",       "/sys/fs/bpf",
    "/sys/fs/pstore",      "/sys/kernel/debug",
    "/sys/kernel/tracing", "/sys/kernel/security",
};
static const char *const read_only[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                        "/proc/sysrq-trigger"};

/* ---- the container's own process: the same for `run` and `exec` ---- */

static int check_process(const struct plan_process *p, struct err *e)
{
    int rc = plan_check_strings("command", p->argv, p->n_argv, 1, e);

    if (rc == 0) {
        rc = plan_check_strings("environment", p->env, p->n_env, 0, e);
    }
    if (rc == 0) {
        rc = plan_check_env(p->env, p->n_env, e);
    }
    if (rc == 0 && p->cwd[0] != '\0') {
        rc = plan_check_path("working directory", p->cwd, e);
    }
    if (rc == 0) {
        rc = plan_check_line("user", p->user, PLAN_USER_MAX, e);
    }
    if (rc == 0 && (p->bpf == NULL || p->n_bpf == 0 || p->n_bpf > PLAN_BPF_MAX)) {
        rc = err_say(e, EINVAL, "seccomp filter of %u instructions; 1 to %d", p->n_bpf,
                     PLAN_BPF_MAX);
    }
    return rc;
}

static void add_rlimit(struct plan_write *w, int resource, uint64_t soft, uint64_t hard)
{
    struct plan_step *s = plan_write_step(w, PLAN_OP_RLIMIT);

    s->which = (uint32_t)resource;
    s->number = soft;
    s->number2 = hard;
}

static void add_rlimits(struct plan_write *w, const struct plan_rlimit *more, unsigned n)
{
    add_rlimit(w, RLIMIT_CORE, 0, 0);
    add_rlimit(w, RLIMIT_NOFILE, NOFILE, NOFILE);
    for (unsigned i = 0; i < n; i++) {
        add_rlimit(w, more[i].resource, more[i].soft, more[i].hard);
    }
}

/* Everything from the user on: what is given up, then the command. */
static void add_process(struct plan_write *w, const struct plan_process *p, bool init)
{
    struct plan_step *s;

    plan_write_text(w, PLAN_OP_USER, p->user);
    plan_write_text(w, PLAN_OP_CWD, p->cwd[0] != '\0' ? p->cwd : "/");
    (void)plan_write_step(w, PLAN_OP_NO_NEW_PRIVS);
    plan_write_step(w, PLAN_OP_CAPS)->number = p->caps;
    plan_write_list(w, PLAN_OP_ENV, p->env, p->n_env);
    plan_write_list(w, PLAN_OP_FIND, p->argv, p->n_argv);
    (void)plan_write_step(w, PLAN_OP_FDS);
    s = plan_write_step(w, PLAN_OP_SECCOMP);
    s->list = plan_write_bytes(w, p->bpf, (size_t)p->n_bpf * 8);
    plan_write_step(w, PLAN_OP_EXECVE)->flags = init ? PLAN_INIT : 0;
}

/* ---- cgroups ---- */

static unsigned cgroup_flags(const struct plan_cgroup *c)
{
    return (c->v2 ? PLAN_V2 : 0) | (c->freezer ? PLAN_FREEZER : 0) | (c->attach ? PLAN_ATTACH : 0);
}

static int check_cgroups(const struct plan_cgroup *c, unsigned n, struct err *e)
{
    unsigned v2 = 0;

    if (n > PLAN_CGROUPS_MAX) {
        return err_say(e, E2BIG, "%u cgroups; at most %d", n, PLAN_CGROUPS_MAX);
    }
    for (unsigned i = 0; i < n; i++) {
        int rc = plan_check_path("cgroup", c[i].path, e);

        if (rc < 0) {
            return rc;
        }
        v2 += c[i].v2;
    }
    return v2 > 1 ? err_say(e, EINVAL, "%u cgroups of the unified hierarchy; at most one", v2) : 0;
}

static int check_writes(const struct plan_input *in, struct err *e)
{
    if (in->n_writes > PLAN_WRITES_MAX) {
        return err_say(e, E2BIG, "%u cgroup limits; at most %d", in->n_writes, PLAN_WRITES_MAX);
    }
    for (unsigned i = 0; i < in->n_writes; i++) {
        const struct plan_limit *l = &in->writes[i];

        if (l->dir >= in->n_cgroups || strchr(l->file, '/') != NULL || l->file[0] == '.') {
            return err_say(e, EINVAL, "cgroup limit %s: no such file or group", l->file);
        }
    }
    return 0;
}

static void add_cgroups(struct plan_write *w, const struct plan_input *in)
{
    for (unsigned i = 0; i < in->n_cgroups; i++) {
        plan_write_text(w, PLAN_OP_CGROUP, in->cgroups[i].path)->flags =
            cgroup_flags(&in->cgroups[i]);
    }
    for (unsigned i = 0; i < in->n_writes; i++) {
        const struct plan_limit *l = &in->writes[i];
        auto_free char *path = xasprintf("%s/%s", in->cgroups[l->dir].path, l->file);
        struct plan_step *s = plan_write_text(w, PLAN_OP_CGROUP_SET, path);

        s->text2 = plan_write_string(w, l->value);
        s->flags = l->optional ? PLAN_OPTIONAL : 0;
    }
    if (in->oom_file[0] != '\0') {
        plan_write_text(w, PLAN_OP_OOM, in->oom_file);
    }
}

/* ---- run ---- */

static int check_paths(const struct plan_input *in, struct err *e)
{
    const struct {
        const char *what, *path;
    } rows[] = {{"run directory", in->run_path},
                {"upper directory", in->base_path},
                {"layer store", in->layers_path},
                {"/dev tree", in->dev_path},
                {"log", in->log_path}};

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        int rc = plan_check_path(rows[i].what, rows[i].path, e);

        if (rc < 0) {
            return rc;
        }
    }
    if (in->oom_file[0] != '\0') {
        return plan_check_path("oom counter", in->oom_file, e);
    }
    return 0;
}

static int check_run(const struct plan_input *in, struct err *e)
{
    int rc = check_process(&in->process, e);

    if (rc == 0) {
        rc = check_paths(in, e);
    }
    if (rc == 0) {
        rc = plan_check_layers(in->layers, in->n_layers, e);
    }
    if (rc == 0) {
        rc = plan_check_mounts(in->mounts, in->n_mounts, e);
    }
    if (rc == 0) {
        rc = check_cgroups(in->cgroups, in->n_cgroups, e);
    }
    if (rc == 0) {
        rc = check_writes(in, e);
    }
    if (rc == 0) {
        rc = plan_check_hostname(in->hostname, e);
    }
    if (rc == 0 && in->log_files > LOG_FILES_MAX) {
        rc = err_say(e, EINVAL, "%u log files; at most %d", in->log_files, LOG_FILES_MAX);
    }
    return rc;
}

static int copy_path(const char *from, char ret[RECORD_PATH_MAX], struct err *e)
{
    size_t n = strlen(from);

    if (n >= RECORD_PATH_MAX) {
        return err_say(e, E2BIG, "path %.60s… of %zu bytes; at most %d", from, n,
                       RECORD_PATH_MAX - 1);
    }
    memcpy(ret, from, n + 1);
    return 0;
}

static int add_record(struct plan_write *w, const struct plan_input *in, struct err *e)
{
    char text[RECORD_BYTES_MAX];
    auto_free struct record *r = xmalloc(sizeof(*r));
    int rc;

    *r = in->record;
    r->n_cgroups = in->n_cgroups;
    rc = copy_path(in->base_path, r->upper, e);
    for (unsigned i = 0; i < in->n_cgroups && rc == 0; i++) {
        rc = copy_path(in->cgroups[i].path, r->cgroups[i], e);
    }
    if (rc == 0) {
        rc = record_format(r, text, sizeof(text), e);
    }
    if (rc == 0) {
        plan_write_text(w, PLAN_OP_RECORD, in->run_path)->text2 = plan_write_string(w, text);
    }
    return rc;
}

static void add_outside(struct plan_write *w, const struct plan_input *in)
{
    struct plan_step *s = plan_write_text(w, PLAN_OP_LOG, in->log_path);

    s->number = in->log_bytes > 0 ? in->log_bytes : LOG_BYTES;
    s->number2 = in->log_files > 0 ? in->log_files : LOG_FILES;
    if (in->mntns_fd >= 0) {
        plan_write_step(w, PLAN_OP_MNTNS)->fd = in->mntns_fd;
    }
    plan_write_text(w, PLAN_OP_DIRS, in->base_path)->number = in->record.ids;
    (void)plan_write_step(w, PLAN_OP_IDENTITY);
    add_cgroups(w, in);
    (void)plan_write_step(w, PLAN_OP_CGROUP_NS);
}

static void add_root(struct plan_write *w, const struct plan_input *in)
{
    struct plan_step *s = plan_write_list(w, PLAN_OP_ROOT, in->layers, in->n_layers);

    s->fd = in->userns_fd;
    s->text = plan_write_string(w, in->layers_path);
    s->text2 = plan_write_string(w, in->base_path);
    (void)plan_write_step(w, PLAN_OP_PROC);
    plan_write_text(w, PLAN_OP_DEV, in->dev_path)->fd = in->userns_fd;
    plan_write_step(w, PLAN_OP_SYS)->flags = in->netns_fd < 0 ? PLAN_HOST_NET : 0;
    if (in->view_v2 || in->n_view > 0) {
        plan_write_list(w, PLAN_OP_CGROUP_VIEW, in->view, in->view_v2 ? 0 : in->n_view)->flags =
            in->view_v2 ? PLAN_V2 : 0;
    }
}

static int compare_targets(const void *a, const void *b)
{
    const struct plan_mount *const *x = a, *const *y = b;

    return strcmp((*x)->target, (*y)->target);
}

static void add_mount(struct plan_write *w, const struct plan_mount *m, int userns_fd)
{
    struct plan_step *s = plan_write_text(w, PLAN_OP_MOUNT, m->target);

    s->flags = (m->read_only ? PLAN_READONLY : 0) | (m->create ? PLAN_CREATE : 0);
    if (m->kind == PLAN_MOUNT_TMPFS) {
        s->number = m->size_bytes > 0 ? m->size_bytes : TMPFS_BYTES;
        s->number2 = m->mode != 0 ? m->mode : TMPFS_MODE;
    } else {
        s->fd = userns_fd;
        s->text2 = plan_write_string(w, m->source);
    }
}

/* Sorted by target: a mount comes before what lies below it. */
static void add_mounts(struct plan_write *w, const struct plan_input *in)
{
    const struct plan_mount *sorted[PLAN_MOUNTS_MAX];

    for (unsigned i = 0; i < in->n_mounts; i++) {
        sorted[i] = &in->mounts[i];
    }
    qsort(sorted, in->n_mounts, sizeof(const struct plan_mount *), compare_targets);
    for (unsigned i = 0; i < in->n_mounts; i++) {
        add_mount(w, sorted[i], in->userns_fd);
    }
}

/* A file of ours below /etc, unless the user mounts something there. */
static void add_file(struct plan_write *w, const struct plan_input *in, const char *target,
                     const char *text)
{
    for (unsigned i = 0; i < in->n_mounts; i++) {
        if (strcmp(in->mounts[i].target, target) == 0) {
            return;
        }
    }
    if (text != NULL) {
        plan_write_text(w, PLAN_OP_FILE, target)->text2 = plan_write_string(w, text);
    }
}

static void add_files(struct plan_write *w, const struct plan_input *in)
{
    auto_free char *hostname = xasprintf("%s\n", in->hostname);

    add_file(w, in, "/etc/hostname", hostname);
    add_file(w, in, "/etc/hosts", in->hosts);
    add_file(w, in, "/etc/resolv.conf", in->resolv_conf);
}

static void add_rest(struct plan_write *w, const struct plan_input *in)
{
    struct plan_step *s;

    plan_write_list(w, PLAN_OP_MASK, masked, ARRAY_LEN(masked));
    plan_write_list(w, PLAN_OP_READONLY, read_only, ARRAY_LEN(read_only));
    plan_write_step(w, PLAN_OP_SWITCH)->flags = in->read_only ? PLAN_READONLY : 0;
    plan_write_text(w, PLAN_OP_HOSTNAME, in->hostname);
    (void)plan_write_step(w, PLAN_OP_TIME);
    s = plan_write_step(w, PLAN_OP_ENTER);
    s->fd = in->userns_fd;
    s->fd2 = in->netns_fd;
    s->number = RUN_OOM_ADJ;
    (void)plan_write_step(w, PLAN_OP_KEYRING);
    add_rlimits(w, in->rlimits, in->n_rlimits);
    add_process(w, &in->process, in->init);
}

int plan_build(const struct plan_input *in, struct buf *ret, struct err *e)
{
    struct plan_write w = {.kind = PLAN_RUN};
    int rc = check_run(in, e);

    if (rc < 0) {
        return rc;
    }
    plan_write_list(&w, PLAN_OP_SELF, in->shim_tasks, in->n_shim_tasks)->number =
        (uint64_t)SHIM_OOM_ADJ;
    rc = add_record(&w, in, e);
    if (rc == 0) {
        add_outside(&w, in);
        add_root(&w, in);
        add_mounts(&w, in);
        add_files(&w, in);
        add_rest(&w, in);
    }
    return plan_write_end(&w, rc, ret, e);
}

/* ---- exec ---- */

/* The group below which `exec` makes its own, so that all it started can be killed. */
static int own_group(const struct plan_exec_input *in)
{
    int own = -1;

    for (unsigned i = 0; i < in->n_cgroups; i++) {
        if (in->cgroups[i].attach && (in->cgroups[i].v2 || (in->cgroups[i].freezer && own < 0))) {
            own = (int)i;
        }
    }
    return own;
}

int plan_build_exec(const struct plan_exec_input *in, struct buf *ret, struct err *e)
{
    struct plan_write w = {.kind = PLAN_EXEC, .deadline_ms = in->timeout_ms};
    int own = own_group(in);
    int rc = check_process(&in->process, e);

    if (rc == 0) {
        rc = check_cgroups(in->cgroups, in->n_cgroups, e);
    }
    if (rc == 0 && own < 0) {
        rc = err_say(e, EINVAL, "no cgroup in which a command could be killed");
    }
    if (rc < 0) {
        return rc;
    }
    (void)plan_write_step(&w, PLAN_OP_IDENTITY);
    for (unsigned i = 0; i < in->n_cgroups; i++) {
        if (in->cgroups[i].attach) {
            plan_write_text(&w, PLAN_OP_CGROUP, in->cgroups[i].path)->flags =
                cgroup_flags(&in->cgroups[i]) | ((int)i == own ? PLAN_OWN : 0);
        }
    }
    (void)plan_write_step(&w, PLAN_OP_CGROUP_NS);
    plan_write_step(&w, PLAN_OP_ENTER)->number = RUN_OOM_ADJ;
    (void)plan_write_step(&w, PLAN_OP_KEYRING);
    add_rlimits(&w, NULL, 0);
    add_process(&w, &in->process, false);
    return plan_write_end(&w, 0, ret, e);
}

/* ---- clean ---- */

/* A path whose last component is removed: never a root. */
static int check_removed(const char *what, const char *path, struct err *e)
{
    int rc = plan_check_path(what, path, e);

    if (rc == 0 && (strcmp(path, "/") == 0 || strrchr(path, '/') == path)) {
        rc = err_say(e, EINVAL, "%s %s: too near to the root to be removed", what, path);
    }
    return rc;
}

int plan_build_clean(const struct plan_clean_input *in, struct buf *ret, struct err *e)
{
    static const enum plan_op each[] = {PLAN_OP_KILL, PLAN_OP_END_SHIM, PLAN_OP_EMPTY,
                                        PLAN_OP_CGROUP_RM};
    struct plan_write w = {.kind = PLAN_CLEAN,
                           .deadline_ms = in->timeout_ms > 0 ? in->timeout_ms : CLEAN_MS};
    int rc = check_cgroups(in->cgroups, in->n_cgroups, e);

    if (rc == 0) {
        rc = check_removed("run directory", in->run_path, e);
    }
    if (rc == 0) {
        rc = check_removed("upper directory", in->base_path, e);
    }
    if (rc < 0) {
        return rc;
    }
    for (unsigned op = 0; op < ARRAY_LEN(each); op++) {
        if (each[op] == PLAN_OP_END_SHIM) {
            plan_write_text(&w, each[op], in->run_path);
            continue;
        }
        for (unsigned i = 0; i < in->n_cgroups; i++) {
            plan_write_text(&w, each[op], in->cgroups[i].path)->flags =
                cgroup_flags(&in->cgroups[i]);
        }
    }
    plan_write_text(&w, PLAN_OP_TREE_RM, in->base_path);
    plan_write_text(&w, PLAN_OP_TREE_RM, in->run_path);
    return plan_write_end(&w, 0, ret, e);
}
