// SPDX-License-Identifier: Apache-2.0
#include "agent/journal.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/crc32c.h"
#include "common/failpoint.h"

#define FILE_NAME  "journal"
#define TMP_NAME   "journal.new"
#define HEAD       "WHERRYJ1"
#define HEAD_LEN   8
#define BATCH_LEN  16
#define BATCH_MARK 0x31424a57u /* "WJB1" */
#define SECTOR     512
#define FILE_MAX   (256u * 1024 * 1024)

struct journal {
    int dir_fd;
    int fd;
    char *path;
    uint64_t size;
    uint64_t base_size;
    bool stale; /* an append has failed: what the file holds is not known */
};

static uint32_t get_u32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

static void put_u32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof(v));
}

static bool is_zero(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

/* Whether the last batch, at `at`, looks cut off rather than damaged: a file system writes whole
 * sectors in any order, and those it did not get to read as zeros. */
static bool is_unwritten(const uint8_t *bytes, size_t len, size_t at)
{
    while (at < len) {
        size_t end = (at / SECTOR + 1) * SECTOR;

        end = end < len ? end : len;
        if (end - at >= 8 && is_zero(bytes + at, end - at)) {
            return true;
        }
        at = end;
    }
    return false;
}

static int each_record(const uint8_t *payload, size_t len, journal_each each, void *arg,
                       struct err *e)
{
    size_t at = 0;

    while (at < len) {
        uint32_t record;
        int rc;

        if (len - at < 4 || (record = get_u32(payload + at)) > len - at - 4 ||
            record > JOURNAL_RECORD_MAX) {
            return err_say(e, EBADMSG, "a record passes the end of its batch");
        }
        rc = each(arg, payload + at + 4, record, e);
        if (rc < 0) {
            return rc;
        }
        at += 4 + record;
    }
    return 0;
}

/* Returns the batch's whole length; 0: the tail is torn here; negative: damaged. */
static int64_t one_batch(const uint8_t *bytes, size_t len, size_t at, journal_each each, void *arg,
                         struct err *e)
{
    const uint8_t *b = bytes + at;
    size_t left = len - at;
    uint32_t length;

    if (left < BATCH_LEN) {
        return 0;
    }
    if (get_u32(b) != BATCH_MARK || get_u32(b + 12) != crc32c(0, b, 12)) {
        return is_unwritten(bytes, len, at) ? 0
                                            : err_say(e, EBADMSG, "the head of a batch is damaged");
    }
    length = get_u32(b + 4);
    if (length > JOURNAL_BATCH_MAX) {
        return err_say(e, EBADMSG, "a batch of %u bytes is too long", length);
    }
    if (left - BATCH_LEN < length) {
        return 0;
    }
    if (get_u32(b + 8) != crc32c(0, b + BATCH_LEN, length)) {
        bool last = left - BATCH_LEN == length;

        return last && is_unwritten(bytes, len, at) ? 0 : err_say(e, EBADMSG, "a batch is damaged");
    }
    if (each_record(b + BATCH_LEN, length, each, arg, e) < 0) {
        return e != NULL ? e->code : -EBADMSG;
    }
    return (int64_t)BATCH_LEN + length;
}

int64_t journal_scan(const void *bytes, size_t len, journal_each each, void *arg, struct err *e)
{
    struct err local;
    size_t at = HEAD_LEN;

    e = e != NULL ? e : &local;
    if (len < HEAD_LEN) {
        if (memcmp(bytes, HEAD, len) == 0 || is_zero(bytes, len)) {
            return 0;
        }
        return err_say(e, EBADMSG, "this is no journal of an agent");
    }
    if (memcmp(bytes, HEAD, HEAD_LEN) != 0) {
        return err_say(e, EBADMSG, "this is no journal of an agent, or one of a newer version");
    }
    while (at < len) {
        int64_t n = one_batch(bytes, len, at, each, arg, e);

        if (n < 0) {
            return err_wrap(e, "at byte %zu", at);
        }
        if (n == 0) {
            break;
        }
        at += (size_t)n;
    }
    return (int64_t)at;
}

static int write_all(int fd, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;

    while (len > 0) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

static int read_all(int fd, const char *path, struct buf *ret, struct err *e)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return err_set(e, errno, "stat %s", path);
    }
    if (st.st_size > FILE_MAX) {
        return err_say(e, EFBIG, "%s: %lld bytes are more than a journal ever has", path,
                       (long long)st.st_size);
    }
    buf_reserve(ret, (size_t)st.st_size);
    while (ret->len < (size_t)st.st_size) {
        ssize_t n = read(fd, ret->data + ret->len, (size_t)st.st_size - ret->len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return err_set(e, n < 0 ? errno : EIO, "read %s", path);
        }
        ret->len += (size_t)n;
    }
    return 0;
}

/* A new file, or one whose very head was torn off: begins anew. */
static int begin(struct journal *j, struct err *e)
{
    int rc;

    if (ftruncate(j->fd, 0) < 0 || lseek(j->fd, 0, SEEK_SET) < 0) {
        return err_set(e, errno, "truncate %s", j->path);
    }
    rc = write_all(j->fd, HEAD, HEAD_LEN);
    if (rc < 0) {
        return err_set(e, rc, "write %s", j->path);
    }
    if (fsync(j->fd) < 0 || fsync(j->dir_fd) < 0) {
        return err_set(e, errno, "sync %s", j->path);
    }
    j->size = HEAD_LEN;
    return 0;
}

static int replay(struct journal *j, journal_each each, void *arg, size_t *ret_torn, struct err *e)
{
    auto_buf struct buf all = {0};
    int64_t good;
    int rc = read_all(j->fd, j->path, &all, e);

    if (rc < 0) {
        return rc;
    }
    good = journal_scan(buf_text(&all), all.len, each, arg, e);
    if (good < 0) {
        return err_wrap(e, "%s", j->path);
    }
    *ret_torn = all.len - (size_t)good;
    if (good < HEAD_LEN) {
        return begin(j, e);
    }
    if (*ret_torn > 0 && (ftruncate(j->fd, good) < 0 || fdatasync(j->fd) < 0)) {
        return err_set(e, errno, "truncate %s", j->path);
    }
    if (lseek(j->fd, good, SEEK_SET) < 0) {
        return err_set(e, errno, "seek %s", j->path);
    }
    j->size = (uint64_t)good;
    return 0;
}

int journal_open(int dir_fd, const char *dir_path, journal_each each, void *arg,
                 struct journal **ret_journal, size_t *ret_torn, struct err *e)
{
    struct journal *j = xcalloc(1, sizeof(*j));
    size_t torn = 0;
    int rc;

    j->path = xasprintf("%s/%s", dir_path, FILE_NAME);
    j->fd = -1;
    j->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
    if (j->dir_fd < 0) {
        rc = err_set(e, errno, "duplicate descriptor of %s", dir_path);
        goto out;
    }
    j->fd = openat(dir_fd, FILE_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (j->fd < 0) {
        rc = err_set(e, errno, "open %s", j->path);
        goto out;
    }
    rc = replay(j, each, arg, &torn, e);
    if (rc < 0) {
        goto out;
    }
    (void)unlinkat(dir_fd, TMP_NAME, 0); /* of an agent that was killed before it was named */
    j->base_size = j->size;
    if (ret_torn != NULL) {
        *ret_torn = torn;
    }
    *ret_journal = take_ptr(j);
    return 0;
out:
    journal_close(j);
    return rc;
}

void journal_close(struct journal *j)
{
    if (j == NULL) {
        return;
    }
    if (j->fd >= 0) {
        (void)close(j->fd);
    }
    if (j->dir_fd >= 0) {
        (void)close(j->dir_fd);
    }
    free(j->path);
    free(j);
}

void journal_put(struct buf *payload, const void *bytes, size_t len)
{
    uint8_t head[4];

    assert(len <= JOURNAL_RECORD_MAX);
    put_u32(head, (uint32_t)len);
    buf_append(payload, head, sizeof(head));
    buf_append(payload, bytes, len);
}

static void frame_batch(const struct buf *payload, struct buf *ret)
{
    uint8_t head[BATCH_LEN];

    assert(payload->len <= JOURNAL_BATCH_MAX);
    put_u32(head, BATCH_MARK);
    put_u32(head + 4, (uint32_t)payload->len);
    put_u32(head + 8, crc32c(0, buf_text(payload), payload->len));
    put_u32(head + 12, crc32c(0, head, 12));
    buf_append(ret, head, sizeof(head));
    buf_append(ret, buf_text(payload), payload->len);
}

int journal_append(struct journal *j, const struct buf *payload, struct err *e)
{
    auto_buf struct buf batch = {0};
    int rc;

    if (j->stale) {
        return err_say(e, ESTALE, "%s must be replaced after a failed write", j->path);
    }
    frame_batch(payload, &batch);
    j->stale = true;
    FAILPOINT("agent.journal.before_append");
    rc = write_all(j->fd, batch.data, batch.len);
    if (rc < 0) {
        return err_set(e, rc, "write %s", j->path);
    }
    FAILPOINT("agent.journal.before_sync");
    if (fdatasync(j->fd) < 0) {
        return err_set(e, errno, "sync %s", j->path);
    }
    FAILPOINT("agent.journal.after_sync");
    j->stale = false;
    j->size += batch.len;
    return 0;
}

static int write_new(struct journal *j, int fd, const struct buf *payload, struct err *e)
{
    auto_buf struct buf all = {0};
    int rc;

    buf_append(&all, HEAD, HEAD_LEN);
    frame_batch(payload, &all);
    rc = write_all(fd, all.data, all.len);
    if (rc < 0) {
        return err_set(e, rc, "write %s.new", j->path);
    }
    if (fsync(fd) < 0) {
        return err_set(e, errno, "sync %s.new", j->path);
    }
    return 0;
}

int journal_replace(struct journal *j, const struct buf *payload, struct err *e)
{
    auto_close int fd =
        openat(j->dir_fd, TMP_NAME, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc;

    if (fd < 0) {
        return err_set(e, errno, "open %s.new", j->path);
    }
    rc = write_new(j, fd, payload, e);
    if (rc < 0) {
        return rc;
    }
    FAILPOINT("agent.journal.before_rename");
    if (renameat(j->dir_fd, TMP_NAME, j->dir_fd, FILE_NAME) < 0) {
        return err_set(e, errno, "rename %s.new", j->path);
    }
    FAILPOINT("agent.journal.after_rename");
    (void)close(j->fd);
    j->fd = take_fd(&fd);
    j->size = HEAD_LEN + BATCH_LEN + payload->len;
    j->base_size = j->size;
    j->stale = true; /* until the new name is durable */
    if (fsync(j->dir_fd) < 0) {
        return err_set(e, errno, "sync directory of %s", j->path);
    }
    j->stale = false;
    return 0;
}

uint64_t journal_size(const struct journal *j)
{
    return j->size;
}

uint64_t journal_base_size(const struct journal *j)
{
    return j->base_size;
}
