// SPDX-License-Identifier: Apache-2.0
#include "agent/worker/ocijson.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/worker/jsonget.h"
#include "common/cleanup.h"

#define ANNOTATIONS_MAX 1024
#define TAGS_MAX        64
#define MEMBER_NAME_MAX 4095
#define SAVES_MAX       64

static const char *const index_types[] = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
};
static const char *const manifest_types[] = {
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
};
static const char *const config_types[] = {
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
};
/* Foreign layers (with urls) are not among them: their content is elsewhere. */
static const char *const layer_types[] = {
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
};

static bool is_one_of(const char *text, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(text, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool ocijson_is_index(const char *media_type)
{
    return is_one_of(media_type, index_types, ARRAY_LEN(index_types));
}

bool ocijson_is_manifest(const char *media_type)
{
    return is_one_of(media_type, manifest_types, ARRAY_LEN(manifest_types));
}

/* ---- descriptors ---- */

static int read_platform(const json_t *object, struct ocijson_descriptor *d, struct err *e)
{
    const json_t *platform;
    int rc = jsonget_object(object, "platform", 64, &platform, e);

    if (rc < 0 || platform == NULL) {
        return rc;
    }
    rc = jsonget_text(platform, "os", d->os, sizeof(d->os), e);
    if (rc == 0) {
        rc = jsonget_text(platform, "architecture", d->arch, sizeof(d->arch), e);
    }
    if (rc == 0) {
        rc = jsonget_text(platform, "variant", d->variant, sizeof(d->variant), e);
    }
    return rc;
}

static int read_annotations(const json_t *object, struct ocijson_descriptor *d, struct err *e)
{
    const json_t *annotations;
    int rc = jsonget_object(object, "annotations", ANNOTATIONS_MAX, &annotations, e);

    if (rc < 0 || annotations == NULL) {
        return rc;
    }
    d->attestation = json_object_get(annotations, "vnd.docker.reference.type") != NULL;
    rc = jsonget_text(annotations, "io.containerd.image.name", d->name, sizeof(d->name), e);
    return rc < 0 ? rc
                  : jsonget_text(annotations, "org.opencontainers.image.ref.name", d->ref,
                                 sizeof(d->ref), e);
}

static int read_descriptor(const json_t *object, struct ocijson_descriptor *d, struct err *e)
{
    int rc;

    if (!json_is_object(object)) {
        return err_say(e, EBADMSG, "descriptor is not an object");
    }
    rc = jsonget_text(object, "mediaType", d->media_type, sizeof(d->media_type), e);
    if (rc == 0) {
        rc = jsonget_text(object, "digest", d->digest, sizeof(d->digest), e);
    }
    if (rc == 0) {
        rc = jsonget_u64(object, "size", &d->size, e);
    }
    if (rc == 0 && !imageref_is_digest(d->digest)) {
        rc = err_say(e, EBADMSG,
                     "'digest' is '%.80s' (allowed: sha256: and 64 lower-case hexadecimal digits)",
                     d->digest);
    }
    if (rc == 0) {
        rc = read_platform(object, d, e);
    }
    return rc < 0 ? rc : read_annotations(object, d, e);
}

static int check_type(const struct ocijson_descriptor *d, const char *const *list, size_t n,
                      const char *what, struct err *e)
{
    if (is_one_of(d->media_type, list, n)) {
        return 0;
    }
    return err_say(e, EBADMSG, "media type '%.127s' is not that of %s", d->media_type, what);
}

/* ---- index ---- */

static int check_schema(const json_t *root, struct err *e)
{
    uint64_t version;
    int rc;

    if (!json_is_object(root)) {
        return err_say(e, EBADMSG, "document is not an object");
    }
    rc = jsonget_u64(root, "schemaVersion", &version, e);
    if (rc == 0 && version != 2) {
        rc = err_say(e, EBADMSG, "'schemaVersion' is %llu (allowed: 2)",
                     (unsigned long long)version);
    }
    return rc;
}

static int fill_index(const json_t *root, struct ocijson_index *index, struct err *e)
{
    const json_t *list;
    int rc = check_schema(root, e);

    if (rc == 0) {
        rc = jsonget_array(root, "manifests", OCIJSON_INDEX_ITEMS, &list, e);
    }
    if (rc < 0) {
        return rc;
    }
    index->items = xcalloc(json_array_size(list), sizeof(*index->items));
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct ocijson_descriptor *d = &index->items[index->n++];

        rc = read_descriptor(json_array_get(list, i), d, e);
        if (rc < 0) {
            (void)err_wrap(e, "manifests[%zu]", i);
            return rc;
        }
    }
    return 0;
}

int ocijson_index(const char *text, size_t len, struct ocijson_index *ret_index, struct err *e)
{
    auto_json json_t *root = NULL;
    struct ocijson_index index = {0};
    int rc = jsonget_parse(text, len, OCIJSON_DEPTH_MAX, &root, e);

    if (rc == 0) {
        rc = fill_index(root, &index, e);
    }
    if (rc < 0) {
        ocijson_index_finish(&index);
        return rc;
    }
    *ret_index = index;
    return 0;
}

void ocijson_index_finish(struct ocijson_index *index)
{
    free(index->items);
    *index = (struct ocijson_index){0};
}

/* ---- manifest ---- */

static int fill_layers(const json_t *root, struct ocijson_manifest *m, struct err *e)
{
    const json_t *list;
    int rc = jsonget_array(root, "layers", IMAGE_LAYERS_MAX, &list, e);

    if (rc < 0) {
        return rc;
    }
    if (json_array_size(list) == 0) {
        return err_say(e, EBADMSG, "'layers' is missing or empty");
    }
    m->layers = xcalloc(json_array_size(list), sizeof(*m->layers));
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct ocijson_descriptor *d = &m->layers[m->n_layers++];

        rc = read_descriptor(json_array_get(list, i), d, e);
        if (rc == 0) {
            rc = check_type(d, layer_types, ARRAY_LEN(layer_types), "a layer", e);
        }
        if (rc < 0) {
            (void)err_wrap(e, "layers[%zu]", i);
            return rc;
        }
    }
    return 0;
}

static int fill_manifest(const json_t *root, struct ocijson_manifest *m, struct err *e)
{
    char media_type[128];
    int rc = check_schema(root, e);

    if (rc == 0) {
        rc = jsonget_text(root, "mediaType", media_type, sizeof(media_type), e);
    }
    if (rc == 0 && media_type[0] != '\0' && !ocijson_is_manifest(media_type)) {
        rc = err_say(e, EBADMSG, "'mediaType' is '%.127s', not that of an image manifest",
                     media_type);
    }
    if (rc < 0) {
        return rc;
    }
    rc = read_descriptor(json_object_get(root, "config"), &m->config, e);
    if (rc == 0) {
        rc = check_type(&m->config, config_types, ARRAY_LEN(config_types), "an image configuration",
                        e);
    }
    if (rc < 0) {
        (void)err_wrap(e, "config");
        return rc;
    }
    return fill_layers(root, m, e);
}

int ocijson_manifest(const char *text, size_t len, struct ocijson_manifest *ret_manifest,
                     struct err *e)
{
    auto_json json_t *root = NULL;
    struct ocijson_manifest manifest = {0};
    int rc = jsonget_parse(text, len, OCIJSON_DEPTH_MAX, &root, e);

    if (rc == 0) {
        rc = fill_manifest(root, &manifest, e);
    }
    if (rc < 0) {
        ocijson_manifest_finish(&manifest);
        return rc;
    }
    *ret_manifest = manifest;
    return 0;
}

void ocijson_manifest_finish(struct ocijson_manifest *manifest)
{
    free(manifest->layers);
    *manifest = (struct ocijson_manifest){0};
}

/* ---- docker save ---- */

static int fill_strings(const json_t *object, const char *key, size_t max, char ***strv,
                        unsigned *n, struct err *e)
{
    const json_t *list;
    int rc = jsonget_array(object, key, max, &list, e);

    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);

        if (!json_is_string(item) || json_string_length(item) > MEMBER_NAME_MAX) {
            return err_say(e, EBADMSG, "'%s'[%zu] is not a string of at most %d bytes", key, i,
                           MEMBER_NAME_MAX);
        }
        image_strv_add(strv, n, json_string_value(item));
    }
    return 0;
}

static int fill_saved(const json_t *object, struct ocijson_saved *saved, struct err *e)
{
    const char *config;
    int rc;

    if (!json_is_object(object)) {
        return err_say(e, EBADMSG, "image is not an object");
    }
    rc = jsonget_string(object, "Config", MEMBER_NAME_MAX, &config, e);
    if (rc < 0) {
        return rc;
    }
    saved->config = xstrdup(config);
    rc = fill_strings(object, "RepoTags", TAGS_MAX, &saved->tags, &saved->n_tags, e);
    if (rc == 0) {
        rc = fill_strings(object, "Layers", IMAGE_LAYERS_MAX, &saved->layers, &saved->n_layers, e);
    }
    if (rc == 0 && (config[0] == '\0' || saved->n_layers == 0)) {
        rc = err_say(e, EBADMSG, "'Config' or 'Layers' is missing or empty");
    }
    return rc;
}

static int fill_saves(const json_t *root, struct ocijson_saves *saves, struct err *e)
{
    size_t n = json_array_size(root);

    if (!json_is_array(root) || n == 0 || n > SAVES_MAX) {
        return err_say(e, EBADMSG, "document is not an array of 1 to %d images", SAVES_MAX);
    }
    saves->items = xcalloc(n, sizeof(*saves->items));
    for (size_t i = 0; i < n; i++) {
        int rc = fill_saved(json_array_get(root, i), &saves->items[saves->n++], e);

        if (rc < 0) {
            (void)err_wrap(e, "[%zu]", i);
            return rc;
        }
    }
    return 0;
}

int ocijson_saves(const char *text, size_t len, struct ocijson_saves *ret_saves, struct err *e)
{
    auto_json json_t *root = NULL;
    struct ocijson_saves saves = {0};
    int rc = jsonget_parse(text, len, OCIJSON_DEPTH_MAX, &root, e);

    if (rc == 0) {
        rc = fill_saves(root, &saves, e);
    }
    if (rc < 0) {
        ocijson_saves_finish(&saves);
        return rc;
    }
    *ret_saves = saves;
    return 0;
}

void ocijson_saves_finish(struct ocijson_saves *saves)
{
    for (unsigned i = 0; i < saves->n; i++) {
        free(saves->items[i].config);
        image_strv_free(saves->items[i].tags);
        image_strv_free(saves->items[i].layers);
    }
    free(saves->items);
    *saves = (struct ocijson_saves){0};
}
