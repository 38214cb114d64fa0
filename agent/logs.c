// SPDX-License-Identifier: Apache-2.0
#include "agent/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/cleanup.h"

struct logs_reader {
    char *path;
    int fd; /* the file being read; -1: none yet */
    off_t at;
    uint64_t since_ns;
    struct buf block;
    size_t used; /* bytes of `block` already given */
};

/* `log` for 0, `log.N` else. */
static void file_name(const char *path, unsigned n, char *ret, size_t size)
{
    if (n == 0) {
        (void)snprintf(ret, size, "%s", path);
    } else {
        (void)snprintf(ret, size, "%s.%u", path, n);
    }
}

static int open_file(const char *path, unsigned n)
{
    char name[4096];

    file_name(path, n, name, sizeof(name));
    return open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

/* ---- one line ---- */

static bool digits(const char *p, unsigned n, int *ret)
{
    int v = 0;

    for (unsigned i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return false;
        }
        v = v * 10 + (p[i] - '0');
    }
    *ret = v;
    return true;
}

/* "2026-11-23T20:00:00.123456789Z" (RFC 3339, always UTC). Returns its length, or 0. */
static size_t parse_time(const char *p, size_t len, uint64_t *ret_ns)
{
    struct tm tm = {0};
    uint64_t ns = 0, unit = 100000000;
    size_t at = 19;

    if (len < 20 || !digits(p, 4, &tm.tm_year) || !digits(p + 5, 2, &tm.tm_mon) ||
        !digits(p + 8, 2, &tm.tm_mday) || !digits(p + 11, 2, &tm.tm_hour) ||
        !digits(p + 14, 2, &tm.tm_min) || !digits(p + 17, 2, &tm.tm_sec) || p[10] != 'T') {
        return 0;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    if (p[at] == '.') {
        for (at++; at < len && p[at] >= '0' && p[at] <= '9'; at++) {
            ns += (uint64_t)(p[at] - '0') * unit;
            unit /= 10;
        }
    }
    if (at == len || p[at] != 'Z') {
        return 0;
    }
    *ret_ns = (uint64_t)timegm(&tm) * 1000000000u + ns;
    return at + 1;
}

bool logs_parse(const char *bytes, size_t len, struct logs_line *ret)
{
    struct logs_line line = {0};
    size_t at = parse_time(bytes, len, &line.unix_ns);

    if (at == 0 || len < at + 10 || bytes[at] != ' ') {
        return false;
    }
    if (memcmp(bytes + at, " stdout ", 8) != 0 && memcmp(bytes + at, " stderr ", 8) != 0) {
        return false;
    }
    line.is_stderr = bytes[at + 4] == 'e';
    at += 8;
    if ((bytes[at] != 'F' && bytes[at] != 'P') || bytes[at + 1] != ' ') {
        return false;
    }
    line.partial = bytes[at] == 'P';
    line.text = bytes + at + 2;
    line.len = len - at - 2;
    *ret = line;
    return true;
}

/* ---- where to begin ---- */

/* Counts line ends backwards. Returns the offset behind the (lines + 1)th from the end, or -1 with
 * `lines` reduced by those that are in the file. */
static off_t seek_tail(int fd, uint32_t *lines)
{
    char block[4096];
    off_t end = lseek(fd, 0, SEEK_END);
    bool last = true;

    while (end > 0) {
        size_t want = end < (off_t)sizeof(block) ? (size_t)end : sizeof(block);
        ssize_t n = pread(fd, block, want, end - (off_t)want);

        if (n != (ssize_t)want) {
            return 0;
        }
        for (size_t i = want; i-- > 0;) {
            if (block[i] != '\n') {
                last = false;
                continue;
            }
            if (!last && (*lines)-- == 1) {
                return end - (off_t)want + (off_t)i + 1;
            }
            last = false;
        }
        end -= (off_t)want;
    }
    if (*lines > 0 && !last) {
        (*lines)--; /* the first line of the file has no line end before it */
    }
    return *lines == 0 ? 0 : -1;
}

/* From the newest file back to the one in which the tail begins. */
static void start_tail(struct logs_reader *r, uint32_t lines)
{
    for (unsigned n = 0; n < LOGS_FILES_MAX; n++) {
        int fd = open_file(r->path, n);
        off_t at;

        if (fd < 0) {
            return;
        }
        if (r->fd >= 0) {
            (void)close(r->fd);
        }
        r->fd = fd;
        at = lines > 0 ? seek_tail(fd, &lines) : lseek(fd, 0, SEEK_END);
        r->at = at > 0 ? at : 0;
        if (at >= 0) {
            return;
        }
    }
}

static void start_all(struct logs_reader *r)
{
    for (unsigned n = LOGS_FILES_MAX; n-- > 0 && r->fd < 0;) {
        r->fd = open_file(r->path, n);
    }
}

int logs_open(const char *path, const struct logs_options *options, struct logs_reader **ret,
              struct err *e)
{
    struct logs_reader *r;

    if (path[0] != '/') {
        return err_say(e, EINVAL, "log %s: not an absolute path", path);
    }
    r = xcalloc(1, sizeof(*r));
    r->path = xstrdup(path);
    r->fd = -1;
    r->since_ns = options->since_unix_ms * 1000000u;
    if (options->tail_all) {
        start_all(r);
    } else {
        start_tail(r, options->tail);
    }
    *ret = r;
    return 0;
}

void logs_close(struct logs_reader *r)
{
    if (r == NULL) {
        return;
    }
    if (r->fd >= 0) {
        (void)close(r->fd);
    }
    buf_finish(&r->block);
    free(r->path);
    free(r);
}

/* ---- going on ---- */

static bool same_file(int fd, const char *path, unsigned n)
{
    char name[4096];
    struct stat a, b;

    file_name(path, n, name, sizeof(name));
    return fstat(fd, &a) == 0 && lstat(name, &b) == 0 && a.st_ino == b.st_ino &&
           a.st_dev == b.st_dev;
}

/* The file at its end is not the current one any more: opens the next newer. Returns 1 if it did,
 * 0 if there is none. */
static int next_file(struct logs_reader *r)
{
    unsigned n = 0;
    int fd;

    if (r->fd >= 0) {
        while (n < LOGS_FILES_MAX && !same_file(r->fd, r->path, n)) {
            n++;
        }
        if (n == 0) {
            return 0;
        }
    } else {
        n = 1;
    }
    fd = open_file(r->path, n < LOGS_FILES_MAX ? n - 1 : 0);
    if (fd < 0) {
        return 0;
    }
    if (r->fd >= 0) {
        (void)close(r->fd);
    }
    r->fd = fd;
    r->at = 0;
    buf_clear(&r->block);
    r->used = 0;
    return 1;
}

/* Reads one more block behind what is left of the last. Returns bytes read, 0 at the end. */
static ssize_t fill(struct logs_reader *r, struct err *e)
{
    ssize_t n;

    buf_consume(&r->block, r->used);
    r->used = 0;
    if (r->block.len >= LOGS_BLOCK) {
        buf_clear(&r->block); /* a line that long is none of ours */
    }
    buf_reserve(&r->block, LOGS_BLOCK);
    do {
        n = pread(r->fd, r->block.data + r->block.len, LOGS_BLOCK, r->at);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return err_set(e, errno, "read %s", r->path);
    }
    r->at += n;
    r->block.len += (size_t)n;
    return n;
}

/* Gives the whole lines of the block. Returns false when `each` has had enough. */
static bool give(struct logs_reader *r, size_t max_bytes, size_t *given,
                 bool (*each)(void *, const struct logs_line *), void *arg)
{
    while (r->used < r->block.len) {
        char *from = r->block.data + r->used;
        char *end = memchr(from, '\n', r->block.len - r->used);
        struct logs_line line;

        if (end == NULL) {
            return true;
        }
        if (*given >= max_bytes) {
            return false;
        }
        r->used += (size_t)(end - from) + 1;
        if (!logs_parse(from, (size_t)(end - from), &line) || line.unix_ns < r->since_ns) {
            continue;
        }
        *given += line.len + 32;
        if (!each(arg, &line)) {
            return false;
        }
    }
    return true;
}

int logs_read(struct logs_reader *r, size_t max_bytes,
              bool (*each)(void *arg, const struct logs_line *line), void *arg, struct err *e)
{
    size_t given = 0;

    for (unsigned blocks = 0; blocks < 16; blocks++) {
        ssize_t n;

        if (r->fd < 0 && next_file(r) == 0) {
            return 0;
        }
        if (!give(r, max_bytes, &given, each, arg)) {
            return 1;
        }
        n = fill(r, e);
        if (n < 0) {
            return (int)n;
        }
        if (n == 0 && next_file(r) == 0) {
            return 0;
        }
    }
    return 1;
}
