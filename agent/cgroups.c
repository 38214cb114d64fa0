// SPDX-License-Identifier: Apache-2.0
#include "agent/cgroups.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/failpoint.h"

#define READ_MAX (1u << 20) /* of a mountinfo */
#define NEEDED   (CGROUPS_MEMORY | CGROUPS_CPU | CGROUPS_PIDS)

static const struct {
    const char *name;
    unsigned bit;
} controllers[] = {
    {"memory", CGROUPS_MEMORY},
    {"cpu", CGROUPS_CPU},
    {"pids", CGROUPS_PIDS},
    {"freezer", CGROUPS_FREEZER},
};

/* Those that only have to be named when a hierarchy is mounted. */
static const char *const others[] = {"cpuacct",  "cpuset",     "blkio",   "devices", "net_cls",
                                     "net_prio", "perf_event", "hugetlb", "rdma",    "misc"};

/* ---- detection ---- */

/* The controllers named in "rw,cpu,cpuacct" or "cpu memory". */
static unsigned controllers_of(const char *words)
{
    unsigned bits = 0;

    while (*words != '\0') {
        size_t len = strcspn(words, ", \n");

        for (unsigned i = 0; i < ARRAY_LEN(controllers); i++) {
            if (strlen(controllers[i].name) == len &&
                strncmp(words, controllers[i].name, len) == 0) {
                bits |= controllers[i].bit;
            }
        }
        words += len + (words[len] != '\0');
    }
    return bits;
}

static bool is_controller(const char *word, size_t len)
{
    for (unsigned i = 0; i < ARRAY_LEN(controllers); i++) {
        if (strlen(controllers[i].name) == len && strncmp(word, controllers[i].name, len) == 0) {
            return true;
        }
    }
    for (unsigned i = 0; i < ARRAY_LEN(others); i++) {
        if (strlen(others[i]) == len && strncmp(word, others[i], len) == 0) {
            return true;
        }
    }
    return false;
}

/* "rw,xattr,cpu,cpuacct" less what is no controller. */
static char *names_of(const char *options)
{
    struct buf names = {0};

    for (const char *at = options; *at != '\0'; at += *at == ',') {
        size_t len = strcspn(at, ",");

        if (is_controller(at, len)) {
            buf_puts(&names, names.len > 0 ? "," : "");
            buf_append(&names, at, len);
        }
        at += len;
    }
    return buf_take(&names);
}

static void add_tree(struct cgroups *g, const char *mount, const char *options, unsigned bits)
{
    for (unsigned i = 0; i < g->n_trees; i++) {
        if (g->trees[i].controllers == bits) {
            return; /* the same hierarchy, mounted twice */
        }
    }
    if (g->n_trees < CGROUPS_TREES_MAX) {
        g->trees[g->n_trees++] = (struct cgroups_tree){
            .mount = xstrdup(mount), .names = names_of(options), .controllers = bits};
    }
}

struct line {
    char mount[256];
    char type[32];
    char options[256];
};

/* "31 23 0:28 / /sys/fs/cgroup rw - cgroup cgroup rw,cpu": the tree's root must be mounted. */
static bool parse_line(const char *text, struct line *ret)
{
    char root[256];
    const char *rest = strstr(text, " - ");

    return rest != NULL && sscanf(text, "%*u %*u %*s %255s %255s", root, ret->mount) == 2 &&
           sscanf(rest + 3, "%31s %*s %255s", ret->type, ret->options) == 2 &&
           strcmp(root, "/") == 0;
}

static void parse_lines(const char *mountinfo, struct cgroups *g, struct line *ret_v2)
{
    struct line line;

    for (const char *at = mountinfo; *at != '\0'; at += strcspn(at, "\n"), at += *at == '\n') {
        auto_free char *text = xstrndup(at, strcspn(at, "\n"));

        if (!parse_line(text, &line)) {
            continue;
        }
        if (strcmp(line.type, "cgroup") == 0) {
            unsigned bits = controllers_of(line.options);

            if (bits != 0) {
                add_tree(g, line.mount, line.options, bits);
            }
        } else if (strcmp(line.type, "cgroup2") == 0 && ret_v2->mount[0] == '\0') {
            *ret_v2 = line;
        }
    }
}

static unsigned offered(const struct cgroups *g)
{
    unsigned bits = 0;

    for (unsigned i = 0; i < g->n_trees; i++) {
        bits |= g->trees[i].controllers;
    }
    return bits;
}

static int check(const struct cgroups *g, struct err *e)
{
    unsigned needed = NEEDED | (g->kind != CGROUPS_V2 ? CGROUPS_FREEZER : 0);
    unsigned missing = needed & ~offered(g);

    for (unsigned i = 0; i < ARRAY_LEN(controllers); i++) {
        if ((missing & controllers[i].bit) != 0) {
            return err_say(e, ENOTSUP,
                           "this host has no cgroup controller \"%s\" (cgroups %s): containers "
                           "could not be limited",
                           controllers[i].name, cgroups_kind_name(g->kind));
        }
    }
    return 0;
}

int cgroups_parse(const char *mountinfo, const char *words, struct cgroups *ret, struct err *e)
{
    struct cgroups g = {.kind = CGROUPS_V2};
    struct line v2 = {.mount = ""};
    int rc;

    parse_lines(mountinfo, &g, &v2);
    if (g.n_trees > 0) {
        g.kind = v2.mount[0] != '\0' ? CGROUPS_HYBRID : CGROUPS_V1;
    } else if (v2.mount[0] != '\0') {
        add_tree(&g, v2.mount, "", controllers_of(words));
    }
    rc = check(&g, e);
    if (rc < 0) {
        cgroups_finish(&g);
        return rc;
    }
    *ret = g;
    return 0;
}

static int read_text(const char *path, struct buf *ret)
{
    auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    char bytes[4096];
    ssize_t n;

    if (fd < 0) {
        return -errno;
    }
    while ((n = read(fd, bytes, sizeof(bytes))) > 0 && ret->len < READ_MAX) {
        buf_append(ret, bytes, (size_t)n);
    }
    return n < 0 ? -errno : 0;
}

int cgroups_detect(struct cgroups *ret, struct err *e)
{
    auto_buf struct buf mounts = {0}, words = {0};
    int rc = read_text("/proc/self/mountinfo", &mounts);

    if (rc < 0) {
        return err_set(e, rc, "read /proc/self/mountinfo");
    }
    (void)read_text("/sys/fs/cgroup/cgroup.controllers", &words); /* absent: not v2 alone */
    return cgroups_parse(buf_text(&mounts), buf_text(&words), ret, e);
}

void cgroups_finish(struct cgroups *g)
{
    for (unsigned i = 0; i < g->n_trees; i++) {
        free(g->trees[i].mount);
        free(g->trees[i].names);
    }
    free(g->parent);
    if (g->claimed) {
        (void)close(g->claim_fd);
    }
    *g = (struct cgroups){0};
}

/* ---- names ---- */

const char *cgroups_kind_name(enum cgroups_kind kind)
{
    static const char *const names[] = {
        [CGROUPS_V1] = "v1", [CGROUPS_HYBRID] = "hybrid", [CGROUPS_V2] = "v2"};

    return names[kind];
}

const char *cgroups_degraded(const struct cgroups *g)
{
    static const char *const texts[] = {
        [CGROUPS_V1] = "cgroups v1", [CGROUPS_HYBRID] = "cgroups v1 (hybrid)", [CGROUPS_V2] = ""};

    return texts[g->kind];
}

char *cgroups_path(const struct cgroups *g, unsigned tree, const char *name)
{
    assert(tree < g->n_trees);
    return xasprintf("%s/%s/%s", g->trees[tree].mount, g->parent, name);
}

/* ---- the parent ---- */

static int write_file(const char *dir, const char *file, const char *value)
{
    auto_free char *path = xasprintf("%s/%s", dir, file);
    auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    return write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

static bool has_file(const char *dir, const char *file)
{
    auto_free char *path = xasprintf("%s/%s", dir, file);

    return access(path, F_OK) == 0;
}

static int make_group(const char *path, struct err *e)
{
    if (mkdir(path, 0755) < 0 && errno != EEXIST) {
        return err_set(e, errno, "make control group %s", path);
    }
    return 0;
}

/* A group with processes of its own cannot hand controllers down, unless it is the real root. */
static int step_aside(const char *dir, struct err *e)
{
    auto_free char *leaf = xasprintf("%s/wherry-agent", dir);
    int rc = make_group(leaf, e);

    if (rc < 0) {
        return rc;
    }
    rc = write_file(leaf, "cgroup.procs", "0");
    return rc < 0 ? err_set(e, rc, "move the agent into control group %s", leaf) : 0;
}

static int hand_down(const char *dir, struct err *e)
{
    static const char *const words[] = {"+memory", "+cpu", "+pids"};

    for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
        int rc = write_file(dir, "cgroup.subtree_control", words[i]);

        if (rc == -EBUSY) {
            rc = step_aside(dir, e);
            if (rc < 0) {
                return rc;
            }
            rc = write_file(dir, "cgroup.subtree_control", words[i]);
        }
        if (rc < 0) {
            return err_set(e, rc, "write \"%s\" to %s/cgroup.subtree_control", words[i], dir);
        }
    }
    return 0;
}

/* Makes each component of the parent's path; on v2 every one on the way hands controllers down. */
static int make_path(const struct cgroups *g, const struct cgroups_tree *tree, struct err *e)
{
    auto_free char *path = xasprintf("%s/%s", tree->mount, g->parent);

    for (char *at = path + strlen(tree->mount);; at++) {
        char was = *at;
        int rc;

        if (was != '/' && was != '\0') {
            continue;
        }
        *at = '\0';
        rc = make_group(path, e);
        if (rc == 0 && g->kind == CGROUPS_V2) {
            rc = hand_down(path, e);
        }
        *at = was;
        if (rc < 0 || was == '\0') {
            return rc;
        }
    }
}

/* Memory of all containers together; swap is no way around it. */
static int limit_parent(struct cgroups *g, const char *dir, uint64_t bytes, struct err *e)
{
    bool v2 = g->kind == CGROUPS_V2;
    const char *file = v2 ? "memory.max" : "memory.limit_in_bytes";
    const char *swap_file = v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes";
    char value[32];
    int rc;

    g->swap = has_file(dir, swap_file);
    g->oom_group = v2 && has_file(dir, "memory.oom.group");
    if (bytes == 0) {
        return 0;
    }
    (void)snprintf(value, sizeof(value), "%llu", (unsigned long long)bytes);
    rc = write_file(dir, file, value);
    if (rc == -EINVAL && g->swap && !v2) {
        /* v1 keeps memory <= memory and swap: an older limit of both is lower, so it goes first */
        rc = write_file(dir, swap_file, value);
        rc = rc < 0 ? rc : write_file(dir, file, value);
    }
    if (rc < 0) {
        return err_set(e, rc, "write %s to %s/%s", value, dir, file);
    }
    rc = g->swap ? write_file(dir, swap_file, v2 ? "0" : value) : 0;
    return rc < 0 ? err_set(e, rc, "write to %s/%s", dir, swap_file) : 0;
}

static bool parent_is_valid(const char *parent)
{
    return parent[0] != '\0' && parent[0] != '/' && parent[0] != '.' && strlen(parent) < 200 &&
           strstr(parent, "//") == NULL && strstr(parent, "/.") == NULL &&
           parent[strlen(parent) - 1] != '/';
}

/* What is in the group is the agent's, and a run that it does not know is removed: another agent
 * with the same parent, and another state directory, would end this one's containers. */
static int claim(struct cgroups *g, const char *dir, struct err *e)
{
    auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return err_set(e, errno, "open control group %s", dir);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        return errno == EWOULDBLOCK
                   ? err_say(e, EBUSY,
                             "control group %s is another agent's; each agent of a host needs its "
                             "own (--cgroup)",
                             dir)
                   : err_set(e, errno, "lock control group %s", dir);
    }
    g->claim_fd = take_fd(&fd);
    g->claimed = true;
    return 0;
}

static int make_in_tree(struct cgroups *g, const struct cgroups_tree *tree, uint64_t bytes,
                        struct err *e)
{
    auto_free char *dir = xasprintf("%s/%s", tree->mount, g->parent);
    auto_free char *shims = xasprintf("%s/" CGROUPS_SHIMS, dir);
    int rc = make_path(g, tree, e);

    if (rc == 0 && !g->claimed) {
        rc = claim(g, dir, e);
    }
    if (rc == 0 && (tree->controllers & CGROUPS_MEMORY) != 0) {
        rc = limit_parent(g, dir, bytes, e);
    }
    return rc < 0 ? rc : make_group(shims, e);
}

int cgroups_make_parent(struct cgroups *g, const char *parent, uint64_t memory_bytes, struct err *e)
{
    assert(g->parent == NULL);
    if (!parent_is_valid(parent)) {
        return err_say(e, EINVAL,
                       "cgroup parent \"%s\": a path of names without '.' in front, for example "
                       "\"wherry\" or \"wherry/a\"",
                       parent);
    }
    g->parent = xstrdup(parent);
    for (unsigned i = 0; i < g->n_trees; i++) {
        int rc;

        FAILPOINT("agent.cgroups.before_parent");
        rc = make_in_tree(g, &g->trees[i], memory_bytes, e);
        if (rc < 0) {
            return rc;
        }
    }
    FAILPOINT("agent.cgroups.after_parent");
    return 0;
}

/* The group of the shims, then each component from the last on; the first that is not empty ends
 * it. */
static void drop_in_tree(const struct cgroups *g, const struct cgroups_tree *tree)
{
    auto_free char *path = xasprintf("%s/%s/" CGROUPS_SHIMS, tree->mount, g->parent);
    char *slash;

    while (strlen(path) > strlen(tree->mount)) {
        if (rmdir(path) < 0 && errno != ENOENT) {
            return;
        }
        slash = strrchr(path, '/');
        *slash = '\0';
    }
}

void cgroups_drop_parent(const struct cgroups *g)
{
    for (unsigned i = 0; i < g->n_trees && g->claimed; i++) {
        drop_in_tree(g, &g->trees[i]);
    }
}
