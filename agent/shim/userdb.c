// SPDX-License-Identifier: Apache-2.0
#include "agent/shim/userdb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

#define LINE_MAX_BYTES 4096
#define FIELDS_MAX     7
#define NAME_MAX_BYTES 128

/* ---- numbers ---- */

static bool is_number(const char *text)
{
    return text[0] != '\0' && strspn(text, "0123456789") == strlen(text);
}

/* An id as we write it ourselves, or false. */
static bool parse_id(const char *text, uint32_t *ret)
{
    uint32_t n = 0;

    if (!is_number(text) || strlen(text) > 5 || (text[0] == '0' && text[1] != '\0')) {
        return false;
    }
    for (const char *p = text; *p != '\0'; p++) {
        n = n * 10 + (uint32_t)(*p - '0');
    }
    *ret = n;
    return n <= USERDB_ID_MAX;
}

/* ---- files of lines with fields ---- */

struct lines {
    int fd;
    char buf[LINE_MAX_BYTES];
    size_t from, len;
    size_t total;
    bool skipping; /* within a line that was too long */
};

static int open_lines(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

/* Reads more behind what is left. False at the end. */
static bool fill(struct lines *l)
{
    ssize_t n;

    memmove(l->buf, l->buf + l->from, l->len - l->from);
    l->len -= l->from;
    l->from = 0;
    if (l->len == sizeof(l->buf) - 1) {
        l->len = 0;
        l->skipping = true;
    }
    if (l->total >= USERDB_BYTES_MAX) {
        return false;
    }
    n = read(l->fd, l->buf + l->len, sizeof(l->buf) - 1 - l->len);
    if (n <= 0) {
        return false;
    }
    l->len += (size_t)n;
    l->total += (size_t)n;
    return true;
}

/* The next line, terminated, or NULL. */
static char *next_line(struct lines *l)
{
    for (;;) {
        char *at = l->buf + l->from;
        char *end = memchr(at, '\n', l->len - l->from);
        bool skipped = l->skipping;

        if (end == NULL && fill(l)) {
            continue;
        }
        at = l->buf + l->from;
        if (end == NULL && l->from == l->len) {
            return NULL;
        }
        end = end != NULL ? end : l->buf + l->len; /* the last may have no line end */
        *end = '\0';
        l->from = (size_t)(end - l->buf) + (end < l->buf + l->len);
        l->skipping = false;
        if (!skipped) {
            return at;
        }
    }
}

/* Splits at ':'. Returns how many fields there are (at most `max`, the last takes the rest). */
static unsigned split(char *line, char **fields, unsigned max)
{
    unsigned n = 0;

    for (char *at = line; at != NULL && n < max;) {
        char *colon = n + 1 < max ? strchr(at, ':') : NULL;

        fields[n++] = at;
        at = colon != NULL ? colon + 1 : NULL;
        if (colon != NULL) {
            *colon = '\0';
        }
    }
    return n;
}

/* ---- users ---- */

/* Looks `name` (or, if NULL, `uid`) up. Gives the name as well. */
static bool find_user(const char *path, const char *name, uint32_t uid, struct userdb_user *ret,
                      char ret_name[NAME_MAX_BYTES])
{
    auto_close int fd = open_lines(path);
    struct lines lines = {.fd = fd};
    char *line, *f[FIELDS_MAX];

    while (fd >= 0 && (line = next_line(&lines)) != NULL) {
        struct userdb_user u = *ret;

        if (split(line, f, FIELDS_MAX) < 6 || !parse_id(f[2], &u.uid) || !parse_id(f[3], &u.gid) ||
            strlen(f[0]) >= NAME_MAX_BYTES || strlen(f[5]) >= USERDB_HOME_MAX) {
            continue;
        }
        if (name != NULL ? strcmp(f[0], name) != 0 : u.uid != uid) {
            continue;
        }
        (void)snprintf(ret_name, NAME_MAX_BYTES, "%s", f[0]);
        if (f[5][0] == '/') {
            (void)snprintf(u.home, sizeof(u.home), "%s", f[5]);
        }
        *ret = u;
        return true;
    }
    return false;
}

/* Whether a comma-separated list has the name. */
static bool lists(const char *list, const char *name)
{
    size_t n = strlen(name);

    for (const char *at = list; at != NULL;) {
        const char *comma = strchr(at, ',');
        size_t len = comma != NULL ? (size_t)(comma - at) : strlen(at);

        if (len == n && memcmp(at, name, n) == 0) {
            return true;
        }
        at = comma != NULL ? comma + 1 : NULL;
    }
    return false;
}

static bool find_group(const char *path, const char *name, uint32_t *ret)
{
    auto_close int fd = open_lines(path);
    struct lines lines = {.fd = fd};
    char *line, *f[4];

    while (fd >= 0 && (line = next_line(&lines)) != NULL) {
        if (split(line, f, 4) >= 3 && strcmp(f[0], name) == 0 && parse_id(f[2], ret)) {
            return true;
        }
    }
    return false;
}

static void find_groups_of(const char *path, const char *name, struct userdb_user *ret)
{
    auto_close int fd = open_lines(path);
    struct lines lines = {.fd = fd};
    char *line, *f[4];
    uint32_t gid;

    while (fd >= 0 && ret->n_groups < USERDB_GROUPS_MAX && (line = next_line(&lines)) != NULL) {
        if (split(line, f, 4) == 4 && parse_id(f[2], &gid) && lists(f[3], name)) {
            ret->groups[ret->n_groups++] = gid;
        }
    }
}

/* Its own group is one of its groups: else a file that excludes the group would let it in. */
static void add_own_group(struct userdb_user *u)
{
    for (unsigned i = 0; i < u->n_groups; i++) {
        if (u->groups[i] == u->gid) {
            return;
        }
    }
    if (u->n_groups == USERDB_GROUPS_MAX) {
        u->n_groups--;
    }
    u->groups[u->n_groups++] = u->gid;
}

/* ---- exported ---- */

static int find_by(const char *user, const char *passwd_path, struct userdb_user *ret,
                   char ret_name[NAME_MAX_BYTES], struct err *e)
{
    uint32_t uid = 0;

    if (user[0] != '\0' && !is_number(user)) {
        return find_user(passwd_path, user, 0, ret, ret_name)
                   ? 0
                   : err_say(e, EINVAL, "\"%.100s\" is not in the container's /etc/passwd", user);
    }
    if (user[0] != '\0' && !parse_id(user, &uid)) {
        return err_say(e, EINVAL, "user id \"%.100s\": 0 to %d", user, USERDB_ID_MAX);
    }
    ret->uid = uid;
    (void)find_user(passwd_path, NULL, uid, ret, ret_name);
    return 0;
}

int userdb_find(const char *text, const char *passwd_path, const char *group_path,
                struct userdb_user *ret, struct err *e)
{
    struct userdb_user u = {.home = "/"};
    const char *colon = strchr(text, ':');
    char user[NAME_MAX_BYTES], name[NAME_MAX_BYTES] = "";
    size_t len = colon != NULL ? (size_t)(colon - text) : strlen(text);
    int rc;

    if (len >= sizeof(user) || (colon != NULL && (len == 0 || colon[1] == '\0'))) {
        return err_say(e, EINVAL, "\"%.100s\": not name, uid, name:group or uid:gid", text);
    }
    memcpy(user, text, len);
    user[len] = '\0';
    rc = find_by(user, passwd_path, &u, name, e);
    if (rc < 0) {
        return rc;
    }
    if (colon == NULL) {
        if (name[0] != '\0') {
            find_groups_of(group_path, name, &u);
        }
    } else if (is_number(colon + 1) ? !parse_id(colon + 1, &u.gid)
                                    : !find_group(group_path, colon + 1, &u.gid)) {
        return err_say(e, EINVAL,
                       "group \"%.100s\": neither 0 to %d nor in the container's /etc/group",
                       colon + 1, USERDB_ID_MAX);
    }
    add_own_group(&u);
    *ret = u;
    return 0;
}
