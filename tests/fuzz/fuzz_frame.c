// SPDX-License-Identifier: Apache-2.0
/* A byte stream cut into reads: the first byte says how. Whatever the cuts, the same frames come
 * out, and the same end. */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/frame.h"

#define MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Appends each frame with its length; returns whether the stream was refused. */
static bool read_all(const uint8_t *data, size_t size, size_t step, struct buf *out)
{
    struct frame_reader r;
    int rc = 0;

    frame_reader_init(&r, MAX);
    for (size_t at = 0; at < size && rc >= 0; at += step) {
        const uint8_t *frame;
        size_t len;
        size_t n = size - at < step ? size - at : step;

        rc = frame_feed(&r, data + at, n, NULL);
        while (rc >= 0 && (rc = frame_next(&r, &frame, &len, NULL)) > 0) {
            assert(len > 0 && len <= MAX);
            frame_put(out, frame, len);
        }
    }
    frame_reader_finish(&r);
    return rc < 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = {0};
    struct buf cut = {0};
    bool refused;

    if (size < 2) {
        return 0;
    }
    refused = read_all(data + 1, size - 1, size, &whole);
    assert(read_all(data + 1, size - 1, data[0] + 1u, &cut) == refused);
    assert(whole.len == cut.len);
    assert(whole.len == 0 || memcmp(whole.data, cut.data, whole.len) == 0);
    assert(whole.len <= size && (whole.len == 0 || memcmp(whole.data, data + 1, whole.len) == 0));
    buf_finish(&whole);
    buf_finish(&cut);
    return 0;
}
