// SPDX-License-Identifier: Apache-2.0
#include "common/frame.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static uint32_t length_at(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;

    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static int check_head(const struct frame_reader *r, size_t at, struct err *e)
{
    uint32_t len;

    if (r->in.len - at < FRAME_HEADER) {
        return 0;
    }
    len = length_at(r->in.data + at);
    if (len == 0) {
        return err_say(e, EMSGSIZE, "frame is empty");
    }
    if (len > r->max) {
        return err_say(e, EMSGSIZE, "frame of %u bytes is longer than the %u allowed", len,
                       r->max);
    }
    return 0;
}

void frame_reader_init(struct frame_reader *r, uint32_t max)
{
    assert(max > 0 && max <= FRAME_MAX);
    *r = (struct frame_reader){.max = max};
}

void frame_reader_finish(struct frame_reader *r)
{
    buf_finish(&r->in);
}

int frame_feed(struct frame_reader *r, const void *bytes, size_t len, struct err *e)
{
    if (r->done > 0) {
        buf_consume(&r->in, r->done);
        r->done = 0;
    }
    buf_append(&r->in, bytes, len);
    return check_head(r, 0, e);
}

int frame_next(struct frame_reader *r, const uint8_t **ret_bytes, size_t *ret_len, struct err *e)
{
    uint32_t len;
    int rc = check_head(r, r->done, e);

    if (rc < 0) {
        return rc;
    }
    if (r->in.len - r->done < FRAME_HEADER) {
        return 0;
    }
    len = length_at(r->in.data + r->done);
    if (r->in.len - r->done - FRAME_HEADER < len) {
        return 0;
    }
    *ret_bytes = (const uint8_t *)r->in.data + r->done + FRAME_HEADER;
    *ret_len = len;
    r->done += FRAME_HEADER + len;
    return 1;
}

void frame_put(struct buf *out, const void *bytes, size_t len)
{
    uint8_t head[FRAME_HEADER] = {(uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
                                  (uint8_t)len};

    assert(len > 0 && len <= FRAME_MAX);
    buf_append(out, head, sizeof(head));
    buf_append(out, bytes, len);
}
