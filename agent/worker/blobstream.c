// SPDX-License-Identifier: Apache-2.0
#include "agent/worker/blobstream.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define CHUNK           (128u * 1024)
#define ZSTD_WINDOW_LOG 27 /* 128 MiB: what the zstd program takes without being asked */

enum packing { PACKING_UNKNOWN, PACKING_NONE, PACKING_GZIP, PACKING_ZSTD };

struct blobstream {
    int fd;
    uint64_t offset, size;
    uint64_t done; /* stored bytes read */
    uint64_t out;  /* bytes that came out */
    struct sha *stored;
    struct sha *plain;
    enum packing packing;
    z_stream gzip;
    ZSTD_DStream *zstd;
    bool in_frame; /* compressed data has begun and not ended */
    unsigned char in[CHUNK];
    size_t in_at, in_len;
    unsigned char unpacked[CHUNK];
};

struct blobstream *blobstream_create(int fd, uint64_t offset, uint64_t size)
{
    struct blobstream *s = xcalloc(1, sizeof(*s));

    s->fd = fd;
    s->offset = offset;
    s->size = size;
    s->stored = sha_create();
    s->plain = sha_create();
    return s;
}

void blobstream_destroy(struct blobstream *s)
{
    if (s == NULL) {
        return;
    }
    if (s->packing == PACKING_GZIP) {
        (void)inflateEnd(&s->gzip);
    }
    ZSTD_freeDStream(s->zstd);
    sha_destroy(s->stored);
    sha_destroy(s->plain);
    free(s);
}

/* Reads the next stored bytes when none are left. Returns whether there are any. */
static int fill(struct blobstream *s, struct err *e)
{
    uint64_t left = s->size - s->done;
    ssize_t n;

    if (s->in_at < s->in_len) {
        return 1;
    }
    if (left == 0) {
        return 0;
    }
    do {
        n = pread(s->fd, s->in, left < CHUNK ? (size_t)left : CHUNK, (off_t)(s->offset + s->done));
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return err_set(e, errno, "read");
    }
    if (n == 0) {
        return err_say(e, EBADMSG, "file ends %llu bytes too early", (unsigned long long)left);
    }
    sha_update(s->stored, s->in, (size_t)n);
    s->done += (uint64_t)n;
    s->in_at = 0;
    s->in_len = (size_t)n;
    return 1;
}

static int detect(struct blobstream *s, struct err *e)
{
    static const unsigned char gzip_magic[] = {0x1f, 0x8b};
    static const unsigned char zstd_magic[] = {0x28, 0xb5, 0x2f, 0xfd};
    int rc = fill(s, e);

    if (rc < 0) {
        return rc;
    }
    s->packing = PACKING_NONE;
    if (s->in_len >= 2 && memcmp(s->in, gzip_magic, 2) == 0) {
        if (inflateInit2(&s->gzip, 15 + 16) != Z_OK) {
            die("no memory for gzip");
        }
        s->packing = PACKING_GZIP;
    } else if (s->in_len >= 4 && memcmp(s->in, zstd_magic, 4) == 0) {
        s->zstd = ZSTD_createDStream();
        if (s->zstd == NULL ||
            ZSTD_isError(ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG))) {
            die("no memory for zstd");
        }
        s->packing = PACKING_ZSTD;
    }
    return 0;
}

/* Each returns bytes put into `unpacked`, 0 when more input is wanted. */
static ssize_t step_gzip(struct blobstream *s, struct err *e)
{
    int rc;

    s->in_frame = true;
    s->gzip.next_in = s->in + s->in_at;
    s->gzip.avail_in = (uInt)(s->in_len - s->in_at);
    s->gzip.next_out = s->unpacked;
    s->gzip.avail_out = CHUNK;
    rc = inflate(&s->gzip, Z_NO_FLUSH);
    s->in_at = s->in_len - s->gzip.avail_in;
    if (rc == Z_STREAM_END) {
        s->in_frame = false;
        (void)inflateReset(&s->gzip); /* a further member may follow */
    } else if (rc != Z_OK && rc != Z_BUF_ERROR) {
        return err_say(e, EBADMSG, "gzip data are damaged at byte %llu (%s)",
                       (unsigned long long)(s->done - s->gzip.avail_in),
                       s->gzip.msg != NULL ? s->gzip.msg : "no reason given");
    }
    return (ssize_t)(CHUNK - s->gzip.avail_out);
}

static ssize_t step_zstd(struct blobstream *s, struct err *e)
{
    ZSTD_inBuffer in = {.src = s->in, .size = s->in_len, .pos = s->in_at};
    ZSTD_outBuffer out = {.dst = s->unpacked, .size = CHUNK, .pos = 0};
    size_t rc = ZSTD_decompressStream(s->zstd, &out, &in);

    s->in_at = in.pos;
    if (ZSTD_isError(rc)) {
        return err_say(e, EBADMSG, "zstd data are damaged at byte %llu (%s)",
                       (unsigned long long)(s->done - (s->in_len - s->in_at)),
                       ZSTD_getErrorName(rc));
    }
    s->in_frame = rc != 0;
    return (ssize_t)out.pos;
}

static ssize_t next_piece(struct blobstream *s, const void **ret_data, struct err *e)
{
    for (;;) {
        int rc = fill(s, e);
        ssize_t n;

        if (rc < 0) {
            return rc;
        }
        if (s->packing == PACKING_NONE) {
            *ret_data = s->in + s->in_at;
            n = (ssize_t)(s->in_len - s->in_at);
            s->in_at = s->in_len;
            return rc == 0 ? 0 : n;
        }
        if (rc == 0 && !s->in_frame) {
            return 0;
        }
        /* Input may be used up while output is still to come: step even then. */
        n = s->packing == PACKING_GZIP ? step_gzip(s, e) : step_zstd(s, e);
        if (n != 0) {
            *ret_data = s->unpacked;
            return n;
        }
        if (rc == 0) {
            return s->in_frame ? err_say(e, EBADMSG, "compressed data are truncated") : 0;
        }
    }
}

ssize_t blobstream_read(struct blobstream *s, const void **ret_data, struct err *e)
{
    ssize_t n;

    if (s->packing == PACKING_UNKNOWN) {
        int rc = detect(s, e);

        if (rc < 0) {
            return rc;
        }
    }
    n = next_piece(s, ret_data, e);
    if (n > 0) {
        sha_update(s->plain, *ret_data, (size_t)n);
        s->out += (uint64_t)n;
        if (s->out > BLOBSTREAM_RATIO_FREE && s->out / BLOBSTREAM_RATIO_MAX > s->done) {
            return err_say(e, EFBIG,
                           "unpacks to more than %d times its stored size: refused as a bomb",
                           BLOBSTREAM_RATIO_MAX);
        }
    }
    return n;
}

int blobstream_drain(struct blobstream *s, struct err *e)
{
    const void *data;
    ssize_t n;

    do {
        n = blobstream_read(s, &data, e);
    } while (n > 0);
    return (int)n;
}

void blobstream_stored_digest(struct blobstream *s, char ret_text[SHA_TEXT])
{
    assert(s->done == s->size);
    sha_text(s->stored, ret_text);
}

void blobstream_digest(struct blobstream *s, char ret_text[SHA_TEXT])
{
    sha_text(s->plain, ret_text);
}

uint64_t blobstream_position(const struct blobstream *s)
{
    return s->done;
}
