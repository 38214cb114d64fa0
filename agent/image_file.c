// SPDX-License-Identifier: Apache-2.0
#include "agent/image_file.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/failpoint.h"
#include "common/name.h"

struct head {
    char magic[16];
    uint64_t len; /* little-endian */
    uint8_t hash[16];
};

static const char magic[16] = "wherry-images 1";

static int read_all(int fd, void *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = read(fd, (char *)data + done, len - done);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EBADMSG;
        }
        done += (size_t)n;
    }
    return 0;
}

static int write_all(int fd, const void *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = write(fd, (const char *)data + done, len - done);

        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int damaged(const char *dir_path, const char *why, struct err *e)
{
    return err_say(e, EBADMSG, "%s/index is damaged (%s): move it away and load the images again",
                   dir_path, why);
}

/* Head and body agree in length and checksum. */
static int check(const struct head *head, const char *body, size_t len, const char *dir_path,
                 struct err *e)
{
    uint8_t hash[16];

    if (memcmp(head->magic, magic, sizeof(magic)) != 0) {
        return damaged(dir_path, "not an index of this version", e);
    }
    if (le64toh(head->len) != len) {
        return damaged(dir_path, "its length is wrong", e);
    }
    id128_to_bytes(id128_hash(body, len), hash);
    if (memcmp(hash, head->hash, sizeof(hash)) != 0) {
        return damaged(dir_path, "its checksum is wrong", e);
    }
    return 0;
}

int image_file_read(int dir_fd, const char *dir_path, struct image_index *ret_index,
                    struct stat *ret_stat, struct err *e)
{
    auto_close int fd = openat(dir_fd, "index", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    auto_free char *body = NULL;
    struct head head;
    struct stat st;
    size_t len;
    int rc;

    if (fd < 0 && errno == ENOENT) {
        *ret_index = (struct image_index){.next_link = 1};
        *ret_stat = (struct stat){0};
        return 0;
    }
    if (fd < 0 || fstat(fd, &st) < 0) {
        return err_set(e, errno, "open %s/index", dir_path);
    }
    if (st.st_size < (off_t)sizeof(head) || st.st_size > (off_t)CODEC_IMAGE_INDEX_MAX) {
        return damaged(dir_path, "its size is impossible", e);
    }
    len = (size_t)st.st_size - sizeof(head);
    body = xmalloc(len);
    rc = read_all(fd, &head, sizeof(head));
    if (rc == 0) {
        rc = read_all(fd, body, len);
    }
    if (rc < 0) {
        return err_set(e, rc, "read %s/index", dir_path);
    }
    rc = check(&head, body, len, dir_path, e);
    if (rc == 0) {
        rc = codec_image_index_decode(body, len, ret_index, e);
    }
    if (rc == 0) {
        *ret_stat = st;
    }
    return rc;
}

int image_file_write(int dir_fd, const char *dir_path, const struct image_index *index,
                     struct err *e)
{
    auto_close int fd = -1;
    auto_buf struct buf body = {0};
    struct head head = {0};
    int rc;

    codec_image_index_encode(index, &body);
    if (body.len > CODEC_IMAGE_INDEX_MAX - sizeof(head)) {
        return err_say(e, ENOSPC, "%s holds too many images for its index: remove some", dir_path);
    }
    memcpy(head.magic, magic, sizeof(magic));
    head.len = htole64(body.len);
    id128_to_bytes(id128_hash(buf_text(&body), body.len), head.hash);
    fd = openat(dir_fd, "index.new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_set(e, errno, "create %s/index.new", dir_path);
    }
    rc = write_all(fd, &head, sizeof(head));
    if (rc == 0) {
        rc = write_all(fd, buf_text(&body), body.len);
    }
    FAILPOINT("agent.image.before_index_sync");
    if (rc == 0 && fsync(fd) < 0) {
        rc = -errno;
    }
    if (rc < 0) {
        return err_set(e, rc, "write %s/index.new", dir_path);
    }
    FAILPOINT("agent.image.before_index_rename");
    if (renameat(dir_fd, "index.new", dir_fd, "index") < 0) {
        return err_set(e, errno, "rename %s/index.new", dir_path);
    }
    FAILPOINT("agent.image.after_index_rename");
    return fsync(dir_fd) < 0 ? err_set(e, errno, "sync %s", dir_path) : 0;
}
