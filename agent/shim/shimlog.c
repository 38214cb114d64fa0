// SPDX-License-Identifier: Apache-2.0
#include "agent/shim/shimlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "common/failpoint.h"

#define PREFIX_MAX 64 /* "2026-11-23T20:00:00.123456789Z stdout F " */

/* ---- files ---- */

/* A shim that was killed may have left half a line: nothing is appended to that. */
static void end_last_line(struct shimlog *log)
{
    char last = '\n';

    if (log->bytes > 0 && pread(log->fd, &last, 1, (off_t)log->bytes - 1) == 1 && last != '\n' &&
        write(log->fd, "\n", 1) == 1) {
        log->bytes++;
    }
}

static int open_current(struct shimlog *log)
{
    struct stat st;

    log->fd = openat(log->dir_fd, log->name,
                     O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    log->bytes = 0;
    if (log->fd < 0) {
        return -errno;
    }
    if (fstat(log->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        (void)close(log->fd);
        log->fd = -1;
        return -EINVAL;
    }
    log->bytes = (uint64_t)st.st_size;
    end_last_line(log);
    return 0;
}

int shimlog_open(struct shimlog *log, int dir_fd, const char *name, uint64_t bytes_max,
                 unsigned files_max, struct err *e)
{
    int rc;

    *log = (struct shimlog){.dir_fd = dir_fd, .fd = -1, .bytes_max = bytes_max};
    log->files_max = files_max > 0 ? files_max : 1;
    for (unsigned i = 0; i < SHIMLOG_STREAMS; i++) {
        log->streams[i].fd = -1;
    }
    if ((size_t)snprintf(log->name, sizeof(log->name) - 12, "%s", name) >= sizeof(log->name) - 12) {
        return err_say(e, ENAMETOOLONG, "%s", name);
    }
    rc = open_current(log);
    return rc < 0 ? err_set(e, rc, "open %s", name) : 0;
}

static void numbered(const struct shimlog *log, unsigned n, char ret[256])
{
    if (n == 0) {
        (void)snprintf(ret, 256, "%s", log->name);
    } else {
        (void)snprintf(ret, 256, "%s.%u", log->name, n);
    }
}

/* The oldest is written over. */
static void rotate(struct shimlog *log)
{
    char from[256], to[256];

    FAILPOINT("shim.log.before_rotate");
    if (log->files_max == 1) {
        (void)unlinkat(log->dir_fd, log->name, 0);
    }
    for (unsigned n = log->files_max - 1; n > 0; n--) {
        numbered(log, n - 1, from);
        numbered(log, n, to);
        (void)renameat(log->dir_fd, from, log->dir_fd, to);
    }
    FAILPOINT("shim.log.after_rotate");
    (void)close(log->fd);
    (void)open_current(log);
}

/* ---- lines ---- */

static size_t prefix(char ret[PREFIX_MAX], unsigned stream, bool part)
{
    struct timespec now;
    struct tm tm;
    char seconds[32];

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &tm);
    (void)strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm);
    return (size_t)snprintf(ret, PREFIX_MAX, "%s.%09ldZ %s %c ", seconds, now.tv_nsec,
                            stream == 0 ? "stdout" : "stderr", part ? 'P' : 'F');
}

/* One writev, so that a reader sees whole lines; what a full disk cuts short is taken back. */
static void write_line(struct shimlog *log, unsigned stream, const char *text, size_t len,
                       bool part)
{
    char head[PREFIX_MAX], end = '\n';
    struct iovec v[3] = {
        {head, prefix(head, stream, part)}, {(void *)(uintptr_t)text, len}, {&end, 1}};
    size_t whole = v[0].iov_len + len + 1;
    ssize_t n;

    if (log->bytes > 0 && log->bytes + whole > log->bytes_max) {
        rotate(log);
    }
    if (log->fd < 0 && open_current(log) < 0) {
        log->lost++;
        return;
    }
    do {
        n = writev(log->fd, v, 3);
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)whole) {
        log->bytes += whole;
        return;
    }
    log->lost++;
    if (n > 0) {
        (void)!ftruncate(log->fd, (off_t)log->bytes);
    }
}

/* Writes the whole lines of the buffer and keeps the rest at its beginning. */
static void write_lines(struct shimlog *log, unsigned stream)
{
    struct shimlog_stream *s = &log->streams[stream];
    size_t from = 0;
    char *end;

    while ((end = memchr(s->line + from, '\n', s->len - from)) != NULL) {
        write_line(log, stream, s->line + from, (size_t)(end - s->line) - from, false);
        from = (size_t)(end - s->line) + 1;
        s->cut = false;
    }
    if (from == 0 && s->len == sizeof(s->line)) {
        write_line(log, stream, s->line, s->len, true);
        from = s->len;
        s->cut = true;
    }
    memmove(s->line, s->line + from, s->len - from);
    s->len -= from;
}

/* The end of a stream: what is left is a whole line. */
static void end_stream(struct shimlog *log, unsigned stream)
{
    struct shimlog_stream *s = &log->streams[stream];

    if (s->fd < 0) {
        return;
    }
    if (s->len > 0 || s->cut) {
        write_line(log, stream, s->line, s->len, false);
    }
    s->len = 0;
    (void)close(s->fd);
    s->fd = -1;
}

void shimlog_pump(struct shimlog *log, unsigned stream)
{
    struct shimlog_stream *s = &log->streams[stream];
    ssize_t n = read(s->fd, s->line + s->len, sizeof(s->line) - s->len);

    if (n > 0) {
        s->len += (size_t)n;
        write_lines(log, stream);
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        end_stream(log, stream);
    }
}

void shimlog_finish(struct shimlog *log)
{
    for (unsigned i = 0; i < SHIMLOG_STREAMS; i++) {
        end_stream(log, i);
    }
    if (log->fd >= 0) {
        (void)close(log->fd);
    }
    (void)close(log->dir_fd);
    log->fd = log->dir_fd = -1;
}
