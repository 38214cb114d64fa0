// SPDX-License-Identifier: Apache-2.0
#include "agent/worker/source.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/worker/blobstream.h"
#include "agent/worker/tarpath.h"
#include "common/cleanup.h"

#define READ_CHUNK (64u * 1024)
#define LINKS_MAX  8

struct member {
    char *name;
    char *link; /* clean name of the member it links to, or NULL */
    uint64_t offset, size;
};

struct source {
    int fd;
    bool directory;
    int spool_fd; /* -1: `fd` itself is read */
    struct member *members;
    unsigned n_members;
    unsigned char chunk[READ_CHUNK];
    uint64_t at; /* of the scan */
};

static int archive_fd(const struct source *s)
{
    return s->spool_fd >= 0 ? s->spool_fd : s->fd;
}

/* ---- spooling ---- */

static int spool_write(int fd, const char *data, size_t size, struct err *e)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno != EINTR) {
            return err_set(e, errno, "spool the archive");
        }
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

static int spool_open(struct source *s, struct err *e)
{
    s->spool_fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return s->spool_fd < 0 ? err_set(e, errno, "make a file to spool the archive into") : 0;
}

static int spool_compressed(struct source *s, uint64_t size, struct err *e)
{
    struct blobstream *in = blobstream_create(s->fd, 0, size);
    uint64_t total = 0;
    const void *data;
    ssize_t n;
    int rc = spool_open(s, e);

    while (rc == 0 && (n = blobstream_read(in, &data, e)) != 0) {
        total += n > 0 ? (uint64_t)n : 0;
        rc = n < 0 ? (int)n : spool_write(s->spool_fd, data, (size_t)n, e);
        if (rc == 0 && total > SOURCE_SPOOL_MAX) {
            rc = err_say(e, EFBIG, "archive unpacks to more than %llu GiB", SOURCE_SPOOL_MAX >> 30);
        }
    }
    blobstream_destroy(in);
    return rc;
}

static int spool_pipe(struct source *s, struct err *e)
{
    uint64_t total = 0;
    int rc = spool_open(s, e);

    while (rc == 0) {
        ssize_t n = read(s->fd, s->chunk, sizeof(s->chunk));

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? err_set(e, errno, "read the archive") : 0;
        }
        total += (uint64_t)n;
        if (total > SOURCE_SPOOL_MAX) {
            return err_say(e, EFBIG, "archive is larger than %llu GiB", SOURCE_SPOOL_MAX >> 30);
        }
        rc = spool_write(s->spool_fd, (const char *)s->chunk, (size_t)n, e);
    }
    return rc;
}

static bool is_compressed(int fd)
{
    unsigned char head[4] = {0};

    return pread(fd, head, sizeof(head), 0) == 4 &&
           ((head[0] == 0x1f && head[1] == 0x8b) || memcmp(head, "\x28\xb5\x2f\xfd", 4) == 0);
}

/* Leaves `archive_fd` a plain, seekable archive. */
static int make_seekable(struct source *s, struct err *e)
{
    struct stat st;
    int rc = 0;

    if (lseek(s->fd, 0, SEEK_CUR) < 0) {
        rc = spool_pipe(s, e);
        if (rc == 0 && is_compressed(s->spool_fd)) {
            rc = err_say(e, EINVAL, "compressed archive on a pipe: decompress it first");
        }
        return rc;
    }
    if (fstat(s->fd, &st) < 0) {
        return err_set(e, errno, "stat the archive");
    }
    if (!S_ISREG(st.st_mode)) {
        return err_say(e, EINVAL, "archive is neither a file nor a pipe");
    }
    return is_compressed(s->fd) ? spool_compressed(s, (uint64_t)st.st_size, e) : 0;
}

/* ---- the archive's directory ---- */

static la_ssize_t on_read(struct archive *archive, void *arg, const void **ret_data)
{
    struct source *s = arg;
    ssize_t n;

    do {
        n = pread(archive_fd(s), s->chunk, sizeof(s->chunk), (off_t)s->at);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        archive_set_error(archive, errno, "read: %s", strerror(errno));
        return ARCHIVE_FATAL;
    }
    s->at += (uint64_t)n;
    *ret_data = s->chunk;
    return n;
}

static la_int64_t on_skip(struct archive *archive, void *arg, la_int64_t request)
{
    struct source *s = arg;

    (void)archive;
    s->at += (uint64_t)request;
    return request;
}

/* Where a link leads, as a member's name: relative to the linking member's directory for a
 * symbolic one, so old `docker save` archives share layers. NULL: nowhere inside. */
static char *link_target(const char *name, struct archive_entry *entry)
{
    const char *hard = archive_entry_hardlink(entry);
    const char *soft = archive_entry_symlink(entry);
    char dir[TARPATH_MAX];
    char path[TARPATH_MAX];
    auto_free char *joined = NULL;

    if (hard != NULL) {
        return tarpath_clean(hard, path, NULL) == 0 ? xstrdup(path) : NULL;
    }
    if (soft == NULL) {
        return NULL;
    }
    (void)tarpath_split(name, dir);
    while (strncmp(soft, "../", 3) == 0 && dir[0] != '\0') {
        char up[TARPATH_MAX];

        (void)tarpath_split(dir, up);
        memcpy(dir, up, strlen(up) + 1);
        soft += 3;
    }
    joined = xasprintf("%s%s%s", dir, dir[0] != '\0' ? "/" : "", soft);
    return tarpath_clean(joined, path, NULL) == 0 ? xstrdup(path) : NULL;
}

static int add_member(struct source *s, struct archive *archive, struct archive_entry *entry,
                      struct err *e)
{
    const char *raw = archive_entry_pathname(entry);
    char path[TARPATH_MAX];
    struct member *m;
    char *link;

    if (raw == NULL || tarpath_clean(raw, path, NULL) < 0 || path[0] == '\0') {
        return 0; /* not a name that anything of an image could have */
    }
    link = link_target(path, entry);
    if (link == NULL && (archive_entry_filetype(entry) != S_IFREG ||
                         archive_entry_sparse_count(entry) > 0 || archive_entry_size(entry) < 0)) {
        return 0;
    }
    if (s->n_members >= SOURCE_MEMBERS_MAX) {
        free(link);
        return err_say(e, E2BIG, "archive has more than %d members", SOURCE_MEMBERS_MAX);
    }
    if ((s->n_members & (s->n_members + 1)) == 0) {
        s->members = xrealloc(s->members, 2 * (size_t)s->n_members + 1, sizeof(*s->members));
    }
    m = &s->members[s->n_members++];
    *m = (struct member){.name = xstrdup(path),
                         .link = link,
                         .offset = (uint64_t)archive_filter_bytes(archive, -1),
                         .size = (uint64_t)archive_entry_size(entry)};
    return 0;
}

static int scan_failed(struct archive *archive, struct err *e)
{
    const char *why = archive_error_string(archive);

    return err_say(e, EBADMSG, "not a tar archive, or a damaged one (%.200s)",
                   why != NULL ? why : "no reason given");
}

static int scan(struct source *s, struct archive *archive, struct err *e)
{
    struct archive_entry *entry;
    int rc;

    if (archive_read_open2(archive, s, NULL, on_read, on_skip, NULL) != ARCHIVE_OK) {
        return scan_failed(archive, e);
    }
    while ((rc = archive_read_next_header(archive, &entry)) != ARCHIVE_EOF) {
        if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) {
            return scan_failed(archive, e);
        }
        rc = add_member(s, archive, entry, e);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int read_directory(struct source *s, struct err *e)
{
    struct archive *archive = archive_read_new();
    int rc;

    if (archive == NULL || archive_read_support_format_tar(archive) != ARCHIVE_OK) {
        die("no memory for an archive reader");
    }
    rc = scan(s, archive, e);
    (void)archive_read_free(archive);
    return rc;
}

int source_open(int fd, bool directory, struct source **ret_source, struct err *e)
{
    struct source *s = xcalloc(1, sizeof(*s));
    int rc = 0;

    s->fd = fd;
    s->directory = directory;
    s->spool_fd = -1;
    if (!directory) {
        rc = make_seekable(s, e);
    }
    if (rc == 0 && !directory) {
        rc = read_directory(s, e);
    }
    if (rc < 0) {
        source_destroy(s);
        return rc;
    }
    *ret_source = s;
    return 0;
}

void source_destroy(struct source *s)
{
    if (s == NULL) {
        return;
    }
    for (unsigned i = 0; i < s->n_members; i++) {
        free(s->members[i].name);
        free(s->members[i].link);
    }
    free(s->members);
    cleanup_close(&s->spool_fd);
    free(s);
}

/* ---- finding ---- */

static int missing(const char *name, struct err *e)
{
    char scratch[TARPATH_SHOW];

    return err_say(e, ENOENT, "has no file '%s'", tarpath_show(name, scratch));
}

/* The last member of that name: as if the archive had been unpacked. */
static const struct member *find_member(const struct source *s, const char *name)
{
    for (unsigned links = 0; links <= LINKS_MAX; links++) {
        const struct member *m = NULL;

        for (unsigned i = s->n_members; i > 0 && m == NULL; i--) {
            if (strcmp(s->members[i - 1].name, name) == 0) {
                m = &s->members[i - 1];
            }
        }
        if (m == NULL || m->link == NULL) {
            return m;
        }
        name = m->link;
    }
    return NULL;
}

static int find_file(const struct source *s, const char *name, struct source_blob *ret_blob,
                     struct err *e)
{
    struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC,
                           .resolve =
                               RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS};
    int fd = (int)syscall(SYS_openat2, s->fd, name, &how, sizeof(how));
    char scratch[TARPATH_SHOW];
    struct stat st;

    if (fd < 0) {
        return errno == ENOENT ? missing(name, e)
                               : err_set(e, errno, "open '%s'", tarpath_show(name, scratch));
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return err_say(e, EINVAL, "'%s' is not a file", tarpath_show(name, scratch));
    }
    *ret_blob = (struct source_blob){.fd = fd, .owned = true, .size = (uint64_t)st.st_size};
    return 0;
}

int source_find(struct source *s, const char *name, struct source_blob *ret_blob, struct err *e)
{
    const struct member *m;
    char path[TARPATH_MAX];
    char scratch[TARPATH_SHOW];

    if (tarpath_clean(name, path, e) < 0 || path[0] == '\0') {
        return err_say(e, EBADMSG, "names a file '%s', which is refused",
                       tarpath_show(name, scratch));
    }
    if (s->directory) {
        return find_file(s, path, ret_blob, e);
    }
    m = find_member(s, path);
    if (m == NULL) {
        return missing(path, e);
    }
    *ret_blob = (struct source_blob){.fd = archive_fd(s), .offset = m->offset, .size = m->size};
    return 0;
}

void source_blob_close(struct source_blob *blob)
{
    if (blob->owned) {
        (void)close(blob->fd);
    }
    blob->owned = false;
}

bool source_has(struct source *s, const char *name)
{
    struct source_blob blob;

    if (source_find(s, name, &blob, NULL) < 0) {
        return false;
    }
    source_blob_close(&blob);
    return true;
}

static int read_blob(const struct source_blob *blob, struct buf *out, struct err *e)
{
    uint64_t done = 0;

    buf_reserve(out, blob->size);
    while (done < blob->size) {
        char chunk[16384];
        size_t want = blob->size - done < sizeof(chunk) ? blob->size - done : sizeof(chunk);
        ssize_t n = pread(blob->fd, chunk, want, (off_t)(blob->offset + done));

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? err_set(e, errno, "read") : err_say(e, EBADMSG, "file ends too early");
        }
        buf_append(out, chunk, (size_t)n);
        done += (uint64_t)n;
    }
    return 0;
}

int source_read(struct source *s, const char *name, size_t max, struct buf *out, struct err *e)
{
    char scratch[TARPATH_SHOW];
    struct source_blob blob;
    int rc = source_find(s, name, &blob, e);

    if (rc < 0) {
        return rc;
    }
    if (blob.size > max) {
        rc = err_say(e, E2BIG, "has %llu bytes (allowed: %zu)", (unsigned long long)blob.size, max);
    } else {
        rc = read_blob(&blob, out, e);
    }
    source_blob_close(&blob);
    if (rc < 0) {
        (void)err_wrap(e, "'%s'", tarpath_show(name, scratch));
    }
    return rc;
}
