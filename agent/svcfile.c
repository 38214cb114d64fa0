// SPDX-License-Identifier: Apache-2.0
#include "agent/svcfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/codec_link.h"
#include "common/crc32c.h"
#include "common/failpoint.h"

#define HEAD     "WHERRYS1"
#define HEAD_LEN 8u
#define END_LEN  8u
#define TMP_NAME "." SVCFILE_NAME

static void put_u32(struct buf *to, uint32_t value)
{
    uint8_t bytes[4];

    for (unsigned i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
    buf_append(to, bytes, sizeof(bytes));
}

static uint32_t get_u32(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* ---- out ---- */

void svcfile_begin(struct buf *file)
{
    buf_puts(file, HEAD);
}

void svcfile_put(struct buf *file, const struct svc_entry *entry)
{
    struct link_message m = {.kind = LINK_SERVICES};
    auto_buf struct buf bytes = {0};

    m.u.services.changed = entry;
    m.u.services.n_changed = 1;
    codec_link_encode(&m, &bytes);
    put_u32(file, (uint32_t)bytes.len);
    buf_append(file, bytes.data, bytes.len);
}

void svcfile_end(struct buf *file)
{
    put_u32(file, 0);
    put_u32(file, crc32c(0, file->data, file->len));
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0) {
            return -errno;
        }
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int svcfile_write(int dir_fd, const struct buf *file, struct err *e)
{
    auto_close int fd =
        openat(dir_fd, TMP_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = fd < 0 ? -errno : write_all(fd, file->data, file->len);

    if (rc < 0) {
        return err_set(e, rc, "write %s", TMP_NAME);
    }
    FAILPOINT("agent.services.before_rename");
    if (renameat(dir_fd, TMP_NAME, dir_fd, SVCFILE_NAME) < 0) {
        return err_set(e, errno, "rename %s to %s", TMP_NAME, SVCFILE_NAME);
    }
    FAILPOINT("agent.services.after_rename");
    return 0;
}

/* ---- in ---- */

static int one_record(const uint8_t *at, size_t len, svcfile_cb each, void *arg, struct err *e)
{
    struct link_message m;
    int rc = codec_link_decode(at, len, LINK_CONTROLLER, /* greeted= */ true, &m, e);

    if (rc < 0) {
        return rc;
    }
    if (m.kind != LINK_SERVICES) {
        rc = err_say(e, EBADMSG, "it is no service");
    }
    for (unsigned i = 0; rc == 0 && each != NULL && i < m.u.services.n_changed; i++) {
        each(arg, &m.u.services.changed[i]);
    }
    codec_link_free(&m);
    return rc;
}

/* The bytes are whole; `end`: where the last record must end. */
static int all_records(const uint8_t *bytes, size_t end, svcfile_cb each, void *arg, struct err *e)
{
    size_t at = HEAD_LEN;

    while (at < end) {
        uint32_t len = end - at >= 4 ? get_u32(bytes + at) : UINT32_MAX;

        if (len > end - at - 4 || one_record(bytes + at + 4, len, each, arg, e) < 0) {
            return err_say(e, EBADMSG, "damaged at byte %zu", at);
        }
        at += 4 + len;
    }
    return 0;
}

int svcfile_parse(const void *bytes, size_t len, svcfile_cb each, void *arg, struct err *e)
{
    const uint8_t *data = bytes;
    size_t end = len - END_LEN;
    int rc;

    if (len < HEAD_LEN + END_LEN || memcmp(data, HEAD, HEAD_LEN) != 0) {
        return err_say(e, EBADMSG, "it does not begin with " HEAD);
    }
    if (get_u32(data + end) != 0 || get_u32(data + end + 4) != crc32c(0, data, end + 4)) {
        return err_say(e, EBADMSG, "its checksum is wrong");
    }
    rc = all_records(data, end, NULL, NULL, e);
    return rc < 0 ? rc : all_records(data, end, each, arg, e);
}

static int read_all(int fd, struct buf *ret, struct err *e)
{
    struct stat st;
    ssize_t n = 0;

    if (fstat(fd, &st) < 0) {
        return err_set(e, errno, "look at %s", SVCFILE_NAME);
    }
    if (!S_ISREG(st.st_mode) || st.st_size > (off_t)SVCFILE_BYTES_MAX) {
        return err_say(e, EBADMSG, "it is no file, or larger than %u bytes", SVCFILE_BYTES_MAX);
    }
    buf_reserve(ret, (size_t)st.st_size);
    while (ret->len < (size_t)st.st_size &&
           (n = read(fd, ret->data + ret->len, (size_t)st.st_size - ret->len)) > 0) {
        ret->len += (size_t)n;
    }
    return n < 0 ? err_set(e, errno, "read %s", SVCFILE_NAME) : 0;
}

int svcfile_read(int dir_fd, svcfile_cb each, void *arg, struct err *e)
{
    auto_close int fd = openat(dir_fd, SVCFILE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    auto_buf struct buf bytes = {0};
    int rc;

    if (fd < 0) {
        return err_set(e, errno, "open %s", SVCFILE_NAME);
    }
    rc = read_all(fd, &bytes, e);
    return rc < 0 ? rc : svcfile_parse(bytes.data, bytes.len, each, arg, e);
}
