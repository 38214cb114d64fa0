// SPDX-License-Identifier: Apache-2.0
#include "agent/worker/layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/worker/layermeta.h"
#include "agent/worker/layertree.h"
#include "agent/worker/tarpath.h"
#include "common/cleanup.h"

#define DIR_TIMES_BYTES (64u * 1024 * 1024) /* beyond, directories keep the time of unpacking */

/* A directory's time is set at the end: what is made in it would change it. */
struct dir_time {
    char *path;
    struct timespec mtime;
};

struct unpack {
    struct blobstream *in;
    struct err in_err; /* why reading `in` failed: libarchive cannot carry it */
    layer_progress_cb progress;
    void *progress_arg;
    struct archive *archive;
    struct archive_entry *entry;
    struct layertree tree;
    struct layer_stats stats;
    struct dir_time *times;
    size_t n_times, times_bytes;
    char path[TARPATH_MAX]; /* clean name of the current entry */
};

/* ---- reading ---- */

static la_ssize_t on_read(struct archive *archive, void *arg, const void **ret_data)
{
    struct unpack *u = arg;
    ssize_t n = blobstream_read(u->in, ret_data, &u->in_err);

    if (n < 0) {
        archive_set_error(archive, EIO, "%s", u->in_err.text);
        return ARCHIVE_FATAL;
    }
    if (u->progress != NULL) {
        u->progress(u->progress_arg, blobstream_position(u->in));
    }
    return n;
}

static int read_failed(const struct unpack *u, struct err *e)
{
    const char *why = archive_error_string(u->archive);

    if (u->in_err.code != 0) {
        return err_say(e, u->in_err.code, "%s", u->in_err.text);
    }
    return err_say(e, EBADMSG, "archive is damaged (%.200s)",
                   why != NULL ? why : "no reason given");
}

static struct archive *reader_create(struct unpack *u)
{
    struct archive *archive = archive_read_new();

    if (archive == NULL || archive_read_support_format_tar(archive) != ARCHIVE_OK ||
        archive_read_support_format_empty(archive) != ARCHIVE_OK) {
        die("no memory for an archive reader");
    }
    u->archive = archive;
    return archive;
}

/* ---- one kind of entry each ---- */

static int write_all(int fd, const char *data, size_t size, off_t offset, struct err *e)
{
    while (size > 0) {
        ssize_t n = pwrite(fd, data, size, offset);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_set(e, errno, "write it");
        }
        data += n;
        offset += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Pieces come with offsets, so holes of a sparse file stay holes. */
static int write_contents(struct unpack *u, int fd, struct err *e)
{
    int64_t size = archive_entry_size(u->entry);

    for (;;) {
        const void *data;
        size_t len;
        la_int64_t offset;
        int rc = archive_read_data_block(u->archive, &data, &len, &offset);

        if (rc == ARCHIVE_EOF) {
            break;
        }
        if (rc != ARCHIVE_OK) {
            return read_failed(u, e);
        }
        if (offset < 0 || offset > size || (int64_t)len > size - offset) {
            return err_say(e, EBADMSG, "its data lie outside its size");
        }
        rc = write_all(fd, data, len, offset, e);
        if (rc < 0) {
            return rc;
        }
    }
    return ftruncate(fd, size) < 0 ? err_set(e, errno, "set its size") : 0;
}

static int count_bytes(struct unpack *u, struct err *e)
{
    int64_t size = archive_entry_size(u->entry);

    if (size < 0) {
        return err_say(e, EBADMSG, "its size is negative");
    }
    if ((uint64_t)size > LAYER_BYTES_MAX - u->stats.bytes) {
        return err_say(e, EFBIG, "with it the layer has more than %llu GiB of contents",
                       LAYER_BYTES_MAX >> 30);
    }
    u->stats.bytes += (uint64_t)size;
    return 0;
}

static int make_file(struct unpack *u, int dir_fd, const char *base, struct err *e)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    struct timespec times[2];
    auto_close int fd = -1;
    int rc = count_bytes(u, e);

    if (rc < 0) {
        return rc;
    }
    fd = openat(dir_fd, base, flags, 0600);
    if (fd < 0) {
        return err_set(e, errno, "make the file");
    }
    rc = write_contents(u, fd, e);
    if (rc == 0) {
        rc = layermeta_set(u->entry, fd, &u->stats.skipped, e);
    }
    times[0] = times[1] = layermeta_mtime(u->entry);
    if (rc == 0 && futimens(fd, times) < 0 && errno != EINVAL) {
        rc = err_set(e, errno, "set its time");
    }
    return rc;
}

static void remember_time(struct unpack *u)
{
    size_t size = sizeof(struct dir_time) + strlen(u->path) + 1;

    if (u->times_bytes + size > DIR_TIMES_BYTES) {
        return;
    }
    u->times_bytes += size;
    if ((u->n_times & (u->n_times + 1)) == 0) { /* room doubles at 2^n - 1 */
        u->times = xrealloc(u->times, 2 * u->n_times + 1, sizeof(*u->times));
    }
    u->times[u->n_times++] =
        (struct dir_time){.path = xstrdup(u->path), .mtime = layermeta_mtime(u->entry)};
}

static int finish_dir(struct unpack *u, int fd, bool hidden, struct err *e)
{
    int rc = layermeta_set(u->entry, fd, &u->stats.skipped, e);

    if (rc == 0 && hidden) {
        rc = layertree_mark_opaque(fd, e);
    }
    remember_time(u);
    return rc;
}

static int make_dir(struct unpack *u, int dir_fd, const char *base, bool there, bool hidden,
                    struct err *e)
{
    auto_close int fd = -1;

    if (!there && mkdirat(dir_fd, base, 0700) < 0) {
        return err_set(e, errno, "make the directory");
    }
    fd = openat(dir_fd, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? err_set(e, errno, "open the directory") : finish_dir(u, fd, hidden, e);
}

static int make_symlink(struct unpack *u, int dir_fd, const char *base, struct err *e)
{
    const char *target = archive_entry_symlink(u->entry);
    struct timespec times[2];
    uid_t uid;
    gid_t gid;
    int rc = layermeta_owner(u->entry, &uid, &gid, e);

    if (rc < 0) {
        return rc;
    }
    if (target == NULL || target[0] == '\0') {
        return err_say(e, EINVAL, "it is a symbolic link to nothing");
    }
    if (symlinkat(target, dir_fd, base) < 0) {
        return err_set(e, errno, "make the symbolic link");
    }
    if (fchownat(dir_fd, base, uid, gid, AT_SYMLINK_NOFOLLOW) < 0) {
        return err_set(e, errno, "give it to %u:%u", uid, gid);
    }
    times[0] = times[1] = layermeta_mtime(u->entry);
    (void)utimensat(dir_fd, base, times, AT_SYMLINK_NOFOLLOW);
    return 0;
}

/* The target is a file of this layer: links to other layers cannot be, and are not, stored. */
static int make_hardlink(struct unpack *u, int dir_fd, const char *base, struct err *e)
{
    const char *raw = archive_entry_hardlink(u->entry);
    struct layertree target;
    char path[TARPATH_MAX];
    char dir[TARPATH_MAX];
    char scratch[TARPATH_SHOW];
    const char *name;
    int fd, rc;

    rc = tarpath_clean(raw + strspn(raw, "/"), path, e);
    if (rc < 0 || path[0] == '\0') {
        return err_say(e, EINVAL, "its hard link target '%s' is refused",
                       tarpath_show(raw, scratch));
    }
    name = tarpath_split(path, dir);
    layertree_init(&target, u->tree.root_fd);
    fd = layertree_dir(&target, dir, false, e);
    rc = fd < 0 ? fd : 0;
    if (rc == 0 && linkat(fd, name, dir_fd, base, 0) < 0) {
        rc = err_set(e, errno, "link it to '%s' of the same layer", tarpath_show(path, scratch));
    }
    layertree_finish(&target);
    return rc;
}

static int make_fifo(struct unpack *u, int dir_fd, const char *base, struct err *e)
{
    uid_t uid;
    gid_t gid;
    int rc = layermeta_owner(u->entry, &uid, &gid, e);

    if (rc < 0) {
        return rc;
    }
    if (mknodat(dir_fd, base, S_IFIFO | (archive_entry_perm(u->entry) & 0777), 0) < 0) {
        return err_set(e, errno, "make the FIFO");
    }
    return fchownat(dir_fd, base, uid, gid, AT_SYMLINK_NOFOLLOW) < 0
               ? err_set(e, errno, "give it to %u:%u", uid, gid)
               : 0;
}

/* ---- one entry ---- */

static int make_plain(struct unpack *u, int dir_fd, const char *base, struct err *e)
{
    mode_t type = archive_entry_filetype(u->entry);
    bool hardlink = archive_entry_hardlink(u->entry) != NULL;
    bool hidden;
    int there;

    if (!hardlink && (type == S_IFCHR || type == S_IFBLK || type == S_IFSOCK)) {
        u->stats.skipped++;
        return 0;
    }
    there = layertree_clear(&u->tree, dir_fd, base, !hardlink && type == S_IFDIR, &hidden, e);
    if (there < 0) {
        return there;
    }
    u->stats.entries++;
    if (hardlink) {
        return make_hardlink(u, dir_fd, base, e);
    }
    switch (type) {
    case S_IFDIR:
        return make_dir(u, dir_fd, base, there == 1, hidden, e);
    case S_IFREG:
        return make_file(u, dir_fd, base, e);
    case S_IFLNK:
        return make_symlink(u, dir_fd, base, e);
    case S_IFIFO:
        return make_fifo(u, dir_fd, base, e);
    default:
        return err_say(e, EINVAL, "it is of no known kind");
    }
}

static int make_opaque(struct unpack *u, const char *dir, int dir_fd, struct err *e)
{
    if (dir[0] == '\0') {
        u->stats.opaque = true; /* overlayfs does not look at a layer's own root */
        return 0;
    }
    return layertree_mark_opaque(dir_fd, e);
}

static int make_root(struct unpack *u, struct err *e)
{
    if (archive_entry_filetype(u->entry) != S_IFDIR || archive_entry_hardlink(u->entry) != NULL) {
        return err_say(e, EINVAL, "its name is empty");
    }
    return finish_dir(u, u->tree.root_fd, false, e);
}

static int make_entry(struct unpack *u, struct err *e)
{
    char dir[TARPATH_MAX];
    const char *base, *hidden;
    int dir_fd;

    if (u->path[0] == '\0') {
        return make_root(u, e);
    }
    base = tarpath_split(u->path, dir);
    dir_fd = layertree_dir(&u->tree, dir, true, e);
    if (dir_fd < 0) {
        return dir_fd;
    }
    switch (tarpath_kind(base, &hidden)) {
    case TARPATH_PLAIN:
        return make_plain(u, dir_fd, base, e);
    case TARPATH_WHITEOUT:
        u->stats.entries++;
        return layertree_hide(dir_fd, hidden, e);
    case TARPATH_OPAQUE:
        return make_opaque(u, dir, dir_fd, e);
    case TARPATH_IGNORED:
        u->stats.skipped++;
        return 0;
    case TARPATH_BAD:
        break;
    }
    return err_say(e, EINVAL, "it is a whiteout of nothing");
}

static int next_entry(struct unpack *u, struct err *e)
{
    char scratch[TARPATH_SHOW];
    const char *raw;
    int rc = archive_read_next_header(u->archive, &u->entry);

    if (rc == ARCHIVE_EOF) {
        return 0;
    }
    if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) {
        return read_failed(u, e);
    }
    raw = archive_entry_pathname(u->entry);
    if (raw == NULL) {
        return err_say(e, EBADMSG, "an entry after '%s' has a name that cannot be read",
                       tarpath_show(u->path, scratch));
    }
    rc = tarpath_clean(raw, u->path, e);
    if (rc == 0) {
        rc = make_entry(u, e);
    }
    if (rc < 0) {
        (void)err_wrap(e, "entry '%s'", tarpath_show(raw, scratch));
        return rc;
    }
    return 1;
}

static int unpack_all(struct unpack *u, struct err *e)
{
    uint64_t n = 0;
    int rc;

    if (archive_read_open(u->archive, u, NULL, on_read, NULL) != ARCHIVE_OK) {
        return read_failed(u, e);
    }
    while ((rc = next_entry(u, e)) > 0) {
        if (++n > LAYER_ENTRIES_MAX) {
            return err_say(e, E2BIG, "layer has more than %u entries", LAYER_ENTRIES_MAX);
        }
    }
    return rc < 0 ? rc : blobstream_drain(u->in, e);
}

/* Deepest last in the list, so backwards nothing disturbs what is done. */
static void set_dir_times(struct unpack *u)
{
    for (size_t i = u->n_times; i > 0; i--) {
        const struct dir_time *t = &u->times[i - 1];
        struct timespec times[2] = {t->mtime, t->mtime};
        int fd = layertree_dir(&u->tree, t->path, false, NULL);

        if (fd >= 0) {
            (void)futimens(fd, times);
        }
    }
}

int layer_unpack(struct blobstream *in, int root_fd, layer_progress_cb progress, void *arg,
                 struct layer_stats *ret_stats, struct err *e)
{
    struct unpack u = {.in = in, .progress = progress, .progress_arg = arg};
    struct archive *archive = reader_create(&u);
    int rc;

    layertree_init(&u.tree, root_fd);
    rc = unpack_all(&u, e);
    if (rc == 0) {
        set_dir_times(&u);
        *ret_stats = u.stats;
    }
    layertree_finish(&u.tree);
    for (size_t i = 0; i < u.n_times; i++) {
        free(u.times[i].path);
    }
    free(u.times);
    (void)archive_read_free(archive);
    return rc;
}
