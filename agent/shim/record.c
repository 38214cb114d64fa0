// SPDX-License-Identifier: Apache-2.0
#include "agent/shim/record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/crc32c.h"
#include "common/failpoint.h"

#define RECORD_FIRST "wherry-run 1"
#define EXIT_FIRST   "wherry-exit 1"
#define SUM_LINE     (sizeof("sum 01234567\n") - 1)

/* ---- names ---- */

void record_name(uint64_t incarnation, uint32_t run, char ret[RECORD_NAME_MAX])
{
    (void)snprintf(ret, RECORD_NAME_MAX, "%016" PRIx64 ".%" PRIu32, incarnation, run);
}

bool record_name_parse(const char *name, uint64_t *ret_incarnation, uint32_t *ret_run)
{
    char again[RECORD_NAME_MAX];
    uint64_t incarnation;
    unsigned long run;

    if (strlen(name) < 18 || strlen(name) >= RECORD_NAME_MAX || name[16] != '.') {
        return false;
    }
    incarnation = strtoull(name, NULL, 16);
    run = strtoul(name + 17, NULL, 10);
    if (run > UINT32_MAX) {
        return false;
    }
    record_name(incarnation, (uint32_t)run, again);
    if (strcmp(again, name) != 0) {
        return false;
    }
    *ret_incarnation = incarnation;
    *ret_run = (uint32_t)run;
    return true;
}

/* ---- lines ---- */

struct text {
    char *at;
    size_t size;
    size_t len;
    bool full;
};

static void put(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(struct text *t, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(t->at + t->len, t->size - t->len, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= t->size - t->len) {
        t->full = true;
    } else {
        t->len += (size_t)n;
    }
}

static void put_sum(struct text *t)
{
    put(t, "sum %08" PRIx32 "\n", crc32c(0, t->at, t->len));
}

/* Whether the last line is the sum of all before it, and the first is `first`. */
static bool is_whole(const char *bytes, size_t len, const char *first)
{
    char sum[SUM_LINE + 1];
    size_t n = strlen(first);

    if (len < n + 1 + SUM_LINE || memcmp(bytes, first, n) != 0 || bytes[n] != '\n' ||
        memchr(bytes, '\0', len) != NULL) {
        return false;
    }
    (void)snprintf(sum, sizeof(sum), "sum %08" PRIx32 "\n", crc32c(0, bytes, len - SUM_LINE));
    return memcmp(bytes + len - SUM_LINE, sum, SUM_LINE) == 0;
}

/* One `key value` line; copies the value. */
struct line {
    char key[32];
    char value[RECORD_PATH_MAX];
};

/* Takes the next line. Returns 1, 0 at the end, or -EBADMSG. */
static int next_line(const char **at, const char *end, struct line *ret)
{
    const char *newline, *space;

    if (*at == end) {
        return 0;
    }
    newline = memchr(*at, '\n', (size_t)(end - *at));
    space = newline != NULL ? memchr(*at, ' ', (size_t)(newline - *at)) : NULL;
    if (space == NULL || (size_t)(space - *at) >= sizeof(ret->key) ||
        (size_t)(newline - space) > sizeof(ret->value)) {
        return -EBADMSG;
    }
    (void)snprintf(ret->key, sizeof(ret->key), "%.*s", (int)(space - *at), *at);
    (void)snprintf(ret->value, sizeof(ret->value), "%.*s", (int)(newline - space - 1), space + 1);
    *at = newline + 1;
    return 1;
}

/* A decimal number as we write it: no sign, no leading zero. */
static bool number(const char *text, uint64_t max, uint64_t *ret)
{
    char again[24];
    char *end;

    if (text[0] < '0' || text[0] > '9' || strlen(text) > 20) {
        return false;
    }
    errno = 0;
    *ret = strtoull(text, &end, 10);
    (void)snprintf(again, sizeof(again), "%" PRIu64, *ret);
    return errno == 0 && *end == '\0' && *ret <= max && strcmp(again, text) == 0;
}

/* ---- the fields of a record, one row each ---- */

enum field_type { U32, U64, TEXT };

struct field {
    const char *key;
    enum field_type type;
    size_t at;
    size_t size; /* TEXT */
};

#define FIELD(type, name)                                                                          \
    {                                                                                              \
#name, type, offsetof(struct record, name), 0                                              \
    }
#define TEXT_FIELD(name)                                                                           \
    {                                                                                              \
#name, TEXT, offsetof(struct record, name), sizeof(((struct record *)0)->name)             \
    }
static const struct field record_fields[] = {
    FIELD(U64, incarnation), FIELD(U32, run),        TEXT_FIELD(boot_id),
    FIELD(U32, ids),         FIELD(U32, address),    TEXT_FIELD(upper),
    FIELD(U32, shim_pid),    FIELD(U64, shim_start), FIELD(U32, pid),
    FIELD(U64, pid_start),   FIELD(U64, started_ms), FIELD(U64, started_unix_ms)};
#define FIELDS ARRAY_LEN(record_fields)

static void put_field(struct text *t, const struct field *f, const struct record *r)
{
    const char *at = (const char *)r + f->at;
    uint64_t n = 0;

    if (f->type == TEXT) {
        put(t, "%s %s\n", f->key, at);
        return;
    }
    memcpy(&n, at, f->type == U32 ? sizeof(uint32_t) : sizeof(uint64_t));
    put(t, "%s %" PRIu64 "\n", f->key, n);
}

static bool take_field(const struct field *f, const char *value, struct record *r)
{
    char *at = (char *)r + f->at;
    uint64_t n;

    if (f->type == TEXT) {
        return (size_t)snprintf(at, f->size, "%s", value) < f->size;
    }
    if (!number(value, f->type == U32 ? UINT32_MAX : UINT64_MAX, &n)) {
        return false;
    }
    memcpy(at, &n, f->type == U32 ? sizeof(uint32_t) : sizeof(uint64_t));
    return true;
}

static bool take_line(const struct line *line, unsigned *seen, struct record *r)
{
    if (strcmp(line->key, "cgroup") == 0) {
        return r->n_cgroups < RECORD_CGROUPS_MAX &&
               (size_t)snprintf(r->cgroups[r->n_cgroups++], RECORD_PATH_MAX, "%s", line->value) <
                   RECORD_PATH_MAX;
    }
    for (unsigned i = 0; i < FIELDS; i++) {
        if (strcmp(line->key, record_fields[i].key) == 0) {
            bool again = (*seen & 1u << i) != 0;

            *seen |= 1u << i;
            return !again && take_field(&record_fields[i], line->value, r);
        }
    }
    return false;
}

int record_parse(const char *bytes, size_t len, struct record *ret, struct err *e)
{
    struct record r = {0};
    const char *at, *end;
    struct line line;
    unsigned seen = 0;
    int rc;

    if (!is_whole(bytes, len, RECORD_FIRST)) {
        return err_say(e, EBADMSG, "run record: torn, or none of ours");
    }
    at = bytes + sizeof(RECORD_FIRST);
    end = bytes + len - SUM_LINE;
    while ((rc = next_line(&at, end, &line)) > 0) {
        if (!take_line(&line, &seen, &r)) {
            return err_say(e, EBADMSG, "run record: line \"%s %.60s\"", line.key, line.value);
        }
    }
    if (rc < 0 || seen != (1u << FIELDS) - 1) {
        return err_say(e, EBADMSG, "run record: incomplete");
    }
    *ret = r;
    return 0;
}

int record_exit_parse(const char *bytes, size_t len, struct record_exit *ret, struct err *e)
{
    struct record_exit x = {0};
    const struct {
        const char *key;
        uint64_t max;
    } rows[] = {{"known", 1},
                {"oom", 1},
                {"code", 255},
                {"signal", 64},
                {"ended_ms", UINT64_MAX},
                {"ended_unix_ms", UINT64_MAX}};
    uint64_t n[ARRAY_LEN(rows)];
    const char *at, *end;
    struct line line;

    if (!is_whole(bytes, len, EXIT_FIRST)) {
        return err_say(e, EBADMSG, "exit record: torn, or none of ours");
    }
    at = bytes + sizeof(EXIT_FIRST);
    end = bytes + len - SUM_LINE;
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        if (next_line(&at, end, &line) != 1 || strcmp(line.key, rows[i].key) != 0 ||
            !number(line.value, rows[i].max, &n[i])) {
            return err_say(e, EBADMSG, "exit record: no %s", rows[i].key);
        }
    }
    if (at != end) {
        return err_say(e, EBADMSG, "exit record: more than expected");
    }
    x = (struct record_exit){.known = n[0] != 0,
                             .oom = n[1] != 0,
                             .code = (int32_t)n[2],
                             .signal = (int32_t)n[3],
                             .ended_ms = n[4],
                             .ended_unix_ms = n[5]};
    *ret = x;
    return 0;
}

/* ---- files ---- */

static ssize_t read_small(int dir_fd, const char *name, char *ret, size_t size, struct err *e)
{
    auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    size_t len = 0;

    if (fd < 0 || fstat(fd, &st) < 0) {
        return err_set(e, errno, "open %s", name);
    }
    if (!S_ISREG(st.st_mode)) {
        return err_say(e, EBADMSG, "%s: not a file", name);
    }
    while (len < size) {
        ssize_t n = read(fd, ret + len, size - len);

        if (n < 0 && errno != EINTR) {
            return err_set(e, errno, "read %s", name);
        }
        if (n == 0) {
            return (ssize_t)len;
        }
        len += n > 0 ? (size_t)n : 0;
    }
    return err_say(e, EBADMSG, "%s: longer than %zu bytes", name, size);
}

int record_read(int dir_fd, struct record *ret, struct err *e)
{
    char bytes[RECORD_BYTES_MAX];
    ssize_t n = read_small(dir_fd, RECORD_FILE, bytes, sizeof(bytes), e);

    return n < 0 ? (int)n : record_parse(bytes, (size_t)n, ret, e);
}

int record_exit_read(int dir_fd, struct record_exit *ret, struct err *e)
{
    char bytes[1024];
    ssize_t n = read_small(dir_fd, RECORD_EXIT_FILE, bytes, sizeof(bytes), e);

    return n < 0 ? (int)n : record_exit_parse(bytes, (size_t)n, ret, e);
}

static int write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        bytes += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int write_file(int dir_fd, const char *name, const struct text *t, struct err *e)
{
    auto_close int fd = -1;
    char temporary[32];
    int rc;

    (void)snprintf(temporary, sizeof(temporary), "%s.new", name);
    fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return err_set(e, errno, "create %s", temporary);
    }
    rc = write_all(fd, t->at, t->len);
    if (rc < 0) {
        return err_set(e, rc, "write %s", temporary);
    }
    FAILPOINT("shim.record.before_rename");
    if (renameat(dir_fd, temporary, dir_fd, name) < 0) {
        return err_set(e, errno, "rename %s", temporary);
    }
    FAILPOINT("shim.record.after_rename");
    return 0;
}

int record_format(const struct record *r, char *ret, size_t size, struct err *e)
{
    struct text t = {.at = ret, .size = size};

    put(&t, RECORD_FIRST "\n");
    for (unsigned i = 0; i < FIELDS; i++) {
        put_field(&t, &record_fields[i], r);
    }
    for (unsigned i = 0; i < r->n_cgroups; i++) {
        put(&t, "cgroup %s\n", r->cgroups[i]);
    }
    put_sum(&t);
    return t.full ? err_say(e, E2BIG, "run record: over %zu bytes", size) : 0;
}

int record_write(int dir_fd, const struct record *r, struct err *e)
{
    char bytes[RECORD_BYTES_MAX];
    struct text t = {.at = bytes, .size = sizeof(bytes)};
    int rc = record_format(r, bytes, sizeof(bytes), e);

    if (rc < 0) {
        return rc;
    }
    t.len = strlen(bytes);
    return write_file(dir_fd, RECORD_FILE, &t, e);
}

int record_exit_write(int dir_fd, const struct record_exit *x, struct err *e)
{
    char bytes[1024];
    struct text t = {.at = bytes, .size = sizeof(bytes)};

    put(&t,
        EXIT_FIRST "\nknown %d\noom %d\ncode %d\nsignal %d\nended_ms %" PRIu64
                   "\nended_unix_ms %" PRIu64 "\n",
        x->known, x->oom, x->code, x->signal, x->ended_ms, x->ended_unix_ms);
    put_sum(&t);
    return write_file(dir_fd, RECORD_EXIT_FILE, &t, e);
}

/* ---- processes ---- */

int record_start_time(uint32_t pid, uint64_t *ret, struct err *e)
{
    char bytes[1024], path[32];
    const char *at;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "/proc/%" PRIu32 "/stat", pid);
    n = read_small(AT_FDCWD, path, bytes, sizeof(bytes) - 1, e);
    if (n < 0) {
        return n == -ENOENT ? -ESRCH : (int)n;
    }
    bytes[n] = '\0';
    at = strrchr(bytes, ')'); /* the name may hold anything */
    for (unsigned field = 2; at != NULL && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    if (at == NULL) {
        return err_say(e, EBADMSG, "%s: not as expected", path);
    }
    *ret = strtoull(at + 1, NULL, 10);
    return 0;
}

int record_pidfd(uint32_t pid, uint64_t start, struct err *e)
{
    auto_close int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    uint64_t now;
    int rc;

    if (fd < 0) {
        return err_set(e, errno, "open process %" PRIu32, pid);
    }
    rc = record_start_time(pid, &now, e);
    if (rc == 0 && now != start) {
        rc = err_say(e, ESRCH, "process %" PRIu32 " is another one now", pid);
    }
    return rc < 0 ? rc : take_fd(&fd);
}
