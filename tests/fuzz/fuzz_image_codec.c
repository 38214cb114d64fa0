// SPDX-License-Identifier: Apache-2.0
/* What a taken-over worker may say, and a damaged index; the first byte says which. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "agent/codec_worker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void event(const uint8_t *data, size_t size)
{
    struct load_event event;

    if (codec_worker_event_decode(data, size, &event, NULL) == 0) {
        if (event.type == LOAD_EVENT_LAYER) {
            assert(strpbrk(event.layer.staged, "./") == NULL);
        }
        image_finish(&event.image);
    }
}

static void index_(const uint8_t *data, size_t size)
{
    struct image_index index;

    if (codec_image_index_decode(data, size, &index, NULL) == 0) {
        codec_image_index_finish(&index);
    }
}

static void result(const uint8_t *data, size_t size)
{
    struct probe_result result;

    (void)codec_worker_probe_result_decode(data, size, &result, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const messages[])(const uint8_t *, size_t) = {event, index_, result};

    if (size > 0) {
        messages[data[0] % 3](data + 1, size - 1);
    }
    return 0;
}
