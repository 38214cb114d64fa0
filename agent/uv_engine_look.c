// SPDX-License-Identifier: Apache-2.0
/* What earlier agents have left: every name of a run below the run directory, the upper
 * directories and the control groups, and what its record says. Whether a process still is the one
 * of the record is decided by boot id, number and start time. */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/uv_engine_priv.h"
#include "common/cleanup.h"

#define ENDING_MS 500 /* from leaving its group to the end of a process */

#define LEFT_MAX 65536u

struct left {
    struct node_of *list;
    unsigned n;
    unsigned cap;
};

static void add(struct left *left, struct node_of of)
{
    if (left->n == left->cap) {
        left->cap = left->cap > 0 ? 2 * left->cap : 64;
        left->list = xrealloc(left->list, left->cap, sizeof(*left->list));
    }
    left->list[left->n++] = of;
}

static int scan(const char *path, struct left *left, struct err *e)
{
    auto_closedir DIR *dir = opendir(path);
    const struct dirent *entry;

    if (dir == NULL) {
        return errno == ENOENT ? 0 : err_set(e, errno, "open %s", path);
    }
    while ((entry = readdir(dir)) != NULL) {
        struct node_of of;

        if (!record_name_parse(entry->d_name, &of.incarnation, &of.run)) {
            continue;
        }
        if (left->n == LEFT_MAX) {
            return err_say(e, E2BIG, "%s holds more than %u runs", path, LEFT_MAX);
        }
        add(left, of);
    }
    return 0;
}

static int scan_all(const struct uv_engine *en, struct left *left, struct err *e)
{
    auto_free char *runs = xasprintf("%s/runs", en->config.run_path);
    auto_free char *upper = xasprintf("%s/upper", en->config.state_path);
    int rc = scan(runs, left, e);

    rc = rc < 0 ? rc : scan(upper, left, e);
    for (unsigned i = 0; rc == 0 && i < en->groups.n_trees; i++) {
        auto_free char *parent = xasprintf("%s/%s", en->groups.trees[i].mount, en->groups.parent);

        rc = scan(parent, left, e);
    }
    return rc;
}

/* By incarnation, the highest run first. */
static int compare(const void *a, const void *b)
{
    const struct node_of *x = a, *y = b;

    if (x->incarnation != y->incarnation) {
        return x->incarnation < y->incarnation ? -1 : 1;
    }
    return x->run == y->run ? 0 : x->run > y->run ? -1 : 1;
}

static bool lives(uint32_t pid, uint64_t start)
{
    int fd = pid == 0 ? -ESRCH : record_pidfd(pid, start, NULL);

    if (fd >= 0) {
        (void)close(fd);
    }
    return fd >= 0;
}

/* The record of one that had come up: it goes on, or it has ended. */
static void judge(const struct uv_engine *en, int dir, const struct record *record,
                  struct uv_engine_found *ret)
{
    struct record_exit exit;

    ret->pid = record->pid;
    ret->started_ms = record->started_ms;
    ret->started_unix_ms = record->started_unix_ms;
    if (record_exit_read(dir, &exit, NULL) == 0) {
        ret->ended_unix_ms = exit.ended_unix_ms;
        ret->exit = (struct node_exit){
            .known = exit.known, .oom = exit.oom, .code = exit.code, .signal = exit.signal};
        return;
    }
    ret->alive = strcmp(record->boot_id, en->sandbox.boot_id) == 0 &&
                 lives(record->shim_pid, record->shim_start);
}

static void look_at(const struct uv_engine *en, struct node_of of, struct uv_engine_found *ret)
{
    auto_free struct record *record = xcalloc(1, sizeof(*record));
    auto_close int dir = uv_engine_run_dir(en, of);

    *ret = (struct uv_engine_found){.of = of};
    if (dir < 0 || record_read(dir, record, NULL) < 0) {
        ret->broken = true;
        return;
    }
    ret->ids = record->ids;
    ret->address = record->address;
    if (record->pid == 0) {
        ret->broken = true;
        return;
    }
    judge(en, dir, record, ret);
}

int uv_engine_look(struct uv_engine *en,
                   void (*each)(void *arg, const struct uv_engine_found *found), void *arg,
                   struct err *e)
{
    struct left left = {0};
    auto_free struct node_of *list = NULL;
    int rc = scan_all(en, &left, e);

    list = left.list;
    if (rc < 0) {
        return rc;
    }
    if (left.n > 0) {
        qsort(list, left.n, sizeof(*list), compare);
    }
    for (unsigned i = 0; i < left.n; i++) {
        struct uv_engine_found found;

        if (i == 0 || compare(&list[i - 1], &list[i]) != 0) {
            look_at(en, list[i], &found);
            each(arg, &found);
        }
    }
    return 0;
}

/* ---- taking up ---- */

/* Whether a process is in the group of its run, in one tree at least. */
static bool is_in_group(const struct uv_engine_run *run)
{
    char name[RECORD_NAME_MAX], path[64], line[4096];
    auto_free char *group = NULL;
    auto_fclose FILE *f = NULL;
    bool found = false;

    record_name(run->of.incarnation, run->of.run, name);
    group = xasprintf("/%s/%s\n", run->engine->groups.parent, name);
    (void)snprintf(path, sizeof(path), "/proc/%u/cgroup", (unsigned)run->pid);
    f = fopen(path, "re");
    while (!found && f != NULL && fgets(line, sizeof(line), f) != NULL) {
        size_t len = strlen(line), n = strlen(group);

        found = len >= n && strcmp(line + len - n, group) == 0;
    }
    return found;
}

/* Number and start time say that it is the process of the record; where it is says that the record
 * is right. One that is ending has left its group a little before its end can be seen, and may be
 * watched all the same. */
int uv_engine_check_group(const struct uv_engine_run *run, struct err *e)
{
    struct pollfd ended = {.fd = run->pidfd, .events = POLLIN};

    if (run->pidfd < 0 || is_in_group(run) || poll(&ended, 1, ENDING_MS) > 0) {
        return 0;
    }
    return err_say(e, ESRCH, "process %u is not in the control group of the run",
                   (unsigned)run->pid);
}
