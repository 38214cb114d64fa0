// SPDX-License-Identifier: Apache-2.0
#include "tests/lib/shimrig.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/capnames.h"
#include "agent/shimspawn.h"
#include "agent/statedir.h"
#include "agent/sysfilter.h"
#include "agent/treerm.h"
#include "common/cleanup.h"

#define BUSYBOX "/bin/busybox"
#define RUN_FDS 10 /* where the cell's and the mount namespace's descriptors are put */

static const char *const env[] = {"PATH=/bin", "GREETING=hello"};

#define must(call)                                                                                 \
    do {                                                                                           \
        struct err e = {0};                                                                        \
        long rc_ = (call);                                                                         \
        ck_assert_msg(rc_ >= 0, "%s: %s", #call, e.text);                                          \
    } while (0)

bool shimrig_can(const char **why)
{
    *why = geteuid() != 0                                  ? "not root"
           : access(BUSYBOX, X_OK) < 0                     ? "no " BUSYBOX
           : access("/proc/self/timens_offsets", F_OK) < 0 ? "no time namespaces"
                                                           : NULL;
    return *why == NULL;
}

/* ---- the image ---- */

static void put_file(int dir_fd, const char *name, const char *text)
{
    auto_close int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void put_busybox(int layer_fd)
{
    static const char *const names[] = {"sh",    "cat",   "ls",   "echo", "id",       "sleep",
                                        "head",  "stat",  "dd",   "kill", "hostname", "mount",
                                        "touch", "mkdir", "true", "ps",   "yes",      "readlink",
                                        "grep",  "chmod", "cp"};
    auto_close int from = open(BUSYBOX, O_RDONLY | O_CLOEXEC);
    auto_close int to = openat(layer_fd, "bin/busybox", O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    char buf[65536];
    ssize_t n;

    while ((n = read(from, buf, sizeof(buf))) > 0) {
        ck_assert_int_eq(write(to, buf, (size_t)n), n);
    }
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        char name[64];

        (void)snprintf(name, sizeof(name), "bin/%s", names[i]);
        ck_assert_int_eq(symlinkat("busybox", layer_fd, name), 0);
    }
}

static void make_layer(const struct shimrig *rig)
{
    static const char *const dirs[] = {"bin", "etc", "tmp", "home"};
    auto_free char *path = xasprintf("%s/1", rig->layers_path);
    auto_close int fd = -1;

    ck_assert_int_eq(mkdir(path, 0755), 0);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned i = 0; i < ARRAY_LEN(dirs); i++) {
        ck_assert_int_eq(mkdirat(fd, dirs[i], 0755), 0);
    }
    ck_assert_int_eq(fchmodat(fd, "tmp", 01777, 0), 0);
    put_busybox(fd);
    put_file(fd, "etc/passwd",
             "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001:Ann:/home/ann:/bin/sh\n");
    put_file(fd, "etc/group", "root:x:0:\nann:x:1001:\nshop:x:2000:bob,ann\n");
}

/* ---- setting up ---- */

static void make_dir(char **ret, const char *base, const char *name)
{
    *ret = xasprintf("%s/%s", base, name);
    ck_assert_int_eq(mkdir(*ret, 0700), 0);
}

static void fill_groups(struct shimrig *rig, const char *name)
{
    const struct cgroups_want want = {.memory_bytes = 64u << 20, .pids = 64};
    struct plan_input *in = &rig->input;

    for (unsigned i = 0; i < rig->groups.n_trees; i++) {
        unsigned has = rig->groups.trees[i].controllers;

        rig->cgroups[i] = (struct plan_cgroup){.path = cgroups_path(&rig->groups, i, name),
                                               .v2 = rig->groups.kind == CGROUPS_V2,
                                               .freezer = (has & CGROUPS_FREEZER) != 0,
                                               .attach = true};
        rig->view[i] = rig->groups.trees[i].names;
        if ((has & CGROUPS_MEMORY) != 0) {
            rig->oom_file = xasprintf("%s/%s", rig->cgroups[i].path,
                                      rig->cgroups[i].v2 ? "memory.events" : "memory.oom_control");
        }
    }
    in->n_writes = cgroups_limits(&rig->groups, &want, rig->writes);
    for (unsigned i = 0; i < in->n_writes; i++) {
        rig->limits[i] = (struct plan_limit){rig->writes[i].tree, rig->writes[i].file,
                                             rig->writes[i].value, false};
    }
    in->cgroups = rig->cgroups;
    in->n_cgroups = rig->groups.n_trees;
    in->writes = rig->limits;
    in->view = rig->view;
    in->view_v2 = rig->groups.kind == CGROUPS_V2;
    in->n_view = in->view_v2 ? 0 : rig->groups.n_trees;
    in->oom_file = rig->oom_file != NULL ? rig->oom_file : "";
}

static void fill_input(struct shimrig *rig)
{
    static const char *const layers[] = {"1"};
    struct plan_input *in = &rig->input;
    char name[RECORD_NAME_MAX];

    in->record = (struct record){.incarnation = (uint64_t)getpid(), .run = 1, .ids = SHIMRIG_IDS};
    must(statedir_boot_id(in->record.boot_id, &e));
    record_name(in->record.incarnation, 1, name);
    rig->run_path = xasprintf("%s/runs/%s", rig->run_base, name);
    rig->base_path = xasprintf("%s/%s", rig->state_path, name);
    fill_groups(rig, name);
    in->userns_fd = RUN_FDS;
    in->netns_fd = RUN_FDS + 1;
    in->mntns_fd = RUN_FDS + 2;
    in->run_path = rig->run_path;
    in->base_path = rig->base_path;
    in->layers_path = rig->layers_path;
    in->layers = layers;
    in->n_layers = 1;
    in->dev_path = SHIMHOME_DEV;
    in->log_path = rig->log_path;
    in->hostname = "box";
    in->hosts = "127.0.0.1 localhost\n";
    in->process = (struct plan_process){.env = env,
                                        .n_env = ARRAY_LEN(env),
                                        .cwd = "",
                                        .user = "",
                                        .caps = capnames_default(true),
                                        .bpf = rig->filter.data,
                                        .n_bpf = (unsigned)(rig->filter.len / 8)};
}

void shimrig_init(struct shimrig *rig)
{
    char parent[64];

    *rig = (struct shimrig){.home = SHIMHOME_NONE, .cell = CELL_NONE};
    (void)snprintf(rig->dir, sizeof(rig->dir), "/tmp/wherry-shimrig-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(rig->dir));
    make_dir(&rig->state_path, rig->dir, "state");
    make_dir(&rig->run_base, rig->dir, "run");
    make_dir(&rig->layers_path, rig->state_path, "layers");
    rig->log_path = xasprintf("%s/logs/log", rig->state_path);
    make_layer(rig);
    must(cgroups_detect(&rig->groups, &e));
    (void)snprintf(parent, sizeof(parent), "wherry-shimrig-%d", (int)getpid());
    must(cgroups_make_parent(&rig->groups, parent, 0, &e));
    must(shimhome_make(rig->state_path, rig->run_base, &rig->groups, WHERRY_SHIM, &rig->home, &e));
    must(cell_create(SHIMRIG_IDS, &rig->cell, &e));
    must(sysfilter_compile(capnames_default(true), &rig->filter, &e));
    fill_input(rig);
}

/* ---- calling it ---- */

static void add_cell(struct shimrig *rig, struct shimspawn *spawn)
{
    shimspawn_give(spawn, rig->cell.user_fd, RUN_FDS);
    shimspawn_give(spawn, rig->cell.net_fd, RUN_FDS + 1);
    shimspawn_give(spawn, rig->home.mntns_fd, RUN_FDS + 2);
}

/* Starts it and waits for its answer. Takes the plan. */
static pid_t call(struct shimrig *rig, struct shimspawn *spawn, struct buf *plan)
{
    auto_close int plan_fd = -1, pidfd = -1, status = -1;
    int pipe_fds[2];
    pid_t pid = 0;

    must(shimspawn_plan(plan->data, plan->len, &plan_fd, &e));
    buf_finish(plan);
    ck_assert_int_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
    status = pipe_fds[0];
    spawn->program_fd = rig->home.program_fd;
    spawn->cgroup_fd = -1;
    shimspawn_give(spawn, plan_fd, PLAN_FD);
    shimspawn_give(spawn, pipe_fds[1], PLAN_STATUS_FD);
    must(shimspawn_start(spawn, &pid, &pidfd, &e));
    (void)close(pipe_fds[1]);
    if (read(status, &rig->result, sizeof(rig->result)) != (ssize_t)sizeof(rig->result)) {
        rig->result = (struct plan_result){.text = "no answer"};
    }
    return pid;
}

static int reap(pid_t pid)
{
    int status = 0;

    ck_assert_int_eq(waitpid(pid, &status, __WALL), pid);
    return status;
}

uint32_t shimrig_run_argv(struct shimrig *rig, const char *const *argv, unsigned n)
{
    struct shimspawn spawn = {.mode = "run"};
    struct buf plan = {0};

    rig->input.process.argv = argv;
    rig->input.process.n_argv = n;
    must(plan_build(&rig->input, &plan, &e));
    add_cell(rig, &spawn);
    rig->shim = call(rig, &spawn, &plan);
    if (rig->result.kind != PLAN_RESULT_STARTED) {
        (void)reap(rig->shim);
        rig->shim = 0;
    }
    return rig->result.kind;
}

uint32_t shimrig_run(struct shimrig *rig, const char *script)
{
    const char *argv[] = {"sh", "-c", script};

    return shimrig_run_argv(rig, argv, 3);
}

void shimrig_reap(struct shimrig *rig)
{
    (void)reap(rig->shim);
    rig->shim = 0;
}

struct record_exit shimrig_wait(struct shimrig *rig)
{
    auto_close int dir = open(rig->run_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct record_exit ret = {0};

    shimrig_reap(rig);
    must(record_exit_read(dir, &ret, &e));
    return ret;
}

static void read_all(int fd, struct buf *ret)
{
    char text[4096];
    ssize_t n;

    while ((n = read(fd, text, sizeof(text))) > 0) {
        buf_append(ret, text, (size_t)n);
    }
}

char *shimrig_output(const struct shimrig *rig)
{
    auto_close int fd = open(rig->log_path, O_RDONLY | O_CLOEXEC);
    auto_buf struct buf all = {0};
    struct buf ret = {0};

    read_all(fd, &all);
    buf_puts(&ret, "");
    for (const char *at = buf_text(&all); *at != '\0';) {
        const char *end = strchr(at, '\n');
        const char *text = strstr(at, " std") + 10; /* " stdout F " */

        ck_assert_ptr_nonnull(end);
        buf_append(&ret, text, (size_t)(end - text) + 1);
        at = end + 1;
    }
    return buf_take(&ret);
}

char *shimrig_exec(struct shimrig *rig, const char *script, uint32_t timeout_ms)
{
    const char *argv[] = {"sh", "-c", script};
    struct plan_exec_input in = {.process = rig->input.process,
                                 .cgroups = rig->cgroups,
                                 .n_cgroups = rig->input.n_cgroups,
                                 .timeout_ms = timeout_ms};
    struct shimspawn spawn = {.mode = "exec"};
    struct buf plan = {0}, ret = {0};
    auto_close int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)rig->result.pid, 0);
    int out[2];

    in.process.argv = argv;
    in.process.n_argv = 3;
    must(plan_build_exec(&in, &plan, &e));
    ck_assert_int_ge(pidfd, 0);
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    shimspawn_give(&spawn, pidfd, PLAN_PIDFD);
    shimspawn_give(&spawn, out[1], PLAN_OUTPUT_FD);
    (void)reap(call(rig, &spawn, &plan));
    (void)close(out[1]);
    read_all(out[0], &ret);
    (void)close(out[0]);
    return buf_take(&ret);
}

uint32_t shimrig_clean(struct shimrig *rig)
{
    struct plan_clean_input in = {.cgroups = rig->cgroups,
                                  .n_cgroups = rig->input.n_cgroups,
                                  .run_path = rig->run_path,
                                  .base_path = rig->base_path};
    struct shimspawn spawn = {.mode = "clean"};
    struct buf plan = {0};

    must(plan_build_clean(&in, &plan, &e));
    (void)reap(call(rig, &spawn, &plan));
    return rig->result.kind;
}

/* ---- the end ---- */

void shimrig_check_nothing_left(const struct shimrig *rig)
{
    ck_assert_int_eq(access(rig->run_path, F_OK), -1);
    ck_assert_int_eq(access(rig->base_path, F_OK), -1);
    for (unsigned i = 0; i < rig->input.n_cgroups; i++) {
        ck_assert_msg(access(rig->cgroups[i].path, F_OK) < 0, "%s is left", rig->cgroups[i].path);
    }
}

void shimrig_finish(struct shimrig *rig)
{
    auto_close int dir = open(rig->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    ck_assert_msg(shimrig_clean(rig) == PLAN_RESULT_CLEANED, "clean: %s", rig->result.text);
    if (rig->shim > 0) {
        (void)reap(rig->shim);
    }
    shimrig_check_nothing_left(rig);
    cell_finish(&rig->cell);
    shimhome_finish(&rig->home);
    cgroups_drop_parent(&rig->groups);
    for (unsigned i = 0; i < rig->input.n_cgroups; i++) {
        free((void *)(uintptr_t)rig->cgroups[i].path);
    }
    cgroups_finish(&rig->groups);
    buf_finish(&rig->filter);
    must(treerm_empty(dir, rig->dir, &e));
    ck_assert_int_eq(rmdir(rig->dir), 0);
    free(rig->state_path);
    free(rig->run_base);
    free(rig->layers_path);
    free(rig->log_path);
    free(rig->run_path);
    free(rig->base_path);
    free(rig->oom_file);
}
