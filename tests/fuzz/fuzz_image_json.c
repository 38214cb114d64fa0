// SPDX-License-Identifier: Apache-2.0
/* The documents of an image; the first byte says which. */
#include <assert.h>
#include <stdint.h>

#include "agent/worker/ociconfig.h"
#include "agent/worker/ocijson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void config(const char *text, size_t len)
{
    struct image image;

    if (ociconfig_parse(text, len, "amd64", &image, NULL) == 0) {
        assert(image.n_diff_ids <= IMAGE_LAYERS_MAX);
        assert(image.workdir[0] == '\0' || image.workdir[0] == '/');
        image_finish(&image);
    }
}

static void manifest(const char *text, size_t len)
{
    struct ocijson_manifest m;

    if (ocijson_manifest(text, len, &m, NULL) == 0) {
        assert(m.n_layers > 0 && m.n_layers <= IMAGE_LAYERS_MAX);
        assert(imageref_is_digest(m.layers[0].digest));
        ocijson_manifest_finish(&m);
    }
}

static void index_(const char *text, size_t len)
{
    struct ocijson_index index;

    if (ocijson_index(text, len, &index, NULL) == 0) {
        ocijson_index_finish(&index);
    }
}

static void saves(const char *text, size_t len)
{
    struct ocijson_saves list;

    if (ocijson_saves(text, len, &list, NULL) == 0) {
        ocijson_saves_finish(&list);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const documents[])(const char *, size_t) = {config, manifest, index_, saves};

    if (size > 0) {
        documents[data[0] % 4]((const char *)data + 1, size - 1);
    }
    return 0;
}
